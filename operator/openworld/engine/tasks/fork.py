"""FORK_JOIN and FORK_JOIN_DYNAMIC: branches; the fork itself completes at once, the JOIN waits.

A dynamic fork's tasks come from data, so they are a proposal like any other. Source: Conductor.
"""

from __future__ import annotations

from openworld.api import Json, JsonObject
from openworld.engine.decide import Pass
from openworld.engine.endings import fail_task
from openworld.engine.state import TaskState
from openworld.ledger import EventType

from .kind import TaskKind


class ForkTask(TaskKind):
    """Branches that were authored."""

    def follow(self, p: Pass, task: TaskState) -> None:
        """Complete at once."""
        p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output={})


class DynamicForkTask(TaskKind):
    """Branches that come from data: a list of tasks, and a map from ref to input."""

    def follow(self, p: Pass, task: TaskState) -> None:
        """Propose the tasks; complete when all are allowed, fail when any is not."""
        turn = task.turn
        scope = p.state.scope_of(task)
        if turn is None:
            problem, content = _proposal(task)
            if problem:
                fail_task(p, task.ref, scope, f"InvalidInput: {problem}", terminal=True)
                return
            p.emit(
                EventType.PROPOSAL_RECEIVED,
                ref=task.ref,
                turn=1,
                proposal=f"p-{p.state.proposals + 1}",
                content=content,
            )
            return
        if not turn.judged:
            return
        if turn.content.get("tasks") and turn.denial:
            fail_task(p, task.ref, scope, f"ProposalDenied: {turn.denial}", terminal=True)
            return
        p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output={})


def _proposal(task: TaskState) -> tuple[str, JsonObject]:
    list_name = task.definition.dynamic_fork_tasks_param
    map_name = task.definition.dynamic_fork_tasks_input_param_name
    definitions = task.input.get(list_name)
    inputs = task.input.get(map_name) or {}
    if not isinstance(definitions, list):
        return f"inputParameters.{list_name} must be a list of tasks, and is {_kind(definitions)}", {}
    if not isinstance(inputs, dict):
        return f"inputParameters.{map_name} must map refs to inputs, and is {_kind(inputs)}", {}
    items = []
    for definition in definitions:
        if not isinstance(definition, dict):
            return f"inputParameters.{list_name} holds {_kind(definition)} where a task belongs", {}
        item = dict(definition)
        ref = item.get("taskReferenceName", item.get("ref"))
        given = inputs.get(ref) if isinstance(ref, str) else None
        if given is not None:
            key = "inputParameters" if "inputParameters" in item else "input"
            own = item.get(key) or {}
            item[key] = {**own, **given} if isinstance(given, dict) and isinstance(own, dict) else given
        items.append(_literal(item))
    return "", {"intent": "FORK_JOIN_DYNAMIC", "tasks": items}


def _kind(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _literal(value: Json) -> Json:
    """The value with every `${` escaped: it was resolved already, and data is never resolved again."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [_literal(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _literal(inner) for key, inner in value.items()}
    return value
