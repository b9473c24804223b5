"""An execution without a cluster: the shell's part, in memory, around the real engine.

It answers needs from dictionaries, hands facts to a `Pass`, and checks after every pass that the
state equals the fold of the events and that the projection round-trips through recovery.
"""

from __future__ import annotations

import json
from typing import Any

from openworld.api import Agent, Execution, Phase, Policy, ReportStatus, SignalType, ToolCatalog, Workflow
from openworld.engine import snapshot
from openworld.engine.claims import Book
from openworld.engine.decide import Pass
from openworld.engine.desire import desired
from openworld.engine.facts import Ending, Fact, JobEnded, JobStarted, Report, Signaled
from openworld.engine.needs import (
    Answer,
    Child,
    Definition,
    DefinitionKind,
    Environment,
    Need,
    NeedAccess,
    NeedChild,
    NeedClaim,
    NeedDefinition,
    NeedEnvironment,
    NeedScript,
    ScriptAnswer,
)
from openworld.engine.outside import DesiredChild, DesiredJob
from openworld.engine.projection import project
from openworld.engine.recover import recover
from openworld.engine.state import Identity, State, TaskState
from openworld.language.canonical import digest
from openworld.language.evaluators import ScriptError, evaluate
from openworld.language.versions import choose, name_of, version_in

START_MS = 1_800_000_000_000
_MODELS = {
    DefinitionKind.WORKFLOW: Workflow,
    DefinitionKind.TOOL_CATALOG: ToolCatalog,
    DefinitionKind.POLICY: Policy,
    DefinitionKind.AGENT: Agent,
}


def tool(name: str, effect: str = "Read", **more: Any) -> dict[str, Any]:
    """A catalog entry that takes any object."""
    return {
        "name": name,
        "inputSchema": {"type": "object"},
        "effect": effect,
        "run": {"container": {"image": "example/tool:1"}, "report": "TaskResult"},
        "retry": {"count": 1, "delaySeconds": 10},
        **more,
    }


