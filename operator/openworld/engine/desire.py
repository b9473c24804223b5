"""What must exist outside now, as it follows from the state: Jobs, child executions, one timer."""

from __future__ import annotations

from collections.abc import Iterator

from openworld.api import Phase, SignalType
from openworld.api.workflow import CompensationPolicy

from . import governed, tasks
from .facts import Signaled
from .flow import workflow_timeout_ms
from .outside import Desired, DesiredChild, DesiredJob
from .state import State


def desired(state: State, now_ms: int) -> Desired:
    """Everything that must exist, what must stop, and when time alone changes the answer."""
    stop = frozenset(state.stopped)
    if state.is_final:
        return Desired(children=tuple(_failure_workflow(state)), stop=stop)
    if not state.is_started:
        return Desired(stop=stop)
    jobs: list[DesiredJob] = []
    children: list[DesiredChild] = []
    times: list[int] = []
    timeout = workflow_timeout_ms(state)
    if timeout is not None:
        times.append(timeout)
    for task in state.active_tasks():
        if task.gate is not None:
            if task.gate.is_open:
                times.append(task.gate.expires_at_ms)
            continue
        limit = tasks.limit(state, task)
        wake = tasks.of(task.type).wake_ms(state, task)
        times += [at for at in (limit.at_ms if limit else None, wake) if at is not None]
        if task.not_before_ms > now_ms:
            times.append(task.not_before_ms)
            continue
        if state.is_paused and task.not_before_ms > state.paused_at_ms:
            continue
        for thing in tasks.of(task.type).desired(state, task):
            if isinstance(thing, DesiredJob):
                jobs.append(thing)
            else:
                children.append(thing)
    claims = {(key, task.ref) for task in state.active_tasks() for key in task.claims}
    if state.claim:
        claims.add((state.claim, ""))
    return Desired(tuple(jobs), tuple(children), stop, frozenset(claims), min(times) if times else None)


def stop_of(state: State, seq: int) -> Signaled:
    """What is told to a child whose task must not go on: it goes the way of its parent's task."""
    task = state.tasks.get(state.by_seq.get(seq, ""))
    reason = task.reason if task is not None else ""
    revivals = task.child_revivals if task is not None and task.seq == seq else 0
    return Signaled(
        id=f"{state.uid}/{seq}/{revivals}/stop",
        type=SignalType.TERMINATE,
        by=f"execution {state.name}",
        payload={
            "reason": reason or "its task was canceled",
            **({"compensate": True} if _is_to_be_undone(state) else {}),
        },
    )


def retry_of(state: State, child: DesiredChild) -> Signaled:
    """What is told to a child that ended before its parent was retried: it goes on, or begins anew."""
    return Signaled(
        id=f"{state.uid}/{child.seq}/{child.revivals}/retry",
        type=SignalType.RETRY,
        by=f"execution {state.name}",
        payload={"resumeSubworkflowTasks": True, "orRestart": True},
    )


def _is_to_be_undone(state: State) -> bool:
    """Whether children that are terminated with this run undo what they have done, as it does."""
    workflow = state.workflow
    if state.phase in (Phase.FAILED, Phase.TIMED_OUT):
        return workflow is not None and workflow.compensation is CompensationPolicy.ON_FAILURE
    return state.ending is not None or state.compensation is not None


def _failure_workflow(state: State) -> Iterator[DesiredChild]:
    """What is started when a run has failed: it is given the run's own input, and what became of it."""
    wanted = state.failure_workflow
    if wanted is None or state.failure_workflow_started:
        return
    failed = state.failed_task
    about = {
        "workflowId": state.uid,
        "reason": state.reason,
        "failureStatus": "TIMED_OUT" if state.phase is Phase.TIMED_OUT else "FAILED",
        "failedWorkflow": {
            "workflowId": state.uid,
            "workflowName": state.workflow_name,
            "version": state.workflow_version,
            "status": "TIMED_OUT" if state.phase is Phase.TIMED_OUT else "FAILED",
            "reasonForIncompletion": state.reason,
            "input": state.input,
            "output": state.output,
            "tasks": [
                {
                    "referenceTaskName": task.ref,
                    "taskType": task.type.value,
                    "status": task.status.value,
                    "reasonForIncompletion": task.reason[:200],
                }
                for task in list(state.tasks.values())[-100:]
            ],
        },
    }
    if failed in state.tasks:
        about["failureTaskId"] = f"{failed}.{state.tasks[failed].seq}"
    yield DesiredChild(
        seq=state.failure_workflow_seq,
        ref="",
        workflow_name=wanted["name"],
        input=state.input | about,
        depth=state.depth + 1,
        detached=True,
        correlation_id=state.spec.correlation_id,
        policies=tuple(governed.policy_names(state)),
    )
