"""The built-in tools against a real server on the loopback address: what is sent, and what answers become."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from openworld.language.requests import request_of
from openworld_worker import builtin, exchange
from openworld_worker.report import RESULT_LIMIT, Outcome, Status
from tests.unit.api_double import Answer, ApiDouble
from tests.unit.test_worker_report import environment

KEY = "key-1"


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Said:
    """One answer. `hangs` gives none until the server is closed, `drops` closes the connection."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    drops: bool = False


def as_json(value: Any, status: int = 200) -> Said:
    return Said(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


class Service:
    """A running server and what it was asked."""

    def __init__(self, respond: Callable[[Asked], Said], tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.closing = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                asked = Asked(self.command, self.path, dict(self.headers.items()), raw)
                service.asked.append(asked)
                said = respond(asked)
                if said.hangs:
                    service.closing.wait()
                if said.hangs or said.drops:
                    self.close_connection = True
                    return
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(said.body)

            do_GET = do_HEAD = do_OPTIONS = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self.http = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.http.server_address[1]}"


@contextmanager
def serving(said: Said | Callable[[Asked], Said], tls: ssl.SSLContext | None = None) -> Iterator[Service]:
    service = Service(said if callable(said) else lambda _asked: said, tls)
    thread = threading.Thread(target=service.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        service.closing.set()
        service.http.shutdown()
        thread.join()
        service.http.server_close()


def http(uri: str, *, repeatable: bool = False, **request: Any) -> Outcome:
    """An HTTP task's attempt, with the request as the operator makes it."""
    given = request_of({"http_request": {"uri": uri, **request}})
    return builtin.call("http", given, key=KEY, repeatable=repeatable)


def answer(said: Said, **request: Any) -> Outcome:
    with serving(said) as service:
        return http(f"{service.url}/a", **request)


def body_of(outcome: Outcome) -> Any:
    assert outcome.output is not None
    return outcome.output["response"]["body"]


def test_an_answer_has_conductors_form() -> None:
    with serving(as_json({"rate": 1.5})) as service:
        outcome = http(f"{service.url}/rates?to=CHF&at=a b".replace(" ", "%20"), headers={"X-Trace": 7})
    (asked,) = service.asked
    assert (asked.method, asked.path, asked.body) == ("GET", "/rates?to=CHF&at=a%20b", b"")
    assert (asked.headers["Accept"], asked.headers["X-Trace"]) == ("application/json", "7")
    assert "Content-Type" not in asked.headers
    assert "Idempotency-Key" not in asked.headers
    assert outcome.status is Status.COMPLETED
    assert outcome.output is not None
    response = outcome.output["response"]
    assert (response["statusCode"], response["reasonPhrase"], response["body"]) == (200, "OK", {"rate": 1.5})
    assert response["headers"]["Content-Type"] == ["application/json"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_changes_something_says_by_what_a_repetition_is_known(method: str) -> None:
    with serving(as_json({})) as service:
        http(service.url, method=method.lower(), body={"n": 1})
        http(service.url, method=method, headers={"idempotency-key": "mine"})
    first, second = service.asked
    assert (first.method, first.path, json.loads(first.body)) == (method, "/", {"n": 1})
    assert (first.headers["Content-Type"], first.headers["Idempotency-Key"]) == ("application/json", KEY)
    assert (second.headers["idempotency-key"], second.body) == ("mine", b"")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_read_has_no_idempotency_key(method: str) -> None:
    with serving(Said(204)) as service:
        outcome = http(service.url, method=method)
    assert "Idempotency-Key" not in service.asked[0].headers
    assert body_of(outcome) is None


def test_text_is_sent_as_it_is_and_headers_of_the_task_win() -> None:
    with serving(Said()) as service:
        http(
            service.url,
            method="POST",
            body="a=1&b=ä",
            contentType="application/x-www-form-urlencoded",
            accept="text/plain",
            headers={"ACCEPT": "text/csv"},
        )
    (asked,) = service.asked
    assert asked.body == "a=1&b=ä".encode()
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert (asked.headers["ACCEPT"], "Accept" in asked.headers) == ("text/csv", False)


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        ("application/json", b"7", 7),
        ("application/problem+json", b'"x"', "x"),
        ("text/plain", b'{"a": [1]}', {"a": [1]}),
        ("text/plain", b"7", "7"),
        ("text/html", b"<p>", "<p>"),
        ("text/plain; charset=latin-1", b"\xe4", "ä"),
        ("text/plain; charset=nonsense", b"x", "x"),
        ("application/json", b'{"a": NaN}', '{"a": NaN}'),
        ("application/json", b"1" * 30, "1" * 30),
        ("application/json", b"[" * 100_000, "[" * 100_000),
    ],
)
def test_a_body_is_json_where_it_is_json_and_else_its_text(kind: str, raw: bytes, value: Any) -> None:
    assert body_of(answer(Said(200, raw, {"Content-Type": kind}))) == value


def test_a_body_that_is_no_text_is_said_to_be_none() -> None:
    outcome = answer(Said(200, b"\x89PNG\xff", {"Content-Type": "image/png"}))
    assert outcome.status is Status.FAILED_WITH_TERMINAL_ERROR
    assert outcome.reason.endswith("/a answered with a body that is no text (image/png)")


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_whatever_is_not_2xx_fails_and_keeps_the_answer(status: int) -> None:
    with serving(as_json({"error": "no stock"}, status)) as service:
        outcome = http(f"{service.url}/orders?token=secret", method="POST", body={})
    assert outcome.status is Status.FAILED
    assert outcome.reason.startswith(f"POST {service.url}/orders answered {status} ")
    assert outcome.reason.endswith(': {"error": "no stock"}')
    assert "secret" not in outcome.reason
    assert outcome.output is not None
    assert (outcome.output["response"]["statusCode"], body_of(outcome)) == (status, {"error": "no stock"})


def test_a_large_failure_is_cut_and_still_a_failure_with_its_status() -> None:
    outcome = answer(Said(502, b"x" * (RESULT_LIMIT * 2)))
    assert outcome.status is Status.FAILED
    assert "answered 502 Bad Gateway: xxx" in outcome.reason
    assert len(body_of(outcome)) < 20_000


def test_an_answer_larger_than_a_result_may_be_is_a_clear_failure() -> None:
    for raw in (b"x" * (RESULT_LIMIT + 1), b'"' * (RESULT_LIMIT - 10)):
        outcome = answer(Said(200, raw))
        assert outcome.status is Status.FAILED_WITH_TERMINAL_ERROR
        assert (
            "answered with more than the 1,000,000 bytes that a result may hold; ask for less"
            in outcome.reason
        )


def redirects(asked: Asked, to: str) -> Said:
    return as_json("there") if asked.path == "/there" else Said(302, b"", {"Location": to})


def test_a_redirect_of_a_read_is_followed_within_its_host() -> None:
    with serving(lambda asked: redirects(asked, "/there")) as service:
        assert body_of(http(f"{service.url}/here")) == "there"
    assert [asked.path for asked in service.asked] == ["/here", "/there"]


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "https://127.0.0.1:1/there", "http://localhost:1/x?a=b"]
)
def test_a_redirect_to_elsewhere_is_told_and_not_followed(target: str) -> None:
    with serving(lambda asked: redirects(asked, target)) as service:
        outcome = http(f"{service.url}/here")
    assert outcome.status is Status.FAILED
    shown = target.partition("?")[0]
    assert outcome.reason.endswith(
        f"302 Found, a redirect to {shown}, which is not followed: name that URL if it is meant"
    )


