"""What reports, Jobs and refusals of the API server make of an attempt, in one reconcile of an execution."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from openworld.controller import names
from openworld.kube import Forbidden, Unavailable
from openworld.kube.errors import from_response
from openworld.kube.resources import (
    AGENTS,
    CONFIG_MAPS,
    EVENTS,
    EXECUTIONS,
    JOBS,
    PODS,
)
from tests.support.apiserver import Request
from tests.support.reconciling import REPORTING, Bench, away, once

# Reports


def test_a_report_that_no_watch_has_shown_is_found_before_anything_is_concluded() -> None:
    bench = Bench().workflow(run=REPORTING).execution().go()
    pod = bench.pod(bench.jobs[0], phase="Succeeded", exitCode=0, reason="Completed")
    bench.watch()
    bench.result(pod)
    bench.reconcile()
    assert bench.events[-2:] == ["TaskCompleted", "ExecutionCompleted"]


def test_a_worker_that_ends_without_its_report_has_failed_and_is_tried_again() -> None:
    bench = Bench().workflow(run=REPORTING).execution().go()
    bench.pod(bench.jobs[0], phase="Failed", exitCode=1, reason="Error")
    bench.go()
    assert bench.events[-2:] == ["TaskFailed", "RetryScheduled"]
    reason = bench.run["status"]["ledger"]["events"][-2]["reason"]
    assert reason == "the worker ended with exit code 1 and without a report"


def test_the_next_attempt_waits_until_the_pods_of_the_one_before_are_over() -> None:
    bench = Bench().workflow().execution().go()
    (job,) = bench.jobs
    going = bench.pod(job, exitCode=1, reason="Error")
    bench.go()
    assert bench.events[-1] == "RetryScheduled"
    assert len(bench.jobs) == 1
    bench.pod(job, phase="Failed", exitCode=1, reason="Error")
    bench.go()
    assert [j["metadata"]["labels"][names.ATTEMPT] for j in bench.jobs] == ["0", "1"]
    assert going["metadata"]["name"] == f"{job['metadata']['name']}-abcde"


def test_an_attempt_waits_for_all_before_it_and_not_for_the_last_alone() -> None:
    bench = (
        Bench()
        .workflow(retry={"count": 2, "delaySeconds": 0}, timeoutSeconds=60, pollTimeoutSeconds=60)
        .execution()
        .go()
    )
    (first,) = bench.jobs
    bench.pod(first)  # its node is lost: the pod runs on, whatever the record says
    bench.go()
    bench.now_ms += 60_000
    bench.go()
    assert bench.events[-2:] == ["TaskTimedOut", "RetryScheduled"]
    bench.now_ms += 60_000
    bench.go()
    assert bench.events[-2:] == ["TaskTimedOut", "RetryScheduled"]
    bench.go()
    assert [event for event in bench.events if event == "RetryScheduled"] == ["RetryScheduled"] * 2
    assert len(bench.api.made("POST", "/jobs")) == 1
    bench.pod(first, phase="Failed", exitCode=137, reason="Error")
    bench.go()
    assert len(bench.api.made("POST", "/jobs")) == 2


def test_an_attempt_that_waits_for_an_image_is_removed_once_it_is_given_up() -> None:
    bench = Bench().workflow().execution().go()
    (job,) = bench.jobs
    pod = bench.pod(job, phase="Pending")
    state = {"waiting": {"reason": "ErrImageNeverPull", "message": "not present"}}
    pod["status"]["containerStatuses"] = [{"name": "task", "state": state}]
    bench.api.put(PODS, "team", pod["metadata"]["name"], status=pod["status"])
    bench.go()
    failed = bench.run["status"]["ledger"]["events"][-2]
    why = "the image example/lookup:1 cannot be used: ErrImageNeverPull: not present"
    assert failed["reason"] == f"ImageUnavailable: {why}"
    bench.go()
    assert job["metadata"]["uid"] not in {j["metadata"]["uid"] for j in bench.jobs}


def test_a_start_that_comes_too_late_says_what_it_waited_for() -> None:
    bench = Bench().workflow(pollTimeoutSeconds=5).execution().go()
    pod = bench.pod(bench.jobs[0], phase="Pending")
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "not present"}}
    pod["status"] |= {"containerStatuses": [{"name": "task", "state": state}]}
    bench.api.put(PODS, "team", pod["metadata"]["name"], status=pod["status"])
    bench.go()
    assert bench.events[-1] == "TaskScheduled"
    bench.now_ms += 5_000
    bench.go()
    failed = bench.run["status"]["ledger"]["events"][-2]
    assert failed["reason"].startswith("ImageUnavailable: the image example/lookup:1 cannot be pulled")


def refuse(status: int, reason: str) -> Callable[[Request], None]:
    """A hook by which the API server refuses what it is asked."""

    def hook(request: Request) -> None:
        raise from_response(status, {"reason": reason, "message": "no such thing"}, request.path)

    return hook


@pytest.mark.parametrize(
    "name",
    ["../../other/agents/theirs", "other/theirs", "..", ".", "?limit=1", "x y", "X", "x#y", "%2e%2e/x"],
)
def test_a_name_from_data_never_becomes_a_path_and_stops_nothing(name: str) -> None:
    bench = Bench().workflow({"ref": "ask", "type": "AGENT", "input": {"agent": "${workflow.input.agent}"}})
    bench.api.put(AGENTS, "other", "theirs", spec={"model": {}})
    spec = {"workflowRef": {"name": "main"}, "requestedBy": "alice@example.com", "input": {"agent": name}}
    bench.api.put(EXECUTIONS, "team", "run-1", spec=spec)
    bench.go()
    assert bench.run["status"]["phase"] == "Failed"
    assert f"Agent {name!r} does not exist in the namespace team" in bench.run["status"]["reason"]
    assert not [asked.path for asked in bench.api.requests if "/agents/" in asked.path]


def test_a_job_that_the_api_server_refuses_ends_its_attempt_and_nothing_else() -> None:
    fork = [[{"ref": "one", "type": "lookup", "permissive": True}], [{"ref": "two", "type": "lookup"}]]
    bench = Bench().workflow({"ref": "f", "type": "FORK_JOIN", "forkTasks": fork}).execution().watch()
    bench.api.hooks.append(once("POST", "/jobs", refuse(422, "Invalid")))
    bench.reconcile()
    assert [job["metadata"]["annotations"][names.REF] for job in bench.jobs] == ["two"]
    assert len(bench.reconciler.queue) == 1
    bench.go()
    failed = next(e for e in bench.run["status"]["ledger"]["events"] if e["type"] == "TaskFailed")
    assert (failed["ref"], failed["status"]) == ("one", "FailedWithTerminalError")
    assert failed["reason"].startswith("Refused: ")
    assert failed["reason"].endswith("no such thing")
    assert len(bench.api.made("POST", "/jobs")) == 1


def test_a_right_that_is_missing_may_be_granted_until_the_grace_is_over() -> None:
    bench = Bench().workflow().execution().watch()

    def forbid(request: Request) -> None:
        if request.method == "POST" and request.path.endswith("/jobs"):
            refuse(403, "Forbidden")(request)

    bench.api.hooks.append(forbid)
    bench.reconcile()
    assert bench.events[-1] == "TaskScheduled"
    assert bench.wakes_in == pytest.approx(2)
    bench.now_ms += 60_000
    bench.go().go()
    assert bench.run["status"]["reason"].startswith("task look failed: Refused: ")
    granted = Bench().workflow().execution().watch()
    granted.api.hooks.append(once("POST", "/jobs", refuse(403, "Forbidden")))
    granted.reconcile()
    granted.now_ms += 2_000
    granted.go()
    assert len(granted.jobs) == 1


def test_credentials_that_are_refused_are_no_attempts_fault() -> None:
    bench = Bench().workflow().execution().watch()
    bench.api.hooks.append(once("POST", "/jobs", refuse(401, "Unauthorized")))
    with pytest.raises(Forbidden):
        bench.reconcile()
    bench.now_ms += 600_000
    bench.go()
    assert len(bench.jobs) == 1


def test_a_child_that_the_api_server_refuses_fails_its_task() -> None:
    bench = Bench()
    bench.workflow({"ref": "deep", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "main"}})
    bench.execution().watch()
    bench.api.hooks.append(once("POST", "/executions", refuse(422, "Invalid")))
    bench.reconcile().reconcile()
    assert bench.run["status"]["reason"].startswith("task deep failed: Refused: ")


@pytest.mark.parametrize("theirs", [True, False])
def test_an_input_under_the_name_of_a_large_input_must_be_that_input(theirs: bool) -> None:
    half = "${workflow.input.half}"
    bench = Bench().workflow({"ref": "look", "type": "lookup", "input": {"x": half, "y": half}})
    spec = {
        "workflowRef": {"name": "main"},
        "requestedBy": "alice@example.com",
        "input": {"half": "y" * 70_000},
    }
    bench.api.put(EXECUTIONS, "team", "run-1", spec=spec)
    bench.api.hooks.append(once("POST", "/jobs", away))
    with pytest.raises(Unavailable):
        bench.go()
    name = names.job_name(bench.uid, 1)
    if theirs:
        bench.api.put(CONFIG_MAPS, "team", name, data={"task.json": '{"input": {"x": "another"}}'})
    bench.now_ms += 5_000
    bench.restart()
    bench.go().go()
    assert len(bench.jobs) == (0 if theirs else 1)
    assert ("NameTaken: a ConfigMap" in bench.run["status"].get("reason", "")) is theirs


def test_a_forged_report_changes_nothing_and_is_told_to_people() -> None:
    bench = Bench().workflow(run=REPORTING).execution().go()
    pod = bench.pod(bench.jobs[0])
    bench.result(pod, podUID="another")
    bench.go().go()
    assert "TaskCompleted" not in bench.events
    told = [event for event in bench.api.all(EVENTS, "team") if event["reason"] == "ReportRefused"]
    assert len(told) == 1
    assert "podUID is 'another'" in told[0]["message"]


def test_a_job_that_somebody_deleted_is_a_failed_attempt_and_is_not_made_again() -> None:
    bench = Bench().workflow().execution().go()
    (job,) = bench.jobs
    bench.go()
    bench.api.take(JOBS, "team", job["metadata"]["name"])
    bench.go()
    lost = bench.run["status"]["ledger"]["events"][2]
    assert (lost["type"], lost["reason"]) == (
        "TaskFailed",
        f"the Job {job['metadata']['name']} was deleted while the attempt ran",
    )
    assert job["metadata"]["name"] not in {j["metadata"]["name"] for j in bench.jobs}


def test_a_job_deleted_together_with_its_running_pod_is_a_failed_attempt() -> None:
    bench = Bench().workflow().execution().go()
    (job,) = bench.jobs
    pod = bench.pod(job)
    bench.go()
    bench.api.take(JOBS, "team", job["metadata"]["name"])
    bench.go()
    assert bench.events[-1] == "TaskStarted"
    bench.api.take(PODS, "team", pod["metadata"]["name"])
    bench.go()
    assert bench.events[-2:] == ["TaskFailed", "RetryScheduled"]


def test_a_job_that_vanished_while_the_operator_was_away_is_not_made_again() -> None:
    bench = Bench().workflow().execution().go()
    (job,) = bench.jobs
    pod = bench.pod(job)
    bench.go()
    bench.api.take(JOBS, "team", job["metadata"]["name"])
    bench.api.take(PODS, "team", pod["metadata"]["name"])
    bench.restart()
    bench.go()
    assert bench.events[-2:] == ["TaskFailed", "RetryScheduled"]
