"""Gates that look at a whole proposal are asked again, and hold, when an item starts."""

from typing import Any

import pytest

from openworld.api import Phase
from openworld.engine.desire import desired
from openworld.engine.projection import waiting_for
from tests.support.governance import rule
from tests.support.world import World, world
from tests.unit.test_engine_agent import agent_world, propose

UNDO = "triage__1__rollback"


def test_a_gate_on_the_size_of_a_proposal_holds() -> None:
    rules = [rule("all"), rule("many", "RequireApproval", when="proposal.count('look') > 1")]
    w = agent_world({"rules": rules})
    propose(w, {"type": "look"}, {"type": "look"})
    assert w.jobs == {}
    assert w.statuses["triage__1__look"] == "AwaitingApproval"


def test_a_gate_on_a_ref_holds() -> None:
    rules = [rule("all"), rule("many", "RequireApproval", when="item.ref == 'x'")]
    w = agent_world({"rules": rules})
    propose(w, {"type": "look", "ref": "x"})
    assert w.jobs == {}


@pytest.mark.parametrize("kind", ["Approve", "Reject"])
@pytest.mark.parametrize("before_the_end_ms", [None, 999, 0, -1000])
def test_a_decision_after_the_time_out_counts_for_nothing_though_it_is_read_before_the_clock(
    kind: str, before_the_end_ms: int | None
) -> None:
    """The operator was away: what was sent meanwhile is read first. Times of sending are cut to the second."""
    w = agent_world()
    propose(w, {"type": "rollback", "input": {"service": "checkout"}})
    gate = w.task(UNDO).gate
    assert gate is not None
    w.now_ms = gate.expires_at_ms
    sent = None if before_the_end_ms is None else gate.expires_at_ms - before_the_end_ms
    w.signal(kind, ref=UNDO, tool=gate.tool, item_digest=gate.digest, sent_at_ms=sent)
    assert w.of_type("ApprovalGiven") == w.of_type("ApprovalRefused") == []
    assert w.of_type("FactRefused")[0]["reason"].startswith(f"the time for a decision on {UNDO} was over at ")
    assert [event["ref"] for event in w.of_type("ApprovalExpired")] == [UNDO]
    assert w.jobs.keys() == {"triage"}


def test_a_decision_that_was_sent_in_time_counts_though_it_is_read_late() -> None:
    w = agent_world()
    propose(w, {"type": "rollback", "input": {"service": "checkout"}})
    gate = w.task(UNDO).gate
    assert gate is not None
    w.now_ms = gate.expires_at_ms + 60_000
    w.signal(
        "Approve", ref=UNDO, tool=gate.tool, item_digest=gate.digest, sent_at_ms=gate.expires_at_ms - 1000
    )
    assert w.of_type("ApprovalExpired") == []
    assert w.jobs.keys() == {UNDO}


def asked(**human: Any) -> World:
    """A HUMAN task with settings."""
    return world({"ref": "ask", "type": "HUMAN", "human": human}).step()


def test_an_answer_must_fit_the_form() -> None:
    w = asked(formSchema={"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}})
    w.signal("Complete", ref="ask", payload={"ok": "yes"})
    reason = w.of_type("FactRefused")[0]["reason"]
    assert reason.startswith("the answer does not fit the form of ask: ok: ")
    w.signal("Complete", ref="ask", payload={"ok": True})
    assert (w.phase, w.state.output) == (Phase.COMPLETED, {"ok": True})


def test_only_those_it_is_for_may_answer_and_more_once_it_is_escalated() -> None:
    w = asked(assignees=["bob@example.com"], dueSeconds=60, escalateTo=["carol@example.com"])
    w.signal("Complete", "carol@example.com", ref="ask")
    told = "task ask is for bob@example.com to answer, not for carol@example.com"
    assert w.of_type("FactRefused")[0]["reason"] == told
    w.signal("Fail", "carol@example.com", ref="ask")
    assert w.phase is Phase.RUNNING
    assert desired(w.state, w.now_ms).wake_at_ms == w.now_ms + 60_000
    w.advance(60)
    assert w.of_type("TaskEscalated")[0]["to"] == ["carol@example.com"]
    assert desired(w.state, w.now_ms).wake_at_ms is None
    w.signal("Complete", "carol@example.com", ref="ask")
    assert w.phase is Phase.COMPLETED


def test_nobody_s_answer_in_time_is_a_time_out() -> None:
    w = asked(timeoutSeconds=100, dueSeconds=50).advance(50).advance(50)
    assert (w.phase, w.statuses) == (Phase.TIMED_OUT, {"ask": "TimedOut"})
    assert "nobody answered within timeoutSeconds (100 s)" in w.state.reason


@pytest.mark.parametrize("decision", ["Allow", "RequireApproval"])
def test_what_a_model_asks_a_person_is_labelled_where_the_run_says_what_it_waits_for(decision: str) -> None:
    w = agent_world({"rules": [rule("people", decision, match={"types": ["HUMAN"]})]})
    propose(w, {"type": "HUMAN", "ref": "ask", "input": {"question": "approved by bob"}})
    waits = {"Allow": "person: triage__1__ask", "RequireApproval": "approval of triage__1__ask (HUMAN)"}
    assert waiting_for(w.state) == f"{waits[decision]} (untrusted, from agent oncall)"
    assert waiting_for(asked().state) == "person: ask"
