"""A task's input against its tool's schema, as far as it is known before the run.

What holds an expression has no value yet: around it only what does not depend on the value is judged,
that is which fields are there and which may be.
"""

from __future__ import annotations

from collections.abc import Iterator

from openworld.api import JsonObject
from openworld.api.meta import Json
from openworld.language.expressions import ExpressionError, references
from openworld.language.reading import Finding, joined, suggestion, under
from openworld.language.schemas import violations


def input_findings(schema: JsonObject, value: Json, path: str) -> Iterator[Finding]:
    """Where an input breaks the schema whatever its expressions turn out to be."""
    yield from _findings(schema, schema, value, path)


def _findings(root: JsonObject, schema: Json, value: Json, path: str) -> Iterator[Finding]:
    if not _has_expression(value):
        if isinstance(schema, dict) and _stands_alone(root, schema):
            for violation in violations(_with_definitions(root, schema), value):
                below = "" if violation.path == "(root)" else violation.path
                yield Finding(under(path, below), violation.message)
        return
    if not isinstance(schema, dict) or "$ref" in schema:
        return
    if isinstance(value, dict):
        yield from _fields(root, schema, value, path)
    elif isinstance(value, list):
        items = schema.get("items")
        for index, item in enumerate(value):
            yield from _findings(root, items, item, f"{path}[{index}]")


def _fields(root: JsonObject, schema: JsonObject, value: JsonObject, path: str) -> Iterator[Finding]:
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    for name in required if isinstance(required, list) else ():
        if name not in value:
            yield Finding(path, f"{name!r} is a required property")
    closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
    for name, item in value.items():
        if name in known:
            yield from _findings(root, known[name], item, joined(path, [name]))
        elif closed:
            meant = suggestion(str(name), known)
            yield Finding(joined(path, [name]), f"unknown input {name!r}{meant}")


def _has_expression(value: Json) -> bool:
    try:
        return bool(references(value))
    except ExpressionError:
        return True


def _stands_alone(root: JsonObject, schema: JsonObject) -> bool:
    """Whether a part of a schema means the same outside of it: references lead to its definitions only."""
    return schema is root or all(ref.startswith("#/$defs/") for ref in _refs(schema))


def _refs(schema: Json) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for item in schema.values():
            yield from _refs(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from _refs(item)


def _with_definitions(root: JsonObject, schema: JsonObject) -> JsonObject:
    return schema if schema is root or "$defs" not in root else {"$defs": root["$defs"], **schema}
