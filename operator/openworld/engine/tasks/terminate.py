"""TERMINATE: ends the execution from within. Source: Conductor."""

from __future__ import annotations

from openworld.engine.decide import Pass
from openworld.engine.endings import cancel_active, end_badly, fail_task
from openworld.engine.state import TaskState
from openworld.ledger import EventType

from .kind import TaskKind

_ENDINGS = {
    "COMPLETED": EventType.EXECUTION_COMPLETED,
    "FAILED": EventType.EXECUTION_FAILED,
    "TERMINATED": EventType.EXECUTION_TERMINATED,
}


class TerminateTask(TaskKind):
    """An ending that the workflow's author wrote."""

    def follow(self, p: Pass, task: TaskState) -> None:
        """Complete, cancel what runs beside, and end the execution."""
        status = task.input.get("terminationStatus", "COMPLETED")
        ending = _ENDINGS.get(status) if isinstance(status, str) else None
        output = task.input.get("workflowOutput") or {}
        if ending is None or not isinstance(output, dict):
            why = (
                f"terminationStatus must be one of {', '.join(_ENDINGS)}, and is {status!r}"
                if ending is None
                else "workflowOutput must be an object"
            )
            fail_task(p, task.ref, p.state.scope_of(task), f"InvalidInput: {why}", terminal=True)
            return
        p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output=output)
        cancel_active(p, f"task {task.ref} terminated the execution")
        reason = task.input.get("terminationReason")
        text = reason if isinstance(reason, str) else None
        by = f"task {task.ref}"
        if ending is EventType.EXECUTION_COMPLETED:
            p.emit(ending, output=output, reason=text, by=by)
        else:
            end_badly(p, ending, reason=text, output=output, by=by, failedTask=task.ref)
