"""`when`, `${workflow.env…}`, and people who answer for a group or are reminded."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.api import Phase, Workflow
from openworld.api.workflow import Task
from openworld.language.checks import check_workflow
from tests.support.world import World, world

LOOK = {"ref": "look", "type": "a"}
FREE = {"ref": "free", "type": "NOOP"}


def conditional(when: str, **more: Any) -> World:
    """A task behind a condition, and one that follows whatever it says."""
    return world(
        LOOK,
        {"ref": "maybe", "type": "a", "input": {"n": "${look.output.n}"}, "when": when, **more},
        {"ref": "after", "type": "a", "input": {"seen": "${maybe.output}"}},
        variables={"color": "red"},
        spec={"input": {"env": "prod"}},
    ).step()


@pytest.mark.parametrize(
    ("when", "runs"),
    [
        ("input.n > 2", True),
        ("input.n > 3", False),
        ("workflow.input.env == 'prod' && workflow.variables.color == 'red'", True),
        ("tasks.look.output.n == 4", False),
        ("tasks.look.status == 'Completed'", True),
        ("has(tasks.look.output.absent)", False),
    ],
)
def test_a_condition_decides_whether_a_task_runs_and_what_follows_goes_on(when: str, runs: bool) -> None:
    w = conditional(when).completes("look", {"n": 3})
    if runs:
        w.completes("maybe", {"v": 1})
    assert w.statuses["maybe"] == ("Completed" if runs else "Skipped")
    assert [e["seq"] for e in w.of_type("TaskScheduled") if e["ref"] == "maybe"] != [] if runs else True
    assert w.task("after").input == {"seen": {"v": 1} if runs else {}}
    w.completes("after")
    assert w.phase is Phase.COMPLETED


def test_a_task_whose_condition_does_not_hold_has_no_job_and_says_why() -> None:
    w = conditional("false").completes("look", {"n": 3})
    (skipped,) = w.of_type("TaskSkipped")
    assert (skipped["ref"], skipped["unmet"]) == ("maybe", True)
    assert skipped["reason"] == "its condition `when` does not hold"
    assert [e["ref"] for e in w.of_type("TaskScheduled")] == ["look", "after"]


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("tasks.ghost.output.n > 1", "ghost"),
        ("input.n", "it gave 3, and not true or false"),
        ("input.n > 'three'", "No matching overloads"),
    ],
)
def test_a_condition_that_fails_fails_its_task_with_the_reason(when: str, why: str) -> None:
    w = conditional(when).completes("look", {"n": 3})
    assert w.phase is Phase.FAILED
    assert "InvalidInput: the condition `when` failed: " in w.state.reason
    assert why in w.state.reason


def test_an_optional_task_whose_condition_fails_is_tolerated() -> None:
    w = conditional("input.n", optional=True).completes("look", {"n": 3})
    assert w.statuses["maybe"] == "CompletedWithErrors"
    assert w.statuses["after"] == "Scheduled"


def test_a_fork_that_is_skipped_leaves_its_join_nothing_to_wait_for() -> None:
    fork = {"ref": "f", "type": "FORK_JOIN", "when": "false", "forkTasks": [[LOOK], [FREE]]}
    w = world(fork, {"ref": "end", "type": "NOOP"}).step()
    assert w.statuses == {"f": "Skipped", "f_join": "Completed", "end": "Completed"}


def test_a_condition_in_a_loop_sees_the_iteration_it_is_in() -> None:
    body = [
        {
            "ref": "n",
            "type": "INLINE",
            "evaluatorType": "javascript",
            "expression": "$.i",
            "input": {"i": "${l.output.loopItem}"},
        },
        {"ref": "even", "type": "NOOP", "when": "tasks.n.output.result % 2 == 0"},
    ]
    w = world({"ref": "l", "type": "DO_WHILE", "items": [1, 2, 3], "loopOver": body}).step()
    assert [w.statuses[f"even__{n}"] for n in (1, 2, 3)] == ["Skipped", "Completed", "Skipped"]


def test_a_branch_of_a_graph_that_is_skipped_lets_its_dependents_run() -> None:
    w = world(LOOK | {"when": "false", "dependsOn": []}, FREE | {"dependsOn": ["look"]}).step()
    assert w.statuses == {"look": "Skipped", "free": "Completed"}


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("input.n >", "Syntax error"),
        ("inputs.n > 1", "undeclared reference to 'inputs.n'"),
        ("'yes'", "it must be true or false, and is of type string"),
        ("${look.output.n} > 1", "Syntax error"),
    ],
)
def test_a_condition_that_cannot_be_read_is_found_before_it_runs(when: str, message: str) -> None:
    workflow = Workflow(tasks=[Task.model_validate(LOOK | {"when": when})])
    found = [f for f in check_workflow(workflow) if f.path == "spec.tasks[0].when"]
    assert len(found) == 1
    assert message in found[0].message


def test_what_the_administrator_has_set_is_read_at_the_start_and_recorded() -> None:
    w = world(
        {"ref": "one", "type": "a", "input": {"stage": "${workflow.env.STAGE}", "no": "${workflow.env.NONE}"}}
    )
    w.env = {"STAGE": "production"}
    w.step()
    assert w.task("one").input == {"stage": "production", "no": None}
    assert w.events[0]["env"] == {"STAGE": "production"}
    plain = world(LOOK)
    plain.env = {"STAGE": "production"}
    assert "env" not in plain.step().events[0]


def human(**settings: Any) -> World:
    """A question."""
    return world({"ref": "ask", "type": "HUMAN", "human": settings}).step()


def test_a_member_of_a_group_may_answer_for_it_and_nobody_else() -> None:
    w = human(assignees=["carol@example.com"], groups=["leads"])
    w.signal("Complete", ref="ask")
    assert w.state.refused_facts == 1
    assert w.events[-1]["reason"] == (
        "task ask is for carol@example.com, group leads to answer, not for bob@example.com; "
        "who answers for a group names it in the signal"
    )
    w.signal("Complete", ref="ask", group="interns")
    assert "not for bob@example.com for group interns" in w.events[-1]["reason"]
    w.signal("Complete", ref="ask", group="leads", payload={"ok": True})
    assert w.phase is Phase.COMPLETED
    (done,) = w.of_type("TaskCompleted")
    assert (done["by"], done["group"]) == ("bob@example.com", "leads")


def test_people_are_reminded_until_somebody_answers_and_at_most_twenty_times() -> None:
    w = human(remindEverySeconds=60)
    for number in range(1, 4):
        w.advance(60)
        assert [e["reminder"] for e in w.of_type("TaskReminded")] == list(range(1, number + 1))
    w.advance(30)
    assert len(w.of_type("TaskReminded")) == 3
    for _ in range(30):
        w.advance(60)
    assert len(w.of_type("TaskReminded")) == 20
    w.signal("Complete", ref="ask")
    assert w.phase is Phase.COMPLETED


def test_a_reminder_and_an_escalation_each_come_at_their_time() -> None:
    w = human(
        assignees=["carol@example.com"], dueSeconds=90, escalateTo=["bob@example.com"], remindEverySeconds=60
    )
    w.advance(60)
    assert [e["type"] for e in w.events[-1:]] == ["TaskReminded"]
    w.advance(30)
    assert [e["type"] for e in w.events[-1:]] == ["TaskEscalated"]
    w.signal("Complete", ref="ask")
    assert w.phase is Phase.COMPLETED


def test_escalation_to_people_who_may_answer_anyway_is_found() -> None:
    task = {"ref": "ask", "type": "HUMAN", "human": {"dueSeconds": 5, "escalateTo": ["bob@example.com"]}}
    (found,) = check_workflow(Workflow(tasks=[Task.model_validate(task)]))
    assert (found.path, found.message.partition(":")[0]) == (
        "spec.tasks[0].human.escalateTo",
        "has no effect without assignees or groups",
    )
