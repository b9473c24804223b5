"""JSON Schema: what is refused as a schema, and how an instance's faults are told."""

from __future__ import annotations

import time
from typing import Any

import pytest

from openworld.language.schemas import Violation, check_schema, violations

NOT_LINEAR = (
    "which is not a regular expression that matches in linear time: no look-around, no back-references, "
    "no large repeat counts"
)
TREE = {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}


def doubling(levels: int) -> dict[str, Any]:
    """A small schema whose references, followed, double at each level."""
    definitions: dict[str, Any] = {
        f"a{level}": {"allOf": [{"$ref": f"#/$defs/a{level + 1}"}, {"$ref": f"#/$defs/a{level + 1}"}]}
        for level in range(levels)
    }
    return {"$ref": "#/$defs/a0", "$defs": {**definitions, f"a{levels}": {"type": "integer"}}}


def chain(length: int) -> Any:
    value: Any = {}
    for _ in range(length):
        value = {"left": value}
    return value


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"type": "object", "properties": {"$ref": {"type": "string"}, "pattern": {"type": "string"}}},
        {"const": {"$ref": "http://example.com/"}},
        {"$defs": {"a": {"type": "string"}}, "items": {"$ref": "#/$defs/a"}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "pattern": "^[a-z]{1,20}$"},
        TREE,
    ],
)
def test_ordinary_schemas_are_accepted(schema: Any) -> None:
    assert check_schema(schema) == []


@pytest.mark.parametrize(
    ("schema", "problems"),
    [
        (3, ["a schema is an object or a boolean, not a number"]),
        (
            {"type": "objekt", "minimum": "x"},
            [
                "type \"objekt\" is not valid under any of the schemas listed in the 'anyOf' keyword",
                'minimum "x" is not of type "number"',
            ],
        ),
        (
            {"properties": {"a": {"$ref": "http://example.com/a"}}},
            [
                "properties.a.$ref refers to 'http://example.com/a'; only references of the form #/… are allowed"
            ],
        ),
        (
            {"$ref": "file:///etc/passwd"},
            ["$ref refers to 'file:///etc/passwd'; only references of the form #/… are allowed"],
        ),
        ({"$ref": "#/$defs/nope"}, ["Pointer '/$defs/nope' does not exist"]),
        ({"$dynamicRef": "#a"}, ["$dynamicRef is not supported; use $ref"]),
        ({"not": {"$id": "http://example.com/"}}, ["not.$id is only allowed at the root"]),
        ({"pattern": "(?=a)b"}, [f"pattern has the pattern '(?=a)b', {NOT_LINEAR}"]),
        ({"pattern": "(a{1000}){1000}"}, [f"pattern has the pattern '(a{{1000}}){{1000}}', {NOT_LINEAR}"]),
        ({"patternProperties": {"(": {}}}, [f"patternProperties has the pattern '(', {NOT_LINEAR}"]),
        ({"pattern": "a" * 257}, ["pattern has a pattern of 257 characters; at most 256 are allowed"]),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#"},
            [
                "$schema names http://json-schema.org/draft-07/schema#; only draft 2020-12 "
                "(https://json-schema.org/draft/2020-12/schema) is supported"
            ],
        ),
        ({"description": "x" * 70_000}, ["the schema has 70018 bytes; at most 65536 are allowed"]),
        (
            {"minimum": float("nan")},
            ["minimum is NaN or infinite, which JSON does not have; send null or text"],
        ),
        ({"allOf": [{"$ref": "#"}]}, ["a $ref leads back to itself at the same place of the instance"]),
        (
            doubling(40),
            [
                "with its references followed the schema has more than 20000 parts, or more than 200 levels; "
                "simplify it"
            ],
        ),
    ],
)
def test_a_schema_that_is_wrong_or_unsafe_is_refused(schema: Any, problems: list[str]) -> None:
    assert check_schema(schema) == problems


def test_a_reference_into_an_unknown_keyword_fetches_nothing() -> None:
    schema = {"$ref": "#/components/x", "components": {"x": {"$ref": "http://example.com/"}}}
    [problem] = check_schema(schema)
    assert "is not fetched" in problem


def test_faults_are_told_with_their_place() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"enum": ["x", "y"]}}, "at": {"format": "date-time"}},
        "required": ["b"],
        "additionalProperties": False,
    }
    assert violations(schema, {"a": ["x"], "b": 1}) == [
        Violation("(root)", "Additional properties are not allowed ('b' was unexpected)")
    ]
    assert violations(schema, {"a": ["x", "z"], "at": "noon"}) == [
        Violation("a[1]", '"z" is not one of "x" or "y"'),
        Violation("at", '"noon" is not a "date-time"'),
        Violation("(root)", '"b" is a required property'),
    ]
    assert violations({"type": "integer"}, 2.0) == []


def test_at_most_ten_faults_are_told_and_none_at_length() -> None:
    many = violations({"items": {"type": "string"}}, list(range(50)))
    assert [violation.path for violation in many] == [f"[{index}]" for index in range(10)]
    [long] = violations({"type": "integer"}, "x" * 5000)
    assert len(long.message) == 300


def test_a_schema_that_cannot_be_used_allows_nothing() -> None:
    assert violations({"$ref": "http://example.com/a"}, 1) == [
        Violation(
            "(root)",
            "the schema cannot be used: $ref refers to 'http://example.com/a'; only references of the form "
            "#/… are allowed",
        )
    ]


def test_an_instance_that_is_no_json_is_a_fault() -> None:
    assert violations({}, {"a": [2**60]}) == [
        Violation("a[0]", "is a number beyond ±(2^53 - 1), which JSON cannot carry exactly; send text")
    ]


def test_patterns_match_in_linear_time() -> None:
    began = time.monotonic()
    [violation] = violations({"pattern": "^(a+)+$"}, "a" * 40 + "!")
    assert violation.path == "(root)"
    assert time.monotonic() - began < 1.0


def test_deep_instances_of_a_branching_recursive_schema_are_refused() -> None:
    assert violations(TREE, chain(15)) == []
    assert violations(TREE, chain(30)) == [
        Violation("(root)", "is nested too deeply for a recursive schema with so many branches")
    ]


def test_what_is_too_large_to_explain_is_only_refused() -> None:
    schema = {"type": "array", "items": {"anyOf": [{"const": n} for n in range(1500)]}}
    assert violations(schema, list(range(100))) == []
    (found,) = violations(schema, [-1] * 300)
    assert found.message == "does not fit, and is too large to say where; try it with less"


def test_what_is_too_large_to_look_at_is_refused() -> None:
    schema = {"type": "array", "items": {"anyOf": [{"const": n} for n in range(1500)]}}
    (found,) = violations(schema, [1] * 100_000)
    assert found.message.startswith("has too many parts")
