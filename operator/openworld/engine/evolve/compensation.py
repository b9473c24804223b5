"""What is undone: registered, set going, and the run that is on its way to its end."""

from __future__ import annotations

from openworld.api import JsonObject, Phase
from openworld.engine.compensable import scope_of
from openworld.engine.scopes import open_scope
from openworld.engine.state import Compensable, State
from openworld.ledger import EventType

from .registry import on

_OF_THE_EVENT = ("seq", "at", "type", "prev", "hash", "facts", "signal")


@on(EventType.COMPENSATION_REGISTERED)
def _registered(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    scope = state.scope_of(state.tasks[event["ref"]])
    state.unregistered.remove(event["ref"])
    state.compensable.append(
        Compensable(
            ref=event["ref"],
            tool=event["tool"],
            input=event.get("input", {}),
            problem=event.get("problem", ""),
            proposed=scope.proposed,
            agent_digest=scope.agent_digest,
        )
    )


@on(EventType.COMPENSATION_SCHEDULED)
def _scheduled(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    compensable = state.compensable[event["index"]]
    compensable.undo, compensable.by = event["ref"], event.get("task", "")
    state.given_inputs[event["ref"]] = compensable.input
    open_scope(state, scope_of(state, compensable, event))


@on(EventType.EXECUTION_COMPENSATING)
def _compensating(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    state.phase = Phase.COMPENSATING
    state.reason = event.get("reason", "")
    state.ending = {key: value for key, value in event.items() if key not in _OF_THE_EVENT}
    state.open_scopes = {}
