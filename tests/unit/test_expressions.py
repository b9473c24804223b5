"""`${…}`: what expressions resolve to, and what is refused before anything runs."""

from __future__ import annotations

import time
from typing import Any

import pytest

from openworld.language.expressions import ExpressionError, Reference, find, references, resolve

SCOPE: dict[str, Any] = {
    "workflow": {
        "input": {
            "i": 3,
            "f": 2.5,
            "b": False,
            "s": "str",
            "n": None,
            "l": [10, 20, 30, 40],
            "m": {"b": "x", "a": 1, "two words": {"v": 3}},
            "rows": [{"sku": "a", "qty": 3}, {"sku": "b", "qty": 9, "note": "x"}, {"sku": "c", "qty": 12}],
            "x-id": 1,
            "a.b": 2,
            "key": "b",
            "index": 1,
            "name": "two words",
            "text": "${workflow.input.i}",
            "evil": "'] || @.qty > 0 || ['",
        },
        "variables": {"v": [1]},
    },
    "loop": {"output": {"iteration": 2, "1": {"step": {"result": 1}}, "2": {"step": {"result": 4}}}},
    "dotted.ref": {"output": 7},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${workflow.input.i}", 3),
        ("${workflow.input.f}", 2.5),
        ("${workflow.input.b}", False),
        ("${workflow.input.n}", None),
        ("${workflow.input.l}", [10, 20, 30, 40]),
        ("${workflow.variables}", {"v": [1]}),
        ("${ workflow.input.i }", 3),
        ("${workflow.input.l[0]}", 10),
        ("${workflow.input.l[-1]}", 40),
        ("${workflow.input['x-id']}", 1),
        ("${workflow.input.x-id}", 1),
        ("${workflow.input['a.b']}", 2),
        ('${workflow.input.m["two words"].v}', 3),
        ("${workflow['input'].i}", 3),
        ("${['dotted.ref'].output}", 7),
        ("${loop.output['2'].step.result}", 4),
        ("${loop.output.2.step.result}", 4),
    ],
)
def test_whole_expression_keeps_the_type(text: str, value: Any) -> None:
    assert resolve(text, SCOPE) == value
    assert type(resolve(text, SCOPE)) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "${workflow.input.nope}",
        "${workflow.input.s.deeper.still}",
        "${workflow.input.l[9]}",
        "${workflow.input.l.0}",
        "${workflow.input.m[0]}",
        "${ghost.output}",
        "${ghost[*].x}",
        "${workflow.input.i.length()}",
    ],
)
def test_what_does_not_exist_is_null(text: str) -> None:
    assert resolve(text, SCOPE) is None
    assert resolve(f"<{text}>", SCOPE) == "<null>"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${workflow.input.l[1:3]}", [20, 30]),
        ("${workflow.input.rows[*].qty}", [3, 9, 12]),
        ("${workflow.input.rows[0,2].sku}", ["a", "c"]),
        ("${workflow.input.rows[?(@.qty > 5)].sku}", ["b", "c"]),
        ("${workflow.input.rows[?(@.sku == 'b')]}", [{"sku": "b", "qty": 9, "note": "x"}]),
        ("${workflow.input.rows[?(@.qty > 100)].sku}", []),
        ("${workflow.input.rows[?(@.note)].sku}", ["b"]),
        ("${workflow.input.rows[?(@.sku in ['a', 'c'])].qty}", [3, 12]),
        ("${loop.output..result}", [1, 4]),
        ("${workflow.input.nope[*]}", []),
        ("${workflow.input.s[*]}", []),
    ],
)
def test_indefinite_paths_give_arrays(text: str, value: list[Any]) -> None:
    assert resolve(text, SCOPE) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${workflow.input.l.length()}", 4),
        ("${workflow.input.s.length()}", 3),
        ("${workflow.input.m.length()}", 3),
        ("${workflow.input.l.sum()}", 100),
        ("${workflow.input.l.avg()}", 25),
        ("${workflow.input.l.min()}", 10),
        ("${workflow.input.rows[*].qty.max()}", 12),
        ("${workflow.input.l.first()}", 10),
        ("${workflow.input.l.last()}", 40),
        ("${workflow.variables.keys()}", ["v"]),
    ],
)
def test_functions_at_the_end_of_a_path(text: str, value: Any) -> None:
    assert resolve(text, SCOPE) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("n=${workflow.input.i};", "n=3;"),
        ("${workflow.input.f}%", "2.5%"),
        ("is ${workflow.input.b}", "is false"),
        ("${workflow.input.s}-${workflow.input.i}", "str-3"),
        ("<${workflow.input.none}>", "<null>"),
        ("map: ${loop.output.1}", 'map: {"step":{"result":1}}'),
        ("list: ${workflow.variables.v} ", "list: [1] "),
        ("price $5 and {braces}", "price $5 and {braces}"),
        ("$${workflow.input.i}", "${workflow.input.i}"),
        ("cost $${x} is ${workflow.input.i}", "cost ${x} is 3"),
        ("$", "$"),
    ],
)
def test_embedded_expressions_become_text(text: str, value: str) -> None:
    assert resolve(text, SCOPE) == value


