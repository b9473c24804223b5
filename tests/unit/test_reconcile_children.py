"""Executions that an execution starts: children, their retries, and failure workflows."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from openworld.controller import names
from openworld.controller.stores import ObjectKey
from openworld.controller.world import unfinished
from openworld.kube import Unavailable
from openworld.kube.resources import (
    EXECUTIONS,
    SIGNALS,
    TOOL_CATALOGS,
    WORKFLOWS,
)
from tests.support.reconciling import KEY, Bench, away, once


def test_a_sub_workflow_is_a_child_execution_that_ends_with_its_parent() -> None:
    bench = Bench()
    bench.workflow({"ref": "deep", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "main"}})
    bench.execution().go()
    name = names.child_name("run-1", bench.uid, 1)
    child = bench.api.objects[EXECUTIONS.path("team", name)]
    assert child["spec"]["requestedBy"] == "alice@example.com"
    assert child["spec"]["parent"]["uid"] == bench.uid
    bench.signal("Terminate")
    bench.go()
    bench.reconcile(ObjectKey("team", name))
    assert child["metadata"]["uid"] == bench.api.objects[EXECUTIONS.path("team", name)]["metadata"]["uid"]
    assert bench.api.objects[EXECUTIONS.path("team", name)]["status"]["phase"] == "Terminated"


def test_a_new_child_is_woken_since_its_watch_event_will_be_no_news() -> None:
    bench = Bench()
    bench.workflow({"ref": "deep", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "main"}})
    with patch.object(bench.reconciler.queue, "add") as add:
        bench.execution().go()
    child = ObjectKey("team", names.child_name("run-1", bench.uid, 1))
    assert child in [call.args[0] for call in add.call_args_list]


def test_a_child_that_completed_completes_its_task() -> None:
    bench = Bench()
    bench.workflow({"ref": "deep", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "main"}})
    bench.execution().go()
    name = names.child_name("run-1", bench.uid, 1)
    bench.api.put(EXECUTIONS, "team", name, status={"phase": "Completed", "output": {"cause": "x"}})
    bench.go()
    assert (bench.run["status"]["phase"], bench.run["status"]["output"]) == ("Completed", {"cause": "x"})


def run_of(bench: Bench, name: str) -> dict[str, Any]:
    """An Execution as it stands."""
    return bench.api.objects[EXECUTIONS.path("team", name)]


def test_a_child_s_name_that_somebody_took_fails_the_task() -> None:
    bench = Bench()
    bench.workflow({"ref": "deep", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "main"}})
    bench.execution().watch()
    owner = {"kind": "Execution", "name": "run-1", "uid": bench.uid, "controller": True}
    bench.api.put(
        EXECUTIONS,
        "team",
        names.child_name("run-1", bench.uid, 1),
        metadata={"ownerReferences": [owner]},
        spec={"workflowRef": {"name": "main"}, "requestedBy": "mallory@example.com"},
    )
    bench.reconcile().reconcile()
    assert bench.run["status"]["reason"].startswith("task deep failed: NameTaken: an execution ")


def test_a_failure_workflow_is_started_once_whatever_happens_in_between() -> None:
    bench = Bench().workflow(retry={"count": 0})
    spec = bench.api.objects[WORKFLOWS.path("team", "main")]["spec"]
    bench.api.put(WORKFLOWS, "team", "main", spec={**spec, "failureWorkflow": "cleanup"})
    bench.api.put(WORKFLOWS, "team", "cleanup", spec={"tasks": [{"ref": "h", "type": "HUMAN"}]})
    bench.execution().go()
    bench.pod(bench.jobs[0], phase="Failed", exitCode=1, reason="Error")
    bench.watch()
    bench.api.hooks.append(once("POST", "/executions", away))
    with pytest.raises(Unavailable):
        bench.reconcile()
    assert bench.run["status"]["failureWorkflow"] == {"name": "cleanup", "execution": ""}
    bench.restart()
    bench.watch()
    assert KEY in unfinished(bench.world)
    bench.reconcile().reconcile().reconcile()
    (started,) = [body for body in bench.api.all(EXECUTIONS, "team") if body["metadata"]["name"] != "run-1"]
    assert bench.run["status"]["failureWorkflow"]["execution"] == started["metadata"]["name"]
    assert "ownerReferences" not in started["metadata"]
    assert started["spec"]["input"]["failureStatus"] == "FAILED"
    assert len(bench.api.made("POST", "/executions")) == 1


def nested(bench: Bench) -> str:
    """A parent whose child has failed, and the child's name."""
    bench.api.put(TOOL_CATALOGS, "team", "tools", spec={"tools": []})
    bench.api.put(WORKFLOWS, "team", "child", spec={"tasks": [{"ref": "h", "type": "HUMAN"}]})
    sub = {"ref": "deep", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "child"}}
    bench.api.put(WORKFLOWS, "team", "main", spec={"tasks": [sub]})
    bench.execution().go()
    name = names.child_name("run-1", bench.uid, 1)
    bench.reconcile(ObjectKey("team", name))
    uid = run_of(bench, name)["metadata"]["uid"]
    bench.api.put(
        SIGNALS,
        "team",
        "fail-1",
        spec={"execution": name, "executionUID": uid, "type": "Fail", "by": "b@example.com", "ref": "h"},
    )
    bench.watch().reconcile(ObjectKey("team", name)).watch().reconcile()
    assert (run_of(bench, name)["status"]["phase"], bench.run["status"]["phase"]) == ("Failed", "Failed")
    return name


def test_retrying_a_parent_may_go_on_with_its_child() -> None:
    bench = Bench()
    name = nested(bench)
    bench.now_ms += 1000
    bench.signal("Retry", payload={"resumeSubworkflowTasks": True})
    bench.watch().reconcile().reconcile(ObjectKey("team", name)).watch().reconcile()
    assert (run_of(bench, name)["status"]["phase"], bench.run["status"]["phase"]) == ("Running", "Running")
    assert len(bench.api.made("POST", "/executions")) == 1


def test_retrying_a_child_revives_its_parent() -> None:
    bench = Bench()
    name = nested(bench)
    bench.now_ms += 1000
    uid = run_of(bench, name)["metadata"]["uid"]
    bench.api.put(
        SIGNALS,
        "team",
        "retry-1",
        spec={"execution": name, "executionUID": uid, "type": "Retry", "by": "b@example.com"},
    )
    bench.watch().reconcile(ObjectKey("team", name)).watch().reconcile()
    assert (run_of(bench, name)["status"]["phase"], bench.run["status"]["phase"]) == ("Running", "Running")
    assert bench.events[-1] == "ExecutionRetried"
