"""What a model wrote as a call's arguments, read strictly: one JSON object, or the reason why it is none.

Nothing is mended or guessed. A key given twice, NaN, text behind the object or half an object is refused,
since two readers could make two things of it; and what the ledger cannot record exactly is refused here,
where it costs one call, and not by the operator, where it would cost the whole proposal.
Source: RFC 8259, section 4 (names should be unique), section 6 (numbers).
"""

from __future__ import annotations

import json
import math
from typing import Any

from openworld_worker.wire import JsonObject, encode

MOST_BYTES = 32 * 1024
"""Of one call's arguments; a proposal has at most 64 KiB."""
DEEPEST = 28
"""Levels of one call's arguments, scalars included; a proposal has at most 32, and an input is its fourth."""
_MOST_SAFE = 2**53 - 1
_EXPONENT_FROM = 1e21


class UnreadableError(ValueError):
    """A text that is not the JSON it should be."""


def parse(text: Any, *, most_bytes: int = MOST_BYTES) -> JsonObject | str:
    """The object that a string of JSON holds, or what is wrong with the string."""
    if not isinstance(text, str):
        return f"must be a string of JSON, and is {kind_of(text)}"
    try:
        return given(decode(text, most_bytes=most_bytes), most_bytes=most_bytes)
    except UnreadableError as error:
        return str(error)


def decode(text: str, *, most_bytes: int) -> Any:
    """The value that a text of JSON holds, every key once.

    Raises:
        UnreadableError: It is no JSON, or more than one can read safely; the message continues "the text …".
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > most_bytes:
        raise UnreadableError(f"has {size:,} bytes, the limit is {most_bytes:,}")
    if not text.strip():
        raise UnreadableError("is empty: an object without members is {}")
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise UnreadableError("is nested too deeply") from None
    except ValueError as error:
        raise UnreadableError(f"is not JSON: {_told(error)}") from None


def given(value: Any, *, most_bytes: int = MOST_BYTES) -> JsonObject | str:
    """An object that came decoded, or what is wrong with it."""
    if not isinstance(value, dict):
        return f"must be an object, and is {kind_of(value)}"
    problem = unrecordable(value)
    if problem:
        return problem
    size = len(encode(value))
    if size > most_bytes:
        return f"has {size:,} bytes, the limit is {most_bytes:,}"
    return value


def unrecordable(value: Any, *, deepest: int = DEEPEST) -> str:
    """Why a value cannot stand in the ledger exactly as it is; empty when it can. It does not recurse."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > deepest:
            return f"is nested more than {deepest} levels deep"
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += [*each, *(each[key] for key in each)] if all(map(_is_key, each)) else [_NO_KEY]
            elif isinstance(each, list):
                below += each
            elif problem := _scalar_problem(each):
                return problem
        level = below
    return ""


def is_text(value: Any) -> bool:
    """Whether a value is a string that UTF-8 can carry."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def kind_of(value: Any) -> str:
    """What sort of JSON a value is, in a few words."""
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def shown(value: Any) -> str:
    """A value as an error quotes it: text in quotes and cut, anything else by its kind."""
    return repr(value[:100]) if isinstance(value, str) else kind_of(value)


class _NoKey:
    """Stands for an object's key that is no text."""


_NO_KEY = _NoKey()


def _is_key(key: Any) -> bool:
    return isinstance(key, str)


def _scalar_problem(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return "" if is_text(value) else "holds half of a surrogate pair, which is not Unicode text"
    if isinstance(value, int):
        return "" if -_MOST_SAFE <= value <= _MOST_SAFE else _UNSAFE
    if isinstance(value, float):
        if not math.isfinite(value):
            return "holds NaN or an infinite number, which JSON does not have"
        whole = value.is_integer() and abs(value) < _EXPONENT_FROM
        return _UNSAFE if whole and abs(value) > _MOST_SAFE else ""
    return "holds a value or a key that JSON does not have"


_UNSAFE = "holds a number beyond ±(2^53 - 1), which JSON cannot carry exactly; send text"


def _unique(pairs: list[tuple[str, Any]]) -> JsonObject:
    members: JsonObject = {}
    for key, value in pairs:
        if key in members:
            raise ValueError(f"the key {json.dumps(key[:100])} is given twice")
        members[key] = value
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _told(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        what = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        return f"{what} at character {error.pos + 1}"
    return str(error)[:300]
