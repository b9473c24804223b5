"""EVENT: publishes a CloudEvent to its sink, from a Job. Source: Conductor's EVENT task, CloudEvents 1.0."""

from __future__ import annotations

from openworld.api import JsonObject, Task
from openworld.engine.decide import Pass
from openworld.engine.state import Scope, State, TaskState
from openworld.language.requests import sink_problem
from openworld.ledger import rfc3339

from .built_in import BuiltInTask
from .simple import idempotency_key


class EventTask(BuiltInTask):
    """The built-in tool `event`."""

    def schedule_data(self, p: Pass, scope: Scope, definition: Task, task_input: JsonObject) -> JsonObject:
        """Which built-in tool it runs as."""
        problem = sink_problem(task_input.get("sink"), authored=False)
        if problem:
            raise ValueError(f"sink {problem}")
        if not _type_of(definition, task_input):
            raise ValueError("the event has no type: name the task, or give it an input `type`")
        return super().schedule_data(p, scope, definition, task_input)

    def job_input(self, state: State, task: TaskState) -> JsonObject:
        """The event whole: every attempt sends the same."""
        data = {key: value for key, value in task.input.items() if key != "sink"}
        return {
            "sink": task.input["sink"],
            "event": {
                "specversion": "1.0",
                "id": idempotency_key(state, task),
                "source": f"openworld.dev/{state.namespace}/{state.name}",
                "type": _type_of(task.definition, task.input),
                "subject": task.ref,
                "time": rfc3339(task.first_scheduled_at_ms),
                "datacontenttype": "application/json",
                "data": data,
            },
        }

    def job_path(self, path: list[str | int]) -> list[str | int]:
        """Where something of the input stands beside or in the event."""
        return path if path[0] == "sink" else ["event", "data", *path]


def _type_of(definition: Task, task_input: JsonObject) -> str:
    kind = definition.name or task_input.get("type")
    return kind if isinstance(kind, str) else ""
