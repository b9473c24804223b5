"""What a model or a worker asks a person: whose words they are, and the words made harmless. Pure.

A HUMAN task that somebody has proposed looks like one that the workflow's author has written. It is shown
with whom it is from, on one line, cropped: nobody shall take it for a word of the operator's, or an approval.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from openworld.api import JsonObject, TaskType
from openworld.language import askers
from openworld.language.askers import proposer
from openworld.ledger import EventType

from .plain import arguments, one_line, prose

HUMAN = TaskType.HUMAN.value
_NAME = 130
_CROP = 160


@dataclass(slots=True)
class Askers:
    """Reads the events of one ledger in order, and says by whom a person is asked."""

    _agents: dict[str, str] = field(default_factory=dict)
    _by_ref: dict[str, str] = field(default_factory=dict)
    _of_all: str = ""

    def read(self, event: JsonObject) -> None:
        """Take note of the next event."""
        kind, ref = event.get("type"), str(event.get("ref", ""))
        if kind == EventType.EXECUTION_STARTED:
            parent = event.get("parent") or {}
            if parent.get("proposed"):
                self._of_all = f"task {parent.get('ref')} of {parent.get('name')}"
        elif kind == EventType.TURN_STARTED:
            self._agents[ref] = str((event.get("agent") or {}).get("name"))
        elif kind == EventType.TASKS_MATERIALIZED:
            asker = proposer(ref, self._agents.get(ref))
            asking = (task for task in event.get("tasks") or () if task.get("type") == HUMAN)
            self._by_ref |= {str(task.get("taskReferenceName")): asker for task in asking}
        elif self._of_all and HUMAN in (event.get("taskType"), event.get("tool")):
            self._by_ref.setdefault(ref, self._of_all)

    def of(self, ref: str) -> str:
        """`agent oncall` or `task fetch`, which has proposed to ask a person; empty for any other task."""
        return self._by_ref.get(ref, "")


def asked_by(events: Iterable[JsonObject]) -> Askers:
    """By whom people are asked in a ledger."""
    askers = Askers()
    for event in events:
        askers.read(event)
    return askers


def untrusted(asker: str) -> str:
    """`untrusted, from agent oncall`."""
    return askers.untrusted(one_line(asker, _NAME))


def asking(asker: str) -> str:
    """`HUMAN (untrusted, from agent oncall)`."""
    return f"{HUMAN} ({untrusted(asker)})"


def question(values: object, limit: int = _CROP) -> str:
    """The input of a HUMAN task as words on one line."""
    return prose(arguments(values), limit)


def question_text(asker: str, values: object, limit: int = _CROP) -> str:
    """`HUMAN (untrusted, from agent oncall): question="Is the note good?"`."""
    return f"{asking(asker)}: {question(values or {}, limit)}"
