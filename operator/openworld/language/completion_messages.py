"""The messages and tools of an LLM_CHAT_COMPLETE task. Source: Conductor's ChatMessage, ToolCall, ToolSpec.

A `tool_call` message says what a model wanted to call, a `tool` message what came of it: both as
`toolCalls`, in the form in which an earlier completion gave them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from openworld.api.meta import Json, JsonObject

from .requests import Problem, Reading
from .schemas import check_schema

ROLES = ("user", "assistant", "system", "tool_call", "tool")
MOST_MESSAGES = 1000
MOST_TOOLS = 128
_WITH_CALLS = ("tool_call", "tool")
_MESSAGE_KEYS = ("role", "message", "toolCalls")
_CALL_KEYS = ("taskReferenceName", "name", "type", "inputParameters", "output", "integrationNames")
_TOOL_KEYS = (
    "name",
    "type",
    "description",
    "inputSchema",
    "outputSchema",
    "configParams",
    "integrationNames",
    "selfDescribing",
)
#: What both providers take as the name of a tool.
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def message_problems(messages: Json, reading: Reading) -> Iterator[Problem]:
    """What is wrong with the messages."""
    if messages is None or reading.is_open(messages):
        return
    if not isinstance(messages, list) or len(messages) > MOST_MESSAGES:
        yield ("messages",), f"must be a list of at most {MOST_MESSAGES} messages, each {{role, message}}"
        return
    for index, message in enumerate(messages):
        for steps, problem in _message(message, reading):
            yield ("messages", index, *steps), problem
    roles = [message.get("role") for message in messages if isinstance(message, dict)]
    if messages and roles == ["system"] * len(messages):
        yield ("messages",), "must hold more than what the system says: a message of the user's"


def tool_problems(tools: Json, reading: Reading) -> Iterator[Problem]:
    """What is wrong with the tools that the model may ask for."""
    if tools is None or reading.is_open(tools):
        return
    if not isinstance(tools, list) or len(tools) > MOST_TOOLS:
        yield (
            ("tools",),
            f"must be a list of at most {MOST_TOOLS} tools, each {{name, description, inputSchema}}",
        )
        return
    names: set[str] = set()
    for index, tool in enumerate(tools):
        if reading.is_open(tool):
            continue
        if not isinstance(tool, dict):
            yield ("tools", index), "must be an object: {name, description, inputSchema}"
            continue
        for steps, problem in _tool(tool, reading):
            yield ("tools", index, *steps), problem
        name = tool.get("name")
        if isinstance(name, str) and not reading.is_open(name):
            if name in names:
                yield ("tools", index, "name"), f"the tool {name[:80]!r} is there already"
            names.add(name)


def _message(message: Json, reading: Reading) -> Iterator[Problem]:
    if reading.is_open(message):
        return
    if not isinstance(message, dict):
        yield (), "must be an object: {role, message}"
        return
    said = {key: value for key, value in message.items() if value not in (None, [])}
    for key in said:
        if key in ("media", "mimeType"):
            yield (key,), "is not sent: a model is told text"
        elif key not in _MESSAGE_KEYS:
            yield (key,), f"means nothing in a message; it holds {', '.join(_MESSAGE_KEYS)}"
    role = said.get("role")
    if reading.is_open(role):
        return
    if role not in ROLES:
        yield ("role",), f"{str(role)[:40]!r} is not allowed: one of {', '.join(ROLES)}"
    elif role in _WITH_CALLS:
        yield from _calls(said.get("toolCalls"), role, reading)
    elif "message" not in said or said["message"] == "":
        yield ("message",), f"is required: what the {role} says"
    elif "toolCalls" in said:
        yield ("toolCalls",), f"belongs to a message of the role {' or '.join(_WITH_CALLS)}"


def _calls(calls: Json, role: str, reading: Reading) -> Iterator[Problem]:
    if reading.is_open(calls):
        return
    if not isinstance(calls, list) or not calls or len(calls) > MOST_TOOLS:
        yield (
            ("toolCalls",),
            f"is required: the calls of a {role} message, each with taskReferenceName and name",
        )
        return
    for index, call in enumerate(calls):
        if reading.is_open(call):
            continue
        if not isinstance(call, dict):
            yield ("toolCalls", index), "must be an object: {taskReferenceName, name, inputParameters}"
            continue
        for key in call:
            if key not in _CALL_KEYS:
                yield ("toolCalls", index, key), f"means nothing in a call; it holds {', '.join(_CALL_KEYS)}"
        for key in ("taskReferenceName", "name"):
            if not isinstance(call.get(key), str) or not call[key]:
                yield ("toolCalls", index, key), "is required: text"
        given = call.get("inputParameters")
        if given is not None and not reading.is_open(given) and not isinstance(given, dict):
            yield ("toolCalls", index, "inputParameters"), "must be an object"


def _tool(tool: JsonObject, reading: Reading) -> Iterator[Problem]:
    for key in tool:
        if key not in _TOOL_KEYS:
            yield (key,), f"means nothing in a tool; it holds {', '.join(_TOOL_KEYS)}"
    name, description, schema = (tool.get(key) for key in ("name", "description", "inputSchema"))
    if not reading.is_open(name) and (not isinstance(name, str) or not _TOOL_NAME.fullmatch(name)):
        yield ("name",), "is required: up to 64 letters, digits, _ and -"
    if description is not None and not isinstance(description, str):
        yield ("description",), "must be text"
    if schema is None or reading.is_open(schema):
        return
    if not isinstance(schema, dict):
        yield ("inputSchema",), "must be an object: a JSON Schema"
        return
    for problem in check_schema(schema):
        yield ("inputSchema",), problem
