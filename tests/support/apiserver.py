"""An API server in memory, behind the operator's own client: versions, preconditions, selectors.

It answers as the real one does where the operator relies on it. Every request is noted, and a hook
may stand in its way (to fail it, or to let somebody else write first).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openworld.api import JsonObject
from openworld.kube import Access, ApiError, Client
from openworld.kube.errors import from_response
from openworld.kube.resources import Resource

BORN = "2027-01-15T08:00:00Z"


@dataclass
class Request:
    """One request as it was made."""

    method: str
    path: str
    body: JsonObject | None = field(default=None, repr=False)


def _refusal(status: int, reason: str, message: str, request: Request) -> ApiError:
    return from_response(status, {"reason": reason, "message": message}, f"{request.method} {request.path}")


class ApiServerDouble(Client):
    """The client, with a dictionary where the network would be."""

    def __init__(self) -> None:
        super().__init__(Access(server="https://double.invalid"))
        self.objects: dict[str, JsonObject] = {}
        self.requests: list[Request] = []
        self.hooks: list[Callable[[Request], None]] = []
        self.allowed_tools: set[str] | None = None
        self._version = 100
        self._uids = 0

    def put(self, resource: Resource, namespace: str, name: str, **content: Any) -> JsonObject:
        """Put an object there as somebody else would; returns a copy of it."""
        path = resource.path(namespace, name)
        before = self.objects.get(path)
        metadata = before["metadata"] if before else {"name": name, "namespace": namespace, **self._birth()}
        metadata = metadata | content.pop("metadata", {}) | {"resourceVersion": self._next()}
        self.objects[path] = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            **(before or {}),
            **content,
            "metadata": metadata,
        }
        return copy.deepcopy(self.objects[path])

    def take(self, resource: Resource, namespace: str, name: str) -> JsonObject:
        """Remove an object; returns it with the version of its deletion."""
        body = self.objects.pop(resource.path(namespace, name))
        body["metadata"]["resourceVersion"] = self._next()
        return body

    def all(self, resource: Resource, namespace: str) -> list[JsonObject]:
        """All objects of a kind."""
        prefix = resource.path(namespace) + "/"
        return [copy.deepcopy(body) for path, body in self.objects.items() if path.startswith(prefix)]

    def made(self, method: str, fragment: str) -> list[Request]:
        """The requests of a method whose path contains a text."""
        return [r for r in self.requests if r.method == method and fragment in r.path]

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
        content_type: str = "application/json",  # noqa: ARG002
    ) -> JsonObject:
        request = Request(method, path, copy.deepcopy(body))
        for hook in list(self.hooks):
            hook(request)
        self.requests.append(request)
        if path.endswith("/subjectaccessreviews"):
            return self._review(body or {})
        if method == "POST":
            return self._create(request)
        if method == "GET" and path not in self.objects and self._is_list(path):
            return self._list(path, query or {})
        plain = path.removesuffix("/status")
        if plain not in self.objects:
            raise _refusal(404, "NotFound", f"{plain} not found", request)
        return {"GET": self._get, "PUT": self._replace, "PATCH": self._patch, "DELETE": self._delete}[method](
            request, plain
        )

    def _is_list(self, path: str) -> bool:
        """`/apis/G/V[/namespaces/N]/PLURAL` or `/api/V[/namespaces/N]/PLURAL`."""
        parts = path.strip("/").split("/")
        rest = parts[2:] if parts[0] == "api" else parts[3:]
        return len(rest) == (3 if rest[0] == "namespaces" else 1)

    def _get(self, _: Request, path: str) -> JsonObject:
        return copy.deepcopy(self.objects[path])

    def _list(self, path: str, query: Mapping[str, str]) -> JsonObject:
        plural = path.rsplit("/", 1)[-1]
        found = [
            copy.deepcopy(body)
            for where, body in self.objects.items()
            if (where.startswith(path + "/") or ("/namespaces/" not in path and f"/{plural}/" in where))
            and _matches(body, query.get("labelSelector", ""))
        ]
        return {"items": found, "metadata": {"resourceVersion": str(self._version)}}

    def _create(self, request: Request) -> JsonObject:
        body = request.body or {}
        path = f"{request.path}/{body['metadata']['name']}"
        if path in self.objects:
            raise _refusal(409, "AlreadyExists", f"{path} already exists", request)
        stored = copy.deepcopy(body)
        stored["metadata"] |= {**self._birth(), "resourceVersion": self._next()}
        self.objects[path] = stored
        return copy.deepcopy(stored)

    def _replace(self, request: Request, path: str) -> JsonObject:
        self._check(request, path, (request.body or {})["metadata"])
        if not request.path.endswith("/status"):
            spec = copy.deepcopy((request.body or {})["spec"])
            self.objects[path] = {**self.objects[path], "spec": spec}
            return self._touched(path)
        self.objects[path] = {**self.objects[path], "status": copy.deepcopy((request.body or {})["status"])}
        return self._touched(path)

    def _patch(self, request: Request, path: str) -> JsonObject:
        change = copy.deepcopy(request.body or {})
        self._check(request, path, change.pop("metadata"))
        self.objects[path] = _merged(self.objects[path], change)
        return self._touched(path)

    def _delete(self, request: Request, path: str) -> JsonObject:
        self._check(request, path, (request.body or {}).get("preconditions") or {})
        del self.objects[path]
        return {"kind": "Status", "status": "Success"}

    def _check(self, request: Request, path: str, wanted: JsonObject) -> None:
        present = self.objects[path]["metadata"]
        for name in ("uid", "resourceVersion"):
            if name in wanted and wanted[name] != present[name]:
                raise _refusal(409, "Conflict", f"{name} is {present[name]}", request)

    def _touched(self, path: str) -> JsonObject:
        body = self.objects[path]
        self.objects[path] = {**body, "metadata": {**body["metadata"], "resourceVersion": self._next()}}
        return copy.deepcopy(self.objects[path])

    def _review(self, body: JsonObject) -> JsonObject:
        tool = body["spec"]["resourceAttributes"]["name"]
        return {**body, "status": {"allowed": self.allowed_tools is None or tool in self.allowed_tools}}

    def _birth(self) -> JsonObject:
        self._uids += 1
        return {"uid": f"uid-{self._uids}", "creationTimestamp": BORN, "generation": 1}

    def _next(self) -> str:
        self._version += 1
        return str(self._version)


def _matches(body: JsonObject, selector: str) -> bool:
    labels = body["metadata"].get("labels") or {}
    for part in filter(None, re.split(r",(?![^(]*\))", selector)):
        name, among, values = part.partition(" in ")
        if among:
            if labels.get(name) not in values.strip("()").split(","):
                return False
            continue
        name, equals, value = part.partition("=")
        if name not in labels or (equals and labels[name] != value):
            return False
    return True


def _merged(target: Any, change: Any) -> Any:
    if not isinstance(change, dict) or not isinstance(target, dict):
        return change
    merged = {**target}
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged
