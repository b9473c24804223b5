"""What every task type answers. A type is one module with one class; adding one is a file and a line."""

from __future__ import annotations

from collections.abc import Iterator

from openworld.api import JsonObject, Task
from openworld.engine.decide import Pass
from openworld.engine.outside import DesiredChild, DesiredJob
from openworld.engine.state import Scope, State, TaskState
from openworld.engine.timeouts import Expired


class TaskKind:
    """The default: a task that needs nothing outside and waits for a fact.

    `enters_when_refused`: whether a task whose input makes no sense stands in the record as a failed task.
    """

    enters_when_refused = True

    def schedule_data(self, p: Pass, scope: Scope, definition: Task, task_input: JsonObject) -> JsonObject:  # noqa: ARG002
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

    def limit(self, state: State, task: TaskState) -> Expired | None:  # noqa: ARG002
        """The limit of time that the present attempt reaches first."""
        return None
