"""Governance: from a proposal to a verdict. Pure; one validator for every path."""

from .checks.catalog import find_tool
from .judge import compile_problems, item_digest, judge, judge_task, tool_digest
from .question import (
    AgentSource,
    Amounts,
    CatalogSource,
    ExecutionFacts,
    Failed,
    PolicySource,
    Question,
    Spent,
    Withheld,
)
from .verdict import Check, Decision, Denial, ItemVerdict, Verdict, passed_access

__all__ = [
    "AgentSource",
    "Amounts",
    "CatalogSource",
    "Check",
    "Decision",
    "Denial",
    "ExecutionFacts",
    "Failed",
    "ItemVerdict",
    "PolicySource",
    "Question",
    "Spent",
    "Verdict",
    "Withheld",
    "compile_problems",
    "find_tool",
    "item_digest",
    "judge",
    "judge_task",
    "passed_access",
    "tool_digest",
]
