"""How an attempt that succeeded goes on: the task is complete, or waits for the Signal that completes it."""

from __future__ import annotations

from typing import Any

from openworld.api import JsonObject
from openworld.ledger import EventType

from .decide import Pass
from .state import TaskState


def complete_attempt(p: Pass, task: TaskState, output: JsonObject, **said: Any) -> None:
    """The worker has done its part. With `asyncComplete` a Signal that names the task ends it."""
    about: JsonObject = {"ref": task.ref, "attempt": task.attempt, "output": output, **said}
    if task.definition.async_complete:
        p.emit(EventType.TASK_PROGRESSED, awaitsSignal=True, **about)
    else:
        p.emit(EventType.TASK_COMPLETED, **about)
