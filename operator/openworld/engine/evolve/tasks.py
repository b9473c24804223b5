"""Tasks: scheduled, started, reported on, ended, tried again."""

from __future__ import annotations

from openworld.api import JsonObject, TaskStatus, TaskType, Tool
from openworld.api.policy import PROPOSABLE
from openworld.engine.compensable import compensation_of
from openworld.engine.scopes import recount
from openworld.engine.state import State
from openworld.ledger import EventType, epoch_ms

from .entering import count, end, enter, open_branch
from .registry import on

#: Types that are in progress as soon as they are scheduled: nothing outside has to start first.
WAITING = frozenset(
    {
        TaskType.AGENT,
        TaskType.COMPENSATE,
        TaskType.DO_WHILE,
        TaskType.EXCLUSIVE_JOIN,
        TaskType.HUMAN,
        TaskType.JOIN,
        TaskType.WAIT,
    }
)


@on(EventType.TASK_SCHEDULED)
def _scheduled(state: State, event: JsonObject, at_ms: int) -> None:
    task = enter(state, event, TaskStatus.SCHEDULED)
    state.given_inputs.pop(task.ref, None)
    if task.gate is not None:
        task.subject_digest = task.gate.subject_digest
    task.status, task.gate = TaskStatus.SCHEDULED, None
    task.seq, task.attempt = event["seq"], 0
    task.scheduled_at_ms = task.first_scheduled_at_ms = at_ms
    task.not_before_ms = epoch_ms(event["notBefore"]) if "notBefore" in event else 0
    task.input = event["input"]
    task.items = event.get("items")
    task.inline = event.get("definition")
    task.claims = event.get("claims", [])
    task.secrets = event.get("secrets", [])
    task.wake_at_ms = epoch_ms(event["dueAt"]) if "dueAt" in event else None
    if event["taskType"] != task.type.value:  # DYNAMIC: it runs as what its input names
        become = {"type": TaskType(event["taskType"]), "name": event["name"]}
        task.definition = task.definition.model_copy(update=become)
    state.by_seq[task.seq] = task.ref
    state.scheduled += 1
    tool = event.get("tool")
    if tool is not None:
        task.tool, task.tool_digest = tool["name"], tool["digest"]
        if "definition" in tool:
            state.tools[tool["digest"]] = Tool.model_validate(tool["definition"])
    if state.is_proposed and not state.scope_of(task).proposed:
        state.proposed_tasks += task.type is TaskType.SIMPLE or task.type in PROPOSABLE
    counted = task.tool if task.type is TaskType.SIMPLE else task.type.value
    state.started[counted] = state.started.get(counted, 0) + 1
    scope = state.scope_of(task)
    if task.type is TaskType.FORK_JOIN:
        for index, branch in enumerate(task.definition.fork_tasks):
            if branch:
                open_branch(state, task, scope, str(index), branch)
    if task.type in WAITING:
        task.status, task.started_at_ms = TaskStatus.IN_PROGRESS, at_ms


@on(EventType.TASK_STARTED)
def _task_started(state: State, event: JsonObject, at_ms: int) -> None:
    task = state.tasks[event["ref"]]
    task.status, task.started_at_ms, task.pod = TaskStatus.IN_PROGRESS, at_ms, event.get("pod", "")


@on(EventType.TASK_PROGRESSED)
def _progressed(state: State, event: JsonObject, at_ms: int) -> None:
    task = state.tasks[event["ref"]]
    task.progressed_at_ms = at_ms
    task.output = event.get("output", task.output)
    task.progress_reports += 1
    if event.get("awaitsSignal"):
        task.awaits_signal, task.status = True, TaskStatus.IN_PROGRESS
        task.started_at_ms = task.started_at_ms or at_ms
    count(state, event)
    if "notBefore" in event:  # the worker wants to be called again: another Job of the same attempt
        task.earlier, task.seq = (*task.earlier, task.seq), event["seq"]
        state.by_seq[task.seq] = task.ref
        task.status, task.started_at_ms, task.pod = TaskStatus.SCHEDULED, None, ""
        task.scheduled_at_ms, task.not_before_ms = at_ms, epoch_ms(event["notBefore"])


