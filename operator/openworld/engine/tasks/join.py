"""JOIN: waits for the refs it names. Output: `{ref: output}` of those with any. Source: Conductor."""

from __future__ import annotations

from openworld.api import Task, TaskStatus
from openworld.engine.decide import Pass
from openworld.engine.endings import fail_task, unrecordable
from openworld.engine.scopes import FORKS
from openworld.engine.state import State, TaskState
from openworld.engine.views import joined_refs
from openworld.ledger import EventType

from .kind import TaskKind


class JoinTask(TaskKind):
    """Where branches meet."""

    def follow(self, p: Pass, task: TaskState) -> None:
        """Complete when every joined ref has ended, or can no longer be scheduled."""
        state = p.state
        scope = state.scope_of(task)
        output = {}
        failed: list[TaskState] = []
        status = TaskStatus.COMPLETED
        for ref in joined_refs(state, scope, task):
            joined = state.tasks.get(ref)
            if joined is None:
                if may_still_start(state, ref):
                    return
                continue
            if not joined.status.is_final or joined.open_scopes:
                return
            is_broken = joined.failed_inside and joined.type not in FORKS
            if is_broken or not joined.has_passed:  # what failed, and what was skipped because of that
                failed.append(joined)
            if joined.status is TaskStatus.COMPLETED_WITH_ERRORS:
                status = TaskStatus.COMPLETED_WITH_ERRORS
            if joined.output:
                output[ref] = joined.output
        skipped = failed and all(each.status is TaskStatus.SKIPPED for each in failed)
        if skipped and not scope.feedback:  # behind something that failed, and that ends the run
            reason = f"it joins {failed[0].ref}, which was skipped"
            p.emit(EventType.TASK_SKIPPED, ref=task.ref, scope=task.scope, reason=reason)
            return
        problem = unrecordable(output)
        if problem:
            reason = f"OutputTooLarge: what it joins {problem}; keep large data elsewhere and pass references"
            fail_task(p, task.ref, scope, reason, terminal=True)
            return
        if failed and not scope.feedback:
            reason = f"joined task {failed[0].ref} failed: {failed[0].reason}"
            fail_task(p, task.ref, scope, reason, output=output or None)
            return
        p.emit(
            EventType.TASK_COMPLETED,
            ref=task.ref,
            attempt=task.attempt,
            status=None if status is TaskStatus.COMPLETED else status.value,
            output=output,
        )


def may_still_start(state: State, ref: str) -> bool:
    """Whether some open scope still holds the ref, or a scope that would has yet to open."""
    if any(
        definition.task_reference_name == ref
        for scope_id in state.open_scopes
        for definition in state.scopes[scope_id].tasks
    ):
        return True
    return any(
        _holds(definition, ref)
        for scope_id in state.open_scopes
        for definition in state.scopes[scope_id].tasks
        if definition.task_reference_name not in state.tasks
        or not state.tasks[definition.task_reference_name].status.is_final
    )


def _holds(definition: Task, ref: str) -> bool:
    return any(
        task.task_reference_name == ref or _holds(task, ref)
        for array in definition.inner_arrays()
        for task in array
    )
