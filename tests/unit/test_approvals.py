"""How people consent: with another input, in time or not, and who may not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from openworld.api import Phase, Policy
from tests.support.governance import rule
from tests.support.world import World, tool, world

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"to": {"type": "integer", "maximum": 5}},
}


def gated(approval: dict[str, Any] | None = None, effect: str = "Write", **more: Any) -> World:
    """A task that waits for people."""
    w = world(
        {"ref": "fix", "type": "repair", "input": {"to": 1}},
        policyRef={"name": "p"},
        catalogs=["tools"],
        **more,
    )
    w.define("ToolCatalog", "tools", {"tools": [tool("repair", effect, inputSchema=SCHEMA)]})
    asks = rule("ask", "RequireApproval", match={"effects": [effect]}, approval=approval or {})
    frozen = rule("three", "Deny", match={"tools": ["repair"]}, when="item.input.to == 3")
    w.define("Policy", "p", {"scope": "All", "rules": [asks, frozen]})
    return w.step()


def edited(w: World, value: Any, by: str = "bob@example.com") -> World:
    """Somebody approves with another input."""
    gate = w.task("fix").gate
    assert gate is not None
    return w.signal(
        "Approve", by, ref="fix", tool=gate.tool, item_digest=gate.digest, payload={"input": value}
    )


def test_an_item_runs_with_the_input_that_a_person_has_approved_instead() -> None:
    w = gated()
    first = w.task("fix").gate
    edited(w, {"to": 2})
    assert w.task("fix").input == {"to": 2}
    assert w.jobs["fix"].input == {"to": 2}
    given, asked = w.of_type("ApprovalGiven"), w.of_type("ApprovalRequested")
    assert [(e["by"], e["input"]) for e in given] == [("bob@example.com", {"to": 2})]
    assert [e["input"] for e in asked] == [{"to": 1}, {"to": 2}]
    assert asked[1]["approvedBy"] == ["bob@example.com"]
    assert first is not None
    assert asked[0]["itemDigest"] == first.digest != asked[1]["itemDigest"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"to": 9}, "the edited input is not taken: input of 'repair' does not fit its schema"),
        ({"image": "evil"}, "the edited input is not taken: input of 'repair' does not fit its schema"),
        ({"to": 3}, "the edited input is not taken: rule 'three' of policy 'p' denies it"),
        ("x", "the edited input is not taken: input must be an object"),
    ],
)
def test_an_edit_that_the_checks_do_not_take_is_refused_and_the_item_waits_on(
    value: Any, reason: str
) -> None:
    w = edited(gated(), value)
    assert w.statuses["fix"] == "AwaitingApproval"
    assert reason in w.events[-1]["reason"]
    w.approve("fix")
    assert w.jobs["fix"].input == {"to": 1}


def test_an_expression_in_an_edit_is_only_text() -> None:
    w = world({"ref": "fix", "type": "say", "input": {"t": "a"}}, policyRef={"name": "p"}, catalogs=["tools"])
    w.define("ToolCatalog", "tools", {"tools": [tool("say", "Write")]})
    w.define("Policy", "p", {"scope": "All", "rules": [rule("ask", "RequireApproval")]})
    w.step()
    edited(w, {"t": "${workflow.input}"})
    assert w.jobs["fix"].input == {"t": "${workflow.input}"}


def test_of_two_people_the_second_approves_what_the_first_has_made_of_it() -> None:
    w = gated({"count": 2})
    shown = w.task("fix").gate
    edited(w, {"to": 2})
    assert w.statuses["fix"] == "AwaitingApproval"
    assert shown is not None
    w.signal("Approve", "carol@example.com", ref="fix", tool="repair", item_digest=shown.digest)
    assert "another item than the one that waits" in w.events[-1]["reason"]
    w.approve("fix", "bob@example.com")
    assert "has approved this item already" in w.events[-1]["reason"]
    w.approve("fix", "carol@example.com")
    assert w.jobs["fix"].input == {"to": 2}


def test_an_escalated_item_waits_once_more_and_is_then_denied() -> None:
    w = gated({"onTimeout": "Escalate", "timeoutSeconds": 60}).advance(60)
    assert w.statuses["fix"] == "AwaitingApproval"
    assert [e["type"] for e in w.events[-1:]] == ["ApprovalEscalated"]
    w.advance(59)
    assert len(w.of_type("ApprovalEscalated")) == 1
    w.advance(1)
    assert w.phase is Phase.FAILED
    assert "ApprovalExpired" in w.state.reason


def test_an_escalated_item_can_be_approved() -> None:
    w = gated({"onTimeout": "Escalate", "timeoutSeconds": 60}).advance(61)
    w.approve("fix")
    assert "fix" in w.jobs


def test_a_read_may_be_approved_by_time_and_the_record_says_that_nobody_did() -> None:
    w = gated({"onTimeout": "Approve", "timeoutSeconds": 60, "count": 2}, effect="Read").advance(60)
    assert "fix" in w.jobs
    assert [e["by"] for e in w.of_type("ApprovalGiven")] == [
        "timeout of rule ask (1)",
        "timeout of rule ask (2)",
    ]


@pytest.mark.parametrize(
    "match", [{}, {"effects": ["Write"]}, {"effects": ["Read", "Write"]}, {"tools": ["x"]}]
)
def test_only_a_rule_for_reads_may_let_time_approve(match: dict[str, Any]) -> None:
    spec = {"rules": [rule("r", "RequireApproval", match=match, approval={"onTimeout": "Approve"})]}
    with pytest.raises(ValidationError, match="Approve is for reading tools alone"):
        Policy.model_validate(spec)


def test_of_two_rules_the_one_that_lets_time_approve_does_not_count() -> None:
    w = world({"ref": "fix", "type": "repair"}, policyRef={"name": "p"}, catalogs=["tools"])
    w.define("ToolCatalog", "tools", {"tools": [tool("repair")]})
    lax = rule(
        "lax",
        "RequireApproval",
        match={"effects": ["Read"]},
        approval={"onTimeout": "Approve", "timeoutSeconds": 9},
    )
    w.define("Policy", "p", {"scope": "All", "rules": [lax, rule("strict", "RequireApproval")]})
    w.step().advance(9)
    assert w.phase is Phase.FAILED


def test_who_has_committed_the_workflow_does_not_approve_where_so_ruled() -> None:
    for ruled in (True, False):
        w = world({"ref": "fix", "type": "repair"}, policyRef={"name": "p"}, catalogs=["tools"])
        w.define("ToolCatalog", "tools", {"tools": [tool("repair", "Write")]})
        asks = rule("ask", "RequireApproval", approval={"notCommitter": ruled})
        w.define("Policy", "p", {"scope": "All", "rules": [asks]})
        w.committer = "carol@example.com"
        w.step()
        assert w.events[0]["workflow"]["committer"] == "carol@example.com"
        w.approve("fix", "carol@example.com")
        assert (w.statuses["fix"] == "AwaitingApproval") == ruled
        if ruled:
            w.approve("fix", "bob@example.com")
        assert "fix" in w.jobs
