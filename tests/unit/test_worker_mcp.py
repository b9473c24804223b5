"""The MCP tools' worker against a real server of the protocol's own library, and against one that lies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import ToolAnnotations
from pydantic import TypeAdapter

from openworld.api.meta import DnsName
from openworld.controller import names
from openworld_worker import builtin
from openworld_worker.assignment import DISCOVERY
from openworld_worker.mcp_tools import MOST_PAGES, call_tool
from openworld_worker.mcp_wire import Wire
from openworld_worker.report import RESULT_LIMIT, Outcome, Status, label_value
from openworld_worker.runner import Stopped
from openworld_worker.stoppable import run_stoppable
from tests.unit.api_double import Answer, ApiDouble
from tests.unit.mcp_liar import Lie, always, liar, told
from tests.unit.test_worker_builtin import Asked, Said, Service, as_json, serving
from tests.unit.test_worker_report import environment

KEY = "key-1"


def made() -> MCPServer:
    server = MCPServer("tracker")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    @server.tool()
    def issue(title: str) -> str:
        return json.dumps({"id": 7, "title": title})

    @server.tool()
    def fail() -> str:
        raise ValueError("out of paper")

    @server.tool()
    def large(size: int) -> str:
        return "x" * size

    @server.tool()
    async def headers(ctx: Context) -> dict[str, Any]:
        request = ctx.request_context.request
        return {
            "authorization": request.headers.get("Authorization"),
            "meta": dict(ctx.request_context.meta or {}),
        }

    return server


@contextmanager
def running(server: MCPServer, **options: Any) -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        settings = uvicorn.Config(server.streamable_http_app(**options), log_level="critical", lifespan="on")
        runner = uvicorn.Server(settings)
        started = threading.Event()
        begin = runner.startup

        async def startup(*arguments: Any, **named: Any) -> None:
            await begin(*arguments, **named)
            started.set()

        runner.startup = startup  # type: ignore[method-assign]
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            assert started.wait(20)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        finally:
            runner.should_exit = True
            thread.join()


@pytest.fixture(scope="module", params=["events", "json"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with running(made(), json_response=request.param == "json") as url:
        yield url


def tools(url: str, seconds: float = 20, **headers: str) -> Outcome:
    return builtin.call("list-mcp-tools", {"mcpServer": url, "headers": headers}, key=KEY, seconds=seconds)


def call(
    url: str,
    method: str = "add",
    arguments: Any = None,
    seconds: float = 20,
    repeatable: bool = False,
    **headers: str,
) -> Outcome:
    given = {"mcpServer": url, "headers": headers, "method": method, "arguments": arguments or {}}
    return builtin.call("call-mcp-tool", given, key=KEY, seconds=seconds, repeatable=repeatable)


def output(outcome: Outcome) -> dict[str, Any]:
    assert outcome.status is Status.COMPLETED, outcome.reason
    assert outcome.output is not None
    return outcome.output


# A real server.


def test_its_tools_are_listed_in_conductors_form(server: str) -> None:
    listed = output(tools(server))["tools"]
    assert [tool["name"] for tool in listed] == ["add", "issue", "fail", "large", "headers"]
    assert (set(listed[0]), listed[0]["description"]) == ({"name", "description", "inputSchema"}, "Adds.")
    assert listed[0]["inputSchema"]["required"] == ["a", "b"]


def test_a_tool_is_called_and_answers_in_conductors_form(server: str) -> None:
    assert output(call(server, "add", {"a": 1, "b": 2})) == {
        "content": [{"type": "text", "text": "3", "parsed": "3"}],
        "isError": False,
        "structuredContent": {"result": 3},
    }


def test_text_that_is_json_stands_beside_it_read(server: str) -> None:
    [item] = output(call(server, "issue", {"title": "Broken"}))["content"]
    assert item["parsed"] == {"id": 7, "title": "Broken"}


@pytest.mark.parametrize("method", ["fail", "nothing_of_that_name", "add"])
def test_what_a_tool_says_is_an_error_fails_the_attempt_with_its_words(server: str, method: str) -> None:
    outcome = call(server, method)
    assert outcome.status is Status.FAILED
    assert outcome.reason.startswith(f"the tool {method} failed: ")
    assert outcome.output is not None
    assert outcome.output["isError"] is True


def test_headers_and_the_key_of_a_repetition_reach_the_tool(server: str) -> None:
    [item] = output(call(server, "headers", Authorization="Bearer s3cr3t"))["content"]
    assert item["parsed"]["authorization"] == "Bearer s3cr3t"
    assert item["parsed"]["meta"]["openworld.dev/idempotencyKey"] == KEY


@pytest.mark.parametrize("size", [RESULT_LIMIT, Wire.limit, 4 * Wire.limit])
def test_a_result_larger_than_a_result_may_be_is_a_clear_failure(server: str, size: int) -> None:
    outcome = call(server, "large", {"size": size})
    assert outcome.status is Status.FAILED_WITH_TERMINAL_ERROR
    assert "answered with more than the 1,000,000 bytes that a result may hold" in outcome.reason


def test_a_place_where_no_server_is_says_so(server: str) -> None:
    for outcome in (tools(f"{server}/nowhere"), call(f"{server}/nowhere")):
        assert (outcome.status, outcome.reason) == (
            Status.FAILED,
            f"MCP server {server}/nowhere answered 404: Not Found",
        )


def test_nobody_there_may_be_tried_again_even_by_a_call() -> None:
    for outcome in (tools("http://127.0.0.1:1/mcp"), call("http://127.0.0.1:1/mcp")):
        assert outcome.status is Status.FAILED
        assert "cannot connect" in outcome.reason
        assert not outcome.reason.startswith("OutcomeUnknown")


# One that lies.


def event(body: bytes, **more: Any) -> Said:
    return Said(200, body, {"Content-Type": "text/event-stream"}, **more)


def endless(message: dict[str, Any]) -> Said:
    number = int(message.get("params", {}).get("cursor") or 0)
    return told(message, {"tools": [], "nextCursor": str(number + 1)})


def asked_for(service: Service, method: str) -> int:
    return sum(
        asked.method == "POST" and json.loads(asked.body)["method"] == method for asked in service.asked
    )


def test_pages_without_end_are_given_up() -> None:
    with serving(liar(endless)) as service:
        outcome = tools(service.url)
    assert outcome.status is Status.FAILED_WITH_TERMINAL_ERROR
    assert "it has more than 2,000 tools, or 100 pages of them" in outcome.reason
    assert asked_for(service, "tools/list") == MOST_PAGES


def test_a_page_that_comes_again_is_noticed() -> None:
    with serving(liar(lambda message: told(message, {"tools": [], "nextCursor": "a"}))) as service:
        outcome = tools(service.url)
    assert "it gives the same page of tools again and again" in outcome.reason
    assert asked_for(service, "tools/list") == 2


def test_pages_with_too_much_together_are_a_clear_failure() -> None:
    tool = {"name": "t", "description": "x" * 200_000, "inputSchema": {"type": "object"}}

    def page(message: dict[str, Any]) -> Said:
        number = int(message.get("params", {}).get("cursor") or 0)
        more = {"nextCursor": str(number + 1)} if number < 9 else {}
        return told(message, {"tools": [tool], **more})

    with serving(liar(page)) as service:
        outcome = tools(service.url)
    assert outcome.status is Status.FAILED_WITH_TERMINAL_ERROR
    assert "answered with more than" in outcome.reason


#: What is said in place of a result, and whether the call may have been done.
LIES = [
    ("broken-json", always(Said(200, b'{"jsonrpc": "2.0", ', {"Content-Type": "application/json"})), True),
    ("no-json", always(Said(200, b"<html>hello</html>", {"Content-Type": "text/html"})), True),
    ("no-type", always(Said(200, b"hello")), True),
    ("accepted", always(Said(202)), True),
    ("dropped", always(Said(drops=True)), True),
    ("a-stream-that-ends", always(event(b": nothing\n\n")), True),
    ("a-stream-of-other-things", always(event(b"data: hello\n\n")), True),
    ("another-form", lambda message: told(message, {"tools": "many", "content": "none"}), True),
    ("an-error", lambda message: as_json({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32603, "message": "boom"}}), False),
    ("500", always(Said(500, b"boom")), False),
    ("a-redirect", always(Said(307, headers={"Location": "http://127.0.0.1:1/mcp"})), False),
]  # fmt: skip


@pytest.mark.parametrize(("lie", "is_unknown"), [each[1:] for each in LIES], ids=[each[0] for each in LIES])
def test_a_call_may_be_done_unless_the_answer_says_that_it_was_not(lie: Lie, is_unknown: bool) -> None:
    with serving(liar(lie)) as service:
        listing, called, again = tools(service.url), call(service.url), call(service.url, repeatable=True)
    assert (listing.status, again.status) == (Status.FAILED, Status.FAILED)
    assert not listing.reason.startswith("OutcomeUnknown")
    assert called.reason.startswith("OutcomeUnknown: MCP server ") is is_unknown, called.reason
    assert (called.status is Status.FAILED_WITH_TERMINAL_ERROR) is is_unknown
    assert asked_for(service, "tools/call") == 2


@pytest.mark.parametrize(
    "said", [Said(hangs=True), event(b": still here\n\n", streams=True), event(b"data: {", streams=True)]
)
def test_a_server_that_never_ends_its_answer_is_given_up_in_time(said: Said) -> None:
    with serving(liar(always(said))) as service:
        listing, called = tools(service.url, seconds=0.5), call(service.url, seconds=0.5)
    assert (listing.status, listing.reason) == (
        Status.FAILED,
        f"MCP server {service.url}: no answer within 0.5 s",
    )
    assert called.reason.startswith(f"OutcomeUnknown: MCP server {service.url}: no answer within")


def test_a_server_that_hangs_before_the_call_has_done_nothing() -> None:
    with serving(liar(endless, initialize=always(Said(hangs=True)))) as service:
        called = call(service.url, seconds=0.5)
    assert (called.status, asked_for(service, "tools/call")) == (Status.FAILED, 0)
    assert not called.reason.startswith("OutcomeUnknown")


def test_a_server_that_does_not_let_go_keeps_no_answer_back() -> None:
    result = {"content": [{"type": "text", "text": "done"}]}

    def respond(asked: Asked) -> Said:
        if asked.method == "DELETE":
            return Said(hangs=True)
        said = liar(lambda message: told(message, result))(asked)
        return replace(said, headers={**said.headers, "Mcp-Session-Id": "s1"})

    with serving(respond) as service:
        assert output(call(service.url))["content"][0]["text"] == "done"
    assert [asked.method for asked in service.asked].count("DELETE") == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_does_not_let_in_is_not_asked_again(status: int) -> None:
    with serving(Said(status, b"who are you?")) as service:
        outcome = call(service.url)
    assert outcome.status is Status.FAILED_WITH_TERMINAL_ERROR
    assert f"answered {status}" in outcome.reason


def test_an_answer_that_is_compressed_unasked_is_not_unpacked() -> None:
    with serving(
        Said(200, b"x", {"Content-Type": "application/json", "Content-Encoding": "gzip"})
    ) as service:
        outcome = tools(service.url)
    assert "it compresses what was asked for uncompressed" in outcome.reason
    assert all(asked.headers["Accept-Encoding"] == "identity" for asked in service.asked)


@pytest.mark.parametrize("size", [Wire.limit, 64 * Wire.limit])
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_an_answer_without_end_is_not_read_to_its_end(kind: str, size: int) -> None:
    body = b'data: "' + b"x" * size
    with serving(liar(always(Said(200, body, {"Content-Type": kind})))) as service:
        outcome = call(service.url)
    assert outcome.status is Status.FAILED_WITH_TERMINAL_ERROR


def test_a_redirect_within_the_server_is_followed_with_its_message() -> None:
    inner = liar(lambda message: told(message, {"content": []}))

    def respond(asked: Asked) -> Said:
        return inner(asked) if asked.path == "/mcp/" else Said(308, headers={"Location": "/mcp/"})

    with serving(respond) as service:
        assert output(call(f"{service.url}/mcp")) == {"content": [], "isError": False}


def test_a_redirect_elsewhere_takes_no_header_along() -> None:
    with (
        serving(liar(endless)) as elsewhere,
        serving(Said(308, headers={"Location": elsewhere.url})) as service,
    ):
        outcome = call(service.url, Authorization="Bearer s3cr3t")
    assert (outcome.status, elsewhere.asked) == (Status.FAILED, [])
    assert "answered 308: Redirect to" in outcome.reason


@pytest.mark.parametrize("value", ["Bearer s3cr3t\n", "Bearer s3cr\u00e9t", "s3cr3t\r\nX: y"])
def test_a_header_that_cannot_be_written_is_not_quoted(value: str, capfd: pytest.CaptureFixture[str]) -> None:
    with serving(liar(endless)) as service:
        outcome = call(service.url, Authorization=value)
    assert (outcome.status, service.asked) == (Status.FAILED, [])
    assert outcome.reason == f"MCP server {service.url}: a header holds a character that none may have"
    assert "s3cr" not in "".join(capfd.readouterr())


def test_every_kind_of_content_is_told() -> None:
    content = [
        {"type": "image", "data": "eA==", "mimeType": "image/png"},
        {"type": "resource", "resource": {"uri": "file:///a", "text": "A", "mimeType": "text/plain"}},
        {"type": "resource_link", "uri": "file:///b", "name": "b"},
        {"type": "text", "text": "{broken"},
    ]
    with serving(liar(lambda message: told(message, {"content": content}))) as service:
        assert output(call(service.url))["content"] == [
            {"type": "image", "data": "eA==", "mimeType": "image/png"},
            {"type": "resource", "text": "A", "mimeType": "text/plain", "uri": "file:///a"},
            {"type": "resource_link", "uri": "file:///b"},
            {"type": "text", "text": "{broken", "parsed": "{broken"},
        ]


def ask_to_stop(*_anything: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def hanging_when(asked: str, act: Callable[[], object]) -> Callable[[Asked], Said]:
    """A server that never answers a call, and does something when it is asked for a method."""

    def respond(message: Asked) -> Said:
        if message.method == "POST" and json.loads(message.body)["method"] == asked:
            act()
        return liar(always(Said(hangs=True)))(message)

    return respond


@pytest.mark.parametrize("asked", ["initialize", "tools/call"])
def test_a_pod_that_is_asked_to_stop_during_a_call_says_that_it_may_be_done(asked: str) -> None:
    with serving(hanging_when(asked, ask_to_stop)) as service:
        outcome = call(service.url)
    assert outcome.status is Status.FAILED_WITH_TERMINAL_ERROR
    assert outcome.reason.startswith("OutcomeUnknown: the pod was asked to stop (SIGTERM) before an answer")


def test_a_pod_that_is_asked_to_stop_while_it_lists_may_list_again() -> None:
    with serving(hanging_when("tools/list", ask_to_stop)) as service:
        outcome = tools(service.url)
    assert (outcome.status, outcome.reason) == (
        Status.FAILED,
        "the pod was asked to stop (SIGTERM) before an answer came",
    )


def in_a_task(_loop: asyncio.AbstractEventLoop) -> None:
    ask_to_stop()


def in_a_callback(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon(ask_to_stop)


def in_a_task_that_nobody_asks(loop: asyncio.AbstractEventLoop) -> None:
    async def step() -> None:
        ask_to_stop()

    kept.append(loop.create_task(step()))


def twice(loop: asyncio.AbstractEventLoop) -> None:
    ask_to_stop()
    loop.call_soon(ask_to_stop)


#: A task is forgotten by its loop when nobody keeps it.
kept: list[asyncio.Task[None]] = []


@pytest.mark.parametrize("place", [in_a_task, in_a_callback, in_a_task_that_nobody_asks, twice])
@pytest.mark.parametrize("asked", ["initialize", "tools/call"])
def test_nothing_in_an_event_loop_swallows_a_request_to_stop(
    asked: str, place: Callable[[asyncio.AbstractEventLoop], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopping(Wire):
        async def _asked(self, request: Any) -> None:
            await super()._asked(request)
            if request.method == "POST" and json.loads(request.content)["method"] == asked:
                place(asyncio.get_running_loop())

    monkeypatch.setattr("openworld_worker.mcp_tools.Wire", Stopping)
    with serving(liar(always(Said(hangs=True)))) as service:
        given = {"mcpServer": service.url, "headers": {}, "method": "add", "arguments": {}}
        with pytest.raises(Stopped):  # NoAnswerError, were it only noticed when there is no more time
            call_tool(given, KEY, seconds=5)


@pytest.mark.parametrize("early", [True, False])
def test_a_request_to_stop_right_before_and_after_the_loop_runs_is_not_lost(
    early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = anyio.run

    def around(work: Callable[[], Any]) -> None:
        if early:
            ask_to_stop()
        run(work)
        ask_to_stop()

    monkeypatch.setattr("openworld_worker.stoppable.anyio.run", around)
    done: list[bool] = []

    async def work() -> None:
        await anyio.sleep(0)
        done.append(True)

    with pytest.raises(Stopped):
        run_stoppable(work)
    assert done == ([] if early else [True])


def test_an_answer_that_is_there_is_kept_by_a_pod_that_is_asked_to_stop() -> None:
    def respond(asked: Asked) -> Said:
        if asked.method == "DELETE":
            ask_to_stop()
            return Said(hangs=True)
        said = liar(lambda message: told(message, {"content": []}))(asked)
        return replace(said, headers={**said.headers, "Mcp-Session-Id": "s1"})

    with serving(respond) as service:
        assert output(call(service.url)) == {"content": [], "isError": False}


def test_a_request_to_stop_is_heard_as_before_when_the_loop_has_ended() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with serving(liar(lambda message: told(message, {"content": []}))) as service:
        call(service.url)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_request_over_http_does_not_wait_for_the_libraries_of_others() -> None:
    code = "import sys, openworld_worker.builtin as b; b.call('http', {}, key='k'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"mcp", "mcp_types", "httpx2", "pydantic", "anyio", "asyncio"})
    assert "openworld_worker.completion" not in done.stdout.split()


# As a catalog's server: where it is and what it wants comes from the command, never from the input.


def of_catalog(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tool: str,
    url: str,
    *more: str,
    given: dict[str, Any] | None = None,
    variable: str = "MCP_SECRET_0",
    execution: str = "run-1",
) -> dict[str, Any]:
    """What the container of a catalog's tool reports."""
    task = tmp_path / "task.json"
    task.write_text(json.dumps({"input": given or {}}))
    header = {"name": "Authorization", "prefix": "dark ", "variable": variable}
    said = json.dumps({"url": url, "headers": [header]})
    environ = environment(
        TASK_FILE=str(task), REPORT="TaskResult", DEADLINE="2999-01-01T00:00:00Z", EXECUTION=execution
    )
    with ApiDouble(tmp_path, lambda _asked: Answer(201)) as double:
        monkeypatch.setattr("openworld_worker.runner.in_cluster", lambda _environ: double.server)
        builtin.main([tool, f"--server={said}", *more], environ | {"MCP_SECRET_0": "blue-as-the-sea"})
    (report,) = double.asked
    return dict(report.body)


