"""One reconcile of an execution against an API server in memory: order of writes, crashes, races."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast
from unittest.mock import patch

import pytest

from openworld.controller import names
from openworld.controller.queue import WorkQueue
from openworld.controller.reconcile import Reconciler
from openworld.controller.scripts import ScriptRunner
from openworld.controller.settings import Fencing, Settings
from openworld.controller.stores import ObjectKey
from openworld.controller.world import World, set_right, unfinished
from openworld.engine.needs import NeedScript, ScriptAnswer
from openworld.kube import Forbidden, TooLarge, Unavailable
from openworld.kube.errors import from_response
from openworld.kube.resources import (
    AGENTS,
    CONFIG_MAPS,
    EVENTS,
    EXECUTIONS,
    JOBS,
    PODS,
    SIGNALS,
    TASK_RESULTS,
    TOOL_CATALOGS,
    WORKFLOWS,
)
from openworld.ledger import epoch_ms
from tests.support.apiserver import BORN, ApiServerDouble, Request
from tests.unit.test_queue_workqueue import FakeClock

KEY = ObjectKey("team", "run-1")
REPORTING = {"container": {"image": "example/lookup:1"}, "report": "TaskResult"}


class Guard:
    """The admission guard, as the test wants it."""

    is_closed = True
    since_ms = 0


class Bench:
    """An operator and an API server in memory. Time moves only when the test says so."""

    def __init__(self, *, fencing: Fencing = Fencing.FAST) -> None:
        self.api = ApiServerDouble()
        self.settings = Settings(agent_image="example/agent:1", fencing=fencing, job_retention_seconds=900)
        self.now_ms = epoch_ms(BORN) + 1000
        self.monotonic = 50.0
        self.guard = Guard()
        self.restart()

    def restart(self) -> None:
        """A new process: every cache is empty."""
        self.world = World()
        self.clock = FakeClock()
        self.reconciler = Reconciler(
            self.api,
            self.world,
            self.settings,
            ScriptRunner(),
            cast("Any", self.guard),
            now_ms=lambda: self.now_ms,
            monotonic=lambda: self.monotonic,
        )
        self.reconciler.queue = WorkQueue(self.reconciler.reconcile, concurrency=1, clock=self.clock)

    def workflow(self, *tasks: dict[str, Any], **tool: Any) -> Bench:
        """A Workflow `main` whose catalog has the tool `lookup`."""
        entry = {
            "name": "lookup",
            "inputSchema": {"type": "object"},
            "effect": "Read",
            "run": {"container": {"image": "example/lookup:1"}},
            "retry": {"count": 1, "delaySeconds": 0},
        }
        self.api.put(TOOL_CATALOGS, "team", "tools", spec={"tools": [entry | tool]})
        given = list(tasks) or [{"ref": "look", "type": "lookup", "input": {"service": "checkout"}}]
        self.api.put(WORKFLOWS, "team", "main", spec={"catalogs": ["tools"], "tasks": given})
        return self

    def execution(self, name: str = "run-1", workflow: str = "main") -> Bench:
        """An Execution of `main`."""
        spec = {"workflowRef": {"name": workflow}, "requestedBy": "alice@example.com"}
        self.api.put(EXECUTIONS, "team", name, spec=spec)
        return self

    def watch(self) -> Bench:
        """Let the watches catch up."""
        asyncio.run(set_right(self.api, self.world, ()))
        return self

    def reconcile(self, key: ObjectKey = KEY) -> Bench:
        """One reconcile with what the watches have shown so far."""
        asyncio.run(self.reconciler.reconcile(key))
        return self

    def go(self) -> Bench:
        """Watches catch up, then one reconcile."""
        return self.watch().reconcile()

    @property
    def run(self) -> dict[str, Any]:
        return self.api.objects[EXECUTIONS.path("team", "run-1")]

    @property
    def uid(self) -> str:
        return str(self.run["metadata"]["uid"])

    @property
    def events(self) -> list[str]:
        return [event["type"] for event in self.run["status"]["ledger"]["events"]]

    @property
    def jobs(self) -> list[dict[str, Any]]:
        return self.api.all(JOBS, "team")

    def pod(self, job: dict[str, Any], *, phase: str = "Running", **terminated: Any) -> dict[str, Any]:
        """The pod of a Job, as the kubelet would show it."""
        state = {"terminated": terminated} if terminated else {"running": {}}
        name = f"{job['metadata']['name']}-abcde"
        return self.api.put(
            PODS,
            "team",
            name,
            metadata={
                "labels": {**job["metadata"]["labels"], names.JOB_UID: job["metadata"]["uid"]},
                "annotations": {names.EXECUTION: "run-1"},
                "ownerReferences": [{"kind": "Job", "uid": job["metadata"]["uid"], "controller": True}],
            },
            spec={"containers": [{"name": "task", "image": "example/lookup:1"}]},
            status={
                "phase": phase,
                "startTime": BORN,
                "containerStatuses": [{"name": "task", "state": state}],
            },
        )

    def finish(self, job: dict[str, Any], kind: str = "Complete") -> None:
        """The Job controller says that a Job is over."""
        conditions = [{"type": kind, "status": "True"}]
        self.api.put(JOBS, "team", job["metadata"]["name"], status={"conditions": conditions})

    def result(self, pod: dict[str, Any], **spec: Any) -> None:
        """The pod's own report."""
        given = {
            "execution": "run-1",
            "ref": "look",
            "attempt": 0,
            "podUID": pod["metadata"]["uid"],
            "status": "Completed",
            "output": {"p99": 2},
        }
        self.api.put(TASK_RESULTS, "team", pod["metadata"]["name"], spec=given | spec)

    def signal(self, kind: str, *, uid: str | None = None, **spec: Any) -> None:
        """A Signal of a person."""
        given = {"execution": "run-1", "executionUID": uid or self.uid, "type": kind, "by": "bob@example.com"}
        self.api.put(SIGNALS, "team", "signal-1", spec=given | spec)

    @property
    def answer(self) -> tuple[str, str]:
        """What became of the Signal."""
        condition = self.api.objects[SIGNALS.path("team", "signal-1")]["status"]["conditions"][0]
        return condition["status"], condition["message"]

    @property
    def wakes_in(self) -> float:
        """Seconds until the next wake-up."""
        return self.clock.pending[0] - self.clock.now


