"""The whole record of an execution: what its status holds, and before that what its segments hold."""

from __future__ import annotations

from typing import Protocol

from openworld.api import JsonObject
from openworld.controller.names import segment_name

from .errors import CliError, MissingError
from .kinds import LEDGER_SEGMENTS, Kind


class Objects(Protocol):
    """Where objects are read: a cluster, or files."""

    def get(self, kind: Kind, name: str) -> JsonObject:
        """The object of that name. Raises MissingError."""


class History:
    """Reads each segment once; segments never change."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._events: list[list[JsonObject]] = []

    def of(self, execution: JsonObject) -> JsonObject:
        """The execution with all its events in `status.ledger.events`. Raises CliError."""
        status = execution.get("status") or {}
        ledger = status.get("ledger") or {}
        metadata = execution["metadata"]
        for index in range(len(self._events), ledger.get("segments") or 0):
            name = segment_name(metadata["name"], metadata["uid"], index)
            try:
                segment = self._objects.get(LEDGER_SEGMENTS, name)
            except MissingError:
                raise CliError(f"the ledger is not whole: its segment {name} is missing") from None
            self._events.append(segment["spec"]["events"])
        if not self._events:
            return execution
        sealed = [event for events in self._events for event in events]
        events = [*sealed, *(ledger.get("events") or ())]
        return {**execution, "status": {**status, "ledger": {**ledger, "events": events}}}
