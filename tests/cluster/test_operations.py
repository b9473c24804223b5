"""What people may ask of a run, by the command line on the real cluster: which Jobs and events come of it, exactly."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from openworld.api import JsonObject
from tests.support import puppets
from tests.support.environment import Environment
from tests.support.runs import Run, definition

from .shell import wait_for

NAMESPACE = "demo-b"
CATALOG = "operations"
STEPS = ("a", "b", "c")


def step(ref: str, **given: Any) -> JsonObject:
    return {"ref": ref, "type": "work", "input": given}


@pytest.fixture(scope="module")
def operations(env: Environment) -> Environment:
    """A tool that reports what it is told, and workflows that use it."""

    def workflow(name: str, *tasks: JsonObject, **more: Any) -> JsonObject:
        return definition("Workflow", name, {"catalogs": [CATALOG], "tasks": list(tasks), **more})

    wait = [{"ref": ref, "type": "WAIT"} for ref in ("first", "second")]
    sub = {"ref": "sub", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "op-one"}}
    held = {"ref": "x", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "op-held"}}
    beside = {"ref": "f", "type": "FORK_JOIN", "forkTasks": [[held], [{"ref": "z", "type": "HUMAN"}]]}
    env.kubectl.apply(
        NAMESPACE,
        definition("ToolCatalog", CATALOG, {"tools": [puppets.tool("work")]}),
        *puppets.right_to_use(NAMESPACE),
        workflow("op-one", step("a", n="${workflow.input.n}"), outputParameters={"v": "${a.output.v}"}),
        workflow(
            "op-three",
            *(step(ref, n="${workflow.input.n}") for ref in STEPS),
            outputParameters={ref: f"${{{ref}.output.v}}" for ref in STEPS},
        ),
        workflow("op-waits", *wait, outputParameters={"said": "${first.output.said} ${second.output.said}"}),
        workflow("op-parent", sub),
        workflow("op-held", {"ref": "h", "type": "HUMAN"}),
        workflow("op-beside", beside),
    )
    return env


def start(env: Environment, workflow: str, name: str) -> Run:
    env.openworld("run", workflow, "-n", NAMESPACE, "--name", name, "-i", "n=1")
    return Run(env.kubectl, NAMESPACE, name)


def signal(env: Environment, run: Run, *words: str) -> None:
    env.openworld("signal", run.name, *words, "-n", NAMESPACE)


def refusal(env: Environment, run: Run, *words: str) -> str:
    done = env.openworld("signal", run.name, *words, "-n", NAMESPACE, check=False)
    assert done.returncode == 1
    return done.stderr


def attempts(run: Run) -> list[tuple[str, str]]:
    """Task and attempt of every Job of the run, in the order of the events that made them."""
    labels = [job["metadata"]["labels"] for job in run.jobs()]
    labels.sort(key=lambda each: int(each["openworld.dev/seq"]))
    return [(each["openworld.dev/ref"], each["openworld.dev/attempt"]) for each in labels]


def until_done(run: Run) -> JsonObject:
    """Wait for the end, and for Kubernetes to say that every Job has finished: one that a rerun supersedes is kept then."""
    status = run.until_final()
    wait_for(
        f"the end of the Jobs of {run.name}",
        lambda: all((job.get("status") or {}).get("conditions") for job in run.jobs()),
        seconds=60,
    )
    return status


def inputs(run: Run, ref: str) -> list[JsonObject]:
    """What the Jobs of a task were given, in order."""
    mine = [job for job in run.jobs() if job["metadata"]["labels"]["openworld.dev/ref"] == ref]
    mine.sort(key=lambda job: int(job["metadata"]["labels"]["openworld.dev/seq"]))
    told = (job["spec"]["template"]["metadata"]["annotations"]["openworld.dev/task"] for job in mine)
    return [json.loads(text)["input"] for text in told]


def events(run: Run, **counts: int) -> None:
    """The ledger holds exactly these, and the chain is whole."""
    assert run.types() == Counter(counts)
    run.recovered()


def seq(run: Run, kind: str, **fields: Any) -> int:
    found = [e["seq"] for e in run.events if e["type"] == kind and fields.items() <= e.items()]
    assert len(found) == 1
    return int(found[0])


def test_a_pause_lets_what_runs_finish_and_starts_nothing_until_it_is_resumed(
    operations: Environment,
) -> None:
    run = start(operations, "op-three", "op-pause")
    run.until_event("TaskStarted", ref="a")
    signal(operations, run, "Pause", "--reason", "lunch")
    assert "is paused already" in refusal(operations, run, "Pause")
    puppets.answer(run, "a", output={"v": 1})
    run.until_event("TaskCompleted", ref="a")
    assert run.status["phase"] == "Paused"
    assert attempts(run) == [("a", "0")]
    signal(operations, run, "Resume")
    assert "is not paused" in refusal(operations, run, "Resume")
    for ref in ("b", "c"):
        puppets.answer(run, ref, output={"v": 2})
    status = run.until_final()
    assert (status["phase"], status["output"]) == ("Completed", {"a": 1, "b": 2, "c": 2})
    assert attempts(run) == [("a", "0"), ("b", "0"), ("c", "0")]
    assert (
        seq(run, "TaskScheduled", ref="b") > seq(run, "ExecutionResumed") > seq(run, "TaskCompleted", ref="a")
    )
    events(
        run, ExecutionStarted=1, TaskScheduled=3, TaskStarted=3, TaskCompleted=3, ExecutionCompleted=1,
        ExecutionPaused=1, ExecutionResumed=1, FactRefused=2,
    )  # fmt: skip


def test_a_retry_runs_again_what_failed_and_keeps_what_was_completed(operations: Environment) -> None:
    run = start(operations, "op-three", "op-retry")
    puppets.answer(run, "a", output={"v": 1})
    assert "only an execution that did not complete" in refusal(operations, run, "Retry")
    puppets.answer(run, "b", "FAILED", reason="disk full")
    status = run.until_final()
    assert (status["phase"], status["reason"]) == ("Failed", "task b failed: disk full")
    signal(operations, run, "Retry")
    puppets.answer(run, "b", output={"v": 2})
    puppets.answer(run, "c", output={"v": 3})
    status = run.until_final()
    assert (status["phase"], status["output"]) == ("Completed", {"a": 1, "b": 2, "c": 3})
    assert attempts(run) == [("a", "0"), ("b", "0"), ("b", "1"), ("c", "0")]
    events(
        run, ExecutionStarted=1, TaskScheduled=3, TaskStarted=4, TaskCompleted=3, TaskFailed=1, ExecutionFailed=1,
        ExecutionRetried=1, RetryScheduled=1, ExecutionCompleted=1, FactRefused=1,
    )  # fmt: skip


def test_a_rerun_begins_again_from_a_task_with_the_input_that_is_given(operations: Environment) -> None:
    run = start(operations, "op-three", "op-rerun")
    for ref in STEPS:
        puppets.answer(run, ref, output={"v": 1})
    until_done(run)
    signal(operations, run, "Rerun", "b", "--payload", '{"input": {"n": 99}}')
    for ref in ("b", "c"):
        puppets.answer(run, ref, output={"v": 2})
    status = run.until_final()
    assert (status["phase"], status["output"]) == ("Completed", {"a": 1, "b": 2, "c": 2})
    assert attempts(run) == [(ref, "0") for ref in ("a", "b", "c", "b", "c")]
    assert inputs(run, "b") == [{"n": 1}, {"n": 99}]
    assert inputs(run, "c") == [{"n": 1}, {"n": 1}]
    events(
        run, ExecutionStarted=1, TaskScheduled=5, TaskStarted=5, TaskCompleted=5, ExecutionCompleted=2,
        ExecutionRerun=1,
    )  # fmt: skip


def test_a_restart_begins_anew_with_the_definition_that_stands_there_now(operations: Environment) -> None:
    latest = {"catalogs": [CATALOG], "tasks": [step("d")], "outputParameters": {"d": "${d.output.v}"}}
    first = {"catalogs": [CATALOG], "tasks": [step("a")], "outputParameters": {"a": "${a.output.v}"}}
    operations.kubectl.apply(NAMESPACE, definition("Workflow", "op-changes", first))
    run = start(operations, "op-changes", "op-restart")
    assert "only an execution that has ended" in refusal(operations, run, "Restart")
    puppets.answer(run, "a", output={"v": 1})
    until_done(run)
    operations.kubectl.apply(NAMESPACE, definition("Workflow", "op-changes", latest))
    signal(operations, run, "Restart")
    puppets.answer(run, "a", output={"v": 2})
    assert until_done(run)["output"] == {"a": 2}
    signal(operations, run, "Restart", "--payload", '{"useLatestDefinitions": true}')
    puppets.answer(run, "d", output={"v": 3})
    assert until_done(run)["output"] == {"d": 3}
    assert attempts(run) == [("a", "0"), ("a", "0"), ("d", "0")]
    events(
        run, ExecutionStarted=2, TaskScheduled=3, TaskStarted=3, TaskCompleted=3, ExecutionCompleted=3,
        ExecutionRestarted=2, FactRefused=1,
    )  # fmt: skip


def test_a_skipped_task_gets_no_job_and_its_output_is_what_was_given(operations: Environment) -> None:
    run = start(operations, "op-three", "op-skip")
    run.until_event("TaskStarted", ref="a")
    signal(operations, run, "Skip", "b", "--payload", '{"output": {"v": "given"}}')
    assert "cannot be skipped any more" in refusal(operations, run, "Skip", "a")
    for ref in ("a", "c"):
        puppets.answer(run, ref, output={"v": 1})
    status = run.until_final()
    assert (status["phase"], status["output"]) == ("Completed", {"a": 1, "b": "given", "c": 1})
    assert attempts(run) == [("a", "0"), ("c", "0")]
    events(
        run, ExecutionStarted=1, TaskScheduled=2, TaskStarted=2, TaskCompleted=2, TaskSkipped=1,
        ExecutionCompleted=1, FactRefused=1,
    )  # fmt: skip


def test_complete_without_a_ref_is_for_the_first_wait_that_waits(operations: Environment) -> None:
    run = start(operations, "op-waits", "op-complete")
    run.until_event("TaskScheduled", ref="first")
    signal(operations, run, "Complete", "--payload", '{"said": "one"}')
    signal(operations, run, "Complete", "--payload", '{"said": "two"}')
    status = run.until_final()
    assert (status["phase"], status["output"]) == ("Completed", {"said": "one two"})
    assert attempts(run) == []
    assert [e["ref"] for e in run.events if e["type"] == "TaskCompleted" and e["by"] == "admin"] == [
        "first",
        "second",
    ]
    events(run, ExecutionStarted=1, TaskScheduled=2, TaskCompleted=2, ExecutionCompleted=1)


def children_of(run: Run) -> list[Run]:
    listed = run.kubectl.json("-n", run.namespace, "get", "executions")["items"]
    mine = [each for each in listed if each["spec"].get("parent", {}).get("name") == run.name]
    return [Run(run.kubectl, run.namespace, each["metadata"]["name"]) for each in mine]


def test_a_child_that_is_retried_revives_its_parent(operations: Environment) -> None:
    parent = start(operations, "op-parent", "op-revive")
    wait_for("the child", lambda: len(children_of(parent)) == 1, seconds=30)
    [child] = children_of(parent)
    puppets.answer(child, "a", "FAILED", reason="no luck")
    assert parent.until_final()["phase"] == "Failed"
    signal(operations, child, "Retry")
    parent.until_event("ExecutionRetried", by=f"execution {child.name}")
    puppets.answer(child, "a", output={"v": 7})
    status = parent.until_final()
    assert (status["phase"], status["output"]) == ("Completed", {"v": 7})
    assert [each.name for each in children_of(parent)] == [child.name]
    assert attempts(child) == [("a", "0"), ("a", "1")]
    events(
        parent, ExecutionStarted=1, TaskScheduled=1, TaskStarted=1, TaskFailed=1, ExecutionFailed=1,
        ExecutionRetried=1, TaskCompleted=1, ExecutionCompleted=1, BudgetReserved=1, BudgetReturned=2,
    )  # fmt: skip
    events(
        child, ExecutionStarted=1, TaskScheduled=1, TaskStarted=2, TaskFailed=1, ExecutionFailed=1,
        ExecutionRetried=1, RetryScheduled=1, TaskCompleted=1, ExecutionCompleted=1,
    )  # fmt: skip


def test_a_child_is_stopped_and_resumed_with_its_parent_as_often_as_it_takes(operations: Environment) -> None:
    parent = start(operations, "op-beside", "op-beside")
    wait_for("the child", lambda: len(children_of(parent)) == 1, seconds=30)
    [child] = children_of(parent)
    for round_ in (1, 2):
        child.until(f"round {round_}", lambda s: s.get("phase") == "Running")
        signal(operations, parent, "Fail", "z", "--reason", "no")
        assert parent.until_final()["phase"] == "Failed"
        assert child.until_final()["phase"] == "Terminated"
        signal(operations, parent, "Retry", "--payload", '{"resumeSubworkflowTasks": true}')
    child.until("going on", lambda s: s.get("phase") == "Running")
    signal(operations, parent, "Complete", "z", "--payload", "{}")
    signal(operations, child, "Complete", "h", "--payload", "{}")
    assert parent.until_final()["phase"] == "Completed"
    assert [each.name for each in children_of(parent)] == [child.name]
    told = parent.types()
    assert (told["ExecutionFailed"], told["ExecutionRetried"], told["ExecutionCompleted"]) == (2, 2, 1)
    assert told["ExecutionTerminated"] == 0
    told = child.types()
    assert (told["ExecutionTerminated"], told["ExecutionRetried"], told["ExecutionCompleted"]) == (2, 2, 1)
    assert [e["by"] for e in parent.events if e["type"] == "ExecutionRetried"] == ["admin", "admin"]
    parent.recovered()
    child.recovered()
