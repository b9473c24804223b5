"""The built-in tools: what the Job of an HTTP, EVENT, LLM or MCP task does.

The operator has read the task's input and hands over a whole request, or a whole CloudEvent; nothing is
decided here but what an answer means. A request that changes something, and of which nobody knows whether it
was done, is never sent again unless `--repeatable` says that its author wants that. What only some of them
need is imported by those alone, for a request should not wait for the libraries of another.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from .answers import REDIRECTS, strict_json, text_of, told
from .assignment import Identity, read_task
from .errors import ContractError, WorkerError
from .exchange import NoAnswerError, NotSentError, Request, Response, exchange
from .report import RESULT_LIMIT, Outcome, Reporter, Status, failed, stored_size
from .runner import Stopped, run_attempt, stopping
from .wire import JsonObject, clip, encode

_VARIABLES = ("OPENWORLD_SECRET_", "MCP_SECRET_")
READS = ("GET", "HEAD", "OPTIONS")
EVENT_TYPE = "application/cloudevents+json; charset=UTF-8"
MOST_REDIRECTS = 5
#: The sink does not want such events any more, or does not know their form (CloudEvents' web hooks).
_NEVER_TAKEN = (410, 415)
#: What is shorter hides nothing, and would make holes in any text.
_SHORTEST_SECRET = 4
_KEPT_OF_A_FAILURE = 16 * 1024
_UNKNOWN = "OutcomeUnknown: "
#: Tools that may be run again when nobody knows what they did.
_SAFE = ("event", "llm-chat-complete", "list-mcp-tools", "discover-mcp-tools")
#: Nothing is waited for longer: not every platform's clocks go as far as a deadline may.
_A_DAY = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What a tool needs to know beside its input."""

    key: str
    """The same for every attempt of the task."""
    seconds: float
    """How long the attempt may still take."""


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """The command of a built-in tool's container; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m openworld_worker.builtin", description=__doc__)
    parser.add_argument("tool", choices=sorted(_TOOLS))
    parser.add_argument("--repeatable", action="store_true", help="an unknown outcome may be tried again")
    parser.add_argument("--server", help="a catalog's MCP server: its URL, and which variables hold headers")
    parser.add_argument("--method", help="the tool of that server")
    given = parser.parse_args(arguments)

    def attempt(me: Identity, _reporter: Reporter, _cancelled: threading.Event) -> Outcome:
        try:
            task = read_task(me.task_file)
            asked = task["input"]
            if given.server is not None:
                asked = _of_catalog(given.server, given.method, asked, environ)
        except WorkerError as error:
            return failed(str(error), terminal=True)
        seconds = (me.deadline - datetime.now(UTC)).total_seconds()
        outcome = call(
            given.tool, asked, key=me.idempotency_key, repeatable=given.repeatable, seconds=seconds
        )
        return _without(outcome, [value for name, value in environ.items() if name.startswith(_VARIABLES)])

    return run_attempt(environ, attempt)


def call(
    tool: str, given: JsonObject, *, key: str, repeatable: bool = False, seconds: float = _A_DAY
) -> Outcome:
    """Run a built-in tool with the input that the operator has made; whatever happens becomes an outcome."""
    try:
        with stopping():
            return _TOOLS[tool](given, Attempt(key=key, seconds=min(seconds, _A_DAY)))
    except NotSentError as error:
        return failed(str(error))
    except (NoAnswerError, Stopped) as error:
        is_read = tool == "http" and given.get("method") in READS
        return _unanswered(error, safe=repeatable or tool in _SAFE or is_read)
    except Exception as error:
        traceback.print_exc()
        return failed(f"{type(error).__name__}: {error}", terminal=True)


def _http(given: JsonObject, attempt: Attempt) -> Outcome:
    method = given["method"]
    headers = {"Accept": given["accept"]}
    body = _body(given.get("body"))
    if body is not None:
        headers["Content-Type"] = given["contentType"]
    if method not in READS:
        headers["Idempotency-Key"] = attempt.key
    request = Request(
        method=method,
        url=given["uri"],
        headers=_over(headers, given["headers"]),
        body=body,
        connect_seconds=_seconds(given["connectionTimeOut"]),
        read_seconds=_seconds(given["readTimeOut"]),
    )
    response = _following(request)
    if 200 <= response.status < 300:
        return _succeeded(request, response)
    output = {"response": _wire(response, _kept(response))}
    fits = stored_size(output) <= RESULT_LIMIT
    return replace(failed(told(request, response)), output=output if fits else None)


def _event(given: JsonObject, attempt: Attempt) -> Outcome:  # noqa: ARG001  (an event names itself)
    event, sink = given["event"], given["sink"]
    request = Request(
        method="POST", url=sink, headers={"Content-Type": EVENT_TYPE}, body=encode(event), read_seconds=30.0
    )
    response = exchange(request, RESULT_LIMIT)
    if not 200 <= response.status < 300:
        return failed(told(request, response), terminal=response.status in _NEVER_TAKEN)
    sent = {name: value for name, value in event.items() if name != "data"}
    return Outcome(status=Status.COMPLETED, output={"event_produced": sent, "sink": sink})


def _llm_chat_complete(given: JsonObject, attempt: Attempt) -> Outcome:
    from .completion import complete

    return complete(given, attempt.seconds)


def _list_mcp_tools(given: JsonObject, attempt: Attempt) -> Outcome:
    from .mcp_tools import list_tools

    return list_tools(given, attempt.seconds)


def _call_mcp_tool(given: JsonObject, attempt: Attempt) -> Outcome:
    from .mcp_tools import call_tool

    return call_tool(given, attempt.key, attempt.seconds)


def _discover_mcp_tools(given: JsonObject, attempt: Attempt) -> Outcome:
    from .mcp_tools import discover_tools

    return discover_tools(given, attempt.seconds)


_TOOLS: Mapping[str, Callable[[JsonObject, Attempt], Outcome]] = {
    "http": _http,
    "event": _event,
    "llm-chat-complete": _llm_chat_complete,
    "list-mcp-tools": _list_mcp_tools,
    "call-mcp-tool": _call_mcp_tool,
    "mcp": _call_mcp_tool,
    "discover-mcp-tools": _discover_mcp_tools,
}


def _of_catalog(
    server: str, method: str | None, arguments: JsonObject, environ: Mapping[str, str]
) -> JsonObject:
    """The call of a tool of a catalog's server: all but its arguments is the catalog's.

    Raises:
        ContractError: The variable of a header is not set.
    """
    said = json.loads(server)
    headers = {}
    for header in said["headers"]:
        variable, name = header["variable"], header["name"]
        if variable not in environ:
            raise ContractError(f"the variable {variable} of the header {name} is not set")
        headers[name] = header["prefix"] + environ[variable]
    call = {"mcpServer": said["url"], "headers": headers}
    return call if method is None else call | {"method": method, "arguments": arguments}


def _without(outcome: Outcome, secrets: list[str]) -> Outcome:
    """The outcome without the values of secrets, should the URL or the answer hold them."""
    texts = {*secrets, *(text.strip() for text in secrets)}
    hidden = sorted((text for text in texts if len(text) >= _SHORTEST_SECRET), key=len, reverse=True)
    return replace(
        outcome,
        reason=_hiding(outcome.reason, hidden),
        output=_hiding(outcome.output, hidden),
        usage=_hiding(outcome.usage, hidden),
    )


def _hiding(value: Any, hidden: list[str]) -> Any:
    if isinstance(value, str):
        for text in hidden:
            value = value.replace(text, "***")
        return value
    if isinstance(value, dict):
        return {_hiding(key, hidden): _hiding(item, hidden) for key, item in value.items()}
    return [_hiding(item, hidden) for item in value] if isinstance(value, list) else value


def _following(request: Request) -> Response:
    """The answer, behind redirects of a GET or HEAD that stay with the same scheme and host."""
    for _ in range(MOST_REDIRECTS + 1):
        response = exchange(request, RESULT_LIMIT)
        target = response.header("Location")
        if response.status not in REDIRECTS or request.method not in ("GET", "HEAD") or not target:
            return response
        url = urljoin(request.url, target)
        if _origin(url) != _origin(request.url):
            return response
        request = replace(request, url=url)
    raise NotSentError(f"{request.shown}: more than {MOST_REDIRECTS} redirects")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _unanswered(error: BaseException, *, safe: bool) -> Outcome:
    reason = str(error) or "the pod was asked to stop (SIGTERM) before an answer came"
    if safe:
        return failed(reason)
    hint = "it is not sent again by itself, since it may have been done; retryCount says that it may be"
    return failed(f"{_UNKNOWN}{reason}; {hint}", terminal=True)


def _succeeded(request: Request, response: Response) -> Outcome:
    too_large = (
        f"{request.shown} answered with more than the {RESULT_LIMIT:,} bytes that a result may hold; "
        "ask for less, or have a tool keep it elsewhere"
    )
    if response.is_cut:
        return failed(too_large, terminal=True)
    try:
        body = _parsed(response)
    except UnicodeDecodeError:
        kind = response.header("Content-Type") or "of no type"
        return failed(f"{request.shown} answered with a body that is no text ({kind})", terminal=True)
    output = {"response": _wire(response, body)}
    if stored_size(output) > RESULT_LIMIT:
        return failed(too_large, terminal=True)
    return Outcome(status=Status.COMPLETED, output=output)


def _wire(response: Response, body: Any) -> JsonObject:
    """The answer in Conductor's form."""
    return {
        "statusCode": response.status,
        "reasonPhrase": response.reason,
        "headers": response.headers,
        "body": body,
    }


def _kept(response: Response) -> Any:
    """What is kept of the body of a failure."""
    if len(response.body) <= _KEPT_OF_A_FAILURE:
        try:
            return _parsed(response)
        except UnicodeDecodeError:
            pass
    return clip(text_of(response, errors="replace"), _KEPT_OF_A_FAILURE)


def _parsed(response: Response) -> Any:
    """The body: null if there is none, JSON if it is that, else its text."""
    if not response.body:
        return None
    text = text_of(response)
    try:
        value = strict_json(text)
    except ValueError:
        return text
    is_json = "json" in response.header("Content-Type").lower()
    return value if is_json or isinstance(value, dict | list) else text


def _body(body: Any) -> bytes | None:
    if body is None:
        return None
    return body.encode() if isinstance(body, str) else encode(body)


def _over(defaults: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    """Headers as given, and the defaults for those that are not, whatever the case of their names."""
    names = {name.lower() for name in given}
    return {name: value for name, value in defaults.items() if name.lower() not in names} | given


def _seconds(milliseconds: int) -> float | None:
    return milliseconds / 1000 if milliseconds else None


if __name__ == "__main__":
    sys.exit(main())
