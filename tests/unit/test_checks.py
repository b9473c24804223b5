"""Static checks: what is known to be wrong with a definition before it runs, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.api import Agent, Policy, ToolCatalog, Workflow
from openworld.language.checks import check_agent, check_catalog, check_policy, check_workflow
from openworld.language.durations import InvalidTime, parse_duration, parse_until
from openworld.language.reading import MAX_FINDINGS, read

NOW_MS = 1_767_261_600_000  # 2026-01-01T10:00:00Z


def found(*tasks: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    workflow = read(Workflow, {"tasks": list(tasks), **fields})
    return [(finding.path, finding.message) for finding in check_workflow(workflow)]


def human(ref: str, **fields: Any) -> dict[str, Any]:
    return {"ref": ref, "type": "HUMAN", **fields}


def test_a_sound_workflow_has_no_findings() -> None:
    assert (
        found(
            {"ref": "logs", "type": "get_logs", "input": {"service": "${workflow.input.service}"}},
            {
                "ref": "both",
                "type": "FORK_JOIN",
                "forkTasks": [
                    [human("left")],
                    [{"ref": "right", "type": "WAIT", "input": {"until": "2026-01-01"}}],
                ],
            },
            {"ref": "meet", "type": "JOIN", "joinOn": ["left", "right"]},
            {
                "ref": "pick",
                "type": "SWITCH",
                "expression": "kind",
                "input": {"kind": "${logs.output.kind}"},
                "decisionCases": {"a": [human("case_a")]},
            },
            {"ref": "calc", "type": "INLINE", "input": {"evaluatorType": "javascript", "expression": "$.a"}},
            {"ref": "child", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "other"}},
            {"ref": "think", "type": "AGENT", "input": {"agent": "on-call"}},
            {"ref": "end", "type": "TERMINATE", "input": {"terminationStatus": "COMPLETED"}},
            outputParameters={"x": "${case_a.output} ${meet.output.left}"},
        )
        == []
    )


def test_duplicate_refs_name_both_places() -> None:
    nested = {
        "ref": "s",
        "type": "SWITCH",
        "expression": "k",
        "input": {"k": 1},
        "decisionCases": {"1": [human("a")]},
    }
    assert found(human("a"), nested) == [
        (
            "spec.tasks[1].decisionCases.1[0].taskReferenceName",
            "the task reference name 'a' is used already, at spec.tasks[0]; it must be unique within the "
            "workflow, nested tasks included",
        )
    ]


def test_a_reference_to_nothing_suggests_the_ref_that_was_meant() -> None:
    assert found(human("fetch_logs"), human("b", input={"x": ["${fetch_log.output.a}"]})) == [
        (
            "spec.tasks[1].inputParameters.x[0]",
            "${fetch_log.output.a} refers to task 'fetch_log', which does not exist; did you mean 'fetch_logs'?",
        )
    ]
    assert found(human("a"), outputParameters={"x": "${ghost.output}"}) == [
        ("spec.outputParameters.x", "${ghost.output} refers to task 'ghost', which does not exist")
    ]


def test_a_ref_with_a_dot_needs_brackets() -> None:
    assert found(human("a.b"), human("c", input={"x": "${a.b.output}", "y": "${['a.b'].output}"})) == [
        (
            "spec.tasks[1].inputParameters.x",
            "${a.b.output} refers to task 'a', which does not exist; write ${['a.b']…} for a ref with a dot in it",
        )
    ]


def test_unknown_keys_of_workflow_are_findings() -> None:
    [(path, message)] = found(human("a", input={"x": "${workflow.inputs.y}", "y": "${workflow}"}))
    assert path == "spec.tasks[0].inputParameters.x"
    assert message.startswith(
        "${workflow.inputs.y}: workflow has no 'inputs'; did you mean 'input'? Known: input, output, secrets, "
    )


def test_a_malformed_expression_is_a_finding_at_its_place() -> None:
    assert found(human("a", input={"x": {"y": ["ok", "${workflow.input"]}, "z": "${ghost}"})) == [
        (
            "spec.tasks[0].inputParameters.x.y[1]",
            "the expression '${workflow.input' is never closed by a }; write $${ for a literal ${",
        )
    ]


def test_the_join_that_a_fork_implies_may_be_named() -> None:
    fork = {"ref": "f", "type": "FORK_JOIN", "forkTasks": [[human("x")]]}
    assert found(fork, outputParameters={"x": "${f_join.output}"}) == []
    join = {"ref": "meet", "type": "JOIN", "joinOn": ["x"]}
    assert found(fork, join, outputParameters={"x": "${f_join.output}"}) == [
        ("spec.outputParameters.x", "${f_join.output} refers to task 'f_join', which does not exist")
    ]


def test_cycles_are_named() -> None:
    assert found(human("a", dependsOn=["c"]), human("b", dependsOn=["a"]), human("c", dependsOn=["b"])) == [
        ("spec.tasks[0].dependsOn", "the tasks depend on each other in a cycle: a → c → b → a")
    ]
    assert found(human("a"), human("b", dependsOn=["b"])) == [
        ("spec.tasks[1].dependsOn", "the tasks depend on each other in a cycle: b → b")
    ]


def test_a_long_chain_of_dependencies_is_no_cycle() -> None:
    tasks = [human(f"t{index}", dependsOn=[f"t{index + 1}"] if index < 2999 else []) for index in range(3000)]
    assert found(*tasks) == []


def test_depends_on_stays_within_its_list() -> None:
    fork = {"ref": "f", "type": "FORK_JOIN", "forkTasks": [[human("x", dependsOn=["a"])]]}
    assert found(human("a"), fork) == [
        (
            "spec.tasks[1].forkTasks[0][0].dependsOn[0]",
            "refers to task 'a', which is not in the same list of tasks",
        )
    ]


def test_join_on_needs_refs_that_exist() -> None:
    assert found(human("left"), {"ref": "j", "type": "JOIN", "joinOn": ["left", "lift"]}) == [
        ("spec.tasks[1].joinOn[1]", "refers to task 'lift', which does not exist; did you mean 'left'?")
    ]


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("workflow", "'workflow' is taken: ${workflow.…} is the run itself"),
        ("a__1", "'a__1' contains '__', which is kept for refs that are generated"),
    ],
)
def test_reserved_refs_are_findings(ref: str, message: str) -> None:
    assert found(human(ref)) == [("spec.tasks[0].taskReferenceName", message)]


@pytest.mark.parametrize(
    ("task", "path", "message"),
    [
        ({"type": "SIMPLE"}, "name", "is required: the tool that a SIMPLE task runs"),
        ({"type": "AGENT"}, "inputParameters.agent", "is required: the name of the Agent"),
        ({"type": "FORK_JOIN"}, "forkTasks", "is required: the branches, each a list of tasks"),
        (
            {"type": "FORK_JOIN_DYNAMIC", "input": {"dynamicTask": []}},
            "inputParameters.dynamicTasks",
            "is required: the list of tasks to fork; did you mean 'dynamicTask'?",
        ),
        (
            {"type": "SWITCH", "expression": "x", "input": {"x": 1}},
            "decisionCases",
            "is required: the tasks for each value of the expression",
        ),
        (
            {"type": "SWITCH", "defaultCase": [human("d")]},
            "expression",
            "is required: what picks the case",
        ),
        (
            {"type": "SWITCH", "expression": "kind", "input": {"kinds": 1}, "defaultCase": [human("d")]},
            "expression",
            "names the input 'kind', which inputParameters does not have; did you mean 'kinds'? "
            "With evaluatorType value-param the expression is an input's name",
        ),
        ({"type": "INLINE"}, "expression", "is required: what an INLINE task evaluates"),
        (
            {"type": "INLINE", "evaluatorType": "jq", "expression": ".", "input": {"expression": "."}},
            "expression",
            "is given twice, here and as inputParameters.expression; keep one",
        ),
        (
            {"type": "INLINE", "input": {"evaluatorType": "javascrip", "expression": "1"}},
            "inputParameters.evaluatorType",
            "'javascrip' is not allowed; did you mean 'javascript'? "
            "Allowed: value-param, javascript, graaljs, jq, cel",
        ),
        ({"type": "SUB_WORKFLOW"}, "subWorkflowParam", "is required: the Workflow to start"),
        (
            {"type": "WAIT", "input": {"duration": "1h", "until": "2026-01-01"}},
            "inputParameters.until",
            "stands beside duration; keep one",
        ),
        (
            {"type": "WAIT", "input": {"durations": "1h"}},
            "inputParameters.durations",
            "means nothing to a WAIT task; did you mean 'duration'?",
        ),
        ({"type": "WAIT", "input": {"duration": 5}}, "inputParameters.duration", "must be text"),
        (
            {"type": "WAIT", "input": {"duration": "soonish"}},
            "inputParameters.duration",
            "'soonish' is not a duration; write for example '30s', '1h 30m', '2 days 3 hours' or 'PT5M', "
            "at most 3650 days",
        ),
        (
            {"type": "TERMINATE"},
            "inputParameters.terminationStatus",
            "is required: one of COMPLETED, FAILED, TERMINATED",
        ),
        (
            {"type": "TERMINATE", "input": {"terminationStatus": "DONE"}},
            "inputParameters.terminationStatus",
            "'DONE' is not allowed: one of COMPLETED, FAILED, TERMINATED",
        ),
        (
            {"type": "HUMAN", "expression": "x"},
            "expression",
            "does not belong to a HUMAN task, only to SWITCH and INLINE",
        ),
    ],
)
def test_what_a_type_needs_and_does_not_take(task: dict[str, Any], path: str, message: str) -> None:
    assert found({"ref": "a", **task}) == [(f"spec.tasks[0].{path}", message)]


def test_a_field_of_another_type_is_a_finding() -> None:
    assert found({"ref": "a", "type": "get_logs", "joinOn": ["a"]}) == [
        ("spec.tasks[0].joinOn", "does not belong to a SIMPLE task, only to JOIN and EXCLUSIVE_JOIN")
    ]


@pytest.mark.parametrize(
    "task",
    [
        {"type": "WAIT"},
        {"type": "WAIT", "input": {"duration": "${workflow.input.d}"}},
        {"type": "TERMINATE", "input": {"terminationStatus": "${workflow.input.s}"}},
        {"type": "INLINE", "evaluatorType": "jq", "expression": ".a"},
        {"type": "INLINE", "expression": "v", "input": {"v": 1}},
    ],
)
def test_what_is_only_known_at_run_time_is_no_finding(task: dict[str, Any]) -> None:
    assert found({"ref": "a", **task}) == []


def test_an_invalid_input_schema_is_a_finding() -> None:
    assert found(human("a"), inputSchema={"allOf": []}) == [
        ("spec.inputSchema", "allOf [] has less than 1 item")
    ]


def test_a_catalog_s_tools_are_checked() -> None:
    run = {"container": {"image": "example.com/tool:1"}}
    tool = {"name": "a", "inputSchema": {"type": "object"}, "effect": "Read", "run": run}
    env = [{"name": "OPENWORLD_X", "value": "1"}, {"name": "B"}, {"name": "B", "valueFrom": {}}]
    broken = {
        **tool,
        "outputSchema": {"$ref": "http://example.com/"},
        "run": {"container": {**run["container"], "env": env}},
    }
    catalog = read(ToolCatalog, {"tools": [tool, broken]})
    assert [(finding.path, finding.message) for finding in check_catalog(catalog)] == [
        ("spec.tools[1].name", "the tool 'a' is defined already, at spec.tools[0]"),
        (
            "spec.tools[1].outputSchema",
            "$ref refers to 'http://example.com/'; only references of the form #/… are allowed",
        ),
        ("spec.tools[1].run.container.env[0].name", "names that begin with OPENWORLD_ are reserved"),
        ("spec.tools[1].run.container.env[1]", "needs exactly one of value and valueFrom"),
        ("spec.tools[1].run.container.env[2]", "B is set twice"),
        (
            "spec.tools[1].run.container.env[2].valueFrom",
            "needs exactly one of secretKeyRef and configMapKeyRef",
        ),
    ]


def test_a_tool_cannot_be_spelt_like_a_task_type() -> None:
    run = {"container": {"image": "example/tool:1"}}
    tool = {"name": "HUMAN", "inputSchema": {"type": "object"}, "effect": "Read", "run": run}
    findings = check_catalog(read(ToolCatalog, {"tools": [tool]}))
    assert [finding.path for finding in findings] == ["spec.tools[0].name"]
    assert "'HUMAN' is spelt like a task type" in findings[0].message


def test_a_policy_s_rules_are_checked() -> None:
    rules = [{"name": "r", "decision": "Allow"}, {"name": "r", "decision": "Deny", "approval": {"count": 2}}]
    assert [(finding.path, finding.message) for finding in check_policy(read(Policy, {"rules": rules}))] == [
        ("spec.rules[1].name", "the rule 'r' is defined already, at spec.rules[0]; verdicts name rules"),
        ("spec.rules[1].approval", "has no effect with decision Deny; it belongs to RequireApproval"),
    ]


def test_an_agent_s_paths_and_schema_are_checked() -> None:
    model = {"provider": "scripted", "script": {"configMapName": "script"}}
    context = {"include": ["$.tasks", "workflow"], "redact": ["$..token", "$["]}
    agent = read(Agent, {"model": model, "context": context, "outputSchema": {"type": 3}})
    findings = check_agent(agent)
    assert [finding.path for finding in findings] == [
        "spec.outputSchema",
        "spec.context.include[1]",
        "spec.context.redact[1]",
    ]
    assert findings[1].message == "the path 'workflow' must begin with $"


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2 days 3 hours", 183_600_000),
        ("30s", 30_000),
        ("PT5M", 300_000),
        ("P1DT2H", 93_600_000),
        ("1h 30m", 5_400_000),
        ("1 hours", 3_600_000),
        ("1.5h", 5_400_000),
        ("250ms", 250),
        ("0s", 0),
    ],
)
def test_durations(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "soonish", "5", "P", "PT", "P1Y", "1h 1h", "-5s", "٣s", "99999999 days", "0.1ms"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidTime, match="write for example '30s'"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2026-01-01 10:00", NOW_MS),
        ("2026-01-01 10:00:30", NOW_MS + 30_000),
        ("2026-01-01 10:00 GMT+2", NOW_MS - 7_200_000),
        ("2026-01-01 10:00 Europe/Berlin", NOW_MS - 3_600_000),
        ("2026-01-01 10:00 -05:30", NOW_MS + 19_800_000),
        ("2026-01-01", NOW_MS - 36_000_000),
        ("2026-01-01T10:00:00Z", NOW_MS),
        ("2026-01-01T12:00:00.500+02:00", NOW_MS + 500),
    ],
)
def test_points_in_time(text: str, at_ms: int) -> None:
    assert parse_until(text, NOW_MS) == at_ms


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow",
        "2026-13-01",
        "2026-01-01 25:00",
        "2026-01-01 10:00 ../../etc/passwd",
        "2026-01-01 10:00 Europe",
        "2099-01-01",
    ],
)
def test_what_is_no_point_in_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidTime, match="write for example '2026-01-31 10:00'"):
        parse_until(text, NOW_MS)


def test_a_definition_that_is_wrong_everywhere_is_told_of_the_first_places() -> None:
    tasks = [
        {"ref": f"task_{i}", "type": "NOOP", "input": {"a": "${ghost.x}"}} for i in range(MAX_FINDINGS + 10)
    ]
    paths = [path for path, _ in found(*tasks)]
    assert paths == [f"spec.tasks[{i}].inputParameters.a" for i in range(MAX_FINDINGS)]
