"""Properties of canonical text and of expressions that hold for every value."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from openworld.language.canonical import NotCanonical, canonical, normalise
from openworld.language.expressions import ExpressionError, references, resolve

SAFE = 2**53 - 1
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-SAFE, SAFE)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not SAFE < abs(number) < 1e21)
    | TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
AUTHORED = st.text("${}[].'\"?@ab01*:,() \\", max_size=40)


@given(VALUES)
def test_canonical_text_is_the_reference_implementation_s(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(VALUES)
def test_normalising_keeps_value_and_text_and_happens_once(value: Any) -> None:
    normal = normalise(value)
    assert normal == value
    assert canonical(normal) == canonical(value)
    assert json.dumps(normalise(normal)) == json.dumps(normal)
    assert json.loads(canonical(value)) == normal


@given(VALUES)
def test_a_value_passes_through_a_whole_expression_unchanged(value: Any) -> None:
    assert resolve("${a.b}", {"a": {"b": value}}) == value
    assert resolve({"k": ["${a['b']}"]}, {"a": {"b": value}}) == {"k": [value]}


@given(TEXT.filter(lambda key: key.strip() == key and key != ""))
def test_every_key_can_be_reached(key: str) -> None:
    quoted = json.dumps(key)
    assert resolve(f"${{a[{quoted}]}}", {"a": {key: 1}}) == 1
    assert resolve("${a['${k}']}", {"a": {key: 1}, "k": key}) == 1
    assert resolve('${a["${k}"]}', {"a": {key: 1}, "k": key}) == 1
    assert resolve("${a[${k}]}", {"a": {key: 1}, "k": key}) == 1
    assert resolve("${a[?(@.id == '${k}')].v}", {"a": [{"id": key, "v": 1}, {"v": 2}], "k": key}) == [1]


@given(TEXT)
def test_text_without_a_dollar_is_a_literal(text: str) -> None:
    plain = text.replace("$", "")
    assert resolve(plain, {}) == plain
    assert resolve("$${" + plain, {}) == "${" + plain


@given(AUTHORED, VALUES)
def test_any_text_resolves_or_is_refused(text: str, value: Any) -> None:
    for authored in (text, "${" + text + "}", "${a." + text + "}", "${a[" + text + "]}"):
        try:
            found = references(authored)
        except ExpressionError:
            with pytest.raises(ExpressionError):
                resolve(authored, {"a": value})
            continue
        assert all(reference.text in authored for reference in found)
        with contextlib.suppress(ExpressionError):
            resolve(authored, {"a": value, "b": value})


@given(st.integers(min_value=SAFE + 1) | st.integers(max_value=-SAFE - 1))
def test_unsafe_integers_are_refused_anywhere(number: int) -> None:
    with pytest.raises(NotCanonical):
        canonical({"a": [number]})
