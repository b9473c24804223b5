"""EXCLUSIVE_JOIN: where the cases of a SWITCH meet: the output of the first that ran. Source: Conductor."""

from __future__ import annotations

from openworld.engine.decide import Pass
from openworld.engine.endings import fail_task
from openworld.engine.state import TaskState
from openworld.ledger import EventType

from .join import may_still_start
from .kind import TaskKind


class ExclusiveJoinTask(TaskKind):
    """One of several, whichever came to be."""

    def follow(self, p: Pass, task: TaskState) -> None:
        """Take the first ref of the list that has run, else of the defaults."""
        state = p.state
        definition = task.definition
        for ref in definition.join_on:
            joined = state.tasks.get(ref)
            if joined is None:
                if may_still_start(state, ref):
                    return
                continue
            if not joined.status.is_final or joined.open_scopes:
                return
            if not joined.has_passed:
                reason = f"joined task {ref} failed: {joined.reason}"
                fail_task(p, task.ref, state.scope_of(task), reason)
                return
            self._complete(p, task, joined)
            return
        defaults = (state.tasks.get(ref) for ref in definition.default_exclusive_join_task)
        self._complete(p, task, next((found for found in defaults if found is not None), None))

    @staticmethod
    def _complete(p: Pass, task: TaskState, joined: TaskState | None) -> None:
        output = joined.output if joined is not None else {}
        p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output=output)
