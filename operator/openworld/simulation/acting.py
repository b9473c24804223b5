"""A script, acted out on a namespace: until the run has ended, or waits for what the script does not say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from openworld.api import ReportStatus, SignalType, TaskStatus, TaskType
from openworld.engine.facts import JobStarted, Report
from openworld.engine.outside import DesiredJob
from openworld.engine.projection import waiting_for
from openworld.engine.state import TaskState

from .executions import SimulatedExecution
from .namespace import Namespace
from .script import Outcome, Script, ScriptedSignal

_ITERATION = re.compile(r"(__\d+)+$")
_PEOPLE = frozenset({TaskType.HUMAN, TaskType.WAIT})


class NoOutcomeError(Exception):
    """A task runs that the script says nothing of."""

    def __init__(self, ref: str, name: str, *, is_agent: bool) -> None:
        self.ref, self.name = ref, name
        what, example = ("agent", "proposal: {…}") if is_agent else ("tool", "output: {…}")
        super().__init__(
            f"task {ref} runs the {what} {name}, and the script has no outcome for either: "
            f"tasks: {{{name}: [{{{example}}}]}}"
        )


@dataclass(frozen=True, slots=True)
class _Due:
    """A report that is on its way."""

    at_ms: int
    execution: SimulatedExecution
    seq: int
    outcome: Outcome


class Actor:
    """Plays workers and people for every execution of a namespace."""

    def __init__(self, namespace: Namespace, script: Script) -> None:
        self._namespace = namespace
        self._script = script
        self._answered: set[tuple[str, int]] = set()
        self._used: Counter[tuple[str, str]] = Counter()
        self._signals: list[ScriptedSignal] = list(script.signals)
        self._due: list[_Due] = []

    def run(self, execution: SimulatedExecution) -> str:
        """Play until the execution and all that it started have ended. Returns what it waits for, if it
        does not end. Raises NoOutcomeError."""
        self._namespace.settle()
        while True:
            if self._act(execution):
                continue
            if all(each.state.is_final for each in self._namespace.executions):
                return ""
            times = [due.at_ms for due in self._due]
            wake = self._namespace.next_wake_ms()
            next_ms = min([*times, wake] if wake is not None else times, default=None)
            if next_ms is None:
                return waiting_for(execution.state) or "something that the script does not say"
            self._namespace.advance(max(0, next_ms - self._namespace.now_ms) / 1000)
            self._deliver()

    def _act(self, root: SimulatedExecution) -> bool:
        """Whatever workers and people do now; whether anything was done."""
        return any((self._start_jobs(), self._send_signals(root), self._decide(), self._complete_people()))

    def _start_jobs(self) -> bool:
        started = False
        for execution in list(self._namespace.executions):
            for job in execution.jobs(self._namespace.now_ms).values():
                if (execution.uid, job.seq) in self._answered:
                    continue
                started = True
                self._answered.add((execution.uid, job.seq))
                outcome = self._outcome(execution, job)
                at_ms = self._namespace.now_ms + outcome.seconds * 1000
                self._namespace.tell(execution, JobStarted(job.seq, ""))
                self._due.append(_Due(at_ms, execution, job.seq, outcome))
        self._deliver()
        return started

    def _outcome(self, execution: SimulatedExecution, job: DesiredJob) -> Outcome:
        name = job.tool.name if job.tool is not None else job.agent_name
        found = self._next(execution, job.ref, name)
        if found is None:
            raise NoOutcomeError(job.ref, name, is_agent=job.agent is not None)
        return found

    def _next(self, execution: SimulatedExecution, ref: str, name: str = "") -> Outcome | None:
        """The next entry for a ref, or its plain ref in a loop, or the tool or agent that it runs."""
        plain = _ITERATION.sub("", ref)
        for key, counted_by in ((ref, ref), (plain, plain), (name, ref)):
            entries = self._script.tasks.get(key)
            if key and entries:
                used = self._used[execution.uid, counted_by]
                self._used[execution.uid, counted_by] += 1
                return entries[min(used, len(entries) - 1)]
        return None

    def _deliver(self) -> None:
        now_ms = self._namespace.now_ms
        ready = [due for due in self._due if due.at_ms <= now_ms]
        self._due = [due for due in self._due if due.at_ms > now_ms]
        for due in ready:
            self._namespace.tell(due.execution, _report(self._namespace.fact_id(), due))

    def _send_signals(self, root: SimulatedExecution) -> bool:
        for signal in self._signals:
            if signal.after and not _has_come_to(root, signal.after):
                continue
            self._signals.remove(signal)
            self._send(root, signal)
            return True
        return False

    def _send(self, root: SimulatedExecution, signal: ScriptedSignal) -> None:
        ref = signal.ref or signal.after or None
        if signal.type in (SignalType.APPROVE, SignalType.REJECT) and ref is not None:
            approve = signal.type is SignalType.APPROVE
            self._namespace.decide_on_item(root, ref, approve=approve, by=signal.by, reason=signal.reason)
            return
        payload = signal.payload | ({"reason": signal.reason} if signal.reason else {})
        self._namespace.signal(root, signal.type, by=signal.by, ref=ref, payload=payload, group=signal.group)

    def _decide(self) -> bool:
        """Approve what waits for a person, as everyone whom the script names."""
        for execution, task in self._waiting():
            if task.gate is None or not task.gate.is_open:
                continue
            for person in self._script.approvals:
                mine = (execution.uid, f"{task.ref} {task.gate.digest} {person}")
                if not self._used[mine]:
                    self._used[mine] += 1
                    self._namespace.decide_on_item(execution, task.ref, approve=True, by=person)
                    return True
        return False

    def _complete_people(self) -> bool:
        """Complete or fail a HUMAN or WAIT task that the script has an outcome for."""
        for execution, task in self._waiting():
            if task.type not in _PEOPLE or task.status is not TaskStatus.IN_PROGRESS:
                continue
            if (execution.uid, task.seq) in self._answered:
                continue
            outcome = self._next(execution, task.ref)
            if outcome is None:
                continue
            self._answered.add((execution.uid, task.seq))
            reason = outcome.fail or outcome.terminal
            kind = SignalType.COMPLETE if reason is None else SignalType.FAIL
            payload = (outcome.output or {}) if reason is None else {"reason": reason}
            by, group = _who_may_answer(task)
            self._namespace.signal(execution, kind, by=by, group=group, ref=task.ref, payload=payload)
            return True
        return False

    def _waiting(self) -> Iterator[tuple[SimulatedExecution, TaskState]]:
        for execution in list(self._namespace.executions):
            if not execution.state.is_final:
                for task in execution.open_tasks:
                    yield execution, task


def _has_come_to(execution: SimulatedExecution, ref: str) -> bool:
    task = execution.state.tasks.get(ref)
    if task is None:
        return False
    is_asked = task.gate is not None or task.awaits_signal
    waits = is_asked or (task.type in _PEOPLE and task.status is TaskStatus.IN_PROGRESS)
    return waits or task.status.is_final


def _report(fact_id: str, due: _Due) -> Report:
    outcome = due.outcome
    status, reason = ReportStatus.COMPLETED, ""
    if outcome.terminal is not None:
        status, reason = ReportStatus.FAILED_WITH_TERMINAL_ERROR, outcome.terminal
    elif outcome.fail is not None:
        status, reason = ReportStatus.FAILED, outcome.fail
    return Report(
        id=fact_id,
        seq=due.seq,
        status=status,
        output=outcome.output,
        reason=reason,
        proposal=outcome.proposal,
        usage=outcome.usage,
    )


def _who_may_answer(task: TaskState) -> tuple[str, str | None]:
    """Somebody who may answer a task, and the group for which they do."""
    human = task.definition.human
    if human is None or not (human.assignees or human.groups):
        return "somebody@example.com", None
    if human.assignees:
        return human.assignees[0], None
    return "somebody@example.com", human.groups[0]
