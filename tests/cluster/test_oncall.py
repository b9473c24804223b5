"""The on-call example on the real cluster: the whole story, and the operator killed in its midst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.cluster.shell import wait_for
from tests.support import oncall
from tests.support.environment import Environment
from tests.support.runs import Run

NAMESPACE = "demo-a"
#: Three turns, three reads, the rollback, the incident.
JOBS = {
    ("triage", "1"), ("triage", "2"), ("triage", "3"), ("triage__1__metrics", ""), ("triage__1__history", ""),
    ("triage__1__traces", ""), ("triage__2__rollback", ""), ("report", ""),
}  # fmt: skip
EVENTS = {
    "ExecutionStarted": 1,
    "TaskScheduled": 6,
    "TurnStarted": 3,
    "ProposalReceived": 3,
    "ProposalJudged": 3,
    "TasksMaterialized": 2,
    "ApprovalRequested": 1,
    "ApprovalGiven": 1,
    "TaskCompleted": 6,
    "ExecutionCompleted": 1,
}


def start(env: Environment, name: str) -> Run:
    """Set the example up and let Alice run it."""
    oncall.deploy(env, NAMESPACE)
    oncall.start(env, NAMESPACE, name)
    return Run(env.kubectl, NAMESPACE, name)


def approve(env: Environment, run: Run) -> None:
    """Bob approves what waits."""
    oncall.approve(env, NAMESPACE, run.name, "ok")


def assert_told_once(run: Run) -> None:
    """Exactly the Jobs and events of the story, one of each, and a chain that holds."""
    counted = Counter((job["metadata"]["labels"]["openworld.dev/ref"], _turn(job)) for job in run.jobs())
    assert counted == Counter(JOBS)
    types = run.types()
    types.pop("TaskStarted", None)  # a start that nobody saw is not told
    assert dict(types) == EVENTS
    state = run.recovered()
    assert state.phase.value == "Completed"
    assert state.output is not None
    assert state.output["cause"] == "deploy 14:02: new pricing client"
    assert state.output["incident"].startswith("INC-")


def _turn(job: dict[str, dict[str, dict[str, list[dict[str, list[dict[str, str]]]]]]]) -> str:
    env = job["spec"]["template"]["spec"]["containers"][0]["env"]  # type: ignore[index,call-overload]
    return next((str(e["value"]) for e in env if e["name"] == "OPENWORLD_TURN"), "")


def test_the_story_from_alert_to_rollback_stands_in_one_record(env: Environment) -> None:
    run = start(env, "story")
    waiting = run.until("an approval", lambda s: "approval of triage__2__rollback" in s.get("waitingFor", ""))
    assert waiting["counts"]["denied"] == 1
    slow = env.kubectl("-n", NAMESPACE, "get", "deployment", "checkout", "-o", "yaml").stdout
    assert "PRICING_LATENCY_MS" in slow

    own = env.openworld(
        "approve", "story", "-n", NAMESPACE, "--as", "alice@example.com", "--yes", check=False
    )
    assert own.returncode == 1
    assert 'User "alice@example.com" cannot create resource "signals"' in own.stderr

    approve(env, run)
    run.until_final()
    assert_told_once(run)

    fast = env.kubectl("-n", NAMESPACE, "get", "deployment", "checkout", "-o", "yaml").stdout
    assert "400" not in fast.partition("spec:")[2]

    events = run.events
    by_type = {e["type"]: e for e in events}
    assert by_type["ExecutionStarted"]["requestedBy"] == "alice@example.com"
    judged = [e for e in events if e["type"] == "ProposalJudged"][1]
    assert [(i["decision"], i["rule"]) for i in judged["items"]] == [
        ("NeedsApproval", "own-service"),
        ("Denied", "no-deletes"),
    ]
    assert judged["rules"]["oncall/no-deletes"]["message"] == judged["items"][1]["reason"]
    assert by_type["ApprovalGiven"]["by"] == "bob@example.com"
    assert by_type["ApprovalGiven"]["itemDigest"] == by_type["ApprovalRequested"]["itemDigest"]
    third = [e for e in events if e["type"] == "TurnStarted"][2]
    assert third["context"]["history"][1]["verdict"][1]["reason"].startswith(
        "Deployments are deleted by people"
    )
    rollback = next(e for e in events if e["type"] == "TaskCompleted" and e["ref"] == "triage__2__rollback")
    history = next(e for e in events if e["type"] == "TaskCompleted" and e["ref"] == "triage__1__history")
    assert rollback["output"]["to"] == history["output"]["previous"]

    story = env.openworld("ledger", "story", "-n", NAMESPACE).stdout
    for words in ("no-deletes", "bob@example.com", "rollback completed", "incident"):
        assert words in story
    tree = env.openworld("tree", "story", "-n", NAMESPACE).stdout
    assert "delete_deployment" in tree
    assert "Denied" in tree
    milestones = env.kubectl.json(
        "-n", NAMESPACE, "get", "events", "--field-selector=involvedObject.name=story"
    )
    assert {"ExecutionStarted", "ApprovalRequested", "ApprovalGiven", "ExecutionCompleted"} <= {
        event["reason"] for event in milestones["items"]
    }


MOMENTS: dict[str, Callable[[Run], object]] = {
    "during-a-turn": lambda run: run.until_event("TurnStarted", turn=1),
    "between-verdict-and-job": lambda run: run.until_event("ProposalJudged", turn=1),
    "while-tools-run": lambda run: run.until_event("TaskStarted", ref="triage__1__metrics"),
    "waiting-for-approval": lambda run: run.until_event("ApprovalRequested"),
    "at-the-end": lambda run: run.until_event("TaskScheduled", ref="report"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_operator_changes_nothing(env: Environment, moment: str) -> None:
    run = start(env, f"kill-{moment}")
    if moment != "at-the-end":
        MOMENTS[moment](run)
        env.kill_operator()
        run.until_event("ApprovalRequested", seconds=120)
        approve(env, run)
    else:
        run.until_event("ApprovalRequested", seconds=120)
        approve(env, run)
        MOMENTS[moment](run)
        env.kill_operator()
    run.until_final(seconds=120)
    assert_told_once(run)
    wait_for("the operator's return", lambda: _is_ready(env), seconds=60)


def _is_ready(env: Environment) -> bool:
    path = "jsonpath={.status.readyReplicas}"
    return (
        env.kubectl("-n", "openworld-system", "get", "deploy", "openworld-operator", "-o", path).stdout == "1"
    )
