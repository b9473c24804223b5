"""A provider's raw message as a proposal in the native form."""

from __future__ import annotations

from typing import Any

from openworld_worker.wire import JsonObject, encode

from . import arguments, native, raw
from .message import Message, unknown
from .table import DIALECTS

MESSAGE_BYTES = 1024 * 1024
"""Of a message that is read at all."""
PROPOSAL_BYTES = 60 * 1024
"""Of a proposal with its payload: the operator takes 64 KiB."""


def normalise(dialect: str, message: Any, *, structured: bool = False) -> JsonObject:
    """The proposal that a raw message makes, with `raw` and each item's `callId`. It runs and judges nothing.

    `message` is the response as a JSON value, or better its text, of which duplicate keys can be told.
    `structured` says that the agent has an outputSchema: then a text that is a JSON object is its output.

    No call is dropped or mended: one that cannot run becomes an item `{type, malformed: REASON}`, which the
    operator denies with this reason. A message without calls and text is a proposal of nothing, which the
    operator refuses.

    Raises:
        KeyError: There is no such dialect. A message itself never raises, whatever it holds.
    """
    speaks = DIALECTS[dialect]
    text, value, problem = (message, None, "") if isinstance(message, str) else (None, message, "")
    if text is not None:
        try:
            value = arguments.decode(text, most_bytes=MESSAGE_BYTES)
        except arguments.UnreadableError as error:
            problem = f"the message {error}"
    read = Message(calls=[unknown("message", problem)]) if problem else speaks.read(value)
    calls = native.settled(read)
    proposal = native.proposal(calls, read.text, structured=structured)
    whole = {**proposal, "raw": raw.record(dialect, value, text, calls)}
    if len(encode(whole)) <= PROPOSAL_BYTES:
        return whole
    return {**proposal, "raw": raw.excerpt(dialect, value, text, calls)}
