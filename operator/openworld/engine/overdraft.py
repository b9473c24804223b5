"""A budget that is used up: the agent ends, or waits for a person who may grant as much again.

Limits are hard: nothing is used beyond them before somebody's consent stands in the ledger. What a parent has
lent is not a person's to extend here: where that binds, the agent ends.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from openworld.api import Agent, JsonObject, TaskType
from openworld.api.policy import OnExceeded, amount_text, nano_usd
from openworld.governance import item_digest
from openworld.ledger import EventType, rfc3339

from . import budget, context
from .decide import Pass
from .endings import abandon_below, fail_task
from .evolve.budgets import RUN_WIDE
from .state import State, TaskState

RULE = "onExceeded"


@dataclass(frozen=True, slots=True)
class Overdraft:
    """A limit that is used up. `more` is what a person may grant; 0 where nobody here may.

    Amounts of money are billionths of a US dollar, times are seconds.
    """

    limit: str
    used: int
    allowed: int
    more: int

    @classmethod
    def of(cls, data: JsonObject) -> Overdraft:
        """The overdraft of what `wire` gives."""
        return cls(data["limit"], data["used"], data["allowed"], data["more"])

    def wire(self) -> JsonObject:
        """The overdraft as an event holds it."""
        return asdict(self)

    def told(self) -> str:
        """The overdraft in words."""
        used, allowed = amount_text(self.limit, self.used), amount_text(self.limit, self.allowed)
        return f"{self.limit} used {used} of {allowed}"

    def offer(self) -> str:
        """What a person is asked for, in words."""
        return f"{self.told()}; consent grants {amount_text(self.limit, self.more)} more"


def of_time(p: Pass) -> Overdraft | None:
    """The overdraft of the time that agents have; None while there is some left."""
    state = p.state
    ends = budget.ends_ms(state)
    if p.now_ms < ends:
        return None
    allowed = (ends - state.clock_from_ms) // 1000
    more = _seconds_anew(p) if allowed >= budget.seconds(state) else 0
    return Overdraft("durationSeconds", _elapsed(p), allowed, more)


def _elapsed(p: Pass) -> int:
    return (p.now_ms - p.state.clock_from_ms) // 1000


def _seconds_anew(p: Pass) -> int:
    """What has to be added to the time for there to be as much as at first, from now on."""
    return _elapsed(p) + p.state.limits.duration_seconds - budget.seconds(p.state)


def before_turn(state: State, task: TaskState, agent: Agent, number: int) -> Overdraft | None:
    """The first limit that leaves nothing for the turn `number` of an agent task; None if none does."""
    limits, own, used, most = state.limits, agent.limits, budget.used(state), budget.allowed(state)
    turns, granted = context.turn_limit(agent, limits), budget.granted(state)
    found = [
        _of_task(task, "turns", number - 1, turns),
        Overdraft("tokens", used.tokens, most.tokens, limits.tokens),
        Overdraft("costUSD", used.cost_nano_usd, most.cost_nano_usd, nano_usd(limits.cost_usd)),
    ]
    if own.tokens is not None:
        found.append(_of_task(task, "tokens of the agent", task.spent.tokens, own.tokens))
    if own.cost_usd is not None:
        cost = nano_usd(own.cost_usd)
        found.append(_of_task(task, "costUSD of the agent", task.spent.cost_nano_usd, cost))
    lent = {} if granted is None else {"tokens": granted.tokens, "costUSD": granted.cost_nano_usd}
    over = next((each for each in found if each.used >= each.allowed), None)
    if over is not None and lent.get(over.limit) == over.allowed:
        return replace(over, more=0)
    return over


def _of_task(task: TaskState, limit: str, used: int, bound: int) -> Overdraft:
    return Overdraft(limit, used, bound + task.extended.get(limit, 0), bound)


def waits_for_the_turn(state: State, task: TaskState) -> bool:
    """Whether time that is over is told only when the turn has been answered, since people are asked then."""
    return _asks(state) and task.turn is not None and not task.turn.received


def used_up(p: Pass, task: TaskState, over: Overdraft) -> None:
    """End an agent whose budget is used up; or have it wait for a person, where every policy says so."""
    if not _asks(p.state) or not over.more:
        end(p, task, over)
    elif not waits_for_the_turn(p.state, task) and not _is_asked_already(p.state, over):
        _ask(p, task, over)


def _asks(state: State) -> bool:
    return state.limits.on_exceeded is OnExceeded.ASK_HUMAN


def _is_asked_already(state: State, over: Overdraft) -> bool:
    """Whether another agent waits for the same: what is granted to the run is granted to all."""
    gates = (task.gate for task in state.active_tasks() if over.limit in RUN_WIDE)
    return any(gate is not None and (gate.budget or {}).get("limit") == over.limit for gate in gates)


def _ask(p: Pass, task: TaskState, over: Overdraft) -> None:
    terms = p.state.limits.extension
    asked = terms.model_dump(mode="json", by_alias=True)
    shown = item_digest(
        execution_uid=p.state.uid,
        ref=task.ref,
        generation=p.state.generation,
        resolved_input={
            "input": task.input,
            "budget": over.wire(),
            "approval": asked,
            "seq": p.state.head_seq,
        },
        tool_digest=task.agent_digest,
        policy_digests=(),
    )
    p.emit(
        EventType.APPROVAL_REQUESTED,
        ref=task.ref,
        scope=task.scope,
        tool=TaskType.AGENT.value,
        itemDigest=shown,
        rule=RULE,
        reason=over.offer(),
        approval=asked,
        input=task.input,
        budget=over.wire(),
        expiresAt=rfc3339(p.now_ms + terms.timeout_seconds * 1000),
    )


def extend(p: Pass, task: TaskState, granted: JsonObject) -> None:
    """People have consented: the limit is larger by what they were asked for."""
    over = Overdraft.of(granted)
    more = _seconds_anew(p) if over.limit == "durationSeconds" else over.more
    p.emit(EventType.BUDGET_EXTENDED, ref=task.ref, limit=over.limit, more=more)


def end(p: Pass, task: TaskState, over: Overdraft, why: str = "") -> None:
    """The agent ends, and with it all that it has brought forth."""
    p.emit(
        EventType.BUDGET_EXCEEDED,
        ref=task.ref,
        limit=over.limit,
        used=over.used,
        allowed=over.allowed,
        reason=why or None,
    )
    abandon_below(p, task.ref, f"the budget of {task.ref} is exceeded")
    is_asked = task.turn is not None and not task.turn.received
    fail_task(
        p,
        task.ref,
        p.state.scope_of(task),
        f"BudgetExceeded: {over.told()}" + (f" ({why})" if why else ""),
        kind=EventType.TASK_TIMED_OUT if is_asked else EventType.TASK_FAILED,
        terminal=True,
    )