def test_a_redirect_of_a_write_is_not_followed() -> None:
    with serving(lambda asked: redirects(asked, "/there")) as service:
        outcome = http(f"{service.url}/here", method="POST")
    assert (outcome.status, len(service.asked)) == (Status.FAILED, 1)


def test_redirects_have_an_end() -> None:
    with serving(Said(302, b"", {"Location": "/again"})) as service:
        outcome = http(f"{service.url}/here")
    assert (outcome.status, len(service.asked)) == (Status.FAILED, builtin.MOST_REDIRECTS + 1)
    assert outcome.reason.endswith("more than 5 redirects")


def test_a_service_that_says_nothing_is_given_up_after_its_time() -> None:
    with serving(Said(hangs=True)) as service:
        outcome = http(f"{service.url}/slow", readTimeOut=20)
    assert outcome == Outcome(
        status=Status.FAILED, reason=f"GET {service.url}/slow: no answer within 0.02 s (readTimeOut)"
    )


@pytest.mark.parametrize("said", [Said(hangs=True), Said(drops=True)])
def test_a_write_of_which_nobody_knows_whether_it_was_done_is_not_repeated(said: Said) -> None:
    with serving(said) as service:
        outcome = http(service.url, method="POST", readTimeOut=20)
        allowed = http(service.url, method="POST", readTimeOut=20, repeatable=True)
    assert outcome.status is Status.FAILED_WITH_TERMINAL_ERROR
    assert outcome.reason.startswith(f"OutcomeUnknown: POST {service.url}: no ")
    assert outcome.reason.endswith("since it may have been done; retryCount says that it may be")
    assert allowed.status is Status.FAILED


