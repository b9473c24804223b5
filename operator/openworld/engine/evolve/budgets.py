"""What children are lent, and what comes back of it."""

from __future__ import annotations

from openworld.api import JsonObject, TaskStatus
from openworld.engine.state import State
from openworld.governance import Amounts
from openworld.ledger import EventType

from .entering import charge
from .registry import on

#: The limits that all agents of a run share; the others are each agent task's own.
RUN_WIDE = ("tokens", "costUSD", "durationSeconds")


@on(EventType.BUDGET_RESERVED)
def _reserved(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task = state.tasks[event["ref"]]
    task.grant, task.granted_seq, task.used_by_child = Amounts.of(event), task.seq, Amounts()


@on(EventType.BUDGET_EXTENDED)
def _extended(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task, limit = state.tasks[event["ref"]], event["limit"]
    of_run = limit in RUN_WIDE
    held = state.extended if of_run else task.extended
    held[limit] = held.get(limit, 0) + event["more"]
    for each in state.active_tasks() if of_run else [task]:
        if each.gate is not None and each.gate.budget is not None and each.gate.budget["limit"] == limit:
            each.gate, each.status = None, TaskStatus.IN_PROGRESS


@on(EventType.BUDGET_RETURNED)
def _returned(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task = state.tasks[event["ref"]]
    charge(state, task, Amounts.of(event["used"]))
    task.is_settled = True
