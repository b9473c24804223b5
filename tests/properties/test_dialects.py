"""Properties of models' messages that hold for whatever a model or a provider sends."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from openworld.governance import Decision, judge
from openworld_worker.agent.dialects import DIALECTS, normalise, results
from openworld_worker.wire import encode
from tests.support.dialects import SPOKEN, answered, turn_of
from tests.support.governance import question

WORDS = [
    "type", "text", "content", "tool_calls", "function", "arguments", "name", "id", "call_id", "input", "tool_use",
    "output", "parts", "functionCall", "args", "params", "method", "tools/call", "message", "choices", "candidates",
    "function_call", "output_text", "status", "finish_reason", "propose_tasks", "tasks", "raw", "malformed", "look",
    "__proto__", "constructor", "{}", "{", '{"a":1,"a":2}', '{"tasks":[{}]}', "\ud800", "c1", "2.0", "jsonrpc",
]  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=8)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=25,
)
ARGUMENTS = JSON | st.dictionaries(st.text(max_size=3), SCALARS, max_size=3).map(
    lambda value: json.dumps(value)
)
IDS = st.sampled_from(["c1", "c2", "c3", "c4", "", None, 7, "x" * 200]) | SCALARS
NAMES = st.sampled_from(["look", "note", "delete", "HUMAN", "__proto__", "", None]) | SCALARS
CALLS = st.lists(st.tuples(IDS, NAMES, ARGUMENTS), max_size=6)
dialects = st.sampled_from(sorted(DIALECTS))


@given(dialects, JSON, st.booleans())
@settings(max_examples=400, deadline=None)
def test_nothing_that_a_provider_sends_raises_or_is_taken_for_consent(
    dialect: str, message: Any, structured: bool
) -> None:
    proposal = normalise(dialect, message, structured=structured)
    encode(proposal)
    verdict = judge(question(), proposal)
    assert not verdict.problem.startswith("it is not usable JSON")
    assert not verdict.problem.startswith("raw")
    results(dialect, [turn_of(proposal)])


@given(dialects, st.text(max_size=60) | JSON.map(json.dumps))
@settings(max_examples=200, deadline=None)
def test_no_text_of_a_message_raises(dialect: str, text: str) -> None:
    encode(normalise(dialect, text))


@given(dialects, CALLS, st.text(max_size=5))
@settings(max_examples=600, deadline=None)
def test_every_call_is_one_item_and_is_answered_exactly_once(
    dialect: str, calls: list[tuple[Any, Any, Any]], text: str
) -> None:
    spoken = SPOKEN[dialect]
    proposal = normalise(dialect, spoken.message(*(spoken.call(*parts) for parts in calls), text=text))
    items = proposal.get("tasks", [])
    is_native = [parts[1] for parts in calls] == ["propose_tasks"]  # one call, and as many items as it says
    if calls and not is_native:
        assert len(items) == len(calls)
        assert len(proposal["raw"]["calls"]) == len(calls)
        assert all(("input" in item) is not ("malformed" in item) for item in items)
        said = [_object(parts[2]) for parts in calls]
        assert all(item.get("input", {}) in [{}, *said] for item in items)
    past = turn_of(proposal)
    entries = proposal["raw"].get("calls", [])
    ids = {entry["id"] for entry in entries if "id" in entry}
    if dialect == "gemini":
        parts = [part for message in results(dialect, [past]) for part in message["parts"]]
        without_id = sum("id" not in entry and "name" in entry for entry in entries)
        assert sum("functionResponse" in part for part in parts) == len(ids) + without_id
    else:
        told = answered(dialect, results(dialect, [past]))
        assert {json.dumps(key, ensure_ascii=False) if dialect == "mcp" else key for key in told} == ids
    allowed = {v.item for v in judge(question(), proposal).items if v.decision is not Decision.DENIED}
    assert all("malformed" not in items[place] for place in allowed)


def _object(arguments: Any) -> Any:
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        return None
