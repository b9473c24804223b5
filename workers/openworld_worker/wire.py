"""Python values as JSON, strictly: what leaves a worker is an object that every JSON reader understands.

It must not guess: a value without an obvious JSON form is an error that names its place.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

JsonObject = dict[str, Any]


def to_json(value: object, path: str = "output") -> Any:
    """The JSON form of `value`: dataclasses become objects, enums their value, tuples and sets arrays.

    Raises:
        TypeError: A value has no JSON form; the message names its path.
        ValueError: A number is NaN or infinite.
    """
    if isinstance(value, Enum):
        return to_json(value.value, path)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise ValueError(f"{path}: the text holds half a surrogate pair, which UTF-8 cannot carry")
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{path}: {value} does not fit into 64 bits")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{path}: {value} is not a JSON number")
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: to_json(getattr(value, f.name), f"{path}.{f.name}") for f in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {_key(key, path): to_json(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item, f"{path}[{index}]") for index, item in enumerate(value)]
    raise TypeError(f"{path}: {type(value).__name__} has no JSON form")


def encode(value: object) -> bytes:
    """UTF-8 JSON without spaces; for values that `to_json` has passed."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def clip(text: str, limit: int) -> str:
    """`text` in at most `limit` bytes of UTF-8, marked where it was cut."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return raw.decode()
    return raw[: limit - 3].decode("utf-8", "ignore") + "…"


def _key(key: object, path: str) -> str:
    if isinstance(key, Enum):
        key = key.value
    if not isinstance(key, str):
        raise TypeError(f"{path}: the key {key!r} is {type(key).__name__}; a JSON object's keys are text")
    return key
