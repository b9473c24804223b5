"""Which function keeps the books for which type of event."""

from __future__ import annotations

from collections.abc import Callable

from openworld.api import JsonObject
from openworld.engine.state import State
from openworld.ledger import EventType

Handler = Callable[[State, JsonObject, int], None]
HANDLERS: dict[EventType, Handler] = {}


def on(kind: EventType) -> Callable[[Handler], Handler]:
    """Register the handler of a type of event: it is given the state, the event, and its time (epoch ms)."""

    def register(handler: Handler) -> Handler:
        HANDLERS[kind] = handler
        return handler

    return register
