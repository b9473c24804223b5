"""Large values of events, kept apart by content: an event names them by digest and size.

An event with large values has `payloads: {field: {digest, bytes}}` in their place, and its hash covers that:
so the chain vouches for the values as well, and the record stays small however large they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from openworld.api import JsonObject
from openworld.api.meta import Json
from openworld.language.canonical import canonical, digest, stored_size

from .chain import LedgerCorruptError

#: A value that is larger is kept apart.
INLINE_BYTES = 8 * 1024
#: The field of an event that says what is kept apart.
FIELD = "payloads"
#: What event 0 is chained to, and what people look for first, stays in the event.
_ALWAYS_WITHIN = ("definition", "facts")

#: What an event says besides its data.
_FRAME = ("seq", "at", "type", "prev", "hash")

Payloads = Mapping[str, Json]
#: Of a record that keeps nothing apart.
NO_PAYLOADS: Payloads = MappingProxyType({})


def split(data: JsonObject) -> tuple[JsonObject, dict[str, Json]]:
    """The fields of an event with its large values replaced by their digests, and those values by digest."""
    if len(canonical(data)) <= INLINE_BYTES:
        return data, {}
    kept, apart, named = dict(data), dict[str, Json](), JsonObject()
    for field, value in data.items():
        if field in _ALWAYS_WITHIN or not isinstance(value, dict | list):
            continue
        size = stored_size(value)
        if size > INLINE_BYTES:
            known_as = digest(value)
            apart[known_as] = kept.pop(field)
            named[field] = {"digest": known_as, "bytes": size}
    return (kept | {FIELD: named}, apart) if named else (data, {})


def join(event: JsonObject, payloads: Payloads) -> JsonObject:
    """The event with its large values. Raises LedgerCorruptError when one of them is missing."""
    named = event.get(FIELD)
    if not named:
        return event
    whole = {field: value for field, value in event.items() if field != FIELD}
    for field, reference in named.items():
        if reference["digest"] not in payloads:
            why = f"its {field}, the payload {reference['digest']}, is missing"
            raise LedgerCorruptError(event["seq"], why)
        whole[field] = payloads[reference["digest"]]
    return whole


def apart(event: JsonObject) -> tuple[JsonObject, dict[str, Json]]:
    """The event as it is recorded, and its large values: of one that was joined, what it was joined from."""
    frame = {field: event[field] for field in _FRAME if field in event}
    kept, values = split({field: value for field, value in event.items() if field not in frame})
    return frame | kept, values


def named_in(events: Iterable[JsonObject]) -> frozenset[str]:
    """The digests of all values that events keep apart."""
    return frozenset(
        reference["digest"] for event in events for reference in (event.get(FIELD) or {}).values()
    )
