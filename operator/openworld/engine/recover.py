"""From what stands in the record back to the state: verify the chain, then fold.

The record is `.status.ledger` and the LedgerSegments that it points to. A segment's snapshot is the state
after its last event, so only the segments since the last snapshot are needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from openworld.api import JsonObject
from openworld.language.canonical import has_digest
from openworld.ledger import NO_PAYLOADS, LedgerCorruptError, Payloads, genesis, named_in, verify

from . import snapshot
from .evolve import fold
from .state import Identity, State


def needed_payloads(status: JsonObject | None, segments: Sequence[JsonObject] = ()) -> frozenset[str]:
    """The digests of the values, kept apart, that `recover` wants to be given."""
    events: list[JsonObject] = list(((status or {}).get("ledger") or {}).get("events") or ())
    if not segments:
        return named_in(events)
    first, *rest = segments
    is_taken = first.get("snapshot") is not None
    held = frozenset(first.get("snapshotPayloads") or ()) if is_taken else named_in(first["events"])
    return held.union(named_in(events), *(named_in(segment["events"]) for segment in rest))


def recover(
    identity: Identity,
    status: JsonObject | None,
    segments: Sequence[JsonObject] = (),
    payloads: Payloads = NO_PAYLOADS,
) -> State:
    """The state of an execution. Raises LedgerCorruptError when the record does not fit together.

    `segments` are the specs of its LedgerSegments in order: all of them, or those from the last one that
    has a snapshot. `payloads` are the values that `needed_payloads` names; each must have its digest.
    """
    for known_as, value in payloads.items():
        if not has_digest(value, known_as):
            raise LedgerCorruptError(0, f"the payload {known_as} holds another value")
    ledger = (status or {}).get("ledger")
    if not ledger:
        return State(identity=identity)
    events: list[JsonObject] = ledger.get("events", [])
    sealed: list[JsonObject] = ledger.get("sealed") or []
    if not events and not sealed:
        raise LedgerCorruptError(0, "the ledger has a head but no events")
    state = _from_segments(identity, sealed[-1], segments, payloads) if sealed else State(identity=identity)
    _go_on(state, events, payloads)
    head = ledger.get("head", {})
    if (head.get("seq"), head.get("hash")) != (state.head_seq, state.head_hash):
        raise LedgerCorruptError(state.head_seq, "the ledger's head is not its last event")
    return state


def _from_segments(
    identity: Identity, newest: JsonObject, segments: Sequence[JsonObject], payloads: Payloads
) -> State:
    if not segments:
        raise LedgerCorruptError(newest["last"], f"the segment {newest['segment']} is missing")
    last = segments[-1]
    for key in ("first", "last", "hash"):
        if last.get(key) != newest.get(key):
            raise LedgerCorruptError(newest["last"], f"the segment {newest['segment']} is another one")
    first, *rest = segments
    if first.get("snapshot") is None:
        state = State(identity=identity)
        _go_on(state, first["events"], payloads)
    else:
        state = _from_snapshot(identity, first, payloads)
    for segment in rest:
        _go_on(state, segment["events"], payloads)
    wanted = newest.get("snapshot")
    if wanted and not has_digest(last.get("snapshot"), wanted):
        raise LedgerCorruptError(newest["last"], f"the snapshot in {newest['segment']} was changed")
    if (state.head_seq, state.head_hash) != (newest["last"], newest["hash"]):
        raise LedgerCorruptError(newest["last"], "the segments do not lead to where the status goes on")
    return state


def _from_snapshot(identity: Identity, segment: JsonObject, payloads: Payloads) -> State:
    events: list[JsonObject] = segment["events"]
    verify(events, first=segment["first"], prev=segment["prev"])
    try:
        state = snapshot.restore(identity, segment["snapshot"], payloads)
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerCorruptError(segment["last"], f"its snapshot cannot be read: {error}") from error
    if not events or (state.head_seq, state.head_hash) != (events[-1]["seq"], events[-1]["hash"]):
        raise LedgerCorruptError(segment["last"], "its snapshot is of another state")
    return state


def _go_on(state: State, events: list[JsonObject], payloads: Payloads) -> None:
    """Verify events that follow the state, and fold them into it."""
    if not events:
        return
    identity = state.identity
    prev = state.head_hash or genesis(identity.uid, events[0].get("definition"), identity.spec.input)
    verify(events, first=state.head_seq + 1, prev=prev)
    fold(state, events, payloads)
