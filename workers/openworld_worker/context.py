"""What a tool may know of its own attempt: a parameter annotated `Context` receives it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime


def _silent(_percent: int | None, _message: str) -> None:
    """Progress of an attempt that has no channel for it."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """One attempt of one task."""

    execution: str
    """Name of the Execution."""
    namespace: str
    """Namespace of the Execution and of this pod."""
    ref: str
    """Task reference name."""
    attempt: int
    """Attempt, from 0."""
    deadline: datetime
    """When the attempt is over (aware, UTC)."""
    idempotency_key: str
    """The same for every attempt of the task."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set when the pod is asked to stop (SIGTERM); `cancelled.wait(seconds)` is a sleep that ends early."""
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("openworld.tool"))
    """Writes to the pod's log."""
    report_progress: Callable[[int | None, str], None] = _silent
    """Where `progress` goes."""

    def progress(self, percent: int | None = None, message: str = "") -> None:
        """Say how far the attempt is: `percent` from 0 to 100, `message` up to 1,024 characters.

        Never fails the task. At most 20 an attempt are sent, and only by tools that report by TaskResult;
        the others find it in the pod's log.
        """
        if percent is not None:
            percent = max(0, min(100, percent))
        self.logger.info("progress %s%s", f"{percent}% " if percent is not None else "", message)
        self.report_progress(percent, message[:1024])
