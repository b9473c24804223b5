"""The whole record of an execution: what its status holds, and before that what its segments hold."""

from __future__ import annotations

from typing import Protocol

from openworld.api import JsonObject
from openworld.api.meta import Json
from openworld.controller.names import payload_name, segment_name
from openworld.language.canonical import has_digest
from openworld.ledger import join, named_in

from .errors import CliError, MissingError
from .kinds import LEDGER_SEGMENTS, Kind


class Objects(Protocol):
    """Where objects are read: a cluster, or files."""

    def get(self, kind: Kind, name: str) -> JsonObject:
        """The object of that name. Raises MissingError."""


class History:
    """Reads each segment once; segments never change."""

    def __init__(self, objects: Objects, *, whole: bool = True) -> None:
        """`whole`: events have their large values, which the record keeps apart, in place of the digests."""
        self._objects = objects
        self._is_whole = whole
        self._events: list[list[JsonObject]] = []
        self._payloads: dict[str, Json] = {}

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
        if self._is_whole and status.get("outputRef"):
            status = {**status, "output": self.output_of(execution)}
        sealed = [event for events in self._events for event in events]
        events = [*sealed, *(ledger.get("events") or ())]
        if self._is_whole:
            for known_as in named_in(events):
                self._payload(metadata, known_as)
            events = [join(event, self._payloads) for event in events]
        return (
            {**execution, "status": {**status, "ledger": {**ledger, "events": events}}}
            if ledger
            else execution
        )

    def output_of(self, execution: JsonObject) -> Json:
        """The output of an execution, wherever it stands; None while there is none. Raises CliError."""
        status = execution.get("status") or {}
        reference = status.get("outputRef")
        return (
            self._payload(execution["metadata"], reference["digest"]) if reference else status.get("output")
        )

    def _payload(self, metadata: JsonObject, known_as: str) -> Json:
        if known_as in self._payloads:
            return self._payloads[known_as]
        name = payload_name(metadata["name"], metadata["uid"], known_as)
        try:
            segment = self._objects.get(LEDGER_SEGMENTS, name)
        except MissingError:
            raise CliError(f"the ledger is not whole: its segment {name} is missing") from None
        value = (segment["spec"].get("payload") or {}).get("value")
        if not has_digest(value, known_as):
            raise CliError(f"the ledger is not whole: its segment {name} holds another value than {known_as}")
        self._payloads[known_as] = value
        return value
