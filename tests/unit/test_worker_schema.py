"""Type hints as schemas, and JSON input as typed values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict

import pytest

from openworld_worker import Context, Proposal, TerminalError, tool
from openworld_worker.binding import bind
from openworld_worker.errors import ToolDefinitionError
from openworld_worker.schema import schema_of
from openworld_worker.tool import Options, Tool, define
from openworld_worker.wire import to_json


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.0
    tags: list[str] = field(default_factory=list)


class Named(TypedDict):
    name: str
    note: NotRequired[str]


@dataclass
class Tree:
    children: list[Tree]


POINT = {
    "type": "object",
    "properties": {
        "x": {"type": "integer"},
        "y": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "additionalProperties": False,
    "required": ["x"],
}


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (Any, {}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (list, {"type": "array"}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (dict[str, Any], {"type": "object"}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Colour, {"type": "string", "enum": ["red", "blue"]}),
        (Optional[str], {"type": ["string", "null"]}),  # noqa: UP045 - the old spelling is what is tested
        (str | int, {"type": ["string", "integer"]}),
        (Point | None, {"anyOf": [POINT, {"type": "null"}]}),
        (Point, POINT),
        (
            Named,
            {
                "type": "object",
                "properties": {"name": {"type": "string"}, "note": {"type": "string"}},
                "additionalProperties": False,
                "required": ["name"],
            },
        ),
        (Annotated[str, "Like 30m."], {"type": "string", "description": "Like 30m."}),
    ],
)
def test_a_hint_becomes_a_schema(hint: Any, schema: dict[str, Any]) -> None:
    assert schema_of(hint, "f(x)") == schema


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        (set[int], "f(x): set has no JSON Schema"),
        (bytes, "f(x): bytes has no JSON Schema"),
        (dict[int, str], "f(x): the keys of a JSON object are text"),
        (Tree, "f(x).children[]: Tree contains itself"),
        (list[bytes], "f(x)[]: bytes has no JSON Schema"),
    ],
)
def test_a_hint_without_a_schema_is_refused_by_its_path(hint: Any, message: str) -> None:
    with pytest.raises(ToolDefinitionError) as error:
        schema_of(hint, "f(x)")
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("hint", "value", "bound"),
    [
        (int, 3, 3),
        (int, 3.0, 3),
        (float, 3, 3.0),
        (str, "a", "a"),
        (bool, True, True),
        (None, None, None),
        (list[int], [1, 2], [1, 2]),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (Literal["a", "b"], "b", "b"),
        (Colour, "red", Colour.RED),
        (str | None, None, None),
        (float | int, 3, 3),
        (Point, {"x": 1, "tags": ["t"]}, Point(1, 0.0, ["t"])),
        (list[Point], [{"x": 1}], [Point(1)]),
        (Named, {"name": "n"}, {"name": "n"}),
        (Annotated[int, "note"], 4, 4),
        (Any, {"free": [1]}, {"free": [1]}),
    ],
)
def test_a_value_is_bound_to_its_hint(hint: Any, value: Any, bound: Any) -> None:
    result = bind(hint, value, "input")
    assert result == bound
    assert type(result) is type(bound)


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (int, "3", "input: expected an integer, got string '3'"),
        (int, True, "input: expected an integer, got boolean 'True'"),
        (int, 3.5, "input: expected an integer, got number '3.5'"),
        (bool, 1, "input: expected a boolean, got integer '1'"),
        (str, None, "input: expected a string, got null"),
        (list[int], {"a": 1}, "input: expected an array, got object"),
        (list[int], [1, "x"], "input[1]: expected an integer, got string 'x'"),
        (dict[str, int], {"a": None}, "input.a: expected an integer, got null"),
        (Literal[1, 2], True, "input: expected one of 1, 2, got boolean 'True'"),
        (Colour, "green", "input: expected one of 'red', 'blue', got string 'green'"),
        (Colour, ["red"], "input: expected one of 'red', 'blue', got array"),
        (Point, {"y": 1}, "input.x: missing"),
        (Point, {"x": 1, "z": 1}, "input.z: unknown; the fields are x, y, tags"),
        (
            int | None,
            "x",
            "input: fits none of its types (expected an integer, got string 'x'; "
            "expected null, got string 'x')",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_path(hint: Any, value: Any, message: str) -> None:
    with pytest.raises(TerminalError) as error:
        bind(hint, value, "input")
    assert str(error.value) == message


def described(function: Any, **options: Any) -> Tool:
    return define(function, Options(**options))


def test_a_signature_and_its_docstring_give_the_input_schema() -> None:
    def look(service: str, window: str = "5m", *, limit: int | None = None, context: Context) -> None:
        """Latency of a service.

        Two lines.

        Args:
            service: Name of
                the service.
            window (str): How long.

        Returns:
            Nothing.
        """

    found = described(look)
    assert found.name == "look"
    assert found.description == "Latency of a service.\n\nTwo lines."
    assert found.context_parameter == "context"
    assert found.input_schema == {
        "type": "object",
        "properties": {
            "service": {"type": "string", "description": "Name of the service."},
            "window": {"type": "string", "description": "How long.", "default": "5m"},
            "limit": {"type": ["integer", "null"]},
        },
        "additionalProperties": False,
        "required": ["service"],
    }
    assert found.output_schema == {"type": "object", "properties": {}, "additionalProperties": False}


def test_a_return_value_that_is_no_object_is_described_as_wrapped() -> None:
    def count() -> int:
        return 1

    def record() -> Point:
        return Point(1)

    def grow() -> Point | Proposal:
        return Proposal()

    assert described(count).output_schema == {
        "type": "object",
        "properties": {"result": {"type": "integer"}},
        "additionalProperties": False,
        "required": ["result"],
    }
    assert described(record).output_schema == POINT
    assert described(grow).output_schema is None


def test_a_signature_that_cannot_be_a_tool_is_refused() -> None:
    def untyped(service) -> None:  # type: ignore[no-untyped-def]
        pass

    def variadic(*services: str) -> None:
        pass

    with pytest.raises(ToolDefinitionError, match=r"^untyped\(service\): has no type hint$"):
        described(untyped)
    with pytest.raises(
        ToolDefinitionError, match=r"^variadic\(services\): a tool's parameters are passed by name"
    ):
        described(variadic)
    with pytest.raises(ToolDefinitionError, match=r"^9lives: a tool's name is a letter or _"):
        described(lambda: None, name="9lives")
    with pytest.raises(ToolDefinitionError, match="'Reads' is not a valid Effect"):
        tool(effect="Reads")  # type: ignore[call-overload]


def test_the_decorated_function_is_the_function_itself() -> None:
    @tool(effect="Read")
    def double(n: int) -> int:
        return n * 2

    assert double(4) == 8


def test_values_become_json_and_what_has_no_json_form_is_named() -> None:
    assert to_json({"p": Point(1, 2.5, ["a"]), "c": Colour.RED, "t": (1, None)}) == {
        "p": {"x": 1, "y": 2.5, "tags": ["a"]},
        "c": "red",
        "t": [1, None],
    }
    for value, error, message in (
        ({"a": [b"x"]}, TypeError, "output.a[0]: bytes has no JSON form"),
        ({"a": float("nan")}, ValueError, "output.a: nan is not a JSON number"),
        ({"a": 2**63}, ValueError, "output.a: 9223372036854775808 does not fit into 64 bits"),
        (
            {"a": "\ud800"},
            ValueError,
            "output.a: the text holds half a surrogate pair, which UTF-8 cannot carry",
        ),
        ({1: "a"}, TypeError, "output: the key 1 is int; a JSON object's keys are text"),
    ):
        with pytest.raises(error) as caught:
            to_json(value)
        assert str(caught.value) == message
