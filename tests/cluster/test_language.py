"""The task language end to end: every task type, children, people, timers, on the real cluster."""

from __future__ import annotations

import json

import pytest

from openworld.ledger import epoch_ms
from tests.cluster.shell import wait_for
from tests.support import puppets
from tests.support.environment import ONCALL, Environment
from tests.support.runs import Run, definition

NAMESPACE = "demo-b"
ECHO = """
import json
task = json.load(open("/openworld/task.json"))
open("/dev/termination-log", "w").write(json.dumps({"said": task["input"].get("say"), "key": task["idempotencyKey"]}))
"""


@pytest.fixture(scope="module")
def language(env: Environment) -> Environment:
    """A catalog with a tool that answers and one that sleeps, and workflows that use every type."""
    run = {"container": {"image": ONCALL, "command": ["python", "-c", ECHO]}}
    sleeper = {"container": {"image": ONCALL, "command": ["sleep", "600"]}}
    tool = {"inputSchema": {"type": "object"}, "effect": "Read", "retry": {"count": 0}}
    env.kubectl.apply(
        NAMESPACE,
        definition(
            "ToolCatalog",
            "language",
            {"tools": [{**tool, "name": "echo", "run": run}, {**tool, "name": "sleeper", "run": sleeper}]},
        ),
        definition("Policy", "language", {"rules": [{"name": "echo", "match": {"tools": ["echo"]}, "decision": "Allow"}]}),
        definition(
            "Workflow",
            "child",
            {
                "catalogs": ["language"],
                "tasks": [{"ref": "inner", "type": "echo", "input": {"say": "${workflow.input.word}"}}],
                "outputParameters": {"word": "${inner.output.said}"},
            },
        ),
        definition("Workflow", "long-child", {"catalogs": ["language"], "tasks": [{"ref": "nap", "type": "sleeper"}]}),
        definition(
            "Workflow",
            "long",
            {"tasks": [{"ref": "sub", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "long-child"}}]},
        ),
        definition(
            "Workflow",
            "everything",
            {
                "catalogs": ["language"],
                "policyRef": {"name": "language"},
                "tasks": [
                    {"ref": "double", "type": "INLINE", "evaluatorType": "javascript", "expression": "$.n * 2",
                     "input": {"n": "${workflow.input.n}"}},
                    {"ref": "keep", "type": "SET_VARIABLE", "input": {"total": "${double.output.result}"}},
                    {"ref": "size", "type": "SWITCH", "evaluatorType": "jq", "expression": "if .v > 3 then \"big\" else \"small\" end",
                     "input": {"v": "${workflow.variables.total}"},
                     "decisionCases": {"big": [{"ref": "big", "type": "echo", "input": {"say": "big"}}]}},
                    {"ref": "fork", "type": "FORK_JOIN", "forkTasks": [
                        [{"ref": "left", "type": "echo", "input": {"say": "left"}}],
                        [{"ref": "pause", "type": "WAIT", "input": {"duration": "2s"}}]]},
                    {"ref": "meet", "type": "JOIN", "joinOn": ["left", "pause"]},
                    {"ref": "wide", "type": "FORK_JOIN_DYNAMIC", "input": {
                        "dynamicTasks": [{"ref": "d1", "type": "echo"}, {"ref": "d2", "type": "echo"}],
                        "dynamicTasksInput": {"d1": {"say": "one"}, "d2": {"say": "two"}}}},
                    {"ref": "gather", "type": "JOIN"},
                    {"ref": "sub", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "child"}, "input": {"word": "hello"}},
                    {"ref": "ask", "type": "HUMAN"},
                    {"ref": "end", "type": "TERMINATE", "input": {"terminationStatus": "COMPLETED", "workflowOutput": {
                        "said": ["${big.output.said}", "${meet.output.left.said}", "${gather.output.d2.said}", "${sub.output.word}"],
                        "person": "${ask.output.answer}"}}},
                    {"ref": "never", "type": "echo"},
                ],
            },
        ),
        *puppets.right_to_use(NAMESPACE),
    )  # fmt: skip
    return env


