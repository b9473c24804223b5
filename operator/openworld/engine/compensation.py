"""Compensation: what tasks have done is undone, the last first, by ordinary tasks.

A task that completes and has a compensation (its own, else its tool's) is registered at once, with the
input resolved from what it was given and gave. When the run fails, or is terminated with `compensate`, or
comes to a COMPENSATE task, those registered run in reverse order, one after another, by the same engine and
under the same policy. One that fails is told, and the others still run. Source of the idea: sagas
(Garcia-Molina, Salem 1987).
"""

from __future__ import annotations

from openworld.api import JsonObject, TaskStatus
from openworld.api.execution import CompensationResult
from openworld.api.workflow import CompensationPolicy
from openworld.language.canonical import NotCanonical, normalise
from openworld.language.expressions import ExpressionError, resolve
from openworld.ledger import EventType

from .compensable import compensation_of, pending
from .decide import Pass
from .endings import INPUT_LIMIT_BYTES, fail_task, unrecordable
from .state import Compensable, State, TaskState


def register(p: Pass) -> None:
    """Record how to undo the tasks that have completed since."""
    state = p.state
    for ref in list(state.unregistered):
        task = state.tasks[ref]
        compensation = compensation_of(state, task)
        if compensation is None:  # whoever evolved it as such saw one
            continue
        seen: JsonObject = {
            "input": task.input,
            "output": task.output,
            "workflow": {"input": state.input},
        }
        given: JsonObject | None = None
        try:
            given = normalise(resolve(compensation.input, seen))
            problem = unrecordable(given, INPUT_LIMIT_BYTES)
        except (ExpressionError, NotCanonical) as error:
            problem = str(error)
        p.emit(
            EventType.COMPENSATION_REGISTERED,
            ref=ref,
            tool=compensation.tool,
            input=None if problem else given,
            problem=problem or None,
        )


def begins(p: Pass, kind: EventType, *, asked: bool) -> bool:
    """Whether a run that is to end in this way has something to be undone before."""
    register(p)
    state = p.state
    workflow = state.workflow
    if workflow is None or state.ending is not None or not pending(state):
        return False
    on_failure = workflow.compensation is CompensationPolicy.ON_FAILURE
    return asked if kind is EventType.EXECUTION_TERMINATED else on_failure


def schedule(p: Pass, compensable: Compensable, *, by: TaskState | None = None) -> None:
    """Have one task undone."""
    undo, number = f"{compensable.ref}__undo", 1
    while undo in p.state.tasks:
        number += 1
        undo = f"{compensable.ref}__undo{number}"
    p.emit(
        EventType.COMPENSATION_SCHEDULED,
        ref=undo,
        compensates=compensable.ref,
        index=next(i for i, each in enumerate(p.state.compensable) if each is compensable),
        scope=f"{undo}/undo",
        tool=compensable.tool,
        task=by.ref if by is not None else None,
    )
    if compensable.problem:
        scope = p.state.scopes[f"{undo}/undo"]
        fail_task(p, undo, scope, f"InvalidInput: compensation.input: {compensable.problem}", terminal=True)


def go_on(p: Pass) -> None:
    """While a run is being undone: the next task, or its end."""
    state = p.state
    if state.active or state.open_scopes:
        return
    waiting = pending(state)
    if waiting:
        schedule(p, waiting[0])
        return
    conclude(p)


def conclude(p: Pass) -> None:
    """End the run as it was to end before it was undone."""
    ending = dict(p.state.ending or {})
    kind = EventType(ending.pop("ending"))
    p.emit(kind, **ending, compensation=summary(p.state))


def summary(state: State, by: str | None = None) -> JsonObject:
    """What was undone and what could not be (by one COMPENSATE task, or at all)."""
    asked = [each for each in state.compensable if by is None or each.by == by]
    done = [each.ref for each in asked if _is_done(state, each)]
    failed = [each.ref for each in asked if not _is_done(state, each)]
    result = CompensationResult.PARTIAL if failed else CompensationResult.COMPLETE
    return {"result": result.value, "compensated": done, "failed": failed}


def _is_done(state: State, compensable: Compensable) -> bool:
    task = state.tasks.get(compensable.undo)
    return task is not None and task.status is TaskStatus.COMPLETED
