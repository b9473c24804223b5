"""Check 4: budgets are hard, of several the tightest binds, and what remains counts, not what is set."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.api import Phase
from openworld.api.policy import Approval, Limits
from openworld.governance import Amounts, Decision, Spent, judge
from tests.support.governance import NOW_MS, facts, items, only, question, rule, started, summary
from tests.support.world import World, tool

LOOK: dict[str, Any] = {"type": "look"}


def limited(**limits: int) -> dict[str, Any]:
    """A policy that allows everything within these limits."""
    return {"rules": [rule("all"), rule("types", match={"types": ["AGENT", "HUMAN"]})], "limits": limits}


@pytest.mark.parametrize(
    ("limits", "spent", "rule_name", "reason"),
    [
        ({"tasks": 5}, Spent(used=Amounts(tasks=4)), None, None),
        (
            {"tasks": 5},
            Spent(used=Amounts(tasks=5)),
            "tasks",
            "the budget of tasks is 5; with this item it would be 6",
        ),
        ({"depth": 2}, Spent(depth=2), None, None),
        ({"depth": 2}, Spent(depth=3), "depth", "the budget of depth is 2; with this item it would be 3"),
        ({"tokens": 100}, Spent(used=Amounts(tokens=100)), None, None),
        (
            {"tokens": 100},
            Spent(used=Amounts(tokens=101)),
            "tokens",
            "the budget of tokens is 100; with this item it would be 101",
        ),
        ({"costUSD": "0.5"}, Spent(used=Amounts(cost_nano_usd=500_000_000)), None, None),
        (
            {"costUSD": "0.5"},
            Spent(used=Amounts(cost_nano_usd=500_000_001)),
            "costUSD",
            "the budget of costUSD is 0.5; with this item it would be 0.500000001",
        ),
        ({"tasks": 5}, Spent(granted=Amounts(1, 1, 1)), None, None),
        (
            {"tasks": 5},
            Spent(used=Amounts(tasks=1), granted=Amounts(1, 1, 1)),
            "tasks",
            "the budget of tasks is 1; with this item it would be 2",
        ),
        ({"durationSeconds": 60}, Spent(), None, None),
        (
            {"durationSeconds": 59},
            Spent(),
            "durationSeconds",
            "the budget of durationSeconds is 59; with this item it would be 60",
        ),
    ],
)
def test_a_budget_that_is_used_up_denies(
    limits: dict[str, int], spent: Spent, rule_name: str | None, reason: str | None
) -> None:
    verdict = only(question(limited(**limits), spent=spent), LOOK)
    if rule_name is None:
        assert verdict.decision is Decision.ALLOWED
    else:
        assert (verdict.decision, verdict.check, verdict.rule, verdict.reason) == (
            Decision.DENIED,
            "limits",
            rule_name,
            reason,
        )


def test_the_items_of_a_proposal_use_up_the_budget_one_after_the_other() -> None:
    verdicts = items(
        question(limited(tasks=5), spent=Spent(used=Amounts(tasks=3))), LOOK, {"type": "nope"}, LOOK, LOOK
    )
    assert summary(verdicts) == [
        ("look", "Allowed", "all"),
        ("nope", "Denied", "exists"),
        ("look_2", "Allowed", "all"),
        ("look_3", "Denied", "tasks"),
    ]


def test_items_that_wait_for_a_person_count() -> None:
    spec = {"rules": [rule("ask", "RequireApproval")], "limits": {"tasks": 1}}
    assert [v.decision for v in items(question(spec), LOOK, LOOK)] == [
        Decision.NEEDS_APPROVAL,
        Decision.DENIED,
    ]


def test_a_proposal_with_too_many_items_is_denied_whole() -> None:
    asked = question(limited(tasksPerProposal=2))
    assert {v.decision for v in items(asked, LOOK, LOOK)} == {Decision.ALLOWED}
    verdicts = items(asked, LOOK, None, {"type": "nope"})
    assert {(v.decision, v.check, v.rule, v.reason) for v in verdicts} == {
        (
            Decision.DENIED,
            "limits",
            "tasksPerProposal",
            "the proposal has 3 items, and 2 are allowed",
        )
    }


def test_the_defaults_bind_where_nothing_is_set() -> None:
    verdict = judge(question(), {"tasks": [LOOK] * 11})
    assert verdict.limits == Limits()
    assert {v.rule for v in verdict.items} == {"tasksPerProposal"}
    assert Limits().model_dump() == {
        "turns": 12,
        "tasks": 200,
        "tasks_per_proposal": 10,
        "concurrent_tasks": 20,
        "depth": 3,
        "rejections": 3,
        "tokens": 200_000,
        "cost_usd": "10.00",
        "duration_seconds": 7200,
        "on_exceeded": "Fail",
        "extension": Approval().model_dump(),
    }


def test_of_several_policies_the_tightest_of_each_limit_binds() -> None:
    verdict = judge(question(limited(tasks=5, tokens=10), limited(tasks=7, turns=2)), {"tasks": [LOOK]})
    assert verdict.limits == Limits(tasks=5, tokens=10, turns=2)


def test_limits_bind_task_types_as_well() -> None:
    asked = question(limited(depth=1), spent=Spent(depth=2))
    for item in ({"type": "AGENT", "input": {"agent": "x"}}, {"type": "HUMAN"}):
        assert only(asked, item).rule == "depth"


def test_a_task_that_starts_late_is_over_the_budget() -> None:
    asked = question(limited(durationSeconds=60), execution=facts(started_at_ms=NOW_MS - 61_000))
    assert started(asked).items[0].rule == "durationSeconds"


def test_budgets_of_proposals_do_not_bind_authored_tasks() -> None:
    asked = question(
        limited(tasks=1, tokens=1), spent=Spent(used=Amounts(tasks=9, tokens=9), depth=9), proposed=False
    )
    assert started(asked).items[0].decision is Decision.ALLOWED


def agent_world(**limits: int) -> World:
    """An execution whose only task is an agent."""
    w = World({"tasks": [{"ref": "a", "type": "AGENT", "input": {"agent": "x"}}], "policyRef": {"name": "p"}})
    w.define("Policy", "p", limited(**limits)).define("ToolCatalog", "tools", {"tools": [tool("look")]})
    model = {"provider": "scripted", "script": {"configMapName": "s"}}
    return w.define("Agent", "x", {"model": model, "catalogs": ["tools"]}).step()


def proposing(w: World, *tasks: dict[str, Any], **more: Any) -> World:
    """The agent proposes."""
    return w.completes("a", proposal={"tasks": list(tasks)}, **more)


def test_turns_are_counted_for_each_agent_task() -> None:
    w = agent_world(turns=1)
    proposing(w, LOOK).completes("a__1__look")
    assert (w.phase, w.state.reason) == (Phase.FAILED, "task a failed: BudgetExceeded: turns used 1 of 1")


def test_many_small_proposals_are_no_way_around_the_budget_of_tasks() -> None:
    w = agent_world(tasks=2)
    for turn in (1, 2):
        proposing(w, LOOK).completes(f"a__{turn}__look")
    proposing(w, LOOK)
    assert w.of_type("ProposalJudged")[-1]["items"][0]["reason"] == (
        "the budget of tasks is 2; with this item it would be 3"
    )
    assert w.jobs.keys() == {"a"}


def test_an_agent_below_an_agent_is_as_deep_as_it_stands() -> None:
    w = agent_world(depth=1)
    proposing(w, {"type": "AGENT", "ref": "b", "input": {"agent": "x"}})
    w.completes("a__1__b", proposal={"tasks": [LOOK]})
    assert w.of_type("ProposalJudged")[-1]["items"][0]["reason"] == (
        "the budget of depth is 1; with this item it would be 2"
    )


def test_rejections_in_a_row_end_the_agent() -> None:
    w = agent_world(rejections=2)
    proposing(w, {"type": "nope"})
    proposing(w, LOOK).completes("a__2__look")
    proposing(w, {"type": "nope"})
    assert w.phase is Phase.RUNNING
    proposing(w, {"type": "nope"})
    assert w.state.reason == (
        "task a failed: ProposalsRejected: 2 turns in a row with nothing allowed; "
        "a__4__nope: there is no tool 'nope' in catalogs tools"
    )


def test_tokens_of_all_turns_are_counted_together() -> None:
    w = agent_world(tokens=100)
    proposing(w, LOOK, usage={"tokensIn": 60, "tokensOut": 0}).completes("a__1__look")
    proposing(w, LOOK, usage={"tokensIn": 0, "tokensOut": 40}).completes("a__2__look")
    assert w.state.reason == "task a failed: BudgetExceeded: tokens used 100 of 100"


def test_time_is_counted_from_the_start_of_the_execution() -> None:
    w = agent_world(durationSeconds=60)
    proposing(w, LOOK)
    w.advance(60)
    w.completes("a__1__look")
    assert w.state.reason == "task a failed: BudgetExceeded: durationSeconds used 60 of 60"


def test_concurrency_queues_and_denies_nothing() -> None:
    w = agent_world(concurrentTasks=2)
    proposing(w, *[{"type": "look", "ref": ref} for ref in ("x", "y", "z")])
    assert w.jobs.keys() == {"a__1__x", "a__1__y"}
    assert w.state.denied == 0
    w.completes("a__1__x")
    assert w.jobs.keys() == {"a__1__y", "a__1__z"}
