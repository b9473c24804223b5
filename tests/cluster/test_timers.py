"""Time is kept to the second: each timer fires within one second of when the ledger says that it is due.

Both times are read from the record; for a retry, whose timer makes a Job, the Job says when it was made. The same
holds where the operator was killed between, as long as another is ready before the time has come.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from openworld.api import JsonObject
from openworld.ledger import epoch_ms
from tests.support import puppets
from tests.support.environment import NAMESPACE as OPERATOR
from tests.support.environment import Environment
from tests.support.runs import Run, definition

from .shell import wait_for

NAMESPACE = "demo-b"
CATALOG = "timers"
SECOND_MS = 1000
POD_SELECTOR = "app.kubernetes.io/name=openworld"

Event = dict[str, Any]


def at(run: Run, kind: str, **fields: Any) -> int:
    """When an event was recorded (epoch, milliseconds); waits for it."""
    return epoch_ms(run.until_event(kind, **fields)["at"])


@dataclass(frozen=True)
class Timer:
    """A workflow with a timer of some seconds; how to set it off, when it is due, and when it fired."""

    workflow: Callable[[int], JsonObject]
    begun: Callable[[Run], object]
    due: Callable[[Run, int], int]
    fired: Callable[[Run], int]
    tool: Callable[[int], JsonObject] | None = None

    def start(self, env: Environment, kind: str, seconds: int) -> Run:
        """Apply what it needs and start a run whose timer is of so many seconds."""
        name = f"timer-{kind}-{seconds}"
        tools = [self.tool(seconds)] if self.tool is not None else []
        env.kubectl.apply(
            NAMESPACE,
            definition("ToolCatalog", name, {"tools": tools}),
            definition("Workflow", name, {"catalogs": [name], **self.workflow(seconds)}),
        )
        env.openworld("run", name, "-n", NAMESPACE, "--name", name)
        return Run(env.kubectl, NAMESPACE, name)


WORK: JsonObject = {"tasks": [{"ref": "work", "type": "work"}]}


def _wait(seconds: int) -> JsonObject:
    return {"tasks": [{"ref": "wait", "type": "WAIT", "input": {"duration": f"{seconds}s"}}]}


def _due_at(run: Run, seconds: int) -> int:
    event = run.until_event("TaskScheduled", ref="wait")
    due = epoch_ms(event["dueAt"])
    assert due == epoch_ms(event["at"]) + seconds * 1000
    return due


def _retry(seconds: int) -> JsonObject:
    return puppets.tool("work") | {"retry": {"count": 1, "delaySeconds": seconds}}


def _not_before(run: Run, seconds: int) -> int:
    event = run.until_event("RetryScheduled", ref="work")
    due = epoch_ms(event["notBefore"])
    assert due == epoch_ms(event["at"]) + seconds * 1000
    return due


def _second_job(run: Run) -> int:
    """When the Job of the second attempt was made. The API server says the second, cut off."""
    run.until_event("TaskStarted", ref="work", attempt=1)
    [made] = [
        job["metadata"]["creationTimestamp"]
        for job in run.jobs()
        if job["metadata"]["labels"]["openworld.dev/attempt"] == "1"
    ]
    return epoch_ms(made)


TIMERS = {
    "wait": Timer(
        workflow=_wait,
        begun=lambda run: run.until_event("TaskScheduled", ref="wait"),
        due=_due_at,
        fired=lambda run: at(run, "TaskCompleted", ref="wait"),
    ),
    "task-timeout": Timer(
        workflow=lambda _: WORK,
        tool=lambda seconds: puppets.tool("work", timeoutSeconds=seconds),
        begun=lambda run: run.until_event("TaskStarted", ref="work"),
        due=lambda run, seconds: at(run, "TaskStarted", ref="work") + seconds * 1000,
        fired=lambda run: at(run, "TaskTimedOut", ref="work"),
    ),
    "workflow-timeout": Timer(
        workflow=lambda seconds: {"tasks": [{"ref": "ask", "type": "HUMAN"}], "timeoutSeconds": seconds},
        begun=lambda run: run.until_event("TaskScheduled", ref="ask"),
        due=lambda run, seconds: at(run, "ExecutionStarted") + seconds * 1000,
        fired=lambda run: at(run, "ExecutionTimedOut"),
    ),
    "retry-delay": Timer(
        workflow=lambda _: WORK,
        tool=_retry,
        begun=lambda run: puppets.answer(run, "work", "FAILED", reason="once"),
        due=_not_before,
        fired=_second_job,
    ),
}


@pytest.fixture(scope="module")
def timers(env: Environment) -> Environment:
    """The right to use the tools."""
    env.kubectl.apply(NAMESPACE, *puppets.right_to_use(NAMESPACE))
    return env


def late_ms(kind: str, run: Run, seconds: int) -> int:
    """How much later than it was due the timer fired."""
    timer = TIMERS[kind]
    due, fired = timer.due(run, seconds), timer.fired(run)
    if kind == "retry-delay":  # known to the second only
        due -= due % SECOND_MS
    print(f"{kind} of {seconds} s: {fired - due} ms late")
    return fired - due


@pytest.mark.parametrize("kind", TIMERS)
def test_a_timer_fires_within_a_second(timers: Environment, kind: str) -> None:
    seconds = 5
    run = TIMERS[kind].start(timers, kind, seconds)
    TIMERS[kind].begun(run)
    assert 0 <= late_ms(kind, run, seconds) <= SECOND_MS
    run.recovered()


def operators(env: Environment) -> dict[str, JsonObject]:
    """The operator's pods that are ready, by uid."""
    pods = env.kubectl.json("-n", OPERATOR, "get", "pods", "-l", POD_SELECTOR)["items"]
    return {pod["metadata"]["uid"]: pod for pod in pods if _ready(pod) is not None}


def _ready(pod: JsonObject) -> int | None:
    conditions = pod["status"].get("conditions") or ()
    found = (c for c in conditions if c["type"] == "Ready" and c["status"] == "True")
    return next((epoch_ms(c["lastTransitionTime"]) for c in found), None)


def kill_operator(env: Environment) -> int:
    """Delete the operator's pod with no grace, and wait for another; returns when that was ready."""
    [(old, pod)] = operators(env).items()
    name = pod["metadata"]["name"]
    env.kubectl("-n", OPERATOR, "delete", "pod", name, "--grace-period=0", "--force", "--wait=false")
    wait_for("another operator", lambda: set(operators(env)) not in (set(), {old}), seconds=60)
    [ready] = [_ready(new) for uid, new in operators(env).items() if uid != old]
    assert ready is not None
    return ready


def test_timers_fire_within_a_second_though_the_operator_was_killed(timers: Environment) -> None:
    seconds = 20
    runs = {kind: timer.start(timers, kind, seconds) for kind, timer in TIMERS.items()}
    for kind, run in runs.items():
        TIMERS[kind].begun(run)
    due = [TIMERS[kind].due(run, seconds) for kind, run in runs.items()]
    killed_ms = round(time.time() * 1000)
    ready_ms = kill_operator(timers)
    print(f"killed {min(due) - killed_ms} ms before the first was due; ready {ready_ms - killed_ms} ms later")
    assert ready_ms + SECOND_MS < min(due), "the delay is too short for this machine"
    late = {kind: late_ms(kind, run, seconds) for kind, run in runs.items()}
    assert all(0 <= each <= SECOND_MS for each in late.values()), late
    for run in runs.values():
        run.recovered()
