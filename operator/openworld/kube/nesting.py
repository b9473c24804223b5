"""Objects that nest deeper than anything here works with: read, cut, and never the end of the process.

The API server takes JSON of ten thousand levels; the JSON readers here stop at about a thousand, with an
error that would end a watch for every object at once. What is deeper than `LEVELS` cannot be recorded in any
case (`language.canonical.MAX_DEPTH`), so cutting there changes no verdict: such an object is still refused.
"""

from __future__ import annotations

import json
import sys
from json import scanner
from typing import Any

import orjson

LEVELS = 100
CUT = "(nested too deeply)"
#: Frames for the ten thousand levels that the API server takes, two for each.
_FRAMES = 50_000


class DeepDecoder(json.JSONDecoder):
    """A decoder of JSON that cuts what nests too deeply, where the usual one gives up."""

    def decode(self, s: str, *args: Any) -> Any:
        """The value of a text. Raises json.JSONDecodeError."""
        try:
            return super().decode(s, *args)
        except RecursionError:
            return _decoded_slowly(s)


def _decoded_slowly(text: str) -> Any:
    decoder = json.JSONDecoder()
    # The scanner in Python is bounded by frames alone; the one in C has a bound of its own.
    decoder.scan_once = scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _FRAMES))
    try:
        value = decoder.decode(text)
    finally:
        sys.setrecursionlimit(before)
    cut(value)
    return value


def read_deep_json() -> None:
    """Have `json.loads` read deep values in this process: kopf reads its watches with it."""
    json._default_decoder = DeepDecoder()  # type: ignore[attr-defined]


def loads(content: bytes) -> Any:
    """The value of a JSON text, cut where it nests too deeply. Raises ValueError."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        value = DeepDecoder().decode(content.decode())
    cut(value)
    return value


def dumps(value: Any) -> bytes:
    """The JSON text of a value, which is cut where it nests too deeply to be written.

    That is only what people wrote: with a status the API server takes nothing else of an object.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        cut(value)
        return orjson.dumps(value)


def is_deep(value: Any) -> bool:
    """Whether a value nests deeper than what can be written again."""
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return True
    return False


def cut(value: Any) -> None:
    """Replace, in place, what lies deeper than `LEVELS`."""
    level = [value]
    for depth in range(1, LEVELS + 1):
        below: list[Any] = []
        for container in level:
            keys = container.keys() if isinstance(container, dict) else range(len(container))
            for key in keys:
                if isinstance(container[key], dict | list):
                    if depth == LEVELS:
                        container[key] = CUT
                    else:
                        below.append(container[key])
        level = below
