"""From what stands in `.status.ledger` back to the state: verify the chain, then fold."""

from __future__ import annotations

from openworld.api import JsonObject
from openworld.ledger import LedgerCorruptError, genesis, verify

from .evolve import fold
from .state import Identity, State


def recover(identity: Identity, status: JsonObject | None) -> State:
    """The state of an execution. Raises LedgerCorruptError when the record does not fit together."""
    state = State(identity=identity)
    ledger = (status or {}).get("ledger")
    if not ledger:
        return state
    events: list[JsonObject] = ledger.get("events", [])
    if not events:
        raise LedgerCorruptError(0, "the ledger has a head but no events")
    verify(events, first=0, prev=genesis(identity.uid, events[0].get("definition"), identity.spec.input))
    head = ledger.get("head", {})
    if head.get("seq") != events[-1]["seq"] or head.get("hash") != events[-1]["hash"]:
        raise LedgerCorruptError(events[-1]["seq"], "the ledger's head is not its last event")
    return fold(state, events)
