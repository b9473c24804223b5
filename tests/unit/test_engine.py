"""The engine by examples: what follows from what."""

from __future__ import annotations

import pytest

from openworld.api import Phase
from openworld.engine.facts import Ending
from tests.support.world import World, tool, world


def test_tasks_run_in_order_and_outputs_flow() -> None:
    w = world(
        {"ref": "one", "type": "a", "input": {"x": "${workflow.input.x}"}},
        {"ref": "two", "type": "b", "input": {"y": "${one.output.y}"}},
        outputParameters={"z": "${two.output.z}"},
        spec={"input": {"x": 1}},
    ).step()
    assert w.jobs.keys() == {"one"}
    assert w.jobs["one"].input == {"x": 1}
    w.completes("one", {"y": 2})
    assert w.jobs.keys() == {"two"}
    assert w.jobs["two"].input == {"y": 2}
    w.completes("two", {"z": 3})
    assert w.phase is Phase.COMPLETED
    assert w.state.output == {"z": 3}
    assert w.types() == [
        "ExecutionStarted",
        "TaskScheduled",
        "TaskCompleted",
        "TaskScheduled",
        "TaskCompleted",
        "ExecutionCompleted",
    ]


def test_without_output_parameters_the_last_task_is_the_output() -> None:
    w = world({"ref": "one", "type": "a"}).step().completes("one", {"v": 1})
    assert w.state.output == {"v": 1}


def test_a_failed_attempt_is_retried_after_its_delay_and_then_fails_the_execution() -> None:
    w = world({"ref": "one", "type": "a"}).step()
    first = w.jobs["one"].seq
    w.fails("one", "no luck")
    assert w.statuses == {"one": "Scheduled"}
    assert w.jobs == {}
    w.advance(9.9)
    assert w.jobs == {}
    w.advance(0.1)
    assert w.jobs["one"].attempt == 1
    assert w.jobs["one"].earlier == (first,)
    w.fails("one", "no luck again")
    assert w.phase is Phase.FAILED
    assert w.state.reason == "task one failed: no luck again"


def test_a_terminal_error_is_not_retried() -> None:
    w = world({"ref": "one", "type": "a"}).step().fails("one", "never", terminal=True)
    assert w.phase is Phase.FAILED
    assert w.statuses == {"one": "FailedWithTerminalError"}


def test_an_optional_failure_lets_the_run_go_on() -> None:
    w = world(
        {"ref": "one", "type": "a", "optional": True, "retryCount": 0}, {"ref": "two", "type": "b"}
    ).step()
    w.fails("one")
    assert w.statuses == {"one": "CompletedWithErrors", "two": "Scheduled"}


def test_a_failure_cancels_what_runs_beside_it_and_stops_its_job() -> None:
    w = world(
        {
            "ref": "f",
            "type": "FORK_JOIN",
            "forkTasks": [[{"ref": "x", "type": "a"}], [{"ref": "y", "type": "b"}]],
        },
        {"ref": "j", "type": "JOIN", "joinOn": ["x", "y"]},
    ).step()
    seq = w.jobs["y"].seq
    assert w.jobs.keys() == {"x", "y"}
    w.fails("x", terminal=True)
    assert w.phase is Phase.FAILED
    assert w.statuses == {"f": "Completed", "x": "FailedWithTerminalError", "y": "Canceled", "j": "Canceled"}
    assert seq in w.state.stopped


def test_a_permissive_failure_lets_the_other_branches_finish_first() -> None:
    w = world(
        {
            "ref": "f",
            "type": "FORK_JOIN",
            "forkTasks": [
                [{"ref": "x", "type": "a", "permissive": True, "retryCount": 0}, {"ref": "x2", "type": "a"}],
                [{"ref": "y", "type": "b"}],
            ],
        },
        {"ref": "j", "type": "JOIN", "joinOn": ["x2", "y"]},
    ).step()
    w.fails("x", "bad")
    assert w.phase is Phase.RUNNING
    w.completes("y", {"v": 1})
    assert w.phase is Phase.FAILED
    assert w.state.reason == "task x failed: bad"
    assert w.statuses["x2"] == "Skipped"


def test_join_output_holds_the_joined_outputs() -> None:
    w = (
        world(
            {
                "ref": "f",
                "type": "FORK_JOIN",
                "forkTasks": [[{"ref": "x", "type": "a"}], [{"ref": "y", "type": "b"}]],
            },
            {"ref": "j", "type": "JOIN", "joinOn": ["x", "y"]},
        )
        .step()
        .completes("x", {"v": 1})
    )
    assert w.statuses["j"] == "InProgress"
    w.completes("y", {})
    assert w.phase is Phase.COMPLETED
    assert w.state.output == {"x": {"v": 1}}


