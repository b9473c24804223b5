"""How a task comes into being, and how it ends, whatever its type."""

from __future__ import annotations

from openworld.api import JsonObject, Task, TaskStatus, TaskType
from openworld.engine.scopes import close_if_done, iteration_of, open_scope, origin_of
from openworld.engine.state import Scope, State, TaskState

from .loops import keep_iteration


def definition_of(state: State, ref: str, scope_id: str) -> Task:
    """The definition of a task in its scope."""
    return next(task for task in state.scopes[scope_id].tasks if task.task_reference_name == ref)


def enter(state: State, event: JsonObject, status: TaskStatus) -> TaskState:
    """The task that an event is about; it comes into being with the first event that names it."""
    ref, scope_id = event["ref"], event.get("scope")
    task = state.tasks.get(ref)
    if task is None:
        if scope_id is None:
            raise KeyError(ref)
        task = TaskState(definition=definition_of(state, ref, scope_id), scope=scope_id, status=status)
        state.tasks[ref] = task
        state.active[ref] = None
        scope = state.scopes[scope_id]
        around = iteration_of(state, scope)
        if around is not None and not scope.feedback:
            around.entered.append(ref)
            state.latest[ref.removesuffix(scope.suffix)] = ref
        state.known_tasks += 1
        task.origin = origin_of(state, scope, ref)
    return task


def end(state: State, task: TaskState, status: TaskStatus, event: JsonObject, at_ms: int) -> None:
    task.status = status
    task.ended_at_ms, task.ended_seq = at_ms, event["seq"]
    task.wake_at_ms = None
    task.reason = event.get("reason", "")
    if task.type is TaskType.DO_WHILE:
        keep_iteration(state, task)
    else:
        task.output = event.get("output", task.output if status is TaskStatus.COMPLETED else {})
    if state.active.pop(task.ref, "absent") == "absent":
        return
    if status.is_success:
        state.completed += 1
    elif status is not TaskStatus.SKIPPED:
        state.failed += 1
    scope = state.scope_of(task)
    if not task.has_passed and scope.owner is not None and not scope.feedback:
        state.tasks[scope.owner].failed_inside = True
    scope.remaining -= 1
    close_if_done(state, scope)


def open_branch(state: State, task: TaskState, scope: Scope, name: str, tasks: list[Task]) -> None:
    open_scope(
        state,
        Scope(
            id=f"{task.ref}/{name}",
            tasks=tuple(tasks),
            parent=scope.id,
            owner=task.ref,
            proposed=scope.proposed,
            feedback=scope.feedback,
            agent_digest=scope.agent_digest,
            depth=scope.depth,
            suffix=scope.suffix,
        ),
    )


def count(state: State, event: JsonObject) -> None:
    usage = event.get("usage", {})
    state.tokens += usage.get("tokensIn", 0) + usage.get("tokensOut", 0)
