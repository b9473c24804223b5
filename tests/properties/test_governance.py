"""Properties of verdicts that hold for whatever a model, a worker or a person proposes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from openworld.api import Task, TaskType
from openworld.governance import Decision, ItemVerdict, Question, Verdict, find_tool, judge, judge_task
from openworld.language.canonical import canonical
from tests.support.governance import question, rule

REFS = ["a", "b", "c", "look", "triage__1__a", "item 0", "workflow", "", "x" * 64]
NAMES = [
    "look",
    "note",
    "rollback",
    "delete",
    "lооk",
    "HUMAN",
    "WAIT",
    "AGENT",
    "SUB_WORKFLOW",
    "SWITCH",
    "SIMPLE",
]
EXPRESSIONS = [
    "${a.output.v}",
    "${b.output}",
    "${workflow.input.service}",
    "${workflow.secrets}",
    "${done.output.x}",
    "${a.${b.output.n}}",
    "${${a.output}.b}",
    "${['']}",
    "$${a}",
    "${",
]
MAY_RUN = {"look", "note", "rollback"}
POLICY: dict[str, Any] = {
    "rules": [
        rule("reads", match={"effects": ["Read"]}),
        rule("ask", "RequireApproval", match={"tools": ["rollback"]}),
        rule("notes", match={"tools": ["note"]}, when="proposal.count('note') < 3 && item.input.n > 0"),
        rule("no", "Deny", match={"tools": ["look"]}, when="'bad' in item.input"),
        rule("human", match={"types": ["HUMAN"]}),
    ],
    "limits": {"tasks": 6, "tasksPerProposal": 8},
}
ALLOWING = {"look": {"reads"}, "rollback": {"ask"}, "note": {"notes"}, "HUMAN": {"human"}}

JSON_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.sampled_from([0.5, *EXPRESSIONS, "checkout", *NAMES, *REFS])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
JSON = st.recursive(
    JSON_SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES + REFS), inner, max_size=3)
    ),
    max_leaves=6,
)
GARBAGE = st.recursive(
    JSON_SCALARS | st.floats() | st.integers(-(2**70), 2**70) | st.just("\ud800") | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)
REF = st.sampled_from(REFS[:4] * 8 + REFS)
PLAIN = st.dictionaries(
    st.sampled_from(["service", "n", "bad", "agent", "name", "to"]),
    st.sampled_from(["checkout", "x", 1, 0, [1], None] * 4 + EXPRESSIONS),
    max_size=3,
)


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any] = JSON) -> st.SearchStrategy[Any]:
    """What is usual, and now and then something else: hypothesis likes ends, so the odd is in the middle."""
    return st.integers(0, 99).flatmap(lambda n: odd if 50 < n < 54 else usual)


NEAR_ITEMS = st.fixed_dictionaries(
    {"type": mostly(st.sampled_from(NAMES[:3] * 5 + NAMES))},
    optional={
        "ref": mostly(REF),
        "input": mostly(st.sampled_from([{"service": "checkout"}, {"n": 1}]) | PLAIN),
        "dependsOn": mostly(st.lists(REF, max_size=2)),
        "optional": mostly(st.booleans()),
        "retry": mostly(st.fixed_dictionaries({"count": st.integers(0, 2)})),
    },
)
ODD_ITEMS = st.builds(
    lambda item, key, value: {**item, key: value},
    NEAR_ITEMS,
    st.sampled_from(
        ["image", "serviceAccountName", "namespace", "name", "taskReferenceName", "inputParameters"]
    ),
    GARBAGE,
)
ITEMS = mostly(mostly(NEAR_ITEMS, ODD_ITEMS))
PROPOSALS = mostly(
    st.fixed_dictionaries(
        {"tasks": mostly(st.lists(ITEMS, min_size=1, max_size=6))},
        optional={
            "intent": st.sampled_from(["SEQUENCE", "FORK_JOIN_DYNAMIC"]),
            "atomic": st.booleans(),
            "rationale": st.text(max_size=5),
            "output": mostly(PLAIN),
        },
    ),
    GARBAGE,
)


def asked(prefix: str) -> Question:
    """A question on a policy with a rule of every kind."""
    return question(POLICY, prefix=prefix, visible=frozenset({"done"}), taken=frozenset({f"{prefix}c"}))


def name_of(verdict: ItemVerdict) -> str:
    """Tool or task type of an item that may run."""
    assert verdict.task is not None
    return verdict.task.name if verdict.task.type is TaskType.SIMPLE else verdict.task.type.value


def assert_sound(verdict: Verdict, where: Question) -> None:
    """What no verdict may ever say, however it came about."""
    for item in verdict.items:
        canonical(item.record())
        assert item.reason
        if item.decision is Decision.DENIED:
            assert item.task is None
            continue
        assert item.rule in ALLOWING[name_of(item)]
        assert (item.decision is Decision.NEEDS_APPROVAL) is (item.approval is not None)
        if name_of(item) != "HUMAN":
            found = find_tool(where.catalogs, name_of(item))
            assert item.tool is found
            assert name_of(item) in MAY_RUN
    canonical(dict(verdict.rules))
    canonical([verdict.problem, verdict.rationale, verdict.answer, dict(verdict.counts)])


@given(PROPOSALS, st.sampled_from(["", "triage__1__"]))
@settings(max_examples=500, deadline=None)
def test_a_verdict_is_sound_on_anything_like_a_proposal(proposal: Any, prefix: str) -> None:
    where = asked(prefix)
    verdict = judge(where, proposal)
    assert_sound(verdict, where)
    assert not (verdict.problem and (verdict.items or verdict.answer))
    running = {item.ref for item in verdict.items if item.task is not None}
    assert len(running) <= 6
    for item in verdict.items:
        if item.task is not None:
            assert item.ref.startswith(prefix)
            assert set(item.task.depends_on or ()) <= running
            assert set(item.task.wire()) <= {
                "name",
                "taskReferenceName",
                "type",
                "inputParameters",
                "dependsOn",
                "optional",
                "retryCount",
            }
    if verdict.items and proposal.get("atomic"):
        assert len({item.decision is Decision.DENIED for item in verdict.items}) == 1


@given(GARBAGE)
@settings(max_examples=200, deadline=None)
def test_a_verdict_is_sound_on_anything(proposal: Any) -> None:
    assert_sound(judge(asked(""), proposal), asked(""))


@given(PROPOSALS)
@settings(max_examples=100, deadline=None)
def test_what_can_be_run_can_be_put_in_an_order(proposal: Any) -> None:
    left = {
        i.ref: set(i.task.depends_on or ()) for i in judge(asked(""), proposal).items if i.task is not None
    }
    while left:
        free = {ref for ref, needs in left.items() if not needs & left.keys()}
        assert free
        left = {ref: needs for ref, needs in left.items() if ref not in free}


@given(PROPOSALS)
@settings(max_examples=100, deadline=None)
def test_a_proposal_without_expressions_is_judged_the_same_when_its_tasks_start(proposal: Any) -> None:
    where = asked("triage__1__")
    verdict = judge(where, proposal)
    for item in verdict.items:
        if item.task is None or item.provisional:
            continue
        later = question(POLICY, prefix=where.prefix, counts=verdict.counts)
        again = judge_task(later, item.task, item.task.input_parameters).items[0]
        assert (again.decision, again.rule, again.reason) == (item.decision, item.rule, item.reason)


@given(st.sampled_from(sorted(MAY_RUN | {"delete"})), GARBAGE)
@settings(max_examples=150, deadline=None)
def test_a_resolved_input_of_any_kind_gets_a_verdict(name: str, value: Any) -> None:
    task = Task.model_validate({"name": name, "taskReferenceName": "triage__1__x"})
    resolved = value if isinstance(value, dict) else {"service": value, "n": value}
    where = asked("triage__1__")
    assert_sound(judge_task(where, task, resolved), where)


@given(PROPOSALS)
@settings(max_examples=100, deadline=None)
def test_a_verdict_does_not_change_by_being_stored(proposal: Any) -> None:
    where = asked("")
    records = [item.record() for item in judge(where, proposal).items]
    assert json.loads(canonical(records)) == records
