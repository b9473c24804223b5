"""The Execution's `.status` as it follows from the state and its events: where things stand, for people.

The projection repeats nothing that the events say at length (inputs, outputs, verdicts): it is an
index for `kubectl get`, the events are the record.
"""

from __future__ import annotations

from collections.abc import Sequence

from openworld.api import JsonObject, Phase, TaskStatus, TaskType
from openworld.governance import Amounts
from openworld.language.askers import proposer, untrusted
from openworld.language.canonical import digest, stored_size
from openworld.ledger import rfc3339

from .evolve import BY_SPEC
from .state import State, TaskState

_LONGEST_REASON = 1000
#: Tasks in the status beside those that are active; all stand in the ledger.
MOST_SHOWN_TASKS = 100
#: Larger variables are only in the ledger.
MOST_SHOWN_VARIABLES_BYTES = 16 * 1024
#: A larger output is named by its digest.
MOST_SHOWN_OUTPUT_BYTES = 64 * 1024


def project(
    state: State, events: Sequence[JsonObject], *, sealed: Sequence[JsonObject] = (), segments: int = 0
) -> JsonObject:
    """The whole status. `events` are those that are not sealed; `sealed` points to the last segments."""
    active = len(state.active)
    status: JsonObject = {
        "phase": state.phase.value,
        "conditions": _conditions(state, events),
        "counts": {
            "tasks": state.known_tasks,
            "active": active,
            "completed": state.completed,
            "failed": state.failed,
            "proposals": state.proposals,
            "denied": state.denied,
            "refusedFacts": state.refused_facts,
        },
        "progress": f"{active}/{state.completed}/{state.known_tasks}",
        "tasks": {ref: _task(state.tasks[ref]) for ref in _shown(state)},
    }
    if state.workflow is not None:
        status["workflow"] = {
            "name": state.workflow_name or "(inline)",
            "version": state.workflow_version,
            "digest": state.workflow_digest,
        }
        status["startedAt"] = rfc3339(state.started_at_ms)
    if state.ended_at_ms is not None:
        status["endedAt"] = rfc3339(state.ended_at_ms)
    if state.failure_workflow is not None:
        started = state.failure_workflow_started
        status["failureWorkflow"] = {"name": state.failure_workflow["name"], "execution": started}
    if state.spent != Amounts():
        status["usage"] = state.spent.wire()
    if state.revivals:
        status["revivals"] = state.revivals
    if state.compensation is not None:
        status["compensation"] = state.compensation
    if state.reason:
        status["reason"] = state.reason[:_LONGEST_REASON]
    waiting = waiting_for(state)
    if waiting:
        status["waitingFor"] = waiting
    if state.variables and stored_size(state.variables) <= MOST_SHOWN_VARIABLES_BYTES:
        status["variables"] = state.variables
    if state.output is not None:
        size = stored_size(state.output)
        if size <= MOST_SHOWN_OUTPUT_BYTES:
            status["output"] = state.output
        else:
            status["outputRef"] = {"digest": digest(state.output), "bytes": size}
    ledger: JsonObject = {"head": {"seq": state.head_seq, "hash": state.head_hash}}
    if segments:
        ledger |= {"segments": segments, "sealed": list(sealed)}
    status["ledger"] = ledger | {"events": list(events)}
    return status


def _shown(state: State) -> list[str]:
    """The tasks that stand in the status: all that are active, and the last ones that have ended."""
    if len(state.tasks) <= MOST_SHOWN_TASKS:
        return list(state.tasks)
    ended = sorted(
        (task for task in state.tasks.values() if task.status.is_final), key=lambda task: task.ended_seq or 0
    )
    shown = {task.ref for task in ended[-MOST_SHOWN_TASKS:]} | state.active.keys()
    return [ref for ref in state.tasks if ref in shown]


