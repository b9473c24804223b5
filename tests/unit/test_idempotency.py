"""An idempotency key: at most one execution of a workflow for it."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.kube.resources import EXECUTIONS, WORKFLOWS
from openworld.language.versions import idempotent_name
from openworld.simulation import Namespace
from tests.support.reconciling import Bench
from tests.unit.cli_double import FakeCluster, invoke

NAME = idempotent_name("other", "order-7")


def starting(**more: Any) -> dict[str, Any]:
    """A task that starts `other` for one order."""
    return {
        "ref": "go",
        "type": "START_WORKFLOW",
        "input": {"startWorkflow": {"name": "other", "idempotencyKey": "order-7", **more}},
    }


def bench(**more: Any) -> Bench:
    """A run whose task starts another, behind an execution that has the key."""
    made = Bench()
    made.api.put(WORKFLOWS, "team", "other", spec={"tasks": [{"ref": "h", "type": "HUMAN"}]})
    made.api.put(WORKFLOWS, "team", "main", spec={"tasks": [starting(**more)]})
    spec = {"workflowRef": {"name": more.pop("of", "other")}, "requestedBy": "bob@example.com"}
    made.api.put(EXECUTIONS, "team", NAME, spec=spec)
    made.execution().go()
    return made.watch().reconcile()


def test_what_exists_is_returned_where_that_is_asked_for() -> None:
    made = bench(idempotencyStrategy="RETURN_EXISTING")
    assert made.run["status"]["phase"] == "Completed"
    uid = made.api.objects[EXECUTIONS.path("team", NAME)]["metadata"]["uid"]
    assert made.run["status"]["output"] == {"workflowId": uid}
    assert len(made.api.all(EXECUTIONS, "team")) == 2


@pytest.mark.parametrize("strategy", [{}, {"idempotencyStrategy": "FAIL"}])
def test_what_exists_fails_the_task_otherwise(strategy: dict[str, str]) -> None:
    made = bench(**strategy)
    reason = f"Refused: the execution {NAME} has the idempotency key 'order-7' already"
    assert made.run["status"]["reason"] == f"task go failed: {reason}"


def test_the_name_of_the_key_that_another_workflow_has_is_no_match() -> None:
    made = Bench()
    made.api.put(WORKFLOWS, "team", "other", spec={"tasks": [{"ref": "h", "type": "HUMAN"}]})
    made.api.put(WORKFLOWS, "team", "main", spec={"tasks": [starting(idempotencyStrategy="RETURN_EXISTING")]})
    spec = {"workflowRef": {"name": "evil"}, "requestedBy": "mallory@example.com"}
    made.api.put(EXECUTIONS, "team", NAME, spec=spec)
    made.execution().go()
    made.watch().reconcile()
    assert "NameTaken" in made.run["status"]["reason"]


def test_a_simulation_knows_keys_too() -> None:
    made = Namespace(check=True)
    made.define("Workflow", "other", {"tasks": [{"ref": "h", "type": "HUMAN"}]})
    made.define("Workflow", "main", {"tasks": [starting(idempotencyStrategy="RETURN_EXISTING")]})
    first, second = made.start("main"), made.start("main")
    made.settle()
    assert first.state.output == second.state.output
    assert len(made.executions) == 3


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ({"name": ""}, "startWorkflow must be an object with the name of a Workflow"),
        ({"name": "x", "version": 0}, "startWorkflow.version must be a number from 1"),
        ({"name": "x", "input": 3}, "startWorkflow.input must be an object"),
        ({"name": "x", "idempotencyKey": 3}, "startWorkflow.idempotencyKey must be text"),
        ({"name": "x", "idempotencyStrategy": "MAYBE"}, "startWorkflow.idempotencyStrategy must be FAIL or"),
        ({"name": "x", "taskToDomain": {}}, "startWorkflow has no field 'taskToDomain'"),
    ],
)
def test_what_makes_no_sense_is_refused(start: dict[str, Any], reason: str) -> None:
    made = Namespace()
    task = {"ref": "go", "type": "START_WORKFLOW", "input": {"startWorkflow": "${workflow.input.start}"}}
    made.define("Workflow", "main", {"tasks": [task]})
    run = made.start("main", {"start": start})
    made.settle()
    assert reason in run.state.reason


def test_the_command_line_names_the_run_by_its_key() -> None:
    cluster = FakeCluster()
    args = ("run", "other", "--idempotency-key", "order-7")
    assert invoke(cluster, *args).output == f"{NAME}\n"
    assert cluster.created[0]["metadata"]["name"] == NAME
    refused = invoke(cluster, *args)
    assert (refused.exit_code, "already exists" in refused.stderr) == (1, True)
    again = invoke(cluster, *args, "--return-existing")
    assert (again.exit_code, again.output) == (0, f"{NAME}\n")
    assert len(cluster.created) == 1


def test_a_run_may_ask_for_a_version_and_for_a_workflow_of_any_name() -> None:
    cluster = FakeCluster()
    invoke(cluster, "run", "My Flow_2", "--workflow-version", "3")
    (body,) = cluster.created
    assert body["spec"]["workflowRef"] == {"name": "My Flow_2", "version": 3}
    assert body["metadata"]["generateName"] == "my-flow-2-"
