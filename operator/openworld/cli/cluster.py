"""The API server, as thin as a verb needs it: get, list, create, watch, and who am I.

Objects are plain JSON. The official client reads the kubeconfig (certificates, tokens, exec plugins)
and holds the connections; every failure becomes one sentence that a person can act on.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from openworld.api import GROUP, JsonObject

from .errors import CliError, ExistsError, ForbiddenError, MissingError
from .kinds import SELF_REVIEWS, Kind
from .session import Connection

if TYPE_CHECKING:
    from kubernetes.client.api_client import ApiClient

_CONNECT_SECONDS, _READ_SECONDS = 10, 30
#: How long one watch lasts before it is asked for anew; the server closes it.
_WATCH_SECONDS = 300
_BROKEN_WATCH_SECONDS = 0.2


class Cluster(Protocol):
    """What the verbs use of a cluster."""

    @property
    def namespace(self) -> str:
        """The namespace that the verb works in."""

    def get(self, kind: Kind, name: str) -> JsonObject:
        """One object. Raises MissingError, CliError."""

    def list(self, kind: Kind, *, everywhere: bool = False) -> list[JsonObject]:
        """All objects of the namespace, or of all namespaces. Raises CliError."""

    def create(self, kind: Kind, body: JsonObject) -> JsonObject:
        """Create an object and return it as the server stored it. Raises CliError."""

    def watch(self, kind: Kind, name: str, seconds: float | None = None) -> Iterator[JsonObject]:
        """The object as it is, then at each change, for so many seconds. Raises MissingError, CliError."""

    def whoami(self) -> str:
        """The user name that the API server knows the caller by. Raises CliError."""


def connect(connection: Connection) -> Cluster:
    """The cluster that the kubeconfig, or the pod that this runs in, names. Raises CliError."""
    from kubernetes.client import Configuration
    from kubernetes.client.api_client import ApiClient

    # The package has types, its config module has none.
    config: Any = importlib.import_module("kubernetes.config")
    kube_config: Any = importlib.import_module("kubernetes.config.kube_config")
    settings = type.__call__(Configuration)
    path = connection.kubeconfig
    location = path or kube_config.KUBE_CONFIG_DEFAULT_LOCATION
    exists = any(os.path.exists(os.path.expanduser(part)) for part in location.split(os.pathsep) if part)
    if path and not exists:
        raise CliError(f"the kubeconfig {path} does not exist")
    namespace = ""
    try:
        if exists:
            kube_config.load_kube_config(path, connection.context, settings, persist_config=False)
            contexts, active = kube_config.list_kube_config_contexts(path)
            wanted = connection.context or (active or {}).get("name")
            chosen: JsonObject = next((item for item in contexts if item["name"] == wanted), {})
            namespace = (chosen.get("context") or {}).get("namespace") or ""
        elif os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(settings)
            namespace = _pod_namespace()
        else:
            raise CliError(f"there is no kubeconfig at {location}; name one with --kubeconfig or $KUBECONFIG")
    except config.ConfigException as error:
        raise CliError(f"the kubeconfig cannot be used: {error}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CliError(f"the kubeconfig {location} cannot be read: {type(error).__name__}: {error}") from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "yaml":
            raise
        raise CliError(f"the kubeconfig {location} is not YAML: {error}") from None
    return ApiCluster(ApiClient(settings), connection.namespace or namespace or "default", connection)


def _pod_namespace() -> str:
    try:
        with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


class ApiCluster:
    """A Cluster over HTTP."""

    def __init__(self, client: ApiClient, namespace: str, connection: Connection) -> None:
        self.namespace = namespace
        self._client = client
        self._connection = connection

    def get(self, kind: Kind, name: str) -> JsonObject:
        """See Cluster."""
        return self._json("GET", kind, kind.path(self.namespace, name), name)

    def list(self, kind: Kind, *, everywhere: bool = False) -> list[JsonObject]:
        """See Cluster."""
        path = kind.path(None if everywhere else self.namespace)
        items: list[JsonObject] = []
        page: dict[str, str] = {"limit": "500"}
        while True:
            answer = self._json("GET", kind, path, query=page)
            items += answer.get("items") or []
            following = (answer.get("metadata") or {}).get("continue")
            if not following:
                return items
            page = {**page, "continue": following}

    def create(self, kind: Kind, body: JsonObject) -> JsonObject:
        """See Cluster."""
        return self._json("POST", kind, kind.path(self.namespace), body=body)

    def watch(self, kind: Kind, name: str, seconds: float | None = None) -> Iterator[JsonObject]:
        """See Cluster. A watch that ends or breaks is begun again from the object as it then is."""
        deadline = None if seconds is None else time.monotonic() + seconds
        seen = ""
        first = True
        while True:
            body = self._json("GET", kind, kind.path(self.namespace, name), name, patient=not first)
            first = False
            if body["metadata"]["resourceVersion"] != seen:
                yield body
            before = seen = body["metadata"]["resourceVersion"]
            begun = time.monotonic()
            for changed in self._changes(kind, name, seen, deadline):
                seen = changed["metadata"]["resourceVersion"]
                yield changed
            if deadline is not None and time.monotonic() >= deadline:
                return
            if seen == before and time.monotonic() - begun < 1:
                # It broke at once: something between us and the server does not let watches through.
                time.sleep(_BROKEN_WATCH_SECONDS)

    def whoami(self) -> str:
        """See Cluster."""
        body = {"apiVersion": SELF_REVIEWS.api_version, "kind": SELF_REVIEWS.kind}
        review = self._json("POST", SELF_REVIEWS, SELF_REVIEWS.path(), body=body)
        return str(review["status"]["userInfo"]["username"])

    def _changes(self, kind: Kind, name: str, version: str, deadline: float | None) -> Iterator[JsonObject]:
        """The changes that one watch request shows; ends without error when the watch does."""
        import urllib3

        left = _WATCH_SECONDS if deadline is None else min(_WATCH_SECONDS, deadline - time.monotonic())
        if left <= 0:
            return
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, round(left))),
        }
        response = self._send("GET", kind.path(self.namespace), query=query, read=left, stream=True)
        try:
            if response.status != 200:
                raise self._problem(kind, name, response.status, response.read())
            for line in _lines(response):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] == "DELETED":
                    raise MissingError(f"{kind.kind} {name} was deleted meanwhile")
                yield event["object"]
        except (urllib3.exceptions.HTTPError, OSError, json.JSONDecodeError):
            return
        finally:
            response.close()

    def _json(
        self,
        method: str,
        kind: Kind,
        path: str,
        name: str = "",
        *,
        query: dict[str, str] | None = None,
        body: JsonObject | None = None,
        patient: bool = False,
    ) -> JsonObject:
        response = self._send(method, path, query=query, body=body, patient=patient)
        if response.status >= 300:
            raise self._problem(kind, name, response.status, response.data)
        try:
            answer: JsonObject = json.loads(response.data)
        except ValueError:
            raise CliError(
                f"{self._client.configuration.host} does not answer as an API server does"
            ) from None
        return answer

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: JsonObject | None = None,
        read: float = _READ_SECONDS,
        stream: bool = False,
        patient: bool = False,
    ) -> Any:
        import urllib3
        from urllib3.util import Retry, Timeout

        host = self._client.configuration.host
        credentials: dict[str, Any] = {}
        self._client.update_params_for_auth(credentials, [], ["BearerToken"], path, method, body)
        headers = urllib3.HTTPHeaderDict(credentials)
        headers["Accept"] = "application/json"
        headers["User-Agent"] = "openworld"
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._connection.user:
            headers["Impersonate-User"] = self._connection.user
        for group in self._connection.groups:
            headers.add("Impersonate-Group", group)
        try:
            return self._client.rest_client.pool_manager.request(
                method,
                host + path,
                fields=query if method == "GET" else None,
                body=json.dumps(body).encode() if body is not None else None,
                headers=headers,
                timeout=Timeout(connect=_CONNECT_SECONDS, read=read),
                # Only a watch that has been running waits for its API server to come back.
                retries=Retry(connect=6, read=0, redirect=0, backoff_factor=0.5) if patient else False,
                preload_content=not stream,
            )
        except urllib3.exceptions.HTTPError as error:
            raise CliError(f"the API server {host} cannot be reached: {_cause(error)}") from None

    def _problem(self, kind: Kind, name: str, status: int, data: bytes) -> CliError:
        """The server's refusal as a sentence; what admission said is kept in full."""
        answer = _status(data)
        said = str(answer.get("message") or data.decode(errors="replace").strip() or f"HTTP {status}")
        if status == 404:
            details = answer.get("details") or {}
            if kind.group == GROUP and not details.get("kind"):
                return CliError(
                    f"this cluster has no {kind.plural}.{kind.group}: is Openworld installed? "
                    "(`helm install openworld charts/openworld`)"
                )
            if name:
                return MissingError(f"{kind.kind} {name!r} does not exist in namespace {self.namespace!r}")
            return MissingError(said)
        if status == 401:
            return CliError(
                "the API server does not accept your credentials; log in again, or choose --context"
            )
        if status == 403:
            return ForbiddenError(f"forbidden: {said}")
        if answer.get("reason") == "AlreadyExists":
            return ExistsError(f"refused: {said}")
        if status in (409, 422):
            return CliError(f"refused: {said}")
        return CliError(f"the API server answered {status}: {said}")


def _lines(response: Any) -> Iterator[bytes]:
    rest = b""
    for chunk in response.stream(amt=None, decode_content=False):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line)


def _status(data: bytes) -> JsonObject:
    try:
        answer = json.loads(data)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _cause(error: Exception) -> str:
    """The innermost sentence of an urllib3 error, without the connection that it names first."""
    reason: Any = error
    while getattr(reason, "reason", None) is not None and not isinstance(reason.reason, str):
        reason = reason.reason
    text = str(reason.args[-1] if getattr(reason, "args", None) else reason)
    return text.partition("): ")[2] or text if text.startswith("HTTP") else text
