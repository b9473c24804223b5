"""The hash chain: every event names the hash of the one before it.

`hash` is the SHA-256 of the event's canonical JSON (RFC 8785) without `hash`; the first event's
`prev` is the digest of the execution's identity, so a record cannot be moved to another execution.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openworld.api import JsonObject
from openworld.language.canonical import digest

from .events import EventType
from .times import rfc3339


class LedgerCorruptError(Exception):
    """The record does not fit together; `seq` is the first event that does not."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(f"ledger event {seq}: {why}")
        self.seq = seq
        self.why = why


def genesis(uid: str, definition: JsonObject | None, run_input: JsonObject) -> str:
    """The `prev` of event 0: who is run (uid), what (definition), on what (input)."""
    return digest(
        {
            "uid": uid,
            "definition": None if definition is None else digest(definition),
            "input": digest(run_input),
        }
    )


def seal(kind: EventType, data: JsonObject, *, seq: int, at_ms: int, prev: str) -> JsonObject:
    """One entry of the ledger: `data` under its sequence number, time, type and hashes."""
    event: dict[str, Any] = {"seq": seq, "at": rfc3339(at_ms), "type": kind.value, **data, "prev": prev}
    event["hash"] = digest(event)
    return event


def verify(events: Iterable[JsonObject], *, first: int, prev: str) -> None:
    """Recompute the chain from sequence number `first`. Raises LedgerCorruptError at the first misfit."""
    for seq, event in enumerate(events, start=first):
        if event.get("seq") != seq:
            raise LedgerCorruptError(seq, f"its sequence number is {event.get('seq')!r}")
        if event.get("prev") != prev:
            raise LedgerCorruptError(
                seq, f"it follows {event.get('prev')!r}, but the hash before it is {prev!r}"
            )
        body = {key: value for key, value in event.items() if key != "hash"}
        if event.get("hash") != digest(body):
            raise LedgerCorruptError(seq, "its content does not have the hash that it states")
        prev = event["hash"]
