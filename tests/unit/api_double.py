"""A tiny HTTP server on the loopback address that answers as it is told and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from openworld_worker.apiserver import ApiServer


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """One answer; `drop` closes the connection instead."""

    code: int = 201
    body: Any = None
    retry_after: str | None = None
    drop: bool = False


class ApiDouble(AbstractContextManager["ApiDouble"]):
    """Answers by `respond`, in the order of the requests."""

    def __init__(self, folder: Path, respond: Callable[[Asked], Answer]) -> None:
        self.asked: list[Asked] = []
        double = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                asked = Asked(
                    self.command, self.path, dict(self.headers.items()), json.loads(raw) if raw else None
                )
                double.asked.append(asked)
                answer = respond(asked)
                if answer.drop:
                    self.close_connection = True
                    return
                body = json.dumps(answer.body if answer.body is not None else {}).encode()
                self.send_response(answer.code)
                if answer.retry_after is not None:
                    self.send_header("Retry-After", answer.retry_after)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        token = folder / "token"
        token.write_text("secret-token\n", encoding="utf-8")
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.server = ApiServer(url=url, token_file=token, tls=None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def in_turn(*answers: Answer) -> Callable[[Asked], Answer]:
    """The given answers, one a request."""
    left = iter(answers)
    return lambda _asked: next(left)
