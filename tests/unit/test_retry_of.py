"""An item that tries a failed one again: as it was recorded, by the same checks, and nothing else by that name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openworld.api import Phase
from openworld.engine.facts import ChildEnded, Ending
from openworld.language.expressions import literal, references, resolve
from tests.support.governance import rule
from tests.support.world import World, tool
from tests.unit.test_engine_agent import agent_world, propose

FIRST = "triage__1__look"
AGAIN = {"ref": "again", "retryOf": FIRST}
SECOND = "triage__2__again"


def failing(*rules: dict[str, Any], first: dict[str, Any] | None = None) -> World:
    """The first turn's only item has failed; the agent is asked for its second turn."""
    w = agent_world({"rules": [rule("all"), *rules]})
    propose(w, {"type": "look", "input": {"q": 1}, **(first or {})})
    return w.started(FIRST).fails(FIRST, "not yet", terminal=True)


def denied(w: World) -> tuple[str, str, str]:
    """The check, the rule and the reason of the newest verdict's only item, which is denied."""
    (item,) = w.of_type("ProposalJudged")[-1]["items"]
    assert item["decision"] == "Denied"
    return item["check"], item["rule"], item["reason"]


def test_it_runs_as_the_failed_one_was_recorded_with_the_retries_that_it_names() -> None:
    w = failing()
    propose(w, {**AGAIN, "retry": {"count": 0}})
    assert w.jobs[SECOND].input == {"q": 1}
    assert w.task(SECOND).tool == "look"
    assert w.task(SECOND).origin == {"proposal": "p-2", "item": 0, "retryOf": FIRST}
    assert w.of_type("TasksMaterialized")[-1]["retries"] == {SECOND: FIRST}
    assert w.of_type("ProposalJudged")[-1]["items"][0]["retryOf"] == FIRST
    w.started(SECOND).fails(SECOND, "still not")
    assert w.task(SECOND).attempt == 0


def test_what_it_says_itself_counts() -> None:
    w = propose(failing(), {**AGAIN, "type": "look", "input": {"q": 2}, "optional": True})
    assert w.jobs[SECOND].input == {"q": 2}
    assert w.task(SECOND).definition.optional


def test_a_retry_can_be_retried_and_its_name_is_made_from_the_tools() -> None:
    w = propose(failing(), {"retryOf": FIRST})
    w.started("triage__2__look").fails("triage__2__look", terminal=True)
    propose(w, {"retryOf": "triage__2__look"})
    assert w.jobs.keys() == {"triage__3__look"}


def test_what_came_as_data_is_not_resolved_when_it_is_tried_again() -> None:
    w = agent_world({"rules": [rule("all")]})
    propose(w, {"type": "look", "ref": "a"}).started("triage__1__a").completes(
        "triage__1__a", {"text": "${workflow.input.service} and $${b} and ${"}
    )
    propose(w, {"type": "look", "input": {"q": "${triage__1__a.output.text}"}})
    recorded = {"q": "${workflow.input.service} and $${b} and ${"}
    assert w.jobs["triage__2__look"].input == recorded
    w.started("triage__2__look").fails("triage__2__look", terminal=True)
    propose(w, {"retryOf": "triage__2__look"})
    assert w.jobs["triage__3__look"].input == recorded


@pytest.mark.parametrize(
    ("item", "named", "told"),
    [
        (
            {"retryOf": "triage"},
            "retryOf",
            "it may retry only what it has proposed itself, and 'triage' is none",
        ),
        ({"retryOf": "look"}, "retryOf", "it may retry only what it has proposed itself, and 'look' is none"),
        ({"retryOf": None}, "retryOf", "it may retry only what it has proposed itself, and None is none"),
        ({"retryOf": {"ref": FIRST}}, "retryOf", "it may retry only what it has proposed itself"),
        ({"retryOf": FIRST, "type": "rollback"}, "retryOf", "was of type look, and a retry runs the same"),
        ({"retryOf": FIRST, "name": "rollback"}, "retryOf", "was of type look, and a retry runs the same"),
        ({"retryOf": FIRST, "type": "HUMAN"}, "retryOf", "was of type look, and a retry runs the same"),
        ({"retryOf": FIRST, "type": "look", "name": "rollback"}, "retryOf", "a retry runs the same"),
        ({"retryOf": FIRST, "type": ["look"]}, "retryOf", "was of type look, and a retry runs the same"),
        ({"retryOf": FIRST, "subWorkflowParam": {"name": "x"}}, "retryOf", "a retry runs the same"),
        ({"retryOf": FIRST, "retry": {"count": 2}}, "retry", "the catalog allows at most 1 for 'look'"),
        ({"retryOf": FIRST, "image": "evil"}, "item", "an item may not set 'image'"),
        ({"retryOf": FIRST, "input": "all"}, "input", "input must be an object"),
    ],
)
def test_it_is_no_way_round_the_checks(item: dict[str, Any], named: str, told: str) -> None:
    w = propose(failing(), item)
    _, by, reason = denied(w)
    assert by == named
    assert told in reason


