"""Check 4: the budgets: of what remains, not only of what is set."""

from __future__ import annotations

from decimal import Decimal

from openworld.api import Task
from openworld.api.policy import Limits, nano_usd
from openworld.governance.item import Item
from openworld.governance.question import Amounts, PolicySource, Question
from openworld.governance.verdict import Check, Denial


def tightest(policies: tuple[PolicySource, ...]) -> Limits:
    """The limits that bind: of each the smallest of all policies."""
    all_limits = [source.policy.limits for source in policies if source.policy is not None] or [Limits()]
    return Limits(
        **{name: min((getattr(one, name) for one in all_limits), key=Decimal) for name in Limits.model_fields}
    )


def allowed(limits: Limits, granted: Amounts | None) -> Amounts:
    """What a run may use in all: by its policies, and by what its parent has lent it."""
    most = Amounts(limits.tasks, limits.tokens, nano_usd(limits.cost_usd))
    return most if granted is None else Amounts(*map(min, most.each(), granted.each()))


def tasks_of(task: Task) -> int:
    """How many tasks a proposed one may come to: what it brings to undo it counts too."""
    return 1 if task.compensation is None else 2


def check(question: Question, limits: Limits, item: Item, accepted_before: int) -> Denial | None:
    """Deny an item that would exceed a budget. `accepted_before` counts the tasks of this proposal so far."""
    spent = question.spent
    most = allowed(limits, spent.granted)
    seconds = (question.now_ms - question.execution.started_at_ms) // 1000
    over = {
        "tasks": (spent.used.tasks + accepted_before + tasks_of(item.task), most.tasks),
        "depth": (spent.depth, limits.depth),
        "tokens": (spent.used.tokens, most.tokens),
        "costUSD": (spent.used.cost_nano_usd, most.cost_nano_usd),
        "durationSeconds": (seconds, limits.duration_seconds),
    }
    for name, (used, most_of_it) in over.items():
        if used > most_of_it:
            shown = (usd(most_of_it), usd(used)) if name == "costUSD" else (most_of_it, used)
            return Denial(
                Check.LIMITS,
                name,
                f"the budget of {name} is {shown[0]}; with this item it would be {shown[1]}",
            )
    return None


def usd(nano: int) -> str:
    """Billionths of a US dollar as dollars."""
    return f"{Decimal(nano) / 1_000_000_000:f}"