def once(method: str, fragment: str, act: Callable[[Request], None]) -> Callable[[Request], None]:
    """A hook that acts on the first request of a kind."""
    state = {"armed": True}

    def hook(request: Request) -> None:
        if state["armed"] and request.method == method and fragment in request.path:
            state["armed"] = False
            act(request)

    return hook


def away(_: Request) -> None:
    raise Unavailable("the API server did not answer")


# Write-ahead


def test_a_job_is_created_only_after_the_event_that_justifies_it_is_recorded() -> None:
    bench = Bench().workflow().execution().go()
    assert bench.events == ["ExecutionStarted", "TaskScheduled"]
    writes = [r.path.rsplit("/", 1)[-1] for r in bench.api.requests if r.method in ("PUT", "POST")]
    assert writes == ["subjectaccessreviews", "status", "jobs", "events"]
    (job,) = bench.jobs
    assert job["metadata"]["name"] == names.job_name(bench.uid, 1)
    assert job["spec"]["suspend"] is False


def test_a_container_without_sdk_runs_from_start_to_end_in_one_job() -> None:
    bench = Bench().workflow().execution().go()
    (job,) = bench.jobs
    bench.pod(job)
    bench.go()
    assert bench.events[-1] == "TaskStarted"
    bench.pod(job, phase="Succeeded", exitCode=0, message='{"p99": 2}', reason="Completed")
    bench.go()
    assert bench.events == [
        "ExecutionStarted",
        "TaskScheduled",
        "TaskStarted",
        "TaskCompleted",
        "ExecutionCompleted",
    ]
    assert (bench.run["status"]["phase"], bench.run["status"]["output"]) == ("Completed", {"p99": 2})
    assert len(bench.api.made("POST", "/jobs")) == 1


def test_reconciling_again_changes_nothing() -> None:
    bench = Bench().workflow().execution().go()
    before = len(bench.api.requests)
    bench.go().go()
    assert [r.method for r in bench.api.requests[before:] if r.method != "GET"] == []


