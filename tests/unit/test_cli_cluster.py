"""The API server as the verbs see it, over real HTTP: requests, watches, failures as sentences."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from openworld.cli.cluster import Cluster, connect
from openworld.cli.errors import CliError, ForbiddenError, MissingError
from openworld.cli.kinds import EXECUTIONS
from openworld.cli.session import Connection

PATH = "/apis/openworld.dev/v1alpha1/namespaces/team/executions"


@dataclass
class Server:
    """Answers each request with the next answer for its method; remembers what was asked."""

    url: str = ""
    answers: list[tuple[int, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    headers: list[list[tuple[str, str]]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            state.asked.append((self.command, self.path, body))
            state.headers.append(list(self.headers.items()))
            status, answer = state.answers.pop(0)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *args: Any) -> None:
            del args

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def kubeconfig(folder: Path, url: str, user: dict[str, Any] | None = None) -> str:
    """A kubeconfig for the server, whose context names the namespace `team`."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user or {"token": "secret"}}],
        "contexts": [
            {"name": "main", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
            {"name": "bare", "context": {"cluster": "c", "user": "u"}},
        ],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(config))
    return str(path)


@pytest.fixture
def cluster(server: Server, tmp_path: Path) -> Cluster:
    return connect(Connection(kubeconfig=kubeconfig(tmp_path, server.url)))


def execution(version: str, phase: str = "Running") -> dict[str, Any]:
    return {"metadata": {"name": "r", "resourceVersion": version}, "status": {"phase": phase}}


def status(code: int, message: str, **details: Any) -> tuple[int, dict[str, Any]]:
    return code, {"kind": "Status", "status": "Failure", "code": code, "message": message, "details": details}


def test_an_object_is_read_with_the_token_of_the_kubeconfig(server: Server, cluster: Cluster) -> None:
    server.answers = [(200, execution("1"))]
    assert cluster.get(EXECUTIONS, "r") == execution("1")
    assert server.asked == [("GET", f"{PATH}/r", None)]
    assert dict(server.headers[0])["authorization"] == "Bearer secret"


def test_an_exec_plugin_gives_the_token(server: Server, tmp_path: Path) -> None:
    version = "client.authentication.k8s.io/v1"
    answer = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": "fresh"}}
    plugin = {
        "apiVersion": version,
        "command": sys.executable,
        "args": ["-c", f"print({json.dumps(json.dumps(answer))})"],
        "interactiveMode": "Never",
    }
    server.answers = [(200, execution("1"))]
    path = kubeconfig(tmp_path, server.url, {"exec": plugin})
    connect(Connection(kubeconfig=path)).get(EXECUTIONS, "r")
    assert dict(server.headers[0])["authorization"] == "Bearer fresh"


