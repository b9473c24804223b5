"""Each object by itself: is it of a kind that exists, and what does the operator's own code say of it?"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from pydantic import BaseModel

from openworld.api import API_VERSION, GROUP, Signal, TaskResult, ToolCatalog
from openworld.cli.documents import Document
from openworld.engine.validity import assess
from openworld.language.reading import Finding, InvalidResource, joined, read, suggestion

from .problem import Object, Problem, named
from .servers import with_servers
from .spelling import spelling_problems

_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LONGEST_NAME = 253
Judged = tuple[BaseModel | None, list[Finding]]


def _assessed(kind: str) -> Callable[[Any], Judged]:
    def judge(body: Any) -> Judged:
        assessed = assess(kind, body.get("spec") or {})
        return assessed.model, list(assessed.findings)

    return judge


def _plain(model: type[BaseModel]) -> Callable[[Any], Judged]:
    def judge(body: Any) -> Judged:
        return read(model, body.get("spec") or {}), []

    return judge


_KINDS: dict[str, Callable[[Any], Judged]] = {
    **{kind: _assessed(kind) for kind in ("Workflow", "ToolCatalog", "Policy", "Agent", "Execution")},
    "Signal": _plain(Signal),
    "TaskResult": _plain(TaskResult),
}
_TOP_LEVEL = ("apiVersion", "kind", "metadata", "spec", "status")


def examine(document: Document) -> tuple[Object | None, list[Problem]]:
    """The object that a document is, if it is one of ours or a ConfigMap, and what is wrong with it."""
    body = document.data
    if not isinstance(body, dict):
        return None, []
    version, kind = str(body.get("apiVersion", "")), str(body.get("kind", ""))
    namespace, name = named(body)
    found = Object(document, kind, namespace, name, body)
    if version == "v1" and kind == "ConfigMap":
        return found, []
    if version.partition("/")[0] != GROUP:
        return None, []
    if version != API_VERSION:
        return None, [found.problem("apiVersion", f"{version!r} does not exist; write {API_VERSION}")]
    if kind not in _KINDS:
        meant = suggestion(kind, _KINDS) or f". Known: {', '.join(_KINDS)}"
        return None, [found.problem("kind", f"unknown kind {kind!r}{meant}")]
    problems = list(spelling_problems(found))
    problems += [found.problem(path, message) for path, message in _outer(body)]
    if not isinstance(body.get("spec", {}), dict):
        return None, [*problems, found.problem("spec", "must be an object")]
    model, findings = _judged(kind, body)
    problems += [found.problem(finding.path, finding.message) for finding in findings]
    found = Object(document, kind, namespace, name, body, model)
    if isinstance(model, ToolCatalog):
        found, more = with_servers(found, model)
        problems += more
    return found, problems


def _judged(kind: str, body: dict[str, Any]) -> Judged:
    """What the operator's code says; if unknown fields are all it finds, also without them."""
    model, findings = _read(kind, body)
    unknown = {finding.path for finding in findings if finding.message.startswith("unknown field ")}
    if model is not None or not unknown or len(unknown) < len(findings):
        return model, findings
    model, more = _read(kind, _without(body, unknown))
    return model, [*findings, *more]


def _read(kind: str, body: dict[str, Any]) -> Judged:
    try:
        return _KINDS[kind](body)
    except InvalidResource as error:
        return None, list(error.findings)


def _without(value: Any, paths: Collection[str], here: str = "") -> Any:
    """A copy of the value without what stands at these paths."""
    if isinstance(value, dict):
        below = {key: joined(here, [str(key)]) for key in value}
        return {key: _without(value[key], paths, path) for key, path in below.items() if path not in paths}
    if isinstance(value, list):
        return [_without(item, paths, f"{here}[{index}]") for index, item in enumerate(value)]
    return value


def _outer(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong around `spec`."""
    for key in body:
        if key not in _TOP_LEVEL:
            yield str(key), f"unknown field {key!r}{suggestion(str(key), _TOP_LEVEL)}"
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        yield "metadata", "is required: an object with a name"
        return
    name = metadata.get("name")
    if name is None and "generateName" in metadata:
        return
    if not isinstance(name, str) or not name:
        yield "metadata.name", "is required"
    elif not _DNS_NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        yield (
            "metadata.name",
            f"{name[:80]!r} is no Kubernetes name: lower-case letters, digits, '-' and '.'",
        )
