"""Verdicts and results as models' messages: each call is answered once, in its dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openworld_worker.agent.dialects import results
from tests.support.dialects import ABSENT, SPOKEN, answered, call, every, gemini_call, read, told


@every
def test_every_call_is_told_its_result_or_the_reason(dialect: str) -> None:
    broken = None if SPOKEN[dialect].decoded else "{"
    calls = [
        call(dialect, "c1", "look", {}),
        SPOKEN[dialect].call("c2", "look", broken),
        call(dialect, "c3", "delete", {}),
    ]
    messages = told(dialect, read(dialect, *calls))
    assert len(messages) == (1 if dialect in ("anthropic", "gemini") else 3)
    bodies = answered(dialect, messages)
    assert bodies["c1"] == {
        "ref": "triage__1__look",
        "decision": "Allowed",
        "status": "Completed",
        "output": {"n": 7},
    }
    assert bodies["c2"]["decision"] == "Denied"
    assert bodies["c2"]["rule"] == "arguments"
    assert bodies["c2"]["reason"].startswith("its worker could not read it: the call's arguments: the value ")
    assert (bodies["c3"]["decision"], bodies["c3"]["check"]) == ("Denied", "catalog")


@every
def test_one_call_of_several_tasks_is_told_of_all_of_them_at_once(dialect: str) -> None:
    proposal = read(
        dialect, call(dialect, "c1", "propose_tasks", {"tasks": [{"type": "look"}, {"type": "nope"}]})
    )
    bodies = answered(dialect, told(dialect, proposal))
    assert [body["decision"] for body in bodies["c1"]["items"]] == ["Allowed", "Denied"]


@every
def test_a_proposal_that_is_refused_as_a_whole_answers_every_call_with_the_problem(dialect: str) -> None:
    proposal = read(dialect, call(dialect, "c1", "propose_tasks", {"taskz": []}))
    bodies = answered(dialect, told(dialect, proposal))
    assert bodies["c1"]["reason"].startswith("a proposal has no field 'taskz'")
    answer = read(dialect, call(dialect, "c1", "propose_tasks", {"output": {"cause": 1}}))
    refused = {"turn": 1, "proposal": answer, "verdict": [], "results": [], "problem": "output breaks it"}
    messages = results(dialect, [refused])
    assert answered(dialect, messages) == {"c1": {"decision": "Denied", "reason": "output breaks it"}}
    assert len(messages) == 1


@every
def test_failures_are_marked_where_the_dialect_can(dialect: str) -> None:
    calls = [call(dialect, "c1", "look", {}), call(dialect, "c2", "nope", {})]
    text = json.dumps(told(dialect, read(dialect, *calls)))
    for mark in {"anthropic": ['"is_error": false', '"is_error": true'], "mcp": ['"isError": true']}.get(
        dialect, []
    ):
        assert text.count(mark) == 1


@every
def test_what_no_call_asked_is_told_as_a_note(dialect: str) -> None:
    proposal = {
        "tasks": [{"type": "look"}, {"type": "nope"}],
        "raw": {"dialect": "other", "calls": [{"id": "c1"}]},
    }
    messages = told(dialect, proposal)
    assert answered(dialect, messages) == {}
    assert len(messages) == 1
    assert "nope" in json.dumps(messages)
    rejected = {
        "turn": 2,
        "proposal": {"output": {"text": "x"}},
        "verdict": [],
        "problem": "breaks the schema",
    }
    assert "breaks the schema" in json.dumps(results(dialect, [rejected]))
    assert results(dialect, [{"turn": 3, "proposal": {"output": {}}, "verdict": [], "results": []}]) == []


def test_gemini_calls_without_ids_are_answered_by_name_and_in_order() -> None:
    proposal = read(
        "gemini", *[gemini_call(ABSENT, "look", {}), gemini_call(ABSENT, "look", {}), {"inlineData": {}}]
    )
    answer, note = told("gemini", proposal)
    assert [part["functionResponse"]["name"] for part in answer["parts"]] == ["look", "look"]
    assert [part["functionResponse"]["response"]["ref"] for part in answer["parts"]] == [
        "triage__1__look",
        "triage__1__look_2",
    ]
    assert "inlineData" in note["parts"][0]["text"]


@every
@pytest.mark.parametrize(
    "turn",
    [
        None,
        7,
        {},
        {"proposal": "[redacted]"},
        {"proposal": {"raw": "[redacted]"}},
        {"verdict": "x", "results": [1], "proposal": {"tasks": {}}},
    ],
)
def test_a_history_of_which_parts_are_redacted_is_told_as_far_as_it_goes(dialect: str, turn: Any) -> None:
    assert results(dialect, [turn]) == []