def test_a_tool_of_a_catalog_takes_the_whole_input_as_arguments(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = of_catalog(tmp_path, monkeypatch, "mcp", server, "--method=add", given={"a": 1, "b": 2})
    assert report["spec"]["output"]["content"][0]["parsed"] == "3"
    evil = {"a": 1, "b": 2, "mcpServer": "http://127.0.0.1:1/", "headers": {}, "method": "fail"}
    report = of_catalog(tmp_path, monkeypatch, "mcp", server, "--method=add", given=evil)
    assert report["spec"]["output"]["content"][0]["parsed"] == "3"


def test_a_header_is_what_stands_before_the_secret_and_the_secret_which_no_report_holds(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = of_catalog(tmp_path, monkeypatch, "mcp", server, "--method=headers")
    assert "dark ***" in json.dumps(report["spec"]["output"])
    assert "blue-as-the-sea" not in json.dumps(report)


def test_a_header_without_its_variable_is_a_failure_that_names_both(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = of_catalog(tmp_path, monkeypatch, "mcp", server, "--method=add", variable="MCP_SECRET_1")
    assert report["spec"]["reason"] == "the variable MCP_SECRET_1 of the header Authorization is not set"
    assert report["spec"]["status"] == "FailedWithTerminalError"


def test_a_discovery_lists_tools_with_hints_and_its_report_is_collected_with_its_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mcp = MCPServer("hints")
    hints = ToolAnnotations(read_only_hint=True, destructive_hint=False)

    @mcp.tool(annotations=hints)
    def look() -> str:
        return ""

    @mcp.tool()
    def drop() -> str:
        return ""

    with running(mcp) as url:
        report = of_catalog(tmp_path, monkeypatch, "discover-mcp-tools", url, execution=DISCOVERY)
    look_said, drop_said = report["spec"]["output"]["tools"]
    assert look_said["annotations"] == {"readOnlyHint": True, "destructiveHint": False}
    assert (drop_said["name"], drop_said["annotations"]) == ("drop", {})
    assert report["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": "pod-1", "uid": "pod-uid"}
    ]


def test_operator_and_worker_mean_the_same_by_a_discovery() -> None:
    assert names.DISCOVERY == DISCOVERY
    assert TypeAdapter(DnsName).validate_python(DISCOVERY) == DISCOVERY
    assert names.label_value(DISCOVERY) == label_value(DISCOVERY) == DISCOVERY
