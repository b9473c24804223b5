"""Check 1: what the expressions of an item may name, and in which order items run."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.governance import Decision
from tests.support.governance import LOOK, MAY_SET, items, only, question, summary

EXPRESSIONS_OUT_OF_SCOPE = {
    "${workflow.secrets}": "of the workflow, only its input may be named",
    "${workflow.env.TOKEN}": "of the workflow, only its input may be named",
    "${workflow}": "of the workflow, only its input may be named",
    "${workflow['secrets'].x}": "of the workflow, only its input may be named",
    "${['workflow'].secrets}": "of the workflow, only its input may be named",
    '${workflow["input.x"]}': "of the workflow, only its input may be named",
    "${workflow..secrets}": "of the workflow, only its input may be named",
    "${workflow.*}": "of the workflow, only its input may be named",
    "${workflow[*]}": "of the workflow, only its input may be named",
    "${workflow.variables.x}": "of the workflow, only its input may be named",
    "${workflow.inputs}": "of the workflow, only its input may be named",
    "${workflow.${workflow.input.x}}": "of the workflow, only its input may be named",
    "${workflow.input${workflow.input.x}}": "of the workflow, only its input may be named",
    "${other.output}": "there is no ended task 'other' that it was shown",
    "${Workflow.input}": "there is no ended task 'Workflow' that it was shown",
    "${workflow .secrets}": "there is no ended task 'workflow ' that it was shown",
    "${${workflow.input.x}.output}": "there is no ended task '${workflow.input.x}.output' that it was shown",
    "${triage.output}": "there is no ended task 'triage' that it was shown",
    "${triage__1__a.output}": "there is no ended task 'triage__1__a' that it was shown",
}


@pytest.mark.parametrize(("text", "why"), EXPRESSIONS_OUT_OF_SCOPE.items())
def test_an_expression_out_of_scope_denies_its_item(text: str, why: str) -> None:
    verdict = only(question(), {"type": "look", "input": {"deep": [{"x": text}]}})
    assert (verdict.check, verdict.rule, verdict.reason) == ("shape", "expression", f"{text}: {why}")


def test_an_expression_within_an_allowed_one_is_checked_as_well() -> None:
    for text in ("${a.output[${workflow.secrets}]}", "${workflow.input.${a.output.${workflow.env}}}"):
        verdict = items(question(), {**LOOK, "ref": "a"}, {"type": "look", "ref": "b", "input": {"x": text}})[
            1
        ]
        assert verdict.reason.endswith(": of the workflow, only its input may be named")


def test_a_malformed_expression_denies_its_item() -> None:
    verdict = only(question(), {"type": "look", "input": {"x": "${a.output"}})
    assert verdict.rule == "expression"
    assert verdict.reason == (
        "the expression '${a.output' is never closed by a }; write $${ for a literal ${"
    )


def test_ended_tasks_that_were_shown_may_be_named() -> None:
    asked = question(visible=frozenset({"triage__1__a"}), prefix="triage__2__")
    item = {"type": "look", "input": {"x": "${triage__1__a.output.v}"}, "dependsOn": ["triage__1__a"]}
    verdict = only(asked, item)
    assert verdict.decision is Decision.ALLOWED
    assert verdict.provisional
    assert verdict.task is not None
    assert verdict.task.depends_on == []


def test_literal_dollars_are_no_expression() -> None:
    verdict = only(question(), {"type": "look", "input": {"x": "$${workflow.secrets} costs $5"}})
    assert (verdict.decision, verdict.provisional) == (Decision.ALLOWED, False)


def test_keys_are_no_expressions() -> None:
    assert not only(question(), {"type": "look", "input": {"${workflow.secrets}": 1}}).provisional


def test_an_expression_implies_a_dependency() -> None:
    verdicts = items(
        question(),
        {"type": "look", "ref": "b", "input": {"x": "at ${a.output.v} and ${a.output.w}"}},
        {**LOOK, "ref": "a"},
    )
    assert [v.task.depends_on for v in verdicts if v.task is not None] == [["triage__1__a"], []]
    assert [v.provisional for v in verdicts] == [True, False]


def test_a_sequence_runs_in_the_order_of_its_items() -> None:
    verdicts = items(question(), LOOK, {"type": "note"}, LOOK, intent="SEQUENCE")
    assert [v.task.depends_on for v in verdicts if v.task is not None] == [
        [],
        ["triage__1__look"],
        ["triage__1__note"],
    ]


def test_in_a_sequence_nothing_runs_behind_a_denied_item() -> None:
    verdicts = items(question(), LOOK, {"type": "look", "image": "evil"}, LOOK, LOOK, intent="SEQUENCE")
    assert [v.decision for v in verdicts] == [Decision.ALLOWED, *[Decision.DENIED] * 3]
    assert [v.reason for v in verdicts[2:]] == [
        "it depends on 'item 1', which is denied",
        "it depends on 'look_2', which is denied",
    ]


def test_items_that_depend_on_each_other_are_denied_and_those_behind_them_too() -> None:
    verdicts = items(
        question(),
        {**LOOK, "ref": "before"},
        {**LOOK, "ref": "a", "dependsOn": ["c", "before"]},
        {"type": "look", "ref": "b", "input": {"x": "${a.output}"}},
        {**LOOK, "ref": "c", "dependsOn": ["b"]},
        {**LOOK, "ref": "behind", "dependsOn": ["c"]},
        {**LOOK, "ref": "aside"},
    )
    assert summary(verdicts) == [
        ("before", "Allowed", "all"),
        ("a", "Denied", "cycle"),
        ("b", "Denied", "cycle"),
        ("c", "Denied", "cycle"),
        ("behind", "Denied", "DependencyDenied"),
        ("aside", "Allowed", "all"),
    ]
    assert verdicts[1].reason == "it depends on itself by way of other items"


@pytest.mark.parametrize("item", [{"dependsOn": ["a"]}, {"input": {"x": "${a.output}"}}])
def test_an_item_that_depends_on_itself_is_denied(item: dict[str, Any]) -> None:
    assert only(question(), {"type": "look", "ref": "a", **item}).rule == "cycle"


def test_a_sequence_that_contradicts_its_dependencies_is_a_cycle() -> None:
    verdicts = items(
        question(), {**LOOK, "ref": "a", "dependsOn": ["b"]}, {**LOOK, "ref": "b"}, intent="SEQUENCE"
    )
    assert [v.rule for v in verdicts] == ["cycle", "cycle"]


@pytest.mark.parametrize("prefix", ["", "triage__1__"])
def test_what_depends_on_a_malformed_item_is_denied_for_that(prefix: str) -> None:
    verdicts = items(
        question(prefix=prefix),
        {**LOOK, "ref": "a", "image": "evil"},
        {**LOOK, "ref": "b", "dependsOn": ["a"]},
        None,
        {**LOOK, "ref": "c", "dependsOn": [""]},
    )
    assert [(v.ref, v.reason) for v in verdicts] == [
        (f"{prefix}a", f"an item may not set 'image'; {MAY_SET}"),
        (f"{prefix}b", "it depends on 'a', which is denied"),
        ("item 2", "an item is an object, and this is null"),
        (f"{prefix}c", "it depends on '', which is no item of this proposal"),
    ]