class World:
    """One execution and its definitions. Times are in milliseconds and move only by `advance`."""

    def __init__(self, workflow: dict[str, Any], **spec: Any) -> None:
        self.now_ms = START_MS
        self.definitions: dict[tuple[DefinitionKind, str], dict[str, Any]] = {
            (DefinitionKind.WORKFLOW, "main"): workflow
        }
        self.denied_tools: set[str] = set()
        self.asked: list[Need] = []
        self.book = Book()
        self.others: set[str] = set()
        self.children_now: dict[int, Child] = {}
        self.events: list[dict[str, Any]] = []
        self.payloads: dict[str, Any] = {}
        self.env: dict[str, str] = {}
        self._facts = 0
        execution = Execution.model_validate(
            {"workflowRef": {"name": "main"}, "requestedBy": "alice@example.com", **spec}
        )
        self.identity = Identity("uid-1", "run-1", "team", START_MS, execution)
        self.state = State(identity=self.identity)
        self.last_pass: Pass | None = None

    def define(self, kind: str, name: str, spec: dict[str, Any]) -> World:
        """Put a definition into the namespace."""
        self.definitions[(DefinitionKind(kind), name)] = spec
        return self

    def _answer(self, need: Need) -> Answer:
        self.asked.append(need)
        if isinstance(need, NeedDefinition):
            problem = f"{need.kind.value} {need.name!r} not found"
            if need.kind is DefinitionKind.WORKFLOW:
                found = (
                    (version_in(spec), name, spec)
                    for (kind, name), spec in self.definitions.items()
                    if kind is need.kind and name_of(name, spec) == need.name
                )
                spec, problem = choose(need.name, need.version, found)
            else:
                spec = self.definitions.get((need.kind, need.name))
            if spec is None:
                return Definition(need.name, None, problem=problem, missing=True)
            return Definition(need.name, _MODELS[need.kind].model_validate(spec), digest(spec))
        if isinstance(need, NeedEnvironment):
            return Environment(self.env)
        if isinstance(need, NeedAccess):
            return need.tool not in self.denied_tools
        if isinstance(need, NeedChild):
            return self.children_now.get(need.seq, Child())
        if isinstance(need, NeedClaim):
            return self.book.claim(need, self.now_ms, lambda held: held.uid in self.others)
        assert isinstance(need, NeedScript)
        try:
            return ScriptAnswer(evaluate(need.evaluator, need.expression, json.loads(need.data)))
        except ScriptError as error:
            return ScriptAnswer(error=str(error))

    def step(self, *facts: Fact) -> World:
        """One reconcile."""
        answers: dict[Need, Answer] = {}
        decision = Pass(self.state, self.now_ms)
        decision.take(facts)
        while needs := decision.run(answers):
            assert not needs & answers.keys(), "an answered need was asked again"
            answers |= {need: self._answer(need) for need in needs}
        self.events += decision.events
        self.payloads |= decision.payloads
        self.last_pass = decision
        if decision.is_full:
            return self.step()
        if self.events:
            status = json.loads(json.dumps(project(self.state, self.events)))
            again = recover(self.identity, status, payloads=self.payloads)
            assert again == self.state, "fold(events) differs from the live state"
            assert project(again, self.events) == project(self.state, self.events)
            taken, large = snapshot.take(self.state)
            stored = json.loads(json.dumps(taken, sort_keys=True))
            assert snapshot.restore(self.identity, stored, large) == self.state, "a snapshot is not the state"
        return self

    def advance(self, seconds: float) -> World:
        """Let time pass, then reconcile."""
        self.now_ms += round(seconds * 1000)
        return self.step()

    def _fact_id(self) -> str:
        self._facts += 1
        return f"fact-{self._facts}"

    def task(self, ref: str) -> TaskState:
        """A task by ref."""
        return self.state.tasks[ref]

    def started(self, ref: str) -> World:
        """The container of a task's attempt runs."""
        return self.step(JobStarted(self.task(ref).seq, "pod-1"))

    def completes(self, ref: str, output: Any = None, proposal: Any = None, **more: Any) -> World:
        """A worker reports success."""
        seq = self.task(ref).seq
        return self.step(
            Report(self._fact_id(), seq, ReportStatus.COMPLETED, output=output, proposal=proposal, **more)
        )

    def fails(self, ref: str, reason: str = "boom", *, terminal: bool = False) -> World:
        """A worker reports failure."""
        status = ReportStatus.FAILED_WITH_TERMINAL_ERROR if terminal else ReportStatus.FAILED
        return self.step(Report(self._fact_id(), self.task(ref).seq, status, reason=reason))

    def job_ends(self, ref: str, ending: Ending, reason: str = "") -> World:
        """A Job ends without a report."""
        return self.step(JobEnded(self._fact_id(), self.task(ref).seq, ending, reason))

    def signal(self, kind: str, by: str = "bob@example.com", **more: Any) -> World:
        """A person says something."""
        return self.step(Signaled(self._fact_id(), SignalType(kind), by, name="signal-1", **more))

    def approve(self, ref: str, by: str = "bob@example.com", kind: str = "Approve") -> World:
        """A person decides on the item that is shown."""
        gate = self.task(ref).gate
        assert gate is not None
        return self.signal(kind, by, ref=ref, tool=gate.tool, item_digest=gate.digest)

    @property
    def statuses(self) -> dict[str, str]:
        """Status of each task by ref."""
        return {ref: task.status.value for ref, task in self.state.tasks.items()}

    @property
    def phase(self) -> Phase:
        """Phase of the execution."""
        return self.state.phase

    @property
    def jobs(self) -> dict[str, DesiredJob]:
        """The Jobs that must exist now, by ref."""
        return {job.ref: job for job in desired(self.state, self.now_ms).jobs}

    @property
    def children(self) -> dict[str, DesiredChild]:
        """The child executions that must exist now, by ref."""
        return {child.ref: child for child in desired(self.state, self.now_ms).children}

    def types(self) -> list[str]:
        """The types of all events, in order."""
        return [event["type"] for event in self.events]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """All events of a type."""
        return [event for event in self.events if event["type"] == kind]


def world(
    *tasks: dict[str, Any],
    tools: tuple[str, ...] = ("a", "b", "c"),
    spec: dict[str, Any] | None = None,
    **workflow: Any,
) -> World:
    """A world whose workflow has these tasks and whose catalog has these tools, started."""
    made = World({"tasks": list(tasks), "catalogs": ["tools"], **workflow}, **(spec or {}))
    made.define("ToolCatalog", "tools", {"tools": [tool(name) for name in tools]})
    return made
