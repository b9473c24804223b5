"""The operations of a case's steps in our words: which signal, about which task, with which payload."""

from __future__ import annotations

from typing import Any

from openworld.api import JsonObject, SignalType

_SIGNALS = {
    "pause": SignalType.PAUSE,
    "resume": SignalType.RESUME,
    "terminate": SignalType.TERMINATE,
    "retry": SignalType.RETRY,
    "restart": SignalType.RESTART,
    "rerun": SignalType.RERUN,
    "skip": SignalType.SKIP,
}
#: Payload keys by the keys of a step.
_PAYLOAD = {
    "reason": "reason",
    "resumeSubworkflowTasks": "resumeSubworkflowTasks",
    "useLatestDefinitions": "useLatestDefinitions",
    "taskInput": "input",
    "workflowInput": "workflowInput",
    "output": "output",
}


def signal_of(step: dict[str, Any]) -> tuple[SignalType, str | None, JsonObject]:
    """The type of the signal that a step is here, the ref that it names, and its payload."""
    if step["op"] in ("signal", "update"):
        kind = _completion(step["status"])
        payload = dict(step.get("output") or {})
        if kind is SignalType.FAIL:
            payload = {"reason": step.get("reason", ""), "output": payload}
        return kind, step.get("task"), payload
    payload = {name: step[key] for key, name in _PAYLOAD.items() if key in step}
    return _SIGNALS[step["op"]], step.get("task", step.get("from")), payload


def _completion(status: str) -> SignalType:
    if status == "IN_PROGRESS":
        return SignalType("Progress")
    return SignalType.COMPLETE if status == "COMPLETED" else SignalType.FAIL
