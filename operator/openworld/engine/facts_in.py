"""What each fact leads to. Every fact is consumed at most once, and a late one changes nothing."""

from __future__ import annotations

from openworld.api import JsonObject, Phase, ReportStatus, SignalType, TaskType
from openworld.language.reading import told
from openworld.language.schemas import violations
from openworld.ledger import EventType, rfc3339

from . import budget, operations, signals, tasks
from .completing import complete_attempt
from .decide import Pass
from .endings import (
    fail_attempt,
    fail_execution,
    fail_task,
    outcome_unknown,
    unrecordable,
    unsafe_to_repeat,
)
from .evolve import BY_SPEC
from .facts import (
    ChildEnded,
    ChildStarted,
    Ending,
    Fact,
    JobEnded,
    JobStarted,
    Report,
    Signaled,
    SuspendSet,
)
from .state import TaskState
from .timeouts import heeds_progress

MOST_PROGRESS_REPORTS = 20


def consume(p: Pass, fact: Fact) -> None:
    """Turn one fact into events."""
    fact_id = getattr(fact, "id", "")
    if fact_id and fact_id in p.state.facts:
        return
    if p.state.is_final and not _revives(fact):
        if isinstance(fact, Signaled):
            p.refused.append((fact, f"the execution has ended as {p.state.phase.value}"))
        return
    if fact_id:
        p.accepted.append(fact_id)
    match fact:
        case Report():
            _report(p, fact)
        case JobStarted():
            _job_started(p, fact)
        case JobEnded():
            _job_ended(p, fact)
        case ChildStarted():
            _child_started(p, fact)
        case ChildEnded():
            _child_ended(p, fact)
        case Signaled():
            signals.consume(p, fact)
        case SuspendSet():
            _suspend(p, fact)


def asks(p: Pass, fact: Fact) -> None:
    """Ask what must be known before a fact can be consumed."""
    if isinstance(fact, Signaled) and fact.type is SignalType.APPROVE and not p.state.is_final:
        signals.asks(p, fact)
    if isinstance(fact, Signaled) and p.state.is_final and fact.id not in p.state.facts:
        operations.asks(p, fact)


def _revives(fact: Fact) -> bool:
    """Whether a fact is for a run that has ended."""
    return isinstance(fact, ChildStarted | JobEnded) or (
        isinstance(fact, Signaled) and fact.type in signals.REVIVING
    )


def _attempt(p: Pass, seq: int) -> TaskState | None:
    """The task whose present attempt was scheduled by event `seq`, if it still runs."""
    ref = p.state.by_seq.get(seq)
    task = p.state.tasks.get(ref) if ref is not None else None
    if task is None or task.seq != seq or task.status.is_final:
        return None
    if task.awaits_signal or (task.turn is not None and task.turn.received):
        return None
    return task


def _report(p: Pass, fact: Report) -> None:
    task = _attempt(p, fact.seq)
    if task is None or task.type not in (*tasks.WITH_JOB, TaskType.AGENT):
        p.refuse(fact, "the attempt it reports on is over", ref=p.state.by_seq.get(fact.seq))
        return
    if fact.status is ReportStatus.IN_PROGRESS:
        _progressed(p, task, fact)
        return
    if fact.status is ReportStatus.FAILED or fact.status is ReportStatus.FAILED_WITH_TERMINAL_ERROR:
        fail_attempt(
            p,
            task,
            fact.reason or "the worker gave no reason",
            terminal=fact.status is ReportStatus.FAILED_WITH_TERMINAL_ERROR,
            fact=fact.id,
            output=_small(fact.output),
            usage=_small(fact.usage),
        )
        return
    problem = _unusable({"output": fact.output, "proposal": fact.proposal, "usage": fact.usage})
    if problem:
        fail_attempt(p, task, problem, terminal=True, fact=fact.id, usage=_small(fact.usage))
    elif task.type is TaskType.AGENT:
        content = fact.proposal if fact.proposal is not None else {"output": fact.output}
        _receive_proposal(p, task, fact, content)
    else:
        _complete_simple(p, task, fact)


def _progressed(p: Pass, task: TaskState, fact: Report) -> None:
    """A worker is at work, or wants to be called again later. What changes nothing is not recorded."""
    if fact.callback_after_seconds is None and not heeds_progress(p.state, fact.seq):
        return
    if task.progress_reports >= MOST_PROGRESS_REPORTS:
        p.refuse(fact, f"an attempt may report progress {MOST_PROGRESS_REPORTS} times", ref=task.ref)
        return
    again = fact.callback_after_seconds
    p.emit(
        EventType.TASK_PROGRESSED,
        ref=task.ref,
        attempt=task.attempt,
        output=_small(fact.output),
        reason=fact.reason[:1000] or None,
        notBefore=rfc3339(p.now_ms + again * 1000) if again is not None else None,
        pod=fact.pod or None,
        facts=[fact.id],
    )


def _complete_simple(p: Pass, task: TaskState, fact: Report) -> None:
    output = fact.output or {}
    tool = p.state.tools.get(task.tool_digest)
    if tool is not None and tool.output_schema is not None:
        broken = violations(tool.output_schema, output)
        if broken:
            reason = f"the output breaks the tool's outputSchema: {told(broken)}"
            fail_attempt(p, task, reason, terminal=True, fact=fact.id)
            return
    if fact.proposal is not None:
        _receive_proposal(p, task, fact, fact.proposal)
        return
    complete_attempt(p, task, output, usage=fact.usage, pod=fact.pod or None, facts=[fact.id])


