"""Check 4: the budgets: of what remains, not only of what is set."""

from __future__ import annotations

from decimal import Decimal

from openworld.api import JsonObject, Task
from openworld.api.policy import Limits, OnExceeded, amount_text, nano_usd
from openworld.governance.item import Item
from openworld.governance.question import Amounts, PolicySource, Question
from openworld.governance.verdict import Check, Denial

from .policy import strictest

#: What is not a number of which the smallest binds.
_TERMS = ("on_exceeded", "extension")


def tightest(policies: tuple[PolicySource, ...]) -> Limits:
    """The limits that bind: of each the smallest of all policies."""
    all_limits = [source.policy.limits for source in policies if source.policy is not None] or [Limits()]
    numbers = [name for name in Limits.model_fields if name not in _TERMS]
    all_ask = all(one.on_exceeded is OnExceeded.ASK_HUMAN for one in all_limits)
    return Limits(
        **{name: min((getattr(one, name) for one in all_limits), key=Decimal) for name in numbers},
        on_exceeded=OnExceeded.ASK_HUMAN if all_ask else OnExceeded.FAIL,
        extension=strictest([one.extension for one in all_limits]),
    )


def recorded(limits: Limits) -> JsonObject:
    """Limits as events hold them: the terms of consent only where anybody is asked."""
    terms = {"extension"} if limits.on_exceeded is OnExceeded.FAIL else None
    return limits.model_dump(mode="json", by_alias=True, exclude=terms)


def allowed(limits: Limits, granted: Amounts | None, extended: Amounts) -> Amounts:
    """What a run may use in all: by its policies and what people added to them, and by its parent's grant."""
    most = Amounts(limits.tasks, limits.tokens, nano_usd(limits.cost_usd)).plus(extended)
    return most if granted is None else Amounts(*map(min, most.each(), granted.each()))


def tasks_of(task: Task) -> int:
    """How many tasks a proposed one may come to: what it brings to undo it counts too."""
    return 1 if task.compensation is None else 2


def check(question: Question, limits: Limits, item: Item, accepted_before: int) -> Denial | None:
    """Deny an item that would exceed a budget. `accepted_before` counts the tasks of this proposal so far."""
    spent = question.spent
    most = allowed(limits, spent.granted, spent.extended)
    seconds = (question.now_ms - question.execution.started_at_ms) // 1000
    over = {
        "tasks": (spent.used.tasks + accepted_before + tasks_of(item.task), most.tasks),
        "depth": (spent.depth, limits.depth),
        "tokens": (spent.used.tokens, most.tokens),
        "costUSD": (spent.used.cost_nano_usd, most.cost_nano_usd),
        "durationSeconds": (seconds, limits.duration_seconds + spent.extended_seconds),
    }
    for name, (used, most_of_it) in over.items():
        if used > most_of_it:
            shown = (amount_text(name, most_of_it), amount_text(name, used))
            return Denial(
                Check.LIMITS,
                name,
                f"the budget of {name} is {shown[0]}; with this item it would be {shown[1]}",
            )
    return None
