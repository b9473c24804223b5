"""Gemini: `functionCall` parts, often without an id; then answers are matched by name and order.

Source: https://ai.google.dev/api/generate-content and https://ai.google.dev/gemini-api/docs/function-calling
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openworld_worker.wire import JsonObject

from . import arguments
from .message import Answer, Call, Message, call, misshapen, stray

_WHOLE = (None, "STOP", "FINISH_REASON_UNSPECIFIED")


def read(message: Any) -> Message:
    """A response with one candidate, a candidate, or its content alone."""
    reason: Any = None
    if isinstance(message, dict) and ("candidates" in message or "promptFeedback" in message):
        candidates = message.get("candidates")
        if not isinstance(candidates, list) or len(candidates) != 1:
            return Message(calls=[misshapen("candidates", candidates, "a list of one candidate")])
        message = candidates[0]
    if isinstance(message, dict) and ("content" in message or "finishReason" in message):
        reason, message = message.get("finishReason"), message.get("content", {})
    if not isinstance(message, dict):
        return Message(calls=[misshapen("content", message, "an object")])
    parts = message.get("parts", [])
    if not isinstance(parts, list):
        return Message(calls=[misshapen("parts", parts, "a list")])
    texts: list[str] = []
    calls: list[Call] = []
    for part in parts:
        _part(part, texts, calls)
    cut = "" if reason in _WHOLE else f"the message is not whole: finishReason is {arguments.shown(reason)}"
    return Message(calls=calls, text="\n".join(texts), cut=cut)


def tell(answers: Sequence[Answer], notes: Sequence[str]) -> list[JsonObject]:
    """One content with a `functionResponse` for each call, and another with what concerns none."""
    parts = [{"functionResponse": _response(answer)} for answer in answers]
    told: list[JsonObject] = [{"role": "user", "parts": parts}] if parts else []
    return told + [{"role": "user", "parts": [{"text": note}]} for note in notes]


def _response(answer: Answer) -> JsonObject:
    response: JsonObject = {"name": answer.call.name, "response": answer.body}
    return response if answer.call.id is None else {"id": answer.call.id, **response}


def _part(part: Any, texts: list[str], calls: list[Call]) -> None:
    if not isinstance(part, dict):
        calls.append(misshapen("a part", part, "an object"))
    elif "functionCall" in part:
        calls.append(_call(part["functionCall"]))
    elif isinstance(part.get("text"), str):
        if part.get("thought") is not True:
            texts.append(part["text"])
    elif set(part) - {"thoughtSignature", "thought"}:
        calls.append(stray(min(set(part) - {"thoughtSignature", "thought"}, key=str)))


def _call(function: Any) -> Call:
    if not isinstance(function, dict):
        return misshapen("functionCall", function, "an object")
    given = arguments.given(function["args"]) if "args" in function else {}  # documented as optional
    return call(name=function.get("name"), call_id=function.get("id"), given=given, needs_id=False)
