"""COMPENSATE: undoes what tasks have done so far, the last first; of one task and all below it, or of all."""

from __future__ import annotations

from openworld.api import JsonObject, Task
from openworld.engine import compensation
from openworld.engine.compensable import pending, within
from openworld.engine.decide import Pass
from openworld.engine.endings import fail_task
from openworld.engine.state import Scope, TaskState
from openworld.ledger import EventType

from .kind import TaskKind


class CompensateTask(TaskKind):
    """An undoing that the workflow's author wrote."""

    def schedule_data(self, p: Pass, scope: Scope, definition: Task, task_input: JsonObject) -> JsonObject:  # noqa: ARG002
        """Check that `scope` names a task that has run."""
        name = task_input.get("scope")
        if name is not None and _meant(p, scope, name) is None:
            raise ValueError(f"scope names {str(name)[:200]!r}, which has not run")
        return {}

    def follow(self, p: Pass, task: TaskState) -> None:
        """Undo the next task, or end."""
        if task.open_scopes:
            return
        compensation.register(p)
        name = task.input.get("scope")
        ref = _meant(p, p.state.scope_of(task), name) if name is not None else None
        among = within(p.state, ref) if ref is not None else None
        waiting = pending(p.state, among)
        if waiting:
            compensation.schedule(p, waiting[0], by=task)
            return
        output = compensation.summary(p.state, task.ref)
        if output["failed"]:
            reason = f"not undone: {', '.join(output['failed'])}"
            fail_task(p, task.ref, p.state.scope_of(task), reason, output=output)
            return
        p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output=output)


def _meant(p: Pass, scope: Scope, name: object) -> str | None:
    """The ref that is meant: in a loop, the one of this iteration."""
    found = (ref for ref in (f"{name}{scope.suffix}", name) if ref in p.state.tasks)
    return next((str(ref) for ref in found), None)
