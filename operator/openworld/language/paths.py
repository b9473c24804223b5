"""JSONPath over plain values, safe for paths and documents that nobody trusts.

Names, indexes and their sequences are read and walked here; what can match many nodes (filters, slices,
wildcards, unions, recursive descent) is handed to python-jsonpath, with everything taken away from it
that can run for long or reach beyond the node at hand: regular expressions, `$` inside a filter, and more
than a few unions and descents. A path never raises anything but ExpressionError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from jsonpath import CompoundJSONPath, JSONPath, JSONPathEnvironment, JSONPathError
from jsonpath.function_extensions import Count, Length, Value
from jsonpath.lex import Lexer

from openworld.api.meta import Json

Step = str | int

MAX_PATH_BYTES = 4096
MAX_MATCHES = 10_000
#: Each union can double the work and each descent multiplies it by the depth of the document.
_MAX_COMMAS = 8
_MAX_DESCENTS = 2
_FUNCTIONS = ("length", "size", "keys", "sum", "min", "max", "avg", "first", "last")
_NOT_IN_NAMES = frozenset("])'\"*?@${}")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class ExpressionError(ValueError):
    """An expression that cannot be read, or whose value is too large; the message says what to write."""


class _Missing:
    """What stands where a path leads nowhere; JSON's null is a value."""


MISSING: Final = _Missing()


class _SafeLexer(Lexer):
    """RFC 9535's tokens and the `in` of Conductor's filters."""

    def compile_rules(self) -> re.Pattern[str]:
        return re.compile(r"(?P<TOKEN_IN>in\b)|" + self.compile_strict_rules().pattern, re.DOTALL)


class _SafeEnvironment(JSONPathEnvironment):
    """Filters without regular expressions, the only functions being those that are linear."""

    lexer_class = _SafeLexer

    def setup_function_extensions(self) -> None:
        self.function_extensions = {"length": Length(), "count": Count(), "value": Value()}


_environment = _SafeEnvironment(filter_caching=False)


@dataclass(frozen=True, slots=True)
class Path:
    """A path that was read: definite steps, then perhaps a query for many nodes, then perhaps a function.

    `text` is the whole text that it was read from, `rest` the part of it behind the definite steps.
    """

    steps: tuple[Step, ...]
    query: JSONPath | CompoundJSONPath | None
    function: str
    text: str
    rest: str

    def value(self, document: Json) -> Json:
        """The value at the path: None where it leads nowhere, a list if the path can match many nodes."""
        if self.query is None:
            found = walk(document, self.steps)
            found = None if found is MISSING else found
        else:
            found = [value for _, value in self.matches(document)]
        return _apply(self.function, found) if self.function else found

    def matches(self, document: Json) -> list[tuple[list[Step], Json]]:
        """Every node that the path names, with its location."""
        start = walk(document, self.steps)
        if start is MISSING:
            return []
        location = _location(document, self.steps)
        if self.query is None:
            return [(location, start)]
        if not isinstance(start, Mapping | list):
            return []
        found: list[tuple[list[Step], Json]] = []
        try:
            for match in self.query.finditer(start):
                if len(found) == MAX_MATCHES:
                    raise ExpressionError(f"{self.text!r} matches more than {MAX_MATCHES} nodes; narrow it")
                found.append(([*location, *match.parts], match.obj))
        except (JSONPathError, RecursionError, TypeError, ValueError) as error:
            raise _bad(self.text, f"cannot be evaluated: {_first_line(error)}") from error
        return found


def walk(document: Json, steps: Iterable[Step]) -> Json | _Missing:
    """The node that definite steps lead to, or MISSING."""
    node = document
    for step in steps:
        if isinstance(step, str):
            if not isinstance(node, Mapping) or step not in node:
                return MISSING
            node = node[step]
        else:
            if not isinstance(node, list) or not -len(node) <= step < len(node):
                return MISSING
            node = node[step]
    return node


