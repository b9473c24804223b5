"""A state as JSON and back: what a sealed segment carries, so that recovery need not fold from the start.

The form follows from the dataclasses: fields that have their default are left out, and mappings whose order
means something are lists of pairs, since the API server sorts the keys of objects.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Hashable
from enum import Enum
from functools import lru_cache
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from openworld.api import JsonObject, Strict
from openworld.api.meta import Json

from .state import Identity, State

_FREE = (Any, Json)


def take(state: State) -> JsonObject:
    """The state but for the identity, which the Execution itself says."""
    taken: JsonObject = _fields_of(state)
    return taken


def restore(identity: Identity, taken: JsonObject) -> State:
    """The state that was taken. Raises KeyError, TypeError or ValueError when it is no snapshot."""
    return State(identity=identity, **_given(State, taken))


def _fields_of(value: Any) -> JsonObject:
    hints = _hints(cast("Hashable", type(value)))
    fields: JsonObject = {}
    for field in dataclasses.fields(value):
        held = getattr(value, field.name)
        if field.name != "identity" and held != _default(field):
            fields[field.name] = _encoded(hints[field.name], held)
    return fields


def _encoded(hint: Any, value: Any) -> Json:
    if value is None or hint in _FREE:
        return value
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _encoded(next(option for option in inner if option is not type(None)), value)
    if isinstance(value, Strict):
        return value.wire()
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        return _fields_of(value)
    if origin is dict:
        if inner[1] in _FREE:
            return value
        return [[key, _encoded(inner[1], held)] for key, held in value.items()]
    if origin is tuple:
        hints = inner[:1] * len(value) if len(inner) == 2 and inner[1] is Ellipsis else inner
        return [_encoded(each, held) for each, held in zip(hints, value, strict=True)]
    if origin in (list, set):
        return [_encoded(inner[0], held) for held in (sorted(value) if origin is set else value)]
    return value


def _decoded(hint: Any, raw: Json) -> Any:
    if raw is None or hint in _FREE:
        return raw
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _decoded(next(option for option in inner if option is not type(None)), raw)
    if origin is dict:
        return raw if inner[1] in _FREE else {key: _decoded(inner[1], held) for key, held in raw}
    if origin is tuple:
        hints = inner[:1] * len(raw) if len(inner) == 2 and inner[1] is Ellipsis else inner
        return tuple(_decoded(each, held) for each, held in zip(hints, raw, strict=True))
    if origin in (list, set):
        return origin(_decoded(inner[0], held) for held in raw)
    if isinstance(hint, type) and issubclass(hint, Strict):
        return hint.model_validate(raw)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(raw)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint(**_given(hint, raw))
    return raw


def _given(of: Any, raw: JsonObject) -> dict[str, Any]:
    return {name: _decoded(_hints(of)[name], held) for name, held in raw.items()}


@lru_cache(maxsize=32)
def _hints(of: Any) -> dict[str, Any]:
    return get_type_hints(of)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
