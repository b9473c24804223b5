"""Long and wide runs on the real cluster: they complete, their status stays small, their record stays whole."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from openworld.ledger import epoch_ms, genesis, verify
from tests.support.environment import Environment
from tests.support.runs import Run, definition

NAMESPACE = "demo-b"
STATUS_LIMIT_BYTES = 512 * 1024
MANY = 1000
DEEP = 20
#: Iterations, and what each of them returns: distinct text whose `<` the API server writes as six bytes.
HEAVY = 20
LINES = "('<' + $.n + 'abcdefgh').repeat(10000)"

TASKS = f"var t=[]; for (var i=0; i<{MANY}; i++) t.push({{name:'sq', taskReferenceName:'sq_'+i, type:'INLINE'}}); t"
INPUTS = f"""var m={{}};
for (var i=0; i<{MANY}; i++) m['sq_'+i]={{evaluatorType:'javascript', expression:'$.i*$.i', i:i}};
m"""


def script(ref: str, expression: str, **given: Any) -> dict[str, Any]:
    """An INLINE task in JavaScript."""
    return {
        "ref": ref,
        "type": "INLINE",
        "input": {"evaluatorType": "javascript", "expression": expression, **given},
    }


@pytest.fixture(scope="module")
def scale(env: Environment) -> Environment:
    """A loop, a fork and a nest, each large."""
    env.kubectl.apply(
        NAMESPACE,
        definition(
            "Policy",
            "scale",
            {
                "limits": {"tasksPerProposal": MANY, "tasks": MANY},
                "rules": [{"name": "scripts", "match": {"types": ["INLINE"]}, "decision": "Allow"}],
            },
        ),
        definition(
            "Workflow",
            "loop",
            {
                "tasks": [
                    {
                        "ref": "again",
                        "type": "DO_WHILE",
                        "loopCondition": f"$.again['iteration'] < {MANY}",
                        "loopOver": [script("double", "$.n * 2", n="${again.output.iteration}")],
                    }
                ],
                "outputParameters": {"n": "${again.output.iteration}", "last": "${double.output.result}"},
            },
        ),
        definition(
            "Workflow",
            "wide",
            {
                "policyRef": {"name": "scale"},
                "tasks": [
                    script("tasks", TASKS),
                    script("inputs", INPUTS),
                    {
                        "ref": "fan",
                        "type": "FORK_JOIN_DYNAMIC",
                        "input": {
                            "dynamicTasks": "${tasks.output.result}",
                            "dynamicTasksInput": "${inputs.output.result}",
                        },
                    },
                    {"ref": "meet", "type": "JOIN"},
                ],
                "outputParameters": {"last": f"${{meet.output.sq_{MANY - 1}.result}}"},
            },
        ),
        definition(
            "Workflow",
            "heavy",
            {
                "tasks": [
                    {
                        "ref": "again",
                        "type": "DO_WHILE",
                        "loopCondition": f"$.again['iteration'] < {HEAVY}",
                        "loopOver": [script("text", LINES, n="${again.output.iteration}")],
                    },
                    {
                        "ref": "twice",
                        "type": "SUB_WORKFLOW",
                        "subWorkflowParam": {"name": "twice"},
                        "input": {"text": "${text.output.result}"},
                    },
                ],
            },
        ),
        definition(
            "Workflow",
            "twice",
            {
                "tasks": [{"ref": "go", "type": "NOOP"}],
                "outputParameters": {"a": "${workflow.input.text}", "b": "${workflow.input.text}"},
            },
        ),
        definition(
            "Workflow",
            "nest",
            {
                "tasks": [
                    {
                        "ref": "once",
                        "type": "DO_WHILE",
                        "loopCondition": "false",
                        "loopOver": [
                            {
                                "ref": "deeper",
                                "type": "SWITCH",
                                "evaluatorType": "javascript",
                                "expression": f"$.depth < {DEEP} ? 'yes' : 'no'",
                                "input": {"depth": "${workflow.input.depth}"},
                                "decisionCases": {
                                    "yes": [
                                        script("next", "$.depth + 1", depth="${workflow.input.depth}"),
                                        {
                                            "ref": "sub",
                                            "type": "SUB_WORKFLOW",
                                            "subWorkflowParam": {"name": "nest"},
                                            "input": {"depth": "${next.output.result}"},
                                        },
                                    ]
                                },
                                "defaultCase": [script("floor", "$.depth", depth="${workflow.input.depth}")],
                            }
                        ],
                    }
                ],
                "outputParameters": {
                    "floor": "${floor.output.result}",
                    "below": "${sub.output}",
                },
            },
        ),
    )
    return env


def watched(run: Run) -> Iterator[dict[str, Any]]:
    """Every state of the execution that a watch shows, until it has ended."""
    kubectl = ["kubectl", f"--kubeconfig={run.kubectl.kubeconfig}"]
    command = [*kubectl, "-n", run.namespace, "get", "execution", run.name, "--watch", "-o", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        decoder, text = json.JSONDecoder(), ""
        try:
            for line in process.stdout:
                text += line
                if line.rstrip() != "}":
                    continue
                body, end = decoder.raw_decode(text)
                text = text[end:].lstrip()
                yield body
                if body.get("status", {}).get("endedAt"):
                    return
        finally:
            process.terminate()


def record_of(run: Run) -> list[dict[str, Any]]:
    """The whole ledger, through its segments; it is one chain."""
    body = run.object
    uid = body["metadata"]["uid"]
    found = run.kubectl.json(
        "-n", run.namespace, "get", "ledgersegments", "-l", f"openworld.dev/execution-uid={uid}"
    )["items"]
    specs = sorted(
        (item["spec"] for item in found if "payload" not in item["spec"]), key=lambda spec: spec["index"]
    )
    assert len(specs) == body["status"]["ledger"].get("segments", 0)
    events = [event for spec in specs for event in spec["events"]] + body["status"]["ledger"]["events"]
    start = genesis(uid, events[0]["definition"], body["spec"].get("input") or {})
    verify(events, first=0, prev=start)
    return events


@pytest.mark.parametrize(
    ("workflow", "output", "completed"),
    [
        ("loop", {"n": MANY, "last": 2 * MANY}, MANY + 1),
        ("wide", {"last": (MANY - 1) ** 2}, MANY + 4),
    ],
)
def test_a_thousand_tasks_stand_in_a_small_status_and_a_whole_record(
    scale: Environment, workflow: str, output: dict[str, Any], completed: int
) -> None:
    run = Run.start(scale.kubectl, NAMESPACE, f"scale-{workflow}", {"workflowRef": {"name": workflow}})
    largest = 0
    for body in watched(run):
        largest = max(largest, len(json.dumps(body.get("status") or {}, separators=(",", ":"))))
    status = run.status
    assert (status["phase"], status.get("output")) == ("Completed", output), status.get("reason")
    assert 0 < largest < STATUS_LIMIT_BYTES
    events = record_of(run)
    assert sum(event["type"] == "TaskCompleted" for event in events) == completed
    took = (epoch_ms(status["endedAt"]) - epoch_ms(status["startedAt"])) / 1000
    print(f"{workflow}: {took:.2f} s, largest status {largest} bytes, {len(events)} events")


def test_twenty_levels_of_workflows_and_loops_complete(scale: Environment) -> None:
    run = Run.start(
        scale.kubectl, NAMESPACE, "scale-nest", {"workflowRef": {"name": "nest"}, "input": {"depth": 0}}
    )
    status = run.until("the end", lambda status: bool(status.get("endedAt")))
    assert status["phase"] == "Completed", status.get("reason")
    output = status["output"]
    for _ in range(DEEP):
        output = output["below"]
    assert output["floor"] == DEEP
    children = scale.kubectl.json("-n", NAMESPACE, "get", "executions")["items"]
    nested = [child for child in children if child["metadata"]["name"].startswith("scale-nest-")]
    assert len(nested) == DEEP


def test_large_values_stand_apart_and_the_status_stays_small(scale: Environment) -> None:
    run = Run.start(scale.kubectl, NAMESPACE, "scale-heavy", {"workflowRef": {"name": "heavy"}})
    largest = 0
    for body in watched(run):
        largest = max(largest, len(json.dumps(body.get("status") or {}, separators=(",", ":"))))
    status = run.status
    assert status["phase"] == "Completed", status.get("reason")
    assert 0 < largest < STATUS_LIMIT_BYTES
    record = record_of(run)
    text = f"<{HEAVY}abcdefgh" * 10_000
    told = scale.openworld("ledger", "-n", NAMESPACE, run.name, "-o", "json", "--payloads").stdout
    whole = json.loads(told)
    assert whole[-1]["output"] == {"a": text, "b": text}
    texts = [
        e["output"]["result"] for e in whole if e["type"] == "TaskCompleted" and e["ref"].startswith("text")
    ]
    assert texts == [f"<{n}abcdefgh" * 10_000 for n in range(1, HEAVY + 1)]
    assert status["outputRef"]["digest"] == record[-1]["payloads"]["output"]["digest"]
    found = scale.kubectl.json(
        "-n",
        NAMESPACE,
        "get",
        "ledgersegments",
        "-l",
        f"openworld.dev/execution-uid={run.object['metadata']['uid']}",
    )["items"]
    apart = [item["spec"]["payload"] for item in found if "payload" in item["spec"]]
    assert {value["digest"] for value in apart} == {
        reference["digest"] for event in record for reference in event.get("payloads", {}).values()
    }
    print(f"heavy: largest status {largest} bytes, {len(apart)} values apart")
