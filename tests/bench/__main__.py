"""`make bench`: speed and memory as ratios, both sides measured in this one run.

Absolute times of a shared machine mean little; a ratio of two things measured in turn holds.
"""

from __future__ import annotations

import json
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, ClassVar

import rfc8785
from rich.console import Console
from rich.table import Table

from openworld.controller.record import carries_snapshot
from openworld.engine import snapshot
from openworld.engine.decide import Pass
from openworld.engine.evolve import fold
from openworld.engine.needs import Answer, Need
from openworld.engine.projection import project
from openworld.engine.state import State
from openworld.language.canonical import canonical
from openworld.ledger import EventType, verify
from tests.support.world import World

ROUNDS = 7


def paired(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float, float]:
    """Median seconds of each, and the median of the ratios taken pair by pair."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for call, kept in zip((one, other), times, strict=True):
            began = time.perf_counter()
            call()
            kept.append(time.perf_counter() - began)
    ratios = [a / b for a, b in zip(*times, strict=True)]
    return statistics.median(times[0]), statistics.median(times[1]), statistics.median(ratios)


def chain(length: int) -> list[dict[str, Any]]:
    """A sequence of SET_VARIABLE tasks: the engine's own cost and nothing else."""
    return [{"ref": f"t{i}", "type": "SET_VARIABLE", "input": {"last": i}} for i in range(length)]


def run_engine(length: int) -> World:
    """Run a chain to its end, without the checks that the tests' harness adds."""
    world = World({"tasks": chain(length)})
    answers: dict[Need, Answer] = {}
    while not world.state.is_final:
        decision = Pass(world.state, world.now_ms)
        while needs := decision.run(answers):
            answers |= {need: world._answer(need) for need in needs}
        world.state = decision.state
        world.events += decision.events
        world.payloads |= decision.payloads
    return world


class TimedPass(Pass):
    """A pass that notes when each iteration of a loop began."""

    began: ClassVar[list[float]] = []

    def emit(self, kind: EventType, **data: Any) -> dict[str, Any]:
        """Note the time and emit."""
        if kind is EventType.LOOP_ITERATED:
            self.began.append(time.perf_counter())
        return super().emit(kind, **data)


def ends_of_a_loop(iterations: int, share: int) -> tuple[float, float]:
    """Seconds of the last and of the first iterations of one loop, scripts and snapshots included."""
    script = {"evaluatorType": "javascript", "expression": "$.n * 2", "n": "${again.output.iteration}"}
    loop = {
        "ref": "again",
        "type": "DO_WHILE",
        "loopCondition": f"$.again['iteration'] < {iterations}",
        "loopOver": [{"ref": "double", "type": "INLINE", "input": script}],
    }
    world = World({"tasks": [loop]})
    answers: dict[Need, Answer] = {}
    TimedPass.began.clear()
    state, segments = world.state, 0
    while not state.is_final:
        decision = TimedPass(state, world.now_ms)
        while needs := decision.run(answers):
            answers |= {need: world._answer(need) for need in needs}
        state = decision.state
        if carries_snapshot(segments, state):
            canonical(snapshot.take(state)[0])
        segments += 1
    began = TimedPass.began
    return began[-1] - began[-1 - share], began[share] - began[0]


def main() -> None:
    """Measure and print."""
    table = Table("measured", "this", "beside it", "ratio", title="medians; ratio = this / beside it")
    short, long = 60, 480

    def per_task(length: int) -> Callable[[], object]:
        return lambda: [run_engine(length) for _ in range(long // length)]

    one, other, ratio = paired(per_task(long), per_task(short))
    table.add_row(
        f"{long} tasks in a run of {long} / in runs of {short}",
        f"{one:.3f} s",
        f"{other:.3f} s",
        f"{ratio:.2f}",
    )

    ends = [ends_of_a_loop(1000, 100) for _ in range(ROUNDS)]
    table.add_row(
        "the last 100 of 1000 iterations / the first 100",
        f"{statistics.median(last for last, _ in ends):.3f} s",
        f"{statistics.median(first for _, first in ends):.3f} s",
        f"{statistics.median(last / first for last, first in ends):.2f}",
    )

    world = run_engine(long)
    events = world.events
    one, other, ratio = paired(
        lambda: fold(State(identity=world.identity), events, world.payloads), lambda: run_engine(long)
    )
    table.add_row(
        f"replay of {len(events)} events / deciding them", f"{one:.3f} s", f"{other:.3f} s", f"{ratio:.2f}"
    )

    one, other, ratio = paired(
        lambda: verify(events, first=0, prev=events[0]["prev"]), lambda: json.dumps(events, sort_keys=True)
    )
    table.add_row("verifying the chain / json.dumps of it", f"{one:.3f} s", f"{other:.3f} s", f"{ratio:.2f}")

    one, other, ratio = paired(
        lambda: [canonical(event) for event in events], lambda: [rfc8785.dumps(event) for event in events]
    )
    table.add_row("canonical JSON / rfc8785 alone", f"{one:.3f} s", f"{other:.3f} s", f"{ratio:.2f}")

    status = json.dumps(project(world.state, events))
    tracemalloc.start()
    again = fold(State(identity=world.identity), json.loads(status)["ledger"]["events"], world.payloads)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    table.add_row(
        "memory of state and events / size of the status", f"{size / 1024:.0f} KiB", f"{len(status) / 1024:.0f} KiB",
        f"{size / len(status):.2f}",
    )  # fmt: skip
    del again
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
