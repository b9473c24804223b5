"""The one text of a JSON value (RFC 8785), its digest, and what the API server makes of a value.

Everything that is hashed or compared goes through here, so a value must have the same text before and
after it was stored: the API server sorts keys, drops the fraction of whole numbers, and turns whole
numbers between 2^53 and 10^21 into integers that JSON cannot carry safely. Those are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson
import rfc8785

if TYPE_CHECKING:  # the sandbox of scripts loads this module, and must load fast
    from openworld.api.meta import Json

MAX_DEPTH = 64
MAX_SAFE_INTEGER = 2**53 - 1
#: From here on a float is written with an exponent, so it comes back as a float.
_EXPONENT_FROM = 1e21


class NotCanonical(ValueError):
    """The value has no canonical text; the message names the path and the reason."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path or 'the value'} {why}")
        self.path = path
        self.why = why


def canonical(value: Json) -> bytes:
    """The canonical JSON text of a value, in UTF-8. Raises NotCanonical."""
    if not _is_simple(value, 0):
        return rfc8785.dumps(normalise(value))
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return text if text.isascii() else rfc8785.dumps(value)


def stored_size(value: Json) -> int:
    """Bytes of a value in the API server's store, which writes `<`, `>` and `&` as six.

    Raises NotCanonical.
    """
    text = canonical(value)
    return len(text) + 5 * (text.count(b"<") + text.count(b">") + text.count(b"&"))


def digest(value: Json) -> str:
    """`sha256:` and the hexadecimal SHA-256 of the canonical text. Raises NotCanonical."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


def has_digest(value: Json, known_as: str) -> bool:
    """Whether a value is the one that a digest names; what has no canonical text is none."""
    try:
        return digest(value) == known_as
    except NotCanonical:
        return False


def normalise(value: Json) -> Json:
    """The value as it comes back from the API server, but for the order of keys, which stays as written here
    and is sorted there; equal in canonical text. Raises NotCanonical."""
    return _normalised(value, 0, [])


def path_text(steps: list[str | int] | tuple[str | int, ...]) -> str:
    """Steps into a document as people write them: `spec.tasks[2]['odd key']`."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step and all(char.isalnum() or char in "_-$" for char in step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=True)}]"
    return text


def _is_simple(value: Json, depth: int) -> bool:
    """Whether orjson's text is the canonical one, once it turns out to be ASCII."""
    kind = type(value)
    if kind is str:
        return _is_unicode(value)
    if kind is int:
        return bool(-MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER)
    if kind is bool or value is None:
        return True
    if depth >= MAX_DEPTH:
        return False
    if kind is dict:
        return all(
            type(key) is str and _is_unicode(key) and _is_simple(item, depth + 1)
            for key, item in value.items()
        )
    return kind is list and all(_is_simple(item, depth + 1) for item in value)


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _normalised(value: Json, depth: int, path: list[str | int]) -> Json:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        return _whole(int(value), path)
    if isinstance(value, float):
        return _fraction(float(value), path)
    if not isinstance(value, Mapping | list | tuple):
        raise NotCanonical(path_text(path), f"is a {type(value).__name__}, which is not a JSON value")
    if depth >= MAX_DEPTH:
        raise NotCanonical(path_text(path), f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return _object(value, depth, path)
    items: list[Json] = []
    for index, item in enumerate(value):
        path.append(index)
        items.append(_normalised(item, depth + 1, path))
        path.pop()
    return items


def _object(value: Mapping[Json, Json], depth: int, path: list[str | int]) -> Json:
    for key in value:
        if not isinstance(key, str):
            raise NotCanonical(path_text(path), f"has the key {key!r}, which is not text")
    members: dict[str, Json] = {}
    for key in value:
        path.append(key)
        members[_text(key, path)] = _normalised(value[key], depth + 1, path)
        path.pop()
    return members


def _text(value: str, path: list[str | int]) -> str:
    if not _is_unicode(value):
        raise NotCanonical(path_text(path), "holds half of a surrogate pair, which is not Unicode text")
    return str.__str__(value)


def _whole(value: int, path: list[str | int]) -> int:
    if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        raise NotCanonical(
            path_text(path),
            "is a number beyond ±(2^53 - 1), which JSON cannot carry exactly; send text",
        )
    return value


def _fraction(value: float, path: list[str | int]) -> int | float:
    if value != value or value in (float("inf"), float("-inf")):
        raise NotCanonical(path_text(path), "is NaN or infinite, which JSON does not have; send null or text")
    if not value.is_integer() or abs(value) >= _EXPONENT_FROM:
        return value
    return _whole(int(value), path)