def test_a_pod_that_is_asked_to_stop_while_it_waits_says_so() -> None:
    def stop(_asked: Asked) -> Said:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        return Said(hangs=True)

    with serving(stop) as service:
        read, write = http(service.url), http(service.url, method="PUT")
    assert read.reason == "the pod was asked to stop (SIGTERM) before an answer came"
    assert (read.status, write.status) == (Status.FAILED, Status.FAILED_WITH_TERMINAL_ERROR)


def test_a_service_that_is_not_there_may_be_tried_again_even_by_a_write() -> None:
    with serving(Said()) as service:
        url = service.url
    outcome = http(url, method="POST")
    assert outcome.status is Status.FAILED
    assert (
        outcome.reason == f"POST {url}: cannot connect to {url.removeprefix('http://')}: Connection refused"
    )


def test_only_http_is_spoken_whatever_the_task_file_says() -> None:
    given = request_of({"uri": "http://x"}) | {"uri": "file:///etc/passwd"}
    assert (
        builtin.call("http", given, key=KEY).reason
        == "'file:///etc/passwd' is no http or https URL of a host"
    )


def test_a_request_that_would_be_read_as_two_is_not_written() -> None:
    with serving(Said()) as service:
        given = request_of({"uri": service.url}) | {"headers": {"X": "1\r\nY: 2"}}
        outcome = builtin.call("http", given, key=KEY)
    assert (outcome.status, service.asked) == (Status.FAILED, [])
    assert "the request cannot be written" in outcome.reason


def test_a_task_file_without_a_request_is_a_terminal_failure() -> None:
    assert builtin.call("http", {}, key=KEY).status is Status.FAILED_WITH_TERMINAL_ERROR


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_a_certificate_that_nobody_vouches_for_is_refused(authority: tuple[Path, Path]) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority)
    with serving(as_json(1), tls) as service:
        outcome = http(service.url)
        trusting = ssl.create_default_context(cafile=str(authority[0]))
        trusted = exchange.exchange(exchange.Request(method="GET", url=service.url), 100, trusting)
    assert (outcome.status, len(service.asked)) == (Status.FAILED, 1)
    assert outcome.reason.startswith(f"GET {service.url}: its certificate is not trusted: ")
    assert trusted.body == b"1"


EVENT = {
    "specversion": "1.0",
    "id": KEY,
    "source": "openworld.dev/team/run-1",
    "type": "order.shipped",
    "subject": "tell",
    "time": "2027-01-15T08:00:00.000Z",
    "datacontenttype": "application/json",
    "data": {"order": "A-1", "note": "für Ada"},
}


def publish(said: Said) -> tuple[Service, Outcome]:
    with serving(said) as service:
        return service, builtin.call("event", {"sink": f"{service.url}/in", "event": EVENT}, key=KEY)


