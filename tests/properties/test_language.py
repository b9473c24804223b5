"""Random workflows over the whole control flow, under random outcomes and operations: what always holds.

`Author` writes them, `Play` is the world around a namespace in memory, and `Audit` reads each ledger beside the
engine: it folds the events one by one and sees that each may stand where it stands. A failure is a seed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from openworld.api import ReportStatus, SignalType, TaskStatus, TaskType
from openworld.api.policy import PROPOSABLE
from openworld.engine import snapshot
from openworld.engine.evolve import evolve
from openworld.engine.facts import Ending, JobEnded, JobStarted, Report, SuspendSet
from openworld.engine.scopes import FORKS
from openworld.engine.state import ROOT, Scope, State, TaskState
from openworld.engine.views import joined_refs
from openworld.ledger.events import FINAL
from openworld.simulation import Namespace, SimulatedExecution

#: Attempts after the first, by tool.
RETRIES = {"again": 1, "once": 0, "risky": 2, "timed": 1}
MOST_STEPS = 600
JOINS = (TaskType.JOIN, TaskType.EXCLUSIVE_JOIN)
REVIVED = ("ExecutionRetried", "ExecutionRerun", "ExecutionRestarted")
AFTER_THE_END = {"FactRefused", "FailureWorkflowStarted", *REVIVED}

Json = dict[str, Any]


class Author:
    """Writes arrays of tasks of all types; every ref is its own, and `size` bounds how many there are."""

    def __init__(self, draw: random.Random, size: int, children: tuple[str, ...]) -> None:
        self.draw = draw
        self.left = size
        self.children = children
        self.refs: list[str] = []
        self.spread: set[str] = set()

    def chance(self, share: float) -> bool:
        return self.draw.random() < share

    def workflow(self, name: str) -> Json:
        made: Json = {
            "name": name,
            "tasks": self.array(0),
            "catalogs": ["tools"],
            "policyRef": {"name": "all"},
        }
        made |= {"variables": {"v": "y"}, "outputParameters": {"last": f"${{{self.refs[-1]}.output}}"}}
        if self.chance(0.1):
            made |= {"timeoutSeconds": 400, "timeoutPolicy": self.draw.choice(["TIME_OUT_WF", "ALERT_ONLY"])}
        return made

    def array(self, depth: int) -> list[Json]:
        tasks: list[Json] = []
        is_graph = self.chance(0.2)
        for _ in range(self.draw.randint(1, 3)):
            made = self.some(depth)
            if is_graph:
                before = [task["ref"] for task in tasks]
                made[0]["dependsOn"] = [ref for ref in before if self.chance(0.5)]
                for first, then in pairwise(made):
                    then["dependsOn"] = [first["ref"]]
            tasks += made
        return tasks

    def some(self, depth: int) -> list[Json]:
        """One task, or a task with the join that belongs to it."""
        self.left -= 1
        kinds = ["simple"] * 5 + ["wait", "human", "small", "dynamic", "spread", "start"]
        if depth < 3 and self.left > 0:
            kinds += ["fork", "fork", "switch", "switch", "loop", "loop"] + ["sub"] * (
                2 if self.children else 0
            )
        kind = "terminate" if self.chance(0.015) else self.draw.choice(kinds)
        ref = f"t{len(self.refs)}"
        known = [None, *self.refs]
        self.refs.append(ref)
        task: Json = {"ref": ref, "optional": self.chance(0.12), "permissive": self.chance(0.12)}
        seen = self.draw.choice(known)
        task["input"] = {"v": f"${{{seen}.output.v}}" if seen else self.draw.choice(["x", "y", None])}
        made: list[Json] = getattr(self, f"_{kind}")(task, depth)
        return made

    def _simple(self, task: Json, depth: int) -> list[Json]:  # noqa: ARG002
        task["type"] = self.draw.choice(list(RETRIES))
        if self.chance(0.1):
            task["retryCount"] = self.draw.randint(0, 2)
        if self.chance(0.1):
            task["startDelay"] = 4
        if self.chance(0.1):
            task["taskDefinition"] = {"timeouts": {"timeoutSeconds": 60, "timeoutPolicy": "TIME_OUT_WF"}}
        return [task]

    def _wait(self, task: Json, depth: int) -> list[Json]:  # noqa: ARG002
        given = {"duration": "5s"} if self.chance(0.7) else {}
        return [task | {"type": "WAIT", "input": given}]

    def _human(self, task: Json, depth: int) -> list[Json]:  # noqa: ARG002
        return [task | {"type": "HUMAN"}]

    def _small(self, task: Json, depth: int) -> list[Json]:  # noqa: ARG002
        kind = self.draw.choice(["INLINE", "SET_VARIABLE", "NOOP", "JSON_JQ_TRANSFORM"])
        if kind == "INLINE":
            task["expression"] = "v"
        if kind == "JSON_JQ_TRANSFORM":
            task["input"] |= {"queryExpression": ".v"}
        return [task | {"type": kind}]

    def _dynamic(self, task: Json, depth: int) -> list[Json]:  # noqa: ARG002
        named = self.draw.choice([*RETRIES, "INLINE", "NOOP", "WAIT", "HUMAN", "SET_VARIABLE", "unknown"])
        task["input"] |= {"taskToExecute": named}
        if named == "INLINE":
            task["input"] |= {"expression": "v"}
        if named == "WAIT":
            task["input"] = {"taskToExecute": named, "duration": "5s"}
        return [task | {"type": "DYNAMIC"}]

    def _terminate(self, task: Json, depth: int) -> list[Json]:  # noqa: ARG002
        status = self.draw.choice(["COMPLETED", "FAILED", "TERMINATED"])
        return [
            task | {"type": "TERMINATE", "input": {"terminationStatus": status, "terminationReason": "so"}}
        ]

    def _start(self, task: Json, depth: int) -> list[Json]:  # noqa: ARG002
        name = self.draw.choice([*self.children, "missing"])
        return [task | {"type": "START_WORKFLOW", "input": {"startWorkflow": {"name": name}}}]

    def _sub(self, task: Json, depth: int) -> list[Json]:  # noqa: ARG002
        if self.chance(0.6):
            return [
                task | {"type": "SUB_WORKFLOW", "subWorkflowParam": {"name": self.draw.choice(self.children)}}
            ]
        inner = Author(self.draw, 2, self.children[:1])
        given = {"name": "inline", "workflowDefinition": {"tasks": inner.array(2)}}
        return [task | {"type": "SUB_WORKFLOW", "subWorkflowParam": given}]

    def _fork(self, task: Json, depth: int) -> list[Json]:
        first = len(self.refs)
        branches = [self.array(depth + 1) for _ in range(self.draw.randint(1, 3))]
        fork = task | {"type": "FORK_JOIN", "forkTasks": branches}
        if self.chance(0.3):
            return [fork]
        inside = self.refs[first:]
        lasts = [branch[-1]["ref"] for branch in branches]
        joined = lasts if self.chance(0.6) else [ref for ref in inside if self.chance(0.4)]
        return [fork, self._join(joined, "EXCLUSIVE_JOIN" if self.chance(0.2) else "JOIN")]

    def _join(self, joined: list[str], kind: str = "JOIN") -> Json:
        ref = f"t{len(self.refs)}"
        self.refs.append(ref)
        return {"ref": ref, "type": kind, "joinOn": joined, "optional": self.chance(0.1)}

    def _spread(self, task: Json, depth: int) -> list[Json]:  # noqa: ARG002
        tool = self.draw.choice(list(RETRIES))
        if tool not in self.spread and self.chance(0.5):
            self.spread.add(tool)
            given: Json = {
                "forkTaskName": tool,
                "forkTaskInputs": [{"v": n} for n in range(self.draw.randint(0, 3))],
            }
        else:
            items = [self._item(f"{task['ref']}d{n}") for n in range(self.draw.randint(0, 3))]
            given = {
                "dynamicTasks": items,
                "dynamicTasksInput": {item["taskReferenceName"]: {"w": 1} for item in items},
            }
        fork = task | {"type": "FORK_JOIN_DYNAMIC", "input": given}
        return [fork] if self.chance(0.4) else [fork, self._join([])]

    def _item(self, ref: str) -> Json:
        kinds = ["SIMPLE", "SIMPLE", "INLINE", "WAIT", "HUMAN"] + ["SUB_WORKFLOW"] * bool(self.children)
        kind = self.draw.choice(kinds)
        item: Json = {"name": self.draw.choice(list(RETRIES)), "taskReferenceName": ref, "type": kind}
        if kind == "INLINE":
            item["inputParameters"] = {"expression": "1", "evaluatorType": "javascript"}
        if kind == "SUB_WORKFLOW":
            item["subWorkflowParam"] = {"name": self.draw.choice(self.children)}
        return item | {"optional": self.chance(0.2)}

    def _switch(self, task: Json, depth: int) -> list[Json]:
        cases = {name: self.array(depth + 1) if self.chance(0.9) else [] for name in ("x", "y")}
        default = self.array(depth + 1) if self.chance(0.5) else []
        made = task | {"type": "SWITCH", "expression": "v", "decisionCases": cases, "defaultCase": default}
        lasts = [tasks[-1]["ref"] for tasks in (*cases.values(), default) if tasks]
        if self.chance(0.7) or not lasts:
            return [made]
        join = self._join(self.draw.sample(lasts, self.draw.randint(1, len(lasts))), "EXCLUSIVE_JOIN")
        return [made, join | {"defaultExclusiveJoinTask": [task["ref"]]}]

    def _loop(self, task: Json, depth: int) -> list[Json]:
        times = self.draw.randint(1, 3)
        loop = task | {"type": "DO_WHILE", "input": {"times": times}}
        if self.chance(0.3):
            loop["input"] |= {"keepLastN": self.draw.randint(1, 2)}
        if self.chance(0.4):
            loop["items"] = list(range(self.draw.randint(0, 3)))
        if "items" not in loop or self.chance(0.2):
            loop["loopCondition"] = f"$.{task['ref']}['iteration'] < $.times"
        if self.chance(0.1):
            loop["maxIterations"] = 1
        loop["loopOver"] = self.array(depth + 1)
        return [loop]


class Audit:
    """One ledger, read beside the engine: each event may stand where it stands, and all give the same state."""

    def __init__(self, execution: SimulatedExecution) -> None:
        self.execution = execution
        self.state = State(identity=execution.identity)
        self.read = 0
        self.scheduled: set[tuple[int, str]] = set()
        self.over: set[str] = set()

    def go_on(self) -> None:
        """Read what is new, then compare."""
        new = self.execution.events[self.read :]
        if not new:
            return
        self.read += len(new)
        for event in new:
            self._check(orjson.loads(orjson.dumps(event)))
        live = self.execution.state
        assert self.state == live, "fold(events) differs from the live state"
        taken, large = snapshot.take(live)
        stored = json.loads(json.dumps(taken, sort_keys=True))
        restored = snapshot.restore(self.execution.identity, stored, large)
        assert restored == live, "a snapshot is not the state"
        for other in (self.state, restored):
            for name in ("tasks", "active", "scopes", "open_scopes", "agents"):
                assert [*getattr(other, name)] == [*getattr(live, name)], f"the order of {name} differs"
        self._settled(live, new)

    def _in_order(self, live: State) -> None:
        """Nothing is left that has run after what is to run again."""
        for task in live.tasks.values():
            if task.seq < 0 or task.skipped_by:
                continue
            scope = live.scope_of(task)
            for before in (live.tasks.get(ref) for ref in _before(scope, task.ref)):
                assert before is not None, f"{task.ref} is left, though what stands before it is gone"
                assert _has_passed(live, before), f"{task.ref} is left, though {before.ref} runs again"
            if task.type is TaskType.JOIN and task.status is TaskStatus.COMPLETED:
                joined = [live.tasks.get(ref) for ref in joined_refs(live, scope, task)]
                assert all(each is None or _has_ended(live, each, through_forks=True) for each in joined), (
                    f"{task.ref} is left, though what it joins runs again"
                )

    def _settled(self, live: State, new: list[Json]) -> None:
        # Not where a permissive task has failed: in a branch that no JOIN names it lets what comes after the
        # enclosing SWITCH run, and a retry then runs it after that.
        was_tolerated = any(event.get("permissive") for event in self.execution.events)
        if any(event["type"] in REVIVED for event in new) and not was_tolerated:
            self._in_order(live)
        if live.is_final:
            assert not live.active, f"active tasks of a final run: {[*live.active]}"
            assert not self.execution.jobs(live.last_at_ms), "a final run has Jobs"
        last = self.execution.events[-1]
        if last["type"] == "ExecutionCompleted" and "by" not in last:
            assert _is_over(live, live.scopes[ROOT]), "a run is complete before its tasks"
            for task in live.tasks.values():
                assert task.has_passed or task.status is TaskStatus.SKIPPED, (
                    f"a run is complete though {task.ref} failed"
                )

    def _check(self, event: Json) -> None:
        state, kind = self.state, event["type"]
        assert not state.is_final or kind in AFTER_THE_END, f"{kind} after the end"
        match kind:
            case "TaskScheduled":
                self._scheduled(event)
            case "RetryScheduled" if event["cause"] != "retried by a person":
                task = state.tasks[event["ref"]]
                own = task.definition.retry_count
                assert event["attempt"] == task.attempt + 1
                assert event["attempt"] <= (RETRIES[task.tool] if own is None else own), (
                    f"too many attempts of {task.ref}"
                )
            case "LoopIterated" if event["iteration"] > 1:
                task, number = state.tasks[event["ref"]], event["iteration"]
                assert number == task.iteration + 1, f"iteration {number} of {task.ref} comes out of order"
                assert _is_over(state, state.scopes[f"{task.ref}/{number - 1}"]), (
                    f"iteration {number} comes too early"
                )
            case "TaskCompleted" if state.tasks[event["ref"]].type in JOINS:
                self._joined(state.tasks[event["ref"]])
            case "TaskSkipped":
                self.over.add(event["ref"])
            case kind if kind in REVIVED:
                self.over.clear()
                self.scheduled -= {(state.generation, ref) for ref in event.get("dropped") or ()}
        evolve(state, event, self.execution.payloads)

    def _scheduled(self, event: Json) -> None:
        state, ref = self.state, event["ref"]
        once = (state.generation, ref)
        assert once not in self.scheduled, f"{ref} is scheduled twice"
        self.scheduled.add(once)
        assert ref not in self.over, (
            f"{ref} is scheduled, though it was skipped, or taken for one that never starts"
        )
        scope = state.scopes[event["scope"]]
        for before in _before(scope, ref):
            task = state.tasks.get(before)
            assert task is not None, f"{ref} is scheduled before {before} exists"
            assert _has_passed(state, task), f"{ref} is scheduled before {before} has passed"

    def _joined(self, join: TaskState) -> None:
        refs = joined_refs(self.state, self.state.scope_of(join), join)
        for ref in refs:
            task = self.state.tasks.get(ref)
            if task is None:
                self.over.add(ref)
                continue
            assert _has_ended(self.state, task, through_forks=True), f"{join.ref} is complete before {ref}"
            assert task.has_passed or task.status is TaskStatus.SKIPPED, (
                f"{join.ref} joins {ref}, which failed"
            )
            if join.type is TaskType.EXCLUSIVE_JOIN:
                return


def _before(scope: Scope, ref: str) -> list[str]:
    """What must have passed before a task of a scope: what it depends on, or all that stands before it."""
    definition = next(task for task in scope.tasks if task.task_reference_name == ref)
    if scope.is_graph:
        return list(definition.depends_on or ())
    refs = [task.task_reference_name for task in scope.tasks]
    return refs[: refs.index(ref)]


def _is_over(state: State, scope: Scope) -> bool:
    """Whether every task of a scope has ended, with all within it."""
    tasks = [state.tasks.get(task.task_reference_name) for task in scope.tasks]
    return all(task is not None and _has_ended(state, task, through_forks=True) for task in tasks)


def _has_ended(state: State, task: TaskState, *, through_forks: bool) -> bool:
    if not task.status.is_final:
        return False
    if task.type in FORKS and not through_forks:
        return True
    return all(_is_over(state, scope) for scope in state.scopes.values() if scope.owner == task.ref)


def _has_passed(state: State, task: TaskState) -> bool:
    return task.has_passed and _has_ended(state, task, through_forks=False)


class Play:
    """A namespace with random workflows, and a world that does something at random until all has ended."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)  # noqa: S311 (seeded, so that a failure can be run again)
        self.space = Namespace(check=True)
        self.audits: dict[str, Audit] = {}
        self._define("Policy", "all", POLICY)
        self._define("ToolCatalog", "tools", CATALOG)
        for name, size, children in (("tiny", 0, ()), ("leaf", 2, ("tiny",)), ("main", 12, ("tiny", "leaf"))):
            workflow = Author(self.draw, size, children).workflow(name)
            if name == "main" and self.draw.random() < 0.2:
                workflow["failureWorkflow"] = "tiny"
            self._define("Workflow", name, workflow)
        self.run = self.space.start("main", {"v": "x"})
        self.space.settle()

    def _define(self, kind: str, name: str, spec: Json) -> None:
        problem = self.space.define(kind, name, spec).problem
        assert not problem, problem

    def to_the_end(self) -> None:
        """Act until every execution has ended."""
        self._audit()
        for _ in range(MOST_STEPS):
            alive = [each for each in self.space.executions if not each.state.is_final]
            if not alive:
                return
            self._act(self.draw.choice(alive))
            self._audit()
        raise AssertionError(f"it never ends: {[(e.name, e.statuses()) for e in alive]}")

    def revive(self) -> bool:
        """Retry, rerun or restart one that has ended; whether it was accepted."""
        execution = self.draw.choice(self.space.executions)
        kind = self.draw.choice(
            [SignalType.RETRY, SignalType.RETRY, SignalType.RERUN, SignalType.RERUN, SignalType.RESTART]
        )
        ref: str | None = None
        payload: Json = {}
        if kind is SignalType.RETRY:
            payload = {"resumeSubworkflowTasks": self.draw.random() < 0.5}
        elif kind is SignalType.RERUN and execution.state.tasks and self.draw.random() < 0.9:
            ref = self.draw.choice([*execution.state.tasks])
            payload = {"input": {"v": "x", "given": True}} if self.draw.random() < 0.2 else {}
        elif kind is SignalType.RERUN:
            payload = {"workflowInput": {"v": "y"}}
        else:
            payload = {"useLatestDefinitions": self.draw.random() < 0.5}
        had = execution.state.tasks.get(ref or "")
        before = len(execution.events)
        refused = self.space.signal(execution, kind, ref=ref, payload=payload)
        types = [event["type"] for event in execution.events[before:]]
        if refused:
            assert types == ["FactRefused"]
        else:
            assert types[0] in REVIVED
            task = execution.state.tasks.get(ref or "")
            if task is not None and task.seq >= 0 and had is not None and had.seq >= 0:
                was_given = "given" in task.input
                assert was_given is ("input" in payload), f"{ref} does not run with what it was given"
            assert not execution.state.is_final or types[-1] in {kind.value for kind in FINAL} | {
                "FailureWorkflowStarted"
            }
        self._audit()
        return not refused

    def _audit(self) -> None:
        for execution in self.space.executions:
            self.audits.setdefault(execution.uid, Audit(execution)).go_on()
            origin = execution.origin
            if origin is None or origin.detached:
                continue
            parent = origin.execution.state
            if parent.is_final and not _goes_on_for_itself(execution, origin.execution):
                assert execution.state.is_final, f"{execution.name} goes on after its parent has ended"
            task = parent.tasks.get(origin.ref)
            if task is not None and task.seq == origin.seq and not task.status.is_final:
                assert not execution.state.is_final, (
                    f"{origin.ref} waits for {execution.name}, which has ended"
                )

    def _act(self, execution: SimulatedExecution) -> None:
        draw, state = self.draw, execution.state
        if state.is_paused and draw.random() < 0.7:
            if state.paused_by:
                self.space.signal(execution, SignalType.RESUME)
            if state.suspended:
                self.space.tell(execution, SuspendSet(False))
            return
        if draw.random() < 0.12:
            self._interfere(execution)
            return
        jobs = list(execution.jobs(self.space.now_ms))
        people = [task.ref for task in execution.open_tasks if task.type in (TaskType.HUMAN, TaskType.WAIT)]
        choices = [*jobs, *people]
        if not choices:
            self.space.advance(draw.choice([1, 5, 5, 30]))
        elif (ref := draw.choice(choices)) in people:
            self._decide(execution, ref)
        else:
            self._work(execution, ref)

    def _decide(self, execution: SimulatedExecution, ref: str) -> None:
        if self.draw.random() < 0.2:
            self.space.advance(5)
            return
        kind = self.draw.choice([SignalType.COMPLETE] * 8 + [SignalType.FAIL, SignalType.PROGRESS])
        self.space.signal(execution, kind, ref=ref, payload={"v": "x"})

    def _work(self, execution: SimulatedExecution, ref: str) -> None:
        draw, space, seq = self.draw, self.space, execution.state.tasks[ref].seq
        match draw.randint(0, 19):
            case 0 | 1:
                space.report(execution, ref, ReportStatus.FAILED, reason="boom", output={"v": "y"})
            case 2:
                space.report(execution, ref, ReportStatus.FAILED_WITH_TERMINAL_ERROR, reason="never")
            case 3:
                space.ends_job(execution, ref, draw.choice([*Ending]), "gone")
            case 4:
                space.report(execution, ref, ReportStatus.IN_PROGRESS, output={"v": "x"})
            case 5:
                space.report(
                    execution, ref, ReportStatus.IN_PROGRESS, callback_after_seconds=draw.choice([0, 5])
                )
            case 6 | 7:
                space.tell(execution, JobStarted(seq, "pod"))
            case 8:
                space.advance(draw.choice([1, 10, 100]))
            case 9:
                self._twice(
                    execution, Report(space.fact_id(), seq, ReportStatus.COMPLETED, output={"v": "y"})
                )
            case _:
                space.report(execution, ref, output={"v": draw.choice(["x", "y"])})

    def _twice(self, execution: SimulatedExecution, report: Report) -> None:
        """The same report again changes nothing."""
        self.space.tell(execution, report)
        known = len(execution.events)
        self.space.tell(execution, report)
        assert len(execution.events) == known, "a report counted twice"

    def _interfere(self, execution: SimulatedExecution) -> None:
        draw, space = self.draw, self.space
        match draw.randint(0, 11):
            case 0:
                space.signal(execution, SignalType.TERMINATE, payload={"reason": "enough"})
            case 1 | 2:
                space.signal(execution, SignalType.PAUSE)
            case 3:
                space.tell(execution, SuspendSet(draw.random() < 0.7))
            case 4 | 5:
                coming = list(_coming(execution.state))
                if coming:
                    space.signal(
                        execution, SignalType.SKIP, ref=draw.choice(coming), payload={"output": {"v": "x"}}
                    )
            case 6:
                space.signal(
                    execution, draw.choice([*SignalType]), ref=draw.choice([None, *execution.state.tasks])
                )
            case _:
                self._late(execution)

    def _late(self, execution: SimulatedExecution) -> None:
        """A report, or the end of a Job, of an attempt that is over changes nothing."""
        state = execution.state
        over = [
            seq
            for seq, ref in state.by_seq.items()
            if seq != state.tasks[ref].seq or state.tasks[ref].status.is_final
        ]
        if not over:
            return
        seq, fact_id = self.draw.choice(over), self.space.fact_id()
        before = len(execution.events)
        if self.draw.random() < 0.5:
            self.space.tell(execution, Report(fact_id, seq, ReportStatus.COMPLETED, output={"late": True}))
        else:
            self.space.tell(execution, JobEnded(fact_id, seq, Ending.LOST))
        assert {event["type"] for event in execution.events[before:]} <= {"FactRefused"}, (
            "a late fact counted"
        )


