"""The built-in tools: what HTTP, EVENT, LLM and MCP tasks run as. A pure table by task type.

An attempt of one is a Job like that of a catalog's tool, with the same retries, timeouts and reports. Its
image is not said here: the job builder puts the operator's worker image in the place of `IMAGE`.
"""

from __future__ import annotations

from collections.abc import Callable

from openworld.api import Effect, JsonObject, Task, TaskType, Tool
from openworld.api.toolcatalog import BUILT_IN_IMAGE
from openworld.language.canonical import digest
from openworld.language.completions import completion_of
from openworld.language.mcp import call_of, listing_of
from openworld.language.requests import READS, request_of

from .state import State

IMAGE = BUILT_IN_IMAGE
_COMMAND = ("python", "-m", "openworld_worker.builtin")
#: Tells the worker that a request of which nobody knows what it did may be sent again.
REPEATABLE = "--repeatable"


def tool_for(definition: Task, task_input: JsonObject) -> Tool:
    """What a task of these types runs as, with this input. Raises ValueError when it makes no sense."""
    return _TOOLS[definition.type](definition, task_input)


def scheduled(state: State, tool: Tool) -> JsonObject:
    """What TaskScheduled says of the tool: its definition too, when the ledger does not hold it yet."""
    known_as = digest(tool.wire())
    said: JsonObject = {"name": tool.name, "digest": known_as}
    if known_as not in state.tools:
        said["definition"] = tool.wire()
    return {"tool": said}


def _http(definition: Task, task_input: JsonObject) -> Tool:
    """A read may be repeated; anything else, which may have been done, only if its author says how often."""
    if request_of(task_input)["method"] in READS:
        return _tool("http", Effect.READ, idempotent=True)
    repeatable = _wants_retries(definition)
    return _tool("http", Effect.WRITE, idempotent=repeatable, args=[REPEATABLE] if repeatable else [])


def _event(definition: Task, task_input: JsonObject) -> Tool:  # noqa: ARG001
    """Sent twice, an event has the same source and id, by which CloudEvents knows a duplicate."""
    return _tool("event", Effect.WRITE, idempotent=True)


def _llm_chat_complete(definition: Task, task_input: JsonObject) -> Tool:  # noqa: ARG001
    """A completion changes nothing outside; repeating it costs tokens, which the budget counts."""
    completion_of(task_input)
    return _tool("llm-chat-complete", Effect.READ, idempotent=True)


def _list_mcp_tools(definition: Task, task_input: JsonObject) -> Tool:  # noqa: ARG001
    listing_of(task_input)
    return _tool("list-mcp-tools", Effect.READ, idempotent=True)


def _call_mcp_tool(definition: Task, task_input: JsonObject) -> Tool:
    """What a server says of its tool's effects is not believed: a call may have changed something."""
    call_of(task_input)
    repeatable = _wants_retries(definition)
    return _tool(
        "call-mcp-tool", Effect.WRITE, idempotent=repeatable, args=[REPEATABLE] if repeatable else []
    )


_TOOLS: dict[TaskType, Callable[[Task, JsonObject], Tool]] = {
    TaskType.HTTP: _http,
    TaskType.EVENT: _event,
    TaskType.LLM_CHAT_COMPLETE: _llm_chat_complete,
    TaskType.LIST_MCP_TOOLS: _list_mcp_tools,
    TaskType.CALL_MCP_TOOL: _call_mcp_tool,
}
#: The task types that run as a built-in tool.
TYPES = frozenset(_TOOLS)


def _wants_retries(definition: Task) -> bool:
    if definition.retry_count is not None:
        return definition.retry_count > 0
    override = definition.task_definition
    retry = override.retry if override is not None else None
    return retry is not None and "count" in retry.model_fields_set and retry.count > 0


def _tool(name: str, effect: Effect, *, idempotent: bool, args: list[str] | None = None) -> Tool:
    container: JsonObject = {"image": IMAGE, "command": [*_COMMAND, name]}
    if args:
        container["args"] = args
    return Tool.model_validate(
        {
            "name": name,
            "inputSchema": {"type": "object"},
            "effect": effect.value,
            "idempotent": idempotent,
            "run": {"container": container, "report": "TaskResult"},
        }
    )
