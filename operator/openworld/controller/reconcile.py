"""One reconcile of one execution: observe, decide, record, act. The only path that writes a ledger.

It is level-triggered: it is told which execution, never what happened. It may be run at any time,
any number of times, and be cut off anywhere; running it again repairs what was cut off.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from openworld.api import Phase
from openworld.engine.decide import Pass
from openworld.engine.desire import desired
from openworld.engine.facts import CannotGoOn, Fact
from openworld.engine.needs import Answer, Need
from openworld.kube import Client, Conflict, NotFound, TooLarge
from openworld.kube.resources import EXECUTIONS
from openworld.ledger import LedgerCorruptError

from .acts import Actor, OutrunError
from .admission import AdmissionGuard
from .answers import Answers
from .claims import Claims
from .executions import Executions, InvalidSpecError, Loaded
from .logs import about, of_execution
from .observe import Observation, Observer
from .queue import WorkQueue
from .record import Recorder
from .scripts import ScriptRunner
from .settings import Settings
from .stores import ObjectKey, version_of
from .world import World

logger = logging.getLogger(__name__)

#: How soon an execution is looked at again while the admission policies are missing.
CLOSED_SECONDS = 5.0
#: How long one execution may be decided on before what there is gets recorded.
PASS_SECONDS = 1.0
#: A wake-up that is due already is not before this, so that no mistake makes a loop without pause.
SOONEST_SECONDS = 0.02


class UndecidableError(Exception):
    """The engine failed on this execution: trying again would fail again."""


def _run(decision: Pass, answers: dict[Need, Answer]) -> AbstractSet[Need]:
    try:
        return decision.run(answers)
    except Exception as error:
        raise UndecidableError(f"{type(error).__name__}: {error}") from error


class Reconciler:
    """Works executions, one key at a time, as the queue hands them out."""

    def __init__(
        self,
        client: Client,
        world: World,
        settings: Settings,
        scripts: ScriptRunner,
        guard: AdmissionGuard,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._world = world
        self._guard = guard
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._told: dict[ObjectKey, list[Fact]] = defaultdict(list)
        self._executions = Executions(client)
        self._observer = Observer(client, world, settings, lambda: guard.since_ms)
        self._claims = Claims(client, now_ms=now_ms)
        self._answers = Answers(
            client, world, scripts, self._claims, settings.workflow_env, monotonic=monotonic
        )
        self._recorder = Recorder(client, world)
        self._actor = Actor(
            client, world, self._executions, settings, self.tell, self.wake, monotonic=monotonic
        )
        self.queue: WorkQueue[ObjectKey]

    def tell(self, key: ObjectKey, fact: Fact) -> None:
        """Hand a fact that acting has found to the next reconcile of an execution."""
        if fact not in self._told[key]:
            self._told[key].append(fact)
        self.queue.add(key)

    def wake(self, key: ObjectKey) -> None:
        """Ask for a reconcile of an execution."""
        self.queue.add(key)

    async def reconcile(self, key: ObjectKey) -> None:
        """Bring one execution as far as it can go now. Raises kube.ApiError: try again later."""
        if not self._guard.is_closed:
            self.queue.add_after(key, CLOSED_SECONDS)
            return
        told = self._told.pop(key, [])
        with of_execution(key):
            try:
                await self._four_steps(key, told)
            except (Conflict, OutrunError) as error:
                logger.info("start over: %s", error)
                self._executions.drop(key)
                self._told[key][:0] = told
                self.queue.add(key)
            except BaseException:
                self._executions.drop(key)
                self._told[key][:0] = told
                raise

    async def _four_steps(self, key: ObjectKey, told: list[Fact]) -> None:
        loaded = await self._load(key)
        if loaded is None:
            return
        if not loaded.state.is_started and loaded.state.identity.created_at_ms < self._guard.since_ms:
            message = (
                "it was created before the admission policies stood, so nobody has vouched for who asks for "
                "it; create it again"
            )
            await self._refuse(key, "Failed", "Unvouched", message, phase=Phase.FAILED.value)
            return
        seen = await self._observer.observe(loaded, told, self._now_ms())
        written_at: float | None = None
        try:
            decision = await self._decide(loaded, seen)
            if decision.events:
                written_at = self._monotonic()
                loaded = await self._recorder.record(loaded, decision)
        except TooLarge as error:
            decision, loaded = await self._end(key, f"LedgerFull: {error.message}")
        except UndecidableError as error:
            logger.exception("no decision is possible")
            decision, loaded = await self._end(key, f"CannotDecide: {error}")
        if decision.events:
            self._executions.keep(loaded)
            for event in decision.events:
                logger.info("recorded %s", event["type"], extra=about(event))
        now_ms = self._now_ms()
        want = desired(loaded.state, now_ms)
        try:
            again_ms = await self._actor.act(loaded, want, written_at, now_ms)
        finally:
            await self._recorder.tell(
                loaded, decision.events, decision.refused, seen.refused_signals, seen.refused_results
            )
        for waiting in await self._claims.release(key, loaded.state.uid, want.claims):
            self.queue.add(waiting)
        if decision.events:
            loaded = await self._recorder.seal(loaded)
            self._executions.keep(loaded)
        self._wake(key, want.wake_at_ms, decision.wake_at_ms, seen.again_at_ms, again_ms)
        if loaded.state.is_final:
            self._executions.drop(key)
            self._world.forget_execution(loaded.state.namespace, loaded.state.uid)

    async def _end(self, key: ObjectKey, reason: str) -> tuple[Pass, Loaded]:
        """It cannot go on: end the execution with the reason, from what stands in the record."""
        self._executions.drop(key)
        loaded = await self._executions.fresh(key)
        try:
            return await self._recorded_end(loaded, CannotGoOn(reason[:2000]))
        except TooLarge:
            self._executions.drop(key)
            loaded = await self._executions.fresh(key)
            return await self._recorded_end(loaded, CannotGoOn(reason[:2000], in_one_event=True))

    async def _recorded_end(self, loaded: Loaded, fact: CannotGoOn) -> tuple[Pass, Loaded]:
        decision = Pass(loaded.state, self._now_ms())
        decision.take([fact])
        decision.run({})
        if decision.events:
            loaded = await self._recorder.record(loaded, decision)
        return decision, loaded

    async def _load(self, key: ObjectKey) -> Loaded | None:
        """The execution, or None when there is nothing to be done for it."""
        watched = self._world.executions.get(key)
        try:
            loaded = await self._executions.at_least(key, version_of(watched) if watched else None)
        except NotFound:
            self._forget(key)
            return None
        except LedgerCorruptError as error:
            await self._refuse(key, "LedgerCorrupt", "LedgerCorrupt", str(error))
            return None
        except InvalidSpecError as error:
            await self._refuse(key, "Failed", "InvalidSpec", str(error), phase=Phase.FAILED.value)
            return None
        return None if loaded.is_going else loaded

    async def _decide(self, loaded: Loaded, seen: Observation) -> Pass:
        decision = Pass(loaded.state, self._now_ms())
        decision.take(seen.facts)
        answers: dict[Need, Answer] = {}
        until = self._monotonic() + PASS_SECONDS
        while needs := _run(decision, answers):
            if decision.events and self._monotonic() > until:
                decision.wake_at(decision.now_ms)  # what there is is recorded; others have their turn
                break
            unanswered = [need for need in needs if need not in answers]
            if not unanswered:
                raise RuntimeError(f"the decision asks again for what it was told: {needs}")
            answers |= await self._answers.answer(loaded.state.namespace, unanswered)
        return decision

    async def _refuse(
        self, key: ObjectKey, kind: str, reason: str, message: str, *, phase: str | None = None
    ) -> None:
        """Say why an execution cannot be worked on. It is left alone until somebody changes it."""
        logger.error("%s: %s", reason, message)
        body = await self._client.get(EXECUTIONS, key.namespace, key.name)
        await self._recorder.record_problem(body, kind, reason, message, phase=phase)

    def _forget(self, key: ObjectKey) -> None:
        self._executions.drop(key)
        self._told.pop(key, None)
        self.queue.forget(key)
        self._world.forget_all_of(key)

    def _wake(self, key: ObjectKey, *times_ms: int | None) -> None:
        due = [at for at in times_ms if at is not None]
        if due:
            seconds = (min(due) - self._now_ms()) / 1000
            self.queue.add_after(key, max(SOONEST_SECONDS, seconds))