def _goes_on_for_itself(execution: SimulatedExecution, parent: SimulatedExecution) -> bool:
    """Whether a person, or a child of its own, has revived it since its parent last did."""
    revivals = [event["by"] for event in execution.events if event["type"] in REVIVED]
    return bool(revivals) and revivals[-1] != f"execution {parent.name}"


def _coming(state: State) -> Iterator[str]:
    for scope_id in state.open_scopes:
        for task in state.scopes[scope_id].tasks:
            if task.task_reference_name not in state.tasks:
                yield task.task_reference_name


def _tool(name: str, retries: int, **more: Any) -> Json:
    run = {"container": {"image": "example/tool:1"}}
    retry = {"count": retries, "delaySeconds": 3}
    return {
        "name": name,
        "inputSchema": {"type": "object"},
        "effect": "Read",
        "run": run,
        "retry": retry,
        **more,
    }


CATALOG: Json = {
    "tools": [
        _tool("again", RETRIES["again"]),
        _tool("once", RETRIES["once"]),
        _tool("risky", RETRIES["risky"], effect="Write"),
        _tool(
            "timed", RETRIES["timed"], timeoutSeconds=90, responseTimeoutSeconds=20, pollTimeoutSeconds=40, totalTimeoutSeconds=200,
        ),
    ]
}  # fmt: skip
POLICY: Json = {
    "rules": [{"name": "all", "decision": "Allow", "match": {"types": ["SIMPLE", *(kind.value for kind in PROPOSABLE)]}}],
    "limits": {"tasks": 1000, "depth": 20, "durationSeconds": 31_536_000},
}  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.integers(min_value=0, max_value=2**32))
def test_what_always_holds(seed: int) -> None:
    play = Play(seed)
    play.to_the_end()
    for _ in range(3):
        if play.revive():
            play.to_the_end()
