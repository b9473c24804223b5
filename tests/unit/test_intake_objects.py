"""What reports, pods, Jobs, signals and children say: facts, and sentences for people."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.api import Phase, ReportStatus, SignalType
from openworld.controller import names
from openworld.controller.intake import (
    Reading,
    Refusal,
    is_stuck,
    read_child,
    read_job,
    read_result,
    read_signal,
)
from openworld.engine.facts import ChildEnded, Ending, JobEnded, JobStarted, Report, Signaled
from openworld.governance import Amounts
from openworld.ledger import epoch_ms

UID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
NOW_MS = 1_800_000_000_000
BORN = "2027-01-15T07:00:00Z"
POD = f"{names.job_name(UID, 7)}-x2k9p"


def job(*conditions: dict[str, Any], reports: bool = False) -> dict[str, Any]:
    labels = {names.SEQ: "7", names.ATTEMPT: "1", names.EXECUTION_UID: UID}
    if reports:
        labels[names.REPORTS] = "true"
    return {
        "metadata": {
            "name": names.job_name(UID, 7),
            "namespace": "team",
            "uid": "job-1",
            "labels": labels,
            "annotations": {names.REF: "metrics"},
        },
        "status": {"conditions": [{"status": "True", **condition} for condition in conditions]},
    }


def pod(state: dict[str, Any] | None = None, *, phase: str = "Running", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": POD,
            "namespace": "team",
            "uid": "pod-1",
            "creationTimestamp": BORN,
            "ownerReferences": [{"kind": "Job", "uid": "job-1", "controller": True}],
        },
        "spec": {"containers": [{"name": "task", "image": "example/metrics:1"}]},
        "status": {
            "phase": phase,
            "startTime": BORN,
            "containerStatuses": [{"name": "task", "state": state or {}}],
            **status,
        },
    }


def exited(code: int, message: str = "", reason: str = "") -> dict[str, Any]:
    return pod(
        {"terminated": {"exitCode": code, "message": message, "reason": reason or "Completed"}},
        phase="Failed" if code else "Succeeded",
    )


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return pod({"waiting": {"reason": reason, "message": message}}, phase="Pending")


def read(
    the_job: dict[str, Any],
    *pods: dict[str, Any],
    certain: bool = True,
    gone: bool = False,
    now_ms: int = NOW_MS,
) -> Reading:
    return read_job(the_job, pods, seq=7, now_ms=now_ms, image_grace_ms=60_000, certain=certain, gone=gone)


def ended(reading: Reading) -> JobEnded:
    (fact,) = reading.facts
    assert isinstance(fact, JobEnded)
    return fact


def reported(reading: Reading) -> Report:
    (fact,) = reading.facts
    assert isinstance(fact, Report)
    return fact


# A container that knows nothing of Openworld


def test_a_termination_message_is_the_output() -> None:
    assert reported(read(job(), exited(0, '{"p99": 1.5}'), certain=False)) == Report(
        id="pod-1", seq=7, status=ReportStatus.COMPLETED, output={"p99": 1.5}, pod=POD
    )


def test_success_without_a_message_is_an_empty_output() -> None:
    assert reported(read(job(), exited(0))).output == {}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            '{"a" 1}',
            "termination message is not JSON: Expecting ':' delimiter at line 1 column 6",
        ),
        ("[1]", "termination message is not a JSON object: it is an array"),
        ("null", "termination message is not a JSON object: it is null"),
        ("true", "termination message is not a JSON object: it is a boolean"),
        ('"done"', "termination message is not a JSON object: it is a string"),
        ("3", "termination message is not a JSON object: it is a number"),
        ('{"a": NaN}', "termination message is not JSON: NaN is not a JSON number"),
        ('{"a": "' + "x" * 4089, "termination message is longer than 4096 bytes and was cut"),
    ],
)
def test_a_message_that_is_no_object_is_a_terminal_failure_that_says_why(message: str, reason: str) -> None:
    report = reported(read(job(), exited(0, message)))
    assert report.status is ReportStatus.FAILED_WITH_TERMINAL_ERROR
    assert report.reason.startswith(reason)


def test_a_deeply_nested_message_is_refused_and_breaks_nothing() -> None:
    report = reported(read(job(), exited(0, "[" * 4000)))
    assert report.status is ReportStatus.FAILED_WITH_TERMINAL_ERROR


def test_a_failing_container_is_told_by_its_exit_code() -> None:
    assert ended(read(job(), exited(3), certain=False)) == JobEnded(
        id="job-1", seq=7, ending=Ending.FAILED, reason="the container ended with exit code 3", pod=POD
    )


def test_a_failing_container_may_give_its_reason() -> None:
    assert ended(read(job(), exited(1, '{"reason": "no such service"}'))).reason == "no such service"
    assert (
        ended(read(job(), exited(1, "boom\n"))).reason
        == "the container ended with exit code 1; it said: boom"
    )


def test_exit_code_64_is_not_retried() -> None:
    assert ended(read(job(), exited(64))).ending is Ending.TERMINAL_ERROR


def test_too_much_memory_is_named_as_such() -> None:
    fact = ended(read(job(), exited(137, reason="OOMKilled")))
    assert (fact.ending, fact.reason) == (
        Ending.FAILED,
        "the container used more memory than its limit allows and was killed (OOMKilled)",
    )


def test_a_running_container_has_started() -> None:
    assert read(job(), pod({"running": {}}), certain=False).facts == (JobStarted(seq=7, pod=POD),)


def test_a_container_killed_with_its_pod_waits_for_what_the_job_says() -> None:
    going = exited(143)
    going["metadata"]["deletionTimestamp"] = BORN
    assert read(job(), going, certain=False) == Reading()
    fact = ended(read(job({"type": "FailureTarget", "reason": "DeadlineExceeded"}), going))
    assert fact.ending is Ending.TIMED_OUT


def test_a_container_killed_because_its_pod_was_deleted_is_lost() -> None:
    going = exited(143)
    going["metadata"]["deletionTimestamp"] = BORN
    fact = ended(read(job({"type": "Failed", "reason": "BackoffLimitExceeded"}), going))
    assert fact.ending is Ending.LOST
    assert fact.reason == f"the pod {POD} was deleted while its container ran (exit code 143)"


# A worker that reports


def test_a_reporting_worker_that_ended_is_doubtful_until_the_api_server_was_asked() -> None:
    assert read(job(reports=True), exited(0), certain=False) == Reading(doubtful=True)


def test_a_reporting_worker_without_a_report_has_failed() -> None:
    endings = {code: ended(read(job(reports=True), exited(code))) for code in (0, 1, 64)}
    assert {code: fact.ending for code, fact in endings.items()} == {
        0: Ending.SUCCEEDED,
        1: Ending.FAILED,
        64: Ending.TERMINAL_ERROR,
    }
    assert endings[0].reason == "the worker ended with exit code 0 and without a report"


# Images, nodes, deletions


@pytest.mark.parametrize("reason", ["ErrImageNeverPull", "InvalidImageName"])
def test_an_image_that_can_never_be_there_ends_the_attempt_at_once(reason: str) -> None:
    fact = ended(read(job(), waiting(reason, "not present"), now_ms=0))
    assert fact.ending is Ending.IMAGE
    assert fact.reason == f"the image example/metrics:1 cannot be used: {reason}: not present"


def test_a_failing_pull_may_heal_within_its_grace() -> None:
    born = epoch_ms(BORN)
    early = read(job(), waiting("ImagePullBackOff"), now_ms=born + 59_999)
    assert early == Reading(again_at_ms=born + 60_000)
    late = ended(read(job(), waiting("ImagePullBackOff", "no such host"), now_ms=born + 60_000))
    assert (late.ending, late.reason) == (
        Ending.IMAGE,
        "the image example/metrics:1 cannot be pulled: ImagePullBackOff: no such host",
    )


def test_a_missing_secret_is_a_failure_that_names_it() -> None:
    fact = ended(read(job(), waiting("CreateContainerConfigError", 'secret "api" not found')))
    assert (fact.ending, fact.reason) == (
        Ending.FAILED,
        "the container of the image example/metrics:1 cannot be started: "
        'CreateContainerConfigError: secret "api" not found',
    )


def test_a_command_that_does_not_exist_is_a_failure_that_says_so() -> None:
    fact = ended(read(job(), exited(128, 'exec: "nope": not found', "StartError")))
    assert (
        fact.reason
        == 'the container of the image example/metrics:1 cannot be started: exec: "nope": not found'
    )


def test_an_evicted_pod_is_lost() -> None:
    fact = ended(read(job(), pod(phase="Failed", reason="Evicted", message="low on memory")))
    assert (fact.ending, fact.reason) == (
        Ending.LOST,
        f"the pod {POD} was ended by its node: Evicted: low on memory",
    )


def test_a_disrupted_pod_is_lost() -> None:
    taken = exited(137)
    taken["status"]["conditions"] = [
        {"type": "DisruptionTarget", "status": "True", "message": "node drained"}
    ]
    assert ended(read(job(), taken)).reason == f"the pod {POD} was taken away: node drained"


def test_a_job_past_its_deadline_timed_out() -> None:
    failed = job({"type": "Failed", "reason": "DeadlineExceeded"})
    assert read(failed, certain=False) == Reading(doubtful=True)
    assert ended(read(failed)).ending is Ending.TIMED_OUT


def test_a_finished_job_whose_pod_is_gone_is_lost() -> None:
    failed = job({"type": "Failed", "reason": "BackoffLimitExceeded", "message": "it failed"})
    assert read(failed, certain=False) == Reading(doubtful=True)
    fact = ended(read(failed))
    assert fact.ending is Ending.LOST
    assert fact.reason.endswith("its pod is gone, so how it ended is not known: it failed")


def test_a_job_that_somebody_deleted_is_lost_unless_its_pod_said_how_it_ended() -> None:
    assert ended(read(job(), gone=True)).ending is Ending.LOST
    assert reported(read(job(), exited(0, "{}"), gone=True)).output == {}


def test_a_job_that_has_not_begun_says_nothing() -> None:
    assert read(job(), certain=False) == Reading()
    assert read(job(), pod(phase="Pending"), certain=False) == Reading()


def test_pods_that_wait_for_an_image_are_stuck() -> None:
    assert is_stuck([waiting("ImagePullBackOff")])
    assert not is_stuck([pod({"running": {}})])


# TaskResults


def result(name: str = POD, **spec: Any) -> dict[str, Any]:
    given = {
        "execution": "run-1",
        "ref": "metrics",
        "attempt": 1,
        "podUID": "pod-1",
        "status": "Completed",
        "output": {"p99": 2},
    }
    return {"metadata": {"name": name, "uid": "result-1", "labels": {names.SEQ: "7"}}, "spec": given | spec}


def take(the_result: dict[str, Any], *, known: bool = True) -> Report | Refusal | None:
    return read_result(
        the_result,
        execution="run-1",
        execution_uid=UID,
        pod=pod() if known else None,
        job=job(reports=True) if known else None,
    )


def test_a_report_of_the_attempts_own_pod_is_a_fact() -> None:
    assert take(result(usage={"tokensIn": 5})) == Report(
        id="result-1",
        seq=7,
        status=ReportStatus.COMPLETED,
        output={"p99": 2},
        usage={"tokensIn": 5},
        pod=POD,
    )


def test_a_report_whose_pod_is_gone_is_known_by_its_name() -> None:
    report = take(result(), known=False)
    assert isinstance(report, Report)
    assert report.seq == 7


def test_progress_has_a_name_of_its_own_and_a_result_has_its_pods() -> None:
    progress = take(
        result(f"{POD}.p1", status="InProgress", progress={"message": "half"}, callbackAfterSeconds=5)
    )
    assert isinstance(progress, Report)
    assert (progress.status, progress.reason) == (ReportStatus.IN_PROGRESS, "half")
    assert progress.callback_after_seconds == 5
    refusal = take(result(f"{POD}.p1", status="Completed"))
    assert isinstance(refusal, Refusal)
    assert "the result is named as its pod" in refusal.reason


@pytest.mark.parametrize(
    ("forged", "reason"),
    [
        (result("other-pod"), "its name belongs to no pod of the execution run-1"),
        (result(execution="run-2"), "its name belongs to no pod of the execution run-1"),
        (result(podUID="pod-9"), f"podUID is 'pod-9', but the pod {POD} has another uid"),
        (result(ref="rollback"), "it reports on 'rollback' attempt 1, its pod runs 'metrics' attempt 1"),
        (result(attempt=0), "it reports on 'metrics' attempt 0, its pod runs 'metrics' attempt 1"),
    ],
)
def test_a_report_for_another_attempt_than_its_pods_is_refused(forged: dict[str, Any], reason: str) -> None:
    assert take(forged) == Refusal("result-1", forged["metadata"]["name"], reason)


def test_a_report_labelled_with_another_event_is_refused() -> None:
    forged = result()
    forged["metadata"]["labels"][names.SEQ] = "8"
    refusal = take(forged)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "its label openworld.dev/seq is '8', its pod belongs to 7"


def test_a_report_of_a_pod_of_another_owner_is_refused() -> None:
    foreign = pod()
    foreign["metadata"]["ownerReferences"][0]["uid"] = "job-9"
    refusal = read_result(result(), execution="run-1", execution_uid=UID, pod=foreign, job=job())
    assert isinstance(refusal, Refusal)
    assert refusal.reason == f"the pod {POD} does not belong to the Job of the attempt"


@pytest.mark.parametrize(
    "owner", [None, {"kind": "Job", "name": "other", "uid": "job-1", "controller": True}]
)
def test_of_a_job_that_is_gone_the_name_must_do(owner: dict[str, Any] | None) -> None:
    foreign = pod()
    foreign["metadata"]["ownerReferences"] = [owner] if owner else []
    refusal = read_result(result(), execution="run-1", execution_uid=UID, pod=foreign, job=None)
    assert isinstance(refusal, Refusal)
    named = {"kind": "Job", "name": names.job_name(UID, 7), "uid": "job-1", "controller": True}
    foreign["metadata"]["ownerReferences"] = [named]
    report = read_result(result(), execution="run-1", execution_uid=UID, pod=foreign, job=None)
    assert isinstance(report, Report)


def test_a_malformed_report_is_a_terminal_failure_that_names_the_field() -> None:
    report = take(result(output=[1]))
    assert isinstance(report, Report)
    assert report.status is ReportStatus.FAILED_WITH_TERMINAL_ERROR
    assert report.reason == "the report is not valid: spec.output: must be an object, but is a list"


# Signals and children


def signal(**spec: Any) -> dict[str, Any]:
    given = {"execution": "run-1", "executionUID": UID, "type": "Pause", "by": "bob@example.com"}
    metadata = {"name": "pause-1", "uid": "signal-1", "creationTimestamp": "1970-01-01T00:00:05Z"}
    return {"metadata": metadata, "spec": given | spec}


def test_a_signal_is_a_fact_with_its_sender() -> None:
    fact = read_signal(
        signal(type="Approve", ref="undo", tool="rollback", itemDigest="sha256:0"), execution_uid=UID
    )
    assert fact == Signaled(
        id="signal-1",
        type=SignalType.APPROVE,
        by="bob@example.com",
        ref="undo",
        tool="rollback",
        item_digest="sha256:0",
        name="pause-1",
        sent_at_ms=5000,
    )


def test_a_signal_for_an_execution_of_the_same_name_but_another_uid_is_refused() -> None:
    refusal = read_signal(signal(executionUID="old"), execution_uid=UID)
    assert isinstance(refusal, Refusal)
    assert refusal.reason.startswith("executionUID is 'old', but the execution run-1 has another uid")


def child(phase: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "child-1", "uid": "child-uid"},
        "status": {"phase": phase, "output": {"cause": "x"}, "reason": "why"},
    }


def test_a_child_is_a_fact_once_it_has_ended() -> None:
    assert read_child(child("Running"), seq=9, gone=False) is None
    assert read_child(child("Completed"), seq=9, gone=False) == ChildEnded(
        id="child-uid/0/", seq=9, phase=Phase.COMPLETED, output={"cause": "x"}, reason="why", used=Amounts()
    )
    told = child("Completed")
    told["status"]["usage"] = {"tasks": 2, "tokens": 30, "costNanoUSD": 4}
    fact = read_child(told, seq=9, gone=False)
    assert fact is not None
    assert fact.used == Amounts(2, 30, 4)


def test_a_child_that_was_deleted_has_ended() -> None:
    assert read_child(child("Running"), seq=9, gone=True) == ChildEnded(
        id="child-uid", seq=9, phase=Phase.TERMINATED, reason="the child execution child-1 was deleted"
    )
