"""LIST_MCP_TOOLS and CALL_MCP_TOOL: what a server offers, and what one of its tools answers.

A server is not believed: how much it may send, for how long, how many pages, and where it may lead to is
bounded here. Of a call that was sent and not answered nobody knows whether it was done: NoAnswerError.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import anyio
import httpx2
import mcp_types as types
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from .answers import strict_json
from .exchange import NoAnswerError, NotSentError
from .mcp_wire import BrokenAnswerError, TooLargeError, Wire
from .report import RESULT_LIMIT, Outcome, Status, failed, stored_size
from .runner import Stopped
from .stoppable import run_stoppable
from .wire import JsonObject, clip

MOST_PAGES = 100
MOST_TOOLS = 2000
#: Seconds that a server has to take leave; its answer is there already.
FAREWELL = 2.0
#: What the client itself says when no answer, or no readable one, has come.
_NO_ANSWER = (types.CONNECTION_CLOSED, types.PARSE_ERROR, types.REQUEST_TIMEOUT)
_SHOWN_OF_AN_ERROR = 1000
#: The server knows no such tool, or not such arguments: the same call fails again.
_NEVER_TAKEN = (types.METHOD_NOT_FOUND, types.INVALID_PARAMS)

T = TypeVar("T")


def list_tools(given: JsonObject, seconds: float) -> Outcome:
    """All tools of a server, within so many seconds.

    Raises:
        Stopped: The pod was asked to stop before there was an answer.
        NotSentError: There is no connection.
        NoAnswerError: No whole answer came.
    """

    return _listed(given, seconds, _tool)


def discover_tools(given: JsonObject, seconds: float) -> Outcome:
    """All tools of a server with what it says of their effects; as `list_tools`."""
    return _listed(given, seconds, _tool_with_hints)


def _listed(given: JsonObject, seconds: float, form: Callable[[types.Tool], JsonObject]) -> Outcome:
    async def ask(client: Client, _wire: Wire) -> list[JsonObject]:
        tools: list[JsonObject] = []
        seen: set[str] = set()
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await client.session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
            tools += map(form, page.tools)
            cursor = page.next_cursor
            if not cursor:
                return tools
            if cursor in seen:
                raise BrokenAnswerError("it gives the same page of tools again and again")
            seen.add(cursor)
            if len(tools) > MOST_TOOLS:
                break
        raise BrokenAnswerError(f"it has more than {MOST_TOOLS:,} tools, or {MOST_PAGES} pages of them")

    told = _with_server(given, seconds, ask)
    return told if isinstance(told, Outcome) else _completed(given, {"tools": told})


def call_tool(given: JsonObject, key: str, seconds: float) -> Outcome:
    """What one tool answers, within so many seconds. `key` is the same whenever this call is repeated.

    Raises:
        Stopped: The pod was asked to stop before there was an answer.
        NotSentError: There is no connection: nothing was called.
        NoAnswerError: The call was sent, and no answer came that could be read.
    """

    async def ask(client: Client, wire: Wire) -> types.CallToolResult:
        call = types.CallToolRequestParams(
            name=given["method"],
            arguments=given["arguments"],
            _meta={"openworld.dev/idempotencyKey": key},
        )
        wire.calls = True
        return await client.session.send_request(types.CallToolRequest(params=call), types.CallToolResult)

    result = _with_server(given, seconds, ask)
    if isinstance(result, Outcome):
        return result
    output: JsonObject = {"content": [_content(item) for item in result.content], "isError": result.is_error}
    if result.structured_content is not None:
        output["structuredContent"] = result.structured_content
    outcome = _completed(given, output)
    if not result.is_error or outcome.status is not Status.COMPLETED:
        return outcome
    said = "\n".join(item["text"] for item in output["content"] if item.get("text"))
    reason = f"the tool {given['method']} failed: {clip(said, _SHOWN_OF_AN_ERROR) or 'it says nothing'}"
    return replace(failed(reason), output=output)


def _with_server(
    given: JsonObject, seconds: float, ask: Callable[[Client, Wire], Awaitable[T]]
) -> T | Outcome:
    """What was asked for, or how that failed."""
    for name in ("mcp", "httpx2", "httpcore2"):  # they would log URLs and answers
        logging.getLogger(name).setLevel(logging.CRITICAL)
    wire = Wire(given["mcpServer"])
    for value in given["headers"].values():  # a secret's value is known only here, and errors would quote it
        if not (value.isascii() and value.isprintable()):
            raise NotSentError(f"{wire.shown}: a header holds a character that none may have")
    answers: list[T] = []

    async def run() -> None:
        with anyio.move_on_after(seconds) as patience:
            async with (
                wire.client(given["headers"]) as http,
                Client(
                    streamable_http_client(
                        given["mcpServer"], http_client=http, max_sse_event_size=wire.limit
                    ),
                    cache=None,
                ) as client,
            ):
                answers.append(await ask(client, wire))
                patience.deadline = min(patience.deadline, anyio.current_time() + FAREWELL)

    try:
        run_stoppable(run)
    except Stopped:
        if not answers:
            raise
    except Exception as error:
        if not answers:
            return _failed(wire, _leaf(error))
    if answers:
        return answers[0]
    said = f"{wire.shown}: no answer within {seconds:.3g} s"
    raise NoAnswerError(said) if wire.has_called else NotSentError(said)


def _leaf(error: BaseException) -> BaseException:
    """The first cause in a group of errors that is not only that all was given up."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _failed(wire: Wire, error: BaseException) -> Outcome:
    """How a failure is told. Raises NotSentError or NoAnswerError where that is what happened."""
    if isinstance(error, TooLargeError):
        return failed(_too_large(wire.shown), terminal=True)
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        raise NotSentError(f"{wire.shown}: cannot connect: {error or 'it took too long'}") from error
    if wire.status >= 300:
        said = f": {error.message}" if isinstance(error, MCPError) else ""
        return failed(
            f"{wire.shown} answered {wire.status}{clip(said, _SHOWN_OF_AN_ERROR)}", terminal=wire.is_denied
        )
    if isinstance(error, MCPError) and error.code not in _NO_ANSWER and wire.has_answered:
        said = clip(error.message, _SHOWN_OF_AN_ERROR)
        return failed(f"{wire.shown}: error {error.code}: {said}", terminal=error.code in _NEVER_TAKEN)
    if isinstance(error, BrokenAnswerError):
        return failed(f"{wire.shown}: {error}", terminal=True)
    if isinstance(error, MCPError | ValidationError | httpx2.HTTPError):
        lines = str(error).splitlines() or [type(error).__name__]
        what = f"{wire.shown}: no answer that can be read: {clip(lines[0], _SHOWN_OF_AN_ERROR)}"
        if wire.has_called:
            raise NoAnswerError(what) from error
        return failed(what)
    raise error


