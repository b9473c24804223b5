"""Budgets across executions: what a run may still use, and what its children are lent of it.

A child execution runs on an escrow: BudgetReserved stands in the parent's ledger before the child exists, the
grant stands in the child and never changes, and what the child has used counts against the parent when it has
ended. So no nesting uses more than the outermost policy allows.
"""

from __future__ import annotations

from openworld.api import Grant, TaskType
from openworld.governance import Amounts
from openworld.governance.checks import limits as limits_check
from openworld.ledger import EventType, epoch_ms, rfc3339

from .decide import Pass
from .state import State, TaskState


def allowed(state: State) -> Amounts:
    """What this run may use in all: by the policies that bind it, and by its parent's grant."""
    return limits_check.allowed(state.limits, granted(state), extended(state))


def extended(state: State) -> Amounts:
    """What people have granted this run beyond its policies' limits."""
    return Amounts(tokens=state.extended.get("tokens", 0), cost_nano_usd=state.extended.get("costUSD", 0))


def seconds(state: State) -> int:
    """How long the agents of this run may take: by its policies, and by what people added to them."""
    return state.limits.duration_seconds + extended_seconds(state)


def extended_seconds(state: State) -> int:
    """The seconds that people have granted this run beyond its policies' limits."""
    return state.extended.get("durationSeconds", 0)


def used(state: State) -> Amounts:
    """What this run and its children that have ended have used, and what those are lent that go on."""
    lent = [
        task.grant.minus(task.used_by_child)
        for task in state.active_tasks()
        if task.grant is not None and task.granted_seq == task.seq
    ]
    total = state.spent
    for each in lent:
        total = total.plus(each)
    return total


def granted(state: State) -> Amounts | None:
    """What the parent has lent this run; None where nobody has."""
    parent = state.spec.parent
    grant = parent.grant if parent is not None else None
    return None if grant is None else Amounts(grant.tasks, grant.tokens, grant.cost_nano_usd)


def ends_ms(state: State) -> int:
    """When the time is used up that agents have (epoch, milliseconds): the run's own, or its parent's."""
    own = state.clock_from_ms + seconds(state) * 1000
    parent = state.spec.parent
    if parent is None or parent.grant is None:
        return own
    return min(own, epoch_ms(parent.grant.ends_at))


def grant_of(state: State, task: TaskState) -> Grant | None:
    """The grant of a child as it stands in the child's spec."""
    if task.grant is None:
        return None
    tasks, tokens, cost = task.grant.each()
    return Grant(tasks=tasks, tokens=tokens, cost_nano_usd=cost, ends_at=rfc3339(ends_ms(state)))


def is_lent(state: State, task: TaskState) -> bool:
    """Whether a task lends of the budget: a child does; what is only started, where a proposal led to it.

    That is so for a proposed task, and for any task of a run that has been lent its own budget.
    """
    if task.type is TaskType.SUB_WORKFLOW:
        return True
    is_led_to = state.scope_of(task).proposed or granted(state) is not None
    return task.type is TaskType.START_WORKFLOW and is_led_to


def reserve(p: Pass) -> None:
    """Lend each new child an equal share of what remains; one share stays with this run."""
    state = p.state
    if p.needs:  # others may start beside them, once what they need is known
        return
    waiting = [
        task
        for task in state.active_tasks()
        if task.gate is None and task.granted_seq != task.seq and is_lent(state, task)
    ]
    if not waiting:
        return
    left = allowed(state).minus(used(state))
    share = Amounts(*(max(0, amount) // (len(waiting) + 1) for amount in left.each()))
    for task in waiting:
        p.emit(EventType.BUDGET_RESERVED, ref=task.ref, attempt=task.attempt, **share.wire())


def give_back(p: Pass, task: TaskState, spent: Amounts | None) -> None:
    """A child has ended, having used so much since it was created. What nobody tells of counts in full."""
    if task.grant is None or spent is None:
        return
    whole = Amounts(*map(min, spent.each(), task.grant.each()))
    returned = task.grant.minus(whole)
    p.emit(EventType.BUDGET_RETURNED, ref=task.ref, used=whole.wire(), returned=returned.wire())
