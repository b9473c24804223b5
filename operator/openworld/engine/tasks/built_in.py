"""What the types that run as a built-in tool have in common: the tool follows from type and input."""

from __future__ import annotations

from openworld.api import JsonObject, Task
from openworld.engine import builtin
from openworld.engine.decide import Pass
from openworld.engine.state import Scope

from .simple import SimpleTask


class BuiltInTask(SimpleTask):
    """A Job of the operator's worker image."""

    is_builtin = True

    def schedule_data(self, p: Pass, scope: Scope, definition: Task, task_input: JsonObject) -> JsonObject:  # noqa: ARG002
        """Which built-in tool it runs as, and whether that may be repeated. Raises ValueError."""
        return builtin.scheduled(p.state, builtin.tool_for(definition, task_input))
