"""Conductor's tasks as tasks: types, tools, refs, and what is changed or told of them."""

from __future__ import annotations

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
    workflow,
)


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