def _location(document: Json, steps: Iterable[Step]) -> list[Step]:
    """Steps that exist, with indexes counted from the end turned into those from the start."""
    location: list[Step] = []
    node = document
    for step in steps:
        location.append(step + len(node) if isinstance(step, int) and step < 0 else step)
        node = node[step]
    return location


def find(document: Json, jsonpath: str) -> list[tuple[list[Step], Json]]:
    """The nodes that a JSONPath beginning with `$` names, as (location, value). Raises ExpressionError."""
    text = jsonpath.strip()
    if not text.startswith("$"):
        raise _bad(jsonpath, "must begin with $")
    path = read_path(text, 1)
    if path.function:
        raise _bad(jsonpath, f"ends with {path.function}(), which names no node")
    return path.matches(document)


@lru_cache(maxsize=2048)
def read_root(text: str) -> tuple[str, Path, int]:
    """An expression's path as its root, the path below the root, and where in the text that begins."""
    if text.startswith("["):
        end = _bracket_end(text, 0)
        root = _quoted(text[1 : end - 1].strip(), text)
        if root is None:
            raise _bad(text, "must begin with a name: workflow or a task reference name")
        return root, read_path(text, end), end
    end = _name_end(text, 0)
    root = _checked_name(text[:end], text)
    return root, read_path(text, end), end


@lru_cache(maxsize=2048)
def read_path(text: str, start: int) -> Path:
    """The path that stands in `text` from `start`: any sequence of .name, [index], ['name'] and queries."""
    if len(text.encode(errors="surrogatepass")) > MAX_PATH_BYTES:
        raise _bad(text, f"is longer than {MAX_PATH_BYTES} bytes")
    steps: list[Step] = []
    rest: list[str] = []
    function = ""
    commas = descents = 0
    at = rest_start = start
    while at < len(text):
        if function:
            raise _bad(text, f"goes on after {function}()")
        if text[at] == "[":
            end = _bracket_end(text, at)
            step, raw, commas_here = _bracket(text[at + 1 : end - 1].strip(), text)
            commas += commas_here
        elif text.startswith("..", at):
            descents += 1
            rest.append("..")
            at += 2
            if text.startswith("[", at):
                continue
            step, raw, end, function = _name_step(text, at)
            raw = raw if step is None else _as_selector(step)
            step = None
            if function:
                raise _bad(text, f"calls {function}() behind ..; write a name before it")
        elif text[at] == ".":
            step, raw, end, function = _name_step(text, at + 1)
        else:
            raise _bad(text, f"has {text[at]!r} at offset {at}, where a . or [ is expected")
        if step is not None and not rest:
            steps.append(step)
            rest_start = end
        elif step is not None:
            rest.append(_as_selector(step))
        elif raw:
            rest.append(raw)
        at = end
    if rest and rest[-1] == "..":
        raise _bad(text, "ends with ..")
    if descents > _MAX_DESCENTS or commas > _MAX_COMMAS:
        raise _bad(text, f"has more than {_MAX_DESCENTS} recursive descents or {_MAX_COMMAS} commas")
    return Path(tuple(steps), _compile("".join(rest), text), function, text, text[rest_start:])


def _name_step(text: str, at: int) -> tuple[Step | None, str, int, str]:
    """What follows a dot: (definite step, selector for the query, end, function)."""
    if text.startswith("*", at):
        return None, "[*]", at + 1, ""
    end = _name_end(text, at)
    name = text[at:end]
    if not text.startswith("(", end):
        return _checked_name(name, text), "", end, ""
    if name not in _FUNCTIONS or not text.startswith("()", end):
        raise _bad(text, f"calls {name}(…); known are {', '.join(f'{known}()' for known in _FUNCTIONS)}")
    return None, "", end + 2, name


def _name_end(text: str, at: int) -> int:
    while at < len(text) and text[at] not in ".[(":
        at += 1
    return at


def _checked_name(name: str, text: str) -> str:
    if not name.strip():
        raise _bad(text, "has an empty name in it")
    for char in name:
        if char in _NOT_IN_NAMES:
            raise _bad(text, f"has {char!r} in the name {name!r}; write ['…'] around such a name")
    return name


