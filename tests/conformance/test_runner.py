"""The runner itself: it accepts what the format allows and finds what differs, also where no case uses it."""

from __future__ import annotations

from typing import Any

import pytest

from .case import Case
from .comparing import differences
from .playing import Play

TWO = {"name": "two", "version": 1, "tasks": [
    {"name": "one", "taskReferenceName": "one", "type": "SIMPLE"},
    {"name": "one", "taskReferenceName": "other", "type": "SIMPLE"},
]}  # fmt: skip
ONE_TASK = [{"name": "one", "retryCount": 0, "timeoutSeconds": 0}]
DONE: dict[str, Any] = {"status": "COMPLETED", "output": {}}


def attempt(ref: str, status: str = "COMPLETED", **more: Any) -> dict[str, Any]:
    kept = {"type": "SIMPLE", "name": "one", "input": {}, "output": {}, "attempt": 0, "iteration": 0}
    return {"ref": ref, "status": status, **kept, **more}


def case(
    workflows: list[dict[str, Any]],
    *played: tuple[dict[str, Any], dict[str, Any]],
    start: dict[str, Any],
    final: dict[str, Any],
) -> Case:
    """A case with ONE_TASK as its only task definition."""
    recorded = {
        "name": "made-up",
        "about": "",
        "normative": True,
        "definitions": {"workflows": workflows, "tasks": ONE_TASK},
        "input": {},
        "steps": [step for step, _ in played],
        "expect": [start, *(entry for _, entry in played)],
        "final": {"output": {}, "variables": {}, **final},
    }
    return Case("made-up", recorded, None)


def entry(status: str, **more: Any) -> dict[str, Any]:
    tasks = {key: value for key, value in more.items() if value in _STATUSES}
    rest = {key: value for key, value in more.items() if key not in tasks}
    return {"status": status, "tasks": tasks, **rest}


