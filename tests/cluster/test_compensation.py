"""What a run has done is undone when it fails: real Jobs, in reverse order, across the operator's death."""

from __future__ import annotations

import json

import pytest

from tests.support import puppets
from tests.support.environment import ONCALL, Environment
from tests.support.runs import Run, definition

NAMESPACE = "demo-b"
ECHO = """
import json
task = json.load(open("/openworld/task.json"))
open("/dev/termination-log", "w").write(json.dumps({"id": "of-" + task["ref"], "given": task["input"]}))
"""


@pytest.fixture(scope="module")
def saga(env: Environment) -> Environment:
    """Tools that say what they were given, one that fails, and a workflow that books, pays and fails."""
    tool = {"inputSchema": {"type": "object"}, "effect": "Write", "idempotent": True, "retry": {"count": 0}}
    says = {"container": {"image": ONCALL, "command": ["python", "-c", ECHO]}}
    fails = {"container": {"image": ONCALL, "command": ["false"]}}
    cancel = {"tool": "cancel", "input": {"id": "${output.id}", "n": "${input.n}"}}
    tools = [
        {**tool, "name": "book", "run": says, "compensation": cancel},
        {**tool, "name": "cancel", "run": says},
        {**tool, "name": "fail", "run": fails},
    ]
    tasks = [
        {"ref": "hotel", "type": "book", "input": {"n": 1}},
        {"ref": "car", "type": "book", "input": {"n": 2}},
        {"ref": "last", "type": "fail"},
    ]
    env.kubectl.apply(
        NAMESPACE,
        definition("ToolCatalog", "saga", {"tools": tools}),
        definition("Workflow", "saga", {"catalogs": ["saga"], "tasks": tasks}),
        *puppets.right_to_use(NAMESPACE),
    )
    return env


def _refs(run: Run) -> list[str]:
    return sorted(job["metadata"]["labels"]["openworld.dev/ref"] for job in run.jobs())


@pytest.mark.parametrize("kill", [False, True], ids=["undisturbed", "operator-killed"])
def test_a_run_that_fails_undoes_what_it_has_done(saga: Environment, kill: bool) -> None:
    name = "saga-killed" if kill else "saga"
    run = Run.start(saga.kubectl, NAMESPACE, name, {"workflowRef": {"name": "saga"}})
    if kill:
        run.until_event("CompensationScheduled", compensates="car")
        saga.kill_operator()
    status = run.until_final()
    assert (status["phase"], status["reason"].partition(":")[0]) == ("Failed", "task last failed")
    undone = {"result": "Complete", "compensated": ["hotel", "car"], "failed": []}
    assert status["compensation"] == undone
    assert _refs(run) == ["car", "car__undo", "hotel", "hotel__undo", "last"]
    events = run.events
    assert [e["compensates"] for e in events if e["type"] == "CompensationScheduled"] == ["car", "hotel"]
    given = {e["ref"]: e["output"]["given"] for e in events if e["type"] == "TaskCompleted"}
    assert given["car__undo"] == {"id": "of-car", "n": 2}
    assert given["hotel__undo"] == {"id": "of-hotel", "n": 1}
    assert run.types()["TaskScheduled"] == 5
    run.recovered()


def test_terminate_undoes_when_it_is_told_to(saga: Environment) -> None:
    tasks = [{"ref": "hotel", "type": "book", "input": {"n": 1}}, {"ref": "wait", "type": "WAIT"}]
    saga.kubectl.apply(NAMESPACE, definition("Workflow", "saga-held", {"catalogs": ["saga"], "tasks": tasks}))
    run = Run.start(saga.kubectl, NAMESPACE, "saga-held", {"workflowRef": {"name": "saga-held"}})
    run.until_event("TaskScheduled", ref="wait")
    saga.openworld("terminate", "saga-held", "-n", NAMESPACE, "--reason", "enough", "--compensate")
    status = run.until_final()
    assert status["phase"] == "Terminated"
    assert status["compensation"]["compensated"] == ["hotel"]
    assert _refs(run) == ["hotel", "hotel__undo"]
    told = saga.openworld("ledger", "saga-held", "-n", NAMESPACE).stdout
    assert "hotel is undone now, by cancel" in told
    shown = json.loads(saga.openworld("get", "saga-held", "-n", NAMESPACE, "-o", "json").stdout)
    assert shown["status"]["compensation"]["result"] == "Complete"
