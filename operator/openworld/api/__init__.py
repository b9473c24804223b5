"""The custom resources as typed models: the spec and status of each kind."""

from .agent import Agent, AgentStatus
from .effect import Effect
from .execution import Execution, ExecutionStatus, Grant, Phase, TaskStatus
from .ledgersegment import LedgerSegment
from .limit import Limit
from .mcpserver import McpServer, McpServerStatus
from .meta import API_VERSION, GROUP, VERSION, Condition, Json, JsonObject, Strict
from .policy import Policy, PolicyStatus
from .signal import Signal, SignalStatus, SignalType
from .taskresult import ReportStatus, TaskResult
from .toolcatalog import Tool, ToolCatalog, ToolCatalogStatus
from .workflow import Task, TaskType, Workflow, WorkflowStatus

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "Agent",
    "AgentStatus",
    "Condition",
    "Effect",
    "Execution",
    "ExecutionStatus",
    "Grant",
    "Json",
    "JsonObject",
    "LedgerSegment",
    "Limit",
    "McpServer",
    "McpServerStatus",
    "Phase",
    "Policy",
    "PolicyStatus",
    "ReportStatus",
    "Signal",
    "SignalStatus",
    "SignalType",
    "Strict",
    "Task",
    "TaskResult",
    "TaskStatus",
    "TaskType",
    "Tool",
    "ToolCatalog",
    "ToolCatalogStatus",
    "Workflow",
    "WorkflowStatus",
]
