"""The namespace in memory: executions and their children, definitions, refusals, and time."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.api import Phase, ReportStatus, SignalType, TaskStatus
from openworld.engine.facts import Ending
from openworld.simulation import Namespace, SimulatedExecution
from tests.support.world import tool

A_TASK = {"ref": "work", "type": "lookup"}


def namespace(**more: Any) -> Namespace:
    made = Namespace(check=True, **more)
    made.define("ToolCatalog", "tools", {"tools": [tool("lookup"), tool("repair", effect="Write")]})
    return made


def started(made: Namespace, *tasks: dict[str, Any], **spec: Any) -> SimulatedExecution:
    made.define("Workflow", "main", {"tasks": list(tasks), "catalogs": ["tools"], **spec})
    execution = made.start("main", {"n": 1})
    made.settle()
    return execution


def test_a_run_ends_when_its_workers_have_reported() -> None:
    made = namespace()
    run = started(made, A_TASK, outputParameters={"found": "${work.output.n}"})
    assert run.statuses() == {"work": TaskStatus.SCHEDULED}
    assert made.report(run, "work", output={"n": 7}) == ""
    assert run.state.phase is Phase.COMPLETED
    assert run.state.output == {"found": 7}


def test_the_same_calls_give_the_same_ledger() -> None:
    ledgers = []
    for _ in range(2):
        made = namespace()
        run = started(made, A_TASK)
        made.report(run, "work", ReportStatus.FAILED, reason="boom")
        made.advance(10)
        made.report(run, "work")
        ledgers.append(run.events)
    assert ledgers[0] == ledgers[1]
    assert ledgers[0][-1]["type"] == "ExecutionCompleted"


def test_a_child_is_started_and_its_end_is_told() -> None:
    made = namespace()
    made.define("Workflow", "below", {"tasks": [A_TASK], "catalogs": ["tools"]})
    sub = {"ref": "sub", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "below"}, "input": {"x": 2}}
    run = started(made, sub)
    child = made.child(run, "sub")
    assert child is not None
    assert child.identity.spec.input == {"x": 2}
    assert child.identity.spec.parent is not None
    assert child.identity.spec.parent.uid == run.uid
    made.report(child, "work", output={"done": True})
    assert run.state.tasks["sub"].output == {"done": True}
    assert run.state.phase is Phase.COMPLETED


def test_the_end_of_a_parent_terminates_what_is_below_it() -> None:
    made = namespace()
    made.define("Workflow", "lowest", {"tasks": [A_TASK], "catalogs": ["tools"]})
    deeper = {"ref": "low", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "lowest"}}
    made.define("Workflow", "middle", {"tasks": [deeper]})
    run = started(made, {"ref": "mid", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "middle"}})
    middle = made.child(run, "mid")
    assert middle is not None
    lowest = made.child(middle, "low")
    assert lowest is not None
    made.signal(run, SignalType.TERMINATE, payload={"reason": "enough"})
    assert [each.state.phase for each in (run, middle, lowest)] == [Phase.TERMINATED] * 3


def test_a_workflow_is_found_by_its_own_name_and_in_its_latest_version() -> None:
    made = namespace()
    for version in (1, 3, 2):
        spec = {"name": "greet", "version": version, "tasks": [A_TASK], "catalogs": ["tools"]}
        made.define("Workflow", f"greet-v{version}", spec)
    latest, pinned, by_object = made.start("greet"), made.start("greet", version=2), made.start("greet-v1")
    made.settle()
    assert latest.state.workflow_version == 3
    assert by_object.state.workflow_version == 1
    assert pinned.state.workflow_version == 2


def test_a_late_report_is_refused_with_the_reason() -> None:
    made = namespace()
    run = started(made, A_TASK, {"ref": "next", "type": "lookup"})
    made.report(run, "work")
    assert made.report(run, "work") == "the attempt it reports on is over"
    assert run.statuses() == {"work": TaskStatus.COMPLETED, "next": TaskStatus.SCHEDULED}


def test_timers_fire_at_their_own_time_and_in_order() -> None:
    made = namespace()
    waits = [
        {"ref": "first", "type": "WAIT", "input": {"duration": "10s"}},
        {"ref": "second", "type": "WAIT", "input": {"duration": "20s"}},
    ]
    run = started(made, *waits)
    began = made.now_ms
    made.advance(100)
    ends = {e["ref"]: e["at"] for e in run.events if e["type"] == "TaskCompleted"}
    assert run.state.tasks["first"].ended_at_ms == began + 10_000
    assert run.state.tasks["second"].ended_at_ms == began + 30_000
    assert list(ends) == ["first", "second"]
    assert made.now_ms == began + 100_000


def test_a_container_starts_once_and_not_before_its_retry_is_due() -> None:
    made = namespace()
    run = started(made, A_TASK)
    assert made.starts_container(run, "work")
    assert not made.starts_container(run, "work")
    made.report(run, "work", ReportStatus.FAILED, reason="boom")
    assert not made.starts_container(run, "work")
    made.advance(10)
    assert made.starts_container(run, "work")
    assert run.state.tasks["work"].attempt == 1


def test_a_job_may_end_without_a_report() -> None:
    made = namespace()
    run = started(made, {"ref": "fix", "type": "repair"})
    made.ends_job(run, "fix", Ending.LOST, "the node is gone")
    assert "OutcomeUnknown" in run.state.reason


def test_a_right_that_is_missing_is_denied() -> None:
    made = namespace(may_use=lambda account, name: (account, name) != ("default", "repair"))
    run = started(made, {"ref": "fix", "type": "repair"})
    assert run.state.phase is Phase.FAILED
    assert "repair" in run.state.reason


def test_a_definition_that_is_invalid_says_where() -> None:
    made = namespace()
    problem = made.define("Workflow", "broken", {"tasks": [{"ref": "a", "type": "WAITT"}]}).problem
    assert "spec.tasks[0].type" in problem


def test_a_run_whose_workflow_never_appears_fails_after_the_grace() -> None:
    made = namespace()
    run = made.start("nowhere")
    made.settle()
    assert run.state.phase is Phase.PENDING
    made.advance(10)
    assert run.state.phase is Phase.FAILED
    assert "nowhere" in run.state.reason


@pytest.mark.parametrize(("approve", "phase"), [(True, Phase.COMPLETED), (False, Phase.FAILED)])
def test_a_person_decides_on_the_item_that_is_shown(approve: bool, phase: Phase) -> None:
    made = namespace()
    rule = {"name": "writes", "decision": "RequireApproval"}
    made.define("Policy", "careful", {"scope": "All", "rules": [rule]})
    run = started(made, {"ref": "fix", "type": "repair"}, policyRef={"name": "careful"})
    assert run.statuses() == {"fix": TaskStatus.AWAITING_APPROVAL}
    assert made.decide_on_item(run, "fix", approve=approve, reason="looked at it") == ""
    if approve:
        made.report(run, "fix")
    assert run.state.phase is phase


def nested(made: Namespace) -> tuple[SimulatedExecution, SimulatedExecution]:
    """A run and its child, both failed because the child's second task has."""
    two = [A_TASK | {"retryCount": 0}, {"ref": "more", "type": "lookup", "retryCount": 0}]
    made.define("Workflow", "below", {"tasks": two, "catalogs": ["tools"]})
    run = started(made, {"ref": "sub", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "below"}})
    child = made.child(run, "sub")
    assert child is not None
    made.report(child, "work")
    made.report(child, "more", ReportStatus.FAILED, reason="boom")
    assert [run.state.phase, child.state.phase] == [Phase.FAILED, Phase.FAILED]
    return run, child


