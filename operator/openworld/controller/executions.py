"""The executions at hand: each as it was last read or written, with the state folded from its ledger.

A cache of the ledger and nothing more: any entry can be dropped at any time and is then rebuilt from
a fresh read, with the hash chain verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from openworld.api import Execution, JsonObject
from openworld.engine.recover import needed_payloads, recover
from openworld.engine.state import Identity, State
from openworld.kube import Client, NotFound
from openworld.kube.resources import EXECUTIONS, LEDGER_SEGMENTS
from openworld.language.canonical import stored_size
from openworld.language.reading import InvalidResource, read
from openworld.ledger import NO_PAYLOADS, LedgerCorruptError, Payloads, epoch_ms

from . import payloads
from .names import segment_name
from .stores import ObjectKey, version_of


class InvalidSpecError(Exception):
    """The Execution's spec passed its schema but is none that can be run."""


@dataclass(slots=True)
class Loaded:
    """An Execution at one resourceVersion. `body` is the object without its status.

    `events` are those that are not sealed, `sealed` points to the last segments, `segments` counts them all;
    `sealed_bytes` is the size of all sealed events.
    """

    body: JsonObject
    status: JsonObject
    state: State
    events: list[JsonObject]
    sealed: list[JsonObject] = field(default_factory=list)
    segments: int = 0
    sealed_bytes: int = 0

    @property
    def version(self) -> int:
        """The resourceVersion as a number."""
        return version_of(self.body)

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return ObjectKey(self.state.namespace, self.state.name)

    @property
    def is_going(self) -> bool:
        """Whether the object is being deleted: then nothing is done for it any more."""
        return bool(self.body["metadata"].get("deletionTimestamp"))


def load(body: JsonObject, segments: Sequence[JsonObject] = (), payloads: Payloads = NO_PAYLOADS) -> Loaded:
    """An Execution as read, with the specs of its segments since the last snapshot, and its large values.

    Raises ledger.LedgerCorruptError, InvalidSpecError.
    """
    metadata = body["metadata"]
    try:
        spec = read(Execution, body.get("spec") or {})
    except InvalidResource as error:
        raise InvalidSpecError(str(error)) from error
    status: JsonObject = body.get("status") or {}
    identity = Identity(
        uid=metadata["uid"],
        name=metadata["name"],
        namespace=metadata["namespace"],
        created_at_ms=epoch_ms(metadata["creationTimestamp"]),
        spec=spec,
    )
    state = recover(identity, status or None, segments, payloads)
    ledger = status.get("ledger") or {}
    events = list(ledger.get("events") or ())
    kept = {key: value for key, value in metadata.items() if key != "managedFields"}
    without_status = {**{k: v for k, v in body.items() if k != "status"}, "metadata": kept}
    return Loaded(
        without_status,
        status,
        state,
        events,
        sealed=list(ledger.get("sealed") or ()),
        segments=ledger.get("segments") or 0,
        sealed_bytes=state.ledger_bytes - sum(map(stored_size, events)),
    )


class Executions:
    """The cache of loaded executions."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loaded: dict[ObjectKey, Loaded] = {}

    async def at_least(self, key: ObjectKey, seen: int | None) -> Loaded:
        """The execution, not older than the resourceVersion that a watch has shown (`seen`).

        Raises kube.NotFound, ledger.LedgerCorruptError, InvalidSpecError.
        """
        cached = self._loaded.get(key)
        if cached is not None and seen is not None and cached.version >= seen:
            return cached
        return await self.fresh(key)

    async def fresh(self, key: ObjectKey) -> Loaded:
        """The execution as the API server has it now."""
        body = await self._client.get(EXECUTIONS, key.namespace, key.name)
        cached = self._loaded.get(key)
        if cached is not None and cached.version == version_of(body):
            return cached
        self._loaded.pop(key, None)
        segments = await self._segments(body)
        wanted = needed_payloads(body.get("status"), segments)
        uid = body["metadata"]["uid"]
        loaded = load(body, segments, await payloads.fetch(self._client, key, uid, wanted))
        self._loaded[key] = loaded
        return loaded

    async def _segments(self, body: JsonObject) -> list[JsonObject]:
        """The specs of an execution's segments, from the last that has a snapshot."""
        metadata, ledger = body["metadata"], (body.get("status") or {}).get("ledger") or {}
        found: list[JsonObject] = []
        for index in reversed(range(ledger.get("segments") or 0)):
            name = segment_name(metadata["name"], metadata["uid"], index)
            try:
                segment = await self._client.get(LEDGER_SEGMENTS, metadata["namespace"], name)
            except NotFound:
                raise LedgerCorruptError(0, f"the segment {name} is missing") from None
            found.insert(0, segment["spec"])
            if segment["spec"].get("snapshot") is not None:
                break
        return found

    def keep(self, loaded: Loaded) -> None:
        """This is the newest: it was just written."""
        self._loaded[loaded.key] = loaded

    def drop(self, key: ObjectKey) -> Loaded | None:
        """What is held of it is not to be trusted any more. Returns it, if there was any."""
        return self._loaded.pop(key, None)
