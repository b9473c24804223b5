"""Kubernetes Events for what a person wants to see in `kubectl describe`: milestones, not everything.

They are told from the ledger's new events after these are recorded, and losing one loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from openworld.api import API_VERSION, JsonObject
from openworld.ledger import EventType

from .names import short_hash

COMPONENT = "openworld"
_MESSAGE_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class Milestone:
    """One thing to tell: `seq` is the ledger event that it is about, or the uid of what was refused."""

    seq: int | str
    at: str
    reason: str
    message: str
    warning: bool = False


def milestones(events: Iterable[JsonObject]) -> list[Milestone]:
    """What of some ledger events a person wants to see."""
    found = (_milestone(event) for event in events)
    return [milestone for milestone in found if milestone is not None]


def _milestone(event: JsonObject) -> Milestone | None:
    kind, ref = EventType(event["type"]), event.get("ref", "")
    why = event.get("reason") or "no reason was given"
    warning = False
    match kind:
        case EventType.EXECUTION_STARTED:
            workflow = event["workflow"]
            text = f"Started {workflow['name'] or 'an inline workflow'} version {workflow['version']}"
        case EventType.PROPOSAL_JUDGED:
            text = f"{ref}: {_judged(event)}"
        case EventType.APPROVAL_REQUESTED if "budget" in event:
            text, warning = f"{ref}: waits for a person to grant more: {why}", True
        case EventType.BUDGET_EXTENDED:
            text = f"{ref}: was granted more of {event.get('limit')}"
        case EventType.APPROVAL_REQUESTED:
            text = f"{ref}: {event.get('tool')} waits for a person, by rule {event.get('rule')}"
        case EventType.APPROVAL_GIVEN:
            text = f"{ref}: {event.get('tool')} was approved by {event.get('by')}"
        case EventType.APPROVAL_REFUSED:
            text = f"{ref}: {event.get('tool')} was refused by {event.get('by')}"
        case EventType.APPROVAL_ESCALATED:
            text, warning = f"{ref}: nobody has decided; it waits until {event.get('expiresAt')}", True
        case EventType.APPROVAL_EXPIRED:
            text, warning = f"{ref}: nobody approved in time", True
        case EventType.TASK_REMINDED:
            text, warning = f"{ref}: still waits for an answer (reminder {event.get('reminder')})", True
        case EventType.TASK_ESCALATED:
            people = ", ".join(event.get("to") or ()) or "nobody else"
            text, warning = f"{ref}: nobody has answered in time; now for {people} too", True
        case EventType.TASK_FAILED | EventType.TASK_TIMED_OUT:
            retried = "; it is tried again" if event.get("willRetry") else ""
            text, warning = f"{ref} attempt {event.get('attempt', 0)}: {why}{retried}", True
        case EventType.OUTCOME_UNKNOWN | EventType.BUDGET_EXCEEDED:
            text, warning = f"{ref}: {why}" if ref else why, True
        case EventType.EXECUTION_COMPENSATING:
            text, warning = f"What has been done is undone: {why}", True
        case EventType.EXECUTION_COMPLETED:
            text = "Completed"
        case EventType.EXECUTION_FAILED | EventType.EXECUTION_TIMED_OUT | EventType.EXECUTION_TERMINATED:
            text, warning = why, True
        case _:
            return None
    return Milestone(event["seq"], event["at"], kind.value, text[:_MESSAGE_LIMIT], warning)


def _judged(event: JsonObject) -> str:
    decisions = [item.get("decision") for item in event.get("items") or ()]
    if not decisions:
        return event.get("problem") or "the answer was given"
    parts = [f"{decisions.count('Allowed')} allowed", f"{decisions.count('Denied')} denied"]
    if decisions.count("NeedsApproval"):
        parts.append(f"{decisions.count('NeedsApproval')} need approval")
    return ", ".join(parts)


def build_event(execution: JsonObject, milestone: Milestone) -> JsonObject:
    """The core/v1 Event of a milestone. Its name follows from the ledger event, so it is told once."""
    metadata = execution["metadata"]
    at = f"{milestone.at[:19]}Z"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:200]}.{short_hash(metadata['uid'])}.{milestone.seq}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": "Execution",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": "Warning" if milestone.warning else "Normal",
        "reason": milestone.reason,
        "message": milestone.message,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
    }