def test_a_retry_that_resumes_children_goes_on_in_the_same_child() -> None:
    made = namespace()
    run, child = nested(made)
    assert made.signal(run, SignalType.RETRY, payload={"resumeSubworkflowTasks": True}) == ""
    assert made.child(run, "sub") is child
    assert child.statuses() == {"work": TaskStatus.COMPLETED, "more": TaskStatus.SCHEDULED}
    made.report(child, "more")
    assert [run.state.phase, child.state.phase] == [Phase.COMPLETED, Phase.COMPLETED]


def test_a_retry_of_the_parent_starts_a_new_child() -> None:
    made = namespace()
    run, child = nested(made)
    made.signal(run, SignalType.RETRY)
    again = made.child(run, "sub")
    assert again is not None
    assert again is not child
    assert again.statuses() == {"work": TaskStatus.SCHEDULED}


def test_a_retry_of_the_child_revives_the_parent() -> None:
    made = namespace()
    run, child = nested(made)
    made.signal(child, SignalType.RETRY)
    assert [run.state.phase, child.state.phase] == [Phase.RUNNING, Phase.RUNNING]
    made.report(child, "more")
    assert [run.state.phase, child.state.phase] == [Phase.COMPLETED, Phase.COMPLETED]


def sibling(made: Namespace, *branches: dict[str, Any]) -> SimulatedExecution:
    """A run with branches, each one task."""
    fork = {"ref": "fork", "type": "FORK_JOIN", "forkTasks": [[branch] for branch in branches]}
    made.define("Workflow", "below", {"tasks": [A_TASK | {"retryCount": 0}], "catalogs": ["tools"]})
    return started(made, fork)


