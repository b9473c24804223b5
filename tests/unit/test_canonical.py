"""Canonical text: one text for each value, the same before and after the API server had it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openworld.language.canonical import NotCanonical, canonical, digest, normalise, path_text


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "x"]}, '{"a":[true,null,"x"],"b":1}'),
        ([333333333.33333329, 1e30, 4.50, 2e-3, 1e-27], "[333333333.3333333,1e+30,4.5,0.002,1e-27]"),
        ([2.0, -0.0, 1e21], "[2,0,1e+21]"),
        ('\u20ac$\u000f\nA\'B"\\"/', '"€$\\u000f\\nA\'B\\"\\\\\\"/"'),
        (
            {"\u20ac": 1, "\r": 2, "1": 3, "\U0001f600": 4, "\ufb33": 5},
            '{"\\r":2,"1":3,"€":1,"😀":4,"\ufb33":5}',
        ),
        ((1, (2,)), "[1,[2]]"),
        ("\x7f", '"\x7f"'),
    ],
)
def test_text_is_that_of_rfc_8785(value: Any, text: str) -> None:
    assert canonical(value).decode() == text
    assert canonical(normalise(value)).decode() == text


def test_digest_names_its_algorithm() -> None:
    expected = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert digest({}) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, float("nan")]}, "a[1] is NaN or infinite, which JSON does not have; send null or text"),
        (float("inf"), "the value is NaN or infinite, which JSON does not have; send null or text"),
        (
            {"a": 2**53},
            "a is a number beyond ±(2^53 - 1), which JSON cannot carry exactly; send text",
        ),
        ([-(2**53)], "[0] is a number beyond ±(2^53 - 1), which JSON cannot carry exactly; send text"),
        (1e16, "the value is a number beyond ±(2^53 - 1), which JSON cannot carry exactly; send text"),
        ({"odd key": "\ud800"}, '["odd key"] holds half of a surrogate pair, which is not Unicode text'),
        ({"a": {1: 2}}, "a has the key 1, which is not text"),
        ({"a": {1, 2}}, "a is a set, which is not a JSON value"),
    ],
)
def test_what_has_no_text_is_refused_with_its_path(value: Any, message: str) -> None:
    with pytest.raises(NotCanonical) as in_text:
        canonical(value)
    assert str(in_text.value) == message
    with pytest.raises(NotCanonical) as in_value:
        normalise(value)
    assert str(in_value.value) == message


def test_nesting_is_limited_to_64_levels() -> None:
    assert canonical(nested(64)) == b"[" * 64 + b"0" + b"]" * 64
    with pytest.raises(NotCanonical, match="is nested deeper than 64 levels"):
        canonical(nested(65))


def test_normal_form_is_what_the_api_server_gives_back() -> None:
    value = {"b": (1.0, 2.5), "a": 9007199254740991.0}
    normal = normalise(value)
    assert json.dumps(normal) == '{"b": [1, 2.5], "a": 9007199254740991}'


def test_a_path_quotes_what_is_not_a_plain_name() -> None:
    assert path_text(["spec", "tasks", 2, "two words", "$ref"]) == 'spec.tasks[2]["two words"].$ref'
