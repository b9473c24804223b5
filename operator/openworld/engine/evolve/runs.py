"""The run as a whole: its start, pauses, endings and generations, and its variables."""

from __future__ import annotations

from openworld.api import JsonObject, Phase, TaskStatus, Workflow
from openworld.api.policy import Limits
from openworld.engine.generations import begin_again, start_over, take_back
from openworld.engine.scopes import open_scope
from openworld.engine.state import ROOT, Scope, State
from openworld.ledger import EventType

from .entering import end
from .registry import HANDLERS, Handler, on

#: Who pauses and resumes when `spec.suspend` is set.
BY_SPEC = "spec.suspend"


@on(EventType.EXECUTION_STARTED)
def _started(state: State, event: JsonObject, at_ms: int) -> None:
    state.phase = Phase.RUNNING
    state.workflow = Workflow.model_validate(event["definition"])
    identity = event["workflow"]
    state.workflow_name, state.workflow_version = identity["name"], identity["version"]
    state.workflow_digest = identity["digest"]
    state.started_at_ms = state.clock_from_ms = at_ms
    state.input, state.env = event["input"], event.get("env", {})
    state.claim = event.get("claim", "")
    state.limits = Limits.model_validate(event["limits"])
    state.variables = dict(state.workflow.variables)
    open_scope(state, Scope(id=ROOT, tasks=tuple(state.workflow.tasks)))


@on(EventType.EXECUTION_PAUSED)
def _paused(state: State, event: JsonObject, at_ms: int) -> None:
    if not state.is_paused:
        state.phase, state.paused_at_ms = Phase.PAUSED, at_ms
    if event["by"] == BY_SPEC:
        state.suspended = True
    else:
        state.paused_by = event["by"]


@on(EventType.EXECUTION_RESUMED)
def _resumed(state: State, event: JsonObject, at_ms: int) -> None:
    if event["by"] == BY_SPEC:
        state.suspended = False
    else:
        state.paused_by = ""
    if state.is_paused:
        return
    state.phase = Phase.RUNNING if state.ending is None else Phase.COMPENSATING
    for task in state.active_tasks():  # what was held back is not late
        if task.started_at_ms is None:
            task.scheduled_at_ms = at_ms


def _ended_as(phase: Phase) -> Handler:
    def handler(state: State, event: JsonObject, at_ms: int) -> None:
        if event.get("cancelsAll"):
            for task in state.active_tasks():
                if task.seq >= 0:
                    state.stopped.add(task.seq)
                end(state, task, TaskStatus.CANCELED, {"seq": event["seq"]}, at_ms)
        state.phase = phase
        state.ended_at_ms = at_ms
        state.reason = event.get("reason", "")
        state.output = event.get("output")
        state.failure_workflow = event.get("failureWorkflow")
        state.failure_workflow_seq = event["seq"]
        state.failed_task = event.get("failedTask", "")
        state.failure_workflow_started = ""
        state.ending, state.compensation = None, event.get("compensation")

    return handler


HANDLERS[EventType.EXECUTION_COMPLETED] = _ended_as(Phase.COMPLETED)


HANDLERS[EventType.EXECUTION_FAILED] = _ended_as(Phase.FAILED)


HANDLERS[EventType.EXECUTION_TIMED_OUT] = _ended_as(Phase.TIMED_OUT)


HANDLERS[EventType.EXECUTION_TERMINATED] = _ended_as(Phase.TERMINATED)


@on(EventType.EXECUTION_RETRIED)
def _retried(state: State, event: JsonObject, at_ms: int) -> None:
    begin_again(state, event, at_ms)
    take_back(state, event, at_ms)


@on(EventType.EXECUTION_RERUN)
def _rerun(state: State, event: JsonObject, at_ms: int) -> None:
    begin_again(state, event, at_ms)
    state.input = event.get("input", state.input)
    if "ref" not in event:
        start_over(state)
        return
    take_back(state, event, at_ms)
    if "taskInput" in event:
        state.given_inputs[event["ref"]] = event["taskInput"]


@on(EventType.EXECUTION_RESTARTED)
def _restarted(state: State, event: JsonObject, at_ms: int) -> None:
    begin_again(state, event, at_ms)
    if event.get("latest"):
        state.workflow = None
        state.phase = Phase.PENDING
    start_over(state)


@on(EventType.FAILURE_WORKFLOW_STARTED)
def _failure_workflow_started(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    state.failure_workflow_started = event.get("execution") or "(none)"


@on(EventType.VARIABLE_SET)
def _variables(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    state.variables = state.variables | event["variables"]


@on(EventType.BUDGET_EXCEEDED)
def _exceeded(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    if event.get("alertOnly"):
        state.alerted.add(event["limit"])


@on(EventType.FACT_REFUSED)
def _refused(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    state.refused_facts += 1
