"""How attempts, tasks and executions end badly: retry, feedback, or the end of the run."""

from __future__ import annotations

from openworld.api import Effect, JsonObject, TaskStatus, TaskType
from openworld.api.meta import Json
from openworld.api.workflow import Retry, RetryLogic, TimeoutPolicy
from openworld.language.canonical import NotCanonical, digest, normalise, stored_size
from openworld.language.expressions import ExpressionError
from openworld.ledger import EventType, rfc3339

from .decide import Pass, resolved
from .scopes import outwards
from .state import ROOT, Scope, State, TaskState
from .timeouts import Expired

#: No single output or report may be larger than this, as the API server stores it.
PAYLOAD_LIMIT_BYTES = 1024 * 1024
#: The input of a task: what a ConfigMap can hold, beside what else its worker is told.
INPUT_LIMIT_BYTES = 1_000_000
#: What an agent is shown, and what a fork brings, may have this size.
CONTEXT_LIMIT_BYTES = 256 * 1024
#: Levels that a value must leave free of the 64 that the record may nest: events and contexts wrap it.
HEADROOM_LEVELS = 24
#: What the reason of a task begins with of which nobody knows whether it has done its work.
OUTCOME_UNKNOWN = "OutcomeUnknown"
#: What a run that did not complete leaves behind as its output may have this size.
_LARGEST_BAD_OUTPUT_BYTES = 64 * 1024

_LONGEST_DELAY_MS = 365 * 86_400_000


def retry_policy(p: Pass, task: TaskState) -> Retry | None:
    """When a failed attempt is followed by another; None for tasks that are never retried."""
    override = task.definition.task_definition
    if task.tool_digest in p.state.tools:
        retry = p.state.tools[task.tool_digest].retry
        if override is not None and override.retry is not None:
            given = override.retry
            retry = retry.model_copy(update={name: getattr(given, name) for name in given.model_fields_set})
    elif task.type is TaskType.AGENT and task.agent_digest in p.state.agents:
        retry = p.state.agents[task.agent_digest][1].retry
    else:
        return None
    count = task.definition.retry_count
    return retry if count is None else retry.model_copy(update={"count": count})


def retry_delay_ms(retry: Retry, attempt: int, *, chance: str = "") -> int:
    """Delay in milliseconds before the attempt that follows attempt `attempt` (from 0).

    `chance` is a text that jitter follows from: the same for the same event, spread over events.
    """
    delay = retry.delay_seconds * 1000
    if retry.logic is RetryLogic.LINEAR_BACKOFF:
        delay *= retry.backoff_scale_factor * (attempt + 1)
    elif retry.logic is RetryLogic.EXPONENTIAL_BACKOFF:
        delay <<= min(attempt, 32)
    if retry.max_delay_seconds:
        delay = min(delay, retry.max_delay_seconds * 1000)
    if retry.jitter:
        delay -= int(delay / 2 * int(digest(chance)[-8:], 16) / 0xFFFFFFFF)
    return min(delay, _LONGEST_DELAY_MS)


def fail_attempt(
    p: Pass,
    task: TaskState,
    reason: str,
    *,
    kind: EventType = EventType.TASK_FAILED,
    terminal: bool = False,
    fact: str | None = None,
    output: JsonObject | None = None,
    usage: JsonObject | None = None,
) -> None:
    """An attempt failed: another follows if its retry policy has one left, else the task failed."""
    retry = retry_policy(p, task)
    facts = [fact] if fact else None
    if retry is None or terminal or task.attempt >= retry.count:
        fail_task(
            p,
            task.ref,
            p.state.scope_of(task),
            reason,
            kind=kind,
            terminal=terminal,
            fact=fact,
            output=output,
            usage=usage,
        )
        return
    p.emit(
        kind,
        ref=task.ref,
        attempt=task.attempt,
        reason=reason,
        willRetry=True,
        output=output,
        usage=usage,
        facts=facts,
    )
    delay = retry_delay_ms(retry, task.attempt, chance=f"{p.state.uid}/{task.seq}")
    p.emit(
        EventType.RETRY_SCHEDULED,
        ref=task.ref,
        attempt=task.attempt + 1,
        turn=task.turn.number if task.turn and task.type is TaskType.AGENT else None,
        notBefore=rfc3339(p.now_ms + delay),
        cause=reason,
    )


