"""The errors of a worker. Each message is read by a person in the execution's record."""

from __future__ import annotations


class WorkerError(Exception):
    """Base of what this package raises."""


class TerminalError(WorkerError):
    """Raise it in a tool when trying again cannot help: the task fails without a retry."""


class ToolDefinitionError(WorkerError):
    """A tool's signature or its `@tool` arguments do not say what a catalog needs."""


class ContractError(WorkerError):
    """The environment or the task file is not what the operator gives to a Job."""


class ReportError(WorkerError):
    """The API server refused a report, or stayed away until the deadline."""
