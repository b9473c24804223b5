"""The client against a small HTTP server: what goes over the wire, and what errors become."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from openworld.kube import (
    Access,
    AlreadyExists,
    ApiError,
    Client,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TooLarge,
    Unavailable,
)
from openworld.kube.errors import from_response
from openworld.kube.resources import EXECUTIONS, JOBS, PODS

Answer = tuple[int, Any]


class Server:
    """Answers what the test prepared, and remembers what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[str, str, dict[str, str], Any, str]] = []

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.seen.append(
            (
                request.method,
                request.path,
                dict(request.query),
                json.loads(body) if body else None,
                request.headers.get("Content-Type", ""),
            )
        )
        status, answer = self.answers.pop(0)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return web.Response(status=status, text=text)


def ask(server: Server, question: Callable[[Client], Awaitable[Any]]) -> Any:
    async def story() -> Any:
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", server.handle)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            async with Client(Access(server=f"http://127.0.0.1:{port}", token="secret")) as client:
                return await question(client)
        finally:
            await runner.cleanup()

    return asyncio.run(story())


def test_a_name_is_one_part_of_a_path_whatever_is_in_it() -> None:
    path = "/api/v1/namespaces/team%2F..%2Fother/pods/..%2F%3Fx%23y/a%2Fb"
    assert PODS.path("team/../other", "../?x#y", "a/b") == path


def test_a_list_is_read_page_by_page_with_its_selectors() -> None:
    server = Server(
        (200, {"items": [{"n": 1}], "metadata": {"resourceVersion": "9", "continue": "next page"}}),
        (200, {"items": [{"n": 2}], "metadata": {"resourceVersion": "9"}}),
    )
    listing = ask(server, lambda c: c.list(PODS, "team", labels="a=b", fields="c=d", page=1))
    assert (listing.items, listing.resource_version) == ([{"n": 1}, {"n": 2}], "9")
    assert [(path, query) for _, path, query, _, _ in server.seen] == [
        (
            "/api/v1/namespaces/team/pods",
            {"labelSelector": "a=b", "fieldSelector": "c=d", "limit": "1"},
        ),
        (
            "/api/v1/namespaces/team/pods",
            {"labelSelector": "a=b", "fieldSelector": "c=d", "limit": "1", "continue": "next page"},
        ),
    ]


def test_a_list_whose_continue_token_expired_is_started_over() -> None:
    server = Server(
        (200, {"items": [{"n": 1}], "metadata": {"continue": "t"}}),
        (410, {"reason": "Expired", "message": "too old"}),
        (200, {"items": [{"n": 1}], "metadata": {"resourceVersion": "12"}}),
    )
    listing = ask(server, lambda c: c.list(PODS))
    assert (listing.items, listing.resource_version) == ([{"n": 1}], "12")


def test_what_exists_already_is_read_instead_of_created() -> None:
    body = {"metadata": {"name": "j"}}
    server = Server(
        (409, {"reason": "AlreadyExists", "message": "it exists"}), (200, {"metadata": {"uid": "1"}})
    )
    assert ask(server, lambda c: c.create_if_absent(JOBS, "team", body)) == (
        {"metadata": {"uid": "1"}},
        False,
    )
    assert [(method, path) for method, path, *_ in server.seen] == [
        ("POST", "/apis/batch/v1/namespaces/team/jobs"),
        ("GET", "/apis/batch/v1/namespaces/team/jobs/j"),
    ]


def test_a_status_is_put_at_its_resource_version() -> None:
    body = {"metadata": {"namespace": "team", "name": "run", "resourceVersion": "7"}, "status": {}}
    server = Server((409, {"reason": "Conflict", "message": "modified"}))
    with pytest.raises(Conflict, match=r"PUT .*/executions/run/status: modified"):
        ask(server, lambda c: c.replace_status(EXECUTIONS, body))
    assert server.seen[0][3] == body


def test_a_status_without_a_resource_version_is_never_written() -> None:
    body = {"metadata": {"namespace": "team", "name": "run"}, "status": {}}
    with pytest.raises(ValueError, match="only written at a resourceVersion"):
        ask(Server(), lambda c: c.replace_status(EXECUTIONS, body))


def test_a_patch_names_uid_and_version_and_is_a_merge_patch() -> None:
    server = Server((200, {"ok": True}))
    ask(
        server,
        lambda c: c.patch(JOBS, "team", "j", {"spec": {"suspend": False}}, uid="u", resource_version="7"),
    )
    method, path, _, body, content_type = server.seen[0]
    assert (method, path) == ("PATCH", "/apis/batch/v1/namespaces/team/jobs/j")
    assert body == {"spec": {"suspend": False}, "metadata": {"uid": "u", "resourceVersion": "7"}}
    assert content_type == "application/merge-patch+json"


def test_a_patch_of_another_uid_is_a_conflict() -> None:
    server = Server((422, {"reason": "Invalid", "message": "metadata.uid: field is immutable"}))
    with pytest.raises(Conflict):
        ask(server, lambda c: c.patch(JOBS, "team", "j", {}, uid="u", resource_version="7"))


def test_a_deletion_names_the_uid_and_how_it_propagates() -> None:
    server = Server((200, {"ok": True}))
    ask(server, lambda c: c.delete(JOBS, "team", "j", uid="u", resource_version="7"))
    assert server.seen[0][3] == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u", "resourceVersion": "7"},
        "propagationPolicy": "Background",
    }


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (422, "Invalid", Invalid),
        (400, "BadRequest", Invalid),
        (403, "Forbidden", Forbidden),
        (401, "Unauthorized", Forbidden),
        (413, "RequestEntityTooLarge", TooLarge),
        (429, "TooManyRequests", Unavailable),
        (503, "", Unavailable),
        (500, "InternalError", Unavailable),
        (404, "", NotFound),
        (418, "", ApiError),
    ],
)
def test_an_answer_becomes_its_error_with_the_servers_words(
    status: int, reason: str, kind: type[ApiError]
) -> None:
    error = from_response(status, {"reason": reason, "message": "because"}, "GET /x")
    assert type(error) is kind
    assert (str(error), error.status, error.reason) == ("GET /x: because", status, reason)


def test_what_etcd_finds_too_large_is_too_large() -> None:
    error = from_response(500, {"reason": "", "message": "etcdserver: request is too large"}, "PUT /x")
    assert type(error) is TooLarge


def test_a_server_that_is_away_is_unavailable() -> None:
    async def story() -> None:
        async with Client(Access(server="http://127.0.0.1:1")) as client:
            await client.get(PODS, "team", "p")

    with pytest.raises(Unavailable, match=r"GET /api/.*/pods/p: the API server did not answer"):
        asyncio.run(story())


def test_an_answer_that_is_no_json_is_an_error_and_no_crash() -> None:
    with pytest.raises(Unavailable, match="not a JSON object"):
        ask(Server((200, "<html>")), lambda c: c.get(PODS, "team", "p"))
    with pytest.raises(Unavailable, match="HTTP 502"):
        ask(Server((502, "<html>")), lambda c: c.get(PODS, "team", "p"))