def test_every_task_type_runs(language: Environment) -> None:
    run = Run.start(
        language.kubectl, NAMESPACE, "everything", {"workflowRef": {"name": "everything"}, "input": {"n": 2}}
    )
    run.until("a person", lambda s: s.get("waitingFor") == "person: ask")
    language.openworld(
        "signal", "everything", "Complete", "ask", "-n", NAMESPACE, "--payload", '{"answer": "yes"}'
    )
    status = run.until_final()
    assert status["phase"] == "Completed", status.get("reason")
    assert status["output"] == {"said": ["big", "left", "two", "hello"], "person": "yes"}
    assert sorted(job["metadata"]["labels"]["openworld.dev/ref"] for job in run.jobs()) == [
        "big",
        "d1",
        "d2",
        "left",
    ]
    events = run.events
    waited = [
        epoch_ms(e["at"])
        for e in events
        if e.get("ref") == "pause" and e["type"] in ("TaskScheduled", "TaskCompleted")
    ]
    assert waited[1] - waited[0] >= 2000
    answered = next(e for e in events if e["type"] == "TaskCompleted" and e["ref"] == "ask")
    assert answered["by"] == "admin"
    run.recovered()


def test_the_end_of_a_parent_ends_its_children_and_their_jobs(language: Environment) -> None:
    run = Run.start(language.kubectl, NAMESPACE, "parent", {"workflowRef": {"name": "long"}})

    def children() -> list[str]:
        listed = language.kubectl.json("-n", NAMESPACE, "get", "executions")["items"]
        return [e["metadata"]["name"] for e in listed if e["spec"].get("parent", {}).get("name") == "parent"]

    wait_for("the child", lambda: len(children()) == 1, seconds=30)
    child = Run(language.kubectl, NAMESPACE, children()[0])
    child.until_event("TaskStarted", ref="nap")
    assert child.object["spec"]["requestedBy"] == "admin"
    language.openworld("terminate", "parent", "-n", NAMESPACE, "--reason", "enough")
    assert run.until_final()["phase"] == "Terminated"
    status = child.until_final()
    assert status["phase"] == "Terminated"
    wait_for("the end of the child's Job", lambda: not child.jobs(), seconds=60)


def test_pause_holds_and_resume_goes_on(language: Environment) -> None:
    spec = {"workflowRef": {"name": "child"}, "input": {"word": "x"}, "suspend": True}
    run = Run.start(language.kubectl, NAMESPACE, "held", spec)
    run.until("the pause", lambda s: s.get("phase") == "Paused")
    assert run.jobs() == []
    language.kubectl(
        "-n",
        NAMESPACE,
        "patch",
        "execution",
        "held",
        "--type=merge",
        "-p",
        json.dumps({"spec": {"suspend": False}}),
    )
    assert run.until_final()["output"] == {"word": "x"}


def test_a_signal_that_does_not_fit_is_refused_with_the_reason(language: Environment) -> None:
    run = Run.start(
        language.kubectl, NAMESPACE, "done", {"workflowRef": {"name": "child"}, "input": {"word": "x"}}
    )
    run.until_final()
    late = language.openworld("signal", "done", "Pause", "-n", NAMESPACE, check=False)
    assert late.returncode == 1
    assert "has ended as Completed" in late.stderr


def test_deleting_an_execution_removes_its_jobs_and_reports(language: Environment) -> None:
    run = Run.start(
        language.kubectl, NAMESPACE, "gone", {"workflowRef": {"name": "child"}, "input": {"word": "x"}}
    )
    run.until_final()
    assert len(run.jobs()) == 1
    language.kubectl("-n", NAMESPACE, "delete", "execution", "gone")
    wait_for("the Jobs' removal", lambda: not run.jobs(), seconds=60)


def test_the_command_line_says_what_is_wrong(language: Environment) -> None:
    unknown = language.openworld("get", "no-such", "-n", NAMESPACE, check=False)
    assert unknown.returncode == 1
    assert "no-such" in unknown.stderr
    assert "Traceback" not in unknown.stderr
    refused = language.openworld("run", "child", "-n", NAMESPACE, "--as", "nobody@example.com", check=False)
    assert refused.returncode == 1
    assert "forbidden" in refused.stderr.lower()
    done = language.openworld("run", "child", "-n", NAMESPACE, "--name", "by-cli", "-i", "word=cli", "--wait")
    assert "Completed" in done.stdout + done.stderr
    table = language.openworld("get", "-n", NAMESPACE).stdout
    assert "by-cli" in table
    shown = json.loads(language.openworld("get", "by-cli", "-n", NAMESPACE, "-o", "json").stdout)
    assert shown["status"]["output"] == {"word": "cli"}
