"""START_WORKFLOW: starts another execution and does not wait for it. Source: Conductor."""

from __future__ import annotations

from collections.abc import Iterator

from openworld.api import JsonObject, Task, TaskStatus
from openworld.engine import budget
from openworld.engine.decide import Pass
from openworld.engine.outside import DesiredChild
from openworld.engine.state import Scope, State, TaskState
from openworld.ledger import EventType

from . import sub_workflow
from .kind import TaskKind

FIELDS = ("name", "version", "input", "correlationId", "idempotencyKey", "idempotencyStrategy")
RETURN_EXISTING = "RETURN_EXISTING"


class StartWorkflowTask(TaskKind):
    """Fire and forget: complete as soon as the execution exists; its id is the output."""

    def schedule_data(self, p: Pass, scope: Scope, definition: Task, task_input: JsonObject) -> JsonObject:  # noqa: ARG002
        """Read what is to be started."""
        asked(task_input)
        return {}

    def follow(self, p: Pass, task: TaskState) -> None:
        """Check that the workflow can be started; that it was is a fact."""
        if task.status is not TaskStatus.SCHEDULED:
            return
        start = asked(task.input)
        if sub_workflow.is_startable(p, task, start["name"], start.get("version")):
            p.emit(EventType.TASK_STARTED, ref=task.ref, attempt=task.attempt)

    def desired(self, state: State, task: TaskState) -> Iterator[DesiredChild]:
        """The execution that is to exist."""
        is_granted = task.granted_seq == task.seq or not budget.is_lent(state, task)
        if task.status is not TaskStatus.IN_PROGRESS or not is_granted:
            return
        start = asked(task.input)
        yield DesiredChild(
            seq=task.seq,
            ref=task.ref,
            workflow_name=start["name"],
            version=start.get("version"),
            input=start.get("input") or {},
            correlation_id=start.get("correlationId") or "",
            depth=state.depth + state.scope_of(task).depth + 1,
            workflow_digest=task.subject_digest,
            detached=True,
            idempotency_key=start.get("idempotencyKey") or "",
            policies=sub_workflow.policies_of(state, task),
            grant=budget.grant_of(state, task),
            returns_existing=start.get("idempotencyStrategy") == RETURN_EXISTING,
        )


def asked(task_input: JsonObject) -> JsonObject:
    """What `startWorkflow` of the input asks for. Raises ValueError with a sentence for people."""
    start = task_input.get("startWorkflow")
    if not isinstance(start, dict) or not isinstance(start.get("name"), str) or not start["name"]:
        raise ValueError("startWorkflow must be an object with the name of a Workflow")
    unknown = sorted(set(start) - set(FIELDS))
    if unknown:
        raise ValueError(f"startWorkflow has no field {unknown[0]!r}; it has {', '.join(FIELDS)}")
    version = start.get("version")
    if version is not None and (isinstance(version, bool) or not isinstance(version, int) or version < 1):
        raise ValueError("startWorkflow.version must be a number from 1")
    if not isinstance(start.get("input") or {}, dict):
        raise ValueError("startWorkflow.input must be an object")
    for name in ("correlationId", "idempotencyKey"):
        if not isinstance(start.get(name) or "", str):
            raise ValueError(f"startWorkflow.{name} must be text")
    if start.get("idempotencyStrategy") not in (None, "FAIL", RETURN_EXISTING):
        raise ValueError(f"startWorkflow.idempotencyStrategy must be FAIL or {RETURN_EXISTING}")
    return start
