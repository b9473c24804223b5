"""A case, played on the real engine: definitions go through the importer, steps become facts."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from openworld.api import ReportStatus, TaskType
from openworld.api.policy import PROPOSABLE
from openworld.engine.state import TaskState
from openworld.language.conductor import Severity, import_definitions
from openworld.simulation import Namespace, SimulatedExecution

from .case import Case
from .comparing import differences, final_differences, shown
from .observing import ended, settled, status_of
from .operating import signal_of

#: Operators of the recorded server needed nobody's leave; what is made at run time is a proposal here.
POLICY = {
    "rules": [
        {"name": "tools", "decision": "Allow", "match": {"types": ["SIMPLE"]}},
        {"name": "types", "decision": "Allow", "match": {"types": [kind.value for kind in PROPOSABLE]}},
    ],
    "limits": {
        "turns": 1000,
        "tasks": 100_000,
        "tasksPerProposal": 1000,
        "concurrentTasks": 1000,
        "depth": 20,
        "durationSeconds": 31_536_000,
    },
}
#: What imported workflows name as their catalog, whether or not they need any tool of it.
CATALOG = "imported"
_WORKER_TYPES = (TaskType.SIMPLE, TaskType.DYNAMIC)


class CannotPlayError(Exception):
    """A step that means nothing in the state that was reached."""


class Play:
    """One case on a namespace of its own."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._namespace = Namespace(check=True)
        self._namespace.define("Policy", "conformance", POLICY)
        self._namespace.define("ToolCatalog", CATALOG, {"tools": []})
        self._workflows: dict[tuple[str, int], dict[str, Any]] = {}
        self._tasks: dict[str, dict[str, Any]] = {}
        self._root: SimulatedExecution | None = None
        self._refusal = ""

    def differences(self) -> Iterator[str]:
        """Everything that came about otherwise than the case expects."""
        expect, steps = self._case.of("expect"), self._case.of("steps")
        yield from self._compared("after the start", expect[0], self._start())
        for index, step in enumerate(steps):
            where = f"after step {index + 1} {shown(step)}"
            try:
                found = self._step(step)
            except CannotPlayError as error:
                yield f"{where}: {error}{self._reason()}"
                return
            except Exception as error:
                error.add_note(where)
                raise
            yield from self._compared(where, expect[index + 1], found)
        yield from self._final()

    # What happens.

    def _start(self) -> dict[str, Any]:
        recorded = self._case.recorded
        definitions = recorded["definitions"]
        first = definitions["workflows"][0]
        self._refusal = self._define(definitions["workflows"], definitions.get("tasks", ()))
        if self._refusal:
            return {"status": "REJECTED", "tasks": {}, "refused": self._refusal}
        self._root = self._namespace.start(
            first["name"],
            recorded["input"],
            version=first.get("version"),
            correlation_id=recorded.get("correlationId", ""),
        )
        self._namespace.settle()
        if status_of(self._root) == "REJECTED":
            self._refusal = self._root.state.reason
            return {"status": "REJECTED", "tasks": {}, "refused": self._refusal}
        return settled(self._namespace, self._root)

    def _define(self, workflows: Any, tasks: Any) -> str:
        """Import everything known so far; returns why a definition is refused."""
        self._workflows |= {(each["name"], each.get("version", 1)): each for each in workflows}
        self._tasks |= {each["name"]: each for each in tasks}
        try:
            imported = import_definitions(
                list(self._workflows.values()),
                list(self._tasks.values()),
                image="example/worker:1",
                catalog=CATALOG,
            )
        except ValueError as error:
            return f"the importer refused it: {error}"
        errors = [
            f"{loss.path}: {loss.message}" for loss in imported.losses if loss.severity is Severity.ERROR
        ]
        if errors:
            return f"the importer says that it cannot run: {'; '.join(errors)}"
        for catalog in imported.catalogs:
            self._namespace.define("ToolCatalog", catalog["metadata"]["name"], catalog["spec"])
        problems = []
        for workflow in imported.workflows:
            spec = workflow["spec"] | {"policyRef": {"name": "conformance"}}
            problems.append(self._namespace.define("Workflow", workflow["metadata"]["name"], spec).problem)
        return "; ".join(filter(None, problems))

    def _step(self, step: dict[str, Any]) -> dict[str, Any]:
        """Let one thing happen; returns the settled state after it."""
        execution = self._execution(step.get("workflow", ()))
        told: dict[str, Any] = {}
        if "advance" in step:
            self._namespace.advance(step["advance"])
        elif step.get("poll"):
            told["polled"] = self._namespace.starts_container(execution, step["worker"])
        elif "worker" in step:
            self._report(execution, step["worker"], step["result"])
        elif step["op"] == "define":
            told["refused"] = self._define(step.get("workflows", ()), step.get("tasks", ()))
            self._namespace.settle()
        else:
            told["refused"] = self._operate(execution, step)
        return settled(self._namespace, self._execution(())) | told

    def _execution(self, path: Any) -> SimulatedExecution:
        if self._root is None:
            raise CannotPlayError("there is no run")
        execution = self._root
        for ref in path:
            child = self._namespace.child(execution, ref)
            if child is None:
                raise CannotPlayError(f"task {ref} has no child execution")
            execution = child
        return execution

    def _report(self, execution: SimulatedExecution, pattern: str, result: dict[str, Any]) -> None:
        status = ReportStatus("".join(word.capitalize() for word in result["status"].split("_")))
        more = {}
        if "callbackAfterSeconds" in result:
            more["callback_after_seconds"] = result["callbackAfterSeconds"]
        for ref in self._workers(execution, pattern):
            self._namespace.report(
                execution,
                ref,
                status,
                output=result.get("output"),
                reason=result.get("reason", ""),
                **more,
            )

    def _workers(self, execution: SimulatedExecution, pattern: str) -> list[str]:
        if "*" not in pattern:
            if pattern not in execution.state.tasks:
                raise CannotPlayError(f"there is no task {pattern}")
            return [pattern]
        fitting = [task.ref for task in execution.open_tasks if _is_worker(task, pattern)]
        if not fitting:
            raise CannotPlayError(f"no open worker task matches {pattern}")
        return fitting

    def _operate(self, execution: SimulatedExecution, step: dict[str, Any]) -> str:
        """Send what an operation is here; returns why it was refused."""
        kind, ref, payload = signal_of(step)
        return self._namespace.signal(execution, kind, ref=ref, payload=payload)

    # What is compared.

    def _compared(self, where: str, expected: dict[str, Any], got: dict[str, Any]) -> Iterator[str]:
        wanted, found = dict(expected), dict(got)
        must_be_refused, refused = "refused" in wanted, found.pop("refused", "")
        wanted.pop("refused", None)
        if must_be_refused and not refused:
            yield f"{where}: expected a refusal, and it was accepted"
        because = (f" (refused: {refused})" if refused else "") + self._reason()
        for text in differences(wanted, found):
            yield f"{where}: {text}{because}"
            because = ""

    def _reason(self) -> str:
        reason = self._root.state.reason if self._root is not None else ""
        return f" [the run ended: {reason[:300]}]" if reason else ""

    def _final(self) -> Iterator[str]:
        expected = self._case.of("final")
        if self._root is None or status_of(self._root) == "REJECTED":
            wanted = {key: expected[key] for key in ("status", "reasonMentions") if key in expected}
            said = [text for text in self._case.texts if text in self._refusal]
            found = {"status": "REJECTED", "reasonMentions": said}
            why = f" ({self._refusal})"
            yield from (
                f"final {text}{why}" for text in differences(wanted, {key: found[key] for key in wanted})
            )
            return
        got, attempts = ended(self._namespace, self._root, self._case.texts)
        for text in final_differences(expected, got, attempts):
            yield f"final {text}"


def _is_worker(task: TaskState, pattern: str) -> bool:
    return task.type in _WORKER_TYPES and fnmatchcase(task.ref, pattern)