def test_embedded_maps_print_the_same_whatever_the_order_of_their_keys() -> None:
    assert resolve("m ${a}", {"a": {"b": 1, "a": "ü"}}) == 'm {"a":"ü","b":1}'
    assert resolve("m ${a}", {"a": {"a": "ü", "b": 1}}) == 'm {"a":"ü","b":1}'


def test_expressions_are_resolved_anywhere_and_keys_are_left_alone() -> None:
    value = {
        "deep": [{"v": "${workflow.input.i}"}, ["x${workflow.input.i}"], 7, None],
        "${workflow.input.i}": 1,
    }
    assert resolve(value, SCOPE) == {"deep": [{"v": 3}, ["x3"], 7, None], "${workflow.input.i}": 1}


def test_a_resolved_value_is_never_scanned_again() -> None:
    assert resolve("${workflow.input.text}", SCOPE) == "${workflow.input.i}"
    assert resolve("> ${workflow.input.text}", SCOPE) == "> ${workflow.input.i}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${workflow.input.m.${workflow.input.key}}", "x"),
        ("${workflow.input.m['${workflow.input.name}'].v}", 3),
        ("${workflow.input.m.${workflow.input.name}.v}", 3),
        ("${workflow.input.l[${workflow.input.index}]}", 20),
        ("${workflow.input.m[${workflow.input.key}]}", "x"),
        ("${workflow.input.rows[?(@.sku == '${workflow.input.key}')].qty}", [9]),
        ("${workflow.input.rows[?(@.sku == ${workflow.input.key})].qty}", [9]),
        ("${workflow.input.rows[?(@.qty > ${workflow.input.i})].qty}", [9, 12]),
    ],
)
def test_inner_expressions_resolve_first(text: str, value: Any) -> None:
    assert resolve(text, SCOPE) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${workflow.input.rows[?(@.sku == '${workflow.input.evil}')].qty}", []),
        ('${workflow.input.rows[?(@.sku == "${workflow.input.evil}")].qty}', []),
        ("${workflow.input.rows[?(@.sku == ${workflow.input.evil})].qty}", []),
        ("${workflow.input['${workflow.input.evil}']}", None),
        ("${workflow.input.${workflow.input.evil}}", None),
        ("${workflow.input[${workflow.input.evil}]}", None),
        ("${workflow.input.${workflow.input.m}}", None),
    ],
)
def test_an_inner_value_is_never_syntax(text: str, value: Any) -> None:
    assert resolve(text, SCOPE) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${unclosed", "the expression '${unclosed' is never closed by a }; write $${ for a literal ${"),
        ("${a['}", 'the expression "${a[\'}" is never closed by a }; write $${ for a literal ${'),
        ("${}", "the expression ${} is empty; write a path, as in ${workflow.input.name}"),
        ("${.a}", "the path '.a' has an empty name in it"),
        ("${a.}", "the path 'a.' has an empty name in it"),
        ("${a[}", "the path 'a[' opens a [ at offset 1 that is never closed"),
        ("${a[]}", "the path 'a[]' has empty brackets in it"),
        ("${$.a}", "the path '$.a' has '$' in the name '$'; write ['…'] around such a name"),
        ("${[0].a}", "the path '[0].a' must begin with a name: workflow or a task reference name"),
        ("${a[0]b}", "the path 'a[0]b' has 'b' at offset 4, where a . or [ is expected"),
        (
            "${a.b.run()}",
            "the path 'a.b.run()' calls run(…); known are length(), size(), keys(), sum(), min(), max(), "
            "avg(), first(), last()",
        ),
        (
            "${a[?(@.x =~ /y/)]}",
            "the path 'a[?(@.x =~ /y/)]' uses =~; regular expressions are not supported in paths",
        ),
        (
            "${a[?match(@.x, 'y')]}",
            "the path \"a[?match(@.x, 'y')]\" uses match; regular expressions are not supported in paths",
        ),
        (
            "${a[?search (@.x, 'y')]}",
            "the path \"a[?search (@.x, 'y')]\" uses search; regular expressions are not supported in paths",
        ),
        (
            "${a[?(@.x == $.y)]}",
            "the path 'a[?(@.x == $.y)]' uses $ inside brackets; a filter sees only the node at hand, as @",
        ),
        (
            "${a..b..c..d}",
            "the path 'a..b..c..d' has more than 2 recursive descents or 8 commas",
        ),
    ],
)
def test_a_malformed_expression_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        resolve(text, SCOPE)
    assert str(raised.value) == message
    with pytest.raises(ExpressionError) as also:
        references({"a": text})
    assert str(also.value) == message


