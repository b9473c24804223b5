"""What an execution looks like in the words of the corpus: its settled state, and its end in detail."""

from __future__ import annotations

from typing import Any, Protocol

from openworld.api import Phase, TaskStatus, TaskType
from openworld.simulation import SimulatedExecution

from .attempts import Attempt, attempts_of, upper

_PHASES = {Phase.PENDING: "RUNNING"}


class Relatives(Protocol):
    """Where executions live beside those that they have started: a simulated namespace, or one of a cluster."""

    def child(self, execution: SimulatedExecution, ref: str) -> SimulatedExecution | None:
        """The child execution of the last attempt of a task."""

    def detached(self, execution: SimulatedExecution) -> list[SimulatedExecution]:
        """What an execution has started without waiting for it, in order."""


def status_of(execution: SimulatedExecution) -> str:
    """The status of a run; REJECTED when it ended at its start without any task."""
    state = execution.state
    if state.phase is Phase.FAILED and not state.tasks and execution.origin is None:
        return "REJECTED"
    return _PHASES.get(state.phase, upper(state.phase.value))


def settled(namespace: Relatives, execution: SimulatedExecution) -> dict[str, Any]:
    """An expect entry: the last attempt of each ref, delays, and the same of the children."""
    entry = _entry(execution)
    delays = {
        task.ref: (task.not_before_ms - task.scheduled_at_ms) // 1000
        for task in execution.open_tasks
        if task.status is TaskStatus.SCHEDULED and task.not_before_ms > task.scheduled_at_ms
    }
    if delays:
        entry["delays"] = delays
    children = children_of(namespace, execution)
    if children:
        entry["children"] = {path: _entry(child) for path, child in children.items()}
    return entry


def _entry(execution: SimulatedExecution) -> dict[str, Any]:
    statuses = {ref: upper(status.value) for ref, status in execution.statuses().items()}
    return {"status": status_of(execution), "tasks": statuses}


def children_of(
    namespace: Relatives, execution: SimulatedExecution, prefix: str = ""
) -> dict[str, SimulatedExecution]:
    """The child of the last attempt of each ref, and theirs, by path."""
    found: dict[str, SimulatedExecution] = {}
    for ref in execution.state.tasks:
        child = namespace.child(execution, ref)
        if child is not None:
            found[prefix + ref] = child
            found |= children_of(namespace, child, f"{prefix}{ref}/")
    return found


def ended(
    namespace: Relatives, execution: SimulatedExecution, texts: list[str]
) -> tuple[dict[str, Any], dict[str, list[Attempt]]]:
    """The end in detail; and the attempts by path ("" is the started workflow), to be compared apart."""
    state = execution.state
    children = children_of(namespace, execution)
    final = _final(execution, texts)
    if children:
        final["children"] = {
            path: _final(child, texts) | {"input": child.identity.spec.input}
            for path, child in children.items()
        }
    started = []
    for other in namespace.detached(execution):
        task = state.tasks.get(other.origin.ref) if other.origin else None
        shown = _started(other)
        if task is not None and task.type is TaskType.START_WORKFLOW:
            started.append(shown)
        else:
            run_input = dict(shown["input"])
            has_failed_workflow = bool(run_input.pop("failedWorkflow", None))
            final["failureWorkflow"] = shown | {
                "input": run_input,
                "hasFailedWorkflow": has_failed_workflow,
            }
    if started:
        final["started"] = started
    everyone = {"": execution, **children}
    return final, {path: attempts_of(each) for path, each in everyone.items()}


def _final(execution: SimulatedExecution, texts: list[str]) -> dict[str, Any]:
    state = execution.state
    final: dict[str, Any] = {
        "status": status_of(execution),
        "output": state.output or {},
        "variables": state.variables,
    }
    if state.is_final and state.phase is not Phase.COMPLETED and final["status"] != "REJECTED":
        final["reasonMentions"] = [text for text in texts if text in state.reason]
    return final


def _started(execution: SimulatedExecution) -> dict[str, Any]:
    spec, state = execution.identity.spec, execution.state
    name = spec.workflow_ref.name if spec.workflow_ref else state.workflow_name
    return {"name": name, "status": status_of(execution), "input": spec.input, "output": state.output or {}}
