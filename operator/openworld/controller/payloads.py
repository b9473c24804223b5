"""Large values of ledgers as objects: one LedgerSegment each, named by what it holds.

They are created before the write that names them, so a crash between the two leaves an object that nothing
names, which goes with its Execution.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from openworld.api import API_VERSION, JsonObject
from openworld.api.meta import Json
from openworld.engine.state import State
from openworld.kube import Client, NotFound
from openworld.kube.resources import LEDGER_SEGMENTS
from openworld.language.canonical import has_digest
from openworld.ledger import LedgerCorruptError

from . import names
from .jobs import Owner
from .stores import ObjectKey

_AT_A_TIME = 8


async def store(client: Client, state: State, payloads: Mapping[str, Json]) -> None:
    """Create the objects that do not exist yet. Raises kube.ApiError, LedgerCorruptError."""
    for known_as, value in payloads.items():
        body = build(state, known_as, value)
        found, created = await client.create_if_absent(LEDGER_SEGMENTS, state.namespace, body)
        if not created and not has_digest(_value(found), known_as):
            name = body["metadata"]["name"]
            raise LedgerCorruptError(state.head_seq, f"{name} holds another value than {known_as}")


async def fetch(client: Client, key: ObjectKey, uid: str, digests: Iterable[str]) -> dict[str, Json]:
    """The values of an execution (its name and uid) by digest. Raises LedgerCorruptError: one is missing."""
    at_once = asyncio.Semaphore(_AT_A_TIME)

    async def one(known_as: str) -> tuple[str, Json]:
        name = names.payload_name(key.name, uid, known_as)
        async with at_once:
            try:
                segment = await client.get(LEDGER_SEGMENTS, key.namespace, name)
            except NotFound:
                raise LedgerCorruptError(
                    0, f"the segment {name} is missing, which holds {known_as}"
                ) from None
        return known_as, _value(segment)

    return dict(await asyncio.gather(*map(one, digests)))


def _value(segment: JsonObject) -> Json:
    return (segment["spec"].get("payload") or {}).get("value")


def build(state: State, known_as: str, value: Json) -> JsonObject:
    """The LedgerSegment that holds one value."""
    return {
        "apiVersion": API_VERSION,
        "kind": "LedgerSegment",
        "metadata": metadata(state, names.payload_name(state.name, state.uid, known_as)),
        "spec": {
            "execution": state.name,
            "executionUID": state.uid,
            "payload": {"digest": known_as, "value": value},
        },
    }


def metadata(state: State, name: str) -> JsonObject:
    """The metadata of a LedgerSegment: it goes when its Execution goes."""
    return {
        "name": name,
        "namespace": state.namespace,
        "labels": {
            names.EXECUTION: names.label_value(state.name),
            names.EXECUTION_UID: state.uid,
        },
        "ownerReferences": [Owner.of(state).reference()],
    }
