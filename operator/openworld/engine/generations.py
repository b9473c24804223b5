"""How retry, rerun and restart change the state: bookkeeping of what their events name. No judgement.

Nothing leaves the ledger: what is taken away here stands in the events before.
"""

from __future__ import annotations

from collections.abc import Iterable

from openworld.api import JsonObject, Phase, TaskStatus, TaskType

from .scopes import open_scope, recount
from .state import ROOT, Scope, State, TaskState


def begin_again(state: State, event: JsonObject, at_ms: int) -> None:
    """The run goes on: it has not ended any more."""
    state.phase = Phase.PAUSED if state.is_paused else Phase.RUNNING
    state.ended_at_ms = state.output = state.failure_workflow = None
    state.reason = state.permissive_failure = state.failed_task = state.failure_workflow_started = ""
    state.clock_from_ms = at_ms
    state.extended.pop("durationSeconds", None)
    state.alerted = set()
    state.revivals += 1
    state.ending = state.compensation = None
    state.generation = event.get("generation", state.generation)


def start_over(state: State) -> None:
    """No task has run; the definition stays, where there is one."""
    for task in state.tasks.values():
        _let_go(state, task)
    state.tasks, state.scopes, state.latest = {}, {}, {}
    state.active, state.open_scopes, state.given_inputs = {}, {}, {}
    state.compensable, state.unregistered = [], []
    if state.workflow is not None:
        state.variables = dict(state.workflow.variables)
        open_scope(state, Scope(id=ROOT, tasks=tuple(state.workflow.tasks)))


def take_back(state: State, event: JsonObject, at_ms: int) -> None:
    """Take away the tasks and scopes that an event names, and set going what it resumes."""
    for scope_id in event.get("scopes", ()):
        state.scopes.pop(scope_id, None)
    dropped = set(event.get("dropped", ()))
    for ref in dropped:
        task = state.tasks.pop(ref, None)
        if task is not None:
            _let_go(state, task)
    for scope in state.scopes.values():
        scope.entered = [ref for ref in scope.entered if ref not in dropped]
    state.latest = {plain: ref for plain, ref in state.latest.items() if ref in state.tasks}
    for ref, iteration in event.get("iterations", {}).items():
        task = state.tasks[ref]
        for number in range(iteration, task.iteration + 1):
            task.output.pop(str(number), None)
        task.iteration = task.output["iteration"] = iteration
        if task.items is not None:
            task.output |= {"loopIndex": iteration - 1, "loopItem": task.items[iteration - 1]}
    for ref, revivals in event.get("children", {}).items():
        state.tasks[ref].child_revivals = revivals
    for ref in event.get("resumed", ()):
        state.stopped.discard(state.tasks[ref].seq)
        resume(state.tasks[ref], at_ms)
    recount(state)


def resume(task: TaskState, at_ms: int) -> None:
    """A task that had ended is in progress again, where it was."""
    task.status = TaskStatus.IN_PROGRESS
    task.ended_at_ms = task.ended_seq = None
    task.reason = ""
    task.forgiven_turns = len(task.turns)
    if task.type is not TaskType.AGENT:
        task.started_at_ms = task.started_at_ms or at_ms


def _let_go(state: State, task: TaskState) -> None:
    for seq in (*task.earlier, task.seq):
        state.by_seq.pop(seq, None)
        if seq >= 0:
            state.stopped.add(seq)


def below(state: State, refs: Iterable[str]) -> tuple[list[str], list[str]]:
    """Everything that some tasks have brought forth: the refs of tasks, and the ids of scopes."""
    owners, tasks, scopes = set(refs), [], []
    for scope in state.scopes.values():  # those around come before those within
        if scope.owner in owners:
            scopes.append(scope.id)
            inner = [t.task_reference_name for t in scope.tasks if t.task_reference_name in state.tasks]
            tasks += inner
            owners |= set(inner)
    return tasks, scopes
