"""Arrays of tasks as scopes: what opens, what is ready, what has closed. Structure only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from openworld.api import JsonObject, Task, TaskType

from .state import Scope, State, TaskState

FORKS = (TaskType.FORK_JOIN, TaskType.FORK_JOIN_DYNAMIC)


def with_implied_joins(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """The array with a JOIN behind each fork that has none (Conductor's dynamic forks imply it)."""
    result: list[Task] = []
    for index, task in enumerate(tasks):
        result.append(task)
        following = tasks[index + 1] if index + 1 < len(tasks) else None
        if task.type in FORKS and (following is None or following.type is not TaskType.JOIN):
            result.append(
                Task(
                    name="join",
                    task_reference_name=f"{task.task_reference_name}_join",
                    type=TaskType.JOIN,
                    join_on=[
                        with_implied_joins(branch)[-1].task_reference_name
                        for branch in task.fork_tasks
                        if branch
                    ],
                )
            )
    return tuple(result)


def suffixed(task: Task, suffix: str) -> Task:
    """A task of a loop's body as an iteration runs it: every ref in it ends in the iteration's number."""

    def all_of(tasks: Sequence[Task]) -> list[Task]:
        return [suffixed(inner, suffix) for inner in tasks]

    return task.model_copy(
        update={
            "task_reference_name": task.task_reference_name + suffix,
            "depends_on": None if task.depends_on is None else [ref + suffix for ref in task.depends_on],
            "join_on": [ref + suffix for ref in task.join_on],
            "default_exclusive_join_task": [ref + suffix for ref in task.default_exclusive_join_task],
            "decision_cases": {case: all_of(tasks) for case, tasks in task.decision_cases.items()},
            "default_case": all_of(task.default_case),
            "fork_tasks": [all_of(branch) for branch in task.fork_tasks],
            "loop_over": all_of(task.loop_over),
        }
    )


def outwards(state: State, scope: Scope) -> Iterator[Scope]:
    """A scope and those around it, the innermost first."""
    inner: Scope | None = scope
    while inner is not None:
        yield inner
        inner = state.scopes[inner.parent] if inner.parent is not None else None


def iteration_of(state: State, scope: Scope) -> Scope | None:
    """The innermost iteration that a scope belongs to."""
    return next((each for each in outwards(state, scope) if each.iteration), None)


def origin_of(state: State, scope: Scope, ref: str) -> JsonObject:
    """Where a task of a scope comes from: the definition, a proposal, or the task that it undoes."""
    if scope.compensates:
        return {"compensates": scope.compensates}
    if scope.proposal_id:
        retried = {"retryOf": scope.retries[ref]} if ref in scope.retries else {}
        return {"proposal": scope.proposal_id, "item": scope.items[ref], **retried}
    return {"definition": state.workflow_name or "inline"}


def open_scope(state: State, scope: Scope) -> None:
    """Enter a scope. An array with dependsOn anywhere is a graph; any other is a sequence."""
    scope.is_graph = scope.is_graph or any(task.depends_on is not None for task in scope.tasks)
    if not scope.is_graph:
        scope.tasks = with_implied_joins(scope.tasks)
    scope.remaining = len(scope.tasks)
    state.scopes[scope.id] = scope
    state.open_scopes[scope.id] = None
    if scope.parent is not None:
        state.scopes[scope.parent].open_children += 1
    if scope.owner is not None:
        state.tasks[scope.owner].open_scopes += 1
    close_if_done(state, scope)


def close_if_done(state: State, scope: Scope) -> None:
    """Close a scope whose tasks and inner scopes have all ended, and so outwards."""
    while not scope.closed and scope.remaining == 0 and scope.open_children == 0:
        scope.closed = True
        state.open_scopes.pop(scope.id, None)
        owner = state.tasks[scope.owner] if scope.owner is not None else None
        if owner is not None:
            owner.open_scopes -= 1
        if scope.parent is None:
            return
        is_broken = owner is not None and owner.failed_inside and owner.type not in FORKS
        scope = state.scopes[scope.parent]
        if is_broken and scope.owner is not None and not scope.feedback:
            state.tasks[scope.owner].failed_inside = True
        scope.open_children -= 1


def recount(state: State) -> None:
    """Set right what is kept of open scopes and active tasks, after tasks were revived or taken away."""
    state.active = {ref: None for ref, task in state.tasks.items() if not task.status.is_final}
    state.open_scopes = {}
    for task in state.tasks.values():
        task.open_scopes, task.failed_inside = 0, False
    for scope in state.scopes.values():
        scope.cursor = scope.open_children = 0
    for scope in reversed(list(state.scopes.values())):  # those within come after those around
        found = [state.tasks.get(task.task_reference_name) for task in scope.tasks]
        scope.remaining = sum(task is None or not task.status.is_final for task in found)
        scope.closed = scope.remaining == 0 and scope.open_children == 0
        if not scope.closed and scope.parent is not None:
            state.scopes[scope.parent].open_children += 1
        owner = state.tasks[scope.owner] if scope.owner is not None else None
        if owner is None:
            continue
        owner.open_scopes += not scope.closed
        broken = (
            task is not None
            and task.status.is_final
            and (not task.has_passed or (task.failed_inside and task.type not in FORKS))
            for task in found
        )
        if not scope.feedback and any(broken):
            owner.failed_inside = True
    state.open_scopes = {scope.id: None for scope in state.scopes.values() if not scope.closed}


def ready(state: State, scope: Scope) -> Iterator[Task]:
    """The tasks of a scope that may start now, in order."""
    if not scope.is_graph:
        task = _next_in_sequence(state, scope)
        if task is not None:
            yield task
        return
    for task in scope.tasks:
        if task.task_reference_name in state.tasks:
            continue
        if all(_has_passed(state, ref) for ref in task.depends_on or ()):
            yield task


def unreachable(state: State, scope: Scope) -> Iterator[tuple[Task, str]]:
    """Tasks that can never start, with the ref that is to blame."""
    if scope.is_graph:
        for task in scope.tasks:
            if task.task_reference_name in state.tasks:
                continue
            for ref in task.depends_on or ():
                if ref in state.tasks and _has_failed(state.tasks[ref]):
                    yield task, ref
                    break
        return
    _move_cursor(state, scope)
    current = _at_cursor(state, scope)
    if current is not None and _has_failed(current):
        for task in scope.tasks[scope.cursor :]:
            if task.task_reference_name not in state.tasks:
                yield task, current.ref


def every_ref(state: State) -> frozenset[str]:
    """Every ref that a task has, or may yet get: no proposal may take one of them."""
    held = {task.task_reference_name for scope in state.scopes.values() for task in _deep(scope.tasks)}
    return frozenset(held | state.tasks.keys())


def _deep(tasks: Sequence[Task]) -> Iterator[Task]:
    for task in with_implied_joins(tasks):
        yield task
        for inner in task.inner_arrays():
            yield from _deep(inner)


def _move_cursor(state: State, scope: Scope) -> None:
    """Look past the tasks that have passed."""
    while scope.cursor < len(scope.tasks):
        if not _has_passed(state, scope.tasks[scope.cursor].task_reference_name):
            return
        scope.cursor += 1


def _next_in_sequence(state: State, scope: Scope) -> Task | None:
    _move_cursor(state, scope)
    if scope.cursor == len(scope.tasks) or _at_cursor(state, scope) is not None:
        return None
    return scope.tasks[scope.cursor]


def _at_cursor(state: State, scope: Scope) -> TaskState | None:
    if scope.cursor == len(scope.tasks):
        return None
    return state.tasks.get(scope.tasks[scope.cursor].task_reference_name)


def _has_passed(state: State, ref: str) -> bool:
    task = state.tasks.get(ref)
    if task is None or not task.has_passed:
        return False
    return task.type in FORKS or (task.open_scopes == 0 and not task.failed_inside)


def _has_failed(task: TaskState) -> bool:
    if not task.status.is_final:
        return False
    is_broken = task.failed_inside and task.open_scopes == 0 and task.type not in FORKS
    return not task.has_passed or is_broken
