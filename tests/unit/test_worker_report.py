"""Reports: what is sent, what is tried again, what is final, and what fits."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from openworld.api import TaskResult
from openworld.controller import names
from openworld_worker.assignment import Identity, identity
from openworld_worker.errors import ContractError, ReportError
from openworld_worker.report import (
    Outcome,
    Status,
    TaskResultReporter,
    TerminationMessageReporter,
    failed,
    label_value,
)
from tests.unit.api_double import Answer, ApiDouble, in_turn

NOW = datetime(2026, 4, 12, 14, 10, tzinfo=UTC)
DONE = Outcome(status=Status.COMPLETED, output={"p99": 812.5})
EXISTS = Answer(409, {"reason": "AlreadyExists", "message": 'taskresults "pod-1" already exists'})
PATH = "/apis/openworld.dev/v1alpha1/namespaces/team/taskresults"


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=sum(self.slept))


def environment(**changes: str) -> dict[str, str]:
    plain = {
        "EXECUTION": "run-1",
        "EXECUTION_UID": "uid-1",
        "NAMESPACE": "team",
        "REF": "triage__1__metrics",
        "ATTEMPT": "2",
        "SEQ": "17",
        "POD_NAME": "pod-1",
        "POD_UID": "pod-uid",
        "DEADLINE": "2026-04-12T14:11:00Z",
        "IDEMPOTENCY_KEY": "key-1",
    }
    return {f"OPENWORLD_{name}": value for name, value in (plain | changes).items()}


def me() -> Identity:
    return identity(environment())


def reporter(double: ApiDouble, clock: Clock) -> TaskResultReporter:
    return TaskResultReporter(server=double.server, identity=me(), sleep=clock.sleep, now=clock.now)


def report(tmp_path: Path, outcome: Outcome, *answers: Answer) -> tuple[ApiDouble, Clock, int]:
    clock = Clock()
    with ApiDouble(tmp_path, in_turn(*answers)) as double:
        code = reporter(double, clock).finish(outcome)
    return double, clock, code


def refusal(tmp_path: Path, outcome: Outcome, *answers: Answer) -> tuple[ApiDouble, Clock, str]:
    clock = Clock()
    with ApiDouble(tmp_path, in_turn(*answers)) as double, pytest.raises(ReportError) as error:
        reporter(double, clock).finish(outcome)
    return double, clock, str(error.value)


def test_the_identity_is_read_from_the_environment() -> None:
    found = identity(environment(TASK_FILE="/t.json", REPORT="TaskResult"))
    assert (found.ref, found.attempt, found.seq) == ("triage__1__metrics", 2, "17")
    assert found.deadline == datetime(2026, 4, 12, 14, 11, tzinfo=UTC)
    assert (found.task_file, found.report) == (Path("/t.json"), "TaskResult")
    assert (me().task_file, me().report) == (Path("/openworld/task.json"), "TerminationMessage")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"REF": ""}, "OPENWORLD_REF is not set. This command runs in a Job that the operator made"),
        ({"ATTEMPT": "one"}, "OPENWORLD_ATTEMPT is 'one', not a number"),
        ({"DEADLINE": "soon"}, "OPENWORLD_DEADLINE is 'soon', not an RFC 3339 time"),
    ],
)
def test_an_environment_that_breaks_the_contract_is_named(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ContractError) as error:
        identity(environment(**changes))
    assert str(error.value).startswith(message)


def test_a_result_is_one_task_result_named_after_the_pod(tmp_path: Path) -> None:
    double, clock, code = report(tmp_path, DONE, Answer(201))
    (asked,) = double.asked
    assert (asked.method, asked.path, asked.headers["Authorization"]) == ("POST", PATH, "Bearer secret-token")
    assert asked.body == {
        "apiVersion": "openworld.dev/v1alpha1",
        "kind": "TaskResult",
        "metadata": {
            "name": "pod-1",
            "namespace": "team",
            "labels": {"openworld.dev/execution": "run-1", "openworld.dev/seq": "17"},
            "ownerReferences": [
                {
                    "apiVersion": "openworld.dev/v1alpha1",
                    "kind": "Execution",
                    "name": "run-1",
                    "uid": "uid-1",
                }
            ],
        },
        "spec": {
            "execution": "run-1",
            "ref": "triage__1__metrics",
            "attempt": 2,
            "podUID": "pod-uid",
            "status": "Completed",
            "output": {"p99": 812.5},
        },
    }
    assert TaskResult.model_validate(asked.body["spec"]).output == {"p99": 812.5}
    assert (code, clock.slept) == (0, [])


@pytest.mark.parametrize("name", ["run-1", "a" * 63, "a" * 64, "b." * 40 + "b", "-x", "a/b"])
def test_labels_are_those_that_the_operator_selects_by(name: str) -> None:
    assert label_value(name) == names.label_value(name)


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [(failed("x"), "Failed", 1), (failed("x", terminal=True), "FailedWithTerminalError", 64)],
)
def test_a_failure_has_its_reason_and_an_exit_code(
    tmp_path: Path, outcome: Outcome, status: str, code: int
) -> None:
    double, _, exit_code = report(tmp_path, outcome, Answer(201))
    spec = double.asked[0].body["spec"]
    assert (spec["status"], spec["reason"], exit_code) == (status, "x", code)
    assert "output" not in spec


def test_an_api_server_that_is_away_is_tried_again_with_growing_pauses(tmp_path: Path) -> None:
    busy = Answer(503, {"message": "no"})
    double, clock, code = report(tmp_path, DONE, busy, Answer(500), busy, Answer(201))
    assert len(double.asked) == 4
    assert [low <= pause <= 2 * low for low, pause in zip((0.125, 0.25, 0.5), clock.slept, strict=True)] == [
        True
    ] * 3
    assert code == 0


def test_the_server_says_how_long_to_wait(tmp_path: Path) -> None:
    _, clock, _ = report(tmp_path, DONE, Answer(429, {"message": "slow down"}, retry_after="7"), Answer(201))
    assert clock.slept == [7.0]


def test_it_gives_up_at_the_deadline(tmp_path: Path) -> None:
    double, clock, message = refusal(
        tmp_path, DONE, *[Answer(429, {"message": "slow"}, retry_after="25")] * 3
    )
    assert (len(double.asked), clock.slept) == (3, [25.0, 25.0])
    assert message == "the deadline passed before the report was taken; last trouble: slow (HTTP 429)"


def test_a_refusal_is_final_and_carries_the_servers_words(tmp_path: Path) -> None:
    double, clock, message = refusal(tmp_path, DONE, Answer(422, {"message": "podUID: not yours"}))
    assert (len(double.asked), clock.slept) == (1, [])
    assert message == "the API server refused the report: podUID: not yours (HTTP 422)"


def test_a_report_whose_answer_was_lost_counts_when_it_exists(tmp_path: Path) -> None:
    double, _, code = report(tmp_path, DONE, Answer(drop=True), EXISTS)
    assert ([asked.method for asked in double.asked], code) == (["POST", "POST"], 0)


def test_an_existing_report_with_the_same_content_is_success(tmp_path: Path) -> None:
    spec = {"execution": "run-1", "ref": "triage__1__metrics", "attempt": 2, "podUID": "pod-uid"}
    same = Answer(200, {"spec": spec | {"status": "Completed", "output": {"p99": 812.5}}})
    double, _, code = report(tmp_path, DONE, EXISTS, same)
    assert (double.asked[1].method, double.asked[1].path, code) == ("GET", f"{PATH}/pod-1", 0)


@pytest.mark.parametrize(
    "found", [Answer(200, {"spec": {"status": "Failed"}}), Answer(403, {"message": "no"})]
)
def test_an_existing_report_with_other_or_unknown_content_is_an_error(tmp_path: Path, found: Answer) -> None:
    _, _, message = refusal(tmp_path, DONE, EXISTS, found)
    assert (
        message == 'another report of this pod exists already: taskresults "pod-1" already exists (HTTP 409)'
    )


def test_a_result_above_the_limit_is_a_failure_that_names_size_and_limit(tmp_path: Path) -> None:
    big = Outcome(status=Status.COMPLETED, output={"text": "x" * 2_000_000})
    double, _, code = report(tmp_path, big, Answer(201))
    spec = double.asked[0].body["spec"]
    assert (spec["status"], code) == ("Failed", 1)
    assert spec["reason"] == (
        "output: 2,000,011 bytes; a TaskResult holds at most 1,000,000. "
        "Store it elsewhere and return a reference to it"
    )


def test_a_reason_is_cut_to_four_kibibytes(tmp_path: Path) -> None:
    double, _, _ = report(tmp_path, failed("ä" * 5000), Answer(201))
    reason = double.asked[0].body["spec"]["reason"]
    assert len(reason.encode()) <= 4096
    assert reason == "ä" * 2046 + "…"


def test_progress_has_its_own_names_and_at_most_twenty(tmp_path: Path) -> None:
    with ApiDouble(tmp_path, lambda _: Answer(201)) as double:
        sending = reporter(double, Clock())
        for percent in range(25):
            sending.progress(percent, "working")
    assert [asked.body["metadata"]["name"] for asked in double.asked] == [f"pod-1.p{n}" for n in range(1, 21)]
    spec = double.asked[3].body["spec"]
    assert (spec["status"], spec["progress"]) == ("InProgress", {"percent": 3, "message": "working"})
    assert TaskResult.model_validate(spec).progress is not None


def test_progress_that_is_refused_fails_nothing(tmp_path: Path) -> None:
    with ApiDouble(tmp_path, in_turn(Answer(403, {"message": "no"}), Answer(drop=True))) as double:
        sending = reporter(double, Clock())
        sending.progress(1, "")
        sending.progress(None, "m")
    assert double.asked[1].body["spec"]["progress"] == {"message": "m"}


def message_of(tmp_path: Path, outcome: Outcome) -> tuple[int, Any]:
    path = tmp_path / "termination-log"
    code = TerminationMessageReporter(path=path).finish(outcome)
    raw = path.read_bytes()
    assert len(raw) <= 4096
    return code, json.loads(raw)


def test_a_termination_message_is_the_output_or_a_reason(tmp_path: Path) -> None:
    assert message_of(tmp_path, DONE) == (0, {"p99": 812.5})
    assert message_of(tmp_path, Outcome(status=Status.COMPLETED)) == (0, {})
    assert message_of(tmp_path, failed("broken")) == (1, {"reason": "broken"})
    assert message_of(tmp_path, failed("never", terminal=True)) == (64, {"reason": "never"})


def test_a_termination_message_that_is_too_long_says_what_to_do(tmp_path: Path) -> None:
    code, body = message_of(tmp_path, Outcome(status=Status.COMPLETED, output={"text": "x" * 5000}))
    assert code == 1
    assert body["reason"] == (
        "the output has 5,011 bytes; a termination message holds at most 4,096. "
        "Set `run.report: TaskResult` in the tool's catalog entry"
    )


def test_a_long_reason_fits_into_a_termination_message_with_its_escapes(tmp_path: Path) -> None:
    code, body = message_of(tmp_path, failed('"' * 4096))
    assert (code, body["reason"][:10], body["reason"][-1]) == (1, '"' * 10, "…")


def test_a_proposal_needs_a_task_result(tmp_path: Path) -> None:
    code, body = message_of(tmp_path, Outcome(status=Status.COMPLETED, proposal={"tasks": []}))
    assert code == 64
    assert body["reason"].startswith("the tool returned a Proposal, which a termination message cannot carry")
