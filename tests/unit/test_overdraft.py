"""A budget that is used up, where policy says AskHuman: a person may grant as much again, and nothing less will do."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.api import Phase, Policy
from openworld.engine.desire import desired
from openworld.governance.checks.limits import tightest
from openworld.simulation import Namespace
from tests.support.governance import policy
from tests.support.world import World
from tests.unit.test_engine_agent import POLICY, agent_world, answer, propose

LOOK = {"type": "look"}


def asking(
    agent: dict[str, Any] | None = None, extension: dict[str, Any] | None = None, **limits: Any
) -> World:
    """An agent whose policy has these limits, and asks a person when one of them is used up."""
    terms = {"onExceeded": "AskHuman", "extension": extension or {"timeoutSeconds": 600}, **limits}
    return agent_world({**POLICY, "limits": terms}, agent)


def used_up(w: World, **usage: int) -> World:
    """The first turn proposes one task, which runs to its end, and has used so many tokens."""
    w.completes("triage", proposal={"tasks": [LOOK]}, usage=usage)
    return w.started("triage__1__look").completes("triage__1__look", {"x": 1})


def test_an_agent_without_tokens_waits_for_a_person_who_sees_what_is_asked() -> None:
    w = used_up(asking(tokens=100), tokensIn=90, tokensOut=10)
    (asked,) = w.of_type("ApprovalRequested")
    assert asked["budget"] == {"limit": "tokens", "used": 100, "allowed": 100, "more": 100}
    assert (asked["tool"], asked["rule"]) == ("AGENT", "onExceeded")
    assert asked["reason"] == "tokens used 100 of 100; consent grants 100 more"
    assert w.statuses["triage"] == "AwaitingApproval"
    assert (w.jobs, w.of_type("BudgetExceeded")) == ({}, [])
    assert desired(w.state, w.now_ms).wake_at_ms == w.now_ms + 600_000


def test_consent_lets_it_go_on_by_as_much_again_and_it_is_asked_anew() -> None:
    w = used_up(asking(tokens=100), tokensIn=100).approve("triage")
    (granted,) = w.of_type("BudgetExtended")
    assert (granted["limit"], granted["more"]) == ("tokens", 100)
    assert w.jobs["triage"].turn == 2
    assert w.jobs["triage"].context is not None
    assert w.jobs["triage"].context["budget"]["tokens"] == 100
    w.completes("triage", proposal={"tasks": [LOOK]}, usage={"tokensIn": 60})
    assert w.of_type("ProposalJudged")[-1]["items"][0]["decision"] == "Allowed"
    w.started("triage__2__look").completes("triage__2__look")
    w.completes("triage", proposal={"tasks": []}, usage={"tokensIn": 50})
    (_, again) = w.of_type("ApprovalRequested")
    assert again["budget"] == {"limit": "tokens", "used": 210, "allowed": 200, "more": 100}
    answer(w.approve("triage"), {"done": True})
    assert w.phase is Phase.COMPLETED


@pytest.mark.parametrize("kind", ["Reject", None])
def test_without_consent_it_ends_as_if_nobody_had_been_asked(kind: str | None) -> None:
    w = used_up(asking(tokens=100), tokensIn=100)
    w = w.approve("triage", kind=kind) if kind else w.advance(600)
    why = "ApprovalRefused by bob@example.com" if kind else "ApprovalExpired: nobody approved by "
    assert w.phase is Phase.FAILED
    assert w.state.reason.startswith(f"task triage failed: BudgetExceeded: tokens used 100 of 100 ({why}")
    (ended,) = w.of_type("BudgetExceeded")
    assert ended["reason"].startswith(why)


def test_the_requester_may_not_grant_it_and_two_must_where_the_policy_says_two() -> None:
    w = used_up(asking(extension={"count": 2}, tokens=100), tokensIn=100)
    w.approve("triage", by="alice@example.com")
    assert "does not let the requester approve" in w.of_type("FactRefused")[-1]["reason"]
    w.approve("triage").approve("triage")
    assert "has approved this item already" in w.of_type("FactRefused")[-1]["reason"]
    assert w.of_type("BudgetExtended") == []
    w.approve("triage", by="carol@example.com")
    assert [e["more"] for e in w.of_type("BudgetExtended")] == [100]


def test_a_budget_has_no_input_to_edit() -> None:
    w = used_up(asking(tokens=100), tokensIn=100)
    gate = w.task("triage").gate
    assert gate is not None
    payload = {"input": {"agent": "another"}}
    w.signal("Approve", ref="triage", tool="AGENT", item_digest=gate.digest, payload=payload)
    assert w.of_type("FactRefused")[-1]["reason"].endswith("more of a budget, which has no input")
    assert w.task("triage").gate is gate


def test_an_earlier_consent_is_not_one_for_the_next_time() -> None:
    w = used_up(asking(turns=1))
    gate = w.task("triage").gate
    assert gate is not None
    w.approve("triage")
    propose(w, LOOK).started("triage__2__look").completes("triage__2__look")
    again = w.task("triage").gate
    assert again is not None
    assert again.digest != gate.digest
    w.signal("Approve", ref="triage", tool="AGENT", item_digest=gate.digest)
    assert "approves another item" in w.of_type("FactRefused")[-1]["reason"]


@pytest.mark.parametrize(
    ("agent", "limits", "limit", "more"),
    [
        (None, {"turns": 1}, "turns", 1),
        ({"limits": {"turns": 1}}, {}, "turns", 1),
        ({"limits": {"tokens": 50}}, {}, "tokens of the agent", 50),
        (
            {"limits": {"costUSD": "0.05"}, "model": {"price": {"inputPerMillion": "1000"}}},
            {},
            "costUSD of the agent",
            50_000_000,
        ),
        ({"model": {"price": {"inputPerMillion": "1000"}}}, {"costUSD": "0.06"}, "costUSD", 60_000_000),
    ],
)
def test_every_limit_of_a_turn_can_be_granted(
    agent: dict[str, Any] | None, limits: dict[str, Any], limit: str, more: int
) -> None:
    scripted = {"provider": "scripted", "script": {"configMapName": "s"}}
    agent = {**(agent or {}), "model": scripted | (agent or {}).get("model", {})}
    w = used_up(asking(agent, **limits), tokensIn=60)
    (asked,) = w.of_type("ApprovalRequested")
    assert (asked["budget"]["limit"], asked["budget"]["more"]) == (limit, more)
    answer(w.approve("triage"), {"done": True})
    assert w.phase is Phase.COMPLETED


def test_time_is_granted_from_the_consent_on_and_a_turn_under_way_is_heard_first() -> None:
    w = asking(durationSeconds=300)
    w.started("triage").advance(400)
    assert w.of_type("ApprovalRequested") == []
    assert desired(w.state, w.now_ms).wake_at_ms is not None  # the turn's own time, not what is over
    w.completes("triage", proposal={"tasks": [LOOK]})
    (asked,) = w.of_type("ApprovalRequested")
    assert asked["budget"] == {"limit": "durationSeconds", "used": 400, "allowed": 300, "more": 400}
    w.advance(100).approve("triage")
    assert w.of_type("BudgetExtended")[0]["more"] == 500
    assert w.jobs.keys() == {"triage"}
    assert w.jobs["triage"].context is not None
    assert w.jobs["triage"].context["budget"]["seconds"] == 300


def test_of_two_agents_one_asks_for_both() -> None:
    fork = {
        "ref": "f",
        "type": "FORK_JOIN",
        "forkTasks": [[{"ref": r, "type": "AGENT", "input": {"agent": "oncall"}}] for r in "ab"],
    }
    w = agent_world(
        {**POLICY, "limits": {"onExceeded": "AskHuman", "tokens": 100}},
        tasks=[fork, {"ref": "j", "type": "JOIN", "joinOn": ["a", "b"]}],
    )
    for ref in "ab":
        w.completes(ref, proposal={"tasks": [{"type": "nope"}]}, usage={"tokensIn": 60})
    assert len(w.of_type("ApprovalRequested")) == 1
    waiting = w.of_type("ApprovalRequested")[0]["ref"]
    w.approve(waiting)
    assert w.jobs.keys() == {"a", "b"}


def test_what_a_parent_has_lent_nobody_extends_below() -> None:
    made = Namespace(name="team", check=True)
    limits = {"tokens": 1000, "onExceeded": "AskHuman"}
    allow = {"name": "all", "decision": "Allow", "match": {"types": ["AGENT", "SUB_WORKFLOW"]}}
    made.define("Policy", "p", {"rules": [allow], "limits": limits})
    made.define("ToolCatalog", "tools", {"tools": []})
    made.define("Agent", "a", {"model": {"provider": "scripted", "script": {"configMapName": "s"}}})
    ask = {"ref": "ask", "type": "AGENT", "input": {"agent": "a"}}
    made.define("Workflow", "below", {"tasks": [ask]})
    sub = {"ref": "sub", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "below"}}
    made.define("Workflow", "main", {"policyRef": {"name": "p"}, "tasks": [sub]})
    made.start("main")
    made.settle()
    child = made.executions[1]
    made.report(child, "ask", proposal={"tasks": [{"type": "nope"}]}, usage={"tokensIn": 600})
    made.settle()
    assert child.state.reason == "task ask failed: BudgetExceeded: tokens used 600 of 500"


def test_several_policies_ask_only_if_all_do_and_on_the_stricter_terms() -> None:
    asks = {"onExceeded": "AskHuman", "extension": {"count": 2, "timeoutSeconds": 900}}
    both = tightest(
        (policy({"limits": asks}), policy({"limits": {**asks, "extension": {"timeoutSeconds": 60}}}))
    )
    assert both.on_exceeded == "AskHuman"
    assert (both.extension.count, both.extension.timeout_seconds) == (2, 60)
    assert tightest((policy({"limits": asks}), policy({}))).on_exceeded == "Fail"


def test_no_budget_grows_by_silence() -> None:
    with pytest.raises(ValueError, match="no budget grows because nobody has answered"):
        Policy.model_validate({"limits": {"extension": {"onTimeout": "Approve"}}})


def test_a_new_generation_has_its_own_time() -> None:
    w = used_up(asking(durationSeconds=300)).advance(400)
    w.completes("triage", proposal={"tasks": []}).approve("triage")
    assert w.state.extended == {"durationSeconds": 400}
    w.signal("Terminate").signal("Restart")
    assert w.state.extended == {}