def test_an_event_is_posted_whole_as_structured_json() -> None:
    service, outcome = publish(Said(202))
    (asked,) = service.asked
    assert (asked.method, asked.path) == ("POST", "/in")
    assert asked.headers["Content-Type"] == "application/cloudevents+json; charset=UTF-8"
    assert json.loads(asked.body) == EVENT
    sent = {name: value for name, value in EVENT.items() if name != "data"}
    assert outcome == Outcome(
        status=Status.COMPLETED, output={"event_produced": sent, "sink": f"{service.url}/in"}
    )


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        (500, Status.FAILED),
        (429, Status.FAILED),
        (302, Status.FAILED),
        (410, Status.FAILED_WITH_TERMINAL_ERROR),
        (415, Status.FAILED_WITH_TERMINAL_ERROR),
    ],
)
def test_a_sink_that_does_not_take_an_event_fails_the_attempt(status: int, ending: Status) -> None:
    service, outcome = publish(Said(status, b"why", {"Location": "/other"}))
    assert (outcome.status, len(service.asked)) == (ending, 1)
    assert f"/in answered {status} " in outcome.reason


def test_an_event_of_which_no_answer_came_may_be_sent_again() -> None:
    _, outcome = publish(Said(drops=True))
    assert outcome.status is Status.FAILED


def test_the_command_reads_its_task_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tmp_path / "task.json"
    with serving(as_json({"a": 1})) as service, ApiDouble(tmp_path, lambda _asked: Answer(201)) as double:
        task.write_text(json.dumps({"input": request_of({"uri": service.url})}))
        monkeypatch.setattr("openworld_worker.runner.in_cluster", lambda _environ: double.server)
        environ = environment(TASK_FILE=str(task), REPORT="TaskResult", DEADLINE="2999-01-01T00:00:00Z")
        assert builtin.main(["http", "--repeatable"], environ) == 0
    spec = double.asked[0].body["spec"]
    assert (spec["status"], spec["output"]["response"]["body"]) == ("Completed", {"a": 1})


def test_a_secret_that_the_url_or_the_answer_holds_does_not_enter_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tmp_path / "task.json"
    monkeypatch.setenv("OPENWORLD_SECRET_0", "s3cr3t-token")
    monkeypatch.setattr("openworld_worker.runner.in_cluster", lambda _environ: double.server)
    environ = environment(TASK_FILE=str(task), REPORT="TaskResult", DEADLINE="2999-01-01T00:00:00Z")
    environ["OPENWORLD_SECRET_0"] = "s3cr3t-token"
    with (
        serving(lambda asked: as_json({"echo": asked.headers["A"]}, 403)) as service,
        ApiDouble(tmp_path, lambda _asked: Answer(201)) as double,
    ):
        request = request_of(
            {"uri": f"{service.url}/$(OPENWORLD_SECRET_0)", "headers": {"A": "$(OPENWORLD_SECRET_0)"}}
        )
        places = [{"path": path, "env": "OPENWORLD_SECRET_0"} for path in (["uri"], ["headers", "A"])]
        task.write_text(json.dumps({"input": request, "secrets": places}))
        assert builtin.main(["http"], environ) == 1
    assert (service.asked[0].path, service.asked[0].headers["A"]) == ("/s3cr3t-token", "s3cr3t-token")
    spec = double.asked[0].body["spec"]
    assert spec["reason"] == f'GET {service.url}/*** answered 403 Forbidden: {{"echo": "***"}}'
    assert "s3cr3t" not in json.dumps(spec)


def test_a_task_file_that_is_not_there_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ApiDouble(tmp_path, lambda _asked: Answer(201)) as double:
        monkeypatch.setattr("openworld_worker.runner.in_cluster", lambda _environ: double.server)
        missing = environment(
            TASK_FILE=str(tmp_path / "none"), REPORT="TaskResult", DEADLINE="2999-01-01T00:00:00Z"
        )
        assert builtin.main(["event"], missing) == 64
    assert "cannot be read" in double.asked[0].body["spec"]["reason"]