def _receive_proposal(p: Pass, task: TaskState, fact: Report, content: object) -> None:
    number = task.turn.number if task.turn is not None and not task.turn.received else len(task.turns) + 1
    p.emit(
        EventType.PROPOSAL_RECEIVED,
        ref=task.ref,
        turn=number,
        proposal=f"p-{p.state.proposals + 1}",
        content=content,
        output=None if task.type is TaskType.AGENT else fact.output or {},
        usage=fact.usage,
        pod=fact.pod or None,
        facts=[fact.id],
    )


def _unusable(value: JsonObject) -> str:
    problem = unrecordable(value)
    if problem:
        kind = "OutputTooLarge" if "bytes" in problem else "InvalidReport"
        hint = "; store large data elsewhere and return a reference to it" if kind == "OutputTooLarge" else ""
        return f"{kind}: the report {problem}{hint}"
    return ""


def _small(output: JsonObject | None) -> JsonObject | None:
    return output if output and not _unusable(output) else None


def _job_started(p: Pass, fact: JobStarted) -> None:
    task = _attempt(p, fact.seq)
    if task is not None and task.started_at_ms is None:
        p.emit(EventType.TASK_STARTED, ref=task.ref, attempt=task.attempt, pod=fact.pod)


def _job_ended(p: Pass, fact: JobEnded) -> None:
    state = p.state
    if state.is_final:  # of what a run starts when it has ended: its failure workflow was refused
        if state.failure_workflow is not None and fact.seq == state.failure_workflow_seq:
            name = state.failure_workflow["name"]
            p.emit(EventType.FAILURE_WORKFLOW_STARTED, workflow=name, problem=fact.reason, facts=[fact.id])
        return
    task = _attempt(p, fact.seq)
    if task is None:
        return
    reason = fact.reason or "its Job ended without a report"
    if fact.ending in (Ending.SUCCEEDED, Ending.LOST, Ending.TIMED_OUT) and unsafe_to_repeat(p, task):
        outcome_unknown(p, task, reason, fact=fact.id)
        return
    terminal = fact.ending in (Ending.TERMINAL_ERROR, Ending.NAME_TAKEN, Ending.REFUSED)
    kind = EventType.TASK_TIMED_OUT if fact.ending is Ending.TIMED_OUT else EventType.TASK_FAILED
    if fact.ending in (Ending.NAME_TAKEN, Ending.IMAGE, Ending.REFUSED):
        reason = f"{fact.ending.value}: {reason}"
    fail_attempt(p, task, reason, kind=kind, terminal=terminal, fact=fact.id)


def _child_started(p: Pass, fact: ChildStarted) -> None:
    state = p.state
    if fact.seq == state.failure_workflow_seq and state.failure_workflow is not None:
        if not state.failure_workflow_started:
            p.emit(
                EventType.FAILURE_WORKFLOW_STARTED,
                workflow=state.failure_workflow["name"],
                execution=fact.name,
                uid=fact.uid,
                facts=[fact.id],
            )
        return
    task = _attempt(p, fact.seq)
    if task is not None and task.type is TaskType.START_WORKFLOW and not state.is_final:
        p.emit(
            EventType.TASK_COMPLETED,
            ref=task.ref,
            attempt=task.attempt,
            output={"workflowId": fact.uid},
            execution=fact.name,
            facts=[fact.id],
        )


def _child_ended(p: Pass, fact: ChildEnded) -> None:
    task = _attempt(p, fact.seq)
    if task is None or task.type is not TaskType.SUB_WORKFLOW:
        return
    budget.give_back(p, task, fact.used)
    if fact.phase is Phase.COMPLETED:
        p.emit(
            EventType.TASK_COMPLETED,
            ref=task.ref,
            attempt=task.attempt,
            output=fact.output or {},
            facts=[fact.id],
        )
        return
    reason = f"the child execution ended as {fact.phase.value}: {fact.reason}"
    tolerated = task.definition.optional or task.definition.permissive
    if fact.phase is Phase.TERMINATED and not tolerated:
        p.emit(EventType.TASK_CANCELED, ref=task.ref, reason=reason, output=fact.output, facts=[fact.id])
        if not p.state.scope_of(task).feedback:
            why = f"task {task.ref}: {reason}"
            fail_execution(p, why, task=task.ref, kind=EventType.EXECUTION_TERMINATED)
        return
    kind = EventType.TASK_TIMED_OUT if fact.phase is Phase.TIMED_OUT else EventType.TASK_FAILED
    fail_task(
        p, task.ref, p.state.scope_of(task), reason, kind=kind, fact=fact.id, output=fact.output or None
    )


def _suspend(p: Pass, fact: SuspendSet) -> None:
    if fact.suspend and not p.state.suspended:
        p.emit(EventType.EXECUTION_PAUSED, by=BY_SPEC)
    elif not fact.suspend and p.state.suspended:
        p.emit(EventType.EXECUTION_RESUMED, by=BY_SPEC)
