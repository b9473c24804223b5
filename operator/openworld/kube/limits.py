"""The operator's own request rate, so that it never crowds out other clients of the API server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Requests a second in the long run, and how many may come at once."""

    per_second: float = 100.0
    burst: int = 200


class TokenBucket:
    """A token bucket: `take` returns once the request may go out, in the order of the calls."""

    def __init__(
        self,
        limit: RateLimit,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._pause = pause
        self._tokens = float(limit.burst)
        self._at = clock()

    async def take(self) -> None:
        """Wait for this request's turn."""
        wait = self.reserve()
        if wait > 0:
            await self._pause(wait)

    def reserve(self) -> float:
        """Spend one token, on credit if there is none; returns the seconds until it is earned."""
        now = self._clock()
        earned = (now - self._at) * self._limit.per_second
        self._tokens = min(float(self._limit.burst), self._tokens + earned) - 1.0
        self._at = now
        return max(0.0, -self._tokens / self._limit.per_second)