def fail_task(
    p: Pass,
    ref: str,
    scope: Scope,
    reason: str,
    *,
    kind: EventType = EventType.TASK_FAILED,
    terminal: bool = False,
    fact: str | None = None,
    output: JsonObject | None = None,
    usage: JsonObject | None = None,
) -> None:
    """A task failed for good: told to the agent, tolerated, or the end of the run."""
    definition = next(task for task in scope.tasks if task.task_reference_name == ref)
    status = TaskStatus.FAILED_WITH_TERMINAL_ERROR if terminal else TaskStatus.FAILED
    ending = EventType.EXECUTION_FAILED
    if kind is EventType.TASK_TIMED_OUT:
        status, ending = TaskStatus.TIMED_OUT, EventType.EXECUTION_TIMED_OUT
    if definition.optional:
        status = TaskStatus.COMPLETED_WITH_ERRORS
    existing = p.state.tasks.get(ref)
    p.emit(
        kind,
        ref=ref,
        scope=scope.id,
        attempt=existing.attempt if existing else 0,
        status=status.value,
        reason=reason,
        output=output,
        usage=usage,
        permissive=True if definition.permissive and not scope.feedback and not definition.optional else None,
        facts=[fact] if fact else None,
    )
    if definition.optional or definition.permissive or scope.feedback:
        return
    fail_execution(p, f"task {ref} failed: {reason}", task=ref, kind=ending)


def unsafe_to_repeat(p: Pass, task: TaskState) -> bool:
    """Whether running the tool again could do harm, when nobody knows what the attempt did."""
    tool = p.state.tools.get(task.tool_digest)
    return tool is not None and tool.effect is not Effect.READ and not tool.idempotent


def outcome_unknown(p: Pass, task: TaskState, reason: str, *, fact: str | None = None) -> None:
    """An attempt ended and nobody knows whether it did its work: never repeated by itself."""
    p.emit(EventType.OUTCOME_UNKNOWN, ref=task.ref, attempt=task.attempt, reason=reason)
    fail_attempt(
        p,
        task,
        f"{OUTCOME_UNKNOWN}: {reason}; the tool is not idempotent, so it is not run again by itself",
        terminal=True,
        fact=fact,
    )


def time_out(p: Pass, task: TaskState, expired: Expired) -> None:
    """An attempt took longer than it may."""
    reason = expired.reason
    if expired.policy is TimeoutPolicy.ALERT_ONLY:
        p.emit(
            EventType.TASK_TIMED_OUT, ref=task.ref, attempt=task.attempt, reason=reason, alert=expired.kind
        )
        return
    if task.started_at_ms is not None and not task.awaits_signal and unsafe_to_repeat(p, task):
        p.emit(EventType.OUTCOME_UNKNOWN, ref=task.ref, attempt=task.attempt, reason=reason)
        fail_attempt(p, task, f"{OUTCOME_UNKNOWN}: {reason}", kind=EventType.TASK_TIMED_OUT, terminal=True)
        return
    is_last = expired.policy is TimeoutPolicy.TIME_OUT_WF or expired.is_total
    fail_attempt(p, task, reason, kind=EventType.TASK_TIMED_OUT, terminal=is_last)


def unrecordable(value: Json, limit_bytes: int = PAYLOAD_LIMIT_BYTES) -> str:
    """Why a value cannot stand in the record, and in what is made of it later; empty when it can."""
    wrapped = value
    for _ in range(HEADROOM_LEVELS):
        wrapped = [wrapped]
    try:
        size = stored_size(normalise(wrapped)) - 2 * HEADROOM_LEVELS
    except NotCanonical as error:
        return f"cannot be recorded: {str(error).removeprefix('[0]' * HEADROOM_LEVELS).removeprefix('.')}"
    return f"has {size} bytes, the limit is {limit_bytes}" if size > limit_bytes else ""


