"""Random well-formed workflows with random outcomes: they end, in order, within their retries.

`World.step` checks after every pass that the live state is the fold of the events and survives recovery.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from openworld.engine.facts import Ending
from tests.support.world import World, tool

RETRIES = 1


def build(draw: random.Random, depth: int, counter: list[int]) -> list[dict[str, Any]]:
    """A random array of tasks."""
    tasks: list[dict[str, Any]] = []
    is_graph = draw.random() < 0.25
    for _ in range(draw.randint(1, 3)):
        counter[0] += 1
        ref = f"t{counter[0]}"
        kind = draw.choice(["tool"] * 4 + ["fork", "switch", "wait", "set", "inline", "human"])
        task: dict[str, Any] = {"ref": ref, "type": "a"}
        if kind == "fork" and depth < 3 and not is_graph:
            task = {
                "ref": ref,
                "type": "FORK_JOIN",
                "forkTasks": [build(draw, depth + 1, counter) for _ in range(2)],
            }
        elif kind == "switch" and depth < 3:
            task = {
                "ref": ref, "type": "SWITCH", "expression": "v", "input": {"v": draw.choice(["x", "y", None])},
                "decisionCases": {"x": build(draw, depth + 1, counter)}, "defaultCase": build(draw, depth + 1, counter),
            }  # fmt: skip
        elif kind == "wait":
            task = {"ref": ref, "type": "WAIT", "input": {"duration": "5s"}}
        elif kind == "set":
            task = {"ref": ref, "type": "SET_VARIABLE", "input": {"v": ref}}
        elif kind == "inline":
            task = {"ref": ref, "type": "INLINE", "expression": "v", "input": {"v": 1}}
        elif kind == "human":
            task = {"ref": ref, "type": "HUMAN"}
        else:
            task["optional"] = draw.random() < 0.2
            task["permissive"] = draw.random() < 0.2
        if is_graph:
            task["dependsOn"] = [t["ref"] for t in tasks if draw.random() < 0.5]
        tasks.append(task)
    return tasks


def act(w: World, draw: random.Random) -> None:
    """The world does one thing that it may do now."""
    choices = list(w.jobs) + [t.ref for t in w.state.active_tasks() if t.type.value == "HUMAN"]
    if not choices:
        w.advance(10)
        return
    ref = draw.choice(choices)
    if w.task(ref).type.value == "HUMAN":
        w.signal("Complete" if draw.random() < 0.8 else "Fail", ref=ref, payload={"v": 1})
        return
    match draw.randint(0, 7):
        case 0:
            w.fails(ref)
        case 1:
            w.fails(ref, terminal=True)
        case 2:
            w.job_ends(ref, Ending.LOST)
        case 3:
            w.started(ref)
        case 4:
            w.advance(draw.choice([1, 100, 1000]))
        case _:
            w.completes(ref, {"v": ref})


@settings(max_examples=150, deadline=None)
@given(st.integers(min_value=0, max_value=2**32))
def test_every_workflow_ends_within_its_retries_and_in_order(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 (seeded, so that a failure can be run again)
    workflow = {"tasks": build(draw, 0, [0]), "catalogs": ["tools"]}
    w = World(workflow).define(
        "ToolCatalog", "tools", {"tools": [tool("a", retry={"count": RETRIES, "delaySeconds": 3})]}
    )
    w.step()
    for _ in range(400):
        if w.state.is_final:
            break
        act(w, draw)
    assert w.state.is_final, w.statuses
    assert not w.state.active
    assert all(task.attempt <= RETRIES for task in w.state.tasks.values())
    started = {e["ref"]: e["seq"] for e in reversed(w.events) if e["type"] == "TaskScheduled"}
    for scope in w.state.scopes.values():
        for task in scope.tasks:
            for before in task.depends_on or ():
                if task.task_reference_name in started:
                    ended = w.task(before).ended_seq
                    assert ended is not None
                    assert ended < started[task.task_reference_name]
    scheduled = [e["ref"] for e in w.events if e["type"] == "TaskScheduled"]
    assert len(scheduled) == len(set(scheduled)), "a task was scheduled twice"
    final = [
        e for e in w.events if e["type"] in ("ExecutionCompleted", "ExecutionFailed", "ExecutionTimedOut")
    ]
    assert final == [w.events[-1]]