def test_what_has_succeeded_is_not_tried_again() -> None:
    w = agent_world({"rules": [rule("all")]})
    propose(w, {"type": "look"}).started(FIRST).completes(FIRST)
    assert denied(propose(w, AGAIN)) == (
        "shape",
        "retryOf",
        f"{FIRST!r} has not failed; only what did not succeed can be tried again",
    )


def test_another_agents_task_is_not_its_own_to_retry() -> None:
    fork = {
        "ref": "f",
        "type": "FORK_JOIN",
        "forkTasks": [[{"ref": r, "type": "AGENT", "input": {"agent": "oncall"}}] for r in "ab"],
    }
    w = agent_world({"rules": [rule("all")]}, tasks=[fork])
    propose(w, {"type": "look"}, ref="a").started("a__1__look").fails("a__1__look", terminal=True)
    propose(w, {"retryOf": "a__1__look"}, ref="b")
    assert "'a__1__look' is none" in denied(w)[2]


def test_where_nobody_knows_what_it_did_a_person_is_asked_first() -> None:
    w = agent_world({"rules": [rule("all")]})
    propose(w, {"type": "delete"}).started("triage__1__delete").job_ends("triage__1__delete", Ending.LOST)
    assert w.task("triage__1__delete").reason.startswith("OutcomeUnknown: ")
    check, by, reason = denied(propose(w, {"retryOf": "triage__1__delete"}))
    assert (check, by) == ("shape", "retryOf")
    assert reason.startswith("nobody knows whether 'triage__1__delete' has done its work")


def test_a_rule_may_tell_a_retry_from_a_first_try_then_and_when_it_starts() -> None:
    gate = rule("again", "RequireApproval", when="item.retryOf != ''")
    w = propose(failing(gate), AGAIN)
    assert w.statuses[SECOND] == "AwaitingApproval"
    assert w.jobs == {}
    w.approve(SECOND)
    assert w.jobs.keys() == {SECOND}


def test_a_workflow_is_tried_again_as_it_was() -> None:
    w = agent_world({"rules": [rule("all"), rule("subs", match={"types": ["SUB_WORKFLOW"]})]})
    w.define("Workflow", "deep", {"tasks": [{"ref": "x", "type": "TERMINATE", "input": {}}]})
    propose(w, {"type": "SUB_WORKFLOW", "input": {"name": "deep", "of": 7}})
    sub = "triage__1__sub_workflow"
    assert w.task(sub).input == {"of": 7}
    w.step(ChildEnded("end", w.task(sub).seq, Phase.FAILED, {}))
    propose(w, {"retryOf": sub})
    again = w.task("triage__2__sub_workflow")
    assert again.input == {"of": 7}
    assert again.definition.sub_workflow_param == w.task(sub).definition.sub_workflow_param


def test_it_brings_the_compensation_that_the_failed_one_brought() -> None:
    w = propose(failing(first={"compensation": {"tool": "rollback", "input": {"of": "${input.q}"}}}), AGAIN)
    w.started(SECOND).completes(SECOND)
    (registered,) = w.of_type("CompensationRegistered")
    assert (registered["ref"], registered["tool"], registered["input"]) == (SECOND, "rollback", {"of": 1})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet="${}a.\\'", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(json_values)
def test_a_literal_resolves_to_itself_and_refers_to_nothing(value: Any) -> None:
    assert resolve(literal(value), {}) == value
    assert references(literal(value)) == []


def test_the_catalogs_own_retries_stay_where_it_names_none() -> None:
    w = propose(failing(), AGAIN)
    assert tool("look")["retry"]["count"] == 1
    w.started(SECOND).fails(SECOND, "still not")
    assert w.task(SECOND).attempt == 1
