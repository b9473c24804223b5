"""Cases of the conformance corpus on the real cluster: imported, applied, run and operated by the command line.

The workers are puppets, which report what the case's steps say when it is their turn. What stands in the ledger in the
end is compared as the runner in memory compares it; entries between the steps are only waited for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from openworld.api import Execution, JsonObject, SignalType
from openworld.engine.recover import recover
from openworld.engine.state import Identity
from openworld.ledger import epoch_ms
from openworld.simulation import Origin, SimulatedExecution
from tests.conformance.case import CASES, Case, read_cases
from tests.conformance.comparing import final_differences
from tests.conformance.observing import children_of, ended, settled
from tests.conformance.operating import signal_of
from tests.conformance.playing import POLICY
from tests.support import puppets
from tests.support.environment import ONCALL, Environment
from tests.support.kubectl import Kubectl
from tests.support.runs import definition

from .settings import ClusterError
from .shell import wait_for

NAMESPACE = "demo-b"
#: At least one of each area of the corpus.
NAMES = (
    "dynamic-task-name-from-input",
    "dynfork-task-list-and-input-map",
    "exclusive-join-first-existing-ref",
    "expr-task-keys",
    "expr-whole-string-keeps-type",
    "failure-workflow-runs",
    "fork-branch-failure-cancels-siblings",
    "fork-optional-branch-fails",
    "human-approve",
    "inline-throw-error",
    "join-subset-of-branches",
    "loop-body-failure-fails-workflow",
    "loop-with-switch-inside",
    "op-pause-and-resume",
    "op-rerun-from-task",
    "op-signal-completes-wait",
    "op-skip-task",
    "output-parameters",
    "retry-fixed-delay",
    "retry-terminal-error-stops",
    "sub-retry-of-parent-starts-new-child",
    "sub-terminate-parent-terminates-children",
    "switch-value-picks-case",
    "terminate-in-fork-cancels-other-branches",
    "timeout-sub-workflow-child",
    "variables-null-and-types",
)
_BY_NAME = {case.name: case for case in read_cases(CASES)}
_RUNNING = {"SCHEDULED": "IN_PROGRESS"}


class Relatives:
    """The Executions of a namespace as the API server shows them at one moment, each read from its ledger."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        listed = {
            kind: kubectl.json("-n", namespace, "get", kind)["items"]
            for kind in ("ledgersegments", "executions")
        }
        self._bodies = {body["metadata"]["uid"]: body for body in listed["executions"]}
        self._segments = listed["ledgersegments"]
        self._read: dict[str, SimulatedExecution] = {}

    def named(self, name: str) -> SimulatedExecution:
        """The execution of a name."""
        return next(self._of(uid) for uid, body in self._bodies.items() if body["metadata"]["name"] == name)

    def child(self, execution: SimulatedExecution, ref: str) -> SimulatedExecution | None:
        """The child execution of the last attempt of a task."""
        task = execution.state.tasks.get(ref)
        if task is None:
            return None
        started = (each for each in self._started_by(execution) if each.origin and not each.origin.detached)
        return next((each for each in started if each.origin and each.origin.seq == task.seq), None)

    def detached(self, execution: SimulatedExecution) -> list[SimulatedExecution]:
        """What an execution has started without waiting for it, in order."""
        return [each for each in self._started_by(execution) if each.origin and each.origin.detached]

    def _started_by(self, execution: SimulatedExecution) -> list[SimulatedExecution]:
        found = (
            self._of(uid)
            for uid, body in self._bodies.items()
            if body["spec"].get("parent", {}).get("uid") == execution.uid
        )
        return sorted(found, key=lambda each: each.origin.seq if each.origin else 0)

    def _of(self, uid: str) -> SimulatedExecution:
        if uid not in self._read:
            self._read[uid] = self._from(self._bodies[uid])
        return self._read[uid]

    def _from(self, body: JsonObject) -> SimulatedExecution:
        meta, parent = body["metadata"], body["spec"].get("parent")
        created_ms = epoch_ms(meta["creationTimestamp"])
        spec = Execution.model_validate(body["spec"])
        identity = Identity(meta["uid"], meta["name"], meta["namespace"], created_ms, spec)
        mine = [s["spec"] for s in self._segments if _owner(s) == meta["uid"]]
        payloads = {s["payload"]["digest"]: s["payload"]["value"] for s in mine if "payload" in s}
        segments = sorted((s for s in mine if "payload" not in s), key=lambda spec: spec["index"])
        status = body.get("status") or {}
        state = recover(identity, status, segments, payloads)
        sealed = [event for segment in segments for event in segment["events"]]
        origin = None
        if parent is not None:
            is_detached = parent.get("detached", False)
            origin = Origin(self._of(parent["uid"]), parent.get("ref", ""), parent["seq"], is_detached)
        events = [*sealed, *status.get("ledger", {}).get("events", [])]
        return SimulatedExecution(identity, state, origin, events, payloads)


def _owner(segment: JsonObject) -> str:
    labels: dict[str, str] = segment["metadata"].get("labels", {})
    return labels.get(puppets.EXECUTION_UID, "")


