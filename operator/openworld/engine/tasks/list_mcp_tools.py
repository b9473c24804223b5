"""LIST_MCP_TOOLS: the tools that an MCP server offers, from a Job. Source: Conductor's task, MCP."""

from __future__ import annotations

from openworld.api import JsonObject
from openworld.engine.state import State, TaskState
from openworld.language.mcp import listing_of

from .built_in import BuiltInTask


class ListMcpToolsTask(BuiltInTask):
    """The built-in tool `list-mcp-tools`."""

    def job_input(self, state: State, task: TaskState) -> JsonObject:  # noqa: ARG002
        """Where the server is."""
        return listing_of(task.input)