def waiting_for(state: State) -> str:
    """A person or a timer that the run waits for, in a few words."""
    if state.is_final:
        return ""
    if state.is_paused:
        return f"resume (paused by {state.paused_by or BY_SPEC})"
    people = [
        (f"approval of {task.ref} ({task.gate.tool})" if task.gate is not None else f"person: {task.ref}")
        + _asker(state, task)
        for task in state.active_tasks()
        if task.gate is not None or task.type is TaskType.HUMAN
    ]
    if people:
        return ", ".join(people[:3]) + (f" and {len(people) - 3} more" if len(people) > 3 else "")
    active = state.active_tasks()
    retries = [t for t in active if t.attempt and t.started_at_ms is None and t.not_before_ms]
    if retries and len(retries) == len(active):
        soonest = min(retries, key=lambda task: task.not_before_ms)
        return f"retry of {soonest.ref} at {rfc3339(soonest.not_before_ms)}"
    awaited = [t.ref for t in active if t.awaits_signal]
    if awaited and len(awaited) == len(active):
        return f"signal: {awaited[0]}"
    timers = [t for t in state.active_tasks() if t.type is TaskType.WAIT]
    if timers and len(timers) == len(state.active):
        due = [t.wake_at_ms for t in timers if t.wake_at_ms is not None]
        return f"timer until {rfc3339(min(due))}" if due else f"signal: {timers[0].ref}"
    return ""


def _asker(state: State, task: TaskState) -> str:
    """Whose words a person is asked with, where they are not an author's."""
    if task.type is not TaskType.HUMAN:
        return ""
    scope, parent = state.scope_of(task), state.spec.parent
    if scope.proposed and scope.owner is not None:
        name, _ = state.agents.get(scope.agent_digest, ("", None))
        return f" ({untrusted(proposer(scope.owner, name))})"
    if state.is_proposed and parent is not None:
        return f" ({untrusted(f'task {parent.ref} of {parent.name}')})"
    return ""


def _task(task: TaskState) -> JsonObject:
    entry: JsonObject = {"type": task.type.value, "status": task.status.value, "origin": task.origin}
    if task.tool:
        entry["tool"] = task.tool
    if task.attempt:
        entry["attempt"] = task.attempt
    if task.turns and task.type is TaskType.AGENT:
        entry["turn"] = task.turns[-1].number
    if task.started_at_ms is not None:
        entry["startedAt"] = rfc3339(task.started_at_ms)
    if task.ended_at_ms is not None:
        entry["endedAt"] = rfc3339(task.ended_at_ms)
    if task.status is TaskStatus.SCHEDULED and task.not_before_ms:
        entry["notBefore"] = rfc3339(task.not_before_ms)
    if task.pod:
        entry["pod"] = task.pod
    if task.reason:
        entry["reason"] = task.reason[:_LONGEST_REASON]
    if task.gate is not None and not task.status.is_final:
        entry["approval"] = {
            "tool": task.gate.tool,
            "itemDigest": task.gate.digest,
            "rule": task.gate.rule,
            "count": task.gate.count,
            "approvedBy": list(task.gate.approved_by),
            "expiresAt": rfc3339(task.gate.expires_at_ms),
        }
    return entry


def _conditions(state: State, events: Sequence[JsonObject]) -> list[JsonObject]:
    """Complete, Failed and AwaitingApproval, each with the time of the event that set it."""
    ended = rfc3339(state.ended_at_ms) if state.ended_at_ms is not None else ""
    began = events[0]["at"] if events else ""
    waits = [t for t in state.active_tasks() if t.status is TaskStatus.AWAITING_APPROVAL]
    latest_gate = next(
        (e["at"] for e in reversed(events) if str(e["type"]).startswith(("Approval", "Execution"))), began
    )
    is_bad = state.is_final and state.phase is not Phase.COMPLETED
    return [
        _condition("Complete", state.phase is Phase.COMPLETED, state.phase.value, "", ended or began),
        _condition("Failed", is_bad, state.phase.value, state.reason[:_LONGEST_REASON], ended or began),
        _condition(
            "AwaitingApproval",
            bool(waits),
            "Waiting" if waits else "NothingWaits",
            ", ".join(f"{t.ref} ({t.gate.tool})" for t in waits if t.gate is not None),
            latest_gate,
        ),
    ]


def _condition(kind: str, holds: bool, reason: str, message: str, at: str) -> JsonObject:
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": at,
    }
