"""HTTP: one request to a service, from a Job. Source: Conductor's HTTP task."""

from __future__ import annotations

from openworld.api import JsonObject, Task
from openworld.engine import builtin
from openworld.engine.decide import Pass
from openworld.engine.state import Scope, State, TaskState
from openworld.language.requests import REQUEST, request_of

from .simple import SimpleTask


class HttpTask(SimpleTask):
    """The built-in tool `http`."""

    is_builtin = True

    def schedule_data(self, p: Pass, scope: Scope, definition: Task, task_input: JsonObject) -> JsonObject:  # noqa: ARG002
        """Which built-in tool it runs as: whether it may be repeated follows from the method."""
        return builtin.scheduled(p.state, builtin.tool_for(definition, task_input))

    def job_input(self, state: State, task: TaskState) -> JsonObject:  # noqa: ARG002
        """The request, with all its defaults."""
        return request_of(task.input)

    def job_path(self, path: list[str | int]) -> list[str | int]:
        """Where something of the input stands in the request."""
        return path[1:] if path[0] == REQUEST else path
