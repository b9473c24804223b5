"""Conditions: only a bool that is true holds, and what cannot be evaluated is an error, never a yes."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.governance import cel
from tests.support.governance import NOW_MS


def holds(expression: str, now_ms: int = NOW_MS, **variables: Any) -> bool:
    """Whether a condition holds for an item with some input."""
    values: dict[str, Any] = {
        "item": {"ref": "x", "input": {"n": 3, "s": "abc", "list": [1, 2]}, "dependsOn": []},
        "tool": {"name": "look", "effect": "Read", "idempotent": True},
        "execution": {"input": {"service": "checkout"}},
        "proposal": {"counts": {"look": 2}, "size": 3},
    }
    return cel.holds(expression, now_ms=now_ms, **{**values, **variables})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("true", True),
        ("false", False),
        ("item.input.n == 3", True),
        ("item.input.n > 3", False),
        ("item.input.s.matches('^[a-c]+$')", True),
        ("item.input.s.startsWith('b')", False),
        ("item.input.list.all(x, x > 0)", True),
        ("2 in item.input.list", True),
        ("has(item.input.gone)", False),
        ("tool.idempotent", True),
        ("tool.effect == 'Read' && tool.name == 'look'", True),
        ("execution.input.service == 'checkout'", True),
        ("proposal.size == 3", True),
        ("proposal.count('look') == 2", True),
        ("proposal.count('rollback') == 0", True),
        ("proposal.count(tool.name) > 2", False),
        ("dyn(true)", True),
    ],
)
def test_a_condition_holds_or_does_not(expression: str, expected: bool) -> None:
    assert cel.check(expression) == ""
    assert holds(expression) is expected


@pytest.mark.parametrize(
    ("now_ms", "expression"),
    [
        (NOW_MS, "now.getDayOfWeek() == 5 && now.getHours() == 8"),
        (NOW_MS + 86_400_000, "now.getDayOfWeek() == 6"),
        (NOW_MS + 2 * 86_400_000, "now.getDayOfWeek() == 0"),
        (NOW_MS, "now.getHours('Europe/Zurich') == 9"),
        (NOW_MS, "now == timestamp('2027-01-15T08:00:00Z')"),
        (NOW_MS + 1, "now > timestamp('2027-01-15T08:00:00Z')"),
        (NOW_MS, "now - duration('1h') < now"),
    ],
)
def test_now_is_the_time_that_is_handed_in(now_ms: int, expression: str) -> None:
    assert holds(expression, now_ms)


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("item.input.gone == 1", 'NOT_FOUND: Key not found in map : "gone"'),
        ("item.input.gone", 'NOT_FOUND: Key not found in map : "gone"'),
        ("!item.input.gone", None),
        ("1 / (item.input.n - 3) == 1", "divide by zero"),
        ("item.input.s.matches('(')", None),
        ("int(item.input.s) == 1", "cannot convert string to int"),
        ("item.input.s + 1 == 2", None),
        ("item.input.n == 3 && item.input.gone", None),
        ("item.input.list[9] == 1", None),
        ("execution.count('look') == 0", None),
        ("item.input", None),
        ("item.input.s", "it is not a bool: abc"),
        ("item.input.n", "it is not a bool: 3"),
        ("dyn(null)", "it is not a bool: None"),
        ("dyn('true')", "it is not a bool: true"),
        ("dyn([true])", "it is not a bool: [True]"),
        ("now.getDayOfWeek()", "it is not a bool: 5"),
        ("nope == 1", "1:1: undeclared reference to 'nope' (in container '')"),
        ("item.input.n ==", None),
        ("", None),
    ],
)
def test_what_cannot_be_said_is_an_error_and_never_true(expression: str, error: str | None) -> None:
    with pytest.raises(cel.CelError) as raised:
        holds(expression)
    assert error is None or str(raised.value) == error
    assert str(raised.value)


def test_an_error_that_does_not_matter_to_the_outcome_is_none() -> None:
    assert holds("item.input.gone == 1 || item.input.n == 3")
    assert not holds("item.input.gone == 1 && item.input.n == 4")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (2**63, "item.input.x is an integer beyond 64 bits"),
        (-(2**63), "item.input.x is an integer beyond 64 bits"),
        ([0] * 1001, "item.input.x has 1001 elements, the limit in a rule is 1000"),
        ([[2**64]], "item.input.x[0][0] is an integer beyond 64 bits"),
        ("\ud800", None),
    ],
)
def test_values_that_cel_cannot_carry_are_errors(value: Any, error: str | None) -> None:
    with pytest.raises(cel.CelError) as raised:
        holds("item.input.x == 1", item={"input": {"x": value}})
    assert error is None or str(raised.value) == error


@pytest.mark.parametrize("counts", [{"look": "many"}, {"look": None}, {"look": [1]}, [1], "x", None])
def test_counts_that_a_model_made_up_are_errors(counts: Any) -> None:
    with pytest.raises(cel.CelError):
        holds("item.input.count('look') == 1", item={"input": {"counts": counts}})


@pytest.mark.parametrize("value", [2**63 - 1, 1.5, "ü", None, True, [0] * 1000, {"a": {"b": []}}])
def test_other_values_pass(value: Any) -> None:
    assert holds("item.input.x == item.input.x", item={"input": {"x": value}})


def test_deep_values_pass() -> None:
    deep: Any = {}
    for _ in range(60):
        deep = {"a": deep}
    assert holds("has(item.input.a)", item={"input": deep})


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("1", "it must be a condition (bool), and is of type int"),
        ("'true'", "it must be a condition (bool), and is of type string"),
        ("proposal.count('x')", "it must be a condition (bool), and is of type int"),
        ("now", "it must be a condition (bool), and is of type timestamp"),
        ("nope", "1:1: undeclared reference to 'nope' (in container '')"),
        ("proposal.count(1) == 1", "1:15: found no matching overload for 'count' applied to '(dyn, int)'"),
        ("a b", "1:3: Syntax error: extraneous input 'b' expecting <EOF>"),
        (
            "(" * 500 + "true" + ")" * 500,
            "CANCELLED: Expression recursion limit exceeded. limit: 32 [CANCELLED]",
        ),
    ],
)
def test_a_condition_is_checked_before_it_is_used(expression: str, problem: str) -> None:
    assert cel.check(expression) == problem
    with pytest.raises(cel.CelError):
        holds(expression)


def test_every_broken_condition_has_a_reason_of_a_line() -> None:
    for expression in ("", " ", "true &&", "item.", "\x00", "é", "'", "x" * 4096, "item[", "\ud800"):
        problem = cel.check(expression)
        assert 0 < len(problem) <= 300
        assert "\n" not in problem
