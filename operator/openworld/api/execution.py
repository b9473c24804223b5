"""The Execution resource: one run of a workflow; its status is the durable ledger."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from .meta import Condition, DnsName, JsonObject, Strict, TaskRef, WorkflowName
from .workflow import Workflow


class Phase(StrEnum):
    """Where a run stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    PAUSED = "Paused"
    COMPENSATING = "Compensating"
    COMPLETED = "Completed"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    TERMINATED = "Terminated"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows this phase."""
        return self in (Phase.COMPLETED, Phase.FAILED, Phase.TIMED_OUT, Phase.TERMINATED)


class TaskStatus(StrEnum):
    """Where a task stands: Conductor's states in Kubernetes' spelling, and AwaitingApproval."""

    AWAITING_APPROVAL = "AwaitingApproval"
    SCHEDULED = "Scheduled"
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    COMPLETED_WITH_ERRORS = "CompletedWithErrors"
    FAILED = "Failed"
    FAILED_WITH_TERMINAL_ERROR = "FailedWithTerminalError"
    TIMED_OUT = "TimedOut"
    CANCELED = "Canceled"
    SKIPPED = "Skipped"

    @property
    def is_final(self) -> bool:
        """Whether this attempt has ended."""
        return self not in (TaskStatus.AWAITING_APPROVAL, TaskStatus.SCHEDULED, TaskStatus.IN_PROGRESS)

    @property
    def is_success(self) -> bool:
        """Whether what waits for this task may go on."""
        return self in (TaskStatus.COMPLETED, TaskStatus.COMPLETED_WITH_ERRORS)


class Grant(Strict):
    """What a child may use of its parent's budgets."""

    tasks: int = Field(ge=0, description="Proposed tasks.")
    tokens: int = Field(ge=0, description="Tokens of agents.")
    cost_nano_usd: int = Field(ge=0, alias="costNanoUSD", description="Billionths of a US dollar.")
    ends_at: str = Field(description="When the parent's time is used up (RFC 3339).")


class BudgetUse(Strict):
    """What a run, and its children that have ended, have used of its budgets."""

    tasks: int = Field(default=0, description="Proposed tasks.")
    tokens: int = Field(default=0, description="Tokens of agents.")
    cost_nano_usd: int = Field(default=0, alias="costNanoUSD", description="Billionths of a US dollar.")


class ParentReference(Strict):
    """The execution that started this one; only the operator may set it."""

    name: DnsName = Field(description="Name of the parent Execution.")
    uid: str = Field(min_length=1, description="uid of the parent Execution.")
    ref: TaskRef | None = Field(
        default=None, description="The parent's task that started it; none for a failure workflow."
    )
    seq: int = Field(ge=0, description="Sequence number of the event that scheduled it.")
    depth: int = Field(ge=1, le=20, description="How many executions are above this one.")
    detached: bool = Field(
        default=False, description="Started, and not waited for: it is no child, and outlives its parent."
    )
    workflow_digest: str | None = Field(
        default=None, description="SHA-256 of the Workflow that was approved; another is not run."
    )
    proposed: bool = Field(
        default=False, description="Its definition came with a proposal: its tasks are judged as items."
    )
    policies: list[DnsName] = Field(
        default_factory=list, max_length=64, description="Policies that bind the parent, and so this one."
    )
    grant: Grant | None = Field(
        default=None, description="What it may use of the parent's budgets; unset: its own policies say."
    )


class WorkflowReference(Strict):
    """The Workflow to run."""

    name: WorkflowName = Field(min_length=1, description="Its spec.name, or the name of the object.")
    version: int | None = Field(default=None, ge=1, description="Exactly this version; unset: the latest.")


class Execution(Strict):
    """A run. Everything but `suspend` is immutable."""

    workflow_ref: WorkflowReference | None = Field(default=None, description="The Workflow to run.")
    workflow: Workflow | None = Field(default=None, description="Or an inline definition.")
    input: JsonObject = Field(default_factory=dict, description="Input of the run.")
    requested_by: str = Field(
        min_length=1, max_length=253, description="Who asks for the run: must be the caller."
    )
    service_account_name: DnsName = Field(
        default="default",
        description="Whose right to `use` tools is asked; the caller must be allowed to `runas` it.",
    )
    correlation_id: str = Field(default="", max_length=253, description="Your own id of the run.")
    suspend: bool = Field(default=False, description="True: running tasks may finish, nothing new starts.")
    parent: ParentReference | None = Field(
        default=None, description="Set by the operator on child executions."
    )

    @model_validator(mode="after")
    def _one_definition(self) -> Execution:
        if (self.workflow_ref is None) == (self.workflow is None):
            raise ValueError("exactly one of workflowRef and workflow must be given")
        return self


