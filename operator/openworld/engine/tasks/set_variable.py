"""SET_VARIABLE: the task's input becomes workflow variables. Source: Conductor."""

from __future__ import annotations

from openworld.engine.decide import Pass
from openworld.engine.endings import fail_task
from openworld.engine.state import TaskState
from openworld.language.canonical import canonical
from openworld.ledger import EventType

from .kind import TaskKind

VARIABLES_LIMIT_BYTES = 256 * 1024


class SetVariableTask(TaskKind):
    """Variables are the only state that tasks share."""

    def follow(self, p: Pass, task: TaskState) -> None:
        """Set and complete, unless the variables would grow too large."""
        size = len(canonical(p.state.variables | task.input))
        if size > VARIABLES_LIMIT_BYTES:
            reason = f"the workflow variables would have {size} bytes, the limit is {VARIABLES_LIMIT_BYTES}"
            fail_task(p, task.ref, p.state.scope_of(task), reason, terminal=True)
            return
        p.emit(EventType.VARIABLE_SET, ref=task.ref, variables=task.input)
        p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output={})
