"""HTTP: one request to a service, from a Job. Source: Conductor's HTTP task."""

from __future__ import annotations

from openworld.api import JsonObject
from openworld.engine.state import State, TaskState
from openworld.language.requests import REQUEST, request_of

from .built_in import BuiltInTask


class HttpTask(BuiltInTask):
    """The built-in tool `http`."""

    def job_input(self, state: State, task: TaskState) -> JsonObject:  # noqa: ARG002
        """The request, with all its defaults."""
        return request_of(task.input)

    def job_path(self, path: list[str | int]) -> list[str | int]:
        """Where something of the input stands in the request."""
        return path[1:] if path[0] == REQUEST else path
