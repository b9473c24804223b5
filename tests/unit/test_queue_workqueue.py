"""The work queue, under a clock that moves only when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from openworld.controller.queue import Urgency, WorkQueue


class Timer:
    def __init__(self, when: float, run: Callable[[], Any]) -> None:
        self.when, self.run, self.canceled = when, run, False

    def cancel(self) -> None:
        self.canceled = True


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> Timer:
        timer = Timer(when, lambda: callback(*args))
        self.timers.append(timer)
        return timer

    @property
    def pending(self) -> list[float]:
        return sorted(timer.when for timer in self.timers if not timer.canceled)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [timer for timer in self.timers if not timer.canceled and timer.when <= self.now]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            timer.run()


async def settle() -> None:
    """Let every task run until none can go on by itself."""
    for _ in range(20):
        await asyncio.sleep(0)


class Bench:
    """A queue whose work waits for the test to finish it."""

    def __init__(self, concurrency: int = 2) -> None:
        self.clock = FakeClock()
        self.started: list[str] = []
        self.gates: dict[str, asyncio.Future[None]] = {}
        self.queue: WorkQueue[str] = WorkQueue(self._work, concurrency=concurrency, clock=self.clock)

    async def _work(self, key: str) -> None:
        self.started.append(key)
        self.gates[key] = asyncio.get_running_loop().create_future()
        await self.gates[key]

    async def finish(self, key: str, error: Exception | None = None) -> None:
        if error is None:
            self.gates[key].set_result(None)
        else:
            self.gates[key].set_exception(error)
        await settle()


def test_a_key_added_many_times_is_worked_once() -> None:
    async def story() -> None:
        bench = Bench()
        for _ in range(5):
            bench.queue.add("a")
        bench.queue.start()
        await settle()
        await bench.finish("a")
        assert bench.started == ["a"]
        assert len(bench.queue) == 0

    asyncio.run(story())


def test_a_key_added_while_it_is_worked_is_worked_once_more_and_never_twice_at_a_time() -> None:
    async def story() -> None:
        bench = Bench()
        bench.queue.start()
        bench.queue.add("a")
        await settle()
        bench.queue.add("a")
        bench.queue.add("a")
        await settle()
        assert bench.started == ["a"]
        await bench.finish("a")
        assert bench.started == ["a", "a"]
        await bench.finish("a")
        assert bench.started == ["a", "a"]

    asyncio.run(story())


def test_no_more_keys_are_worked_at_a_time_than_the_concurrency_allows() -> None:
    async def story() -> None:
        bench = Bench(concurrency=2)
        bench.queue.start()
        for key in ("a", "b", "c"):
            bench.queue.add(key)
        await settle()
        assert bench.started == ["a", "b"]
        await bench.finish("a")
        assert bench.started == ["a", "b", "c"]

    asyncio.run(story())


def test_what_a_person_waits_for_overtakes_what_waits_already() -> None:
    async def story() -> None:
        bench = Bench(concurrency=1)
        bench.queue.add("bulk-1")
        bench.queue.add("bulk-2")
        bench.queue.add("approved", Urgency.PERSON)
        bench.queue.add("bulk-2", Urgency.PERSON)
        bench.queue.start()
        await settle()
        for key in ("approved", "bulk-2", "bulk-1"):
            await bench.finish(key)
        assert bench.started == ["approved", "bulk-2", "bulk-1"]

    asyncio.run(story())


def test_the_earliest_of_several_times_counts() -> None:
    async def story() -> None:
        bench = Bench()
        bench.queue.start()
        bench.queue.add_at("a", 160.0)
        bench.queue.add_at("a", 130.0)
        bench.queue.add_at("a", 150.0)
        assert bench.clock.pending == [130.0]
        bench.clock.advance(29.9)
        await settle()
        assert bench.started == []
        bench.clock.advance(0.1)
        await settle()
        assert bench.started == ["a"]
        assert bench.clock.pending == []

    asyncio.run(story())


def test_failing_work_backs_off_twice_as_long_each_time_and_success_forgets_it() -> None:
    async def story() -> None:
        bench = Bench()
        bench.queue.start()
        bench.queue.add("a")
        await settle()
        waits = []
        for _ in range(4):
            await bench.finish("a", ValueError("boom"))
            waits.append(bench.clock.pending[0] - bench.clock.now)
            bench.clock.advance(waits[-1])
            await settle()
        assert waits == [0.25, 0.5, 1.0, 2.0]
        await bench.finish("a")
        bench.queue.add("a")
        await settle()
        await bench.finish("a", ValueError("boom"))
        assert bench.clock.pending == [bench.clock.now + 0.25]

    asyncio.run(story())


def test_back_off_never_exceeds_a_minute() -> None:
    async def story() -> None:
        bench = Bench()
        bench.queue.start()
        bench.queue.add("a")
        await settle()
        for _ in range(12):
            await bench.finish("a", ValueError("boom"))
            wait = bench.clock.pending[0] - bench.clock.now
            bench.clock.advance(wait)
            await settle()
        assert wait == 60.0

    asyncio.run(story())


def test_news_of_a_failing_key_does_not_wait_for_its_back_off() -> None:
    async def story() -> None:
        bench = Bench()
        bench.queue.start()
        bench.queue.add("a")
        await settle()
        await bench.finish("a", ValueError("boom"))
        bench.queue.add("a")
        await settle()
        assert bench.started == ["a", "a"]

    asyncio.run(story())


def test_stopping_waits_for_the_work_at_hand_and_takes_up_nothing_more() -> None:
    async def story() -> None:
        bench = Bench(concurrency=1)
        bench.queue.start()
        bench.queue.add("a")
        bench.queue.add("b")
        bench.queue.add_at("c", 101.0)
        await settle()
        stopping = asyncio.create_task(bench.queue.stop())
        await settle()
        assert not stopping.done()
        await bench.finish("a")
        await stopping
        assert bench.started == ["a"]
        assert bench.clock.pending == []

    asyncio.run(story())


def test_a_forgotten_key_has_no_timer() -> None:
    async def story() -> None:
        bench = Bench()
        bench.queue.start()
        bench.queue.add_at("a", 120.0)
        bench.queue.forget("a")
        bench.clock.advance(60)
        await settle()
        assert bench.started == []

    asyncio.run(story())