def test_the_user_and_each_group_that_are_impersonated_are_sent(server: Server, tmp_path: Path) -> None:
    server.answers = [(201, {"status": {"userInfo": {"username": "eve@example.com"}}})]
    path = kubeconfig(tmp_path, server.url)
    connection = Connection(kubeconfig=path, user="eve@example.com", groups=("g1", "g2"))
    assert connect(connection).whoami() == "eve@example.com"
    sent = [(name, value) for name, value in server.headers[0] if name.startswith("Impersonate")]
    assert sent == [
        ("Impersonate-User", "eve@example.com"),
        ("Impersonate-Group", "g1"),
        ("Impersonate-Group", "g2"),
    ]
    method, path, body = server.asked[0]
    assert (method, path) == ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews")
    assert body == {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


def test_the_namespace_is_the_options_then_the_contexts_then_default(server: Server, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, server.url)
    cases = {"x": Connection("x", None, path), "team": Connection(None, None, path)}
    cases["default"] = Connection(None, "bare", path)
    assert [connect(connection).namespace for connection in cases.values()] == list(cases)


def test_a_list_is_read_page_by_page(server: Server, cluster: Cluster) -> None:
    server.answers = [
        (200, {"metadata": {"continue": "more"}, "items": [execution("1")]}),
        (200, {"metadata": {}, "items": [execution("2")]}),
    ]
    assert [item["metadata"]["resourceVersion"] for item in cluster.list(EXECUTIONS)] == ["1", "2"]
    assert [path for _, path, _ in server.asked] == [f"{PATH}?limit=500", f"{PATH}?limit=500&continue=more"]
    server.answers = [(200, {"items": []})]
    assert cluster.list(EXECUTIONS, everywhere=True) == []
    assert server.asked[-1][1] == "/apis/openworld.dev/v1alpha1/executions?limit=500"


def test_an_object_is_created(server: Server, cluster: Cluster) -> None:
    server.answers = [(201, execution("1"))]
    assert cluster.create(EXECUTIONS, {"kind": "Execution"}) == execution("1")
    assert server.asked == [("POST", PATH, {"kind": "Execution"})]


def test_a_watch_shows_the_object_then_each_change(server: Server, cluster: Cluster) -> None:
    events = [
        {"type": "MODIFIED", "object": execution("2")},
        {"type": "MODIFIED", "object": execution("3", "Completed")},
    ]
    server.answers = [
        (200, execution("1")),
        (200, b"\n".join(json.dumps(e).encode() for e in events) + b"\n"),
    ]
    seen = cluster.watch(EXECUTIONS, "r")
    assert [next(seen)["metadata"]["resourceVersion"] for _ in range(3)] == ["1", "2", "3"]
    assert server.asked[1][1] == (
        f"{PATH}?watch=true&fieldSelector=metadata.name%3Dr&resourceVersion=1&timeoutSeconds=300"
    )


def test_a_watch_that_breaks_begins_again_and_shows_nothing_twice(server: Server, cluster: Cluster) -> None:
    gone = json.dumps({"type": "ERROR", "object": {"code": 410}}).encode() + b"\n"
    server.answers = [
        (200, execution("1")),
        (200, gone),
        (200, execution("1")),
        (200, b'{"type": "MODI'),
        (200, execution("5", "Completed")),
    ]
    seen = cluster.watch(EXECUTIONS, "r")
    assert [next(seen)["metadata"]["resourceVersion"] for _ in range(2)] == ["1", "5"]
    assert len(server.asked) == 5


def test_a_watch_ends_with_its_time_and_when_the_object_is_deleted(server: Server, cluster: Cluster) -> None:
    server.answers = [(200, execution("1"))]
    assert len(list(cluster.watch(EXECUTIONS, "r", 0))) == 1
    deleted = json.dumps({"type": "DELETED", "object": execution("2")}).encode() + b"\n"
    server.answers = [(200, execution("1")), (200, deleted)]
    with pytest.raises(MissingError, match=r"^Execution r was deleted meanwhile$"):
        list(cluster.watch(EXECUTIONS, "r"))


DENIAL = (
    "executions.openworld.dev \"r\" is forbidden: ValidatingAdmissionPolicy 'openworld-requester' "
    "denied request: spec.requestedBy must be the caller, bob@example.com"
)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            status(404, 'executions.openworld.dev "r" not found', name="r", kind="executions"),
            "Execution 'r' does not exist in namespace 'team'",
        ),
        (
            (404, b"404 page not found\n"),
            "this cluster has no executions.openworld.dev: is Openworld installed? "
            "(`helm install openworld charts/openworld`)",
        ),
        (status(403, DENIAL), f"forbidden: {DENIAL}"),
        (status(422, DENIAL), f"refused: {DENIAL}"),
        (status(409, 'executions "r" already exists'), 'refused: executions "r" already exists'),
        (
            status(401, "Unauthorized"),
            "the API server does not accept your credentials; log in again, or choose --context",
        ),
        (status(500, "etcdserver: timeout"), "the API server answered 500: etcdserver: timeout"),
        ((502, b""), "the API server answered 502: HTTP 502"),
    ],
)
def test_each_failure_is_one_sentence(
    server: Server, cluster: Cluster, answer: tuple[int, Any], message: str
) -> None:
    server.answers = [answer]
    with pytest.raises(CliError) as raised:
        cluster.get(EXECUTIONS, "r")
    assert raised.value.message == message
    assert isinstance(raised.value, ForbiddenError) == (answer[0] == 403)


def test_a_namespace_that_does_not_exist_is_told_in_the_servers_words(
    server: Server, cluster: Cluster
) -> None:
    server.answers = [status(404, 'namespaces "team" not found', name="team", kind="namespaces")]
    with pytest.raises(CliError) as raised:
        cluster.create(EXECUTIONS, {})
    assert raised.value.message == 'namespaces "team" not found'


def test_an_answer_that_is_no_api_servers(server: Server, cluster: Cluster) -> None:
    server.answers = [(200, b"<html>")]
    with pytest.raises(CliError, match=r"does not answer as an API server does$"):
        cluster.get(EXECUTIONS, "r")


def test_a_server_that_cannot_be_reached(tmp_path: Path) -> None:
    cluster = connect(Connection(kubeconfig=kubeconfig(tmp_path, "http://127.0.0.1:1")))
    with pytest.raises(CliError) as raised:
        cluster.get(EXECUTIONS, "r")
    assert raised.value.message == (
        "the API server http://127.0.0.1:1 cannot be reached: Failed to establish a new connection: "
        "[Errno 111] Connection refused"
    )


def test_kubeconfigs_that_cannot_be_used(tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    with pytest.raises(CliError, match=f"^the kubeconfig {missing} does not exist$"):
        connect(Connection(kubeconfig=missing))
    broken = tmp_path / "broken"
    for text, message in (("a: [", "is not YAML"), ("[]", "cannot be"), ("{}", "cannot be used")):
        broken.write_text(text)
        with pytest.raises(CliError, match=message):
            connect(Connection(kubeconfig=str(broken)))
    path = kubeconfig(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(CliError, match=r"the kubeconfig cannot be used: .*nope"):
        connect(Connection(kubeconfig=path, context="nope"))