def test_a_fork_without_a_join_implies_one() -> None:
    w = (
        world(
            {
                "ref": "f",
                "type": "FORK_JOIN",
                "forkTasks": [[{"ref": "x", "type": "a"}], [{"ref": "y", "type": "b"}]],
            },
            {"ref": "z", "type": "c"},
        )
        .step()
        .completes("x", {"v": 1})
    )
    assert "z" not in w.statuses
    w.completes("y", {"v": 2})
    assert w.statuses["f_join"] == "Completed"
    assert w.statuses["z"] == "Scheduled"


@pytest.mark.parametrize(("value", "ran"), [("red", "r"), ("blue", "d"), (True, "t"), (3, "n")])
def test_switch_takes_the_case_of_the_value_as_text(value: object, ran: str) -> None:
    w = world(
        {
            "ref": "s",
            "type": "SWITCH",
            "expression": "v",
            "input": {"v": "${workflow.input.v}"},
            "decisionCases": {
                "red": [{"ref": "r", "type": "a"}],
                "true": [{"ref": "t", "type": "a"}],
                "3": [{"ref": "n", "type": "a"}],
            },
            "defaultCase": [{"ref": "d", "type": "b"}],
        },
        {"ref": "after", "type": "c"},
        spec={"input": {"v": value}},
    ).step()
    assert w.statuses == {"s": "Completed", ran: "Scheduled"}
    w.completes(ran)
    assert w.statuses["after"] == "Scheduled"


def test_a_graph_starts_each_task_when_its_dependencies_are_done() -> None:
    w = world(
        {"ref": "one", "type": "a", "dependsOn": []},
        {"ref": "two", "type": "b", "dependsOn": []},
        {"ref": "three", "type": "c", "dependsOn": ["one", "two"]},
    ).step()
    assert w.jobs.keys() == {"one", "two"}
    w.completes("two")
    assert w.jobs.keys() == {"one"}
    w.completes("one")
    assert w.jobs.keys() == {"three"}


def test_scripts_variables_and_terminate() -> None:
    w = world(
        {
            "ref": "sum",
            "type": "INLINE",
            "evaluatorType": "javascript",
            "expression": "$.a + $.b",
            "input": {"a": 1, "b": 2},
        },
        {"ref": "set", "type": "SET_VARIABLE", "input": {"total": "${sum.output.result}"}},
        {
            "ref": "end",
            "type": "TERMINATE",
            "input": {
                "terminationStatus": "FAILED",
                "terminationReason": "enough",
                "workflowOutput": {"t": "${workflow.variables.total}"},
            },
        },
        {"ref": "never", "type": "a"},
    ).step()
    assert w.phase is Phase.FAILED
    assert w.state.reason == "enough"
    assert w.state.output == {"t": 3}
    assert "never" not in w.statuses


def test_a_failing_script_fails_its_task_with_the_error() -> None:
    w = world(
        {"ref": "bad", "type": "INLINE", "evaluatorType": "javascript", "expression": "throw new Error('no')"}
    ).step()
    assert w.phase is Phase.FAILED
    assert "no" in w.state.reason
    assert w.statuses == {"bad": "FailedWithTerminalError"}


def test_wait_completes_at_its_time_and_not_before() -> None:
    w = world({"ref": "w", "type": "WAIT", "input": {"duration": "30s"}}).step()
    w.advance(29.9)
    assert w.phase is Phase.RUNNING
    w.advance(0.1)
    assert w.phase is Phase.COMPLETED


def test_a_person_completes_a_human_task_and_is_recorded() -> None:
    w = world({"ref": "ask", "type": "HUMAN"}).step()
    w.signal("Complete", ref="ask", payload={"answer": "yes"})
    assert w.state.output == {"answer": "yes"}
    assert w.of_type("TaskCompleted")[0]["by"] == "bob@example.com"


def test_a_sub_workflow_becomes_a_child_and_its_output_comes_back() -> None:
    from openworld.engine.facts import ChildEnded

    w = world(
        {"ref": "sub", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "other"}, "input": {"k": 1}}
    )
    w.define("Workflow", "other", {"tasks": [{"ref": "x", "type": "a"}]}).step()
    child = w.children["sub"]
    assert (child.workflow_name, child.input, child.depth) == ("other", {"k": 1}, 1)
    w.step(ChildEnded("child-uid", child.seq, Phase.COMPLETED, {"v": 1}))
    assert w.state.output == {"v": 1}


def test_a_missing_sub_workflow_fails_with_its_name() -> None:
    w = world({"ref": "sub", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "other"}}).step()
    assert w.state.reason == "task sub failed: Workflow 'other' does not exist"