def test_a_bad_filter_is_refused_without_a_traceback() -> None:
    with pytest.raises(ExpressionError, match="is not a JSONPath"):
        resolve("${a[?(@.x ==)]}", SCOPE)


def test_an_expression_is_at_most_4_kib() -> None:
    with pytest.raises(ExpressionError, match="is longer than 4096 bytes"):
        resolve("${" + "a" * 5000 + "}", SCOPE)


def test_a_resolved_value_is_at_most_1_mib() -> None:
    scope = {"a": {"text": "x" * 400_000, "list": ["y" * 400_000]}}
    assert len(resolve(["${a.text}", "${a.list}"], scope)) == 2
    with pytest.raises(ExpressionError, match="the resolved value is larger than 1048576 bytes"):
        resolve(["${a.text}", "${a.list}", "-${a.text}"], scope)


def test_a_path_with_too_many_matches_is_refused() -> None:
    with pytest.raises(ExpressionError, match="matches more than 10000 nodes"):
        resolve("${a[*]}", {"a": list(range(10_001))})


def test_a_hostile_path_ends_quickly() -> None:
    document: Any = 1
    for _ in range(60):
        document = [document, document]
    began = time.monotonic()
    with pytest.raises(ExpressionError):
        resolve("${a" + "[0,1]" * 30 + ".x}", {"a": document})
    assert resolve("${a[0,1][0,1][0,1][0,1].nope}", {"a": document}) == []
    assert time.monotonic() - began < 1.0


def test_deep_values_and_deep_expressions_are_refused() -> None:
    deep: Any = "x"
    for _ in range(65):
        deep = [deep]
    with pytest.raises(ExpressionError, match="nested deeper than 64 levels"):
        resolve(deep, SCOPE)
    with pytest.raises(ExpressionError, match="expressions are nested deeper than 8 levels"):
        resolve("${a." * 9 + "b" + "}" * 9, SCOPE)


def test_references_name_root_path_position_and_text() -> None:
    value = {
        "service": "${workflow.input.service}",
        "list": [{"x y": "a ${one.output.deploys[0]['id']} b ${two.output[?(@.a == 1)].b}"}],
        "literal": "$${three.output}",
        "whole": "${four}",
    }
    assert references({"inputParameters": value}) == [
        Reference("workflow", "input.service", "inputParameters.service", "${workflow.input.service}"),
        Reference(
            "one", "output.deploys[0].id", 'inputParameters.list[0]["x y"]', "${one.output.deploys[0]['id']}"
        ),
        Reference(
            "two", "output[?(@.a == 1)].b", 'inputParameters.list[0]["x y"]', "${two.output[?(@.a == 1)].b}"
        ),
        Reference("four", "", "inputParameters.whole", "${four}"),
    ]


def test_references_include_inner_expressions_and_computed_roots() -> None:
    assert references("${workflow.input.${one.output.key}}") == [
        Reference("workflow", "input.${one.output.key}", "", "${workflow.input.${one.output.key}}"),
        Reference("one", "output.key", "", "${one.output.key}"),
    ]
    computed = references("${${one.output.ref}.output}")
    assert [(found.root, found.path) for found in computed] == [
        ("${one.output.ref}.output", ""),
        ("one", "output.ref"),
    ]


def test_find_gives_locations_and_values() -> None:
    document = {
        "tasks": {"a": {"output": {"secret": 1, "ok": 2}}, "b": {"output": {"secret": 3}}},
        "l": [5, 6],
    }
    assert find(document, "$.tasks.a.output.ok") == [(["tasks", "a", "output", "ok"], 2)]
    assert find(document, "$..secret") == [
        (["tasks", "a", "output", "secret"], 1),
        (["tasks", "b", "output", "secret"], 3),
    ]
    assert find(document, "$.tasks[*].output['ok']") == [(["tasks", "a", "output", "ok"], 2)]
    assert find(document, "$.l[-1]") == [(["l", 1], 6)]
    assert find(document, "$") == [([], document)]
    assert find(document, "$.nope") == []


@pytest.mark.parametrize("jsonpath", ["tasks", "", "$.a.length()", "$[", "$.a[?search(@.b, 'x')]"])
def test_find_refuses_what_is_no_jsonpath(jsonpath: str) -> None:
    with pytest.raises(ExpressionError):
        find({}, jsonpath)


def test_a_filter_may_not_descend_since_that_multiplies() -> None:
    with pytest.raises(ExpressionError, match="descends"):
        resolve({"v": "${t.output..[?@..[?@..zz]]}"}, {"t": {"output": {}}})
