"""Whether what came about is what a case expects, by the corpus' own rules; each difference in a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .attempts import Attempt

_PLACEHOLDERS = {"<id>": r".+", "<time>": r"\d+", "<error text>": r".+", "<text>": r".+"}
_SPLIT = re.compile("(" + "|".join(re.escape(name) for name in _PLACEHOLDERS) + ")")
#: A child without inputParameters may get the server's own record of the start as its input, or nothing.
_SERVERS_START = frozenset(
    {"subWorkflowName", "subWorkflowVersion", "subWorkflowDefinition", "workflowInput"}
)
_ABSENT = object()
#: Shorter texts occur in any reason by chance.
_SHORTEST_TEXT = 3


def differences(expected: Any, got: Any, where: str = "") -> Iterator[str]:
    """What differs. Numbers compare by value; placeholders stand for any text, id or time."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        for key in (*expected, *(key for key in got if key not in expected)):
            wanted, found = expected.get(key, _ABSENT), got.get(key, _ABSENT)
            place = f"{where}.{key}" if where else str(key)
            if found is _ABSENT:
                if not _is_servers_own(key, wanted):
                    yield f"{place}: expected {shown(wanted)}, got nothing"
            elif wanted is _ABSENT:
                if key != "subWorkflowId":
                    yield f"{place}: expected nothing, got {shown(found)}"
            else:
                yield from differences(wanted, found, place)
    elif _is_list(expected) and _is_list(got) and len(expected) == len(got):
        for index, (wanted, found) in enumerate(zip(expected, got, strict=True)):
            yield from differences(wanted, found, f"{where}[{index}]")
    elif not _is_same(expected, got):
        yield f"{where}: expected {shown(expected)}, got {shown(got)}"


def final_differences(
    expected: Mapping[str, Any], got: Mapping[str, Any], attempts: Mapping[str, Sequence[Attempt]]
) -> Iterator[str]:
    """What differs at the end, the attempts of the workflow and of its children included."""
    wanted = {key: value for key, value in expected.items() if key not in ("tasks", "children")}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    found = {key: value for key, value in got.items() if key != "children"}
    yield from differences(wanted, _said(wanted, found))
    yield from _attempt_differences(expected["tasks"], attempts[""], "tasks")
    wanted_children, children = expected.get("children") or {}, got.get("children") or {}
    for path in sorted({*wanted_children, *children}):
        where = f"children.{path}"
        if path not in children or path not in wanted_children:
            here = "expected" if path in wanted_children else "not expected"
            yield f"{where}: {here}, and there is {'one' if path in children else 'none'}"
            continue
        child = {key: value for key, value in wanted_children[path].items() if key != "tasks"}
        if child.get("input", {}).keys() >= _SERVERS_START and not children[path]["input"]:
            child["input"] = child["input"]["workflowInput"]
        yield from differences(child, _said(child, children[path]), where)
        yield from _attempt_differences(wanted_children[path]["tasks"], attempts[path], f"{where}.tasks")


def _said(expected: Mapping[str, Any], got: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same end; texts that are too short to mean anything count only where they were recorded."""
    if "reasonMentions" not in got:
        return got
    wanted = expected.get("reasonMentions", ())
    told = [text for text in got["reasonMentions"] if len(text) >= _SHORTEST_TEXT or text in wanted]
    return {**got, "reasonMentions": told}


def _attempt_differences(
    expected: Sequence[Mapping[str, Any]], got: Sequence[Attempt], where: str
) -> Iterator[str]:
    """Order counts within the workflow's own sequence and within each branch of a fork."""
    branch_of = {attempt.ref: attempt.branch for attempt in got}
    wanted_by, found_by = _by_branch(expected, branch_of), _by_branch([a.shown for a in got], branch_of)
    for branch in dict.fromkeys([*wanted_by, *found_by]):
        wanted, found = wanted_by.get(branch, []), found_by.get(branch, [])
        wanted_names, found_names = [_name(each) for each in wanted], [_name(each) for each in found]
        if wanted_names != found_names:
            inside = f" of branch {branch}" if branch else ""
            yield f"{where}{inside}: expected {_listed(wanted_names)}, got {_listed(found_names)}"
        numbered = dict(zip(found_names, found, strict=True))
        for attempt in wanted:
            if _name(attempt) in numbered:
                yield from _task_differences(attempt, numbered[_name(attempt)], f"{where}[{_name(attempt)}]")


def _task_differences(expected: Mapping[str, Any], got: Mapping[str, Any], where: str) -> Iterator[str]:
    wanted, found = dict(expected), dict(got)
    if expected["type"] == "SWITCH":
        keys = expected["output"].keys() & {"selectedCase"}
        wanted["output"], found["output"] = ({k: v["output"].get(k) for k in keys} for v in (expected, got))
    if "input" not in expected:
        found.pop("input", None)
    yield from differences(wanted, found, where)


def _by_branch(
    attempts: Sequence[Mapping[str, Any]], branch_of: Mapping[str, str]
) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for attempt in attempts:
        found.setdefault(branch_of.get(attempt["ref"], ""), []).append(attempt)
    return found


def _name(attempt: Mapping[str, Any]) -> str:
    return attempt["ref"] + (f"#{attempt['attempt']}" if attempt["attempt"] else "")


def _listed(names: Sequence[str]) -> str:
    return "[" + ", ".join(names) + "]"


def _is_servers_own(key: str, wanted: Any) -> bool:
    """The id of a sub workflow, and a map that holds nothing else."""
    if key == "subWorkflowId":
        return True
    return isinstance(wanted, Mapping) and wanted.keys() == {"subWorkflowId"}


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_same(expected: Any, got: Any) -> bool:
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, str) and _SPLIT.search(expected):
        parts = (_PLACEHOLDERS.get(part, re.escape(part)) for part in _SPLIT.split(expected))
        return isinstance(got, str | int) and re.fullmatch("".join(parts), str(got), re.DOTALL) is not None
    if isinstance(expected, int | float) and isinstance(got, int | float):
        return expected == got
    return type(expected) is type(got) and expected == got


def shown(value: Any) -> str:
    """A value in a line."""
    text = "nothing" if value is _ABSENT else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 400 else text[:399] + "…"
