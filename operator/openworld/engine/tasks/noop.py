"""NOOP: does nothing. Source: Conductor."""

from __future__ import annotations

from openworld.engine.decide import Pass
from openworld.engine.state import TaskState
from openworld.ledger import EventType

from .kind import TaskKind


class NoopTask(TaskKind):
    """A place in the flow that other things can refer to."""

    def follow(self, p: Pass, task: TaskState) -> None:
        """Complete at once."""
        p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output={})
