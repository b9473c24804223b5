"""Reading: every error names its place as the author wrote it, and what was probably meant."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.api import Agent, Policy, TaskType, ToolCatalog, Workflow
from openworld.language.reading import Finding, InvalidResource, read

TYPES = (
    "SIMPLE, HTTP, EVENT, LLM_CHAT_COMPLETE, LIST_MCP_TOOLS, CALL_MCP_TOOL, AGENT, DYNAMIC, FORK_JOIN, "
    "FORK_JOIN_DYNAMIC, JOIN, EXCLUSIVE_JOIN, SWITCH, DO_WHILE, "
    "SUB_WORKFLOW, START_WORKFLOW, HUMAN, WAIT, INLINE, JSON_JQ_TRANSFORM, SET_VARIABLE, TERMINATE, "
    "COMPENSATE, NOOP"
)


def findings(model: Any, data: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidResource) as raised:
        read(model, data)
    return [(finding.path, finding.message) for finding in raised.value.findings]


def of_task(task: Any) -> list[tuple[str, str]]:
    return findings(Workflow, {"tasks": [task]})


def test_a_workflow_is_read_in_short_and_long_form() -> None:
    workflow = read(
        Workflow,
        {
            "version": 2.0,
            "tasks": [
                {"ref": "a", "type": "get_logs", "input": {"x": 1}},
                {"taskReferenceName": "b", "name": "t", "type": "SIMPLE", "inputParameters": {}},
            ],
        },
    )
    assert workflow.version == 2
    assert [(task.task_reference_name, task.name, task.type) for task in workflow.tasks] == [
        ("a", "get_logs", TaskType.SIMPLE),
        ("b", "t", TaskType.SIMPLE),
    ]


@pytest.mark.parametrize(
    ("task", "found"),
    [
        ({"ref": "a", "type": "FOO"}, ("spec.tasks[0].type", f"unknown task type 'FOO'. Known: {TYPES}")),
        (
            {"ref": "a", "type": "FORK_JION"},
            (
                "spec.tasks[0].type",
                f"unknown task type 'FORK_JION'; did you mean 'FORK_JOIN'? Known: {TYPES}",
            ),
        ),
        ({"ref": "a", "type": 7}, ("spec.tasks[0].type", f"unknown task type 7. Known: {TYPES}")),
        (
            {"ref": "a", "inputParametrs": {}},
            (
                "spec.tasks[0].inputParametrs",
                "unknown field 'inputParametrs'; did you mean 'inputParameters'?",
            ),
        ),
        ({"type": "HUMAN"}, ("spec.tasks[0]", "taskReferenceName (or its short form, ref) is required")),
        ({"ref": "9"}, ("spec.tasks[0].ref", "'9' does not match ^[a-zA-Z_][a-zA-Z0-9_.-]{0,126}$")),
        ({"ref": "a", "input": 3}, ("spec.tasks[0].input", "must be an object, but is 3")),
        (
            {"ref": "a", "taskReferenceName": "b"},
            (
                "spec.tasks[0]",
                "both ref and taskReferenceName are given; ref is the short form of taskReferenceName",
            ),
        ),
        (3, ("spec.tasks[0]", "must be an object, but is 3")),
        ({"ref": "a", "optional": "yes"}, ("spec.tasks[0].optional", "must be true or false, but is 'yes'")),
        (
            {"ref": "a", "startDelay": "5"},
            ("spec.tasks[0].startDelay", "must be a whole number, but is '5'"),
        ),
        (
            {"ref": "a", "retryCount": -1},
            ("spec.tasks[0].retryCount", "must be greater than or equal to 0, but is -1"),
        ),
        ({"ref": "a", "dependsOn": ["b", 4]}, ("spec.tasks[0].dependsOn[1]", "must be text, but is 4")),
        (
            {"ref": "a", "type": "SWITCH", "evaluatorType": "javscript"},
            (
                "spec.tasks[0].evaluatorType",
                "'javscript' is not allowed; did you mean 'javascript'? "
                "Allowed: value-param, javascript, graaljs, jq, cel",
            ),
        ),
        (
            {"ref": "a", "input": {"x": [float("nan")]}},
            ("spec.tasks[0].input.x[0]", "is NaN or infinite, which JSON does not have; send null or text"),
        ),
    ],
)
def test_an_error_names_its_place_and_the_remedy(task: Any, found: tuple[str, str]) -> None:
    assert of_task(task) == [found]


def test_errors_of_nested_tasks_have_their_whole_path() -> None:
    task = {
        "ref": "s",
        "type": "SWITCH",
        "decisionCases": {"rollback": [{"ref": "x", "retryCount": "3"}], "two words": [{"ref": "y", "a": 1}]},
        "forkTasks": [[{"ref": "z", "name": 5}]],
    }
    assert [path for path, _ in of_task(task)] == [
        "spec.tasks[0].decisionCases.rollback[0].retryCount",
        'spec.tasks[0].decisionCases["two words"][0].a',
        "spec.tasks[0].forkTasks[0][0].name",
    ]


def test_a_document_of_the_wrong_shape_is_one_finding() -> None:
    assert findings(Workflow, []) == [("spec", "must be an object, not a list")]
    assert findings(Workflow, {}) == [("spec", "tasks is required")]
    assert findings(Workflow, {"tasks": []}) == [("spec.tasks", "must not be empty")]
    assert findings(Agent, {"model": {"provider": "scripted", "script": {}}}) == [
        ("spec.model.script", "configMapName is required")
    ]


def test_other_kinds_name_their_values_too() -> None:
    rule = {"name": "r", "decision": "allow", "match": {"effects": ["Reed"]}}
    assert findings(Policy, {"rules": [rule]}) == [
        (
            "spec.rules[0].match.effects[0]",
            "'Reed' is not allowed; did you mean 'Read'? Allowed: Read, Write, Destructive",
        ),
        (
            "spec.rules[0].decision",
            "'allow' is not allowed; did you mean 'Allow'? Allowed: Allow, RequireApproval, Deny",
        ),
    ]
    tool = {"name": "a", "inputSchema": {}, "effect": "Read", "run": {"container": {"image": ""}}}
    assert findings(ToolCatalog, {"tools": [tool]}) == [
        ("spec.tools[0].run.container.image", "must not be empty")
    ]


def test_endless_nesting_is_a_finding() -> None:
    task: dict[str, Any] = {"ref": "a"}
    for _ in range(2000):
        task = {"ref": "a", "defaultCase": [task]}
    [(_, message)] = of_task(task)
    assert message == "is nested deeper than 64 levels"


def test_all_findings_stand_in_the_error_s_text() -> None:
    error = InvalidResource((Finding("spec.a", "one"), Finding("spec.b", "two")))
    assert str(error) == "spec.a: one; spec.b: two"
