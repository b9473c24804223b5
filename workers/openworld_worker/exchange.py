"""One request over HTTP and its answer, within bounds: of time, of size, of where it may be led.

Standard library only. It follows no redirects, reads no proxy from the environment, and always verifies TLS.
What an answer means is for its callers.
"""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, urlsplit

from .errors import WorkerError

_IN_PATH = "/%:@!$&'()*+,;=~-._"
_IN_QUERY = _IN_PATH + "?"


class NotSentError(WorkerError):
    """The request never left: trying again repeats nothing."""


class NoAnswerError(WorkerError):
    """The request left and no whole answer came: nobody knows whether it was done."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is sent. Times are in seconds; None means no limit of its own."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    connect_seconds: float | None = 3.0
    read_seconds: float | None = 3.0
    """Between two pieces of the answer."""

    @property
    def shown(self) -> str:
        """The request as people are told of it: without the query, which may hold secrets."""
        return f"{self.method} {self.url.partition('?')[0].partition('#')[0]}"


@dataclass(frozen=True, kw_only=True)
class Response:
    """What came back; `body` is cut at the limit, and `is_cut` says so."""

    status: int
    reason: str
    headers: dict[str, list[str]]
    body: bytes
    is_cut: bool = False

    def header(self, name: str) -> str:
        """The first value of a header, whatever the case of its name; empty if it is not there."""
        found = (values for key, values in self.headers.items() if key.lower() == name.lower())
        return next(found, [""])[0]


def exchange(request: Request, limit: int, tls: ssl.SSLContext | None = None) -> Response:
    """Send a request and read its answer, of whose body at most `limit` bytes.

    Raises:
        NotSentError: No connection, a certificate that is not trusted, or a request that cannot be written.
        NoAnswerError: The connection broke, or it took too long, after the request had begun to be sent.
    """
    parts = _split(request.url)
    connection = _connection(parts, request.connect_seconds, tls)
    try:
        _connect(connection, parts, request)
        return _answer(connection, parts, request, limit)
    finally:
        connection.close()


def _connect(connection: http.client.HTTPConnection, parts: SplitResult, request: Request) -> None:
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        why = f"its certificate is not trusted: {error.verify_message}"
        raise NotSentError(f"{request.shown}: {why}") from error
    except TimeoutError as error:
        why = f"no connection within {request.connect_seconds} s"
        raise NotSentError(f"{request.shown}: {why} (connectionTimeOut)") from error
    except (OSError, UnicodeError) as error:
        where = f"{parts.hostname}:{connection.port}"
        raise NotSentError(f"{request.shown}: cannot connect to {where}: {_words(error)}") from error
    connection.sock.settimeout(request.read_seconds)


def _answer(
    connection: http.client.HTTPConnection, parts: SplitResult, request: Request, limit: int
) -> Response:
    target = quote(parts.path, safe=_IN_PATH) or "/"
    if parts.query:
        target += f"?{quote(parts.query, safe=_IN_QUERY)}"
    try:
        connection.request(request.method, target, body=request.body, headers=request.headers)
    except (ValueError, http.client.InvalidURL) as error:  # refused before anything is sent
        why = "the request cannot be written: its URL or a header holds a character that none may have"
        raise NotSentError(f"{request.shown}: {why}") from error  # whose own words quote the value
    except OSError as error:
        raise NoAnswerError(f"{request.shown}: the connection broke: {_words(error)}") from error
    try:
        response = connection.getresponse()
        body = response.read(limit + 1)
    except TimeoutError as error:
        why = f"no answer within {request.read_seconds} s"
        raise NoAnswerError(f"{request.shown}: {why} (readTimeOut)") from error
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(f"{request.shown}: no whole answer came: {_words(error)}") from error
    headers: dict[str, list[str]] = {}
    for name, value in response.getheaders():
        headers.setdefault(name, []).append(value)
    return Response(
        status=response.status,
        reason=response.reason,
        headers=headers,
        body=body[:limit],
        is_cut=len(body) > limit,
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (it is read when it is asked for)
    except ValueError as error:
        raise NotSentError(f"{url[:200]!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise NotSentError(f"{url[:200]!r} is no http or https URL of a host")
    return parts


def _connection(
    parts: SplitResult, timeout: float | None, tls: ssl.SSLContext | None
) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=timeout)
    context = tls or ssl.create_default_context()
    return http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=context)


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
