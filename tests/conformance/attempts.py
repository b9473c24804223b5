"""Every attempt of every task, in the order in which they came to be, from the ledger alone.

The ledger is replayed event by event. A state keeps the last attempt of a ref; what it said before the
next attempt began is what the earlier one ended as. What a rerun or restart has superseded is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from openworld.api import TaskStatus, TaskType
from openworld.engine.evolve import evolve
from openworld.engine.scopes import FORKS
from openworld.engine.state import State, TaskState
from openworld.simulation import SimulatedExecution

_BAD_ENDS = {"TaskFailed": TaskStatus.FAILED, "TaskTimedOut": TaskStatus.TIMED_OUT}
_SHOWS_INPUT = (TaskType.SIMPLE, TaskType.HUMAN, TaskType.WAIT)
_LOOP_SUFFIX = re.compile(r"__(\d+)$")


@dataclass(slots=True)
class Attempt:
    """One attempt as the corpus describes it, and the branch of a fork that it is in."""

    ref: str
    branch: str
    is_over: bool = False
    shown: dict[str, Any] = field(default_factory=dict)


#: By ref, turn of an agent, and attempt.
Found = dict[tuple[str, int, int], Attempt]


def attempts_of(execution: SimulatedExecution) -> list[Attempt]:
    """The attempts of an execution, in creation order."""
    state = State(identity=execution.identity)
    found: Found = {}
    for event in execution.events:
        evolve(state, event, execution.payloads)
        _follow(state, event, found)
    return list(found.values())


def upper(value: str) -> str:
    """`CompletedWithErrors` as Conductor writes it."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", value).upper()


def _follow(state: State, event: dict[str, Any], found: Found) -> None:
    for key in [key for key in found if key[0] not in state.tasks]:
        del found[key]
    ref = event.get("ref")
    for task in state.tasks.values():
        turn = len(task.turns) if task.type is TaskType.AGENT else 0
        key = (task.ref, turn, task.attempt)
        attempt = found.setdefault(key, Attempt(task.ref, _branch(state, task)))
        if attempt.is_over:
            continue
        attempt.shown = _shown(state, task)
        if task.ref == ref and event.get("willRetry"):
            attempt.is_over = True
            attempt.shown["status"] = upper(event.get("status", _BAD_ENDS[event["type"]].value))
            attempt.shown["output"] = event.get("output", {})


def _shown(state: State, task: TaskState) -> dict[str, Any]:
    kind = "FORK" if task.type in FORKS else task.type.value
    shown: dict[str, Any] = {
        "ref": task.ref,
        "type": kind,
        "status": upper(task.status.value),
        "output": task.output,
        "attempt": task.attempt,
        "iteration": _iteration(state, task),
    }
    if task.type in _SHOWS_INPUT:
        shown["input"] = task.input
    if task.type is TaskType.SIMPLE:
        shown["name"] = task.tool or task.definition.name
    return shown


def _iteration(state: State, task: TaskState) -> int:
    if task.type.value == "DO_WHILE":
        count = getattr(task, "iteration", None)
        return int(count if count is not None else task.output.get("iteration", 0))
    inside = False
    scope = state.scopes.get(task.scope)
    while scope is not None and not inside:
        owner = state.tasks.get(scope.owner or "")
        inside = owner is not None and owner.type.value == "DO_WHILE"
        scope = state.scopes.get(scope.parent) if scope.parent is not None else None
    suffix = _LOOP_SUFFIX.search(task.ref)
    return int(suffix[1]) if inside and suffix else 0


def _branch(state: State, task: TaskState) -> str:
    """The innermost branch of a fork that a task is in: within it, order counts."""
    inner = task.ref
    scope = state.scopes.get(task.scope)
    while scope is not None:
        owner = state.tasks.get(scope.owner or "")
        if owner is not None and owner.type in FORKS:
            return f"{scope.id}/{inner}" if owner.type is TaskType.FORK_JOIN_DYNAMIC else scope.id
        inner = scope.owner or ""
        scope = state.scopes.get(scope.parent) if scope.parent is not None else None
    return ""
