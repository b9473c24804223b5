"""Anthropic Messages: `tool_use` blocks among the content, whose input is an object.

Source: https://docs.anthropic.com/en/api/messages and, for the answers and their order,
https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/implement-tool-use
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openworld_worker.wire import JsonObject

from . import arguments
from .message import Answer, Call, Message, call, misshapen, stray

_WHOLE = (None, "end_turn", "tool_use", "stop_sequence")
_THOUGHT = ("thinking", "redacted_thinking")


def read(message: Any) -> Message:
    """A message with its content blocks."""
    if not isinstance(message, dict):
        return Message(calls=[misshapen("the message", message, "an object")])
    content, reason = message.get("content"), message.get("stop_reason")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        return Message(calls=[misshapen("content", content, "a list of blocks")])
    texts: list[str] = []
    calls: list[Call] = []
    for block in content:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "tool_use":
            given = arguments.given(block.get("input"))
            calls.append(call(name=block.get("name"), call_id=block.get("id"), given=given))
        elif kind == "text" and isinstance(block.get("text"), str):
            texts.append(block["text"])
        elif kind not in _THOUGHT:
            calls.append(stray(kind))
    # a tool_use block that max_tokens has cut off looks like a call with less input
    cut = "" if reason in _WHOLE else f"the message is not whole: stop_reason is {arguments.shown(reason)}"
    return Message(calls=calls, text="\n".join(texts), cut=cut)


def tell(answers: Sequence[Answer], notes: Sequence[str]) -> list[JsonObject]:
    """One `user` message: the results first, as the provider demands, then what concerns no call."""
    content: list[JsonObject] = [
        {
            "type": "tool_result",
            "tool_use_id": answer.call.id,
            "content": answer.text,
            "is_error": not answer.ok,
        }
        for answer in answers
    ]
    content += [{"type": "text", "text": note} for note in notes]
    return [{"role": "user", "content": content}] if content else []
