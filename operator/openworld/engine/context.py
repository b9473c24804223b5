"""What an agent's model sees in a turn: a projection of the state, honouring the Agent's settings.

It is computed once, when the turn starts, and stands in the TurnStarted event: what the model saw
is part of the record.
"""

from __future__ import annotations

import copy
from fnmatch import fnmatchcase
from itertools import pairwise

from openworld.api import Agent, JsonObject
from openworld.api.meta import Json
from openworld.api.policy import Limits, RuleDecision, usd
from openworld.governance import CatalogSource, PolicySource
from openworld.language.expressions import find

from . import budget
from .state import State, TaskState, Turn

REDACTED = "[redacted]"


def turn_limit(agent: Agent, limits: Limits) -> int:
    """Turns an agent task may take before people add to them: the tighter of the policy's and the agent's."""
    return min(limits.turns, agent.limits.turns or limits.turns)


def visible_refs(state: State, proposing: TaskState | None, agent: Agent | None) -> frozenset[str]:
    """The refs that proposed text may name: ended tasks that the proposer was shown."""
    ended = frozenset(ref for ref, task in state.tasks.items() if task.status.is_final)
    if agent is None or proposing is None:
        return ended
    turns = proposing.turns
    shown = (turns[-1].context or {}).get("state", {}).get("tasks", {}) if turns else {}
    own = {ref for turn in turns for ref in turn.refs}
    return ended & (own | set(shown if isinstance(shown, dict) else ()))


def project(
    state: State,
    task: TaskState,
    *,
    agent_name: str,
    agent: Agent,
    turn: int,
    catalogs: tuple[CatalogSource, ...],
    policies: tuple[PolicySource, ...],
    now_ms: int,
) -> JsonObject:
    """The context of one turn."""
    limits = state.limits
    left = budget.allowed(state).minus(budget.used(state))
    goal = task.input.get("goal")
    visible: JsonObject = {
        "workflow": {"name": state.workflow_name, "input": state.input},
        "tasks": {ref: _shown(other) for ref, other in state.tasks.items() if ref != task.ref},
        "variables": state.variables,
    }
    redact = agent.context.redact
    visible = _redacted(visible, redact)
    history = task.turns[max(0, len(task.turns) - agent.context.history_turns) :]
    return {
        "agent": {
            "name": agent_name,
            "instructions": agent.instructions,
            **({"outputSchema": agent.output_schema} if agent.output_schema is not None else {}),
        },
        "goal": goal if isinstance(goal, str) else "",
        "input": _redacted({k: v for k, v in task.input.items() if k not in ("agent", "goal")}, redact),
        "turn": turn,
        "tools": [
            {
                "name": tool.name,
                "description": tool.description,
                "inputSchema": tool.input_schema,
                "effect": tool.effect.value,
                "needsPerson": _needs_person(tool.name, tool.effect.value, policies),
            }
            for source in catalogs
            if source.catalog is not None
            for tool in source.catalog.tools
            if any(fnmatchcase(tool.name, pattern) for pattern in agent.tools)
        ],
        "history": [_redacted(_past(visible.get("tasks"), past), redact) for past in history],
        "state": _included(visible, agent.context.include),
        "budget": {
            "turns": turn_limit(agent, limits) + task.extended.get("turns", 0) - turn + 1,
            "tasks": max(0, left.tasks),
            "tokens": max(0, left.tokens),
            "costUSD": usd(max(0, left.cost_nano_usd)),
            "seconds": max(0, (budget.ends_ms(state) - now_ms) // 1000),
        },
        "model": {"provider": agent.model.provider.value},
    }


def _shown(task: TaskState) -> JsonObject:
    view: JsonObject = {"type": task.type.value, "status": task.status.value}
    if task.tool:
        view["tool"] = task.tool
    if task.status.is_final:
        view["output"] = task.output
    if task.reason:
        view["reason"] = task.reason
    return view


def _past(shown: Json, turn: Turn) -> JsonObject:
    """An earlier turn, its results as the redacted projection shows them."""
    results = []
    for ref in turn.refs:
        view = shown.get(ref) if isinstance(shown, dict) else None
        if isinstance(view, dict):
            results.append(
                {"ref": ref, "tool": view.get("type"), **{k: v for k, v in view.items() if k != "type"}}
            )
    past: JsonObject = {
        "turn": turn.number,
        "proposal": turn.content,
        "verdict": turn.verdict,
        "results": results,
    }
    if turn.problem:
        past["problem"] = turn.problem
    return past


def _included(document: JsonObject, paths: list[str]) -> JsonObject:
    result: JsonObject = {}
    for path in paths:
        for location, value in find(document, path):
            if not location:
                return copy.deepcopy(document)
            _put(result, list(location), value)
    return result


def _put(target: Json, location: list[str | int], value: Json) -> None:
    """Copy a value to the same place; array elements keep their order, not their index."""
    for step, following in pairwise(location):
        if isinstance(step, str):
            target = target.setdefault(step, [] if isinstance(following, int) else {})
        else:
            target.append([] if isinstance(following, int) else {})
            target = target[-1]
    last = location[-1]
    if isinstance(last, str):
        target[last] = copy.deepcopy(value)
    else:
        target.append(copy.deepcopy(value))


def _redacted(document: JsonObject, paths: list[str]) -> JsonObject:
    if not paths:
        return document
    document = copy.deepcopy(document)
    for path in paths:
        for location, _ in find(document, path):
            if not location:
                return {}
            parent: Json = document
            for step in location[:-1]:
                parent = parent[step]
                if parent == REDACTED:
                    break
            else:
                parent[location[-1]] = REDACTED
    return document


def _needs_person(name: str, effect: str, policies: tuple[PolicySource, ...]) -> bool:
    return any(
        rule.decision is RuleDecision.REQUIRE_APPROVAL
        and (not rule.match.tools or name in rule.match.tools)
        and (not rule.match.effects or effect in [e.value for e in rule.match.effects])
        and not rule.match.types
        for source in policies
        if source.policy is not None
        for rule in source.policy.rules
    )
