"""What the API server may answer instead of an object, as one hierarchy.

The server's own message is kept: it names the field, the admission policy or the missing right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """A request was refused or could not be made. `reason` is Kubernetes' own word for it."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason


class NotFound(ApiError):
    """No such object (or no such kind: the CRDs are not installed)."""


class Conflict(ApiError):
    """The object is at another resourceVersion, or has another uid, than the request named."""


class AlreadyExists(ApiError):
    """An object of that name exists."""


class Invalid(ApiError):
    """The object breaks its schema, a validation rule or an admission policy."""


class Forbidden(ApiError):
    """The operator's account lacks the right, or an admission policy or a quota refuses."""


class TooLarge(ApiError):
    """The object is above what the API server or etcd takes."""


class Expired(ApiError):
    """A continue token of a list is too old; the list must be started over."""


class Unavailable(ApiError):
    """The server could not be reached, is overloaded or failed: try again later."""


_BY_REASON: dict[str, type[ApiError]] = {
    "NotFound": NotFound,
    "Conflict": Conflict,
    "AlreadyExists": AlreadyExists,
    "Invalid": Invalid,
    "BadRequest": Invalid,
    "Forbidden": Forbidden,
    "Unauthorized": Forbidden,
    "RequestEntityTooLarge": TooLarge,
    "Expired": Expired,
    "Gone": Expired,
    "TooManyRequests": Unavailable,
    "ServiceUnavailable": Unavailable,
    "Timeout": Unavailable,
    "ServerTimeout": Unavailable,
    "InternalError": Unavailable,
}
_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    413: TooLarge,
    422: Invalid,
    429: Unavailable,
}


def from_response(status: int, body: Mapping[str, Any] | None, request: str) -> ApiError:
    """The error that an answer stands for. `body` is a Status object where the server sent one."""
    fields = body or {}
    reason = str(fields.get("reason") or "")
    message = str(fields.get("message") or f"HTTP {status}")
    kind = _BY_REASON.get(reason) or _BY_STATUS.get(status) or (Unavailable if status >= 500 else ApiError)
    if "etcdserver: request is too large" in message:
        kind = TooLarge
    return kind(f"{request}: {message}", status=status, reason=reason)