def test_the_timeout_of_an_attempt_counts_from_the_container_start() -> None:
    w = World({"tasks": [{"ref": "one", "type": "slow", "retryCount": 0}], "catalogs": ["tools"]})
    w.define("ToolCatalog", "tools", {"tools": [tool("slow", timeoutSeconds=60)]}).step()
    seq = w.jobs["one"].seq
    w.advance(50)
    w.started("one")
    w.advance(59.9)
    assert w.phase is Phase.RUNNING
    w.advance(0.1)
    assert w.statuses == {"one": "TimedOut"}
    assert seq in w.state.stopped


def test_the_workflow_timeout_ends_the_run() -> None:
    w = world({"ref": "one", "type": "a"}, timeoutSeconds=20).step().advance(20)
    assert w.phase is Phase.TIMED_OUT
    assert w.statuses == {"one": "Canceled"}


def test_pause_starts_nothing_new_and_resume_goes_on() -> None:
    w = world({"ref": "one", "type": "a"}, {"ref": "two", "type": "b"}).step()
    w.signal("Pause", payload={"reason": "look first"})
    w.completes("one")
    assert w.jobs == {}
    assert w.phase is Phase.PAUSED
    w.signal("Resume")
    assert w.jobs.keys() == {"two"}


def test_terminate_cancels_and_names_who_did_it() -> None:
    w = world({"ref": "one", "type": "a"}).step().signal("Terminate", payload={"reason": "wrong service"})
    assert w.phase is Phase.TERMINATED
    assert w.state.reason == "terminated by bob@example.com: wrong service"
    assert w.statuses == {"one": "Canceled"}


def test_a_fact_is_consumed_once_and_a_late_one_changes_nothing() -> None:
    from openworld.api import ReportStatus
    from openworld.engine.facts import Report

    w = world({"ref": "one", "type": "a"}, {"ref": "two", "type": "b"}).step()
    seq = w.jobs["one"].seq
    report = Report("r-1", seq, ReportStatus.COMPLETED, output={"v": 1})
    w.step(report)
    count = len(w.events)
    w.step(report)
    assert len(w.events) == count
    w.step(Report("r-2", seq, ReportStatus.FAILED, reason="late"))
    assert w.types()[-1] == "FactRefused"
    assert w.task("one").output == {"v": 1}
    w.step(Report("r-2", seq, ReportStatus.FAILED, reason="late"))
    assert w.state.refused_facts == 1


def test_an_output_that_is_too_large_fails_with_size_and_limit() -> None:
    w = world({"ref": "one", "type": "a"}).step().completes("one", {"blob": "x" * 1_100_000})
    assert w.phase is Phase.FAILED
    assert "OutputTooLarge: the report has 1100" in w.state.reason
    assert "the limit is 1048576" in w.state.reason


def test_a_write_whose_outcome_is_unknown_is_not_repeated() -> None:
    w = World({"tasks": [{"ref": "one", "type": "write"}], "catalogs": ["tools"]})
    w.define("ToolCatalog", "tools", {"tools": [tool("write", effect="Write")]}).step()
    w.job_ends("one", Ending.LOST, "its node was lost")
    assert w.phase is Phase.FAILED
    assert w.types()[-3:] == ["OutcomeUnknown", "TaskFailed", "ExecutionFailed"]
    assert "OutcomeUnknown: its node was lost" in w.state.reason


def test_a_lost_read_is_repeated() -> None:
    w = world({"ref": "one", "type": "a"}).step()
    w.job_ends("one", Ending.LOST, "its node was lost")
    w.advance(10)
    assert w.jobs["one"].attempt == 1


@pytest.mark.parametrize(
    ("workflow", "reason"),
    [
        ({"tasks": [{"ref": "x", "type": "nope"}], "catalogs": ["tools"]}, "nope"),
        (
            {
                "tasks": [{"ref": "x", "type": "a", "input": {"n": "${ghost.output.v}"}}],
                "catalogs": ["tools"],
            },
            "ghost",
        ),
        ({"tasks": [{"ref": "x", "type": "a"}, {"ref": "x", "type": "a"}], "catalogs": ["tools"]}, "x"),
    ],
)
def test_a_workflow_that_makes_no_sense_fails_with_the_reason(
    workflow: dict[str, object], reason: str
) -> None:
    w = World(workflow).define("ToolCatalog", "tools", {"tools": [tool("a")]}).step()
    assert w.phase is Phase.FAILED
    assert reason in w.state.reason


@pytest.mark.parametrize(
    ("workflow", "reason"),
    [
        ({"tasks": [{"ref": "x", "type": "a"}], "catalogs": ["gone"]}, "ToolCatalog 'gone' not found"),
        ({"tasks": [{"ref": "x", "type": "a"}], "policyRef": {"name": "gone"}}, "Policy 'gone' not found"),
        (
            {"tasks": [{"ref": "x", "type": "AGENT", "input": {"agent": "gone", "goal": "g"}}]},
            "Agent 'gone' not found",
        ),
    ],
)
def test_a_missing_definition_is_waited_for_briefly_and_then_named(
    workflow: dict[str, object], reason: str
) -> None:
    w = World(workflow).step()
    assert w.phase is Phase.PENDING
    assert w.last_pass is not None
    assert w.last_pass.wake_at_ms == w.identity.created_at_ms + 10_000
    w.advance(10)
    assert w.phase is Phase.FAILED
    assert w.state.reason == reason


