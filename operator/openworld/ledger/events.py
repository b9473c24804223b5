"""The closed list of event types. Readers accept what older writers wrote; nothing is ever removed."""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    """What can have happened: one entry of the ledger each, in the past tense."""

    EXECUTION_STARTED = "ExecutionStarted"
    EXECUTION_PAUSED = "ExecutionPaused"
    EXECUTION_RESUMED = "ExecutionResumed"
    EXECUTION_COMPLETED = "ExecutionCompleted"
    EXECUTION_FAILED = "ExecutionFailed"
    EXECUTION_TIMED_OUT = "ExecutionTimedOut"
    EXECUTION_TERMINATED = "ExecutionTerminated"
    TASK_SCHEDULED = "TaskScheduled"
    TASK_STARTED = "TaskStarted"
    TASK_COMPLETED = "TaskCompleted"
    TASK_FAILED = "TaskFailed"
    TASK_TIMED_OUT = "TaskTimedOut"
    TASK_CANCELED = "TaskCanceled"
    TASK_SKIPPED = "TaskSkipped"
    RETRY_SCHEDULED = "RetryScheduled"
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    BRANCH_TAKEN = "BranchTaken"
    LOOP_ITERATED = "LoopIterated"
    TASK_PROGRESSED = "TaskProgressed"
    TASK_ESCALATED = "TaskEscalated"
    TASK_REMINDED = "TaskReminded"
    FAILURE_WORKFLOW_STARTED = "FailureWorkflowStarted"
    EXECUTION_RETRIED = "ExecutionRetried"
    EXECUTION_RERUN = "ExecutionRerun"
    EXECUTION_RESTARTED = "ExecutionRestarted"
    VARIABLE_SET = "VariableSet"
    TURN_STARTED = "TurnStarted"
    PROPOSAL_RECEIVED = "ProposalReceived"
    PROPOSAL_JUDGED = "ProposalJudged"
    TASKS_MATERIALIZED = "TasksMaterialized"
    APPROVAL_REQUESTED = "ApprovalRequested"
    APPROVAL_GIVEN = "ApprovalGiven"
    APPROVAL_REFUSED = "ApprovalRefused"
    APPROVAL_EXPIRED = "ApprovalExpired"
    APPROVAL_ESCALATED = "ApprovalEscalated"
    BUDGET_EXCEEDED = "BudgetExceeded"
    BUDGET_EXTENDED = "BudgetExtended"
    BUDGET_RESERVED = "BudgetReserved"
    BUDGET_RETURNED = "BudgetReturned"
    FACT_REFUSED = "FactRefused"
    COMPENSATION_REGISTERED = "CompensationRegistered"
    COMPENSATION_SCHEDULED = "CompensationScheduled"
    EXECUTION_COMPENSATING = "ExecutionCompensating"


#: Events that end a generation: nothing follows but a new one.
FINAL = frozenset(
    {
        EventType.EXECUTION_COMPLETED,
        EventType.EXECUTION_FAILED,
        EventType.EXECUTION_TIMED_OUT,
        EventType.EXECUTION_TERMINATED,
    }
)
