"""Check 5: the execution's service account may `use` the tool, as Kubernetes' authorizer says."""

from __future__ import annotations

from openworld.governance.item import Item
from openworld.governance.question import Question
from openworld.governance.verdict import Check, Denial


def is_unanswered(question: Question, item: Item) -> bool:
    """Whether the access review is still to be asked."""
    return bool(item.tool_name) and item.tool_name not in question.access


def check(question: Question, item: Item) -> Denial | None:
    """Deny a tool that the account may not use; an open question is not a yes."""
    if not item.tool_name or question.access.get(item.tool_name) is True:
        return None
    account = question.execution.service_account
    return Denial(
        Check.ACCESS,
        "use",
        f"service account {account!r} may not use tool {item.tool_name!r}; grant it verb 'use' on "
        f"tools.openworld.dev/{item.tool_name}",
    )
