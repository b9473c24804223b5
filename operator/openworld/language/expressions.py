"""`${path}` in the values of a definition: where expressions stand, and what they resolve to.

One pass over authored text. What an expression resolves to is a literal: it is never scanned again, and
where an inner expression `${a.${b}}` fills in a part of a path, its value can only be a name, an index
or a literal of a filter, never a piece of syntax. Reads no clock, no world, and never changes its inputs;
resolved values share structure with the scope.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import orjson

from openworld.api.meta import Json

from .canonical import MAX_DEPTH, NotCanonical, canonical, path_text
from .paths import ExpressionError, Path, Step, find, read_root

__all__ = ["ExpressionError", "Reference", "find", "literal", "references", "resolve"]

MAX_EXPRESSION_BYTES = 4096
MAX_RESOLVED_BYTES = 1024 * 1024
_MAX_NESTING = 8
#: Strings longer than this are scanned anew each time, so that the cache stays small.
_CACHED_CHARS = 4096
#: Stands for the unknown value of an inner expression when a path is read ahead of time.
_UNKNOWN = "\ue000"


@dataclass(frozen=True, slots=True)
class Reference:
    """One expression of a value.

    `root` is `workflow` or a task reference name; a root that is itself computed is given as its source,
    `${…}`. `path` is what follows the root (`output.deploys[0]`), `where` the position of the text within
    the value (`inputParameters.service`), `text` the expression as written, with `${` and `}`.
    """

    root: str
    path: str
    where: str
    text: str

    @property
    def head(self) -> str:
        """The first name of the path."""
        return self.path.replace("[", ".").split(".", 1)[0]

    @property
    def names_run_input(self) -> bool:
        """Whether it is about the input of the run, `workflow.input`."""
        return self.root == "workflow" and self.head == "input"


class _Place(Enum):
    """Where in a path an inner expression stands."""

    NAME = "name"
    QUOTED = "quoted"
    BRACKET = "bracket"
    FILTER = "filter"


@dataclass(frozen=True, slots=True)
class _Inner:
    """An inner expression: `quote` is the quotation mark around it, if any."""

    expression: _Expression
    place: _Place
    quote: str


@dataclass(frozen=True, slots=True)
class _Expression:
    """`${…}` as written. Without inner expressions `parts` is empty and `path` is final."""

    text: str
    root: str
    path: Path
    tail: str
    parts: tuple[str | _Inner, ...]


def resolve(value: Json, scope: Mapping[str, Json]) -> Json:
    """The value with every `${…}` in it resolved. Raises ExpressionError.

    `scope` maps the first segment of a path, `workflow` or a task reference name, to what it sees. A string
    that is one whole expression takes the value's type; embedded values become text, maps and lists
    canonical JSON. What does not exist is null. Keys of maps are left alone.
    """
    return _resolve(value, scope, _Budget(), 0)


def literal(value: Json) -> Json:
    """The value as an author would write it down: `resolve` gives it back as it is, whatever it holds."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, Mapping):
        return {key: literal(item) for key, item in value.items()}
    return [literal(item) for item in value] if isinstance(value, list | tuple) else value


def references(value: Json) -> list[Reference]:
    """Every expression in a value, inner ones after the one they stand in. Raises ExpressionError."""
    return list(_references(value, []))


class _Budget:
    """Counts what resolution has produced, so that no definition can grow without bound."""

    def __init__(self) -> None:
        self._left = MAX_RESOLVED_BYTES

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ExpressionError(
                f"the resolved value is larger than {MAX_RESOLVED_BYTES} bytes; pass a reference to the data"
            )


