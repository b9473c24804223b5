"""Budgets that no nesting, no price and no second policy gets round."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.api import Phase
from openworld.api.agent import Price
from openworld.engine.desire import desired
from openworld.engine.evolve.entering import cost_nano_usd
from openworld.engine.facts import ChildEnded
from openworld.governance import Amounts
from openworld.governance.checks.limits import tightest
from openworld.ledger import rfc3339
from openworld.simulation import Namespace
from tests.support.governance import policy
from tests.support.world import START_MS, World, world

SUB = {"type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "below"}}
ALLOW = {
    "name": "all",
    "decision": "Allow",
    "match": {"types": ["SIMPLE", "SUB_WORKFLOW", "AGENT", "START_WORKFLOW"]},
}
SCRIPTED = {"provider": "scripted", "script": {"configMapName": "s"}}


def parent(*tasks: dict[str, Any], **limits: Any) -> World:
    """A run with these budgets, and a workflow `below` for its children."""
    w = world(*tasks, policyRef={"name": "p"})
    w.define("Policy", "p", {"rules": [ALLOW], "limits": limits})
    w.define("Workflow", "below", {"tasks": [{"ref": "h", "type": "HUMAN"}]})
    return w.step()


def lent(w: World) -> dict[str, tuple[int, int, int]]:
    """What each child is lent, as its spec says."""
    children = desired(w.state, w.now_ms).children
    found = {}
    for child in children:
        assert child.grant is not None
        found[child.ref] = (child.grant.tasks, child.grant.tokens, child.grant.cost_nano_usd)
    return found


def ends(w: World, ref: str, used: Amounts | None = None, phase: Phase = Phase.COMPLETED) -> World:
    """The child of a task has ended."""
    return w.step(ChildEnded(f"end-{ref}", w.task(ref).seq, phase, {}, used=used))


def test_children_side_by_side_get_equal_shares_and_one_share_stays() -> None:
    fork = {"ref": "f", "type": "FORK_JOIN", "forkTasks": [[{**SUB, "ref": "a"}], [{**SUB, "ref": "b"}]]}
    w = parent(fork, tasks=90, tokens=3000, costUSD="0.3")
    assert lent(w) == {"a": (30, 1000, 100_000_000), "b": (30, 1000, 100_000_000)}
    reserved = w.of_type("BudgetReserved")
    assert [(e["ref"], e["tasks"], e["tokens"], e["costNanoUSD"]) for e in reserved] == [
        ("a", 30, 1000, 100_000_000),
        ("b", 30, 1000, 100_000_000),
    ]
    scheduled = [e["seq"] for e in w.of_type("TaskScheduled") if e["ref"] in "ab"]
    assert max(scheduled) < min(e["seq"] for e in reserved)


def test_what_a_child_has_used_counts_and_the_rest_is_free_again() -> None:
    w = parent({**SUB, "ref": "a"}, {**SUB, "ref": "b"}, tasks=100, tokens=1000)
    assert lent(w)["a"][:2] == (50, 500)
    ends(w, "a", Amounts(tasks=20, tokens=100, cost_nano_usd=7))
    assert w.state.spent == Amounts(20, 100, 7)
    (returned,) = w.of_type("BudgetReturned")
    assert returned["used"] == {"tasks": 20, "tokens": 100, "costNanoUSD": 7}
    assert returned["returned"]["tokens"] == 400
    assert lent(w)["b"][:2] == (40, 450)


@pytest.mark.parametrize("used", [None, Amounts(tasks=999, tokens=10**9)])
def test_a_child_of_which_nobody_knows_or_that_claims_too_much_counts_in_full(used: Amounts | None) -> None:
    w = parent({**SUB, "ref": "a"}, {**SUB, "ref": "b"}, tasks=100, tokens=1000)
    ends(w, "a", used)
    assert (w.state.proposed_tasks, w.state.tokens) == (50, 500)


def test_a_child_that_is_canceled_counts_in_full_until_it_has_told() -> None:
    w = parent({**SUB, "ref": "a"}, tasks=100, tokens=1000)
    w.signal("Terminate")
    assert (w.phase, w.state.tokens) == (Phase.TERMINATED, 500)
    w.signal("Retry", payload={"resumeSubworkflowTasks": True})
    assert w.phase is Phase.RUNNING
    ends(w, "a", Amounts(tokens=30))
    assert w.state.tokens == 30


def test_a_child_has_its_parents_time_and_no_more() -> None:
    w = parent({**SUB, "ref": "a"}, durationSeconds=300)
    (child,) = desired(w.state, w.now_ms).children
    assert child.grant is not None
    assert child.grant.ends_at == rfc3339(START_MS + 300_000)


def test_a_run_that_was_lent_little_cannot_use_what_its_own_policy_would_allow() -> None:
    made = Namespace(name="team", check=True)
    tool = {
        "name": "look",
        "effect": "Read",
        "inputSchema": {"type": "object"},
        "run": {"container": {"image": "i"}},
    }
    made.define("ToolCatalog", "tools", {"tools": [tool]})
    made.define("Policy", "tight", {"rules": [ALLOW], "limits": {"tasks": 3, "tokens": 1000}})
    made.define("Policy", "wide", {"rules": [ALLOW], "limits": {"tasks": 1000}})
    made.define("Agent", "a", {"model": SCRIPTED, "catalogs": ["tools"]})
    ask = {"ref": "ask", "type": "AGENT", "input": {"agent": "a"}}
    made.define("Workflow", "below", {"policyRef": {"name": "wide"}, "catalogs": ["tools"], "tasks": [ask]})
    made.define("Workflow", "main", {"policyRef": {"name": "tight"}, "tasks": [{**SUB, "ref": "sub"}]})
    run = made.start("main")
    made.settle()
    child = made.executions[1]
    assert child.identity.spec.parent is not None
    assert child.identity.spec.parent.policies == ["tight"]
    assert child.identity.spec.parent.grant is not None
    assert child.identity.spec.parent.grant.tasks == 1
    made.report(
        child,
        "ask",
        proposal={"tasks": [{"type": "look"}, {"ref": "more", "type": "look"}]},
        usage={"tokensIn": 600},
    )
    (verdict,) = [e for e in child.events if e["type"] == "ProposalJudged"]
    assert [(i["decision"], i["rule"]) for i in verdict["items"]] == [
        ("Denied", "tokens"),
        ("Denied", "tokens"),
    ]
    made.settle()
    assert child.state.reason == "task ask failed: BudgetExceeded: tokens used 600 of 500"
    assert run.state.spent == Amounts(tokens=500)  # never more than it was lent


def test_a_proposal_that_starts_a_workflow_lends_for_good_and_an_author_lends_nothing() -> None:
    start = {"type": "START_WORKFLOW", "input": {"startWorkflow": {"name": "below"}}}
    w = parent({**start, "ref": "s"})
    assert [child.grant for child in desired(w.state, w.now_ms).children] == [None]
    w = parent({"ref": "w", "type": "a"}, tasks=100, tokens=1000)
    w.started("w").completes("w", proposal={"tasks": [{**start, "ref": "s"}]})
    (child,) = desired(w.state, w.now_ms).children
    assert child.grant is not None
    assert (child.grant.tasks, child.grant.tokens) == (49, 500)
    w.child_started("w__1__s")
    assert (w.state.proposed_tasks, w.state.tokens) == (50, 500)


def test_every_policy_that_binds_limits_and_the_tightest_of_each_counts() -> None:
    limits = tightest(
        (
            policy({"limits": {"tasks": 5, "costUSD": "10"}}),
            policy({"limits": {"tokens": 7, "costUSD": "9.5"}}),
        )
    )
    assert (limits.tasks, limits.tokens, limits.cost_usd) == (5, 7, "9.5")


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"tokensIn": 1_000_000}, 150_000_000),
        ({"tokensIn": 1_000_000, "tokensCached": 1_000_000}, 10_000_000),
        ({"tokensOut": 1}, 600),
        ({"tokensIn": 1, "tokensCached": 99}, 10),
        ({}, 0),
    ],
)
def test_what_tokens_cost_follows_from_the_agents_prices(usage: dict[str, int], cost: int) -> None:
    price = Price(input_per_million="0.15", cached_per_million="0.01", output_per_million="0.60")
    assert cost_nano_usd(price, usage) == cost


def agent_world(limits: dict[str, Any], agent_limits: dict[str, Any]) -> World:
    """An agent of which every token costs a thousandth of a dollar."""
    w = world({"ref": "ask", "type": "AGENT", "input": {"agent": "a"}}, policyRef={"name": "p"})
    w.define("Policy", "p", {"rules": [ALLOW], "limits": limits})
    price = {"inputPerMillion": "1000"}
    w.define("Agent", "a", {"model": {**SCRIPTED, "price": price}, "limits": agent_limits})
    return w.step().started("ask")


@pytest.mark.parametrize(
    ("limits", "agent_limits", "reason"),
    [
        ({"costUSD": "0.05"}, {}, "costUSD used 0.06 of 0.05"),
        ({}, {"costUSD": "0.06"}, "costUSD of the agent used 0.06 of 0.06"),
        ({}, {"tokens": 50}, "tokens of the agent used 60 of 50"),
    ],
)
def test_cost_and_the_agents_own_budgets_end_it(
    limits: dict[str, Any], agent_limits: dict[str, Any], reason: str
) -> None:
    w = agent_world(limits, agent_limits)
    w.completes("ask", proposal={"tasks": [{"type": "ghost"}]}, usage={"tokensIn": 60})
    assert w.phase is Phase.FAILED
    assert f"BudgetExceeded: {reason}" in w.state.reason
