"""What `${…}` sees: the workflow, and each task by its ref (its last attempt).

Proposed text sees less: of the workflow its input alone, and of the tasks those that its scope
was shown. Which refs those are was checked when the proposal was judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from openworld.api import JsonObject, TaskStatus
from openworld.api.meta import Json

from .scopes import FORKS
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

    def __init__(self, state: State, scope: Scope) -> None:
        self._state = state
        self._scope = scope

    def __getitem__(self, root: str) -> Json:
        if root == "workflow":
            view = workflow_view(self._state)
            return {"input": view["input"]} if self._scope.proposed else view
        task = self._state.tasks.get(self._scope.aliases.get(root, root))
        if task is None:
            raise KeyError(root)
        return task_view(task)

    def __iter__(self) -> Iterator[str]:
        yield "workflow"
        yield from self._state.tasks

    def __len__(self) -> int:
        return 1 + len(self._state.tasks)


def workflow_view(state: State) -> JsonObject:
    """`${workflow.…}` for authored text."""
    spec = state.spec
    return {
        "input": spec.input,
        "status": state.phase.value.upper(),
        "workflowId": state.uid,
        "workflowType": state.workflow_name,
        "version": state.workflow_version,
        "correlationId": spec.correlation_id,
        "variables": state.variables,
        "parentWorkflowId": spec.parent.uid if spec.parent else None,
        "reasonForIncompletion": state.reason or None,
    }


def task_view(task: TaskState) -> JsonObject:
    """`${ref.…}`: the last attempt of a task."""
    return {
        "input": task.input,
        "output": task.output,
        "status": _CONDUCTOR_STATUS[task.status],
        "taskType": task.type.value,
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
