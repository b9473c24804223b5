"""Recorded runs from files: as `kubectl get execution`, `openworld ledger` or `simulate` has printed them.

Only events are read, and their hash chain is verified first: a record that was changed is not believed. Where
events have been sealed, the LedgerSegments must be in the same file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openworld.api import Execution, JsonObject
from openworld.engine.state import Identity
from openworld.language.canonical import NotCanonical
from openworld.language.reading import InvalidResource, read
from openworld.ledger import EventType, LedgerCorruptError, apart, epoch_ms, genesis, named_in, verify

from .documents import UnreadableError, documents
from .errors import CliError, MissingError
from .files import read_text
from .history import History
from .kinds import EXECUTIONS, LEDGER_SEGMENTS, Kind


@dataclass(frozen=True, slots=True)
class Record:
    """A run and all its events, large values in place.

    `is_named` is false where only the events are known: then name and namespace are not.
    """

    source: str
    identity: Identity
    events: list[JsonObject]
    is_named: bool = True

    @property
    def execution(self) -> JsonObject:
        """As much of the Execution as tells whose events they are."""
        metadata = {key: getattr(self.identity, key) for key in ("name", "namespace", "uid")}
        return {"metadata": metadata, "status": {"ledger": {"events": self.events}}}


@dataclass(slots=True)
class _Found:
    """The objects of a file, read as a cluster is."""

    segments: dict[str, JsonObject] = field(default_factory=dict)

    def get(self, kind: Kind, name: str) -> JsonObject:
        """A LedgerSegment of the file."""
        if kind is not LEDGER_SEGMENTS or name not in self.segments:
            raise MissingError(f"{kind.kind} {name!r} is not in the file")
        return self.segments[name]


def records(file: Path) -> list[Record]:
    """Every run that a file records. Raises CliError when there is none, or one that cannot be believed."""
    try:
        found = list(_found(file))
    except (KeyError, TypeError, AttributeError) as error:
        raise CliError(f"{file}: is no Execution as the API server prints it: {error!r}") from None
    if not found:
        raise CliError(
            f"{file} records no run: give what `kubectl get execution NAME -o yaml`, `openworld ledger NAME "
            "-o json` or `openworld simulate -o json` prints"
        )
    return found


def _found(file: Path) -> Iterator[Record]:
    objects, executions = _Found(), []
    for value in _values(file):
        if isinstance(value, list):
            yield _of_events(file, file.stem, value)
        elif not isinstance(value, dict):
            continue
        elif isinstance(value.get("executions"), list):
            for run in value["executions"]:
                yield _of_events(file, str(run["name"]), run["events"])
        elif value.get("kind") == LEDGER_SEGMENTS.kind:
            objects.segments[str(value["metadata"]["name"])] = value
        elif value.get("kind") == EXECUTIONS.kind:
            executions.append(value)
    for body in executions:
        yield recorded(str(file), History(objects).of(body))


def _values(file: Path) -> Iterator[Any]:
    """The values of a file, those within Lists by themselves."""
    text = read_text(file)
    try:
        values = [json.loads(text)]
    except ValueError:
        try:
            values = [document.data for document in documents(str(file), text)]
        except UnreadableError as error:
            raise CliError(f"{file}:{error.line}: is neither JSON nor YAML: {error}") from None
    for value in values:
        is_list = isinstance(value, dict) and str(value.get("kind")).endswith("List")
        items = value.get("items") if is_list else None
        yield from items if isinstance(items, list) else [value]


def recorded(source: str, body: JsonObject) -> Record:
    """A run, from its Execution with all its events. Raises CliError when it cannot be believed."""
    metadata, ledger = body["metadata"], (body.get("status") or {}).get("ledger") or {}
    events = list(ledger.get("events") or ())
    if not events:
        raise CliError(f"{source}: execution {metadata['name']} has no events: it has not begun")
    try:
        spec = read(Execution, body.get("spec") or {})
    except InvalidResource as error:
        raise CliError(f"{source}: execution {metadata['name']}: {error}") from None
    identity = Identity(
        uid=metadata["uid"],
        name=metadata["name"],
        namespace=metadata.get("namespace", ""),
        created_at_ms=epoch_ms(metadata["creationTimestamp"]),
        spec=spec,
    )
    prev = genesis(identity.uid, events[0].get("definition"), spec.input)
    _verify(source, events, prev)
    head = (ledger.get("head") or {}).get("hash")
    if head and head != events[-1].get("hash"):
        raise CliError(f"{source}: execution {identity.name}: events are missing at the end of its ledger")
    return Record(source, identity, events)


def _of_events(file: Path, name: str, events: list[Any]) -> Record:
    first = events[0] if events else None
    if not isinstance(first, dict) or first.get("type") != EventType.EXECUTION_STARTED:
        raise CliError(f"{file}: a list of events must begin with {EventType.EXECUTION_STARTED.value}")
    _verify(str(file), events, str(first.get("prev")))
    told = ("input", "requestedBy", "serviceAccountName", "correlationId", "parent")
    spec = {key: first[key] for key in told if first.get(key) is not None}
    workflow = first.get("workflow") or {}
    named = {"workflowRef": {"name": workflow.get("name"), "version": workflow.get("version")}}
    inline = {"workflow": first.get("definition")}
    try:
        execution = read(Execution, {**spec, **(named if workflow.get("name") else inline)})
    except InvalidResource as error:
        raise CliError(f"{file}: its first event is none of ours: {error}") from None
    at_ms = epoch_ms(first["at"])
    return Record(str(file), Identity("", name, "", at_ms, execution), events, is_named=False)


def _verify(source: str, events: list[Any], prev: str) -> None:
    try:
        recorded = [apart(event)[0] for event in events]
        verify(recorded, first=0, prev=prev)
    except LedgerCorruptError as error:
        raise CliError(f"{source}: {error}") from None
    except (AttributeError, TypeError, NotCanonical) as error:
        raise CliError(f"{source}: its events are none of ours: {error}") from None
    if named_in(events):
        raise CliError(
            f"{source}: large values are missing: add --payloads to `openworld ledger`, "
            "or the LedgerSegments to the file"
        )
