"""The work queue: which keys want work, and never the same key twice at a time.

A key added many times is worked once; added while it is worked, it is worked once more. What a
person is waiting for goes first. The queue knows nothing of what a key means.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from enum import IntEnum
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)

FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 60.0


class Urgency(IntEnum):
    """Which of the waiting keys goes first."""

    PERSON = 0
    NORMAL = 1


class TimerHandle(Protocol):
    """A timer that can be given up."""

    def cancel(self) -> None:
        """The timer will not fire."""


class Clock(Protocol):
    """Time and timers, as an asyncio event loop has them."""

    def time(self) -> float:
        """Seconds, monotonic."""

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> TimerHandle:
        """Call back at `when`."""


class WorkQueue(Generic[Key]):
    """Keys, worked by at most `concurrency` tasks, each key by one at a time."""

    def __init__(
        self,
        work: Callable[[Key], Awaitable[None]],
        *,
        concurrency: int,
        expected: tuple[type[Exception], ...] = (),
        clock: Clock | None = None,
    ) -> None:
        """`expected` are errors that are part of life (a server away): logged without a traceback."""
        self._expected = expected
        self._work = work
        self._concurrency = concurrency
        self._given_clock = clock
        self._waiting: dict[Key, Urgency] = {}
        self._lanes: dict[Urgency, dict[Key, None]] = {urgency: {} for urgency in Urgency}
        self._again: dict[Key, Urgency] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._timers: dict[Key, tuple[float, TimerHandle]] = {}
        self._failures: dict[Key, int] = {}
        self._open = False

    @property
    def _clock(self) -> Clock:
        return self._given_clock or asyncio.get_running_loop()

    def start(self) -> None:
        """Begin to work; what was added before waits until now."""
        self._open = True
        self._fill()

    async def stop(self) -> None:
        """Take up nothing more, and wait until the work at hand is done."""
        self._open = False
        for _, handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def add(self, key: Key, urgency: Urgency = Urgency.NORMAL) -> None:
        """This key wants work, as soon as there is a free hand."""
        if key in self._tasks:
            self._again[key] = min(urgency, self._again.get(key, urgency))
            return
        before = self._waiting.get(key)
        if before is None or urgency < before:
            if before is not None:
                self._lanes[before].pop(key)
            self._waiting[key] = urgency
            self._lanes[urgency][key] = None
        self._fill()

    def add_at(self, key: Key, when: float) -> None:
        """This key wants work at a time of the clock. Of several times the earliest counts."""
        timer = self._timers.get(key)
        if timer is not None:
            if timer[0] <= when:
                return
            timer[1].cancel()
        self._timers[key] = (when, self._clock.call_at(when, self._due, key))

    def add_after(self, key: Key, seconds: float) -> None:
        """This key wants work in so many seconds."""
        self.add_at(key, self._clock.time() + seconds)

    def forget(self, key: Key) -> None:
        """The key's object is gone: give up its timer and its back-off."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer[1].cancel()
        self._failures.pop(key, None)

    def waiting(self) -> dict[Key, Urgency]:
        """The keys that wait for a free hand."""
        return dict(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._tasks)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _fill(self) -> None:
        while self._open and self._waiting and len(self._tasks) < self._concurrency:
            lane = next(lane for lane in self._lanes.values() if lane)
            key = next(iter(lane))
            del lane[key]
            del self._waiting[key]
            task = asyncio.get_running_loop().create_task(self._run(key))
            self._tasks[key] = task
            task.add_done_callback(partial(self._done, key))

    async def _run(self, key: Key) -> None:
        try:
            await self._work(key)
        except Exception as error:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            delay = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(failures, 16))
            trace = None if isinstance(error, self._expected) else error
            logger.warning("work on %s failed, again in %.2f s: %s", key, delay, error, exc_info=trace)
            self.add_after(key, delay)
        else:
            self._failures.pop(key, None)

    def _done(self, key: Key, _: asyncio.Task[None]) -> None:
        del self._tasks[key]
        urgency = self._again.pop(key, None)
        if urgency is not None:
            self.add(key, urgency)
        self._fill()
