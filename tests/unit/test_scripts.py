"""The sandbox for scripts: values come back as JSON, and a hostile script fails alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from openworld.controller.scripts import ScriptOutcome, ScriptRunner
from openworld.engine.needs import NeedScript, ScriptAnswer

TOO_MUCH = "the script ended its sandbox: it needs too much memory, or nests too deeply"
TOO_LONG = ("the script ran longer than 2 s", "the script ran too long")


def sandboxed(story: Callable[[ScriptRunner], Awaitable[None]], *, seconds: float = 2.0) -> None:
    """Run a story with a sandbox, and end it."""

    async def run() -> None:
        runner = ScriptRunner(seconds=seconds)
        try:
            await story(runner)
        finally:
            await runner.close()

    asyncio.run(run())


def evaluated(*questions: tuple[str, str, Any]) -> list[ScriptOutcome]:
    """The outcomes of several evaluations in one sandbox."""
    outcomes: list[ScriptOutcome] = []

    async def story(runner: ScriptRunner) -> None:
        for evaluator, expression, data in questions:
            outcomes.append(await runner.evaluate(evaluator, expression, data))

    sandboxed(story)
    return outcomes


def test_values_come_back_as_json() -> None:
    cases: list[tuple[str, str, Any, Any]] = [
        ("javascript", "$.n * 2", {"n": 21}, 42),
        (
            "graaljs",
            "(function(){ var s = 0; for (var k in $) { s += $[k]; } return s; })()",
            {"a": 1, "b": 2},
            3,
        ),
        ("javascript", "var o = { id: $.id }; JSON.stringify(o)", {"id": "k"}, '{"id":"k"}'),
        ("javascript", "var x = 1; undefined", {}, None),
        ("javascript", "[undefined, NaN, Infinity, 4 / 2, 7 / 2]", {}, [None, None, None, 2, 3.5]),
        ("javascript", "({ at: new Date(0) })", {}, {"at": "1970-01-01T00:00:00.000Z"}),
        ("javascript", "new Date(0)", {}, "1970-01-01T00:00:00.000Z"),
        ("javascript", "NaN", {}, None),
        ("javascript", "$", {"ü": "😀", "n": 1.5}, {"ü": "😀", "n": 1.5}),
        ("javascript", "Object.keys($.m).sort()", {"m": {"b": 1, "a": 2}}, ["a", "b"]),
        ("javascript", "$.gone === null ? 'null' : typeof $.gone", {"gone": None}, "null"),
        ("jq", ".rows | map(.id)", {"rows": [{"id": 1}, {"id": 2}]}, [1, 2]),
        ("jq", ".rows[].id", {"rows": [{"id": 1}, {"id": 2}]}, 1),
        ("jq", "empty", {}, None),
        ("cel", "input.n > 40 && 'a' in input.l", {"n": 42, "l": ["a"]}, True),
        ("cel", "timestamp('2020-01-01T00:00:00Z')", {}, "2020-01-01T00:00:00Z"),
    ]
    outcomes = evaluated(*((evaluator, expression, data) for evaluator, expression, data, _ in cases))
    assert outcomes == [ScriptOutcome(value) for _, _, _, value in cases]


@pytest.mark.parametrize(
    ("evaluator", "expression", "error"),
    [
        ("javascript", "throw new Error('quantity over limit')", "Error: quantity over limit"),
        ("javascript", "null.x", "TypeError: cannot read property 'x' of null"),
        ("javascript", "var o = {}; o.o = o; o", "TypeError: circular reference"),
        ("javascript", "(function f(){ return 1 + f(); })()", "RangeError: Maximum call stack size exceeded"),
        ("javascript", "'x'.repeat(300000)", "the value of the script has 300002 bytes; at most 262144 are allowed"),
        ("javascript", "var l = []; for (;;) l.push('x'.repeat(1e6))", "InternalError: out of memory"),
        (
            "javascript",
            "2 ** 60",
            "the value of the script cannot be kept: the value is a number beyond ±(2^53 - 1), which JSON "
            "cannot carry exactly; send text",
        ),
        ("jq", "error(\"no\")", "no"),
        ("cel", "input.nope == 1", 'NOT_FOUND: Key not found in map : "nope"'),
        ("cel", "1 / 0 == 1", "INVALID_ARGUMENT: divide by zero"),
        ("cel", "b'x'", "the value of the script is a bytearray, which JSON does not have"),
        ("lua", "1", "unknown evaluator 'lua'; known are javascript, graaljs, jq, jq-all, cel, condition"),
    ],
)  # fmt: skip
def test_a_script_s_error_is_its_outcome(evaluator: str, expression: str, error: str) -> None:
    assert evaluated((evaluator, expression, {})) == [ScriptOutcome(error=error)]


def test_syntax_errors_are_outcomes_of_one_line() -> None:
    for outcome in evaluated(("javascript", "var = ;", {}), ("jq", ".a | map(", {}), ("cel", "1 +", {})):
        assert outcome.value is None
        assert outcome.error is not None
        assert "\n" not in outcome.error


def test_each_evaluation_has_a_context_of_its_own() -> None:
    poison = (
        "globalThis.leak = 1; JSON.stringify = null; "
        "Object.prototype.toJSON = function(){ return 'hacked'; }; Array.prototype.map = null; 1"
    )
    assert evaluated(
        ("javascript", poison, {}),
        ("javascript", "[typeof leak, JSON.stringify($), $.l.map(x => x + 1)]", {"l": [1]}),
    ) == [ScriptOutcome(1), ScriptOutcome(["undefined", '{"l":[1]}', [2]])]


def test_scripts_reach_nothing_outside() -> None:
    names = "[typeof require, typeof process, typeof std, typeof os, typeof fetch, typeof print]"
    javascript, environment = evaluated(("javascript", names, {}), ("jq", "env | keys", {}))
    assert javascript.value == ["undefined"] * 6
    assert environment.value in ([], ["LC_CTYPE"])


def test_an_endless_script_is_stopped_and_the_next_one_works() -> None:
    def story_of(evaluator: str, expression: str) -> Callable[[ScriptRunner], Awaitable[None]]:
        async def story(runner: ScriptRunner) -> None:
            outcome = await runner.evaluate(evaluator, expression, {})
            assert outcome == ScriptOutcome(error="the script ran longer than 0.5 s")
            assert await runner.evaluate(evaluator, "1", {}) == ScriptOutcome(1)

        return story

    for evaluator, expression in (
        ("javascript", "for (;;);"),
        ("javascript", "new Array(4294967295).join('')"),
        ("jq", "def f: f; f"),
    ):
        sandboxed(story_of(evaluator, expression), seconds=0.5)


def test_the_time_limit_is_two_seconds() -> None:
    began = time.monotonic()
    [outcome] = evaluated(("javascript", "while (true) { try { for (;;); } catch (e) {} }", {}))
    assert outcome.error in TOO_LONG
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize("expression", ["def f: [f]; f", '"x" * 1000000000'])
def test_a_script_that_ends_the_process_fails_alone(expression: str) -> None:
    assert evaluated(("jq", expression, {}), ("jq", ".a", {"a": 1})) == [
        ScriptOutcome(error=TOO_MUCH),
        ScriptOutcome(1),
    ]


def test_an_evaluation_never_blocks_the_event_loop() -> None:
    async def story(runner: ScriptRunner) -> None:
        endless = asyncio.create_task(runner.evaluate("javascript", "for (;;);", {}))
        turns = 0
        while not endless.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 100
        assert endless.result() == ScriptOutcome(error="the script ran longer than 0.3 s")

    sandboxed(story, seconds=0.3)


def test_calls_queue_and_each_gets_its_own_answer() -> None:
    async def story(runner: ScriptRunner) -> None:
        calls = (runner.evaluate("javascript", "$ * 2", number) for number in range(20))
        assert await asyncio.gather(*calls) == [ScriptOutcome(number * 2) for number in range(20)]

    sandboxed(story)


def test_a_process_that_died_idle_is_replaced() -> None:
    async def story(runner: ScriptRunner) -> None:
        assert await runner.evaluate("jq", ".", 1) == ScriptOutcome(1)
        process = runner._process
        assert process is not None
        process.kill()
        assert await runner.evaluate("jq", ".", 2) == ScriptOutcome(2)

    sandboxed(story)


def test_a_cancelled_call_does_not_disturb_the_next() -> None:
    async def story(runner: ScriptRunner) -> None:
        assert await runner.evaluate("jq", ".", 1) == ScriptOutcome(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(runner.evaluate("javascript", "for (;;);", {}), 0.1)
        assert await runner.evaluate("jq", ".", 2) == ScriptOutcome(2)

    sandboxed(story)


def test_the_engine_s_question_is_answered() -> None:
    async def story(runner: ScriptRunner) -> None:
        assert await runner.run(NeedScript("javascript", "$.a + 1", b'{"a":1}')) == ScriptAnswer(2)
        assert await runner.run(NeedScript("javascript", "throw 'x'", b"{}")) == ScriptAnswer(error="x")

    sandboxed(story)


def test_data_that_is_no_json_is_an_outcome() -> None:
    [outcome] = evaluated(("jq", ".", {"a": {1, 2}}))
    assert outcome.error == "the script or its data is not JSON: Type is not JSON serializable: set"
