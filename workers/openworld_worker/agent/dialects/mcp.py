"""Model Context Protocol: `tools/call` requests, as a client sends them to a server; one, or a list.

A JSON-RPC id is text or a whole number, and `1` is another one than `"1"`: a call's id here is the JSON text
of the request's. Source: https://modelcontextprotocol.io/specification/2025-06-18/server/tools and
https://www.jsonrpc.org/specification
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from openworld_worker.wire import JsonObject

from . import arguments
from .message import Answer, Call, Message, call, misshapen, stray

_METHOD = "tools/call"


def read(message: Any) -> Message:
    """A request, or a list of them."""
    requests = message if isinstance(message, list) else [message]
    return Message(calls=[_call(request) for request in requests])


def tell(answers: Sequence[Answer], notes: Sequence[str]) -> list[JsonObject]:
    """A response for each request; what concerns none is a logging notification."""
    told: list[JsonObject] = [
        {
            "jsonrpc": "2.0",
            "id": _request_id(answer.call.id),
            "result": {
                "content": [{"type": "text", "text": answer.text}],
                "structuredContent": answer.body,
                "isError": not answer.ok,
            },
        }
        for answer in answers
    ]
    return told + [
        {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "notice", "data": note}}
        for note in notes
    ]


def _call(request: Any) -> Call:
    if not isinstance(request, dict):
        return misshapen("a request", request, "an object")
    params = request.get("params")
    if request.get("method") != _METHOD:
        return stray(request.get("method"))
    if request.get("jsonrpc") != "2.0":
        return misshapen("jsonrpc", request.get("jsonrpc"), 'the string "2.0"')
    if not isinstance(params, dict):
        return misshapen("params", params, "an object")
    given = arguments.given(params["arguments"]) if "arguments" in params else {}  # documented as optional
    return call(name=params.get("name"), call_id=_id(request.get("id")), given=given)


def _id(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return json.dumps(value, ensure_ascii=False) if arguments.unrecordable(value) == "" else None


def _request_id(call_id: str | None) -> Any:
    try:
        return json.loads(call_id or "null")
    except ValueError:  # as where an Agent's settings redact it
        return call_id