def test_the_ledger_is_read_once_and_then_carried_along() -> None:
    bench = Bench().workflow().execution().go()
    bench.pod(bench.jobs[0])
    bench.go()
    assert len(bench.api.made("GET", "/executions/run-1")) == 1


# Crashes and races


def test_a_crash_between_record_and_act_is_repaired_through_the_fence() -> None:
    bench = Bench().workflow().execution().watch()
    bench.api.hooks.append(once("POST", "/jobs", away))
    with pytest.raises(Unavailable):
        bench.reconcile()
    assert bench.jobs == []
    bench.restart()
    bench.go()
    created = bench.api.made("POST", "/jobs")[-1].body
    assert created is not None
    assert created["spec"]["suspend"] is True
    assert [job["spec"]["suspend"] for job in bench.jobs] == [False]
    assert bench.events == ["ExecutionStarted", "TaskScheduled"]


def test_a_slow_moment_after_the_write_takes_the_fence_too() -> None:
    bench = Bench().workflow().execution().watch()

    def stall(_: Request) -> None:
        bench.monotonic += 1.0

    bench.api.hooks.append(once("PUT", "/status", stall))
    bench.reconcile()
    created = bench.api.made("POST", "/jobs")[0].body
    assert created is not None
    assert created["spec"]["suspend"] is True


def test_strict_fencing_never_creates_a_job_that_runs_at_once() -> None:
    bench = Bench(fencing=Fencing.STRICT).workflow().execution().go()
    created = bench.api.made("POST", "/jobs")[0].body
    assert created is not None
    assert created["spec"]["suspend"] is True
    assert [job["spec"]["suspend"] for job in bench.jobs] == [False]


def test_a_write_that_somebody_overtook_has_no_effect_and_is_started_over() -> None:
    bench = Bench().workflow().execution().watch()

    def overtake(_: Request) -> None:
        bench.api.put(EXECUTIONS, "team", "run-1", metadata={"labels": {"touched": "true"}})

    bench.api.hooks.append(once("PUT", "/status", overtake))
    bench.reconcile()
    assert bench.jobs == []
    assert "status" not in bench.run
    assert len(bench.reconciler.queue) == 1
    bench.reconcile()
    assert bench.events == ["ExecutionStarted", "TaskScheduled"]
    assert len(bench.jobs) == 1


def test_a_stalled_writer_does_not_run_again_an_attempt_that_is_over() -> None:
    """The one hole: it stalls after its write; meanwhile the attempt ran, ended and its Job was removed."""
    stalled = Bench().workflow().execution().watch()
    other = Bench()
    other.api = stalled.api

    async def meanwhile() -> None:
        stalled.monotonic += 3600
        other.restart()
        await set_right(other.api, other.world, ())
        await other.reconciler.reconcile(KEY)
        (job,) = other.jobs
        other.pod(job, phase="Succeeded", exitCode=0, message="{}", reason="Completed")
        await set_right(other.api, other.world, ())
        await other.reconciler.reconcile(KEY)
        other.api.take(JOBS, "team", job["metadata"]["name"])

    record = stalled.reconciler._recorder.record

    async def record_and_stall(*given: Any) -> Any:
        written = await record(*given)
        await meanwhile()
        return written

    stalled.reconciler._recorder.record = record_and_stall  # type: ignore[assignment,method-assign]
    stalled.reconcile()
    assert stalled.events[-1] == "ExecutionCompleted"
    assert [job["spec"]["suspend"] for job in stalled.jobs] == [True]
    stalled.go()
    assert stalled.jobs == []


def test_a_job_of_somebody_else_under_the_name_fails_the_task_as_name_taken() -> None:
    bench = Bench().workflow().execution().watch()
    name = names.job_name(bench.uid, 1)
    bench.api.put(JOBS, "team", name, spec={}, metadata={"labels": {"theirs": "true"}})
    bench.reconcile()
    bench.reconcile()
    failed = bench.run["status"]["ledger"]["events"][-2]
    assert (failed["type"], failed["status"]) == ("TaskFailed", "FailedWithTerminalError")
    assert failed["reason"].startswith(f"NameTaken: a Job {name} exists that is not this attempt's")
    assert bench.run["status"]["phase"] == "Failed"
    assert bench.jobs[0]["metadata"]["labels"] == {"theirs": "true"}


