"""How an event changes the state: bookkeeping without judgement. It never fails on a verified ledger.

Whatever was judged or computed stands in the event, so a replay needs no script, policy or model. One module
for each family of events; each function is registered for its type.
"""

from __future__ import annotations

from collections.abc import Iterable

from openworld.api import JsonObject
from openworld.engine.state import State
from openworld.language.canonical import stored_size
from openworld.ledger import NO_PAYLOADS, EventType, Payloads, epoch_ms, join

from . import budgets, compensation, proposals, tasks
from .entering import definition_of
from .loops import iteration_id
from .registry import HANDLERS
from .runs import BY_SPEC


def evolve(state: State, event: JsonObject, payloads: Payloads = NO_PAYLOADS) -> State:
    """Apply one event in place and return the state. `payloads` holds the values that it keeps apart.

    Raises LedgerCorruptError when one of them is missing.
    """
    kind = EventType(event["type"])
    at_ms = epoch_ms(event["at"])
    handler = HANDLERS.get(kind)
    if handler is not None:
        handler(state, join(event, payloads), at_ms)
    for fact in event.get("facts", ()):
        state.facts.add(fact)
    state.head_seq, state.head_hash, state.last_at_ms = event["seq"], event["hash"], at_ms
    state.ledger_bytes += stored_size(event)
    return state


def fold(state: State, events: Iterable[JsonObject], payloads: Payloads = NO_PAYLOADS) -> State:
    """Apply events in order. Raises LedgerCorruptError when a value that they keep apart is missing."""
    for event in events:
        evolve(state, event, payloads)
    return state


__all__ = [
    "BY_SPEC",
    "budgets",
    "compensation",
    "definition_of",
    "evolve",
    "fold",
    "iteration_id",
    "proposals",
    "tasks",
]
