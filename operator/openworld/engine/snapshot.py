"""A state as JSON and back: what a sealed segment carries, so that recovery need not fold from the start.

The form follows from the dataclasses: fields that have their default are left out, and mappings whose order
means something are lists of pairs, since the API server sorts the keys of objects. Large values are kept
apart, as those of events are.
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
from openworld.language.canonical import digest, stored_size
from openworld.ledger import INLINE_BYTES, Payloads

from .state import Identity, State

_FREE = (Any, Json)
#: The keys of a mark: a large value by its digest, and a value that only looks like a mark.
_PAYLOAD, _LITERAL = "$payload", "$literal"


def take(state: State) -> tuple[JsonObject, dict[str, Json]]:
    """The state but for the identity, which the Execution itself says; and its large values, by digest."""
    taker = _Taker()
    taken: JsonObject = taker.fields_of(state)
    return taken, taker.apart


def restore(identity: Identity, taken: JsonObject, payloads: Payloads) -> State:
    """The state that was taken. Raises KeyError, TypeError or ValueError when it is no snapshot."""
    return State(identity=identity, **_Giver(payloads).fields_of(State, taken))


class _Taker:
    """Encodes; `apart` collects the large values."""

    def __init__(self) -> None:
        self.apart: dict[str, Json] = {}

    def fields_of(self, value: Any) -> JsonObject:
        hints = _hints(cast("Hashable", type(value)))
        fields: JsonObject = {}
        for field in dataclasses.fields(value):
            held = getattr(value, field.name)
            if field.name != "identity" and held != _default(field):
                fields[field.name] = self._encoded(hints[field.name], held)
        return fields

    def _free(self, value: Json) -> Json:
        if isinstance(value, dict | list) and stored_size(value) > INLINE_BYTES:
            known_as = digest(value)
            self.apart[known_as] = value
            return {_PAYLOAD: known_as}
        return {_LITERAL: value} if _is_marked(value) else value

    def _encoded(self, hint: Any, value: Any) -> Json:
        if value is None or hint in _FREE:
            return self._free(value)
        origin, inner = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return self._encoded(next(option for option in inner if option is not type(None)), value)
        if isinstance(value, Strict):
            return value.wire()
        if isinstance(value, Enum):
            return value.value
        if dataclasses.is_dataclass(value):
            return self.fields_of(value)
        if origin is dict:
            if inner[1] in _FREE:
                return self._free(value)
            return [[key, self._encoded(inner[1], held)] for key, held in value.items()]
        if origin is tuple:
            hints = inner[:1] * len(value) if len(inner) == 2 and inner[1] is Ellipsis else inner
            return [self._encoded(each, held) for each, held in zip(hints, value, strict=True)]
        if origin in (list, set):
            return [self._encoded(inner[0], held) for held in (sorted(value) if origin is set else value)]
        return value


class _Giver:
    """Decodes; large values are looked up in `payloads`."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads

    def fields_of(self, of: Any, raw: JsonObject) -> dict[str, Any]:
        return {name: self._decoded(_hints(of)[name], held) for name, held in raw.items()}

    def _free(self, raw: Json) -> Json:
        if not _is_marked(raw):
            return raw
        if _LITERAL in raw:
            return raw[_LITERAL]
        return self._payloads[raw[_PAYLOAD]]

    def _decoded(self, hint: Any, raw: Json) -> Any:
        if raw is None or hint in _FREE:
            return self._free(raw)
        origin, inner = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return self._decoded(next(option for option in inner if option is not type(None)), raw)
        if origin is dict:
            if inner[1] in _FREE:
                return self._free(raw)
            return {key: self._decoded(inner[1], held) for key, held in raw}
        if origin is tuple:
            hints = inner[:1] * len(raw) if len(inner) == 2 and inner[1] is Ellipsis else inner
            return tuple(self._decoded(each, held) for each, held in zip(hints, raw, strict=True))
        if origin in (list, set):
            return origin(self._decoded(inner[0], held) for held in raw)
        if isinstance(hint, type) and issubclass(hint, Strict):
            return hint.model_validate(raw)
        if isinstance(hint, type) and issubclass(hint, Enum):
            return hint(raw)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return hint(**self.fields_of(hint, raw))
        return raw


def _is_marked(value: Json) -> bool:
    """Whether a value has the form of a mark: those that have are marked as literal."""
    return isinstance(value, dict) and len(value) == 1 and not value.keys().isdisjoint((_PAYLOAD, _LITERAL))


@lru_cache(maxsize=32)
def _hints(of: Any) -> dict[str, Any]:
    return get_type_hints(of)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
