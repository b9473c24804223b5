"""What an unquoted word of YAML means to kubectl, which is not quite what it means to Python.

The rules are those of go-yaml v2, by way of sigs.k8s.io/yaml 1.6: YAML 1.1's words for true and false,
`y` and `n` included, the numbers of Go, no timestamps. Knows nothing of documents.
"""

from __future__ import annotations

import math
import re
from typing import Any

_TAG = "tag:yaml.org,2002:"
STR, BOOL, INT, FLOAT, NULL, MERGE = (
    _TAG + name for name in ("str", "bool", "int", "float", "null", "merge")
)

_TRUE = ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")
_FALSE = ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")
_NOT_FINITE = frozenset(
    {".nan", ".NaN", ".NAN", *(sign + word for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF"))}
)
_INT = re.compile(
    r"(?P<sign>[-+]?)(?:0[bB](?P<b>[01]+)|0[xX](?P<x>[0-9a-fA-F]+)|0[oO]?(?P<o>[0-7]+)|(?P<d>0|[1-9][0-9]*))"
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BASES = {"b": 2, "x": 16, "o": 8, "d": 10}
#: Beyond these go-yaml makes a float of it.
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
#: From here on Go writes a float with an exponent, which JSON readers keep as a float.
_EXPONENT_FROM = 1e21


def tag_of(text: str) -> str:
    """The tag of an unquoted scalar."""
    if text in _TRUE or text in _FALSE:
        return BOOL
    if text in ("", "~", "null", "Null", "NULL"):
        return NULL
    if text == "<<":
        return MERGE
    if text in _NOT_FINITE:
        return FLOAT
    if text[0] in "+-.0123456789":
        bare = text if text[0] == "." else text.replace("_", "")
        if _integer(bare) is not None:
            return INT
        if _FLOAT.fullmatch(bare) and math.isfinite(float(bare)):
            return FLOAT
    return STR


def is_true(text: str) -> bool:
    """The value of a scalar that is a boolean. Raises ValueError when it is none."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def number(text: str) -> int | float:
    """The value of a scalar that is a number, as JSON keeps it. Raises ValueError when there is none."""
    bare = text.replace("_", "")
    whole = _integer(bare)
    if whole is not None:
        return whole
    if text in _NOT_FINITE:
        raise ValueError(f"{text} is not a number that JSON has")
    value = float(bare)
    return int(value) if value.is_integer() and abs(value) < _EXPONENT_FROM else value


def key_text(key: Any) -> str:
    """A key, which JSON has only as text: `true` for a boolean, digits for a number. Raises ValueError."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float):
        return str(key)
    raise ValueError("a key must be text")


def _integer(bare: str) -> int | None:
    found = _INT.fullmatch(bare)
    if found is None:
        return None
    base = found.lastgroup or "d"
    value = int(found["sign"] + found[base], _BASES[base])
    return value if _SMALLEST <= value <= _LARGEST else None
