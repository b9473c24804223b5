"""What children are lent, and what comes back of it."""

from __future__ import annotations

from openworld.api import JsonObject
from openworld.engine.state import State
from openworld.governance import Amounts
from openworld.ledger import EventType

from .entering import charge
from .registry import on


@on(EventType.BUDGET_RESERVED)
def _reserved(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task = state.tasks[event["ref"]]
    task.grant, task.granted_seq, task.used_by_child = Amounts.of(event), task.seq, Amounts()


@on(EventType.BUDGET_RETURNED)
def _returned(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task = state.tasks[event["ref"]]
    charge(state, task, Amounts.of(event["used"]))
    task.is_settled = True
