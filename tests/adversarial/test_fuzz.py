"""The fuzzer for a moment, with hypothesis: whatever is found is made small. The long one is `fuzz.py`."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openworld.governance import ItemVerdict, Verdict
from openworld_worker.agent.dialects import normalise

from . import fuzz, mutations, oracle

SETTINGS: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}
RANDOM = st.randoms(use_true_random=False)


@given(RANDOM)
@settings(max_examples=300, **SETTINGS)
def test_nothing_out_of_policy_is_allowed_and_nothing_raises(rnd: Random) -> None:
    verdict, found = fuzz.tried(mutations.a_proposal(rnd))
    assert found + fuzz.tried_before_start(rnd, verdict) == []


@given(RANDOM)
@settings(max_examples=150, **SETTINGS)
def test_nothing_out_of_policy_is_allowed_of_a_models_message(rnd: Random) -> None:
    dialect, says = mutations.a_message(rnd)
    assert fuzz.tried(normalise(dialect, says, structured=rnd.random() < 0.5))[1] == []


@given(RANDOM)
@settings(max_examples=150, **SETTINGS)
def test_no_task_starts_with_an_input_out_of_policy(rnd: Random) -> None:
    assert fuzz.a_start(rnd) == []


@given(RANDOM)
@settings(max_examples=15, **SETTINGS)
def test_no_run_wants_what_is_out_of_policy(rnd: Random) -> None:
    assert fuzz.played(rnd) == []


@pytest.mark.parametrize("seed", range(3))
def test_every_kind_of_example_comes_up(seed: int) -> None:
    counts: Counter[str] = Counter()
    for number in range(150):
        fuzz.once(Random(f"test/{seed}/{number}"), counts)  # noqa: S311
    assert {"proposals", "messages", "starts", "items", "not denied"} <= set(counts)


def test_the_harmless_proposals_are_not_denied() -> None:
    """An oracle that is only asked about denials would be content with anything."""
    denied = [p for p in mutations.HARMLESS if any(i.task is None for i in fuzz.tried(p)[0].items)]
    assert [each["tasks"][0]["type"] for each in denied] == ["HUMAN", "AGENT"]  # a WAIT and an AGENT: no rule


@pytest.mark.parametrize(
    "item",
    [
        {"type": "delete_all", "input": {}},
        {"type": "look", "input": {"service": "vault"}},
        {"type": "look", "input": {"service": 7}},
        {"type": "free", "input": {"x": "${workflow.secrets.a.b}"}},
        {"type": "free", "image": "evil/x:1"},
        {"type": "HTTP", "input": {"uri": "https://api.example.com@evil.test/"}},
        {"type": "note", "input": {"text": "x"}, "compensation": {"tool": "delete_all"}},
        {"type": "free", "dependsOn": ["hidden"]},
        {"ref": "a__b", "type": "free"},
    ],
)
def test_the_oracle_would_notice(item: dict[str, Any]) -> None:
    """A validator that allowed these would be told of it."""
    allowed = fuzz.tried(mutations.HARMLESS[0])[0].items[0]
    short = item.get("ref", "a")
    forged = ItemVerdict(
        0, f"triage__2__{short}", short, allowed.decision, "policy", "r", "x", task=allowed.task
    )
    assert oracle.against({"tasks": [item]}, Verdict(items=(forged,)), used_tasks=0) != []
