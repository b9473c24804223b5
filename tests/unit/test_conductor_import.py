"""Conductor's definitions as Workflows and ToolCatalogs: what becomes of each field, and what is told."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.api import ToolCatalog, Workflow
from openworld.language.checks import check_catalog, check_workflow
from openworld.language.conductor import (
    Severity,
)
from openworld.language.reading import read
from tests.support.conductor import (
    JSON,
    JUDGED,
    imported,
    inline,
    losses,
    one_task,
    simple,
    spec,
    task,
    told,
    tool,
    workflow,
)


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
