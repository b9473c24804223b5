"""JSON Schema (draft 2020-12) for schemas and instances that nobody trusts.

Nothing is fetched, patterns match in linear time, and a schema whose evaluation could explode is refused:
both when a definition is checked and, should one slip through, before it is ever used. Never raises for
what a user wrote.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final
from urllib.parse import unquote

import jsonschema_rs

from openworld.api.meta import Json, JsonObject

from .canonical import NotCanonical, canonical, digest, path_text

MAX_SCHEMA_BYTES = 64 * 1024
MAX_PATTERN_CHARS = 256
MAX_VIOLATIONS = 10
MAX_MESSAGE_CHARS = 300
DRAFT = "https://json-schema.org/draft/2020-12/schema"

#: A schema is a tree once its references are followed; this many nodes of it at most.
_MAX_EXPANDED = 20_000
_MAX_EXPANDED_DEPTH = 200
#: Parts of a schema times parts of an instance: what is looked at (a second), and what is explained.
_MOST_WORK = 100_000_000
_MOST_WORK_FOR_REASONS = 50_000
#: Branches of a recursive schema to the power of an instance's depth: this many evaluations at most.
_MAX_EVALUATIONS = 1_000_000
_REGEX_BYTES = 256 * 1024
_CACHED_SCHEMAS = 256

#: Keywords by what they hold: one schema, a list of schemas, a map of schemas.
_ONE_IN_PLACE = ("not", "if", "then", "else")
_ONE_DEEPER = (
    "items",
    "contains",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "propertyNames",
    "contentSchema",
)
_LIST_IN_PLACE = ("allOf", "anyOf", "oneOf")
_MAP_DEEPER = ("properties", "patternProperties")
_MAP_UNUSED = ("$defs", "definitions")

Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Violation:
    """Where an instance breaks its schema (`(root)` for the whole) and how."""

    path: str
    message: str


def check_schema(schema: Json) -> list[str]:
    """What is wrong with a schema, for its author; empty if it can be used."""
    if not isinstance(schema, dict | bool):
        return [f"a schema is an object or a boolean, not {_kind(schema)}"]
    try:
        size = len(canonical(schema))
    except NotCanonical as error:
        return [str(error)]
    if size > MAX_SCHEMA_BYTES:
        return [f"the schema has {size} bytes; at most {MAX_SCHEMA_BYTES} are allowed"]
    problems = [_told(steps, message) for steps, message in _refused(schema, ())]
    if problems:
        return problems[:MAX_VIOLATIONS]
    malformed = [
        _told(tuple(error.instance_path), _shortened(error.message))
        for error in islice(_META_SCHEMA.iter_errors(schema), MAX_VIOLATIONS)
    ]
    if malformed:
        return malformed
    try:
        _Expansion(schema).count()
        _compiled(schema)
    except _TooComplex as error:
        return [str(error)]
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return [_shortened(str(error).splitlines()[0])]
    return []


def violations(schema: JsonObject, instance: Json) -> list[Violation]:
    """Where an instance breaks the schema, at most 10; a schema that cannot be used allows nothing."""
    usable = _usable(schema)
    if isinstance(usable, str):
        return [Violation("(root)", _shortened(f"the schema cannot be used: {usable}"))]
    try:
        canonical(instance)
    except NotCanonical as error:
        return [Violation(error.path or "(root)", _shortened(error.why))]
    if usable.branches > 1 and usable.branches ** _depth(instance) > _MAX_EVALUATIONS:
        return [Violation("(root)", "is nested too deeply for a recursive schema with so many branches")]
    work = usable.parts * _parts(instance)
    if work > _MOST_WORK:
        return [Violation("(root)", "has too many parts for a schema with so many; narrow one of them")]
    if usable.validator.is_valid(instance):
        return []
    if work > _MOST_WORK_FOR_REASONS:  # to say why costs a message for each way it does not fit
        return [Violation("(root)", "does not fit, and is too large to say where; try it with less")]
    found = islice(filter(_is_true, usable.validator.iter_errors(instance)), MAX_VIOLATIONS)
    return [
        Violation(path_text(tuple(error.instance_path)) or "(root)", _squeezed(error.message))
        for error in found
    ]


def _is_true(error: jsonschema_rs.ValidationError) -> bool:
    """jsonschema-rs calls a property missing that is there, if additionalProperties forbids it as well."""
    kind = error.kind
    return not (
        isinstance(kind, jsonschema_rs.ValidationErrorKind.Required)
        and isinstance(error.instance, dict)
        and kind.property in error.instance
    )


@dataclass(frozen=True, slots=True)
class _Usable:
    """A schema that passed its checks, compiled; `branches` counts its ways back into itself.

    `parts` are its schemas, references followed.
    """

    validator: jsonschema_rs.Draft202012Validator
    branches: int
    parts: int


class _TooComplex(ValueError):
    """Evaluating the schema could take unbounded time."""


_cache: OrderedDict[str, _Usable | str] = OrderedDict()


def _usable(schema: JsonObject) -> _Usable | str:
    """The compiled schema, or why there is none; remembered by digest."""
    try:
        key = digest(schema)
    except NotCanonical as error:
        return str(error)
    found = _cache.get(key)
    if found is None:
        problems = check_schema(schema)
        found = "; ".join(problems)
        if not problems:
            expansion = _Expansion(schema)
            found = _Usable(_compiled(schema), expansion.count(), expansion.parts)
        _cache[key] = found
        if len(_cache) > _CACHED_SCHEMAS:
            _cache.popitem(last=False)
    else:
        _cache.move_to_end(key)
    return found


def _compiled(schema: Json) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        schema,
        validate_formats=True,
        retriever=_fetch_nothing,
        pattern_options=jsonschema_rs.RegexOptions(size_limit=_REGEX_BYTES, dfa_size_limit=_REGEX_BYTES),
    )


def _fetch_nothing(uri: str) -> Json:
    raise ValueError(f"{uri} is not fetched; put the schema under $defs and refer to it with #/$defs/…")


_META_SCHEMA: Final = jsonschema_rs.Draft202012Validator({"$ref": DRAFT}, retriever=_fetch_nothing)


def _refused(schema: Json, steps: Steps) -> Iterator[tuple[Steps, str]]:
    """What is valid JSON Schema and yet not accepted."""
    if not isinstance(schema, dict):
        return
    draft = schema.get("$schema", DRAFT)
    if isinstance(draft, str) and draft.rstrip("#") != DRAFT:
        yield (*steps, "$schema"), f"names {draft}; only draft 2020-12 ({DRAFT}) is supported"
    if "$id" in schema and steps:
        yield (*steps, "$id"), "is only allowed at the root"
    for keyword in ("$dynamicRef", "$recursiveRef"):
        if keyword in schema:
            yield (*steps, keyword), "is not supported; use $ref"
    ref = schema.get("$ref", "#")
    if isinstance(ref, str) and ref != "#" and not ref.startswith("#/"):
        yield (*steps, "$ref"), f"refers to {_shortened(ref)!r}; only references of the form #/… are allowed"
    patterns = [((*steps, "pattern"), schema.get("pattern"))]
    keyed = schema.get("patternProperties")
    patterns += [((*steps, "patternProperties"), key) for key in keyed] if isinstance(keyed, dict) else []
    for where, pattern in patterns:
        if isinstance(pattern, str):
            problem = _pattern_problem(pattern)
            if problem:
                yield where, problem
    for child_steps, child, _ in _subschemas(schema):
        yield from _refused(child, (*steps, *child_steps))


def _pattern_problem(pattern: str) -> str:
    if len(pattern) > MAX_PATTERN_CHARS:
        return f"has a pattern of {len(pattern)} characters; at most {MAX_PATTERN_CHARS} are allowed"
    try:
        _compiled({"pattern": pattern})
    except (jsonschema_rs.ValidationError, ValueError):
        return (
            f"has the pattern {pattern!r}, which is not a regular expression that matches in linear time: "
            "no look-around, no back-references, no large repeat counts"
        )
    return ""


def _subschemas(schema: JsonObject) -> Iterator[tuple[Steps, Json, bool | None]]:
    """The schemas within a schema, each applied deeper (True), at the same place, or not at all (None)."""
    for keyword in _ONE_IN_PLACE:
        if keyword in schema:
            yield (keyword,), schema[keyword], False
    for keyword in _ONE_DEEPER:
        if keyword in schema:
            yield (keyword,), schema[keyword], True
    for keyword, deeper in (*((word, False) for word in _LIST_IN_PLACE), ("prefixItems", True)):
        held = schema.get(keyword)
        if isinstance(held, list):
            for index, item in enumerate(held):
                yield (keyword, index), item, deeper
    uses: list[tuple[str, bool | None]] = [("dependentSchemas", False)]
    uses += [(word, True) for word in _MAP_DEEPER]
    uses += [(word, None) for word in _MAP_UNUSED]
    for keyword, use in uses:
        held = schema.get(keyword)
        if isinstance(held, dict):
            for key, item in held.items():
                yield (keyword, key), item, use


class _Expansion:
    """A schema with its references followed, to bound the work that an instance can cause."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self._nodes = 0
        self._branches = 0
        self._path: dict[int, int] = {}

    @property
    def parts(self) -> int:
        """Schemas met, those behind references once for each reference."""
        return self._nodes

    def count(self) -> int:
        """The number of ways from the schema back into itself. Raises _TooComplex."""
        self._visit(self._root, 0, 0)
        return self._branches

    def _visit(self, schema: Json, level: int, length: int) -> None:
        if not isinstance(schema, dict):
            return
        if id(schema) in self._path:
            if self._path[id(schema)] == level:
                raise _TooComplex("a $ref leads back to itself at the same place of the instance")
            self._branches += 1
            return
        self._nodes += 1
        if self._nodes > _MAX_EXPANDED or length > _MAX_EXPANDED_DEPTH:
            raise _TooComplex(
                f"with its references followed the schema has more than {_MAX_EXPANDED} parts, or more than "
                f"{_MAX_EXPANDED_DEPTH} levels; simplify it"
            )
        self._path[id(schema)] = level
        ref = schema.get("$ref")
        if isinstance(ref, str):
            self._visit(_target(self._root, ref), level, length + 1)
        for _, child, deeper in _subschemas(schema):
            if deeper is not None:
                self._visit(child, level + deeper, length + 1)
        del self._path[id(schema)]


def _target(root: Json, ref: str) -> Json:
    """What `#/…` points at; True, which constrains nothing, if it is not there (compilation says so)."""
    node = root
    for token in ref.removeprefix("#").split("/")[1:]:
        key = unquote(token).replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and key in node:
            node = node[key]
        elif isinstance(node, list) and key.isascii() and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        else:
            return True
    return node


def _parts(value: Json) -> int:
    """Values within a value, itself included."""
    if isinstance(value, dict):
        return 1 + sum(map(_parts, value.values()))
    if isinstance(value, list | tuple):
        return 1 + sum(map(_parts, value))
    return 1


def _depth(value: Json) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list | tuple):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    return {str: "text", int: "a number", float: "a number", list: "a list"}.get(type(value), "that")


def _told(steps: Steps, message: str) -> str:
    return f"{path_text(steps) or 'the schema'} {message}"


def _squeezed(message: str) -> str:
    """A message that begins with a value and ends with what is wrong: not all of the value."""
    half = MAX_MESSAGE_CHARS // 2
    return message if len(message) <= MAX_MESSAGE_CHARS else f"{message[: half - 1]}…{message[-half:]}"


def _shortened(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE_CHARS else message[: MAX_MESSAGE_CHARS - 1] + "…"
