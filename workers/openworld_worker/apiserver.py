"""The API server as a pod sees it: one request at a time, with the pod's own token.

Standard library only. It holds no policy of its own (no retries, no caching): callers decide what an
answer means.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ContractError, WorkerError
from .wire import encode

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class UnreachableError(WorkerError):
    """No answer came: whether the request took effect is unknown."""


class RefusedError(WorkerError):
    """The API server answered with an error."""

    def __init__(self, code: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{message} (HTTP {code})")
        self.code = code
        """HTTP status."""
        self.reason = reason
        """Kubernetes' machine-readable reason, for example AlreadyExists."""
        self.message = message
        """The server's sentence."""
        self.retry_after = retry_after
        """Seconds that the server asks to wait."""


@dataclass(frozen=True, kw_only=True)
class ApiServer:
    """An API server and a token file to speak to it with."""

    url: str
    """Without a slash at the end."""
    token_file: Path
    """Read anew for each request, since the kubelet renews it."""
    tls: ssl.SSLContext | None

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        timeout: float = 10.0,
    ) -> Any:
        """Send one request and return the JSON of the answer.

        Args:
            method: HTTP method.
            path: Absolute path, with its query.
            body: JSON value to send; None sends no body.
            content_type: Of the body; patches have their own.
            timeout: Seconds for connecting and for each read.

        Raises:
            RefusedError: The server answered with an error.
            UnreachableError: There was no answer, or not a whole one.
        """
        request = urllib.request.Request(  # noqa: S310 - the URL is the cluster's, from the environment
            self.url + path, data=None if body is None else encode(body), method=method
        )
        request.add_header("Authorization", f"Bearer {self.token_file.read_text(encoding='utf-8').strip()}")
        request.add_header("Accept", "application/json")
        if body is not None:
            request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=self.tls) as answer:  # noqa: S310
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise _refused(error) from error
        except (OSError, ValueError) as error:
            raise UnreachableError(f"{method} {self.url}{path}: {getattr(error, 'reason', error)}") from error


def in_cluster(environ: Mapping[str, str], account: Path = SERVICE_ACCOUNT) -> ApiServer:
    """The API server of the cluster that this pod runs in.

    Raises:
        ContractError: The pod has no service account token or no address of the API server.
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ContractError("KUBERNETES_SERVICE_HOST is not set: not in a pod of a Kubernetes cluster")
    if not (account / "token").is_file():
        raise ContractError(
            f"{account}/token is missing: the pod has no API token. A tool gets one when its catalog entry "
            "has `run.report: TaskResult` or a `run.serviceAccountName`"
        )
    host = f"[{host}]" if ":" in host else host
    return ApiServer(
        url=f"https://{host}:{port}",
        token_file=account / "token",
        tls=ssl.create_default_context(cafile=str(account / "ca.crt")),
    )


def _refused(error: urllib.error.HTTPError) -> RefusedError:
    try:
        status = json.loads(error.read())
    except (OSError, ValueError):
        status = None
    if not isinstance(status, dict):
        status = {}
    wait = error.headers.get("Retry-After", "") if error.headers else ""
    return RefusedError(
        code=error.code,
        reason=str(status.get("reason") or ""),
        message=str(status.get("message") or error.reason),
        retry_after=float(wait) if wait.isdecimal() else None,
    )
