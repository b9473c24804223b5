"""What every task type answers. A type is one module with one class; adding one is a file and a line."""

from __future__ import annotations

from collections.abc import Iterator

from openworld.api import JsonObject
from openworld.engine.decide import Pass
from openworld.engine.outside import DesiredChild, DesiredJob
from openworld.engine.state import State, TaskState


class TaskKind:
    """The default: a task that needs nothing outside and waits for a fact."""

    def schedule_data(self, task_input: JsonObject, now_ms: int) -> JsonObject:  # noqa: ARG002
        """What else TaskScheduled says. Raises ValueError when the input makes no sense."""
        return {}

    def follow(self, p: Pass, task: TaskState) -> None:
        """What follows for a task that has started and not ended; called until nothing does."""

    def desired(self, state: State, task: TaskState) -> Iterator[DesiredJob | DesiredChild]:  # noqa: ARG002
        """What must exist outside while the task has not ended."""
        return iter(())

    def wake_ms(self, state: State, task: TaskState) -> int | None:  # noqa: ARG002
        """When the task wants to be followed again even if nothing happens (epoch, milliseconds)."""
        return task.wake_at_ms

    def deadline_ms(self, state: State, task: TaskState) -> int | None:  # noqa: ARG002
        """When the present attempt has taken too long (epoch, milliseconds)."""
        return None
