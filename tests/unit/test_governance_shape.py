"""Check 1: what can be read as a proposal, and what an item may set. Anything may arrive."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.governance import Decision, Verdict, judge
from tests.support.governance import ALLOW_ALL, LOOK, MAY_SET, items, only, question, summary

CALLS = "raw.calls must be a list of {id, name}, both strings, either may be left out"


def nested(levels: int) -> Any:
    """A value of that many levels."""
    value: Any = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (None, "a proposal is an object, and this is null"),
        ([LOOK], "a proposal is an object, and this is a list"),
        ("rm -rf /", "a proposal is an object, and this is a string"),
        (True, "a proposal is an object, and this is a boolean"),
        (0, "a proposal is an object, and this is a number"),
        ({}, "it proposes no task and gives no output"),
        ({"tasks": []}, "it proposes no task and gives no output"),
        ({"tasks": "all"}, "tasks must be a list, and is a string"),
        ({"tasks": None}, "tasks must be a list, and is null"),
        ({"tasks": {"0": LOOK}}, "tasks must be a list, and is an object"),
        ({"output": None}, "output must be an object, and is null"),
        ({"output": "done"}, "output must be an object, and is a string"),
        ({"tasks": [LOOK], "output": []}, "output must be an object, and is a list"),
        (
            {"tasks": [LOOK], "intent": "PARALLEL"},
            "intent must be one of FORK_JOIN_DYNAMIC, SEQUENCE, or left out",
        ),
        ({"tasks": [LOOK], "intent": []}, "intent must be one of FORK_JOIN_DYNAMIC, SEQUENCE, or left out"),
        ({"tasks": [LOOK], "atomic": "yes"}, "atomic must be true or false"),
        ({"tasks": [LOOK], "atomic": 1}, "atomic must be true or false"),
        ({"tasks": [LOOK], "rationale": ["why"]}, "rationale must be a string"),
        (
            {"taskz": [LOOK]},
            "a proposal has no field 'taskz'; did you mean 'tasks'?; "
            "it has intent, rationale, tasks, output, atomic",
        ),
        (
            {"tasks": [LOOK], "serviceAccountName": "admin"},
            "a proposal has no field 'serviceAccountName'; it has intent, rationale, tasks, output, atomic",
        ),
        ({"tasks": [LOOK] * 1001}, "it has 1001 items; no proposal may have more than 1000"),
        ({"tasks": [nested(31)]}, "it is nested more than 32 levels deep"),
        (
            {"tasks": [{"type": "look", "input": {"x": float("nan")}}]},
            "it is not usable JSON: tasks[0].input.x is NaN or infinite, which JSON does not have; "
            "send null or text",
        ),
        (
            {"output": {"x": 2**53}},
            "it is not usable JSON: output.x is a number beyond ±(2^53 - 1), "
            "which JSON cannot carry exactly; send text",
        ),
        (
            {"output": {"x": "\ud800"}},
            "it is not usable JSON: output.x holds half of a surrogate pair, which is not Unicode text",
        ),
        (
            {"output": {"\udfff": 1}},
            'it is not usable JSON: output["\\udfff"] holds half of a surrogate pair, '
            "which is not Unicode text",
        ),
        ({"tasks": [{1: 2}]}, "it is not usable JSON: tasks[0] has the key 1, which is not text"),
        ({1: 2, "a": 3}, "it is not usable JSON: the value has the key 1, which is not text"),
        ({"output": {"x": {1, 2}}}, "it is not usable JSON: output.x is a set, which is not a JSON value"),
    ],
)
def test_what_is_no_proposal_is_refused_as_a_whole_with_the_reason(raw: Any, problem: str) -> None:
    verdict = judge(question(), raw)
    assert verdict.problem == problem
    assert verdict.items == ()
    assert verdict.answer is None


def test_a_proposal_of_the_greatest_depth_is_read_and_one_too_deep_for_any_reader_refused() -> None:
    assert judge(question(), {"output": nested(31)}).problem == ""
    assert judge(question(), {"output": nested(32)}).problem == "it is nested more than 32 levels deep"
    assert judge(question(), nested(5000)).problem.endswith("is nested deeper than 64 levels")


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert judge(question(), {"tasks": loop}).problem.endswith("is nested deeper than 64 levels")


def test_numbers_that_python_itself_refuses_to_print_are_refused() -> None:
    assert judge(question(), {10**5000: 1}).problem.startswith("it is not usable JSON: ")
    assert judge(question(), {"output": {"x": 10**5000}}).problem.startswith(
        "it is not usable JSON: output.x"
    )


def test_a_giant_proposal_is_refused_by_its_size() -> None:
    huge = {"tasks": [{"type": "look", "input": {"x": "a" * 65_536}}]}
    assert judge(question(), huge).problem == "it has 65580 bytes, the limit is 65536"


def test_a_problem_that_quotes_a_giant_name_is_cut_off() -> None:
    problem = judge(question(), {"x" * 60_000: 1}).problem
    assert len(problem) == 2000
    assert problem.endswith("x…")


def test_what_a_proposal_says_of_itself_is_kept() -> None:
    verdict = judge(question(), {"rationale": "because", "output": {"cause": "deploy"}})
    assert verdict == Verdict(
        answer={"cause": "deploy"},
        rationale="because",
        policies=(("p", "sha256:p"),),
        catalogs=(("tools", "sha256:tools"),),
    )


def test_a_proposal_may_hold_tasks_and_an_answer() -> None:
    verdict = judge(question(), {"tasks": [LOOK], "output": {}})
    assert (verdict.answer, summary(verdict.items)) == ({}, [("look", "Allowed", "all")])


@pytest.mark.parametrize(
    ("item", "rule", "reason"),
    [
        (None, "item", "an item is an object, and this is null"),
        ("look", "item", "an item is an object, and this is a string"),
        (3, "item", "an item is an object, and this is a number"),
        ([LOOK], "item", "an item is an object, and this is a list"),
        ({}, "type", "it names no tool: set type to the tool's name"),
        ({"type": "SIMPLE"}, "type", "it names no tool: set type to the tool's name"),
        (
            {"type": "look", "name": "rollback"},
            "type",
            "type 'look' is a tool's name, and name says 'rollback'",
        ),
        ({"type": 7}, "type", "type and name must be strings"),
        ({"type": None, "name": "look"}, "type", "type and name must be strings"),
        ({"name": ["look"]}, "type", "type and name must be strings"),
        ({**LOOK, "input": None}, "input", "input must be an object, and is null"),
        ({**LOOK, "input": "x"}, "input", "input must be an object, and is a string"),
        ({**LOOK, "input": [1]}, "input", "input must be an object, and is a list"),
        ({**LOOK, "optional": "no"}, "optional", "optional must be true or false"),
        ({**LOOK, "optional": 0}, "optional", "optional must be true or false"),
        ({**LOOK, "retry": 3}, "retry", "retry must be {count: N} with N from 0 to 100"),
        ({**LOOK, "retry": {}}, "retry", "retry must be {count: N} with N from 0 to 100"),
        ({**LOOK, "retry": {"count": True}}, "retry", "retry must be {count: N} with N from 0 to 100"),
        ({**LOOK, "retry": {"count": -1}}, "retry", "retry must be {count: N} with N from 0 to 100"),
        ({**LOOK, "retry": {"count": 101}}, "retry", "retry must be {count: N} with N from 0 to 100"),
        (
            {**LOOK, "retry": {"count": 1, "delaySeconds": 0}},
            "retry",
            "retry must be {count: N} with N from 0 to 100",
        ),
        ({**LOOK, "dependsOn": "x"}, "dependsOn", "dependsOn must be a list of refs"),
        ({**LOOK, "dependsOn": [1]}, "dependsOn", "dependsOn must be a list of refs"),
        ({**LOOK, "dependsOn": None}, "dependsOn", "dependsOn must be a list of refs"),
        (
            {**LOOK, "dependsOn": ["other"]},
            "dependsOn",
            "it depends on 'other', which is no item of this proposal",
        ),
        (
            {**LOOK, "dependsOn": ["loook"]},
            "dependsOn",
            "it depends on 'loook', which is no item of this proposal; did you mean 'look'?",
        ),
        ({**LOOK, "dependsOn": [""]}, "dependsOn", "it depends on '', which is no item of this proposal"),
        ({**LOOK, "ref": "x", "taskReferenceName": "x"}, "item", "both taskReferenceName and ref are given"),
        (
            {"type": "look", "input": {}, "inputParameters": {}},
            "item",
            "both inputParameters and input are given",
        ),
        ({"type": "x" * 254}, "item", "String should have at most 253 characters"),
    ],
)
def test_a_malformed_item_is_denied_with_the_reason(item: Any, rule: str, reason: str) -> None:
    verdict = only(question(), item)
    assert (verdict.decision, verdict.check, verdict.rule, verdict.reason) == (
        Decision.DENIED,
        "shape",
        rule,
        reason,
    )
    assert verdict.task is None


@pytest.mark.parametrize(
    "field",
    [
        "image",
        "serviceAccountName",
        "namespace",
        "run",
        "container",
        "env",
        "command",
        "policyRef",
        "catalogs",
        "retryCount",
        "startDelay",
        "dynamicForkTasksParam",
        "forkTasks",
        "Type",
        "__class__",
        "",
    ],
)
def test_an_item_may_not_set_anything_else(field: str) -> None:
    verdict = only(question(), {**LOOK, field: "registry.example/evil:1"})
    assert verdict.reason == f"an item may not set {field!r}; {MAY_SET}"
    assert (verdict.decision, verdict.rule) == (Decision.DENIED, "item")


def test_operator_configuration_in_the_input_is_only_input() -> None:
    verdict = only(question(), {"type": "look", "input": {"image": "evil", "serviceAccountName": "admin"}})
    assert verdict.task is not None
    assert verdict.task.wire() == {
        "name": "look",
        "taskReferenceName": "triage__1__look",
        "type": "SIMPLE",
        "inputParameters": {"image": "evil", "serviceAccountName": "admin"},
        "dependsOn": [],
    }
    assert verdict.tool is not None
    assert verdict.tool.run.container.image == "example/tool:1"


@pytest.mark.parametrize(
    "kind",
    [
        "FORK_JOIN",
        "FORK_JOIN_DYNAMIC",
        "JOIN",
        "EXCLUSIVE_JOIN",
        "SWITCH",
        "DO_WHILE",
        "DYNAMIC",
        "TERMINATE",
    ],
)
def test_task_types_of_authors_cannot_be_proposed(kind: str) -> None:
    assert only(question(), {"type": kind}).reason == (
        f"tasks of type {kind} cannot be proposed; tools and HUMAN, WAIT, SUB_WORKFLOW, AGENT, "
        "START_WORKFLOW, HTTP, COMPENSATE, INLINE, JSON_JQ_TRANSFORM, NOOP, SET_VARIABLE can"
    )


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"type": "AGENT"}, "an AGENT item's input.agent must be the name of an Agent"),
        (
            {"type": "AGENT", "input": {"agent": 1}},
            "an AGENT item's input.agent must be the name of an Agent",
        ),
        (
            {"type": "AGENT", "input": {"agent": "${workflow.input.agent}"}},
            "an AGENT item's input.agent must be the name of an Agent",
        ),
        *(
            (
                {"type": "SUB_WORKFLOW", "input": given},
                "a SUB_WORKFLOW item must name a Workflow, in input.name or subWorkflowParam.name, "
                "and may give its version; or bring one, in subWorkflowParam.workflowDefinition",
            )
            for given in ({}, {"name": "${a.output}"}, {"name": "../other"}, {"name": "w", "version": 0})
        ),
    ],
)
def test_what_an_item_starts_must_be_named_plainly(item: Any, reason: str) -> None:
    assert only(question(), item).reason == reason


def test_a_sub_workflow_item_names_its_workflow_apart_from_its_input() -> None:
    allowing = {"rules": [{"name": "sub", "match": {"types": ["SUB_WORKFLOW"]}, "decision": "Allow"}]}
    item = {"type": "SUB_WORKFLOW", "ref": "dive", "input": {"name": "deep-dive", "version": 2, "x": 1}}
    task = only(question(allowing), item).task
    assert task is not None
    assert task.wire()["subWorkflowParam"] == {"name": "deep-dive", "version": 2}
    assert task.input_parameters == {"x": 1}
    item = {"type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "deep-dive"}, "input": {"name": "x"}}
    task = only(question(allowing), item).task
    assert task is not None
    assert (task.wire()["subWorkflowParam"], task.input_parameters) == ({"name": "deep-dive"}, {"name": "x"})


def test_a_definition_of_its_own_takes_a_rule_and_only_a_sub_workflow_has_one() -> None:
    param = {"name": "x", "workflowDefinition": {"tasks": [{"ref": "a", "type": "look"}]}}
    verdict = only(question(), {"type": "SUB_WORKFLOW", "subWorkflowParam": param})
    assert verdict.decision is Decision.DENIED
    assert (verdict.check, verdict.rule) == ("policy", "default-deny")
    verdict = only(question(), {"type": "HUMAN", "subWorkflowParam": {"name": "x"}})
    assert verdict.reason == "only a SUB_WORKFLOW item has a subWorkflowParam"


@pytest.mark.parametrize(
    ("ref", "reason"),
    [
        *(
            (ref, "ref must be 1 to 63 of a-z, A-Z, 0-9, _ and -")
            for ref in ("", "a" * 64, "a.b", "a b", "é", 1, None)
        ),
        *(
            (ref, "ref must be 1 to 63 of a-z, A-Z, 0-9, _ and -")
            for ref in ("x\n", "а", ["x"], "${y}", "../x")
        ),
        ("a__b", "ref 'a__b' must not begin with a digit or '-', hold '__' or be 'workflow'"),
        ("triage__1__x", "ref 'triage__1__x' must not begin with a digit or '-', hold '__' or be 'workflow'"),
        ("1a", "ref '1a' must not begin with a digit or '-', hold '__' or be 'workflow'"),
        ("workflow", "ref 'workflow' must not begin with a digit or '-', hold '__' or be 'workflow'"),
        ("old", "ref 'old' is used by a task that exists"),
    ],
)
def test_a_ref_that_cannot_be_used_denies_its_item(ref: Any, reason: str) -> None:
    asked = question(taken=frozenset({"triage__1__old"}))
    verdict = only(asked, {**LOOK, "ref": ref})
    assert (verdict.check, verdict.rule, verdict.reason) == ("shape", "ref", reason)
    assert verdict.ref == "item 0"


def test_of_two_items_with_one_ref_the_first_has_it() -> None:
    verdicts = items(question(), {**LOOK, "ref": "x"}, {**LOOK, "ref": "x"})
    assert summary(verdicts) == [("x", "Allowed", "all"), ("item 1", "Denied", "ref")]
    assert verdicts[1].reason == "ref 'x' is used twice in this proposal"


def test_items_without_a_ref_are_called_by_their_tool_and_numbered() -> None:
    verdicts = items(question(), LOOK, LOOK, {"type": "note"}, LOOK)
    assert [v.ref for v in verdicts] == [
        "triage__1__look",
        "triage__1__look_2",
        "triage__1__note",
        "triage__1__look_3",
    ]


@pytest.mark.parametrize(
    ("name", "refs"),
    [("a-b", ["a_b", "a_b_2"]), ("a---b", ["a_b", "a_b_2"]), ("a-", ["a_", "a_2"]), ("_-_", ["_", "_2"])],
)
def test_every_name_of_a_tool_makes_a_ref(name: str, refs: list[str]) -> None:
    assert [v.short_ref for v in items(question(), {"type": name}, {"type": name})] == refs


def test_conductor_s_long_form_is_the_same_item() -> None:
    long = {"name": "look", "type": "SIMPLE", "taskReferenceName": "x", "inputParameters": {"a": 1}}
    short = {"type": "look", "ref": "x", "input": {"a": 1}}
    assert only(question(), long) == only(question(), short)


@pytest.mark.parametrize("name", ["rоllback", "ｌook", "look​", "LOOK", "look\n", " look", "lo\u0000ok"])
def test_a_look_alike_is_another_tool_and_there_is_none(name: str) -> None:
    verdict = only(question(), {"type": name, "ref": "x"})
    assert (verdict.decision, verdict.check, verdict.rule) == (Decision.DENIED, "catalog", "exists")
    assert verdict.reason.startswith(f"there is no tool {name!r} in catalogs tools")


def look(call_id: Any) -> dict[str, Any]:
    return {**LOOK, "callId": call_id}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"type": "look", "malformed": "no JSON"}, "its worker could not read it: no JSON"),
        ({**LOOK, "malformed": "no JSON"}, "its worker could not read it: no JSON"),
        ({"malformed": "no JSON"}, "its worker could not read it: no JSON"),
        ({**LOOK, "malformed": ""}, "its worker says that it is malformed, and not why"),
        ({**LOOK, "malformed": None}, "its worker says that it is malformed, and not why"),
        ({**LOOK, "malformed": False}, "its worker says that it is malformed, and not why"),
        ({**LOOK, "malformed": [], "image": "evil"}, "its worker says that it is malformed, and not why"),
        ({"type": 7, "malformed": "x"}, "its worker could not read it: x"),
    ],
)
def test_what_a_worker_calls_malformed_is_denied_whatever_else_it_holds(
    item: dict[str, Any], reason: str
) -> None:
    denied, fine = items(question(), item, LOOK)
    assert (denied.decision, denied.check, denied.rule) == (Decision.DENIED, "shape", "arguments")
    assert (denied.reason, denied.task) == (reason, None)
    assert fine.decision == Decision.ALLOWED


def test_an_unreadable_call_is_called_as_it_would_have_been() -> None:
    broken = {"type": "look", "malformed": "no JSON"}
    verdicts = items(
        question(),
        broken,
        LOOK,
        {"type": "note", "input": {"v": "${look.output.v}"}},
        {**broken, "type": ""},
    )
    assert [(v.ref, v.decision.value) for v in verdicts] == [
        ("triage__1__look", "Denied"),
        ("triage__1__look_2", "Allowed"),
        ("triage__1__note", "Denied"),
        ("item 3", "Denied"),
    ]
    assert verdicts[2].reason == "it depends on 'look', which is denied"


def test_a_malformed_item_counts_for_atomic_proposals_sequences_and_limits() -> None:
    broken = {"type": "look", "malformed": "no JSON"}
    assert [v.rule for v in items(question(), LOOK, broken, atomic=True)] == ["atomic", "arguments"]
    after = items(question(), broken, LOOK, intent="SEQUENCE")
    assert [v.rule for v in after] == ["arguments", "DependencyDenied"]
    many = items(question({**ALLOW_ALL, "limits": {"tasksPerProposal": 1}}), broken, LOOK)
    assert [v.rule for v in many] == ["tasksPerProposal"] * 2


@pytest.mark.parametrize("call_id", ["", "x" * 129, None, 7, [], {"a": 1}])
def test_a_call_id_is_short_text(call_id: Any) -> None:
    denied, fine = items(question(), look(call_id), look("x" * 128))
    assert (denied.rule, denied.reason) == ("callId", "callId must be a string of 1 to 128 characters")
    assert fine.decision == Decision.ALLOWED


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (None, "raw must be an object, and is null"),
        ([], "raw must be an object, and is a list"),
        ({}, "raw.dialect must be a string of 1 to 64 characters"),
        ({"dialect": ""}, "raw.dialect must be a string of 1 to 64 characters"),
        ({"dialect": "x" * 65}, "raw.dialect must be a string of 1 to 64 characters"),
        (
            {"dialect": "d", "allow": True},
            "raw has no field 'allow'; it has dialect, payload, excerpt, digest, omitted, bytes, calls",
        ),
        ({"dialect": "d", "excerpt": 7}, "raw.excerpt must be a string, and is a number"),
        ({"dialect": "d", "digest": None}, "raw.digest must be a string, and is null"),
        ({"dialect": "d", "omitted": {}}, "raw.omitted must be a string, and is an object"),
        ({"dialect": "d", "bytes": True}, "raw.bytes must be a whole number from 0"),
        ({"dialect": "d", "bytes": -1}, "raw.bytes must be a whole number from 0"),
        ({"dialect": "d", "calls": {}}, CALLS),
        ({"dialect": "d", "calls": ["c1"]}, CALLS),
        ({"dialect": "d", "calls": [{"id": ""}]}, CALLS),
        ({"dialect": "d", "calls": [{"id": "c", "name": 7}]}, CALLS),
        ({"dialect": "d", "calls": [{"id": "c", "type": "look"}]}, CALLS),
    ],
)
def test_what_a_worker_records_of_a_message_is_read_strictly(raw: Any, problem: str) -> None:
    assert judge(question(), {"tasks": [LOOK], "raw": raw}).problem == problem


def test_the_raw_message_and_the_call_ids_decide_nothing_and_count_for_the_size() -> None:
    tasks: list[dict[str, Any]] = [{"type": "look"}, {"type": "delete"}, {"type": "rollback", "input": {}}]
    plain = judge(question(), {"tasks": tasks})
    raw = {
        "dialect": "openai",
        "payload": {"tasks": "${workflow.secrets}"},
        "calls": [{"id": "c1", "name": "x"}, {}],
    }
    called = [{**item, "callId": f"c{n}"} for n, item in enumerate(tasks)]
    assert judge(question(), {"tasks": called, "raw": raw}) == plain
    huge = {"tasks": tasks, "raw": {"dialect": "openai", "payload": "x" * 65_536}}
    assert judge(question(), huge).problem.endswith("bytes, the limit is 65536")
    deep = {"tasks": tasks, "raw": {"dialect": "openai", "payload": nested(31)}}
    assert judge(question(), deep).problem == "it is nested more than 32 levels deep"
    assert judge(question(), {"raw": raw}).problem == "it proposes no task and gives no output"
