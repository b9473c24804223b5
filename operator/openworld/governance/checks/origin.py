"""What a worker says of where a proposal came from: a model's message, its call ids, what was unreadable.

All of it is for people and for the next turn's answers. No decision depends on it, but for one that says no:
an item whose worker calls it malformed is denied, whatever else it holds.
"""

from __future__ import annotations

from openworld.api.meta import Json
from openworld.language.reading import kind_of

RAW = "raw"
CALL_ID = "callId"
MALFORMED = "malformed"
LONGEST_CALL_ID = 128
LONGEST_DIALECT = 64
_RAW_TEXTS = ("excerpt", "digest", "omitted")
_RAW_KEYS = ("dialect", "payload", *_RAW_TEXTS, "bytes", "calls")


def raw_problem(raw: Json) -> str:
    """What is wrong with a proposal's `raw`; empty when nothing is. The payload may be anything."""
    if not isinstance(raw, dict):
        return f"raw must be an object, and is {kind_of(raw)}"
    unknown = sorted(set(raw) - set(_RAW_KEYS))
    if unknown:
        return f"raw has no field {unknown[0]!r}; it has {', '.join(_RAW_KEYS)}"
    dialect, size, calls = raw.get("dialect"), raw.get("bytes", 0), raw.get("calls", [])
    if not isinstance(dialect, str) or not 1 <= len(dialect) <= LONGEST_DIALECT:
        return f"raw.dialect must be a string of 1 to {LONGEST_DIALECT} characters"
    for key in _RAW_TEXTS:
        if not isinstance(raw.get(key, ""), str):
            return f"raw.{key} must be a string, and is {kind_of(raw[key])}"
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        return "raw.bytes must be a whole number from 0"
    if not isinstance(calls, list) or not all(_is_call(call) for call in calls):
        return "raw.calls must be a list of {id, name}, both strings, either may be left out"
    return ""


def call_id_problem(call_id: Json) -> str:
    """What is wrong with an item's `callId`; empty when nothing is."""
    if not isinstance(call_id, str) or not 1 <= len(call_id) <= LONGEST_CALL_ID:
        return f"callId must be a string of 1 to {LONGEST_CALL_ID} characters"
    return ""


def malformed_reason(said: Json) -> str:
    """Why an item that its worker calls malformed is denied. It says whose words these are."""
    if not isinstance(said, str) or not said.strip():
        return "its worker says that it is malformed, and not why"
    return f"its worker could not read it: {said}"


def _is_call(call: Json) -> bool:
    if not isinstance(call, dict) or not set(call) <= {"id", "name"}:
        return False
    return isinstance(call.get("name", ""), str) and ("id" not in call or not call_id_problem(call["id"]))
