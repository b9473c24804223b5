"""Workers on strings: a container that runs until it is told what to report, so that a test says what happens when.

A puppet is a real worker with the SDK, in a Job of the operator's; only what it reports, and when, comes from outside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from openworld.api import JsonObject
from tests.cluster.shell import wait_for

from .environment import ONCALL
from .kubectl import Kubectl
from .runs import Run

EXECUTION_UID, SEQ = "openworld.dev/execution-uid", "openworld.dev/seq"
_SAID = "/tmp/said"
_STRINGS = f"cat > {_SAID}.part && mv {_SAID}.part {_SAID}"
_PUPPET = f"""
import json, os, pathlib, sys
from openworld_worker.report import Outcome, Status
from openworld_worker.runner import run_attempt

said = pathlib.Path({_SAID!r})


def attempt(me, reporter, cancelled):
    while not said.exists():
        if cancelled.wait(0.05):
            os._exit(1)  # it is stopped, and has nothing to say
    told = json.loads(said.read_text())
    return Outcome(status=Status(told["status"]), output=told.get("output"), reason=told.get("reason", ""))


sys.exit(run_attempt(os.environ, attempt))
"""
_STATUSES = {
    "COMPLETED": "Completed",
    "FAILED": "Failed",
    "FAILED_WITH_TERMINAL_ERROR": "FailedWithTerminalError",
}


def run() -> JsonObject:
    """What a tool of a catalog runs as."""
    return {"container": {"image": ONCALL, "command": ["python", "-c", _PUPPET]}, "report": "TaskResult"}


def tool(name: str, **more: Any) -> JsonObject:
    """A tool that takes any object and is not retried unless `more` says so."""
    retry = {"count": 0}
    return {
        "name": name,
        "inputSchema": {"type": "object"},
        "effect": "Read",
        "retry": retry,
        "run": run(),
        **more,
    }


def right_to_use(namespace: str) -> tuple[JsonObject, JsonObject]:
    """A Role and its binding: the service account `default` may use every tool of the namespace."""
    group, name = "rbac.authorization.k8s.io", "puppets"
    about = {"apiVersion": f"{group}/v1", "metadata": {"name": name}}
    rule = {"apiGroups": ["openworld.dev"], "resources": ["tools"], "verbs": ["use"]}
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    return (
        {**about, "kind": "Role", "rules": [rule]},
        {
            **about,
            "kind": "RoleBinding",
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [subject],
        },
    )


_REVIVED = ("ExecutionRetried", "ExecutionRerun", "ExecutionRestarted")


def answer(run: Run, ref: str, status: str = "COMPLETED", **more: Any) -> None:
    """Let the present attempt of a task report, once the ledger says that its container has started."""
    seq = -1

    def has_started(seen: JsonObject) -> bool:
        nonlocal seq
        events = seen.get("ledger", {}).get("events", [])
        anew = max((event["seq"] for event in events if event["type"] in _REVIVED), default=-1)
        mine = [event for event in events if event.get("ref") == ref and event["seq"] > anew]
        scheduled = [event["seq"] for event in mine if event["type"] in ("TaskScheduled", "RetryScheduled")]
        seq = scheduled[-1] if scheduled else -1
        return seq >= 0 and any(event["type"] == "TaskStarted" and event["seq"] > seq for event in mine)

    run.until(f"the start of {ref}", has_started)
    uid = run.object["metadata"]["uid"]
    pull(run.kubectl, run.namespace, uid, seq, {"status": status, **more})


def pull(kubectl: Kubectl, namespace: str, uid: str, seq: int, result: Mapping[str, Any]) -> None:
    """Wait for the pod of the attempt that event `seq` of execution `uid` scheduled, and let it report a result.

    `result` is in Conductor's words: status, output, reason.
    """
    told = json.dumps({**result, "status": _STATUSES[result["status"]]})
    pod = _running(kubectl, namespace, uid, seq)
    kubectl("-n", namespace, "exec", "-i", pod, "--", "sh", "-c", _STRINGS, stdin=told)


def _running(kubectl: Kubectl, namespace: str, uid: str, seq: int) -> str:
    selector = f"{EXECUTION_UID}={uid},{SEQ}={seq}"
    found: list[str] = []

    def look() -> bool:
        pods = kubectl.json("-n", namespace, "get", "pods", "-l", selector)["items"]
        found[:] = [pod["metadata"]["name"] for pod in pods if _runs(pod)]
        return bool(found)

    wait_for(f"a running pod of attempt {seq}", look, seconds=60)
    return found[0]


def _runs(pod: Mapping[str, Any]) -> bool:
    statuses = pod["status"].get("containerStatuses") or ()
    return any("running" in status.get("state", {}) for status in statuses)