def test_a_job_of_ours_that_the_cache_has_not_seen_is_adopted() -> None:
    bench = Bench().workflow().execution().go()
    bench.restart()
    bench.world.executions.put(bench.run)
    bench.reconcile()
    assert len(bench.jobs) == 1
    assert bench.events == ["ExecutionStarted", "TaskScheduled"]


def test_a_record_that_the_api_server_does_not_take_ends_the_execution() -> None:
    bench = Bench().workflow().execution().go()
    bench.signal("Pause")
    bench.watch()

    def too_large(_: Request) -> None:
        raise TooLarge("etcdserver: request is too large", status=500)

    bench.api.hooks.append(once("PUT", "/status", too_large))
    bench.reconcile()
    assert bench.run["status"]["phase"] == "Failed"
    assert bench.run["status"]["reason"] == "LedgerFull: etcdserver: request is too large"
    assert bench.events == ["ExecutionStarted", "TaskScheduled", "TaskCanceled", "ExecutionFailed"]


def test_an_input_that_cannot_be_recorded_is_refused_by_its_path() -> None:
    bench = Bench().workflow().execution()
    bench.run["spec"]["input"] = {"n": 2**60}
    bench.go()
    assert bench.run["status"]["phase"] == "Failed"
    assert bench.run["status"]["reason"].startswith("spec.input.n: is a number beyond")


def test_a_suspended_job_of_ours_is_resumed_after_a_restart() -> None:
    bench = Bench(fencing=Fencing.STRICT).workflow().execution().watch()
    bench.api.hooks.append(once("PATCH", "/jobs", away))
    with pytest.raises(Unavailable):
        bench.reconcile()
    assert [job["spec"]["suspend"] for job in bench.jobs] == [True]
    bench.restart()
    bench.go()
    assert [job["spec"]["suspend"] for job in bench.jobs] == [False]
    assert len(bench.api.made("POST", "/jobs")) == 1


def test_a_suspended_job_is_not_resumed_when_the_record_has_moved_on() -> None:
    bench = Bench(fencing=Fencing.STRICT).workflow().execution().watch()

    def overtake(_: Request) -> None:
        bench.api.put(EXECUTIONS, "team", "run-1", metadata={"labels": {"touched": "true"}})

    bench.api.hooks.append(once("POST", "/jobs", overtake))
    bench.reconcile()
    assert [job["spec"]["suspend"] for job in bench.jobs] == [True]
    assert len(bench.reconciler.queue) == 1


def test_a_suspended_job_of_a_terminated_execution_is_deleted_and_never_runs() -> None:
    bench = Bench(fencing=Fencing.STRICT).workflow().execution().watch()
    bench.api.hooks.append(once("PATCH", "/jobs", away))
    with pytest.raises(Unavailable):
        bench.reconcile()
    bench.signal("Terminate")
    bench.restart()
    bench.go()
    assert bench.run["status"]["phase"] == "Terminated"
    assert bench.jobs == []


def test_the_same_report_is_recorded_once_whoever_reconciles() -> None:
    bench = Bench().workflow(run=REPORTING).execution().go()
    pod = bench.pod(bench.jobs[0])
    bench.result(pod)
    bench.go()
    bench.restart()
    bench.go()
    assert bench.events.count("TaskCompleted") == 1


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


# Signals


def test_a_signal_is_consumed_and_its_sender_told() -> None:
    bench = Bench().workflow().execution().go()
    bench.signal("Terminate", payload={"reason": "wrong service"})
    bench.go()
    assert bench.run["status"]["phase"] == "Terminated"
    assert bench.answer == ("True", "recorded as ExecutionTerminated, event 3")
    assert bench.jobs == []


def test_a_signal_that_does_not_apply_is_refused_with_the_reason() -> None:
    bench = Bench().workflow().execution().go()
    bench.signal("Resume")
    bench.go()
    assert bench.answer == ("False", "the execution is not paused")


def test_a_signal_of_an_execution_of_old_is_refused() -> None:
    bench = Bench().workflow().execution().go()
    bench.signal("Terminate", uid="old")
    bench.go()
    assert bench.answer[0] == "False"
    assert bench.run["status"]["phase"] == "Running"