def cancel_active(p: Pass, reason: str) -> None:
    """Cancel every task that has not ended."""
    for task in reversed(p.state.active_tasks()):
        p.emit(EventType.TASK_CANCELED, ref=task.ref, reason=reason)


def abandon_below(p: Pass, ref: str, reason: str) -> None:
    """End everything that a task has brought forth: what runs is canceled, what has not begun is skipped."""
    state = p.state
    below = [
        scope
        for scope in state.scopes.values()
        if not scope.closed and any(each.owner == ref for each in outwards(state, scope))
    ]
    ids = {scope.id for scope in below}
    for task in reversed(state.active_tasks()):
        if task.scope in ids:
            p.emit(EventType.TASK_CANCELED, ref=task.ref, reason=reason)
    for scope in reversed(below):
        for definition in scope.tasks:
            if definition.task_reference_name not in state.tasks:
                p.emit(
                    EventType.TASK_SKIPPED, ref=definition.task_reference_name, scope=scope.id, reason=reason
                )


def fail_execution(
    p: Pass, reason: str, *, task: str | None = None, kind: EventType = EventType.EXECUTION_FAILED
) -> None:
    """End the run as Failed (or as `kind` says): what still runs is canceled."""
    cancel_active(p, "the execution failed" if kind is EventType.EXECUTION_FAILED else "the execution ended")
    end_badly(p, kind, reason=reason, failedTask=task)


def end_badly(
    p: Pass, kind: EventType, *, reason: str | None, compensate: bool = False, **data: object
) -> None:
    """The ending of a run that did not complete: with what output there is, and its failure workflow.

    What it has done is undone before, where its definition or (`compensate`) a person says so.
    """
    from . import compensation

    workflow = p.state.workflow
    output, _ = final_output(p)
    if output is not None and stored_size(output) <= _LARGEST_BAD_OUTPUT_BYTES:
        data.setdefault("output", output)
    if workflow is not None and workflow.failure_workflow and kind is not EventType.EXECUTION_TERMINATED:
        data["failureWorkflow"] = {"name": workflow.failure_workflow}
    if compensation.begins(p, kind, asked=compensate):
        p.emit(EventType.EXECUTION_COMPENSATING, ending=kind.value, reason=reason, **data)
        return
    if p.state.ending is not None:
        data["compensation"] = compensation.summary(p.state)
    p.emit(kind, reason=reason, **data)


def _last(state: State, scope: Scope) -> TaskState | None:
    """The last task of an array that came to be: of a SWITCH or a loop, the last one within it."""
    here = [state.tasks[t.task_reference_name] for t in scope.tasks if t.task_reference_name in state.tasks]
    if not here:
        return None
    last = max(here, key=lambda task: task.seq) if scope.is_graph else here[-1]
    if last.type not in (TaskType.SWITCH, TaskType.DO_WHILE):
        return last
    inside = [each for each in state.scopes.values() if each.owner == last.ref]
    return (_last(state, inside[-1]) if inside else None) or last


def final_output(p: Pass) -> tuple[JsonObject | None, str]:
    """What outputParameters give, else the output of the last task; or why there is none."""
    state = p.state
    workflow = state.workflow
    if workflow is None:
        return None, ""
    if workflow.output_parameters is None:
        last = _last(state, state.scopes[ROOT]) if ROOT in state.scopes else None
        output: JsonObject = last.output if last is not None else {}
    else:
        try:
            output = resolved(workflow.output_parameters, state, state.scopes[ROOT])
        except (ExpressionError, NotCanonical) as error:
            return None, f"outputParameters: {error}"
    size = stored_size(output)
    if size > PAYLOAD_LIMIT_BYTES:
        return None, f"the output has {size} bytes, the limit is {PAYLOAD_LIMIT_BYTES}"
    return output, ""
