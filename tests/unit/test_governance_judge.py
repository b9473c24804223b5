"""The chain of checks: their order, what one denial does to other items, and what a verdict records."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.governance import Amounts, Decision, Question, Spent, Verdict, item_digest, judge
from openworld.language.canonical import canonical
from tests.support.governance import ALLOW_ALL, TOOLS, agent, items, only, question, rule, started, summary

LOOK: dict[str, Any] = {"type": "look"}


def test_the_first_check_that_denies_decides() -> None:
    def asked(**changes: Any) -> Question:
        spec = {"rules": [rule("no", "Deny")] if changes.pop("denied") else [rule()], "limits": {"tasks": 1}}
        return question(spec, spent=Spent(used=Amounts(tasks=1)), access={"look": False}, **changes)

    everything_wrong = {"type": "look", "image": "evil"}
    assert only(asked(denied=True, agent=agent(tools=[])), everything_wrong).check == "shape"
    assert only(asked(denied=True, agent=agent(tools=[])), LOOK).check == "catalog"
    assert only(asked(denied=True), LOOK).check == "policy"
    assert only(asked(denied=False), LOOK).check == "limits"
    assert only(question(access={"look": False}), LOOK).check == "access"
    assert only(question(), LOOK).check == "policy"


def test_each_item_gets_its_own_verdict() -> None:
    spec = {
        "rules": [
            rule("reads", match={"effects": ["Read"]}, message="Reading is free."),
            rule("ask", "RequireApproval", match={"tools": ["rollback"]}),
        ]
    }
    undo = {"type": "rollback", "ref": "undo", "input": {"service": "checkout"}}
    verdicts = items(question(spec), LOOK, {"type": "note"}, undo, "nonsense")
    assert [verdict.record() for verdict in verdicts] == [
        {
            "item": 0,
            "ref": "triage__1__look",
            "decision": "Allowed",
            "check": "policy",
            "rule": "reads",
            "reason": "Reading is free.",
            "policy": "p",
            "tool": "look",
            "toolDigest": verdicts[0].tool_digest,
        },
        {
            "item": 1,
            "ref": "triage__1__note",
            "decision": "Denied",
            "check": "policy",
            "rule": "default-deny",
            "reason": "no rule of policy 'p' allows tool 'note'",
            "policy": "p",
            "tool": "note",
            "toolDigest": verdicts[1].tool_digest,
        },
        {
            "item": 2,
            "ref": "triage__1__undo",
            "decision": "NeedsApproval",
            "check": "policy",
            "rule": "ask",
            "reason": "rule 'ask' of policy 'p' wants a person's approval",
            "policy": "p",
            "tool": "rollback",
            "toolDigest": verdicts[2].tool_digest,
            "approval": {
                "count": 1,
                "timeoutSeconds": 3600,
                "notRequester": True,
                "notCommitter": False,
                "onTimeout": "Deny",
            },
        },
        {
            "item": 3,
            "ref": "item 3",
            "decision": "Denied",
            "check": "shape",
            "rule": "item",
            "reason": "an item is an object, and this is a string",
        },
    ]


def test_a_denial_reaches_everything_that_depends_on_it() -> None:
    verdicts = items(
        question(),
        {**LOOK, "ref": "d", "dependsOn": ["c"]},
        {"type": "look", "ref": "c", "input": {"x": "${b.output.v}"}},
        {**LOOK, "ref": "b", "dependsOn": ["free", "a"]},
        {"type": "nope", "ref": "a"},
        {**LOOK, "ref": "free"},
    )
    assert summary(verdicts) == [
        ("d", "Denied", "DependencyDenied"),
        ("c", "Denied", "DependencyDenied"),
        ("b", "Denied", "DependencyDenied"),
        ("a", "Denied", "exists"),
        ("free", "Allowed", "all"),
    ]
    assert [(v.check, v.reason) for v in verdicts[:3]] == [
        ("dependency", "it depends on 'c', which is denied"),
        ("dependency", "it depends on 'b', which is denied"),
        ("dependency", "it depends on 'a', which is denied"),
    ]


def test_waiting_for_a_person_is_no_denial_for_dependents() -> None:
    spec = {
        "rules": [
            rule("ask", "RequireApproval", match={"tools": ["note"]}),
            rule("reads", match={"tools": ["look"]}),
        ]
    }
    verdicts = items(question(spec), {"type": "note"}, {**LOOK, "dependsOn": ["note"]})
    assert [v.decision for v in verdicts] == [Decision.NEEDS_APPROVAL, Decision.ALLOWED]


def test_a_long_chain_behind_a_denied_item_is_denied_to_its_end() -> None:
    spec = {**ALLOW_ALL, "limits": {"tasksPerProposal": 300}}
    chain = [{**LOOK, "ref": f"t{n}", "dependsOn": [f"t{n + 1}"]} for n in range(250)]
    verdicts = items(question(spec), *chain, {"type": "nope", "ref": "t250"})
    assert {v.decision for v in verdicts} == {Decision.DENIED}
    assert verdicts[0].reason == "it depends on 't1', which is denied"


def test_one_denial_turns_an_atomic_proposal_into_all() -> None:
    verdicts = items(question(), LOOK, {"type": "nope"}, {"type": "also-not"}, atomic=True)
    assert summary(verdicts) == [
        ("look", "Denied", "atomic"),
        ("nope", "Denied", "exists"),
        ("also_not", "Denied", "exists"),
    ]
    assert (verdicts[0].check, verdicts[0].reason) == (
        "atomic",
        "the proposal is atomic, and triage__1__nope is denied",
    )
    assert verdicts[0].record()["tool"] == "look"
    assert {v.decision for v in items(question(), LOOK, {"type": "nope"}, atomic=False)} == {
        Decision.ALLOWED,
        Decision.DENIED,
    }


def test_an_atomic_proposal_without_a_denial_stands() -> None:
    spec = {
        "rules": [
            rule("ask", "RequireApproval", match={"tools": ["note"]}),
            rule("reads", match={"tools": ["look"]}),
        ]
    }
    verdicts = items(question(spec), LOOK, {"type": "note"}, atomic=True)
    assert [v.decision for v in verdicts] == [Decision.ALLOWED, Decision.NEEDS_APPROVAL]


def test_an_atomic_proposal_falls_with_a_malformed_item_too() -> None:
    assert {v.decision for v in items(question(), LOOK, None, atomic=True)} == {Decision.DENIED}


def test_only_what_may_run_carries_a_task() -> None:
    verdicts = items(question(), LOOK, {"type": "nope"}, {**LOOK, "dependsOn": ["nope"]})
    assert [v.task is not None for v in verdicts] == [True, False, False]


def test_the_options_of_an_item_are_those_of_its_task() -> None:
    task = only(question(), {**LOOK, "optional": True, "retry": {"count": 0}}).task
    assert task is not None
    assert task.wire() == {
        "name": "look",
        "taskReferenceName": "triage__1__look",
        "type": "SIMPLE",
        "inputParameters": {},
        "dependsOn": [],
        "optional": True,
        "retryCount": 0,
    }


def test_a_verdict_names_what_it_was_judged_by() -> None:
    verdict = judge(question(ALLOW_ALL, ALLOW_ALL), {"tasks": [LOOK]})
    assert verdict.policies == (("p", "sha256:p"), ("q", "sha256:q"))
    assert verdict.catalogs == (("tools", "sha256:tools"),)
    assert started(question()).policies == (("p", "sha256:p"),)
    assert judge(question(), None).policies == (("p", "sha256:p"),)


def test_a_question_that_was_asked_before_has_the_same_answer() -> None:
    proposal = {"tasks": [LOOK, {"type": "nope"}, None], "output": {"x": [1]}}
    assert judge(question(), proposal) == judge(question(), proposal)
    assert proposal == {"tasks": [{"type": "look"}, {"type": "nope"}, None], "output": {"x": [1]}}


@pytest.mark.parametrize(
    "change",
    [
        {"execution_uid": "uid-2"},
        {"ref": "other"},
        {"generation": 1},
        {"resolved_input": {"service": "payments"}},
        {"tool_digest": "sha256:t2"},
        {"policy_digests": ["sha256:p2"]},
        {"policy_digests": []},
    ],
)
def test_an_approval_is_for_exactly_one_item(change: dict[str, Any]) -> None:
    same: dict[str, Any] = {
        "execution_uid": "uid-1",
        "ref": "triage__1__undo",
        "generation": 0,
        "resolved_input": {"service": "checkout"},
        "tool_digest": "sha256:t",
        "policy_digests": ["sha256:p"],
    }
    assert item_digest(**same) == item_digest(**{**same, "policy_digests": iter(["sha256:p"])})
    assert item_digest(**{**same, **change}) != item_digest(**same)


def test_the_record_of_a_verdict_on_hostile_names_is_canonical() -> None:
    hostile = ["</script>", "\u202e", "\x00\x1b[2J", "a" * 250, "😀", "' or 1=1 --", "${workflow.secrets}"]
    for verdict in items(question(), *({"type": name} for name in hostile)):
        assert verdict.decision is Decision.DENIED
        assert len(canonical(verdict.record())) < 2000


def test_nothing_is_allowed_by_a_verdict_on_nothing() -> None:
    verdict = Verdict()
    assert (verdict.items, verdict.answer, verdict.problem) == ((), None, "")


@pytest.mark.parametrize("kind", ["HUMAN", "WAIT", "SUB_WORKFLOW", "AGENT"])
def test_a_rule_for_tools_allows_no_task_type(kind: str) -> None:
    given = {"agent": "x", "name": "x", "duration": "1s"}
    assert only(question(), {"type": kind, "input": given}).rule == "default-deny"
    named = question({"rules": [rule("named", match={"types": [kind]})]})
    assert only(named, {"type": kind, "input": given}).rule == "named"
    assert {only(named, {"type": spec["name"], "input": {"service": "x"}}).rule for spec in TOOLS} == {
        "default-deny"
    }


def test_an_input_that_cannot_be_recorded_is_denied_before_it_starts() -> None:
    deep: dict[str, Any] = {}
    for _ in range(3000):
        deep = {"a": deep}
    values: list[Any] = [deep, {"n": float("nan")}, {1: 2}]
    for value in values:
        verdict = started(question(), value).items[0]
        assert (verdict.decision, verdict.check) == (Decision.DENIED, "shape")
