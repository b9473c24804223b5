"""Proposals that bring what undoes them, and an agent that undoes what came of its own proposals."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.governance import Decision
from tests.support.governance import agent, catalog, items, only, question, rule
from tests.support.world import World, tool, world

SCRIPTED = {"provider": "scripted", "script": {"configMapName": "s"}}
OPEN: dict[str, Any] = {"rules": [rule("all"), rule("undo", match={"types": ["COMPENSATE"]})]}


@pytest.mark.parametrize(
    ("compensation", "check", "reason"),
    [
        ({"tool": "ghost"}, "catalog", "its compensation: there is no tool 'ghost'"),
        ({"tool": "rollback"}, "policy", "its compensation: rule 'no-rollback' of policy 'p' denies it"),
        (
            {"tool": "hidden"},
            "access",
            "its compensation: service account 'runner' may not use tool 'hidden'",
        ),
        ({"tool": "look", "image": "evil"}, "shape", "compensation is {tool: NAME, input: {…}}"),
        ({"tool": "look", "type": "look"}, "shape", "compensation is {tool: NAME, input: {…}}"),
        ({"tool": 7}, "shape", "compensation names a tool, and its input is an object"),
        ({"tool": "look", "input": []}, "shape", "compensation names a tool, and its input is an object"),
        ("look", "shape", "compensation must be an object, and is a string"),
        (
            {"tool": "look", "input": {"a": "${workflow.secrets.x.y}"}},
            "shape",
            "it sees only ${input…}, ${output…}",
        ),
        ({"tool": "look", "input": {"a": "${other.output}"}}, "shape", "it sees only ${input…}, ${output…}"),
        ({"tool": "look", "input": {"a": "${"}}, "shape", "compensation: "),
    ],
)
def test_a_compensation_is_judged_as_an_item_of_its_own_would_be(
    compensation: Any, check: str, reason: str
) -> None:
    spec = {"rules": [rule("all"), rule("no-rollback", "Deny", match={"tools": ["rollback"]})]}
    tools = catalog(tool("look"), tool("note", "Write"), tool("rollback", "Destructive"), tool("hidden"))
    access = {"look": True, "note": True, "rollback": True, "hidden": False}
    found = only(
        question(spec, catalogs=(tools,), access=access), {"type": "note", "compensation": compensation}
    )
    assert (found.decision, found.check) == (Decision.DENIED, check)
    assert reason in found.reason


def test_an_agent_cannot_name_in_a_compensation_what_it_may_not_name_in_an_item() -> None:
    asked = question(OPEN, agent=agent(tools=["note"]))
    found = only(asked, {"type": "note", "compensation": {"tool": "look"}})
    assert (found.decision, found.rule) == (Decision.DENIED, "agent-tools")


def test_a_compensation_counts_as_a_task_of_the_budget() -> None:
    asked = question({**OPEN, "limits": {"tasks": 3}})
    plain, undoable = {"type": "look"}, {"ref": "n", "type": "note", "compensation": {"type": "look"}}
    assert [v.rule for v in items(asked, plain, undoable)] == ["all", "all"]
    assert [v.rule for v in items(asked, {**plain, "ref": "x"}, plain, undoable)] == ["all", "all", "tasks"]


def test_a_wait_has_nothing_to_undo() -> None:
    found = only(
        question(OPEN), {"type": "WAIT", "input": {"duration": "1s"}, "compensation": {"tool": "look"}}
    )
    assert found.reason == "a WAIT item has nothing that could be undone"


def booked(spec: dict[str, Any] = OPEN, **agent_spec: Any) -> World:
    """An agent whose proposal has booked something, with what would cancel it."""
    w = world({"ref": "ask", "type": "AGENT", "input": {"agent": "a"}}, policyRef={"name": "p"})
    w.define(
        "ToolCatalog", "tools", {"tools": [tool("book", "Write"), tool("cancel", "Write"), tool("look")]}
    )
    w.define("Policy", "p", spec)
    w.define("Agent", "a", {"model": SCRIPTED, "catalogs": ["tools"], **agent_spec})
    w.step().started("ask")
    undo = {"tool": "cancel", "input": {"id": "${output.id}", "for": "${input.who}"}}
    w.completes("ask", proposal={"tasks": [{"type": "book", "input": {"who": "bob"}, "compensation": undo}]})
    return w.started("ask__1__book").completes("ask__1__book", {"id": 7})


def undoing(w: World, ref: str) -> World:
    """The agent proposes to undo something."""
    return w.completes(
        "ask", proposal={"tasks": [{"ref": "back", "type": "COMPENSATE", "input": {"scope": ref}}]}
    )


def test_an_agent_undoes_what_it_has_done_with_the_input_made_from_the_record() -> None:
    w = undoing(booked(), "ask__1__book")
    assert w.task("ask__1__book__undo").input == {"id": 7, "for": "bob"}
    assert w.task("ask__1__book__undo").origin == {"compensates": "ask__1__book"}
    w.completes("ask__1__book__undo")
    assert w.statuses["ask__2__back"] == "Completed"
    assert w.task("ask__2__back").output["compensated"] == ["ask__1__book"]
    w.completes("ask", proposal={"output": {}})
    assert w.phase.value == "Completed"


@pytest.mark.parametrize("scope", ["ghost", "before", "", 7, None, "${workflow.input.x}"])
def test_an_agent_cannot_undo_what_others_have_done(scope: Any) -> None:
    before = {"ref": "before", "type": "book"}
    w = world(
        before,
        {"ref": "ask", "type": "AGENT", "input": {"agent": "a"}},
        policyRef={"name": "p"},
        catalogs=["tools"],
    )
    w.define(
        "ToolCatalog",
        "tools",
        {"tools": [tool("book", "Write", compensation={"tool": "cancel"}), tool("cancel", "Write")]},
    )
    w.define("Policy", "p", OPEN).define("Agent", "a", {"model": SCRIPTED, "catalogs": ["tools"]})
    w.step().completes("before").started("ask")
    w.completes(
        "ask",
        proposal={"tasks": [{"type": "COMPENSATE", "input": {"scope": scope} if scope is not None else {}}]},
    )
    (judged,) = w.of_type("ProposalJudged")
    assert [(i["decision"], i["check"]) for i in judged["items"]] == [("Denied", "shape")]
    assert w.of_type("CompensationScheduled") == []


def test_undoing_takes_a_rule_that_names_it() -> None:
    w = undoing(booked({"rules": [rule("all")]}), "ask__1__book")
    assert w.of_type("ProposalJudged")[-1]["items"][0]["rule"] == "default-deny"


def test_what_an_agent_brings_to_undo_is_still_bound_by_the_agent_when_it_runs() -> None:
    spec = {"rules": [*OPEN["rules"], rule("ask", "RequireApproval", match={"tools": ["cancel"]})]}
    w = undoing(booked(spec), "ask__1__book")
    assert w.statuses["ask__1__book__undo"] == "AwaitingApproval"
    w.approve("ask__1__book__undo")
    assert w.statuses["ask__1__book__undo"] == "Scheduled"


def test_a_run_that_fails_undoes_what_an_agent_has_done() -> None:
    w = booked()
    w.signal("Terminate", payload={"compensate": True})
    assert w.task("ask__1__book__undo").input == {"id": 7, "for": "bob"}
    w.completes("ask__1__book__undo")
    assert w.state.compensation == {"result": "Complete", "compensated": ["ask__1__book"], "failed": []}