class Play:
    """One case on the cluster."""

    def __init__(self, env: Environment, case: Case, folder: Path) -> None:
        self._env = env
        self._case = case
        self._folder = folder

    def definitions(self) -> list[JsonObject]:
        """The case's definitions as `openworld import` makes objects of them, with puppets for workers."""
        files = []
        for kind, held in self._case.recorded["definitions"].items():
            file = self._folder / f"{kind}.json"
            file.write_text(json.dumps(held))
            files += [str(file)] if held else []
        made = self._folder / "made"
        self._env.openworld(
            "import", *files, "-o", str(made), "--image", ONCALL, "--catalog", self._case.name
        )
        objects = [yaml.safe_load(file.read_text()) for file in sorted(made.iterdir())]
        for each in objects:
            if each["kind"] == "Workflow":
                each["spec"]["policyRef"] = {"name": "conformance"}
            else:
                for tool in each["spec"]["tools"]:
                    tool["run"] = puppets.run()
        return objects

    def play(self) -> None:
        """Start it, and take the steps in order, each when the one before has come about."""
        recorded = self._case.recorded
        name = recorded["definitions"]["workflows"][0]["name"]
        more = ["--correlation-id", recorded["correlationId"]] if "correlationId" in recorded else []
        self._openworld(
            "run", name, "--name", self._case.name, "--input", json.dumps(recorded["input"]), *more
        )
        expect = self._case.of("expect")
        for index, step in enumerate(self._case.of("steps")):
            self._until_settled(f"what comes before {step}", expect[index])
            if "worker" in step:
                self._report(step)
            elif "op" in step:
                self._operate(step, is_refused="refused" in expect[index + 1])

    def compare(self) -> None:
        """Wait until the end is as expected."""
        found: list[str] = []

        def holds() -> bool:
            relatives = self._relatives()
            got, attempts = ended(relatives, relatives.named(self._case.name), self._case.texts)
            found[:] = final_differences(self._case.of("final"), got, attempts)
            return not found

        wait_for(f"the end of {self._case.name}", holds, seconds=60, explain=lambda: "\n".join(found))

    def _relatives(self) -> Relatives:
        return Relatives(self._env.kubectl, NAMESPACE)

    def _openworld(self, *words: str, check: bool = True) -> int:
        return self._env.openworld(*words, "-n", NAMESPACE, check=check).returncode

    def _until_settled(self, what: str, expected: JsonObject) -> None:
        seen: JsonObject = {}

        def holds() -> bool:
            relatives = self._relatives()
            seen.clear()
            seen.update(settled(relatives, relatives.named(self._case.name)))
            return _agrees(expected, seen)

        wait_for(what, holds, seconds=60, explain=lambda: json.dumps(seen))

    def _at(self, step: JsonObject) -> SimulatedExecution:
        relatives = self._relatives()
        root = relatives.named(self._case.name)
        path = "/".join(step.get("workflow", ()))
        return children_of(relatives, root)[path] if path else root

    def _report(self, step: JsonObject) -> None:
        execution = self._at(step)
        seq = execution.state.tasks[step["worker"]].seq
        puppets.pull(self._env.kubectl, NAMESPACE, execution.uid, seq, step["result"])

    def _operate(self, step: JsonObject, *, is_refused: bool) -> None:
        kind, ref, payload = signal_of(step)
        words = ["signal", self._at(step).name, kind.value, *([ref] if ref else [])]
        if kind in (SignalType.TERMINATE, SignalType.FAIL):
            words += ["--reason", payload["reason"]]
        elif payload:
            words += ["--payload", json.dumps(payload)]
        code = self._openworld(*words, check=False)
        assert (code != 0) is is_refused, f"{' '.join(words)} was {'accepted' if is_refused else 'refused'}"


def _agrees(expected: JsonObject, got: JsonObject) -> bool:
    """Whether a settled state is as expected; whether a container has started yet depends on the moment."""
    if expected["status"] != got["status"]:
        return False
    wanted, found = (
        {ref: _RUNNING.get(status, status) for ref, status in entry["tasks"].items()}
        for entry in (expected, got)
    )
    children, there = expected.get("children", {}), got.get("children", {})
    are_alike = children.keys() == there.keys() and all(
        _agrees(children[path], there[path]) for path in children
    )
    return wanted == found and are_alike


@pytest.fixture(scope="module")
def conformance(env: Environment) -> Environment:
    """A policy that allows everything, as the recorded server did, and the right to use every tool."""
    env.kubectl.apply(
        NAMESPACE, definition("Policy", "conformance", POLICY), *puppets.right_to_use(NAMESPACE)
    )
    return env


@pytest.fixture
def play(conformance: Environment, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Play]:
    """The case, its definitions applied; they and the run are gone afterwards."""
    case = _BY_NAME[request.param]
    made = Play(conformance, case, tmp_path)
    objects = made.definitions()
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    # On the server's side: the other way kubectl drops every null, and some cases are about nulls.
    conformance.kubectl("-n", NAMESPACE, "apply", "--server-side", "-f", "-", stdin=listed)
    yield made
    conformance.kubectl(
        "-n", NAMESPACE, "delete", "execution", case.name, "--ignore-not-found", "--wait=false"
    )
    conformance.kubectl("-n", NAMESPACE, "delete", "-f", "-", "--wait=false", stdin=listed)


def test_every_area_is_here() -> None:
    assert {_BY_NAME[name].recorded["area"] for name in NAMES} == {
        case.recorded["area"] for case in _BY_NAME.values()
    }


@pytest.mark.parametrize("play", NAMES, indirect=True)
def test_a_recorded_behaviour_comes_about_on_the_cluster(play: Play) -> None:
    problem = ""
    try:
        play.play()
        play.compare()
    except ClusterError as error:
        problem = str(error)
    if problem:
        pytest.fail(problem, pytrace=False)
