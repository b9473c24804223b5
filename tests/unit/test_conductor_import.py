"""Conductor's definitions as Workflows and ToolCatalogs: what becomes of each field, and what is told."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openworld.api import ToolCatalog, Workflow
from openworld.language.checks import check_catalog, check_workflow
from openworld.language.conductor import (
    Imported,
    NotADefinition,
    Place,
    Severity,
    Shape,
    definitions_in,
    import_definitions,
)
from openworld.language.reading import read

JSON = dict[str, Any]
JUDGED = "what it runs is judged by a policy: name one in spec.policyRef; without one nothing is allowed"


def simple(name: str = "pack", ref: str | None = None, **fields: Any) -> JSON:
    return {"name": name, "taskReferenceName": ref or name, "type": "SIMPLE", "inputParameters": {}} | fields


def inline(ref: str, **inputs: Any) -> JSON:
    given = {"evaluatorType": "javascript", "expression": "1"} | inputs
    return {"name": ref, "taskReferenceName": ref, "type": "INLINE", "inputParameters": given}


def task(kind: str, ref: str = "t", **fields: Any) -> JSON:
    return {"name": ref, "taskReferenceName": ref, "type": kind} | fields


def workflow(*tasks: JSON, name: str = "orders", **fields: Any) -> JSON:
    return {"name": name, "version": 1, "schemaVersion": 2, "tasks": list(tasks)} | fields


def imported(workflows: list[JSON], tasks: list[JSON] | None = None) -> Imported:
    return import_definitions(workflows, tasks or [], image="registry.example/worker:1")


def spec(*tasks: JSON, **fields: Any) -> JSON:
    """The spec of the Workflow with these tasks."""
    [made] = imported([workflow(*tasks, **fields)]).workflows
    found: JSON = made["spec"]
    return found


def one_task(given: JSON, *more: JSON) -> JSON:
    """What a task becomes."""
    found: JSON = spec(given, *more)["tasks"][0]
    return found


def tool(**fields: Any) -> JSON:
    """The tool that a task definition becomes."""
    [catalog] = imported([], [{"name": "pack"} | fields]).catalogs
    [found] = catalog["spec"]["tools"]
    made: JSON = found
    return made


def told(result: Imported, *severities: Severity) -> list[str]:
    """The losses that have a place, as lines."""
    wanted = severities or tuple(Severity)
    return [
        f"{loss.path}: {loss.message}" for loss in result.losses if loss.steps and loss.severity in wanted
    ]


def losses(*tasks: JSON, **fields: Any) -> list[str]:
    """What is told of a workflow whose tools all have a definition."""
    names = {item["name"] for item in tasks if item.get("type") == "SIMPLE"}
    return told(imported([workflow(*tasks, **fields)], [{"name": name} for name in sorted(names)]))


def test_a_workflow_and_its_task_definition_become_two_objects() -> None:
    result = imported(
        [workflow(simple(inputParameters={"id": "${workflow.input.id}"}), name="Order_Flow", version=3)],
        [{"name": "pack", "description": "Packs.", "timeoutSeconds": 30, "timeoutPolicy": "RETRY"}],
    )
    assert result.catalogs == [
        {
            "apiVersion": "openworld.dev/v1alpha1",
            "kind": "ToolCatalog",
            "metadata": {"name": "imported"},
            "spec": {
                "tools": [
                    {
                        "name": "pack",
                        "description": "Packs.",
                        "inputSchema": {"type": "object"},
                        "effect": "Write",
                        "idempotent": True,
                        "timeoutSeconds": 30,
                        "timeoutPolicy": "RETRY",
                        "run": {
                            "container": {"image": "registry.example/worker:1"},
                            "report": "TaskResult",
                        },
                    }
                ]
            },
        }
    ]
    assert result.workflows == [
        {
            "apiVersion": "openworld.dev/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": "order-flow"},
            "spec": {
                "name": "Order_Flow",
                "version": 3,
                "catalogs": ["imported"],
                "tasks": [
                    {
                        "name": "pack",
                        "taskReferenceName": "pack",
                        "type": "SIMPLE",
                        "inputParameters": {"id": "${workflow.input.id}"},
                    }
                ],
            },
        }
    ]
    assert told(result) == []
    assert [(loss.severity, loss.path) for loss in result.losses] == [
        (Severity.NOTE, ""),
        (Severity.NOTE, ""),
    ]


def test_a_workflow_that_uses_everything_passes_the_checks() -> None:
    tasks = [
        simple("pack", "a", optional=True, startDelay=2, retryCount=0),
        task("SWITCH", "s", evaluatorType="graaljs", expression="$.x", inputParameters={"x": "1"},
             decisionCases={"1": [inline("c1")], "2": []}, defaultCase=[inline("c2")]),
        task("FORK_JOIN", "f", forkTasks=[[inline("f1")], [inline("f2")]]),
        task("JOIN", "j", joinOn=["f1", "f2"]),
        task("EXCLUSIVE_JOIN", "x", joinOn=["c1", "c2"], defaultExclusiveJoinTask=["c2"]),
        task("DO_WHILE", "l", loopCondition="$.l['iteration'] < 2", loopOver=[inline("b", n="${b__1.output.result}")],
             inputParameters={"keepLastN": 3}),
        task("DO_WHILE", "i", items="${workflow.input.names}", loopCondition="true", loopOver=[inline("ib")]),
        task("FORK_JOIN_DYNAMIC", "d", dynamicForkTasksParam="list", dynamicForkTasksInputParamName="inputs",
             inputParameters={"list": [], "inputs": {}}),
        task("JOIN", "dj"),
        task("DYNAMIC", "y", dynamicTaskNameParam="which", inputParameters={"which": "pack"}),
        task("SUB_WORKFLOW", "u", subWorkflowParam={"name": "Child Flow", "version": 2}),
        task("START_WORKFLOW", "w", inputParameters={"startWorkflow": {"name": "Child Flow", "input": {}}}),
        task("JSON_JQ_TRANSFORM", "q", inputParameters={"queryExpression": ".x", "x": 1}),
        task("HUMAN", "h"),
        task("WAIT", "v", inputParameters={"duration": "2 seconds"}),
        task("SET_VARIABLE", "r", inputParameters={"n": 1}),
        task("NOOP", "n"),
        task("TERMINATE", "e", inputParameters={"terminationStatus": "COMPLETED"}),
    ]  # fmt: skip
    result = imported(
        [
            workflow(
                *tasks, variables={"n": 0}, inputTemplate={"names": []}, outputParameters={"x": "${x.output}"}
            )
        ],
        [{"name": "pack", "responseTimeoutSeconds": 3600}],
    )
    [made] = result.workflows
    assert check_workflow(read(Workflow, made["spec"])) == []
    assert check_catalog(read(ToolCatalog, result.catalogs[0]["spec"])) == []
    assert [entry["type"] for entry in made["spec"]["tasks"]] == [entry["type"] for entry in tasks]
    assert told(result) == [f"workflows[0].tasks[7]: {JUDGED}"]


def test_what_conductor_exports_with_its_defaults_says_nothing() -> None:
    given = simple(
        decisionCases={}, defaultCase=[], forkTasks=[], startDelay=0, joinOn=[], optional=False, loopOver=[],
        defaultExclusiveJoinTask=[], asyncComplete=False, onStateChange={}, permissive=False, sink=None,
        retryCount=None, expression=None, rateLimited=None, cacheConfig=None, taskDefinition=None,
    )  # fmt: skip
    fields = {
        "ownerEmail": "owner@example.com", "ownerApp": "app", "createTime": 1, "updateTime": 2, "createdBy": "a",
        "updatedBy": "b", "accessPolicy": {}, "restartable": True, "workflowStatusListenerEnabled": False,
        "timeoutPolicy": "ALERT_ONLY", "timeoutSeconds": 0, "variables": {}, "inputTemplate": {},
        "inputParameters": [], "outputParameters": {}, "metadata": {}, "maskedFields": [], "enforceSchema": True,
        "failureWorkflow": "", "description": None, "cacheConfig": None, "rateLimitConfig": None,
    }  # fmt: skip
    result = imported([workflow(given, **fields)], [{"name": "pack"}])
    assert told(result) == []
    [made] = result.workflows
    assert made["metadata"] == {
        "name": "orders",
        "annotations": {"openworld.dev/owner": "owner@example.com"},
    }
    assert made["spec"] == {
        "version": 1,
        "catalogs": ["imported"],
        "tasks": [{"name": "pack", "taskReferenceName": "pack", "type": "SIMPLE"}],
    }


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["orders"], [("orders", None)]),
        (["Order Flow!"], [("order-flow", "Order Flow!")]),
        (["order_flow", "Order Flow"], [("order-flow", "order_flow"), ("order-flow-2", "Order Flow")]),
        (["注文"], [("workflow", "注文")]),
        (["team/orders"], [("team-orders", None)]),
    ],
)
def test_names_of_workflows(names: list[str], expected: list[tuple[str, str | None]]) -> None:
    made = imported([workflow(inline("a"), name=name) for name in names]).workflows
    assert [(body["metadata"]["name"], body["spec"].get("name")) for body in made] == expected


def test_versions_of_one_name_are_objects_of_their_own() -> None:
    made = imported([workflow(inline("a"), version=number) for number in (1, 2)]).workflows
    assert [(body["metadata"]["name"], body["spec"]["name"], body["spec"]["version"]) for body in made] == [
        ("orders-v1", "orders", 1),
        ("orders-v2", "orders", 2),
    ]


def test_the_same_definition_twice_is_written_once_and_a_different_one_is_an_error() -> None:
    result = imported([workflow(inline("a")), workflow(inline("a")), workflow(inline("b"))])
    assert [body["metadata"]["name"] for body in result.workflows] == ["orders", "orders-2"]
    assert told(result) == [
        "workflows[1]: the same definition is there already; written once",
        "workflows[2]: 'orders' version 1 is defined already, otherwise; remove one of the two",
    ]


def test_a_name_that_is_not_allowed_is_changed_wherever_a_workflow_is_started() -> None:
    start = {"name": "team/child", "version": None, "input": {"a": 1}, "taskToDomain": None, "priority": 3}
    result = imported(
        [
            workflow(
                task("SUB_WORKFLOW", "u", subWorkflowParam={"name": "team/child"}),
                task("START_WORKFLOW", "w", inputParameters={"startWorkflow": start}),
                failureWorkflow="team/child",
            ),
            workflow(inline("a"), name="team/child"),
        ]
    )
    parent, child = (body["spec"] for body in result.workflows)
    assert parent["failureWorkflow"] == "team-child"
    assert parent["tasks"][0]["subWorkflowParam"] == {"name": "team-child"}
    assert parent["tasks"][1]["inputParameters"] == {
        "startWorkflow": {"name": "team-child", "input": {"a": 1}}
    }
    assert "name" not in child
    assert told(result, Severity.LOSS) == [
        "workflows[0].tasks[1].inputParameters.startWorkflow.priority: executions have no priority"
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"timeoutSeconds": 60}, {"timeoutSeconds": 60, "timeoutPolicy": "ALERT_ONLY"}),
        ({"timeoutSeconds": 60, "timeoutPolicy": "TIME_OUT_WF"}, {"timeoutSeconds": 60, "timeoutPolicy": "TIME_OUT_WF"}),
        ({"timeoutSeconds": 0, "timeoutPolicy": "TIME_OUT_WF"}, {}),
    ],
)  # fmt: skip
def test_a_runs_timeout_keeps_conductors_default_policy(given: JSON, expected: JSON) -> None:
    made = spec(inline("a"), **given)
    assert {key: value for key, value in made.items() if key.startswith("timeout")} == expected


def test_the_schema_of_a_schema_definition_is_taken() -> None:
    data = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "required": ["id"]}
    given = {"name": "in", "version": 1, "type": "JSON", "data": data}
    assert spec(inline("a"), inputSchema=given)["inputSchema"] == {"type": "object", "required": ["id"]}
    path = "workflows[0].inputSchema.data.$schema"
    assert losses(inline("a"), inputSchema=given) == [
        f"{path}: names http://json-schema.org/draft-07/schema#; read as draft 2020-12",
        "workflows[0]: the schemas are enforced here; Conductor OSS records them, and accepts what breaks them",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"name": "in", "type": "AVRO", "data": {}}, ": is of type AVRO; only JSON Schema can be used"),
        (
            {"name": "in", "type": "JSON"},
            ": holds no schema under data: put it here, as it is kept elsewhere",
        ),
        ("in", ": must be an object, and is 'in'; left out"),
    ],
)
def test_a_schema_that_is_none_is_told(given: Any, expected: str) -> None:
    assert losses(inline("a"), outputSchema=given) == [f"workflows[0].outputSchema{expected}"]
    assert "outputSchema" not in spec(inline("a"), outputSchema=given)


def test_a_schema_that_cannot_be_used_is_left_out() -> None:
    given = {"name": "in", "type": "JSON", "data": {"type": "obejct"}}
    [loss] = losses(inline("a"), inputSchema=given)
    assert loss.startswith("workflows[0].inputSchema.data: is left out: ")
    assert "inputSchema" not in spec(inline("a"), inputSchema=given)


def test_a_schema_that_was_not_to_be_enforced_is_a_loss() -> None:
    given = {"name": "in", "type": "JSON", "data": {"type": "object"}}
    assert losses(inline("a"), inputSchema=given, enforceSchema=False) == [
        "workflows[0].enforceSchema: false has no counterpart: the schemas of a workflow are enforced"
    ]


@pytest.mark.parametrize(
    ("field", "value", "severity"),
    [
        ("schemaVersion", 1, Severity.LOSS),
        ("restartable", False, Severity.LOSS),
        ("rateLimitConfig", {"rateLimitKey": "k"}, Severity.LOSS),
        ("cacheConfig", {"key": "k"}, Severity.LOSS),
        ("workflowStatusListenerEnabled", True, Severity.LOSS),
        ("maskedFields", ["card"], Severity.LOSS),
        ("accessPolicy", {"read": "x"}, Severity.LOSS),
        ("tags", ["x"], Severity.LOSS),
        ("version", "two", Severity.LOSS),
        ("variables", [], Severity.LOSS),
        ("inputParameters", ["id"], Severity.NOTE),
        ("metadata", {"a": 1}, Severity.NOTE),
        ("failureWorkflow", "${workflow.input.f}", Severity.ERROR),
    ],
)
def test_a_field_of_a_workflow_that_is_not_carried_over_is_told(
    field: str, value: Any, severity: Severity
) -> None:
    result = imported([workflow(inline("a"), **{field: value})])
    assert [(loss.path, loss.severity) for loss in result.losses] == [(f"workflows[0].{field}", severity)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("taskToDomain", {"*": "eu"}),
        ("cacheConfig", {"key": "k", "ttlInSecond": 5}),
        ("onStateChange", {"onStart": []}),
        ("joinStatus", "COMPLETED"),
        ("rateLimited", True),
        ("sink", "kafka:x"),
        ("caseExpression", "x"),
        ("joinOn", ["x"]),
        ("loopCondition", "true"),
        ("somethingNew", 1),
        ("optional", "perhaps"),
        ("startDelay", -1),
        ("retryCount", 500),
        ("inputParameters", "x"),
    ],
)
def test_a_field_of_a_task_that_is_not_carried_over_is_told(field: str, value: Any) -> None:
    result = imported([workflow(simple(**{field: value}))], [{"name": "pack"}])
    found = [loss for loss in result.losses if loss.steps]
    assert [(loss.path, loss.severity) for loss in found] == [
        (f"workflows[0].tasks[0].{field}", Severity.LOSS)
    ]


def test_a_number_beyond_what_is_allowed_becomes_the_nearest_one() -> None:
    assert one_task(simple(retryCount=500))["retryCount"] == 100
    assert one_task(simple(retryCount="2"))["retryCount"] == 2


def test_a_decision_becomes_a_switch() -> None:
    cases = {"decisionCases": {"y": [inline("a")]}, "inputParameters": {"k": "y"}}
    by_value = one_task(task("DECISION", caseValueParam="k", **cases))
    assert (by_value["type"], by_value["evaluatorType"], by_value["expression"]) == (
        "SWITCH",
        "value-param",
        "k",
    )
    by_script = one_task(task("DECISION", caseValueParam="k", caseExpression="$.k", **cases))
    assert (by_script["evaluatorType"], by_script["expression"]) == ("javascript", "$.k")
    assert losses(task("DECISION", caseValueParam="k", **cases)) == [
        "workflows[0].tasks[0].type: DECISION is written as SWITCH: its output is evaluationResult and selectedCase, "
        "no longer caseOutput"
    ]


def test_a_lambda_becomes_an_inline() -> None:
    assert one_task(task("LAMBDA", inputParameters={"v": 1, "scriptExpression": "$.v"})) == {
        "name": "t",
        "taskReferenceName": "t",
        "type": "INLINE",
        "inputParameters": {"v": 1, "evaluatorType": "javascript", "expression": "$.v"},
    }


def test_an_inline_that_says_its_expression_twice_says_it_once() -> None:
    given = inline("a") | {"evaluatorType": "javascript", "expression": "2"}
    assert one_task(given) == inline("a")
    assert losses(given) == ["workflows[0].tasks[0].expression: is left out: inputParameters say it"]


def test_an_evaluator_that_does_not_exist_is_an_error_told_once() -> None:
    known = "value-param, javascript, graaljs, jq, cel"
    message = f"there is no evaluator 'python' here: rewrite the expression for one of {known}"
    path = "workflows[0].tasks[0]"
    assert losses(inline("a", evaluatorType="python")) == [f"{path}.inputParameters.evaluatorType: {message}"]
    switch = task("SWITCH", evaluatorType="python", expression="x", decisionCases={"a": [inline("b")]})
    assert losses(switch) == [f"{path}.evaluatorType: {message}"]


def test_a_type_that_does_not_exist_is_written_out_unchanged_with_an_error() -> None:
    given = task(
        "KAFKA_PUBLISH", sink="k", asyncComplete=True, inputParameters={"kafka_request": {"topic": "t"}}
    )
    assert one_task(given) == given
    result = imported([workflow(given)])
    assert told(result, Severity.ERROR) == told(result)
    assert told(result) == [
        "workflows[0].tasks[0].type: there is no task type 'KAFKA_PUBLISH' here: the workflow cannot run until this "
        "task is replaced"
    ]


def test_the_rest_is_checked_beside_a_type_that_does_not_exist() -> None:
    given = [
        task("KAFKA_PUBLISH", "k"),
        task("FORK_JOIN", "f", forkTasks=[[task("USER_DEFINED", "u")], [inline("a", v="${ghost.output}")]]),
    ]
    assert [line.split(": ")[0] for line in losses(*given)] == [
        "workflows[0].tasks[0].type",
        "workflows[0].tasks[1].forkTasks[0][0].type",
        "workflows[0]",
    ]
    assert losses(*given)[-1] == (
        "workflows[0]: spec.tasks[1].forkTasks[1][0].inputParameters.v: ${ghost.output} refers to task 'ghost', "
        "which does not exist"
    )


def test_a_task_without_a_definition_gets_no_tool() -> None:
    result = imported(
        [workflow(simple("pack", "a"), simple("pack", "b"), simple("ship", "c"))], [{"name": "ship"}]
    )
    assert [entry["name"] for entry in result.catalogs[0]["spec"]["tools"]] == ["ship"]
    assert told(result, Severity.ERROR) == [
        "workflows[0].tasks[0].name: no task definition 'pack' is in the import: the workflow is refused until a "
        "catalog has the tool 'pack'"
    ]
    [made] = imported([workflow(simple())]).workflows
    assert made["spec"]["catalogs"] == ["imported"]
    assert imported([workflow(simple())]).catalogs == []


def test_what_data_names_needs_a_policy_which_is_said_once() -> None:
    dynamic = task("DYNAMIC", "d", dynamicTaskNameParam="n", inputParameters={"n": "x"})
    fork = task("FORK_JOIN_DYNAMIC", "f", inputParameters={"forkTaskName": "x", "forkTaskInputs": []})
    assert losses(inline("a"), dynamic, fork) == [f"workflows[0].tasks[1]: {JUDGED}"]


def test_a_label_that_is_too_long_is_cut() -> None:
    given = inline("a") | {"name": "n" * 300}
    assert one_task(given)["name"] == "n" * 253
    assert losses(given) == ["workflows[0].tasks[0].name: is cut at 253 characters, the most that is allowed"]


def test_catalogs_are_named_where_tools_may_be_needed() -> None:
    dynamic = task("DYNAMIC", dynamicTaskNameParam="n", inputParameters={"n": "x"})
    fork = task("FORK_JOIN_DYNAMIC", inputParameters={"forkTaskName": "x", "forkTaskInputs": []})
    looped = task("DO_WHILE", loopCondition="false", loopOver=[simple()])
    assert [spec(given).get("catalogs") for given in (inline("a"), dynamic, fork, looped)] == [
        None,
        ["imported"],
        ["imported"],
        ["imported"],
    ]


def test_a_definition_that_only_a_task_carries_becomes_its_tool() -> None:
    given = simple(taskDefinition={"retryCount": 1, "timeoutSeconds": 5, "concurrentExecLimit": 0})
    result = imported([workflow(given)])
    [made] = result.catalogs[0]["spec"]["tools"]
    assert (made["name"], made["retry"], made["timeoutSeconds"]) == ("pack", {"count": 1}, 5)
    assert result.workflows[0]["spec"]["tasks"] == [
        {"name": "pack", "taskReferenceName": "pack", "type": "SIMPLE"}
    ]
    assert told(result) == [
        "workflows[0].tasks[0].taskDefinition: the tool 'pack' is made from it, as no other definition is there"
    ]


def test_a_definition_that_a_task_carries_beside_its_tools_overrides_what_it_says() -> None:
    embedded = {
        "name": "pack", "retryCount": 0, "retryLogic": "LINEAR_BACKOFF", "responseTimeoutSeconds": 9,
        "timeoutPolicy": "RETRY", "inputTemplate": {"a": 1, "b": 2}, "ownerEmail": "x", "concurrentExecLimit": 4,
    }  # fmt: skip
    result = imported(
        [workflow(simple(inputParameters={"a": "mine"}, taskDefinition=embedded))], [{"name": "pack"}]
    )
    [made] = result.workflows[0]["spec"]["tasks"]
    assert made["taskDefinition"] == {
        "retry": {"count": 0, "logic": "LINEAR_BACKOFF"},
        "timeouts": {"responseTimeoutSeconds": 9, "timeoutPolicy": "RETRY"},
    }
    assert made["inputParameters"] == {"a": "mine", "b": 2}
    path = "workflows[0].tasks[0].taskDefinition"
    assert told(result) == [
        f"{path}: what it leaves out is the tool's setting here, and Conductor's default there",
        f"{path}.inputTemplate: is merged into the task's inputParameters",
        f"{path}.concurrentExecLimit: is not carried over: a single task overrides retries and timeouts, the rest is "
        "its tool's",
    ]


def test_an_http_task_takes_retries_from_the_definition_of_its_name() -> None:
    result = imported([workflow(task("HTTP", "call"))], [{"name": "call", "retryCount": 7}])
    assert result.workflows[0]["spec"]["tasks"][0]["taskDefinition"] == {"retry": {"count": 7}}


def test_an_http_task_is_carried_over_as_it_is() -> None:
    request = {"uri": "https://x/${a__1.output.id}", "method": "POST", "body": {"n": 1}, "readTimeOut": 500}
    given = [
        inline("a__1"),
        task("HTTP", "call", inputParameters={"http_request": request}, asyncComplete=True),
    ]
    result = imported([workflow(*given)])
    [_, made] = result.workflows[0]["spec"]["tasks"]
    assert made == given[1] | {
        "inputParameters": {"http_request": request | {"uri": "https://x/${a_1.output.id}"}}
    }
    assert told(result, Severity.ERROR, Severity.LOSS) == []


def test_an_event_is_carried_over_and_its_sink_follows_a_renamed_ref() -> None:
    given = task("EVENT", "tell", sink="${a__1.output.url}", asyncComplete=True, inputParameters={"n": 1})
    result = imported([workflow(inline("a__1"), given)])
    assert result.workflows[0]["spec"]["tasks"][1] == given | {"sink": "${a_1.output.url}"}


def test_a_sink_that_is_a_queue_of_conductors_is_an_error() -> None:
    [line] = losses(task("EVENT", "tell", sink="conductor:shipped"))
    assert line.startswith(
        "workflows[0]: spec.tasks[0].sink: 'conductor:shipped' is a queue of a Conductor server"
    )


def test_a_task_that_waits_after_its_worker_does_so_here() -> None:
    assert one_task(simple(asyncComplete=True))["asyncComplete"] is True
    assert losses(task("NOOP", asyncComplete=True)) == [
        "workflows[0].tasks[0].asyncComplete: means nothing to a NOOP task; left out"
    ]


def test_an_inline_definition_is_imported_in_its_place() -> None:
    inner = workflow(
        simple("pack", "p__1"), inline("a", v="${p__1.output.v}"), name="made/here", restartable=False
    )
    parameter = {"name": "x", "version": 2, "workflowDefinition": inner, "idempotencyKey": "k"}
    result = imported(
        [
            workflow(
                task("SUB_WORKFLOW", "s", subWorkflowParam=parameter, inputParameters={"v": "${s.input}"})
            )
        ],
        [{"name": "pack"}],
    )
    [made] = result.workflows[0]["spec"]["tasks"]
    assert made["subWorkflowParam"] == {
        "name": "x",
        "version": 2,
        "workflowDefinition": {
            "name": "made-here",
            "version": 1,
            "catalogs": ["imported"],
            "tasks": [
                {"name": "pack", "taskReferenceName": "p_1", "type": "SIMPLE"},
                inline("a", v="${p_1.output.v}"),
            ],
        },
    }
    path = "workflows[0].tasks[0].subWorkflowParam"
    assert told(result) == [
        f"{path}.workflowDefinition.tasks[0].taskReferenceName: 'p__1' is written as 'p_1', in expressions too",
        f"{path}.workflowDefinition.restartable: false has no counterpart: any run may be restarted",
        f"{path}.idempotencyKey: has no counterpart: the child is started once in any case",
        f"workflows[0].tasks[0]: {JUDGED}",
    ]
    assert check_workflow(read(Workflow, result.workflows[0]["spec"])) == []


def test_an_expression_in_place_of_a_definition_stays() -> None:
    parameter = {"name": "made", "workflowDefinition": "${plan__x.output.wf}"}
    made = spec(inline("plan__x"), task("SUB_WORKFLOW", "s", subWorkflowParam=parameter))
    assert made["tasks"][1]["subWorkflowParam"]["workflowDefinition"] == "${plan_x.output.wf}"


@pytest.mark.parametrize(
    ("parameter", "path", "severity"),
    [
        ({"name": "${workflow.input.which}"}, "name", Severity.ERROR),
        ({"name": "c", "version": "${workflow.input.v}"}, "version", Severity.LOSS),
        ({"name": "c", "taskToDomain": {"*": "x"}}, "taskToDomain", Severity.LOSS),
        ({"name": "c", "priority": 5}, "priority", Severity.LOSS),
        ({"name": "c", "workflowDefinition": {"name": "c"}}, "workflowDefinition", Severity.ERROR),
        ({"name": "c", "workflowDefinition": 7}, "workflowDefinition", Severity.ERROR),
    ],
)
def test_what_a_sub_workflow_cannot_take_along_is_told(
    parameter: JSON, path: str, severity: Severity
) -> None:
    result = imported([workflow(task("SUB_WORKFLOW", "s", subWorkflowParam=parameter))])
    assert [(loss.path, loss.severity) for loss in result.losses] == [
        (f"workflows[0].tasks[0].subWorkflowParam.{path}", severity)
    ]


def test_refs_that_are_refused_are_renamed_everywhere() -> None:
    made = spec(
        inline("get user"),
        inline("get_user"),
        inline("2nd"),
        inline("a__b", v="${get user.output.result} ${ ['get user'].x[0] } $${get user.x} ${get_user.output}"),
        task(
            "DO_WHILE", "l__p",
            loopCondition="$.l__p['iteration'] < 2 && $.x__y.ok && $['x__y'].z && $.x__yz",
            loopOver=[inline("x__y", v=["${x__y__1.output.v}", {"k": "${l__p.output.${2nd.output.result}}"}])],
        ),
        task("FORK_JOIN", "f", forkTasks=[[inline("b__1")], [inline("b__2")]]),
        task("JOIN", "j", joinOn=["b__1", "b__2"]),
        task("EXCLUSIVE_JOIN", "e", joinOn=["b__1"], defaultExclusiveJoinTask=["b__2"]),
        outputParameters={"v": "${b__1.output.result}-${b__2.output.result}"},
    )  # fmt: skip
    first, _, third, fourth, loop, fork, join, exclusive = made["tasks"]
    assert (first["taskReferenceName"], third["taskReferenceName"]) == ("get_user_2", "task_2nd")
    assert fourth["taskReferenceName"] == "a_b"
    assert fourth["inputParameters"]["v"] == (
        "${get_user_2.output.result} ${ ['get_user_2'].x[0] } $${get user.x} ${get_user.output}"
    )
    assert loop["loopCondition"] == "$.l_p['iteration'] < 2 && $.x_y.ok && $[\"x_y\"].z && $.x__yz"
    assert loop["loopOver"][0]["inputParameters"]["v"] == [
        "${x_y__1.output.v}",
        {"k": "${l_p.output.${task_2nd.output.result}}"},
    ]
    assert [branch[0]["taskReferenceName"] for branch in fork["forkTasks"]] == ["b_1", "b_2"]
    assert join["joinOn"] == ["b_1", "b_2"]
    assert (exclusive["joinOn"], exclusive["defaultExclusiveJoinTask"]) == (["b_1"], ["b_2"])
    assert made["outputParameters"] == {"v": "${b_1.output.result}-${b_2.output.result}"}
    assert check_workflow(read(Workflow, made)) == []


def test_a_task_called_workflow_is_renamed_and_the_run_keeps_its_expressions() -> None:
    given = [inline("workflow"), inline("a", v="${workflow.input.x}"), task("JOIN", "j", joinOn=["workflow"])]
    made = spec(*given)
    assert made["tasks"][0]["taskReferenceName"] == "workflow_task"
    assert made["tasks"][1]["inputParameters"]["v"] == "${workflow.input.x}"
    assert made["tasks"][2]["joinOn"] == ["workflow_task"]
    assert losses(*given) == [
        "workflows[0].tasks[0].taskReferenceName: 'workflow' is written as 'workflow_task', in expressions too",
        "workflows[0].tasks[0].taskReferenceName: ${workflow.…} was left as it is: it means the run here, never a task",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("PACK_ORDER", "pack_order"),
        ("pack.order", "pack_order"),
        ("2pack", "tool_2pack"),
        ("梱包", "tool"),
        ("p" * 70, "p" * 64),
    ],
)
def test_tools_with_names_that_are_refused_are_renamed_with_their_tasks(old: str, new: str) -> None:
    result = imported(
        [
            workflow(
                simple(old, "a"),
                task("DYNAMIC", "d", dynamicTaskNameParam="n", inputParameters={"n": old}),
                task("FORK_JOIN_DYNAMIC", "f", inputParameters={"forkTaskName": old, "forkTaskInputs": []}),
            )
        ],
        [{"name": old}],
    )
    first, dynamic, fork = result.workflows[0]["spec"]["tasks"]
    assert first["name"] == new
    assert dynamic["inputParameters"]["n"] == new
    assert fork["inputParameters"]["forkTaskName"] == new
    assert result.catalogs[0]["spec"]["tools"][0]["name"] == new
    assert told(result, Severity.NOTE)[-1] == (
        f"tasks[0].name: {old!r} is written as {new!r}; data that names it, as in dynamic forks, must follow"
    )
    assert check_catalog(read(ToolCatalog, result.catalogs[0]["spec"])) == []


def test_renamed_tools_do_not_collide() -> None:
    made = imported([], [{"name": "a.b"}, {"name": "a_b"}, {"name": "a b"}]).catalogs[0]["spec"]["tools"]
    assert [entry["name"] for entry in made] == ["a_b_2", "a_b", "a_b_3"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"timeoutSeconds": 0}),
        ({"retryCount": 0, "retryDelaySeconds": 5}, {"retry": {"count": 0, "delaySeconds": 5}, "timeoutSeconds": 0}),
        (
            {"retryLogic": "EXPONENTIAL_BACKOFF", "maxRetryDelaySeconds": 60, "backoffScaleFactor": 2},
            {
                "retry": {"logic": "EXPONENTIAL_BACKOFF", "maxDelaySeconds": 60, "backoffScaleFactor": 2},
                "timeoutSeconds": 0,
            },
        ),
        ({"backoffJitterMs": 500}, {"retry": {"jitter": True}, "timeoutSeconds": 0}),
        ({"timeoutSeconds": 9}, {"timeoutSeconds": 9, "timeoutPolicy": "TIME_OUT_WF"}),
        ({"pollTimeoutSeconds": 9}, {"timeoutSeconds": 0, "pollTimeoutSeconds": 9, "timeoutPolicy": "TIME_OUT_WF"}),
        (
            {"responseTimeoutSeconds": 3600, "totalTimeoutSeconds": 7200},
            {"timeoutSeconds": 0, "responseTimeoutSeconds": 3600, "totalTimeoutSeconds": 7200},
        ),
        ({"timeoutPolicy": "ALERT_ONLY"}, {"timeoutSeconds": 0, "timeoutPolicy": "ALERT_ONLY"}),
        ({"inputTemplate": {"a": "b"}}, {"timeoutSeconds": 0, "inputTemplate": {"a": "b"}}),
        ({"concurrentExecLimit": 4}, {"timeoutSeconds": 0, "concurrencyLimit": 4}),
        ({"concurrentExecLimit": 0, "rateLimitPerFrequency": 0, "rateLimitFrequencyInSeconds": 1}, {"timeoutSeconds": 0}),
        ({"rateLimitPerFrequency": 9}, {"timeoutSeconds": 0, "rateLimit": {"count": 9, "perSeconds": 1}}),
        (
            {"rateLimitPerFrequency": 9, "rateLimitFrequencyInSeconds": 60},
            {"timeoutSeconds": 0, "rateLimit": {"count": 9, "perSeconds": 60}},
        ),
    ],
)  # fmt: skip
def test_settings_of_a_task_definition(given: JSON, expected: JSON) -> None:
    plain = ("name", "inputSchema", "effect", "idempotent", "run")
    assert {key: value for key, value in tool(**given).items() if key not in plain} == expected


def test_schemas_of_a_task_definition_become_those_of_the_tool() -> None:
    data = {"type": "object", "required": ["id"]}
    made = tool(
        inputSchema={"name": "i", "type": "JSON", "data": data},
        outputSchema={"name": "o", "type": "JSON", "data": data},
    )
    assert (made["inputSchema"], made["outputSchema"]) == (data, data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("isolationGroupId", "g"),
        ("executionNameSpace", "n"),
        ("accessPolicy", {"a": 1}),
        ("runtimeMetadata", ["x"]),
        ("retryCount", "many"),
        ("retryLogic", "RANDOM"),
        ("backoffJitterMs", 100),
        ("timeoutSeconds", 10**9),
    ],
)
def test_a_field_of_a_task_definition_that_is_not_carried_over_is_told(field: str, value: Any) -> None:
    result = imported([], [{"name": "pack", field: value}])
    found = [loss for loss in result.losses if loss.steps]
    assert [(loss.path, loss.severity) for loss in found] == [(f"tasks[0].{field}", Severity.LOSS)]


def test_what_only_people_read_of_a_task_definition_is_left_out() -> None:
    made = imported(
        [], [{"name": "pack", "ownerEmail": "a@example.com", "inputKeys": ["x"], "outputKeys": ["y"]}]
    )
    assert told(made) == []


def test_a_task_that_is_defined_twice_is_the_first() -> None:
    result = imported([], [{"name": "pack", "retryCount": 1}, {"name": "pack"}])
    assert result.catalogs[0]["spec"]["tools"][0]["retry"] == {"count": 1}
    assert told(result) == ["tasks[1]: the task 'pack' is defined already; this is another one, and left out"]


def test_more_tools_than_a_catalog_holds_make_another_catalog() -> None:
    result = imported([workflow(simple("t0"))], [{"name": f"t{number}"} for number in range(257)])
    assert [(body["metadata"]["name"], len(body["spec"]["tools"])) for body in result.catalogs] == [
        ("imported", 256),
        ("imported-2", 1),
    ]
    assert result.workflows[0]["spec"]["catalogs"] == ["imported", "imported-2"]


def test_an_old_form_of_the_dynamic_fork_is_an_error() -> None:
    given = task(
        "FORK_JOIN_DYNAMIC", dynamicForkJoinTasksParam="x", inputParameters={"x": [], "dynamicTasks": []}
    )
    assert told(imported([workflow(given)]), Severity.ERROR) == [
        "workflows[0].tasks[0].dynamicForkJoinTasksParam: this old form is not supported: give a list of tasks and a "
        "map of their inputs, under dynamicForkTasksParam and dynamicForkTasksInputParamName"
    ]


@pytest.mark.parametrize(
    ("workflows", "tasks", "message"),
    [
        ([7], [], "workflows[0]: a definition is an object"),
        ([{"tasks": []}], [], "workflows[0].name: a workflow definition needs a name"),
        ([{"name": "x"}], [], "workflows[0].tasks: a workflow definition needs a list of tasks"),
        ([], [{}], "tasks[0].name: a task definition needs a name"),
        ([], [None], "tasks[0]: a definition is an object"),
    ],
)
def test_what_is_no_definition_is_refused(workflows: list[Any], tasks: list[Any], message: str) -> None:
    with pytest.raises(NotADefinition) as refused:
        imported(workflows, tasks)
    assert str(refused.value) == message


def test_a_definition_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(NotADefinition, match="nested deeper than 64 levels"):
        imported([workflow(inline("a", v=deep))])


def test_what_is_no_task_is_an_error_and_left_out() -> None:
    result = imported([workflow(inline("a"), 7, {}, forkTasks=3)])  # type: ignore[arg-type]
    assert [entry.get("taskReferenceName") for entry in result.workflows[0]["spec"]["tasks"]] == ["a", ""]
    assert [loss.path for loss in result.losses if loss.severity is Severity.ERROR] == [
        "workflows[0].tasks[1]",
        "workflows[0].tasks[2].name",
        "workflows[0].tasks[2].taskReferenceName",
        "workflows[0]",
    ]


def test_a_workflow_without_tasks_is_an_error() -> None:
    result = imported([workflow()])
    assert told(result) == ["workflows[0].tasks: a workflow needs at least one task"]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (workflow(inline("a")), [(Shape.WORKFLOW, ())]),
        ({"name": "t", "retryCount": 1}, [(Shape.TASK, ())]),
        ({"name": "t", "ownerEmail": "a@example.com"}, [(Shape.TASK, ())]),
        ([workflow(), {"name": "t"}], [(Shape.WORKFLOW, (0,)), (Shape.TASK, (1,))]),
        (
            {"workflowDefs": [workflow()], "taskDefs": [{"name": "t", "x": 1}]},
            [(Shape.WORKFLOW, ("workflowDefs", 0)), (Shape.TASK, ("taskDefs", 0))],
        ),
        ({"taskDefs": None, "workflowDefs": []}, []),
        ([], []),
    ],
)
def test_definitions_are_told_by_their_shape(document: Any, expected: list[Any]) -> None:
    assert [(found.shape, found.steps) for found in definitions_in(document, Place())] == expected


@pytest.mark.parametrize(
    "document",
    [
        None,
        7,
        "x",
        {},
        {"tasks": {}},
        {"name": "handler", "event": "kafka:x", "actions": []},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}},
        [[workflow()]],
        {"workflowDefs": {}},
        {"taskDefs": [3]},
    ],
)
def test_other_documents_hold_no_definitions(document: Any) -> None:
    with pytest.raises(NotADefinition):
        definitions_in(document, Place())


def test_what_else_an_export_holds_is_told() -> None:
    place = Place()
    assert definitions_in({"workflowDefs": [], "eventHandlers": [{"name": "h"}], "roles": []}, place) == []
    assert [(loss.path, loss.message) for loss in place.found] == [
        ("eventHandlers", "is not imported: neither workflow nor task definitions")
    ]


WORDS = st.sampled_from(
    [
        "name", "tasks", "taskReferenceName", "type", "SIMPLE", "SWITCH", "DECISION", "LAMBDA", "INLINE", "DO_WHILE",
        "SUB_WORKFLOW", "START_WORKFLOW", "FORK_JOIN", "FORK_JOIN_DYNAMIC", "JOIN", "DYNAMIC", "HTTP", "LLM_CHAT_COMPLETE",
        "CALL_MCP_TOOL", "LIST_MCP_TOOLS", "llmProvider", "openai", "messages", "arguments", "headers", "version",
        "inputParameters", "outputParameters", "decisionCases", "defaultCase", "forkTasks", "loopOver", "items",
        "loopCondition", "joinOn", "subWorkflowParam", "workflowDefinition", "taskDefinition", "startWorkflow",
        "inputSchema", "data", "$schema", "retryCount", "timeoutSeconds", "inputTemplate", "evaluatorType",
        "expression", "${a b.c}", "a b", "a__1", "workflow", "$.a__1", "", "-1", "\ud800",
    ]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=40,
)
TASKISH = st.dictionaries(WORDS, ANYTHING, max_size=8)


@settings(max_examples=150, deadline=None)
@given(document=ANYTHING)
def test_any_json_is_definitions_or_is_refused(document: Any) -> None:
    with suppress(NotADefinition):
        found = definitions_in(document, Place())
        imported(
            [item.data for item in found if item.shape is Shape.WORKFLOW],
            [item.data for item in found if item.shape is Shape.TASK],
        )


@settings(max_examples=250, deadline=None)
@given(
    tasks=st.lists(TASKISH | ANYTHING, max_size=4),
    fields=TASKISH,
    definition=TASKISH,
    kinds=st.lists(WORDS, max_size=4),
)
def test_whatever_a_definition_holds_it_is_imported_or_told(
    tasks: list[Any], fields: JSON, definition: JSON, kinds: list[str]
) -> None:
    for entry, kind in zip(tasks, kinds, strict=False):
        if isinstance(entry, dict):
            entry["type"] = kind
    result = imported([fields | {"name": "w", "tasks": tasks}], [definition | {"name": "t"}])
    [made] = result.workflows
    errors = [loss for loss in result.losses if loss.severity is Severity.ERROR]
    if not errors:
        assert check_workflow(read(Workflow, made["spec"])) == []
        assert check_catalog(read(ToolCatalog, result.catalogs[0]["spec"])) == []


PIECES = st.sampled_from(
    ["a b", "a__1", "c", "workflow", "${", "}", "$", ".", "[", "]", "'", "output", "__2", " "]
)


@settings(deadline=None)
@given(text=st.lists(PIECES, max_size=12).map("".join))
def test_texts_without_refs_that_change_stay(text: str) -> None:
    made = spec(inline("c"), inline("d", v=text))
    assert made["tasks"][1]["inputParameters"]["v"] == text
