"""What `${…}` sees: the workflow, and each task by its ref (its last attempt).

Proposed text sees less: of the workflow its input alone, and of the tasks those that its scope
was shown. Which refs those are was checked when the proposal was judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from openworld.api import JsonObject, Phase, TaskStatus, TaskType
from openworld.api.meta import Json

from .scopes import FORKS, iteration_of
from .state import Scope, State, TaskState

_CONDUCTOR_STATUS = {
    TaskStatus.AWAITING_APPROVAL: "AWAITING_APPROVAL",
    TaskStatus.SCHEDULED: "SCHEDULED",
    TaskStatus.IN_PROGRESS: "IN_PROGRESS",
    TaskStatus.COMPLETED: "COMPLETED",
    TaskStatus.COMPLETED_WITH_ERRORS: "COMPLETED_WITH_ERRORS",
    TaskStatus.FAILED: "FAILED",
    TaskStatus.FAILED_WITH_TERMINAL_ERROR: "FAILED_WITH_TERMINAL_ERROR",
    TaskStatus.TIMED_OUT: "TIMED_OUT",
    TaskStatus.CANCELED: "CANCELED",
    TaskStatus.SKIPPED: "SKIPPED",
}


class ExpressionScope(Mapping[str, Json]):
    """The roots that an expression may name, made only when they are looked at."""

    def __init__(self, state: State, scope: Scope, secrets: JsonObject | None = None) -> None:
        self._secrets = secrets or {}
        self._state = state
        self._scope = scope

    def __getitem__(self, root: str) -> Json:
        if root == "workflow":
            view = workflow_view(self._state, self._secrets)
            return {"input": view["input"]} if self._scope.proposed else view
        task = task_of(self._state, self._scope, root)
        if task is None:
            raise KeyError(root)
        return task_view(self._state, task)

    def __iter__(self) -> Iterator[str]:
        yield "workflow"
        yield from self._state.tasks

    def __len__(self) -> int:
        return 1 + len(self._state.tasks)


def task_of(state: State, scope: Scope, ref: str) -> TaskState | None:
    """The task that a ref means in a scope: the last one, where a loop has had several."""
    ref = scope.aliases.get(ref, ref)
    return state.tasks.get(ref) or state.tasks.get(state.latest.get(ref, ""))


def workflow_view(state: State, secrets: JsonObject | None = None) -> JsonObject:
    """`${workflow.…}` for authored text; of secrets it has marks."""
    spec = state.spec
    is_child = spec.parent is not None and not spec.parent.detached
    return {
        "input": state.input,
        "output": state.output or {},
        "secrets": secrets or {},
        "env": state.env,
        "status": "TIMED_OUT" if state.phase is Phase.TIMED_OUT else state.phase.value.upper(),
        "workflowId": state.uid,
        "workflowType": state.workflow_name,
        "version": state.workflow_version,
        "correlationId": spec.correlation_id,
        "variables": state.variables,
        "parentWorkflowId": spec.parent.uid if spec.parent and is_child else None,
        "reasonForIncompletion": state.reason or None,
    }


def task_view(state: State, task: TaskState) -> JsonObject:
    """`${ref.…}`: the last attempt of a task. Source of the keys: Conductor."""
    name = task.definition.name or task.ref
    is_simple = task.type is TaskType.SIMPLE
    around = iteration_of(state, state.scope_of(task))
    return {
        "input": task.input,
        "output": task.output,
        "status": _CONDUCTOR_STATUS[task.status],
        "taskType": name if is_simple else task.type.value,
        "taskDefName": name,
        "referenceTaskName": task.ref,
        "iteration": task.iteration or (around.iteration if around is not None else 0),
        "retryCount": task.attempt,
        "startTime": task.started_at_ms,
        "endTime": task.ended_at_ms,
        "reasonForIncompletion": task.reason or None,
        "taskId": f"{task.ref}.{task.seq}",
    }


def joined_refs(state: State, scope: Scope, join: TaskState) -> list[str]:
    """The refs that a JOIN waits for: its own list, or all branches of a dynamic fork before it."""
    index = next(i for i, task in enumerate(scope.tasks) if task.task_reference_name == join.ref)
    fork = state.tasks.get(scope.tasks[index - 1].task_reference_name) if index else None
    if fork is not None and fork.type in FORKS and fork.branch_refs:
        return fork.branch_refs
    return [scope.aliases.get(ref, ref) for ref in join.definition.join_on]
