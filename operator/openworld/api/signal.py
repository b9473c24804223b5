"""The Signal resource: what a person or a system says to an execution. Immutable.

Who may send which type is decided at admission, where the caller's groups are known; `by` must be
the caller.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from .meta import Condition, DnsName, JsonObject, Strict, TaskRef


class SignalType(StrEnum):
    """What is asked of the execution."""

    APPROVE = "Approve"
    REJECT = "Reject"
    COMPLETE = "Complete"
    FAIL = "Fail"
    PAUSE = "Pause"
    RESUME = "Resume"
    TERMINATE = "Terminate"
    RETRY = "Retry"
    RERUN = "Rerun"
    RESTART = "Restart"
    SKIP = "Skip"
    PROGRESS = "Progress"


class Signal(Strict):
    """One message to one execution."""

    execution: DnsName = Field(description="Name of the Execution.")
    execution_uid: str = Field(alias="executionUID", min_length=1, description="uid of the Execution.")
    type: SignalType = Field(description="What is asked.")
    ref: TaskRef | None = Field(
        default=None,
        description="Task: for Approve, Reject, Skip and Progress. Complete and Fail without it are for the "
        "first WAIT task that waits, Rerun without it is from the beginning.",
    )
    tool: str | None = Field(
        default=None, max_length=64, description="Approve, Reject: the tool (or task type) of the gated item."
    )
    item_digest: str | None = Field(
        default=None, max_length=80, description="Approve, Reject: digest of the item that was shown."
    )
    group: DnsName | None = Field(
        default=None,
        description="Complete, Fail, Progress: the group for which the sender answers a HUMAN task.",
    )
    by: str = Field(min_length=1, max_length=253, description="Who sends it: must be the caller.")
    payload: JsonObject = Field(
        default_factory=dict,
        description="Complete, Progress: the output. Skip: {output}. Rerun: {input, workflowInput}. "
        "Retry: {resumeSubworkflowTasks}. Restart: {useLatestDefinitions}. Others: {reason}.",
    )


class SignalStatus(Strict):
    """What became of a signal."""

    conditions: list[Condition] = Field(
        default_factory=list, description="Accepted: it took effect, or why it was refused."
    )
