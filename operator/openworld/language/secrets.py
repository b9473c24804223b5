"""`${workflow.secrets.NAME.KEY}`: where a task's input names keys of Secrets, and what stands there instead.

The value of a secret never enters the engine, the ledger or a log. A mark takes its place,
`$(OPENWORLD_SECRET_0)`; the Job gets the key as an environment variable of that name, and the worker puts it
where the mark stands. Marks count only where the author's text has them: the same text in data is text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from openworld.api import JsonObject
from openworld.api.meta import Json

from .expressions import Reference, references
from .paths import ExpressionError, read_path

ENV = "OPENWORLD_SECRET_"
_MOST = 50


@dataclass(frozen=True, slots=True)
class Secret:
    """A key of a Secret that a task's input names."""

    name: str
    key: str
    env: str

    @property
    def mark(self) -> str:
        """What stands in the input where its value is to be."""
        return f"$({self.env})"


def named_in(value: Json) -> list[Secret]:
    """The secrets that a value names, each once. Raises ExpressionError with a sentence for people."""
    found: dict[tuple[str, str], Secret] = {}
    for reference in references(value):
        if is_secret(reference):
            named = _named(reference)
            found.setdefault(named, Secret(*named, env=f"{ENV}{len(found)}"))
    if len(found) > _MOST:
        raise ExpressionError(f"a task may name {_MOST} secrets, and this one names {len(found)}")
    return list(found.values())


def is_secret(reference: Reference) -> bool:
    """Whether an expression is about secrets."""
    return reference.root == "workflow" and reference.head == "secrets"


def view(secrets: list[Secret]) -> JsonObject:
    """What `workflow.secrets` is, to a task that names these."""
    shown: JsonObject = {}
    for secret in secrets:
        shown.setdefault(secret.name, {})[secret.key] = secret.mark
    return shown


def places(authored: Json, resolved: Json, secrets: list[Secret]) -> list[JsonObject]:
    """Where the marks of a resolved input stand: path and variable, at the places that name a secret."""
    by_name = {(secret.name, secret.key): secret for secret in secrets}
    found: list[JsonObject] = []
    for path, text in _texts(authored, []):
        for reference in references(text):
            if not is_secret(reference):
                continue
            secret = by_name[_named(reference)]
            place: JsonObject = {"path": path, "env": secret.env, "name": secret.name, "key": secret.key}
            if place not in found and isinstance(_at(resolved, path), str):
                found.append(place)
    return found


def _named(reference: Reference) -> tuple[str, str]:
    steps = read_path(f".{reference.path}", 0).steps
    if len(steps) != 3 or not all(isinstance(step, str) for step in steps) or "${" in reference.path:
        raise ExpressionError(f"{reference.text}: write ${{workflow.secrets.NAME.KEY}}, a key of a Secret")
    return str(steps[1]), str(steps[2])


def _texts(value: Json, path: list[str | int]) -> Iterator[tuple[list[str | int], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, [*path, key])
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, [*path, index])


def _at(value: Json, path: list[str | int]) -> Json:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value
