"""CALL_MCP_TOOL: one call of a tool of an MCP server, from a Job. Source: Conductor's task, MCP."""

from __future__ import annotations

from openworld.api import JsonObject
from openworld.engine.state import State, TaskState
from openworld.language.mcp import call_of

from .built_in import BuiltInTask


class CallMcpToolTask(BuiltInTask):
    """The built-in tool `call-mcp-tool`."""

    def job_input(self, state: State, task: TaskState) -> JsonObject:  # noqa: ARG002
        """Where the server is, and the call."""
        return call_of(task.input)
