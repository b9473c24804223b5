"""What people and systems may say to a running execution, and what each leads to.

Admission has vouched for the sender and their right; whether the signal fits the present state is
judged here, and one that does not is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Callable

from openworld.api import JsonObject, SignalType, TaskStatus, TaskType
from openworld.governance import Decision
from openworld.ledger import EventType, rfc3339

from . import governed, operations
from .decide import Pass
from .endings import INPUT_LIMIT_BYTES, cancel_active, end_badly, fail_attempt, unrecordable
from .facts import Signaled
from .state import Gate, TaskState
from .tasks.human import may_not_answer, unfit

_LONGEST_REASON = 2000
_SECOND_MS = 1000


def consume(p: Pass, fact: Signaled) -> None:
    """Turn a signal into events, or refuse it."""
    problem = _HANDLERS[fact.type](p, fact)
    if problem:
        p.refuse(
            fact, problem, signal=fact.name or None, signalType=fact.type.value, ref=fact.ref, by=fact.by
        )


def _reason(fact: Signaled) -> str | None:
    reason = fact.payload.get("reason")
    return reason[:_LONGEST_REASON] if isinstance(reason, str) and reason else None


def _source(fact: Signaled) -> JsonObject:
    return {"by": fact.by, "group": fact.group, "signal": fact.name or None, "facts": [fact.id]}


def _gate(p: Pass, fact: Signaled) -> tuple[TaskState, Gate] | str:
    task = p.state.tasks.get(fact.ref or "")
    if task is None:
        return f"there is no task {fact.ref!r}"
    gate = task.gate
    if gate is None or task.status is not TaskStatus.AWAITING_APPROVAL or not gate.is_open:
        return f"task {task.ref} does not wait for an approval; it is {task.status.value}"
    if fact.tool != gate.tool:
        return f"the signal is about {fact.tool!r}, the task waits for the approval of {gate.tool!r}"
    if fact.item_digest != gate.digest:
        return (
            "the signal approves another item than the one that waits (itemDigest differs); "
            "look at it again and decide on what is shown now"
        )
    if p.now_ms >= gate.expires_at_ms and not _was_in_time(fact, gate):
        return f"the time for a decision on {task.ref} was over at {rfc3339(gate.expires_at_ms)}"
    return task, gate


def _was_in_time(fact: Signaled, gate: Gate) -> bool:
    """Whether a decision that is read late was certainly sent before the gate expired."""
    return fact.sent_at_ms is not None and fact.sent_at_ms + _SECOND_MS <= gate.expires_at_ms


def _approve(p: Pass, fact: Signaled) -> str:
    found = _gate(p, fact)
    if isinstance(found, str):
        return found
    task, gate = found
    problem = governed.may_not_approve(p.state, gate, fact.by, gate.rule)
    if problem:
        return problem
    if fact.by in gate.approved_by:
        return f"{fact.by} has approved this item already; rule {gate.rule!r} wants {gate.count} people"
    edited = fact.payload.get("input")
    if edited is not None:
        problem = _edit_problem(p, task, edited)
        if problem:
            return f"the edited input is not taken: {problem}"
    p.emit(
        EventType.APPROVAL_GIVEN,
        ref=task.ref,
        tool=gate.tool,
        itemDigest=gate.digest,
        input=edited,
        reason=_reason(fact),
        **_source(fact),
    )
    return ""


def asks(p: Pass, fact: Signaled) -> None:
    """Ask what must be known before an approval with an edited input can be judged."""
    found = _gate(p, fact)
    edited = fact.payload.get("input")
    if edited is not None and not isinstance(found, str):
        _edit_problem(p, found[0], edited)


def _edit_problem(p: Pass, task: TaskState, edited: object) -> str:
    """Why an item may not run with another input; empty when it may. What a person writes is literal."""
    if not isinstance(edited, dict):
        return "input must be an object"
    if task.gate is not None and task.gate.budget is not None:
        return "what is asked for is more of a budget, which has no input"
    if task.secrets:
        return "the input holds secrets, and cannot be edited"
    problem = unrecordable(edited, INPUT_LIMIT_BYTES)
    if problem:
        return f"it {problem}"
    scope = p.state.scope_of(task)
    judged = governed.verdict_before_start(p, scope, task.definition, edited)
    if judged is None:
        return "it cannot be judged now"
    item = judged[0].items[0]
    return item.reason if item.decision is Decision.DENIED else ""


def _reject(p: Pass, fact: Signaled) -> str:
    found = _gate(p, fact)
    if isinstance(found, str):
        return found
    task, gate = found
    p.emit(
        EventType.APPROVAL_REFUSED,
        ref=task.ref,
        tool=gate.tool,
        itemDigest=gate.digest,
        reason=_reason(fact),
        **_source(fact),
    )
    why = _reason(fact)
    governed.refuse(p, task, f"ApprovalRefused by {fact.by}" + (f": {why}" if why else ""))
    return ""


def _waiting(p: Pass, fact: Signaled) -> TaskState | str:
    if fact.ref is None:
        waits = (task for task in p.state.active_tasks() if task.type is TaskType.WAIT)
        return next(waits, "no WAIT task waits; name the task that is meant")
    task = p.state.tasks.get(fact.ref)
    if task is None:
        return f"there is no task {fact.ref!r}"
    if task.type not in (TaskType.HUMAN, TaskType.WAIT) and not task.definition.async_complete:
        return f"task {task.ref} is of type {task.type.value}; signals complete only HUMAN and WAIT tasks"
    if task.status is not TaskStatus.IN_PROGRESS:
        return f"task {task.ref} does not wait; it is {task.status.value}"
    if task.definition.async_complete and not task.awaits_signal:
        return f"task {task.ref} does not wait yet; its worker has not succeeded"
    return may_not_answer(task, fact.by, fact.group) or task


def _complete(p: Pass, fact: Signaled) -> str:
    given = _given(p, fact)
    if isinstance(given, str):
        return given
    task, output = given
    problem = unfit(task, output)
    if problem:
        return f"the answer does not fit the form of {task.ref}: {problem}"
    p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output=output, **_source(fact))
    return ""


def _given(p: Pass, fact: Signaled) -> tuple[TaskState, JsonObject] | str:
    """The task that waits, and the payload as its output, over what its worker has given; or why not."""
    task = _waiting(p, fact)
    if isinstance(task, str):
        return task
    output = task.output | fact.payload if task.awaits_signal else dict(fact.payload)
    problem = unrecordable(output)
    return f"the payload {problem}" if problem else (task, output)


def _fail(p: Pass, fact: Signaled) -> str:
    task = _waiting(p, fact)
    if isinstance(task, str):
        return task
    reason = f"failed by {fact.by}" + (f": {_reason(fact)}" if _reason(fact) else "")
    fail_attempt(p, task, reason, fact=fact.id)
    return ""


def _pause(p: Pass, fact: Signaled) -> str:
    if p.state.paused_by:
        return f"the execution is paused already, by {p.state.paused_by}"
    p.emit(EventType.EXECUTION_PAUSED, reason=_reason(fact), **_source(fact))
    return ""


def _resume(p: Pass, fact: Signaled) -> str:
    if not p.state.paused_by and p.state.suspended:
        return "the execution is paused by spec.suspend; set that to false"
    if not p.state.paused_by:
        return "the execution is not paused"
    p.emit(EventType.EXECUTION_RESUMED, reason=_reason(fact), **_source(fact))
    return ""


def _terminate(p: Pass, fact: Signaled) -> str:
    why = _reason(fact)
    reason = f"terminated by {fact.by}" + (f": {why}" if why else "")
    cancel_active(p, f"the execution was {reason}")
    compensate = fact.payload.get("compensate") is True
    end_badly(p, EventType.EXECUTION_TERMINATED, reason=reason, compensate=compensate, **_source(fact))
    return ""


def _progress(p: Pass, fact: Signaled) -> str:
    given = _given(p, fact)
    if isinstance(given, str):
        return given
    task, output = given
    p.emit(EventType.TASK_PROGRESSED, ref=task.ref, attempt=task.attempt, output=output, **_source(fact))
    return ""


#: What may be asked of an execution that has ended.
REVIVING = frozenset({SignalType.RETRY, SignalType.RERUN, SignalType.RESTART})

_HANDLERS: dict[SignalType, Callable[[Pass, Signaled], str]] = {
    SignalType.APPROVE: _approve,
    SignalType.REJECT: _reject,
    SignalType.COMPLETE: _complete,
    SignalType.FAIL: _fail,
    SignalType.PAUSE: _pause,
    SignalType.RESUME: _resume,
    SignalType.TERMINATE: _terminate,
    SignalType.PROGRESS: _progress,
    SignalType.RETRY: lambda p, fact: operations.retry(p, fact, _source(fact)),
    SignalType.RERUN: lambda p, fact: operations.rerun(p, fact, _source(fact)),
    SignalType.RESTART: lambda p, fact: operations.restart(p, fact, _source(fact)),
    SignalType.SKIP: lambda p, fact: operations.skip(p, fact, _source(fact)),
}
