"""Which policies bind: the workflow's, the agent's, the parent's, and those that are mandatory."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.api import Phase
from openworld.engine.desire import desired
from openworld.governance import Decision
from openworld.simulation import Namespace
from tests.support.governance import catalog, items, only, policy, question, rule, summary
from tests.support.world import World, tool, world

ALLOW = {"rules": [rule("all"), rule("types", match={"types": ["SUB_WORKFLOW", "AGENT"]})]}
DENY = {"rules": [rule("all"), rule("no-notes", "Deny", match={"tools": ["note"]})]}
SCRIPTED = {"provider": "scripted", "script": {"configMapName": "s"}}


def proposing(
    *, workflow: str | None = "open", agent: str | None = None, mandatory: tuple[str, ...] = ()
) -> World:
    """An agent that proposes `note`, under the policies `open` (allows) and `shut` (denies it)."""
    policies = {} if workflow is None else {"policyRef": {"name": workflow}}
    w = world({"ref": "ask", "type": "AGENT", "input": {"agent": "a"}}, **policies)
    w.define("ToolCatalog", "tools", {"tools": [tool("note", "Write")]})
    w.define("Policy", "open", ALLOW).define("Policy", "shut", DENY)
    reference = {} if agent is None else {"policyRef": {"name": agent}}
    w.define("Agent", "a", {"model": SCRIPTED, "catalogs": ["tools"], **reference})
    w.mandatory = list(mandatory)
    return w.step().started("ask").completes("ask", proposal={"tasks": [{"type": "note"}]})


def verdict(w: World) -> tuple[str, str, list[str]]:
    """Decision and rule on the item, and which policies were asked."""
    (judged,) = w.of_type("ProposalJudged")
    (item,) = judged["items"]
    return item["decision"], item["rule"], [source["name"] for source in judged["policies"]]


@pytest.mark.parametrize(
    ("bindings", "wanted"),
    [
        ({}, ("Allowed", "all", ["open"])),
        ({"agent": "shut"}, ("Denied", "no-notes", ["open", "shut"])),
        ({"mandatory": ("shut",)}, ("Denied", "no-notes", ["open", "shut"])),
        ({"agent": "open", "mandatory": ("open",)}, ("Allowed", "all", ["open"])),
        ({"workflow": None, "mandatory": ("open",)}, ("Allowed", "all", ["open"])),
        ({"workflow": None}, ("Denied", "default-deny", [])),
        ({"workflow": "open", "mandatory": ("ghost",)}, ("Denied", "policy-unusable", ["open", "ghost"])),
    ],
)
def test_every_policy_that_binds_must_allow(
    bindings: dict[str, Any], wanted: tuple[str, str, list[str]]
) -> None:
    assert verdict(proposing(**bindings)) == wanted


def test_an_agents_policy_binds_what_its_items_propose_and_not_the_authored_tasks_beside_it() -> None:
    shut_all = {"scope": "All", **DENY}
    w = world({"ref": "n", "type": "note"}, catalogs=["tools"], policyRef={"name": "open"})
    w.define("ToolCatalog", "tools", {"tools": [tool("note", "Write")]})
    w.define("Policy", "open", ALLOW).define("Policy", "shut", shut_all)
    assert w.step().statuses["n"] == "Scheduled"
    other = world({"ref": "n", "type": "note"}, catalogs=["tools"], policyRef={"name": "open"})
    other.define("ToolCatalog", "tools", {"tools": [tool("note", "Write")]})
    other.define("Policy", "open", ALLOW).define("Policy", "shut", shut_all)
    other.mandatory = ["shut"]
    assert other.step().phase is Phase.FAILED
    assert "Denied (policy, no-notes)" in other.state.reason


def test_the_budgets_of_a_mandatory_policy_bind_from_the_start() -> None:
    w = world({"ref": "h", "type": "HUMAN"}, policyRef={"name": "open"})
    w.define("Policy", "open", ALLOW).define("Policy", "thrifty", {"limits": {"tokens": 77}})
    w.mandatory = ["thrifty"]
    w.step()
    assert w.state.limits.tokens == 77
    assert w.events[0]["limits"]["tokens"] == 77


def test_a_child_is_bound_by_the_policies_of_the_run_and_of_the_agent_that_proposed_it() -> None:
    w = world({"ref": "ask", "type": "AGENT", "input": {"agent": "a"}}, policyRef={"name": "open"})
    w.define("Policy", "open", ALLOW).define("Policy", "careful", ALLOW)
    w.define("Agent", "a", {"model": SCRIPTED, "policyRef": {"name": "careful"}})
    w.define("Workflow", "below", {"tasks": [{"ref": "h", "type": "HUMAN"}]})
    w.step().started("ask")
    w.completes("ask", proposal={"tasks": [{"type": "SUB_WORKFLOW", "input": {"name": "below"}}]})
    (child,) = desired(w.state, w.now_ms).children
    assert child.policies == ("open", "careful")


def test_what_is_denied_to_a_parent_is_denied_to_its_child_whatever_the_childs_policy_says() -> None:
    made = Namespace(name="team", check=True)
    made.define("ToolCatalog", "tools", {"tools": [tool("note", "Write")]})
    made.define("Policy", "open", ALLOW)
    made.define("Policy", "shut", DENY)
    made.define("Agent", "a", {"model": SCRIPTED, "catalogs": ["tools"]})
    ask = {"ref": "ask", "type": "AGENT", "input": {"agent": "a"}}
    made.define("Workflow", "below", {"policyRef": {"name": "open"}, "tasks": [ask]})
    sub = {"ref": "sub", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "below"}}
    made.define("Workflow", "main", {"policyRef": {"name": "shut"}, "tasks": [sub]})
    run = made.start("main")
    made.settle()
    child = made.child(run, "sub")
    assert child is not None
    made.report(child, "ask", proposal={"tasks": [{"type": "note"}]})
    (judged,) = [e for e in child.events if e["type"] == "ProposalJudged"]
    assert judged["items"][0]["rule"] == "no-notes"
    assert [source["name"] for source in judged["policies"]] == ["open", "shut"]


def test_a_policy_that_wants_all_or_nothing_denies_everything_for_one_denial() -> None:
    asked = question({**DENY, "requireAtomic": True})
    assert summary(items(asked, {"type": "look"}, {"type": "note"})) == [
        ("look", "Denied", "atomic"),
        ("note", "Denied", "no-notes"),
    ]
    assert [v.decision for v in items(asked, {"type": "look"}, {"ref": "again", "type": "look"})] == [
        Decision.ALLOWED
    ] * 2


@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        ({"type": "note"}, ("Denied", "requireCompensation")),
        ({"type": "note", "compensation": {"tool": "look"}}, ("Allowed", "all")),
        ({"type": "undoable"}, ("Allowed", "all")),
        ({"type": "look"}, ("Allowed", "all")),
    ],
)
def test_what_changes_something_must_say_what_undoes_it_where_the_policy_wants_that(
    item: dict[str, Any], wanted: tuple[str, str]
) -> None:
    wants = {"rules": [rule("all")], "requireCompensation": {"effects": ["Write"]}}
    tools = catalog(
        tool("look"), tool("note", "Write"), tool("undoable", "Write", compensation={"tool": "look"})
    )
    access = dict.fromkeys(("look", "note", "undoable"), True)
    found = only(question(wants, catalogs=(tools,), access=access), item)
    assert (found.decision.value, found.rule) == wanted
    audited = only(question({**wants, "mode": "Audit"}, catalogs=(tools,), access=access), item)
    assert audited.decision is Decision.ALLOWED
    assert ("requireCompensation" in audited.audited) == (wanted[0] == "Denied")


def test_a_policy_with_the_label_is_told_apart_from_one_of_the_same_name_elsewhere() -> None:
    one, two = policy(ALLOW, "p"), policy(DENY, "openworld-system/p")
    assert only(question(policies=(one, two)), {"type": "note"}).rule == "no-notes"


def test_a_policy_for_proposals_does_not_bind_authored_tasks_because_another_binds_all() -> None:
    w = world(
        {"ref": "n", "type": "note"},
        {"ref": "h", "type": "HUMAN"},
        catalogs=["tools"],
        policyRef={"name": "narrow"},
    )
    w.define("ToolCatalog", "tools", {"tools": [tool("note", "Write")]})
    w.define("Policy", "narrow", {"rules": [rule("none", match={"tools": ["other"]})]})
    guard = {
        "scope": "All",
        "rules": [
            rule("all"),
            rule("people", match={"types": ["HUMAN"]}),
            rule("no", "Deny", match={"tools": ["drop"]}),
        ],
    }
    w.define("Policy", "guard", guard)
    w.mandatory = ["guard"]
    assert w.step().statuses["n"] == "Scheduled"
    (started,) = [e for e in w.of_type("TaskScheduled") if e["ref"] == "n"]
    assert started["verdict"] == {"decision": "Allowed", "rule": "all", "policy": "guard"}
    assert started["rules"] == {"guard/all": guard["rules"][0]}


def test_a_start_says_by_which_rule_where_the_proposals_verdict_was_not_final() -> None:
    w = world(
        {"ref": "ask", "type": "AGENT", "input": {"agent": "a"}},
        policyRef={"name": "p"},
        spec={"input": {"n": 2}},
    )
    w.define("ToolCatalog", "tools", {"tools": [tool("look"), tool("note", "Write")]})
    w.define(
        "Policy",
        "p",
        {"rules": [rule("reads", match={"effects": ["Read"]}), rule("small", when="item.input.n < 3")]},
    )
    w.define("Agent", "a", {"model": SCRIPTED, "catalogs": ["tools"]})
    w.step().started("ask")
    open_item = {"type": "note", "input": {"n": "${workflow.input.n}"}}
    w.completes("ask", proposal={"tasks": [{"type": "look"}, open_item]})
    started = {e["ref"]: e.get("verdict") for e in w.of_type("TaskScheduled")}
    assert started["ask__1__look"] is None
    assert started["ask__1__note"] == {"decision": "Allowed", "rule": "small", "policy": "p"}


def test_a_denial_before_the_start_says_what_was_judged() -> None:
    w = world(
        {"ref": "ask", "type": "AGENT", "input": {"agent": "a"}},
        policyRef={"name": "p"},
        spec={"input": {"n": 5}},
    )
    w.define("ToolCatalog", "tools", {"tools": [tool("note", "Write")]})
    w.define("Policy", "p", {"rules": [rule("small", when="item.input.n < 3")]})
    w.define("Agent", "a", {"model": SCRIPTED, "catalogs": ["tools"]})
    w.step().started("ask")
    w.completes("ask", proposal={"tasks": [{"type": "note", "input": {"n": "${workflow.input.n}"}}]})
    (denied,) = [e for e in w.of_type("ProposalJudged") if e.get("stage") == "BeforeStart"]
    assert (denied["input"], denied["scope"]) == ({"n": 5}, "ask/1")
    assert w.statuses["ask__1__note"] == "FailedWithTerminalError"


def test_a_rule_sees_what_has_run_so_far_so_that_many_small_proposals_evade_nothing() -> None:
    w = world({"ref": "ask", "type": "AGENT", "input": {"agent": "a"}}, policyRef={"name": "p"})
    w.define("ToolCatalog", "tools", {"tools": [tool("refund", "Write")]})
    once = rule("once", when="execution.count('refund') + proposal.count('refund') <= 1")
    w.define("Policy", "p", {"rules": [once]})
    w.define("Agent", "a", {"model": SCRIPTED, "catalogs": ["tools"]})
    w.step().started("ask")
    w.completes("ask", proposal={"tasks": [{"type": "refund"}]})
    w.completes("ask__1__refund").completes("ask", proposal={"tasks": [{"type": "refund"}]})
    assert [i["decision"] for e in w.of_type("ProposalJudged") for i in e["items"]] == ["Allowed", "Denied"]