@on(EventType.TASK_REMINDED)
def _reminded(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    state.tasks[event["ref"]].reminders = event["reminder"]


@on(EventType.TASK_ESCALATED)
def _escalated(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task = state.tasks[event["ref"]]
    task.escalated, task.wake_at_ms = True, None


@on(EventType.TASK_COMPLETED)
def _completed(state: State, event: JsonObject, at_ms: int) -> None:
    count(state, event)
    task = state.tasks[event["ref"]]
    status = TaskStatus(event.get("status", TaskStatus.COMPLETED))
    end(state, task, status, event, at_ms)
    is_undoing = bool(state.scope_of(task).compensates)
    if status is TaskStatus.COMPLETED and not is_undoing and compensation_of(state, task) is not None:
        state.unregistered.append(task.ref)


@on(EventType.TASK_FAILED)
def _failed(state: State, event: JsonObject, at_ms: int) -> None:
    task = enter(state, event, TaskStatus.FAILED)
    count(state, event)
    if event.get("willRetry"):
        task.reason = event["reason"]
        return
    end(state, task, TaskStatus(event["status"]), event, at_ms)
    if event.get("permissive"):
        state.permissive_failure = task.ref


@on(EventType.TASK_TIMED_OUT)
def _timed_out(state: State, event: JsonObject, at_ms: int) -> None:
    task = state.tasks[event["ref"]]
    if "alert" in event:
        task.alerted.add(event["alert"])
        return
    state.stopped.add(task.seq)
    _failed(state, event, at_ms)


@on(EventType.TASK_CANCELED)
def _canceled(state: State, event: JsonObject, at_ms: int) -> None:
    task = enter(state, event, TaskStatus.CANCELED)
    if task.seq >= 0:
        state.stopped.add(task.seq)
    end(state, task, TaskStatus.CANCELED, event, at_ms)


@on(EventType.TASK_SKIPPED)
def _skipped(state: State, event: JsonObject, at_ms: int) -> None:
    task = enter(state, event, TaskStatus.SKIPPED)
    task.skipped_by, task.unmet = event.get("by", ""), event.get("unmet", False)
    end(state, task, TaskStatus.SKIPPED, event, at_ms)


@on(EventType.RETRY_SCHEDULED)
def _retry(state: State, event: JsonObject, at_ms: int) -> None:
    task = state.tasks[event["ref"]]
    task.earlier, task.seq = (*task.earlier, task.seq), event["seq"]
    state.by_seq[task.seq] = task.ref
    task.attempt, task.child_revivals = event["attempt"], 0
    task.scheduled_at_ms, task.not_before_ms = at_ms, epoch_ms(event["notBefore"])
    task.input = event.get("input", task.input)
    task.items = event.get("items", task.items)
    task.inline = event.get("definition", task.inline)
    task.wake_at_ms = epoch_ms(event["dueAt"]) if "dueAt" in event else None
    if task.type is not TaskType.AGENT:
        task.turns, task.branch_refs = [], []
    if task.status.is_final:  # a person has it run again
        task.ended_at_ms = task.ended_seq = None
        task.reason, task.output = "", {}
        task.status = TaskStatus.SCHEDULED
        recount(state)
    task.started_at_ms, task.pod, task.progressed_at_ms = None, "", None
    task.alerted, task.awaits_signal, task.reminders = set(), False, 0
    task.status = TaskStatus.SCHEDULED
    if task.type in WAITING:
        task.status, task.started_at_ms = (
            TaskStatus.IN_PROGRESS,
            None if task.type is TaskType.AGENT else at_ms,
        )


@on(EventType.BRANCH_TAKEN)
def _branch(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task = state.tasks[event["ref"]]
    cases = task.definition.decision_cases
    tasks = cases[event["case"]] if event["matched"] else task.definition.default_case
    if tasks:
        open_branch(state, task, state.scope_of(task), event["case"] or "default", tasks)
