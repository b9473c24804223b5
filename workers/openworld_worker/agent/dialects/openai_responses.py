"""OpenAI Responses: `function_call` items among the output, answered by their `call_id`.

Source: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openworld_worker.wire import JsonObject

from . import arguments
from .message import Answer, Call, Message, call, misshapen, stray, unknown

_WHOLE = (None, "completed")


def read(message: Any) -> Message:
    """A response, or its list of output items alone."""
    status: Any = None
    output = message
    if isinstance(message, dict):
        status, output = message.get("status"), message.get("output")
    if not isinstance(output, list):
        return Message(calls=[misshapen("output", output, "a list of items")])
    texts: list[str] = []
    calls: list[Call] = []
    for item in output:
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "function_call":
            calls.append(_call(item))
        elif kind == "message":
            _message(item, texts, calls)
        elif kind != "reasoning":
            calls.append(stray(kind))
    cut = "" if status in _WHOLE else f"the response is not whole: its status is {arguments.shown(status)}"
    return Message(calls=calls, text="\n".join(texts), cut=cut)


def tell(answers: Sequence[Answer], notes: Sequence[str]) -> list[JsonObject]:
    """A `function_call_output` item for each call, then what concerns none of them."""
    told: list[JsonObject] = [
        {"type": "function_call_output", "call_id": answer.call.id, "output": answer.text}
        for answer in answers
    ]
    return told + [{"role": "user", "content": note} for note in notes]


def _call(item: JsonObject) -> Call:
    status = item.get("status")
    given = (
        arguments.parse(item.get("arguments"))
        if status in _WHOLE
        else f"is not whole: the call's status is {arguments.shown(status)}"
    )
    return call(name=item.get("name"), call_id=item.get("call_id"), given=given)


def _message(item: JsonObject, texts: list[str], calls: list[Call]) -> None:
    content = item.get("content")
    if not isinstance(content, list):
        calls.append(misshapen("the content of a message", content, "a list of parts"))
        return
    if item.get("status") not in _WHOLE:
        problem = f"the message is not whole: its status is {arguments.shown(item.get('status'))}"
        calls.append(unknown("message", problem))
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "output_text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            calls.append(stray(kind))
