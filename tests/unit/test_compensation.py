"""Compensation: what has been done is undone, in reverse order, as ordinary tasks under the same policy."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.api import Phase, Workflow
from openworld.engine.desire import desired, stop_of
from openworld.engine.evolve import fold
from openworld.engine.facts import CannotGoOn
from openworld.engine.snapshot import restore, take
from openworld.engine.state import State
from openworld.language.checks import check_workflow
from openworld.language.reading import read
from tests.support.governance import rule
from tests.support.world import World, tool, world
from tests.unit.test_engine_agent import agent_world, propose

UNDO = {"tool": "undo", "input": {"of": "${input.n}", "id": "${output.id}", "for": "${workflow.input.who}"}}


def saga(*tasks: dict[str, Any], **workflow: Any) -> World:
    """Tasks whose tools can be undone: `book` by its catalog, the others by what the task says."""
    made = World({"tasks": list(tasks), "catalogs": ["tools"], **workflow}, input={"who": "alice"})
    tools = [tool("book", "Write", compensation=UNDO), tool("pay", "Write"), tool("undo", "Write")]
    made.define("ToolCatalog", "tools", {"tools": tools})
    return made.step()


BOOK = {"ref": "book", "type": "book", "input": {"n": 1}}
PAY = {"ref": "pay", "type": "pay", "input": {"n": 2}, "compensation": UNDO}
LAST = {"ref": "last", "type": "pay", "retryCount": 0}


def failed(*tasks: dict[str, Any], **workflow: Any) -> World:
    w = saga(*(tasks or (BOOK, PAY, LAST)), **workflow)
    w.completes("book", {"id": "b"}).completes("pay", {"id": "p"})
    return w.fails("last", terminal=True)


def test_what_was_done_is_undone_the_last_first_and_then_the_run_fails() -> None:
    w = failed()
    assert (w.phase, list(w.jobs)) == (Phase.COMPENSATING, ["pay__undo"])
    assert w.task("pay__undo").input == {"of": 2, "id": "p", "for": "alice"}
    assert w.task("pay__undo").origin == {"compensates": "pay"}
    w.completes("pay__undo")
    assert list(w.jobs) == ["book__undo"]
    assert w.task("book__undo").input == {"of": 1, "id": "b", "for": "alice"}
    w.completes("book__undo")
    assert (w.phase, w.state.reason) == (Phase.FAILED, "task last failed: boom")
    assert w.of_type("ExecutionFailed")[0]["compensation"] == {
        "result": "Complete",
        "compensated": ["book", "pay"],
        "failed": [],
    }
    assert w.of_type("ExecutionFailed")[0]["failedTask"] == "last"
    order = [kind for kind in w.types() if kind.startswith(("Compensation", "Execution"))]
    assert order == [
        "ExecutionStarted",
        *["CompensationRegistered"] * 2,
        "ExecutionCompensating",
        *["CompensationScheduled"] * 2,
        "ExecutionFailed",
    ]


def test_what_completes_and_fails_at_once_is_undone_too() -> None:
    w = saga({"ref": "f", "type": "FORK_JOIN", "forkTasks": [[BOOK], [LAST]]})
    w.completes("book", {"id": "b"})
    w.fails("last", terminal=True)
    assert list(w.jobs) == ["book__undo"]


def test_what_runs_when_the_run_fails_is_canceled_and_nothing_more_starts() -> None:
    branches = [[BOOK, PAY], [LAST], [{"ref": "slow", "type": "pay"}]]
    w = saga({"ref": "f", "type": "FORK_JOIN", "forkTasks": branches})
    w.completes("book", {"id": "b"}).fails("last", terminal=True)
    assert w.statuses["slow"] == "Canceled"
    assert list(w.jobs) == ["book__undo"]
    assert w.completes("book__undo").phase is Phase.FAILED
    assert not w.jobs


def test_a_compensation_that_fails_is_told_and_the_others_run() -> None:
    w = failed().fails("pay__undo", terminal=True)
    assert (w.phase, list(w.jobs)) == (Phase.COMPENSATING, ["book__undo"])
    w.completes("book__undo")
    undone = w.of_type("ExecutionFailed")[0]["compensation"]
    assert undone == {"result": "Partial", "compensated": ["book"], "failed": ["pay"]}


def test_a_compensation_is_tried_again_as_its_tool_says() -> None:
    w = failed().fails("pay__undo")
    assert w.of_type("RetryScheduled")[0]["ref"] == "pay__undo"
    assert w.phase is Phase.COMPENSATING


def test_an_input_that_makes_no_sense_fails_that_compensation_alone() -> None:
    bad = {"tool": "undo", "input": {"x": "${output.a.b[}"}}
    w = failed(BOOK, {**PAY, "compensation": {**UNDO, "input": {"x": "${output.id}" * 10}}}, LAST)
    assert w.phase is Phase.COMPENSATING
    workflow = read(Workflow, {"tasks": [{**PAY, "compensation": bad}]})
    assert [f.path for f in check_workflow(workflow)] == ["spec.tasks[0].compensation.input.x"]


def test_a_tool_that_is_not_in_the_catalogs_undoes_nothing() -> None:
    w = failed(BOOK, {**PAY, "compensation": {"tool": "ghost"}}, LAST)
    assert w.statuses["pay__undo"] == "FailedWithTerminalError"
    assert "there is no tool 'ghost'" in w.task("pay__undo").reason
    assert list(w.jobs) == ["book__undo"]


@pytest.mark.parametrize("policy", ["Never", "OnFailure"])
def test_a_run_that_completes_or_may_not_be_undone_ends_as_it_is(policy: str) -> None:
    if policy == "Never":
        assert failed(compensation="Never").phase is Phase.FAILED
    else:
        assert saga(BOOK).completes("book", {"id": "b"}).phase is Phase.COMPLETED


def test_optional_skipped_and_failed_tasks_have_nothing_to_undo() -> None:
    w = saga({**BOOK, "optional": True}, LAST)
    w.fails("book", terminal=True).fails("last", terminal=True)
    assert w.phase is Phase.FAILED


@pytest.mark.parametrize(
    ("payload", "phase"), [({}, Phase.TERMINATED), ({"compensate": True}, Phase.COMPENSATING)]
)
def test_a_person_who_terminates_says_whether_to_undo(payload: dict[str, Any], phase: Phase) -> None:
    w = saga(BOOK, PAY).completes("book", {"id": "b"}).signal("Terminate", payload=payload)
    assert w.phase is phase
    if phase is Phase.COMPENSATING:
        w.completes("book__undo")
        assert w.phase is Phase.TERMINATED
        assert w.of_type("ExecutionTerminated")[0]["by"] == "bob@example.com"


def test_terminating_while_it_is_undone_ends_that_and_says_so() -> None:
    w = failed().signal("Terminate")
    assert w.phase is Phase.TERMINATED
    undone = w.of_type("ExecutionTerminated")[0]["compensation"]
    assert undone == {"result": "Partial", "compensated": [], "failed": ["book", "pay"]}
    assert not w.jobs


def test_a_pause_holds_the_undoing_too() -> None:
    w = failed().signal("Pause").completes("pay__undo")
    assert (w.phase, w.jobs) == (Phase.PAUSED, {})
    w.signal("Resume")
    assert (w.phase, list(w.jobs)) == (Phase.COMPENSATING, ["book__undo"])


def test_the_time_of_the_workflow_bounds_the_doing_not_the_undoing() -> None:
    w = saga(BOOK, {"ref": "w", "type": "WAIT"}, timeoutSeconds=60).completes("book", {"id": "b"})
    w.advance(61)
    assert (w.phase, list(w.jobs)) == (Phase.COMPENSATING, ["book__undo"])
    assert w.advance(61).phase is Phase.COMPENSATING
    assert w.completes("book__undo").phase is Phase.TIMED_OUT


def test_an_approval_gate_holds_a_compensation() -> None:
    rules = [rule("all"), rule("undo", "RequireApproval", match={"tools": ["undo"]})]
    w = World({"tasks": [BOOK, LAST], "catalogs": ["tools"], "policyRef": {"name": "p"}})
    w.define("ToolCatalog", "tools", {"tools": [tool("book", compensation=UNDO), tool("pay"), tool("undo")]})
    w.define("Policy", "p", {"scope": "All", "rules": rules}).step()
    w.completes("book", {"id": "b"}).fails("last", terminal=True)
    assert w.statuses["book__undo"] == "AwaitingApproval"
    w.approve("book__undo")
    assert list(w.jobs) == ["book__undo"]
    assert w.completes("book__undo").phase is Phase.FAILED


def test_a_compensation_that_is_refused_is_not_done_and_the_run_ends() -> None:
    rules = [rule("all"), rule("undo", "RequireApproval", match={"tools": ["undo"]})]
    w = World({"tasks": [BOOK, LAST], "catalogs": ["tools"], "policyRef": {"name": "p"}})
    w.define("ToolCatalog", "tools", {"tools": [tool("book", compensation=UNDO), tool("pay"), tool("undo")]})
    w.define("Policy", "p", {"scope": "All", "rules": rules}).step()
    w.completes("book", {"id": "b"}).fails("last", terminal=True).approve("book__undo", kind="Reject")
    assert w.phase is Phase.FAILED
    assert w.of_type("ExecutionFailed")[0]["compensation"]["failed"] == ["book"]


def test_a_retry_or_a_rerun_from_a_task_is_refused_once_tasks_are_undone() -> None:
    w = failed().completes("pay__undo").completes("book__undo")
    for kind, more in (("Retry", {}), ("Rerun", {"ref": "pay"})):
        w.signal(kind, **more)
        assert w.of_type("FactRefused")[-1]["reason"].startswith("tasks of it have been undone")
    w.signal("Restart")
    assert (w.phase, list(w.jobs)) == (Phase.RUNNING, ["book"])
    w.completes("book", {"id": "c"}).completes("pay", {"id": "q"}).fails("last", terminal=True)
    assert w.task("pay__undo").input["id"] == "q"


def test_what_cannot_go_on_is_ended_without_more() -> None:
    w = failed().step(CannotGoOn("the record is full"))
    assert w.phase is Phase.FAILED
    assert w.of_type("ExecutionFailed")[0]["compensation"]["result"] == "Partial"


def test_the_task_compensate_undoes_what_there_is_and_the_run_goes_on() -> None:
    w = saga(BOOK, PAY, {"ref": "undo", "type": "COMPENSATE"}, {"ref": "end", "type": "NOOP"})
    w.completes("book", {"id": "b"}).completes("pay", {"id": "p"})
    assert list(w.jobs) == ["pay__undo"]
    w.completes("pay__undo").completes("book__undo")
    assert w.phase is Phase.COMPLETED
    assert w.task("undo").output == {"result": "Complete", "compensated": ["book", "pay"], "failed": []}


def test_the_task_compensate_can_be_about_one_task_and_what_is_below_it() -> None:
    fork = {"ref": "f", "type": "FORK_JOIN", "forkTasks": [[PAY]]}
    w = saga(BOOK, fork, {"ref": "undo", "type": "COMPENSATE", "input": {"scope": "f"}}, LAST)
    w.completes("book", {"id": "b"}).completes("pay", {"id": "p"})
    assert list(w.jobs) == ["pay__undo"]
    w.completes("pay__undo").fails("last", terminal=True)
    assert list(w.jobs) == ["book__undo"]
    w.completes("book__undo")
    assert w.of_type("ExecutionFailed")[0]["compensation"]["compensated"] == ["book", "pay"]


def test_the_task_compensate_fails_when_something_could_not_be_undone() -> None:
    w = saga(BOOK, {"ref": "undo", "type": "COMPENSATE"}).completes("book", {"id": "b"})
    w.fails("book__undo", terminal=True)
    assert (w.phase, w.state.reason) == (Phase.FAILED, "task undo failed: not undone: book")


def test_the_task_compensate_names_a_task_that_has_run() -> None:
    workflow = read(Workflow, {"tasks": [{"ref": "u", "type": "COMPENSATE", "input": {"scope": "ghost"}}]})
    assert [f.path for f in check_workflow(workflow)] == ["spec.tasks[0].inputParameters.scope"]
    w = saga({"ref": "u", "type": "COMPENSATE", "input": {"scope": "book"}}, BOOK)
    assert "'book', which has not run" in w.state.reason


def test_an_iteration_of_a_loop_is_undone_by_itself() -> None:
    loop = {
        "ref": "loop",
        "type": "DO_WHILE",
        "items": [1, 2],
        "loopOver": [BOOK, {"ref": "u", "type": "COMPENSATE", "input": {"scope": "book"}}],
    }
    w = saga(loop).completes("book__1", {"id": "one"})
    assert list(w.jobs) == ["book__1__undo"]
    w.completes("book__1__undo").completes("book__2", {"id": "two"})
    assert w.task("book__2__undo").input["id"] == "two"
    assert w.completes("book__2__undo").phase is Phase.COMPLETED


def test_an_agents_tasks_are_undone_by_what_the_catalog_says_though_it_may_not_name_that_tool() -> None:
    w = agent_world({"rules": [rule("all")]}, {"tools": ["look"]})
    w.define("ToolCatalog", "tools", {"tools": [tool("look", "Write", compensation=UNDO), tool("undo")]})
    propose(w, {"type": "look", "ref": "x"})
    w.completes("triage__1__x", {"id": "i"})
    w.signal("Terminate", payload={"compensate": True})
    assert list(w.jobs) == ["triage__1__x__undo"]


def test_a_running_child_is_told_to_undo_what_it_has_done() -> None:
    child = {"ref": "c", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "other"}}
    w = world({"ref": "f", "type": "FORK_JOIN", "forkTasks": [[child], [{**LAST, "type": "a"}]]})
    w.define("Workflow", "other", {"tasks": [{"ref": "h", "type": "HUMAN"}]}).step()
    w.fails("last", terminal=True)
    assert [stop_of(w.state, seq).payload["compensate"] for seq in desired(w.state, w.now_ms).stop] == [
        True,
        True,
    ]


def test_a_replay_and_a_snapshot_lead_to_the_same_state() -> None:
    w = failed().completes("pay__undo")
    replayed = fold(State(identity=w.state.identity), w.events, w.payloads)
    assert replayed == w.state
    assert restore(w.state.identity, *take(w.state)) == w.state
