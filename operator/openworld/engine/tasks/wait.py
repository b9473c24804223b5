"""WAIT: a duration, a moment, or (with neither) a Signal. Source: Conductor."""

from __future__ import annotations

from openworld.api import JsonObject, Task
from openworld.engine.decide import Pass
from openworld.engine.state import Scope, TaskState
from openworld.language.durations import parse_duration, parse_until
from openworld.ledger import EventType, rfc3339

from .kind import TaskKind


class WaitTask(TaskKind):
    """Time, kept by a timer."""

    def schedule_data(self, p: Pass, scope: Scope, definition: Task, task_input: JsonObject) -> JsonObject:  # noqa: ARG002
        """When it is due, as an absolute time."""
        duration, until = task_input.get("duration"), task_input.get("until")
        now_ms = p.now_ms
        if duration is not None and until is not None:
            raise ValueError("both duration and until are given")
        if duration is not None:
            return {"dueAt": rfc3339(now_ms + parse_duration(_text("duration", duration)))}
        if until is not None:
            return {"dueAt": rfc3339(max(now_ms, parse_until(_text("until", until), now_ms)))}
        return {}

    def follow(self, p: Pass, task: TaskState) -> None:
        """Complete when it is due."""
        if task.wake_at_ms is not None and p.now_ms >= task.wake_at_ms:
            p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output={})


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a string, and is {value!r}")
    return value
