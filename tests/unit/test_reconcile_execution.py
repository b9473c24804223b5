"""One reconcile of an execution against an API server in memory: order of writes, crashes, races."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from openworld.controller import names
from openworld.controller.settings import Fencing
from openworld.controller.world import set_right
from openworld.engine.needs import NeedScript, ScriptAnswer
from openworld.kube import TooLarge, Unavailable
from openworld.kube.resources import (
    EVENTS,
    EXECUTIONS,
    JOBS,
    TASK_RESULTS,
)
from openworld.ledger import epoch_ms
from tests.support.apiserver import BORN, Request
from tests.support.reconciling import KEY, REPORTING, Bench, away, once

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
