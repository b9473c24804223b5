"""Turns, proposals, verdicts, and the consent of people."""

from __future__ import annotations

from openworld.api import Agent, JsonObject, Task, TaskStatus, TaskType
from openworld.api.policy import Limits, OnTimeout
from openworld.engine.scopes import open_scope
from openworld.engine.state import Gate, Scope, State, Turn
from openworld.governance.checks.limits import tasks_of
from openworld.ledger import EventType, epoch_ms

from .entering import count, enter
from .registry import on


@on(EventType.TURN_STARTED)
def _turn(state: State, event: JsonObject, at_ms: int) -> None:
    task = state.tasks[event["ref"]]
    agent = event["agent"]
    task.agent_digest = agent["digest"]
    if "definition" in agent:
        state.agents[agent["digest"]] = (agent["name"], Agent.model_validate(agent["definition"]))
    task.earlier, task.seq = (), event["seq"]
    state.by_seq[task.seq] = task.ref
    task.attempt, task.scheduled_at_ms, task.not_before_ms = 0, at_ms, 0
    task.started_at_ms, task.pod = None, ""
    task.turns.append(Turn(number=event["turn"], context=event["context"]))


@on(EventType.PROPOSAL_RECEIVED)
def _proposal(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task = state.tasks[event["ref"]]
    if task.turn is None or task.turn.received:
        task.turns.append(Turn(number=event["turn"]))
    turn = task.turns[-1]
    turn.received, turn.proposal_id, turn.content = True, event["proposal"], event["content"]
    turn.output = event.get("output", {})
    count(state, event)
    state.proposals += 1


@on(EventType.PROPOSAL_JUDGED)
def _judged(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    state.denied += sum(item["decision"] == "Denied" for item in event["items"])
    if "stage" in event:
        return
    turn = state.tasks[event["ref"]].turns[-1]
    turn.judged, turn.verdict = True, event["items"]
    turn.problem, turn.answer = event.get("problem", ""), event.get("answer")
    turn.nothing_allowed = event["nothingAllowed"]
    turn.counts, turn.policies = event.get("counts", {}), event["policies"]
    state.limits = Limits.model_validate(event["limits"])


@on(EventType.TASKS_MATERIALIZED)
def _materialized(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    owner = state.tasks[event["ref"]]
    around = state.scope_of(owner)
    tasks = tuple(Task.model_validate(task) for task in event["tasks"])
    refs = [task.task_reference_name for task in tasks]
    owner.turns[-1].refs = refs
    owner.branch_refs = owner.branch_refs + refs
    state.proposed_tasks += sum(map(tasks_of, tasks))
    open_scope(
        state,
        Scope(
            id=event["scope"],
            tasks=tasks,
            parent=around.id,
            owner=owner.ref,
            is_graph=True,
            proposed=True,
            feedback=around.feedback or owner.type is TaskType.AGENT,
            proposal_id=event["proposal"],
            items=dict(zip(refs, event["items"], strict=True)),
            retries=event.get("retries", {}),
            aliases=event["aliases"],
            counts=owner.turns[-1].counts,
            agent_digest=owner.agent_digest or around.agent_digest,
            depth=around.depth + 1,
            suffix=around.suffix if owner.type is TaskType.FORK_JOIN_DYNAMIC else "",
        ),
    )


@on(EventType.APPROVAL_REQUESTED)
def _requested(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task = enter(state, event, TaskStatus.AWAITING_APPROVAL)
    task.status, task.input = TaskStatus.AWAITING_APPROVAL, event["input"]
    approval = event["approval"]
    task.gate = Gate(
        digest=event["itemDigest"],
        tool=event["tool"],
        rule=event["rule"],
        count=approval["count"],
        not_requester=approval["notRequester"],
        not_committer=approval.get("notCommitter", False),
        on_timeout=OnTimeout(approval.get("onTimeout", OnTimeout.DENY)),
        seconds=approval["timeoutSeconds"],
        approved_by=list(event.get("approvedBy", ())),
        expires_at_ms=epoch_ms(event["expiresAt"]),
        subject_digest=event.get("subject", {}).get("digest", ""),
        budget=event.get("budget"),
    )


@on(EventType.APPROVAL_GIVEN)
def _approved(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    gate = state.tasks[event["ref"]].gate
    if gate is None:
        return
    gate.approved_by.append(event["by"])
    if "input" in event:  # edited: it is asked for again, with this one's consent
        state.tasks[event["ref"]].input, gate.edited_by = event["input"], event["by"]
        gate.approved_by = [event["by"]] * gate.count


@on(EventType.APPROVAL_ESCALATED)
def _escalated(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    gate = state.tasks[event["ref"]].gate
    if gate is not None:
        gate.expires_at_ms, gate.is_escalated = epoch_ms(event["expiresAt"]), True
