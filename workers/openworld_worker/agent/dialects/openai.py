"""OpenAI Chat Completions: `tool_calls`, whose arguments are strings; other providers speak it too.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openworld_worker.wire import JsonObject

from . import arguments
from .message import Answer, Call, Message, call, misshapen, stray

_WHOLE = (None, "stop", "tool_calls", "function_call")


def read(message: Any) -> Message:
    """A response with one choice, a choice, or its message alone."""
    choices = message.get("choices") if isinstance(message, dict) else None
    if choices is not None:
        if not isinstance(choices, list) or len(choices) != 1:
            return Message(calls=[misshapen("choices", choices, "a list of one choice")])
        message = choices[0]
    reason = None
    if isinstance(message, dict) and "message" in message:
        reason, message = message.get("finish_reason"), message["message"]
    if not isinstance(message, dict):
        return Message(calls=[misshapen("the message", message, "an object")])
    texts, calls = _content(message.get("content"))
    calls += _calls(message)
    refusal = message.get("refusal")
    if refusal:
        calls.append(stray("refusal"))
    cut = "" if reason in _WHOLE else f"the message is not whole: finish_reason is {arguments.shown(reason)}"
    return Message(calls=calls, text="\n".join(texts), cut=cut)


def tell(answers: Sequence[Answer], notes: Sequence[str]) -> list[JsonObject]:
    """A `tool` message for each call, then what concerns none of them."""
    told: list[JsonObject] = [
        {"role": "tool", "tool_call_id": answer.call.id, "content": answer.text} for answer in answers
    ]
    return told + [{"role": "user", "content": note} for note in notes]


def _calls(message: JsonObject) -> list[Call]:
    entries = message.get("tool_calls")
    entries = [] if entries is None else entries
    if not isinstance(entries, list):
        return [misshapen("tool_calls", entries, "a list")]
    calls = [_call(entry) for entry in entries]
    if message.get("function_call") is not None:
        calls.append(stray("function_call"))  # superseded by tool_calls; it has no id
    return calls


def _call(entry: Any) -> Call:
    if not isinstance(entry, dict):
        return misshapen("an entry of tool_calls", entry, "an object")
    kind, function = entry.get("type", "function"), entry.get("function")
    if kind != "function":
        return stray(kind)
    if not isinstance(function, dict):
        return misshapen("the function of a call", function, "an object")
    given = arguments.parse(function.get("arguments"))
    return call(name=function.get("name"), call_id=entry.get("id"), given=given)


def _content(content: Any) -> tuple[list[str], list[Call]]:
    if content is None or isinstance(content, str):
        return [content] if content else [], []
    if not isinstance(content, list):
        return [], [misshapen("content", content, "text or a list of parts")]
    texts: list[str] = []
    calls: list[Call] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            calls.append(stray(kind))
    return texts, calls
