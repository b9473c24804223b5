"""Check 4: the budgets: of what remains, not only of what is set."""

from __future__ import annotations

from openworld.api.policy import Limits
from openworld.governance.question import PolicySource, Question
from openworld.governance.verdict import Check, Denial


def tightest(policies: tuple[PolicySource, ...]) -> Limits:
    """The limits that bind: of each the smallest of all policies."""
    all_limits = [source.policy.limits for source in policies if source.policy is not None] or [Limits()]
    return Limits(**{name: min(getattr(one, name) for one in all_limits) for name in Limits.model_fields})


def check(question: Question, limits: Limits, accepted_before: int) -> Denial | None:
    """Deny an item that would exceed a budget. `accepted_before` counts this proposal's items so far."""
    spent = question.spent
    seconds = (question.now_ms - question.execution.started_at_ms) // 1000
    over = {
        "tasks": (spent.tasks + accepted_before + 1, limits.tasks),
        "depth": (spent.depth, limits.depth),
        "tokens": (spent.tokens, limits.tokens),
        "durationSeconds": (seconds, limits.duration_seconds),
    }
    for name, (used, allowed) in over.items():
        if used > allowed:
            return Denial(
                Check.LIMITS, name, f"the budget of {name} is {allowed}; with this item it would be {used}"
            )
    return None