def _completed(given: JsonObject, output: JsonObject) -> Outcome:
    if stored_size(output) > RESULT_LIMIT:
        return failed(_too_large(Wire(given["mcpServer"]).shown), terminal=True)
    return Outcome(status=Status.COMPLETED, output=output)


def _too_large(shown: str) -> str:
    return f"{shown} answered with more than the {RESULT_LIMIT:,} bytes that a result may hold; ask for less"


def _tool(tool: types.Tool) -> JsonObject:
    """A tool in Conductor's form (ToolInfo)."""
    return {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema}


def _tool_with_hints(tool: types.Tool) -> JsonObject:
    said = tool.annotations
    hints = {} if said is None else said.model_dump(by_alias=True, mode="json", exclude_none=True)
    return _tool(tool) | {"annotations": hints}


def _content(item: Any) -> JsonObject:
    """An item in Conductor's form (ContentItem): `parsed` is the JSON that a text is, or else the text."""
    said = item.model_dump(by_alias=True, mode="json", exclude_none=True)
    resource = said.get("resource", {})
    found = {
        "type": said["type"],
        "text": said.get("text", resource.get("text")),
        "data": said.get("data", resource.get("blob")),
        "mimeType": said.get("mimeType", resource.get("mimeType")),
        "uri": said.get("uri", resource.get("uri")),
    }
    if said["type"] == "text":
        found["parsed"] = _parsed(said["text"])
    return {name: value for name, value in found.items() if value is not None}


def _parsed(text: str) -> Any:
    if text.lstrip().startswith(("{", "[")):
        try:
            return strict_json(text)
        except ValueError:
            pass
    return text
