"""A model's message as the ledger keeps it: whole where it can, else its beginning, size and digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from openworld_worker.wire import JsonObject, clip, encode

from . import arguments
from .message import Call

MOST_BYTES = 32 * 1024
"""Of a message that is kept whole; a proposal has at most 64 KiB, and this is a part of it."""
EXCERPT_BYTES = 4 * 1024
"""Of the beginning of one that is not."""


def record(dialect: str, message: Any, text: str | None, calls: Sequence[Call]) -> JsonObject:
    """`{dialect, payload, calls}`; for a large message `{dialect, excerpt, bytes, digest, calls}`.

    `text` is the message as it was received, where that is known. `digest` is the SHA-256 of that text, else
    of the message as compact JSON in ASCII, its keys in the order in which they came. What cannot be written
    down at all is `{dialect, omitted: WHY, calls}`.
    """
    if message is not None and not arguments.unrecordable(message) and len(encode(message)) <= MOST_BYTES:
        return {"dialect": dialect, "payload": message, **_calls(calls)}
    return excerpt(dialect, message, text, calls)


def excerpt(dialect: str, message: Any, text: str | None, calls: Sequence[Call]) -> JsonObject:
    """The short form, whatever the size."""
    if text is None:
        try:
            text = json.dumps(message, separators=(",", ":"))
        except (RecursionError, TypeError, ValueError):
            why = "it is nested too deeply, or is no JSON at all"
            return {"dialect": dialect, "omitted": why, **_calls(calls)}
    octets = text.encode("utf-8", "surrogatepass")
    return {
        "dialect": dialect,
        "excerpt": clip(text, EXCERPT_BYTES),
        "bytes": len(octets),
        "digest": "sha256:" + hashlib.sha256(octets).hexdigest(),
        **_calls(calls),
    }


def _calls(calls: Sequence[Call]) -> JsonObject:
    """Ids and names in order, so that each can be answered even where the payload was cut."""
    return {"calls": [_entry(call) for call in calls]} if calls else {}


def _entry(call: Call) -> JsonObject:
    entry: JsonObject = {} if call.id is None else {"id": call.id}
    return entry if call.stray or not call.name else {**entry, "name": call.name}
