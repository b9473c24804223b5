"""A reconciler over an API server in memory, one step at a time: what reconcilers' tests work on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from openworld.controller import names
from openworld.controller.queue import WorkQueue
from openworld.controller.reconcile import Reconciler
from openworld.controller.scripts import ScriptRunner
from openworld.controller.settings import Fencing, Settings
from openworld.controller.stores import ObjectKey
from openworld.controller.world import World, set_right
from openworld.kube import Unavailable
from openworld.kube.resources import (
    EXECUTIONS,
    JOBS,
    PODS,
    SIGNALS,
    TASK_RESULTS,
    TOOL_CATALOGS,
    WORKFLOWS,
)
from openworld.ledger import epoch_ms
from tests.support.apiserver import BORN, ApiServerDouble, Request
from tests.unit.test_queue_workqueue import FakeClock

KEY = ObjectKey("team", "run-1")
REPORTING = {"container": {"image": "example/lookup:1"}, "report": "TaskResult"}


class Guard:
    """The admission guard, as the test wants it."""

    is_closed = True
    since_ms = 0


class Bench:
    """An operator and an API server in memory. Time moves only when the test says so."""

    def __init__(self, *, fencing: Fencing = Fencing.FAST) -> None:
        self.api = ApiServerDouble()
        self.settings = Settings(agent_image="example/agent:1", fencing=fencing, job_retention_seconds=900)
        self.now_ms = epoch_ms(BORN) + 1000
        self.monotonic = 50.0
        self.guard = Guard()
        self.restart()

    def restart(self) -> None:
        """A new process: every cache is empty."""
        self.world = World()
        self.clock = FakeClock()
        self.reconciler = Reconciler(
            self.api,
            self.world,
            self.settings,
            ScriptRunner(),
            cast("Any", self.guard),
            now_ms=lambda: self.now_ms,
            monotonic=lambda: self.monotonic,
        )
        self.reconciler.queue = WorkQueue(self.reconciler.reconcile, concurrency=1, clock=self.clock)

    def workflow(self, *tasks: dict[str, Any], **tool: Any) -> Bench:
        """A Workflow `main` whose catalog has the tool `lookup`."""
        entry = {
            "name": "lookup",
            "inputSchema": {"type": "object"},
            "effect": "Read",
            "run": {"container": {"image": "example/lookup:1"}},
            "retry": {"count": 1, "delaySeconds": 0},
        }
        self.api.put(TOOL_CATALOGS, "team", "tools", spec={"tools": [entry | tool]})
        given = list(tasks) or [{"ref": "look", "type": "lookup", "input": {"service": "checkout"}}]
        self.api.put(WORKFLOWS, "team", "main", spec={"catalogs": ["tools"], "tasks": given})
        return self

    def execution(self, name: str = "run-1", workflow: str = "main") -> Bench:
        """An Execution of `main`."""
        spec = {"workflowRef": {"name": workflow}, "requestedBy": "alice@example.com"}
        self.api.put(EXECUTIONS, "team", name, spec=spec)
        return self

    def watch(self) -> Bench:
        """Let the watches catch up."""
        asyncio.run(set_right(self.api, self.world, ()))
        return self

    def reconcile(self, key: ObjectKey = KEY) -> Bench:
        """One reconcile with what the watches have shown so far."""
        asyncio.run(self.reconciler.reconcile(key))
        return self

    def go(self) -> Bench:
        """Watches catch up, then one reconcile."""
        return self.watch().reconcile()

    @property
    def run(self) -> dict[str, Any]:
        return self.api.objects[EXECUTIONS.path("team", "run-1")]

    @property
    def uid(self) -> str:
        return str(self.run["metadata"]["uid"])

    @property
    def events(self) -> list[str]:
        return [event["type"] for event in self.run["status"]["ledger"]["events"]]

    @property
    def jobs(self) -> list[dict[str, Any]]:
        return self.api.all(JOBS, "team")

    def pod(self, job: dict[str, Any], *, phase: str = "Running", **terminated: Any) -> dict[str, Any]:
        """The pod of a Job, as the kubelet would show it."""
        state = {"terminated": terminated} if terminated else {"running": {}}
        name = f"{job['metadata']['name']}-abcde"
        return self.api.put(
            PODS,
            "team",
            name,
            metadata={
                "labels": {**job["metadata"]["labels"], names.JOB_UID: job["metadata"]["uid"]},
                "annotations": {names.EXECUTION: "run-1"},
                "ownerReferences": [{"kind": "Job", "uid": job["metadata"]["uid"], "controller": True}],
            },
            spec={"containers": [{"name": "task", "image": "example/lookup:1"}]},
            status={
                "phase": phase,
                "startTime": BORN,
                "containerStatuses": [{"name": "task", "state": state}],
            },
        )

    def finish(self, job: dict[str, Any], kind: str = "Complete") -> None:
        """The Job controller says that a Job is over."""
        conditions = [{"type": kind, "status": "True"}]
        self.api.put(JOBS, "team", job["metadata"]["name"], status={"conditions": conditions})

    def result(self, pod: dict[str, Any], **spec: Any) -> None:
        """The pod's own report."""
        given = {
            "execution": "run-1",
            "ref": "look",
            "attempt": 0,
            "podUID": pod["metadata"]["uid"],
            "status": "Completed",
            "output": {"p99": 2},
        }
        self.api.put(TASK_RESULTS, "team", pod["metadata"]["name"], spec=given | spec)

    def signal(self, kind: str, *, uid: str | None = None, **spec: Any) -> None:
        """A Signal of a person."""
        given = {"execution": "run-1", "executionUID": uid or self.uid, "type": kind, "by": "bob@example.com"}
        self.api.put(SIGNALS, "team", "signal-1", spec=given | spec)

    @property
    def answer(self) -> tuple[str, str]:
        """What became of the Signal."""
        condition = self.api.objects[SIGNALS.path("team", "signal-1")]["status"]["conditions"][0]
        return condition["status"], condition["message"]

    @property
    def wakes_in(self) -> float:
        """Seconds until the next wake-up."""
        return self.clock.pending[0] - self.clock.now


def once(method: str, fragment: str, act: Callable[[Request], None]) -> Callable[[Request], None]:
    """A hook that acts on the first request of a kind."""
    state = {"armed": True}

    def hook(request: Request) -> None:
        if state["armed"] and request.method == method and fragment in request.path:
            state["armed"] = False
            act(request)

    return hook


def away(_: Request) -> None:
    """The API server does not answer."""
    raise Unavailable("the API server did not answer")
