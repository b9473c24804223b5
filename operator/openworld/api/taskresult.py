"""The TaskResult resource: a worker's report, written by a task's own pod and by nobody else.

Its name is the pod's name, or `<pod>.<suffix>` for progress; an admission policy ties both to the
pod that the caller's token is bound to.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from .meta import DnsName, Json, JsonObject, Seconds, Strict, TaskRef


class ReportStatus(StrEnum):
    """What a worker says of its attempt."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    FAILED_WITH_TERMINAL_ERROR = "FailedWithTerminalError"
    IN_PROGRESS = "InProgress"


class Usage(Strict):
    """What a turn of an agent, or a completion, consumed."""

    tokens_in: int = Field(default=0, ge=0, le=1_000_000_000, description="Prompt tokens.")
    tokens_out: int = Field(default=0, ge=0, le=1_000_000_000, description="Completion tokens.")
    tokens_cached: int = Field(default=0, ge=0, description="Prompt tokens served from a cache.")
    model: str = Field(default="", max_length=253, description="Model that answered.")
    latency_ms: int = Field(default=0, ge=0, description="Time to answer, in milliseconds.")


class Progress(Strict):
    """How far an attempt is. An attempt may report progress 20 times."""

    percent: int | None = Field(default=None, ge=0, le=100, description="Share done.")
    message: str = Field(default="", max_length=1024, description="What it is doing.")


class TaskResult(Strict):
    """A report on one attempt of one task."""

    execution: DnsName = Field(description="Name of the Execution.")
    ref: TaskRef = Field(description="Task reference name.")
    attempt: int = Field(ge=0, description="Attempt, from 0.")
    pod_uid: str = Field(alias="podUID", min_length=1, description="uid of the reporting pod.")
    status: ReportStatus = Field(description="Completed, Failed, FailedWithTerminalError or InProgress.")
    output: JsonObject | None = Field(default=None, description="The output: an object.")
    reason: str = Field(default="", max_length=16384, description="Why it failed.")
    proposal: Json = Field(default=None, description="Tasks to add to the execution; judged by policy.")
    usage: Usage | None = Field(default=None, description="What an agent's turn or a completion consumed.")
    progress: Progress | None = Field(default=None, description="For InProgress.")
    callback_after_seconds: Seconds | None = Field(
        default=None, description="For InProgress: this pod ends; another one of the same attempt then."
    )
