"""The HTTP beneath an MCP client: bounded in size, without proxies and compression, and remembered.

The client library tells apart what a server answered and what never came only by words; what was last seen
here on the wire is what counts. It follows redirects only within the server's origin, and only those that
keep the method.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx2

from .errors import WorkerError
from .report import RESULT_LIMIT

CONNECT_SECONDS = 10.0
_DENIED = (401, 403)
_READABLE = ("application/json", "text/event-stream")


class BrokenAnswerError(WorkerError):
    """A server does not keep to the protocol."""


class TooLargeError(WorkerError):
    """A server sends more than anyone can use."""


class Wire:
    """What is sent to one server and what comes back."""

    #: Bytes of one answer: a result, and what the protocol says around it.
    limit = 2 * RESULT_LIMIT

    def __init__(self, url: str) -> None:
        self.shown = f"MCP server {url.partition('?')[0].partition('#')[0]}"
        self.calls = False
        """Whether the next message is the call."""
        self.has_called = False
        """Whether the call has been sent: what fails from now on may have been done."""
        self.status = 0
        """Of the last answer to a POST."""
        self._kind = ""

    @property
    def is_denied(self) -> bool:
        """Whether the server does not let us in, which trying again does not change."""
        return self.status in _DENIED

    @property
    def has_answered(self) -> bool:
        """Whether the last answer was one that may hold a message."""
        return self._kind in _READABLE

    def client(self, headers: dict[str, str]) -> httpx2.AsyncClient:
        """The client that the library is to use."""
        return httpx2.AsyncClient(
            headers={"Accept-Encoding": "identity", **headers},
            transport=_Bounded(httpx2.AsyncHTTPTransport(verify=ssl.create_default_context()), self.limit),
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            event_hooks={"request": [self._asked], "response": [self._answered]},
            trust_env=False,
        )

    async def _asked(self, request: httpx2.Request) -> None:
        if request.method == "POST":
            self.status, self._kind, self.has_called = 0, "", self.calls

    async def _answered(self, response: httpx2.Response) -> None:
        if response.request.method == "POST":
            self.status = response.status_code
            self._kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


class _Bounded(httpx2.AsyncBaseTransport):
    """A transport whose answers end with an error when they are too large, or compressed unasked."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, limit: int) -> None:
        self._inner = inner
        self._limit = limit

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            await response.aclose()
            raise BrokenAnswerError("it compresses what was asked for uncompressed")
        response.stream = _Counted(response.stream, self._limit)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, inner: Any, limit: int) -> None:
        self._inner = inner
        self._left = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._inner:
            self._left -= len(piece)
            if self._left < 0:
                raise TooLargeError
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()
