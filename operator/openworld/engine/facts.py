"""What the world said: the only way anything outside enters a decision.

A fact has an identity (the report's uid, the signal's uid): the event that it caused names it, so
it is consumed at most once. Facts carry no judgement; `decide` judges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from openworld.api import JsonObject, Phase, ReportStatus, SignalType
from openworld.api.meta import Json
from openworld.governance import Amounts


@dataclass(frozen=True, slots=True)
class Report:
    """A worker reported on an attempt (a TaskResult, or a termination message).

    `seq` is the sequence number of the event that scheduled the attempt: it names the Job. An IN_PROGRESS
    report with `callback_after_seconds` ends the Job, and asks for another one of the same attempt then.
    """

    id: str
    seq: int
    status: ReportStatus
    output: JsonObject | None = None
    reason: str = ""
    proposal: Json = None
    usage: JsonObject | None = None
    pod: str = ""
    callback_after_seconds: int | None = None


class Ending(StrEnum):
    """How a Job ended without a report."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TERMINAL_ERROR = "TerminalError"
    TIMED_OUT = "TimedOut"
    IMAGE = "ImageUnavailable"
    NAME_TAKEN = "NameTaken"
    REFUSED = "Refused"
    LOST = "Lost"


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A Job ended and no report of it exists (the shell has asked the API server).

    LOST means that nobody knows whether the container did its work (node lost, eviction, Job
    deleted by someone). REFUSED and NAME_TAKEN mean that it (or a child execution) was never
    created. `reason` is a sentence for people.
    """

    id: str
    seq: int
    ending: Ending
    reason: str = ""
    pod: str = ""


@dataclass(frozen=True, slots=True)
class JobStarted:
    """The container of an attempt runs."""

    seq: int
    pod: str


@dataclass(frozen=True, slots=True)
class Signaled:
    """A person or a system sent a Signal; admission has vouched for `by` and for their right.

    `sent_at_ms` is when, to the second below; None: when it is consumed.
    """

    id: str
    type: SignalType
    by: str
    ref: str | None = None
    tool: str | None = None
    item_digest: str | None = None
    group: str | None = None
    payload: JsonObject = field(default_factory=dict)
    name: str = ""
    sent_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ChildStarted:
    """The execution object of a child, or of a detached execution, exists."""

    id: str
    seq: int
    uid: str
    name: str


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """A child execution reached its end, having used so much since it was created; None: nobody knows."""

    id: str
    seq: int
    phase: Phase
    output: JsonObject | None = None
    reason: str = ""
    used: Amounts | None = None


@dataclass(frozen=True, slots=True)
class SuspendSet:
    """The value of `spec.suspend` as it was read with the Execution."""

    suspend: bool


@dataclass(frozen=True, slots=True)
class CannotGoOn:
    """The shell could not go on: the record is not taken, or a decision failed. Ends the execution.

    `in_one_event`: even its ending was too large, so no task gets an event of its own.
    """

    reason: str
    in_one_event: bool = False


Fact = CannotGoOn | Report | JobEnded | JobStarted | Signaled | ChildStarted | ChildEnded | SuspendSet
