"""What must exist outside now, as it follows from the state: Jobs, child executions, one timer."""

from __future__ import annotations

from . import tasks
from .outside import Desired, DesiredChild, DesiredJob
from .state import State


def desired(state: State, now_ms: int) -> Desired:
    """Everything that must exist, what must stop, and when time alone changes the answer."""
    stop = frozenset(state.stopped)
    if state.is_final or not state.is_started:
        return Desired(stop=stop)
    jobs: list[DesiredJob] = []
    children: list[DesiredChild] = []
    times: list[int] = []
    workflow = state.workflow
    if workflow is not None and workflow.timeout_seconds:
        times.append(state.started_at_ms + workflow.timeout_seconds * 1000)
    for task in state.active_tasks():
        if task.gate is not None:
            if task.gate.is_open:
                times.append(task.gate.expires_at_ms)
            continue
        deadline = tasks.deadline_ms(state, task)
        wake = tasks.of(task.type).wake_ms(state, task)
        times += [at for at in (deadline, wake) if at is not None]
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
    return Desired(tuple(jobs), tuple(children), stop, min(times) if times else None)
