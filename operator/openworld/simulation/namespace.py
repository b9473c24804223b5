"""The namespace: passes over its executions until nothing follows, and the clock.

It is the shell's part of a reconcile, in memory: needs are answered, events are kept, what `desired`
names comes into being, and what the world would say is said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import orjson
from pydantic import ValidationError

from openworld.api import Execution, Json, JsonObject, Phase, ReportStatus, SignalType
from openworld.engine.claims import Book, Place
from openworld.engine.decide import Pass
from openworld.engine.desire import desired, retry_of, stop_of
from openworld.engine.facts import (
    ChildEnded,
    ChildStarted,
    Ending,
    Fact,
    JobEnded,
    JobStarted,
    Report,
    Signaled,
    SuspendSet,
)
from openworld.engine.needs import (
    Answer,
    Child,
    Definition,
    DefinitionKind,
    Environment,
    Mandatory,
    Need,
    NeedAccess,
    NeedChild,
    NeedClaim,
    NeedDefinition,
    NeedEnvironment,
    NeedMandatory,
    ScriptAnswer,
)
from openworld.engine.outside import Desired, DesiredChild, spec_of_child
from openworld.engine.projection import project
from openworld.engine.recover import recover
from openworld.engine.state import Identity, State
from openworld.language.evaluators import ScriptError, evaluate

from .definitions import Definitions
from .executions import Origin, SimulatedExecution

#: When a simulation begins (epoch, milliseconds) unless it is told: 2027-01-15T08:00:00Z.
START_MS = 1_800_000_000_000
#: Rounds after which a namespace that still changes is taken for an endless loop.
MOST_ROUNDS = 100_000


class DivergedError(Exception):
    """The state that a pass left is not what its events say: a mistake in the engine."""


class NeverSettlesError(Exception):
    """Something follows for ever without time passing: a recursion of executions, or a mistake."""


def anyone_may(service_account: str, tool: str) -> bool:
    """Every service account may use every tool."""
    del service_account, tool
    return True


class Namespace:
    """Executions and definitions. `check` compares the state with its ledger after every pass.

    `may_use(service account, tool)` stands for RBAC. Times are in milliseconds; they move only by
    `advance`.
    """

    def __init__(
        self,
        *,
        name: str = "simulation",
        start_ms: int = START_MS,
        check: bool = False,
        may_use: Callable[[str, str], bool] = anyone_may,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.now_ms = start_ms
        self.executions: list[SimulatedExecution] = []
        self.definitions = Definitions()
        self._check = check
        self._may_use = may_use
        self.mandatory: list[str] = []
        self._env = Environment(env or {})
        self._started: dict[tuple[str, int], SimulatedExecution] = {}
        self._facts = 0
        self._book = Book()
        self._by_key: dict[tuple[str, str], SimulatedExecution] = {}

    # What people apply.

    def define(self, kind: str, name: str, spec: JsonObject, status: JsonObject | None = None) -> Definition:
        """Add or replace a Workflow, ToolCatalog, Policy or Agent; `.problem` says what is wrong with it.

        `status` is what the operator says of a ToolCatalog: what is pinned of its MCP servers.
        """
        definition = self.definitions.put(DefinitionKind(kind), name, spec, status)
        self._all_are_due()
        return definition

    def start(
        self,
        workflow: str | JsonObject,
        run_input: JsonObject | None = None,
        *,
        version: int | None = None,
        requested_by: str = "somebody@example.com",
        service_account_name: str = "default",
        correlation_id: str = "",
        suspend: bool = False,
    ) -> SimulatedExecution:
        """Create an execution of a Workflow by name, or of an inline definition. `settle` runs it."""
        spec: JsonObject = {
            "input": run_input or {},
            "requestedBy": requested_by,
            "serviceAccountName": service_account_name,
            "correlationId": correlation_id,
            "suspend": suspend,
        }
        if isinstance(workflow, str):
            named = self.definitions.reference_to(workflow)
            spec["workflowRef"] = named | ({"version": version} if version else {})
        else:
            spec["workflow"] = workflow
        created = self._create(Execution.model_validate(spec), None)
        if suspend:
            created.facts.append(SuspendSet(True))
        return created

    # What the world says. Each returns why it was refused, or nothing.

    def tell(self, execution: SimulatedExecution, fact: Fact) -> str:
        """Hand a fact to an execution and settle."""
        execution.facts.append(fact)
        execution.is_due = True
        before = len(execution.refused)
        self.settle()
        return next((why for told, why in execution.refused[before:] if told is fact), "")

    def report(
        self,
        execution: SimulatedExecution,
        ref: str,
        status: ReportStatus = ReportStatus.COMPLETED,
        *,
        output: JsonObject | None = None,
        reason: str = "",
        proposal: Json = None,
        usage: JsonObject | None = None,
        callback_after_seconds: int | None = None,
    ) -> str:
        """A worker reports on the last attempt of a task, whether or not it still runs."""
        fact = Report(
            id=self.fact_id(),
            seq=execution.state.tasks[ref].seq,
            status=status,
            output=output,
            reason=reason,
            proposal=proposal,
            usage=usage,
            callback_after_seconds=callback_after_seconds,
        )
        return self.tell(execution, fact)

    def starts_container(self, execution: SimulatedExecution, ref: str, pod: str = "") -> bool:
        """The container of a task's present attempt starts, if there is a Job that has not begun."""
        job = execution.jobs(self.now_ms).get(ref)
        if job is None or execution.state.tasks[ref].started_at_ms is not None:
            return False
        self.tell(execution, JobStarted(job.seq, pod))
        return True

    def ends_job(self, execution: SimulatedExecution, ref: str, ending: Ending, reason: str = "") -> str:
        """The Job of a task's last attempt ends without a report."""
        seq = execution.state.tasks[ref].seq
        return self.tell(execution, JobEnded(self.fact_id(), seq, ending, reason))

    def signal(
        self,
        execution: SimulatedExecution,
        kind: SignalType,
        *,
        by: str = "somebody@example.com",
        ref: str | None = None,
        payload: JsonObject | None = None,
        tool: str | None = None,
        item_digest: str | None = None,
        group: str | None = None,
    ) -> str:
        """A person or a system sends a Signal."""
        fact_id = self.fact_id()
        fact = Signaled(
            id=fact_id,
            type=kind,
            by=by,
            ref=ref,
            tool=tool,
            item_digest=item_digest,
            group=group,
            payload=payload or {},
            name=f"signal-{fact_id}",
        )
        return self.tell(execution, fact)

    def decide_on_item(
        self,
        execution: SimulatedExecution,
        ref: str,
        *,
        approve: bool,
        by: str = "reviewer@example.com",
        reason: str = "",
        edited: JsonObject | None = None,
    ) -> str:
        """A person approves or rejects the item that a task shows them now."""
        task = execution.state.tasks.get(ref)
        gate = task.gate if task is not None else None
        return self.signal(
            execution,
            SignalType.APPROVE if approve else SignalType.REJECT,
            by=by,
            ref=ref,
            tool=gate.tool if gate else None,
            item_digest=gate.digest if gate else None,
            payload=({"reason": reason} if reason else {}) | ({} if edited is None else {"input": edited}),
        )

    def fact_id(self) -> str:
        """An identity for a fact, counted."""
        self._facts += 1
        return f"fact-{self._facts}"

    # Time, and what follows.

    def advance(self, seconds: float) -> None:
        """Let time pass: every timer that comes due on the way fires at its own time, in order."""
        until = self.now_ms + round(seconds * 1000)
        self.settle()
        while (wake_at := self.next_wake_ms()) is not None and wake_at <= until:
            self._move_to(wake_at)
        self._move_to(until)

    def next_wake_ms(self) -> int | None:
        """When time alone changes something next; None when it never does."""
        times = [execution.wake_at_ms for execution in self.executions]
        return min((at for at in times if at is not None and at > self.now_ms), default=None)

    def settle(self) -> None:
        """Run passes over the executions until nothing follows without a fact or time."""
        for _ in range(MOST_ROUNDS):
            due = [execution for execution in self.executions if execution.is_due]
            if not due:
                return
            for execution in due:
                self._reconcile(execution)
        raise NeverSettlesError(
            f"{len(self.executions)} executions go on for ever; is it an endless recursion?"
        )

    def child(self, execution: SimulatedExecution, ref: str) -> SimulatedExecution | None:
        """The child execution of the last attempt of a task."""
        task = execution.state.tasks.get(ref)
        started = self._started.get((execution.uid, task.seq)) if task is not None else None
        return started if started is not None and started.origin and not started.origin.detached else None

    def detached(self, execution: SimulatedExecution) -> list[SimulatedExecution]:
        """What an execution has started without waiting for it, in order."""
        return [
            other
            for other in self.executions
            if other.origin is not None and other.origin.execution is execution and other.origin.detached
        ]

    def _move_to(self, at_ms: int) -> None:
        self.now_ms = at_ms
        self._all_are_due()
        self.settle()

    def _all_are_due(self) -> None:
        for execution in self.executions:
            execution.is_due = True

    def _create(self, spec: Execution, origin: Origin | None) -> SimulatedExecution:
        number = len(self.executions) + 1
        name = f"run-{number}" if origin is None else f"{origin.execution.name}-{origin.seq}"
        identity = Identity(f"uid-{number}", name, self.name, self.now_ms, spec)
        created = SimulatedExecution(identity, State(identity=identity), origin)
        self.executions.append(created)
        return created

    def _reconcile(self, execution: SimulatedExecution) -> None:
        execution.is_due = False
        facts, execution.facts = execution.facts, []
        before = (execution.state.is_final, execution.state.revivals)
        decision = Pass(execution.state, self.now_ms)
        decision.take(facts)
        answers: dict[Need, Answer] = {}
        while needs := decision.run(answers):
            if needs <= answers.keys():
                raise NeverSettlesError(f"a decision asks again for what it was told: {needs}")
            answers |= {need: self._answer(need) for need in needs}
        execution.events += decision.events
        execution.payloads |= decision.payloads
        execution.refused += decision.refused
        if self._check and decision.events:
            _compare(execution)
        want = desired(execution.state, self.now_ms)
        times = [at for at in (want.wake_at_ms, decision.wake_at_ms) if at is not None]
        execution.wake_at_ms = min(times, default=None)
        self._act(execution, want)
        if decision.is_full:
            execution.is_due = True
        if decision.events and self._book.places:  # a place may be free for somebody else
            self._all_are_due()
        if execution.origin is not None and (execution.state.is_final, execution.state.revivals) != before:
            self._tell_parent(execution, execution.origin)

    def _answer(self, need: Need) -> Answer:
        if isinstance(need, NeedDefinition):
            return self.definitions.find(need.kind, need.name, need.version)
        if isinstance(need, NeedMandatory):
            return Mandatory(tuple(self.definitions.find(DefinitionKind.POLICY, n) for n in self.mandatory))
        if isinstance(need, NeedEnvironment):
            return self._env
        if isinstance(need, NeedAccess):
            return self._may_use(need.service_account, need.tool)
        if isinstance(need, NeedChild):
            started = self._started.get((need.uid, need.seq))
            return Child(is_gone=True) if started is None else Child(started.state.revivals)
        if isinstance(need, NeedClaim):
            return self._book.claim(need, self.now_ms, self._is_alive)
        try:
            return ScriptAnswer(evaluate(need.evaluator, need.expression, json.loads(need.data)))
        except ScriptError as error:
            return ScriptAnswer(error=str(error))

    def _is_alive(self, held: Place) -> bool:
        """Whether a place's holder still wants it."""
        holder = next((each for each in self.executions if each.uid == held.uid), None)
        if holder is None or holder.state.is_final:
            return False
        task = holder.state.tasks.get(held.ref)
        return not held.ref or (task is not None and not task.status.is_final)

    def _act(self, execution: SimulatedExecution, want: Desired) -> None:
        for child in want.children:
            started = self._started.get((execution.uid, child.seq))
            if started is None:
                self._start_child(execution, child)
            elif not child.detached:
                self._tell_end(execution, child, started)
        for seq in sorted(want.stop):
            started = self._started.get((execution.uid, seq))
            if started is not None and not started.state.is_final:
                self._stop_child(execution, seq, started)

    def _start_child(self, execution: SimulatedExecution, child: DesiredChild) -> None:
        keyed = (child.workflow_name, child.idempotency_key)
        existing = self._by_key.get(keyed) if child.idempotency_key else None
        if existing is not None:
            fact: Fact = ChildStarted(self.fact_id(), child.seq, existing.uid, existing.name)
            if not child.returns_existing:
                reason = (
                    f"the execution {existing.name} has the idempotency key {child.idempotency_key!r} already"
                )
                fact = JobEnded(self.fact_id(), child.seq, Ending.REFUSED, reason)
            self._started[execution.uid, child.seq] = existing
            execution.facts.append(fact)
            execution.is_due = True
            return
        try:
            by = execution.identity.spec
            spec = Execution.model_validate(
                spec_of_child(
                    child,
                    name=execution.name,
                    uid=execution.uid,
                    requested_by=by.requested_by,
                    service_account_name=by.service_account_name,
                )
            )
        except ValidationError as error:
            execution.facts.append(JobEnded(self.fact_id(), child.seq, Ending.REFUSED, str(error)))
            execution.is_due = True
            return
        created = self._create(spec, Origin(execution, child.ref, child.seq, child.detached))
        self._started[execution.uid, child.seq] = created
        self._by_key[keyed] = created
        execution.facts.append(ChildStarted(created.uid, child.seq, created.uid, created.name))
        execution.is_due = True

    def _tell_parent(self, child: SimulatedExecution, origin: Origin) -> None:
        """The parent looks at a child that has ended; one that had ended itself goes on with it."""
        parent = origin.execution
        parent.is_due = True
        task = parent.state.tasks.get(parent.state.by_seq.get(origin.seq, ""))
        if task is None or task.seq != origin.seq or origin.detached or child.state.is_final:
            return
        if parent.state.is_final and child.state.revivals > task.child_revivals:
            payload = {"resumeSubworkflowTasks": True, "going": origin.seq}
            fact_id, by = f"{child.uid}/{child.state.head_seq}/goes-on", f"execution {child.name}"
            parent.facts.append(Signaled(fact_id, SignalType.RETRY, by, payload=payload))

    def _tell_end(
        self, execution: SimulatedExecution, wanted: DesiredChild, child: SimulatedExecution
    ) -> None:
        if not child.state.is_final:
            return
        seq = wanted.seq
        if child.state.phase is not Phase.COMPLETED and child.state.revivals < wanted.revivals:
            retry = retry_of(execution.state, wanted)
            if retry.id not in child.state.facts and retry not in child.facts:
                child.facts.append(retry)
                child.is_due = True
            return
        fact = ChildEnded(
            id=f"{child.uid}/{child.state.revivals}",
            seq=seq,
            phase=child.state.phase,
            output=child.state.output,
            reason=child.state.reason,
            used=child.state.spent,
        )
        if fact in execution.facts:
            return
        if fact.id not in execution.state.facts:
            execution.facts.append(fact)
            execution.is_due = True

    def _stop_child(self, execution: SimulatedExecution, seq: int, child: SimulatedExecution) -> None:
        stop = stop_of(execution.state, seq)
        if stop.id not in child.state.facts and stop not in child.facts:
            child.facts.append(stop)
            child.is_due = True


def _compare(execution: SimulatedExecution) -> None:
    status: JsonObject = orjson.loads(orjson.dumps(project(execution.state, execution.events)))
    again = recover(execution.identity, status, payloads=execution.payloads)
    if again != execution.state:
        raise DivergedError(f"{execution.name}: the state differs from the fold of its events")
    if project(again, execution.events) != project(execution.state, execution.events):
        raise DivergedError(f"{execution.name}: the projection differs after recovery")