def test_a_signal_to_an_execution_that_has_ended_is_refused() -> None:
    bench = Bench().execution(workflow="absent")
    bench.now_ms += 60_000
    bench.go()
    assert bench.run["status"]["phase"] == "Failed"
    bench.signal("Pause")
    bench.go()
    assert bench.answer == ("False", "the execution has ended as Failed")


def test_the_answer_to_a_signal_survives_a_crash_after_the_record() -> None:
    bench = Bench().workflow().execution().go()
    bench.signal("Pause")
    bench.watch()
    bench.api.hooks.append(once("PATCH", "/signals", away))
    with pytest.raises(Unavailable):
        bench.reconcile()
    bench.restart()
    bench.go()
    assert bench.answer == ("True", "recorded as ExecutionPaused, event 2")
    assert bench.events.count("ExecutionPaused") == 1


# The rest of the cluster


def test_nothing_is_judged_while_an_admission_policy_is_missing() -> None:
    bench = Bench().workflow().execution().watch()
    bench.guard.is_closed = False
    before = len(bench.api.requests)
    bench.reconcile()
    assert len(bench.api.requests) == before
    assert bench.wakes_in == 5.0


def test_a_finished_job_goes_only_after_its_quarantine() -> None:
    bench = Bench().workflow().execution().go()
    (job,) = bench.jobs
    bench.pod(job, phase="Succeeded", exitCode=0, message="{}", reason="Completed")
    bench.finish(job)
    bench.go()
    assert bench.run["status"]["phase"] == "Completed"
    bench.now_ms += 899_999
    bench.go()
    assert len(bench.jobs) == 1
    bench.now_ms += 1
    bench.go()
    assert bench.jobs == []


def test_a_ledger_that_was_tampered_with_is_reported_and_not_worked_on() -> None:
    bench = Bench().workflow().execution().go()
    bench.run["status"]["ledger"]["events"][1]["input"] = {"service": "forged"}
    bench.api.put(EXECUTIONS, "team", "run-1", status=bench.run["status"])
    bench.pod(bench.jobs[0], phase="Succeeded", exitCode=0, message="{}", reason="Completed")
    bench.restart()
    bench.go()
    condition = bench.run["status"]["conditions"][-1]
    assert (condition["type"], condition["status"]) == ("LedgerCorrupt", "True")
    assert condition["message"] == "ledger event 1: its content does not have the hash that it states"
    assert bench.events == ["ExecutionStarted", "TaskScheduled"]
    version = bench.run["metadata"]["resourceVersion"]
    bench.go()
    assert bench.run["metadata"]["resourceVersion"] == version


def test_a_spec_that_cannot_be_read_fails_with_its_path() -> None:
    bench = Bench()
    bench.api.put(
        EXECUTIONS,
        "team",
        "run-1",
        spec={"workflow": {"tasks": [{"ref": "a", "typ": "HUMAN"}]}, "requestedBy": "alice@example.com"},
    )
    bench.go()
    assert bench.run["status"]["phase"] == "Failed"
    assert bench.run["status"]["reason"].startswith("spec.workflow.tasks[0].typ: unknown field 'typ'")


def test_a_deleted_execution_is_forgotten() -> None:
    bench = Bench().workflow().execution().go()
    bench.api.take(EXECUTIONS, "team", "run-1")
    bench.go()
    assert bench.clock.pending == []


def test_milestones_are_told_once_as_kubernetes_events() -> None:
    bench = Bench().workflow().execution().go()
    bench.pod(bench.jobs[0], phase="Succeeded", exitCode=0, message="{}", reason="Completed")
    bench.go()
    told = [(event["reason"], event["type"], event["message"]) for event in bench.api.all(EVENTS, "team")]
    assert told == [
        ("ExecutionStarted", "Normal", "Started main version 1"),
        ("ExecutionCompleted", "Normal", "Completed"),
    ]


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


def test_a_worker_that_has_reported_and_does_not_end_is_ended() -> None:
    bench = Bench().workflow(run=REPORTING).execution().go()
    (job,) = bench.jobs
    pod = bench.pod(job)
    bench.result(pod, status="Failed", reason="try again", output=None)
    bench.go()
    assert bench.events[-1] == "RetryScheduled"
    assert [each["metadata"]["uid"] for each in bench.jobs] == [job["metadata"]["uid"]]
    bench.now_ms += 30_000
    bench.go()
    assert bench.jobs == []


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