def sub(ref: str) -> dict[str, Any]:
    return {"ref": ref, "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "below"}}


@pytest.mark.parametrize("of", ["parent", "child"])
def test_the_old_end_of_a_child_that_was_stopped_does_not_end_a_retried_parent(of: str) -> None:
    made = namespace()
    run = sibling(made, sub("x"), sub("y"))
    x, y = made.child(run, "x"), made.child(run, "y")
    assert x is not None
    assert y is not None
    made.report(x, "work", ReportStatus.FAILED, reason="boom")
    assert [each.state.phase for each in (run, x, y)] == [Phase.FAILED, Phase.FAILED, Phase.TERMINATED]
    if of == "parent":
        made.signal(run, SignalType.RETRY, payload={"resumeSubworkflowTasks": True})
    else:
        made.signal(x, SignalType.RETRY)
    assert [each.state.phase for each in (run, x, y)] == [Phase.RUNNING] * 3
    made.report(x, "work")
    made.report(y, "work")
    assert [each.state.phase for each in (run, x, y)] == [Phase.COMPLETED] * 3
    retries = [sum(e["type"] == "ExecutionRetried" for e in each.events) for each in (run, x, y)]
    assert retries == [1, 1, 1]


def test_a_child_is_stopped_each_time_and_revives_nobody() -> None:
    made = namespace()
    run = sibling(made, sub("x"), {"ref": "z", "type": "lookup", "retryCount": 0})
    x = made.child(run, "x")
    assert x is not None
    for round_ in range(3):
        made.report(run, "z", ReportStatus.FAILED, reason="boom")
        assert [run.state.phase, x.state.phase] == [Phase.FAILED, Phase.TERMINATED]
        assert run.state.revivals == round_
        made.signal(run, SignalType.RETRY, payload={"resumeSubworkflowTasks": True})
        assert [run.state.phase, x.state.phase] == [Phase.RUNNING, Phase.RUNNING]
    made.report(run, "z")
    made.report(x, "work")
    assert [run.state.phase, x.state.phase] == [Phase.COMPLETED, Phase.COMPLETED]


def test_a_child_that_cannot_be_retried_begins_anew_and_its_parent_is_told_of_its_end() -> None:
    made = namespace()
    stop = {"ref": "stop", "type": "TERMINATE", "input": {"terminationStatus": "FAILED"}}
    made.define("Workflow", "below", {"tasks": [stop]})
    run = started(made, sub("x"))
    for revivals in (1, 2):
        assert run.state.phase is Phase.FAILED
        made.signal(run, SignalType.RETRY, payload={"resumeSubworkflowTasks": True})
        child = made.child(run, "x")
        assert child is not None
        assert (run.state.revivals, child.state.revivals) == (revivals, revivals)
    assert run.state.phase is Phase.FAILED


def test_what_is_started_without_being_waited_for_is_no_child() -> None:
    made = namespace()
    made.define("Workflow", "other", {"tasks": [A_TASK], "catalogs": ["tools"]})
    ask = {"startWorkflow": {"name": "other", "input": {"k": 1}}}
    run = started(made, {"ref": "go", "type": "START_WORKFLOW", "input": ask})
    [other] = made.detached(run)
    assert run.state.phase is Phase.COMPLETED
    assert made.child(run, "go") is None
    assert other.identity.spec.parent is not None
    assert other.identity.spec.parent.detached
    assert other.identity.spec.input == {"k": 1}


def test_a_failure_workflow_is_started_with_what_became_of_the_run() -> None:
    made = namespace()
    made.define("Workflow", "clean-up", {"tasks": [A_TASK], "catalogs": ["tools"]})
    run = started(made, A_TASK | {"retryCount": 0}, failureWorkflow="clean-up")
    made.report(run, "work", ReportStatus.FAILED, reason="boom")
    [clean_up] = made.detached(run)
    assert "boom" in clean_up.identity.spec.input["reason"]
    assert clean_up.statuses() == {"work": TaskStatus.SCHEDULED}
