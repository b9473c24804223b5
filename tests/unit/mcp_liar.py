"""An MCP server on the wire that says whatever a test has it say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.unit.test_worker_builtin import Asked, Said, as_json

Lie = Callable[[dict[str, Any]], Said]


def liar(lie: Lie, **wrong: Lie) -> Callable[[Asked], Said]:
    """A server that keeps to the protocol until it is asked for tools; `wrong` says where it begins earlier."""

    def respond(asked: Asked) -> Said:
        if asked.method != "POST":
            return Said(405)
        message = json.loads(asked.body)
        method = message["method"]
        if method.replace("/", "_") in wrong:
            return wrong[method.replace("/", "_")](message)
        if method == "initialize":
            server = {"name": "liar", "version": "1"}
            return told(
                message,
                {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": server},
            )
        if method.startswith("notifications/"):
            return Said(202)
        if method.startswith("tools/"):
            return lie(message)
        return as_json({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no"}})

    return respond


def told(message: dict[str, Any], result: Any) -> Said:
    return as_json({"jsonrpc": "2.0", "id": message["id"], "result": result})


def always(said: Said) -> Lie:
    return lambda _message: said