def test_what_was_deleted_with_its_execution_is_not_kept() -> None:
    bench = Bench().workflow().execution().go()
    (job,) = bench.jobs
    bench.api.take(EXECUTIONS, "team", "run-1")
    bench.go()
    bench.api.take(JOBS, "team", job["metadata"]["name"])
    bench.go()
    assert bench.world.jobs.gone() == []


def test_one_request_that_fails_holds_up_nothing_else() -> None:
    fork = [
        [{"ref": "one", "type": "lookup"}],
        [{"ref": "two", "type": "lookup"}],
        [{"ref": "h", "type": "HUMAN"}],
    ]
    bench = Bench().workflow({"ref": "f", "type": "FORK_JOIN", "forkTasks": fork}).execution().watch()
    bench.signal("Complete", ref="h")
    bench.watch()
    bench.api.hooks.append(once("POST", "/jobs", away))
    with pytest.raises(Unavailable):
        bench.reconcile()
    assert len(bench.jobs) == 1
    bench.reconcile()
    assert len(bench.jobs) == 2
    assert bench.answer[0] == "False", "the HUMAN was not there yet; its sender was told"


def test_every_forged_report_is_told_of_once() -> None:
    bench = Bench().workflow(run=REPORTING).execution().go()
    pod = bench.pod(bench.jobs[0])
    for number in range(3):
        bench.api.put(
            TASK_RESULTS,
            "team",
            f"{pod['metadata']['name']}.x{number}",
            spec={"execution": "run-1", "ref": "look", "attempt": 0, "podUID": "no", "status": "Completed"},
        )
    bench.go().go()
    told = [event for event in bench.api.all(EVENTS, "team") if event["reason"] == "ReportRefused"]
    assert len(told) == 3


def test_scripts_without_end_do_not_hold_up_what_is_recorded() -> None:
    tasks = [
        {"ref": f"n{n}", "type": "INLINE", "input": {"evaluatorType": "jq", "expression": f"{n}"}}
        for n in range(9)
    ]
    bench = Bench().workflow(*tasks).execution().watch()
    answer = bench.reconciler._answers.answer

    async def slow(namespace: str, needs: Any) -> Any:
        scripts = {need: ScriptAnswer(1) for need in needs if isinstance(need, NeedScript)}
        bench.monotonic += 0.6 * len(scripts)
        return await answer(namespace, set(needs) - scripts.keys()) | scripts

    with patch.object(bench.reconciler._answers, "answer", slow):
        bench.reconcile()
        first = bench.events.count("TaskCompleted")
        assert 0 < first < 9
        assert bench.wakes_in < 0.1
        for _ in range(9):
            bench.reconcile()
    assert bench.run["status"]["phase"] == "Completed"
    assert bench.events.count("TaskCompleted") == 9


def test_what_was_created_while_nobody_vouched_for_it_is_refused() -> None:
    bench = Bench().workflow({"ref": "h", "type": "HUMAN"}).execution().go()
    bench.guard.since_ms = epoch_ms(BORN) + 1000
    bench.signal("Complete", ref="h")
    bench.go()
    assert bench.events[-1] != "TaskCompleted"
    assert bench.answer == (
        "False",
        "it was created before the admission policies stood, so nobody has vouched for who sent it",
    )
    late = Bench().workflow().execution()
    late.guard.since_ms = epoch_ms(BORN) + 1000
    late.go()
    assert late.run["status"]["phase"] == "Failed"
    assert late.jobs == []


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


def test_a_worker_that_wants_to_be_called_again_gets_another_job_of_its_attempt() -> None:
    bench = Bench().workflow(run=REPORTING).execution().go()
    (first,) = bench.jobs
    pod = bench.pod(first)
    bench.result(pod, status="InProgress", output={"cursor": 7}, callbackAfterSeconds=20)
    bench.go()
    assert bench.events[-1] == "TaskProgressed"
    bench.pod(first, phase="Succeeded", exitCode=0, reason="Completed")
    bench.finish(first)
    bench.go()
    assert len(bench.jobs) == 1
    bench.now_ms += 20_000
    bench.go()
    assert [job["metadata"]["labels"][names.ATTEMPT] for job in bench.jobs] == ["0", "0"]