def test_a_missing_workflow_is_named() -> None:
    w = World({"tasks": [{"ref": "x", "type": "a"}]})
    del w.definitions[next(iter(w.definitions))]
    w.advance(10)
    assert w.state.reason == "Workflow 'main' does not exist"


def test_a_tool_that_the_account_may_not_use_is_refused() -> None:
    w = world({"ref": "one", "type": "a"})
    w.denied_tools.add("a")
    w.step()
    assert w.phase is Phase.FAILED
    assert "access" in w.state.reason


def test_authored_input_that_breaks_the_schema_fails_the_task_with_a_verdict() -> None:
    w = World(
        {
            "tasks": [{"ref": "one", "type": "strict", "input": {"n": "${workflow.input.n}"}}],
            "catalogs": ["tools"],
        },
        input={"n": "x"},
    )
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    w.define("ToolCatalog", "tools", {"tools": [tool("strict", inputSchema=schema)]}).step()
    assert w.types() == ["ExecutionStarted", "ProposalJudged", "TaskFailed", "ExecutionFailed"]
    assert "catalog" in w.state.reason


def test_what_is_too_large_to_record_is_refused_with_size_and_limit() -> None:
    large = {"blob": "x" * 200_000}
    w = world({"ref": "one", "type": "a"}, spec={"input": large}).step()
    assert w.state.reason == "the input has 200011 bytes, the limit is 131072"
    w = world({"ref": "one", "type": "a", "input": large}).step()
    assert w.state.reason.startswith("the workflow's definition has 200")
    doubled = {"a": "${one.output.v}", "b": "${one.output.v}"}
    w = world({"ref": "one", "type": "a"}, {"ref": "two", "type": "a", "input": doubled}).step()
    w.completes("one", {"v": "x" * 510_000})
    assert (
        w.state.reason == "task two failed: InvalidInput: the input has 1020015 bytes, the limit is 1000000"
    )
    w = world({"ref": "one", "type": "a"}, outputParameters=doubled).step()
    w.completes("one", {"v": "<" * 100_000})
    assert w.state.reason == "the output has 1200015 bytes, the limit is 1048576"


def test_a_record_that_the_api_server_refuses_ends_the_execution() -> None:
    from openworld.engine.facts import CannotGoOn

    w = world({"ref": "one", "type": "a"}).step()
    w.step(CannotGoOn("etcdserver: request is too large"))
    assert w.phase is Phase.FAILED
    assert w.state.reason == "etcdserver: request is too large"


def test_refusals_are_told_but_cannot_fill_the_record() -> None:
    w = world({"ref": "one", "type": "a"}).step()
    for _ in range(120):
        w.signal("Resume")
    assert w.types().count("FactRefused") == 100
    assert w.last_pass is not None
    assert w.last_pass.refused[0][1] == "the execution is not paused"


def test_what_joins_a_task_that_was_skipped_is_skipped_and_comes_again_after_a_retry() -> None:
    w = world(
        {
            "ref": "f",
            "type": "FORK_JOIN",
            "forkTasks": [
                [{"ref": "p", "type": "a", "permissive": True, "retryCount": 0}, {"ref": "q", "type": "b"}]
            ],
        },
        {"ref": "j", "type": "JOIN", "joinOn": ["q"]},
        {"ref": "after", "type": "c"},
    ).step()
    w.fails("p")
    skipped = {"q": "Skipped", "j": "Skipped", "after": "Skipped"}
    assert (w.phase, w.state.reason) == (Phase.FAILED, "task p failed: boom")
    assert {ref: w.statuses[ref] for ref in skipped} == skipped
    w.signal("Retry").completes("p").completes("q", {"n": 1})
    assert (w.task("j").output, list(w.jobs)) == ({"q": {"n": 1}}, ["after"])
    assert w.completes("after").phase is Phase.COMPLETED


def test_the_join_that_a_fork_implies_waits_for_the_join_of_a_fork_within() -> None:
    inner = {
        "ref": "g",
        "type": "FORK_JOIN",
        "forkTasks": [[{"ref": "p", "type": "a", "permissive": True, "retryCount": 0}]],
    }
    w = world({"ref": "f", "type": "FORK_JOIN", "forkTasks": [[inner]]}, {"ref": "after", "type": "b"}).step()
    w.fails("p")
    assert w.phase is Phase.FAILED
    w.signal("Retry")
    assert list(w.jobs) == ["p"]
    w.completes("p")
    assert list(w.jobs) == ["after"]
