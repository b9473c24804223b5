"""Authored tasks under a policy that binds them: one that no rule can let pass is denied in every run.

Conditions are not judged: a rule whose lists name the task may let it pass.
"""

from __future__ import annotations

from openworld.api import Policy, Task, TaskType, Tool
from openworld.api.policy import JUDGED, Mode, Rule, RuleDecision


def unmatched(policy: Policy, task: Task, tool: Tool | None) -> str:
    """Why the policy denies an authored task whatever its input is; empty when it may let it pass."""
    is_tool = task.type is TaskType.SIMPLE
    if policy.mode is Mode.AUDIT or not (is_tool or task.type in JUDGED):
        return ""
    if any(_may_pass(rule, task, tool) for rule in policy.rules):
        return ""
    called = f"the tool {task.name!r}" if is_tool else f"the task type {task.type.value}"
    key, value = ("tools", task.name) if is_tool else ("types", task.type.value)
    return f"allows {called}, so this task is denied in every run; a rule may, with match.{key}: [{value}]"


def _may_pass(rule: Rule, task: Task, tool: Tool | None) -> bool:
    """Whether a rule's lists name the task. `tool` is None where the catalog is not known."""
    match, is_tool = rule.match, task.type is TaskType.SIMPLE
    if rule.decision is RuleDecision.DENY:
        return False
    if match.tools and not (is_tool and task.name in match.tools):
        return False
    if match.effects and not (is_tool and (tool is None or tool.effect in match.effects)):
        return False
    if match.types:
        return task.type in match.types
    return is_tool or rule.decision is RuleDecision.REQUIRE_APPROVAL