def _resolve(value: Json, scope: Mapping[str, Json], budget: _Budget, depth: int) -> Json:
    if isinstance(value, str):
        return _resolve_text(value, scope, budget)
    if not isinstance(value, Mapping | list | tuple):
        return value
    if depth >= MAX_DEPTH:
        raise ExpressionError(f"the value is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return {key: _resolve(item, scope, budget, depth + 1) for key, item in value.items()}
    return [_resolve(item, scope, budget, depth + 1) for item in value]


def _resolve_text(text: str, scope: Mapping[str, Json], budget: _Budget) -> Json:
    if "${" not in text:
        budget.spend(len(text))
        return text
    parts = _parts(text)
    if len(parts) == 1 and isinstance(parts[0], _Expression):
        value = _value(parts[0], scope)
        budget.spend(_size(value))
        return value
    pieces: list[str] = []
    for part in parts:
        piece = part if isinstance(part, str) else _as_text(_value(part, scope))
        budget.spend(len(piece.encode(errors="surrogatepass")))
        pieces.append(piece)
    return "".join(pieces)


def _value(expression: _Expression, scope: Mapping[str, Json]) -> Json:
    root, path = expression.root, expression.path
    if expression.parts:
        text = _filled_in(expression, scope)
        if text is None:
            return None
        root, path, _ = read_root(text)
    if root not in scope:
        return None
    return path.value(scope[root])


def _filled_in(expression: _Expression, scope: Mapping[str, Json]) -> str | None:
    """The path with its inner expressions resolved; None if a value cannot be a part of a path."""
    pieces: list[str] = []
    for part in expression.parts:
        if isinstance(part, str):
            pieces.append(part)
            continue
        piece = _as_path_text(_value(part.expression, scope), part)
        if piece is None:
            return None
        pieces.append(piece)
    return "".join(pieces).strip()


def _as_path_text(value: Json, inner: _Inner) -> str | None:
    is_index = isinstance(value, int) and not isinstance(value, bool)
    match inner.place:
        case _Place.QUOTED:
            body = json.dumps(_as_text(value))[1:-1]
            return body if inner.quote == '"' else body.replace('\\"', '"').replace("'", "\\'")
        case _Place.FILTER:
            return json.dumps(value) if value is None or isinstance(value, str | int | float) else None
        case _Place.BRACKET:
            return str(value) if is_index else json.dumps(value) if isinstance(value, str) else None
        case _Place.NAME:
            text = str(value) if is_index else value
            is_names = isinstance(text, str) and all(
                piece and all(char.isalnum() or char in "_- " for char in piece) for piece in text.split(".")
            )
            return text if is_names else None


def _as_text(value: Json) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    try:
        return canonical(value).decode()
    except NotCanonical as error:
        raise ExpressionError(f"a value cannot be written as text: {error}") from error


def _size(value: Json) -> int:
    if isinstance(value, str):
        return len(value.encode(errors="surrogatepass"))
    if not isinstance(value, Mapping | list | tuple):
        return 8
    try:
        return len(orjson.dumps(value))
    except TypeError:
        return len(_as_text(value).encode())


def _references(value: Json, where: list[Step]) -> Iterator[Reference]:
    if isinstance(value, str):
        if "${" in value:
            for part in _parts(value):
                if isinstance(part, _Expression):
                    yield from _references_of(part, path_text(where))
        return
    if len(where) > MAX_DEPTH:
        raise ExpressionError(f"the value is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _references(item, [*where, key])
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _references(item, [*where, index])


def _references_of(expression: _Expression, where: str) -> Iterator[Reference]:
    yield Reference(expression.root, expression.tail, where, expression.text)
    for part in expression.parts:
        if isinstance(part, _Inner):
            yield from _references_of(part.expression, where)


def _parts(text: str) -> tuple[str | _Expression, ...]:
    return _cached_parts(text) if len(text) <= _CACHED_CHARS else _read_parts(text)


@lru_cache(maxsize=4096)
def _cached_parts(text: str) -> tuple[str | _Expression, ...]:
    return _read_parts(text)


def _read_parts(text: str) -> tuple[str | _Expression, ...]:
    """The text as literals and expressions; `$${` is a literal `${`."""
    parts: list[str | _Expression] = []
    literal: list[str] = []
    at = 0
    while True:
        dollar = text.find("$", at)
        if dollar < 0:
            literal.append(text[at:])
            break
        literal.append(text[at:dollar])
        if text.startswith("$${", dollar):
            literal.append("${")
            at = dollar + 3
        elif text.startswith("${", dollar):
            if "".join(literal):
                parts.append("".join(literal))
            literal = []
            expression, at = _read_expression(text, dollar, 1)
            parts.append(expression)
        else:
            literal.append("$")
            at = dollar + 1
    if "".join(literal):
        parts.append("".join(literal))
    return tuple(parts)


def _read_expression(text: str, start: int, nesting: int) -> tuple[_Expression, int]:
    """The expression that begins with `${` at `start`, and the offset behind its `}`."""
    if nesting > _MAX_NESTING:
        raise ExpressionError(f"expressions are nested deeper than {_MAX_NESTING} levels")
    parts: list[str | _Inner] = []
    piece_start = at = start + 2
    quote, brackets = "", 0
    while at < len(text):
        char = text[at]
        if text.startswith("${", at):
            inner, end = _read_expression(text, at, nesting + 1)
            place = _place(text, start, at, quote, brackets)
            parts += [text[piece_start:at], _Inner(inner, place, quote)]
            piece_start = at = end
            continue
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char == "}":
            parts.append(text[piece_start:at])
            return _expression(text[start : at + 1], parts), at + 1
        elif char in "'\"" and brackets:
            quote = char
        elif char in "[]":
            brackets += 1 if char == "[" else -1
        at += 1
    raise ExpressionError(
        f"the expression {_shortened(text[start:])!r} is never closed by a }}; write $${{ for a literal ${{"
    )


def _place(text: str, start: int, at: int, quote: str, brackets: int) -> _Place:
    if quote:
        return _Place.QUOTED
    if brackets <= 0:
        return _Place.NAME
    return _Place.FILTER if "?" in text[start:at] else _Place.BRACKET


def _expression(text: str, parts: list[str | _Inner]) -> _Expression:
    if len(text.encode(errors="surrogatepass")) > MAX_EXPRESSION_BYTES:
        raise ExpressionError(
            f"the expression {_shortened(text)!r} is longer than {MAX_EXPRESSION_BYTES} bytes"
        )
    if not text[2:-1].strip():
        raise ExpressionError("the expression ${} is empty; write a path, as in ${workflow.input.name}")
    likely = "".join(part if isinstance(part, str) else _placeholder(part) for part in parts).strip()
    root, path, below = read_root(likely)
    if _UNKNOWN in root:
        return _Expression(text, text[2:-1].strip(), path, "", tuple(parts))
    if len(parts) > 1:
        return _Expression(text, root, path, text[2:-1].strip()[below:].removeprefix("."), tuple(parts))
    steps = path_text(path.steps)
    return _Expression(text, root, path, steps + path.rest if steps else path.rest.removeprefix("."), ())


def _placeholder(inner: _Inner) -> str:
    return _UNKNOWN if inner.place in (_Place.NAME, _Place.QUOTED) else "0"


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "…"
