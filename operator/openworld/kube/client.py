"""Requests to the API server: read, list, create if absent, conditional write, patch and delete.

Every write that must not be lost names what it was decided on: a resourceVersion, a uid, or both.
The client retries nothing: whoever asked knows whether asking again is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from openworld.api import JsonObject

from . import nesting
from .access import Access
from .errors import AlreadyExists, Conflict, Expired, Invalid, Unavailable, from_response
from .limits import RateLimit, TokenBucket
from .resources import Resource

_MERGE_PATCH = "application/merge-patch+json"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a list, and the resourceVersion that it is of."""

    items: list[JsonObject]
    resource_version: str


class Client:
    """One connection pool to one API server, with one rate limit. Use it as a context manager."""

    def __init__(
        self, access: Access, *, limit: RateLimit | None = None, timeout_seconds: float = 30.0
    ) -> None:
        self._access = access
        self._bucket = TokenBucket(limit or RateLimit())
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=10)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._access.tls(), limit=64),
            timeout=self._timeout,
            headers={"User-Agent": "openworld-operator", "Accept": _JSON},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, resource: Resource, namespace: str | None, name: str) -> JsonObject:
        """The object as it stands now. Raises NotFound."""
        return await self._request("GET", resource.path(namespace, name))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        page: int = 500,
    ) -> Listing:
        """All objects that match, read page by page from etcd (never from a lagging cache)."""
        path = resource.path(namespace)
        for last_try in (False, True):
            try:
                return await self._pages(path, {"labelSelector": labels, "fieldSelector": fields}, page)
            except Expired:
                if last_try:
                    raise
        raise AssertionError("unreachable")

    async def _pages(self, path: str, query: Mapping[str, str], page: int) -> Listing:
        items: list[JsonObject] = []
        token = ""
        while True:
            answer = await self._request("GET", path, query={**query, "limit": str(page), "continue": token})
            items.extend(answer.get("items") or ())
            token = answer["metadata"].get("continue") or ""
            if not token:
                return Listing(items, answer["metadata"].get("resourceVersion", ""))

    async def create(self, resource: Resource, namespace: str | None, body: JsonObject) -> JsonObject:
        """Create an object. Raises AlreadyExists, Invalid, Forbidden."""
        return await self._request("POST", resource.path(namespace), body=body)

    async def create_if_absent(
        self, resource: Resource, namespace: str, body: JsonObject
    ) -> tuple[JsonObject, bool]:
        """Create an object, or read the one that has its name. Returns it and whether it is new.

        Raises NotFound when it existed and was removed before it could be read.
        """
        try:
            return await self.create(resource, namespace, body), True
        except AlreadyExists:
            return await self.get(resource, namespace, body["metadata"]["name"]), False

    async def replace_status(self, resource: Resource, body: JsonObject) -> JsonObject:
        """Write `.status` at the resourceVersion that `body` names. Raises Conflict, NotFound."""
        metadata = body["metadata"]
        if not metadata.get("resourceVersion"):
            raise ValueError("a status is only written at a resourceVersion")
        path = resource.path(metadata["namespace"], metadata["name"], "status")
        return await self._request("PUT", path, body=body)

    async def replace(self, resource: Resource, body: JsonObject) -> JsonObject:
        """Write an object at the resourceVersion that `body` names. Raises Conflict, NotFound."""
        metadata = body["metadata"]
        if not metadata.get("resourceVersion"):
            raise ValueError("an object is only written at a resourceVersion")
        return await self._request("PUT", resource.path(metadata["namespace"], metadata["name"]), body=body)

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: JsonObject,
        *,
        uid: str,
        resource_version: str,
        subresource: str = "",
    ) -> JsonObject:
        """A merge patch of exactly that object at exactly that version. Raises Conflict, NotFound."""
        metadata = {**change.get("metadata", {}), "uid": uid, "resourceVersion": resource_version}
        try:
            return await self._request(
                "PATCH",
                resource.path(namespace, name, subresource),
                body={**change, "metadata": metadata},
                content_type=_MERGE_PATCH,
            )
        except Invalid as error:
            # Another uid at the same version is answered as an attempt to change the uid.
            if "metadata.uid" not in error.message:
                raise
            raise Conflict(error.message, status=error.status, reason=error.reason) from error

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        resource_version: str | None = None,
        propagation: str = "Background",
    ) -> None:
        """Delete exactly that object (and, where named, only at that version). Raises Conflict, NotFound."""
        preconditions = {"uid": uid}
        if resource_version:
            preconditions["resourceVersion"] = resource_version
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions,
            "propagationPolicy": propagation,
        }
        await self._request("DELETE", resource.path(namespace, name), body=options)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
        content_type: str = _JSON,
    ) -> JsonObject:
        if self._session is None:
            raise RuntimeError("the client is used outside of its context")
        await self._bucket.take()
        headers = {"Content-Type": content_type}
        bearer = self._access.bearer()
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        search = urlencode({key: value for key, value in (query or {}).items() if value})
        url = URL(f"{self._access.server}{path}{'?' if search else ''}{search}", encoded=True)
        data = None if body is None else nesting.dumps(body)
        try:
            async with self._session.request(method, url, data=data, headers=headers) as response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise Unavailable(f"{method} {path}: the API server did not answer: {why}") from error
        answer = _parsed(content)
        if response.status >= 400:
            raise from_response(response.status, answer, f"{method} {path}")
        if answer is None:
            raise Unavailable(f"{method} {path}: the API server's answer is not a JSON object")
        return answer


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        answer = nesting.loads(content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
