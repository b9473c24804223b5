"""One thin async client of the Kubernetes API: what the operator needs, and nothing else.

It knows requests, errors, limits and credentials. It must not know what an execution is.
"""

from .access import Access, AccessError, from_environment
from .client import Client, Listing
from .errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    TooLarge,
    Unavailable,
)
from .limits import RateLimit, TokenBucket
from .resources import Resource

__all__ = [
    "Access",
    "AccessError",
    "AlreadyExists",
    "ApiError",
    "Client",
    "Conflict",
    "Expired",
    "Forbidden",
    "Invalid",
    "Listing",
    "NotFound",
    "RateLimit",
    "Resource",
    "TokenBucket",
    "TooLarge",
    "Unavailable",
    "from_environment",
]