def _bracket_end(text: str, start: int) -> int:
    """The offset behind the `]` that closes the `[` at `start`; quotes hide brackets."""
    depth, quote, at = 0, "", start
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    raise _bad(text, f"opens a [ at offset {start} that is never closed")


def _bracket(content: str, text: str) -> tuple[Step | None, str, int]:
    """What stands between brackets: (definite step, selector for the query, commas outside quotes)."""
    name = _quoted(content, text)
    if name is not None:
        return name, "", 0
    digits = content.removeprefix("-")
    if digits.isascii() and digits.isdigit():
        if len(digits) > 10:
            raise _bad(text, f"has the index {content}, which no array reaches")
        return int(content), "", 0
    if not content:
        raise _bad(text, "has empty brackets in it")
    outside = _outside_quotes(content)
    for refused in ("=~", "match(", "search("):
        if refused in outside.replace(" ", ""):
            raise _bad(text, f"uses {refused.rstrip('(')}; regular expressions are not supported in paths")
    if ".." in outside:
        raise _bad(text, "descends (..) inside brackets, which multiplies; descend before them")
    if "$" in outside:
        raise _bad(text, "uses $ inside brackets; a filter sees only the node at hand, as @")
    return None, f"[{content}]", outside.count(",")


def _outside_quotes(content: str) -> str:
    kept, quote, skip = [], "", False
    for char in content:
        if skip:
            skip = False
        elif quote:
            skip = char == "\\"
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        else:
            kept.append(char)
    return "".join(kept)


def _quoted(content: str, text: str) -> str | None:
    """The text of a quoted name, or None if the content is anything else."""
    if len(content) < 2 or content[0] not in "'\"":
        return None
    quote, name, at = content[0], "", 1
    while at < len(content):
        char = content[at]
        if char == quote:
            return _paired(name, text) if at == len(content) - 1 else None
        if char == "\\":
            at += 1
            char = content[at : at + 1]
            if char == "u":
                name += _code_unit(content[at + 1 : at + 5], text)
                at += 5
                continue
            char = _ESCAPES.get(char, char)
        name += char
        at += 1
    raise _bad(text, f"has a name in {quote} that is never closed")


def _paired(name: str, text: str) -> str:
    """The name with surrogate pairs, which escapes can spell, as the characters that they stand for."""
    try:
        return name if name.isascii() else name.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise _bad(text, "has half of a surrogate pair in a name") from None


def _code_unit(digits: str, text: str) -> str:
    if len(digits) != 4 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
        raise _bad(text, "has \\u without four hexadecimal digits")
    return chr(int(digits, 16))


def _as_selector(step: Step) -> str:
    return f"[{step}]" if isinstance(step, int) else f"[{json.dumps(step)}]"


def _compile(query: str, text: str) -> JSONPath | CompoundJSONPath | None:
    if not query:
        return None
    try:
        return _environment.compile("$" + query)
    except (JSONPathError, RecursionError, ValueError) as error:
        raise _bad(text, f"is not a JSONPath: {_first_line(error)}") from error


def _apply(function: str, value: Json) -> Json:
    """Jayway's functions at the end of a path. What a function does not apply to gives null."""
    if function in ("length", "size"):
        return len(value) if isinstance(value, Mapping | list | str) else None
    if function == "keys":
        return list(value) if isinstance(value, Mapping) else None
    if not isinstance(value, list) or not value:
        return None
    if function in ("first", "last"):
        return value[0 if function == "first" else -1]
    numbers = [item for item in value if isinstance(item, int | float) and not isinstance(item, bool)]
    if not numbers:
        return None
    if function == "avg":
        return sum(numbers) / len(numbers)
    aggregate: Any = {"sum": sum, "min": min, "max": max}[function]
    return aggregate(numbers)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _bad(text: str, why: str) -> ExpressionError:
    shown = text if len(text) <= 80 else text[:77] + "…"
    return ExpressionError(f"the path {shown!r} {why}")
