"""Type hints as JSON Schema: a tool's signature is the single source of its catalog entry.

It must not accept a hint that `binding` cannot check: both know the same closed set.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from .errors import ToolDefinitionError
from .wire import JsonObject, to_json

SCALARS: Mapping[object, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}
UNIONS = (Union, types.UnionType)
ARRAYS = (list, Sequence)
OBJECTS = (dict, Mapping)


def schema_of(hint: Any, path: str, _within: tuple[type, ...] = ()) -> JsonObject:
    """The JSON Schema of a type hint.

    Args:
        hint: str, int, float, bool, None, Any, list[T], dict[str, T], Literal, Enum, a dataclass, a
            TypedDict, unions of these, and `Annotated[T, "description"]`.
        path: Where the hint stands, for messages.

    Raises:
        ToolDefinitionError: The hint has no schema; the message names its path.
    """
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return {}
    if hint in SCALARS:
        return {"type": SCALARS[hint]}
    if hint is None or hint is type(None):
        return {"type": "null"}
    if origin is Annotated:
        return _described(schema_of(args[0], path, _within), args[1:])
    if origin in (Required, NotRequired):
        return schema_of(args[0], path, _within)
    if origin in UNIONS:
        return _union([schema_of(member, path, _within) for member in args])
    if origin is Literal:
        return _enum([to_json(value, path) for value in args])
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum([to_json(member, path) for member in hint])
    if origin in ARRAYS or hint is list:
        return {"type": "array"} | ({"items": schema_of(args[0], f"{path}[]", _within)} if args else {})
    if origin in OBJECTS or hint is dict:
        return _mapping(args, path, _within)
    if is_record(hint):
        if hint in _within:
            raise ToolDefinitionError(f"{path}: {hint.__name__} contains itself; a schema must be finite")
        return _record(hint, path, (*_within, hint))
    raise ToolDefinitionError(
        f"{path}: {_name(hint)} has no JSON Schema. Use str, int, float, bool, list[T], dict[str, T], "
        "Literal, an Enum, a dataclass, a TypedDict or Optional of these"
    )


def object_schema(properties: Mapping[str, JsonObject], required: Sequence[str]) -> JsonObject:
    """A closed object: what is not named is refused."""
    schema: JsonObject = {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    }
    return schema | ({"required": list(required)} if required else {})


def is_record(hint: Any) -> bool:
    """Whether a hint is a dataclass or a TypedDict."""
    return is_typeddict(hint) or (isinstance(hint, type) and dataclasses.is_dataclass(hint))


def record_fields(record: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """Hint of each field of a dataclass or TypedDict, and the names that must be present."""
    hints = get_type_hints(record, include_extras=True)
    if is_typeddict(record):
        # __required_keys__ misses NotRequired in a module with postponed annotations
        optional = {name for name, hint in hints.items() if get_origin(hint) is NotRequired}
        return hints, frozenset(record.__required_keys__) - optional
    fields = {field.name: field for field in dataclasses.fields(record) if field.init}
    required = {
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    return {name: hints[name] for name in fields}, frozenset(required)


def _record(record: Any, path: str, within: tuple[type, ...]) -> JsonObject:
    fields, required = record_fields(record)
    properties = {name: schema_of(hint, f"{path}.{name}", within) for name, hint in fields.items()}
    return object_schema(properties, [name for name in fields if name in required])


def _mapping(args: tuple[Any, ...], path: str, within: tuple[type, ...]) -> JsonObject:
    if not args:
        return {"type": "object"}
    if args[0] is not str:
        raise ToolDefinitionError(f"{path}: the keys of a JSON object are text: dict[str, …]")
    values = schema_of(args[1], f"{path}.*", within)
    return {"type": "object"} | ({"additionalProperties": values} if values else {})


def _union(members: list[JsonObject]) -> JsonObject:
    bare = [set(member) == {"type"} and isinstance(member["type"], str) for member in members]
    if all(bare):
        return {"type": [member["type"] for member in members]}
    return {"anyOf": members}


def _enum(values: list[Any]) -> JsonObject:
    kinds = {SCALARS.get(type(value)) for value in values}
    kind = kinds.pop() if len(kinds) == 1 else None
    return ({"type": kind} if kind else {}) | {"enum": values}


def _described(schema: JsonObject, notes: tuple[Any, ...]) -> JsonObject:
    text = next((note for note in notes if isinstance(note, str)), None)
    return schema | ({"description": text} if text else {})


def _name(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint)
