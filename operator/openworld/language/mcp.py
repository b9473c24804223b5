"""Which MCP server an MCP task calls and with what: one reading of authored and of resolved input.

Source of the keys: Conductor's MCPListToolsRequest and MCPToolCallRequest. Calls nothing, and judges no host.
"""

from __future__ import annotations

from collections.abc import Iterator

from openworld.api.meta import JsonObject

from .reading import suggestion
from .requests import OWN_HEADERS, Problem, Reading, header_texts

LISTING_KEYS = ("mcpServer", "headers")
CALL_KEYS = (*LISTING_KEYS, "method", "arguments")
#: Headers that follow from the protocol.
OWN = (
    *OWN_HEADERS,
    "accept",
    "content-type",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
)
_LONGEST_METHOD = 256


def listing_problems(given: JsonObject, *, authored: bool = True) -> Iterator[Problem]:
    """What is wrong with the input of a LIST_MCP_TOOLS task. Authored text may hold expressions."""
    for key, value in given.items():
        if key not in LISTING_KEYS and value is not None:
            meant = suggestion(str(key), LISTING_KEYS)
            yield (
                (key,),
                f"means nothing to a LIST_MCP_TOOLS task{meant or '; it reads ' + ', '.join(LISTING_KEYS)}",
            )
    yield from _server(given, Reading(authored=authored))


def call_problems(given: JsonObject, *, authored: bool = True) -> Iterator[Problem]:
    """What is wrong with the input of a CALL_MCP_TOOL task. Authored text may hold expressions."""
    reading = Reading(authored=authored)
    for key, value in given.items():
        if key not in CALL_KEYS and value is not None:
            meant = suggestion(str(key), CALL_KEYS)
            elsewhere = meant or "; what the tool is given stands under arguments"
            yield (key,), f"means nothing to a CALL_MCP_TOOL task{elsewhere}"
    yield from _server(given, reading)
    method = given.get("method")
    if not isinstance(method, str) or not method:
        yield ("method",), "is required: the name of the tool that is called"
    elif not reading.is_open(method) and len(method) > _LONGEST_METHOD:
        yield ("method",), f"must have at most {_LONGEST_METHOD} characters"
    arguments = given.get("arguments")
    if arguments is not None and not reading.is_open(arguments) and not isinstance(arguments, dict):
        yield ("arguments",), "must be an object: what the tool is given"


def listing_of(given: JsonObject) -> JsonObject:
    """The server and the headers in resolved input. Raises ValueError."""
    _refuse(listing_problems(given, authored=False))
    return {"mcpServer": given["mcpServer"], "headers": header_texts(given.get("headers") or {})}


def call_of(given: JsonObject) -> JsonObject:
    """The server, the headers and the call in resolved input. Raises ValueError."""
    _refuse(call_problems(given, authored=False))
    return {
        "mcpServer": given["mcpServer"],
        "headers": header_texts(given.get("headers") or {}),
        "method": given["method"],
        "arguments": given.get("arguments") or {},
    }


def _refuse(problems: Iterator[Problem]) -> None:
    for steps, message in problems:
        raise ValueError(f"{'.'.join(map(str, steps))}: {message}")


def _server(given: JsonObject, reading: Reading) -> Iterator[Problem]:
    server = given.get("mcpServer")
    if not isinstance(server, str) or not server:
        yield ("mcpServer",), "is required: the URL of an MCP server that speaks streamable HTTP"
    elif server.startswith("stdio:"):
        yield ("mcpServer",), "is a program to start; only servers that speak streamable HTTP are called"
    elif message := reading.url(server):
        yield ("mcpServer",), message
    if given.get("headers") is not None:
        yield from reading.headers(given["headers"], OWN)
