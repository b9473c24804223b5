"""Text of models, tools and strangers, made harmless before a terminal sees it.

A terminal obeys escape sequences, and a reader is fooled by bidirectional overrides: whatever is not
a printable character becomes its visible escape. Nothing here knows what the text means.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

#: Control, format (bidirectional overrides, zero-width), line and paragraph separators, private use,
#: lone surrogates.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Co", "Cs"})


def one_line(value: object, limit: int | None = None) -> str:
    """The text on one line: line breaks and tabs become spaces, what cannot be printed its escape."""
    return cropped("".join(_visible(char) for char in str(value)), limit)


def prose(value: object, limit: int | None = None) -> str:
    """Somebody's words on one line; blanks are one, so that they push nothing to a line of its own."""
    return cropped(" ".join(one_line(value).split()), limit)


def lines(value: object) -> str:
    """The text with its line breaks and tabs, everything else unprintable escaped."""
    return "".join(char if char in "\n\t" else _visible(char) for char in str(value))


def cropped(text: str, limit: int | None) -> str:
    """At most `limit` characters, the last of which says that there is more."""
    return text if limit is None or len(text) <= limit else text[: max(0, limit - 1)] + "…"


def counted(count: int, word: str) -> str:
    """`1 case`, `2 cases`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def value_text(value: Any, limit: int | None = None) -> str:
    """A JSON value as people write it: bare words, `{a: 1}`, `[1, 2]`; strings with spaces quoted inside."""
    return one_line(value if isinstance(value, str) else _inner(value), limit)


def arguments(values: Any, limit: int | None = None) -> str:
    """An input as a call's arguments: `service=checkout, to=1`."""
    if not isinstance(values, dict):
        return value_text(values, limit)
    return one_line(", ".join(f"{key}={_inner(value)}" for key, value in values.items()), limit)


def _inner(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_inner(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inner, value)) + "]"
    if isinstance(value, str):
        bare = value != "" and not any(char in ' ,:{}[]()="\n\t' for char in value)
        return value if bare else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def _visible(char: str) -> str:
    if char in "\n\r\t":
        return " "
    if unicodedata.category(char) not in _UNPRINTABLE:
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
