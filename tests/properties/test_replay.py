"""A recorded run, judged again by the policies that judged it: nothing is otherwise, whatever was proposed."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from openworld.api import TaskStatus, TaskType
from openworld.cli.explanation import explain
from openworld.cli.explanation_text import sections
from openworld.cli.records import Record
from openworld.ledger import join
from openworld.simulation import Bench, Definitions, replay
from tests.support.world import World
from tests.unit.cli_double import oncall

_SERVICES = st.sampled_from(
    ["checkout", "cart", "${triage__1__a.output.service}", "${triage__1__b.output.no}"]
)


@st.composite
def _items(draw: st.DrawFn) -> list[dict[str, Any]]:
    refs = draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=4))
    return [
        {
            "ref": ref,
            "type": draw(st.sampled_from(["look", "rollback", "delete", "nothing"])),
            "input": {"service": draw(_SERVICES)},
            "dependsOn": draw(st.lists(st.sampled_from(refs[:index]), max_size=1)) if index else [],
        }
        for index, ref in enumerate(refs)
    ]


def _turn(world: World, proposal: Any, consent: str) -> None:
    """One turn, and all that comes of it."""
    world.advance(1).completes("triage", proposal=proposal, usage={"tokensIn": 5, "tokensOut": 1})
    for _ in range(20):
        busy = [task for task in world.state.active_tasks() if task.type is not TaskType.AGENT]
        if not busy:
            return
        for task in busy:
            if task.status is TaskStatus.AWAITING_APPROVAL:
                world.advance(1).approve(task.ref, kind=consent)
            elif task.ref in world.jobs:
                world.advance(1).completes(task.ref, {"service": "checkout"})


@settings(deadline=None, max_examples=60)
@given(
    turns=st.lists(st.tuples(_items(), st.booleans(), st.sampled_from(["Approve", "Reject"])), max_size=4),
    denied=st.sets(st.sampled_from(["look", "rollback"]), max_size=1),
)
def test_the_same_policies_say_the_same_again(turns: list[Any], denied: set[str]) -> None:
    world = oncall()
    world.denied_tools |= denied
    for items, atomic, consent in turns:
        if world.state.is_final or "triage" not in world.jobs:
            break
        _turn(world, {"tasks": items, "atomic": atomic}, consent)
    definitions = Definitions()
    for (kind, name), spec in world.definitions.items():
        definitions.put(kind, name, spec)
    events = [join(event, world.payloads) for event in world.events]
    judged = replay(Bench(definitions), world.identity, events)
    assert len(judged) == len([e for e in world.of_type("ProposalJudged") if "turn" in e])
    assert [each for each in judged if not each.is_as_wanted] == []
    record = Record("memory", world.identity, events)
    refs = {row.ref for each in judged for row in each.rows} | world.state.tasks.keys()
    for ref in refs:
        told = explain(record, ref)
        json.dumps(told)
        assert told["kind"] == (
            "Task" if ref in world.state.tasks or told["status"] == "Pending" else "DeniedItem"
        )
        assert [section.title for section in sections(told)][:2] == ["why it exists", "who allowed it"]