_STATUSES = ("SCHEDULED", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELED")


def test_a_case_that_comes_about_has_no_differences() -> None:
    played = case(
        [TWO],
        ({"worker": "one", "result": DONE}, entry("RUNNING", one="COMPLETED", other="SCHEDULED")),
        ({"worker": "oth*", "result": DONE}, entry("COMPLETED", one="COMPLETED", other="COMPLETED")),
        start=entry("RUNNING", one="SCHEDULED"),
        final={"status": "COMPLETED", "tasks": [attempt("one"), attempt("other")]},
    )
    assert list(Play(played).differences()) == []


def test_a_difference_names_the_step_and_both_values() -> None:
    played = case(
        [TWO],
        ({"worker": "one", "result": DONE}, entry("RUNNING", one="COMPLETED", other="IN_PROGRESS")),
        start=entry("RUNNING", one="SCHEDULED"),
        final={"status": "RUNNING", "tasks": [attempt("one"), attempt("other", "SCHEDULED")]},
    )
    [found] = Play(played).differences()
    assert found.startswith("after step 1 ")
    assert found.endswith('tasks.other: expected "IN_PROGRESS", got "SCHEDULED"')


def test_the_order_of_attempts_counts() -> None:
    played = case(
        [TWO],
        ({"worker": "one", "result": DONE}, entry("RUNNING", one="COMPLETED", other="SCHEDULED")),
        start=entry("RUNNING", one="SCHEDULED"),
        final={"status": "RUNNING", "tasks": [attempt("other", "SCHEDULED"), attempt("one")]},
    )
    assert list(Play(played).differences()) == ["final tasks: expected [other, one], got [one, other]"]


def test_a_refusal_that_does_not_come_is_a_difference() -> None:
    played = case(
        [TWO],
        ({"op": "pause"}, {**entry("PAUSED", one="SCHEDULED"), "refused": 409}),
        start=entry("RUNNING", one="SCHEDULED"),
        final={"status": "PAUSED", "tasks": [attempt("one", "SCHEDULED")]},
    )
    [found] = Play(played).differences()
    assert found.endswith("expected a refusal, and it was accepted")


def test_definitions_that_come_while_it_runs_are_used_by_a_restart() -> None:
    more = {**TWO, "tasks": TWO["tasks"][1:]}
    terminated = entry("TERMINATED", one="CANCELED")
    played = case(
        [TWO],
        ({"op": "define", "workflows": [more]}, entry("RUNNING", one="SCHEDULED")),
        ({"op": "terminate", "reason": "change of plan"}, terminated),
        ({"op": "restart", "useLatestDefinitions": True}, entry("RUNNING", other="SCHEDULED")),
        start=entry("RUNNING", one="SCHEDULED"),
        final={"status": "RUNNING", "tasks": [attempt("other", "SCHEDULED")]},
    )
    assert list(Play(played).differences()) == []


def test_a_rerun_without_a_task_begins_anew_with_another_input() -> None:
    echo = {"name": "echo", "version": 1, "tasks": [
        {**TWO["tasks"][0], "inputParameters": {"k": "${workflow.input.k}"}},
    ]}  # fmt: skip
    done = entry("COMPLETED", one="COMPLETED")
    played = case(
        [echo],
        ({"worker": "one", "result": DONE}, done),
        ({"op": "rerun", "workflowInput": {"k": 5}}, entry("RUNNING", one="SCHEDULED")),
        ({"worker": "one", "result": DONE}, done),
        start=entry("RUNNING", one="SCHEDULED"),
        final={"status": "COMPLETED", "tasks": [attempt("one", input={"k": 5})]},
    )
    assert list(Play(played).differences()) == []


def test_an_update_that_fails_a_person_task_fails_the_run_with_its_reason() -> None:
    human = {"name": "ask", "version": 1, "tasks": [{"name": "h", "taskReferenceName": "h", "type": "HUMAN"}]}
    failed = {
        "ref": "h",
        "type": "HUMAN",
        "status": "FAILED",
        "input": {},
        "output": {},
        "attempt": 0,
        "iteration": 0,
    }
    played = case(
        [human],
        ({"op": "update", "task": "h", "status": "FAILED", "reason": "not me"}, entry("FAILED", h="FAILED")),
        start=entry("RUNNING", h="IN_PROGRESS"),
        final={"status": "FAILED", "reasonMentions": ["not me"], "tasks": [failed]},
    )
    assert list(Play(played).differences()) == []


def test_a_retry_may_go_on_in_the_child_that_failed() -> None:
    parent = {"name": "parent", "version": 1, "tasks": [
        {"name": "c", "taskReferenceName": "c", "type": "SUB_WORKFLOW", "inputParameters": {"k": 1},
         "subWorkflowParam": {"name": "two", "version": 1}},
    ]}  # fmt: skip

    def both(status: str, task: str, **child: str) -> dict[str, Any]:
        return entry(status, c=task) | {"children": {"c": entry(status, **child)}}

    failing = {"status": "FAILED", "reason": "disk full"}
    sub = {
        "ref": "c",
        "type": "SUB_WORKFLOW",
        "status": "COMPLETED",
        "output": {"subWorkflowId": "<id>"},
        "attempt": 0,
        "iteration": 0,
    }
    child = [attempt("one"), attempt("other", "FAILED"), attempt("other", attempt=1)]
    played = case(
        [parent, TWO],
        ({"worker": "one", "workflow": ["c"], "result": DONE}, both("RUNNING", "IN_PROGRESS", one="COMPLETED", other="SCHEDULED")),
        ({"worker": "other", "workflow": ["c"], "result": failing}, both("FAILED", "FAILED", one="COMPLETED", other="FAILED")),
        ({"op": "retry", "resumeSubworkflowTasks": True}, both("RUNNING", "IN_PROGRESS", one="COMPLETED", other="SCHEDULED")),
        ({"worker": "other", "workflow": ["c"], "result": DONE}, both("COMPLETED", "COMPLETED", one="COMPLETED", other="COMPLETED")),
        start=both("RUNNING", "IN_PROGRESS", one="SCHEDULED"),
        final={
            "status": "COMPLETED",
            "tasks": [sub],
            "children": {"c": {"status": "COMPLETED", "input": {"k": 1}, "output": {}, "variables": {}, "tasks": child}},
        },
    )  # fmt: skip
    assert list(Play(played).differences()) == []


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (3, 3.0),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ("<id>", "uid-1"),
        ("<time>", 1_800_000_000_000),
        ("<error text>", "boom"),
        ("started as <id> at <time>", "started as x at 5"),
        ({"subWorkflowId": "<id>", "v": 1}, {"v": 1}),
        ({"left": {"subWorkflowId": "<id>"}}, {}),
    ],
)
def test_what_counts_as_the_same(expected: Any, got: Any) -> None:
    assert list(differences(expected, got)) == []


@pytest.mark.parametrize(
    ("expected", "got"),
    [(1, True), ("3", 3), ("<id>", ""), ("<time>", "soon"), (None, 0), ([1, 2], [1]), ({"a": None}, {}), ({}, {"a": None})],
)  # fmt: skip
def test_what_counts_as_different(expected: Any, got: Any) -> None:
    assert list(differences(expected, got)) != []