class WorkflowIdentity(Strict):
    """Which definition runs."""

    name: str = Field(default="", description="Name of the Workflow; empty for an inline one.")
    version: int = Field(default=1, description="Its spec.version.")
    digest: str = Field(default="", description="SHA-256 of the canonical definition.")


class Counts(Strict):
    """Numbers for a first look."""

    tasks: int = Field(default=0, description="Tasks scheduled so far.")
    active: int = Field(default=0, description="Tasks that have not ended.")
    completed: int = Field(default=0, description="Tasks that succeeded.")
    failed: int = Field(default=0, description="Tasks that failed, timed out or were canceled.")
    proposals: int = Field(default=0, description="Proposals received.")
    denied: int = Field(default=0, description="Proposed items that were denied.")
    refused_facts: int = Field(default=0, description="Reports and signals that came late or did not apply.")


class LedgerHead(Strict):
    """The newest event."""

    seq: int = Field(description="Its sequence number.")
    hash: str = Field(description="Its hash.")


class SealedSegment(Strict):
    """A stretch of the ledger that stands in a LedgerSegment."""

    segment: str = Field(description="Name of the LedgerSegment.")
    first: int = Field(description="Sequence number of its first event.")
    last: int = Field(description="Sequence number of its last event.")
    hash: str = Field(description="Hash of its last event.")
    snapshot: str = Field(default="", description="SHA-256 of its snapshot; empty when it has none.")


class Ledger(Strict):
    """The record: every event, chained by hash. What does not fit here is sealed in LedgerSegments."""

    head: LedgerHead = Field(description="The newest event.")
    segments: int = Field(default=0, description="LedgerSegments that were sealed so far.")
    sealed: list[SealedSegment] = Field(default_factory=list, description="The last 16 of them.")
    events: list[JsonObject] = Field(
        default_factory=list, description="The events that are not sealed, oldest first."
    )


class CompensationResult(StrEnum):
    """How much of a run was undone."""

    COMPLETE = "Complete"
    PARTIAL = "Partial"


class FailureWorkflow(Strict):
    """What is started because a run failed or timed out."""

    name: str = Field(description="The Workflow.")
    execution: str = Field(description="The Execution that was started; empty until it is.")


class CompensationStatus(Strict):
    """What was undone of a run that did not complete."""

    result: CompensationResult = Field(description="Whether everything was undone.")
    compensated: list[str] = Field(default_factory=list, description="Refs of the tasks that were undone.")
    failed: list[str] = Field(default_factory=list, description="Refs of the tasks that could not be.")


class PayloadReference(Strict):
    """A large value that stands in a LedgerSegment of its own."""

    digest: str = Field(description="`sha256:` and the SHA-256 of its canonical JSON.")
    bytes: int = Field(description="Its size, as the API server stores it.")


class ExecutionStatus(Strict):
    """The durable record of a run, and what follows from it."""

    phase: Phase = Field(default=Phase.PENDING, description="Where the run stands.")
    reason: str = Field(default="", description="Why it did not complete.")
    waiting_for: str = Field(default="", description="A person or a timer that the run waits for.")
    conditions: list[Condition] = Field(
        default_factory=list, description="Complete, Failed, AwaitingApproval."
    )
    failure_workflow: FailureWorkflow | None = Field(
        default=None, description="The run's failureWorkflow, once it was called for."
    )
    compensation: CompensationStatus | None = Field(
        default=None, description="What was undone, where anything was to be."
    )
    workflow: WorkflowIdentity | None = Field(default=None, description="Which definition runs.")
    started_at: str | None = Field(default=None, description="When it started (RFC 3339).")
    ended_at: str | None = Field(default=None, description="When it ended (RFC 3339).")
    usage: BudgetUse | None = Field(
        default=None, description="What it has used of its budgets, once it has used any."
    )
    revivals: int = Field(default=0, description="How often it was retried, rerun or restarted.")
    counts: Counts = Field(default_factory=Counts, description="Numbers for a first look.")
    progress: str = Field(default="", description="active/completed/total tasks.")
    tasks: dict[str, JsonObject] = Field(default_factory=dict, description="Where each task stands, by ref.")
    variables: JsonObject = Field(default_factory=dict, description="Workflow variables.")
    output: JsonObject | None = Field(default=None, description="Output of the run, up to 64 KiB.")
    output_ref: PayloadReference | None = Field(
        default=None, description="Where a larger output is: in a LedgerSegment of this digest."
    )
    ledger: Ledger | None = Field(default=None, description="The record.")
