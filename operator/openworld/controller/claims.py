"""Places under limits that bind a whole namespace: one small Limit object for each, written conditionally.

A claim is made before the event that it allows; a crash between the two leaves a place that nobody uses,
and whoever finds no place left takes those away that no ledger knows of any more.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable

from openworld.api import API_VERSION, JsonObject, Phase, TaskStatus
from openworld.engine import claims
from openworld.engine.claims import Place, Places
from openworld.engine.needs import Claim, NeedClaim
from openworld.kube import AlreadyExists, Client, Conflict, NotFound
from openworld.kube.resources import EXECUTIONS, LIMITS

from . import names
from .stores import ObjectKey, phase_of

logger = logging.getLogger(__name__)

_TRIES = 5
#: A place whose event is not recorded within this time was left behind by a crash.
UNRECORDED_MS = 60_000


class Claims:
    """Claims and releases places, and knows which executions of this operator wait for one."""

    def __init__(
        self,
        client: Client,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._client = client
        self._now_ms = now_ms
        self._held: dict[ObjectKey, set[tuple[str, str]]] = defaultdict(set)
        self._waiting: dict[tuple[str, str], set[ObjectKey]] = defaultdict(set)

    async def claim(self, namespace: str, need: NeedClaim) -> Claim:
        """Claim a place. Raises kube.ApiError."""
        execution = ObjectKey(namespace, need.execution)
        for _ in range(_TRIES):
            body = await self._limit(namespace, need.key)
            now_ms = self._now_ms()
            before = claims.read(body["spec"])
            alive = (
                await self._alive(namespace, before.holders) if claims.is_full(before.holders, need) else {}
            )
            places, answer = claims.grant(before, need, now_ms, alive.__getitem__)
            try:
                if places != before:
                    await self._write(body, places)
            except Conflict:
                continue
            if answer.granted:
                self._held[execution].add((need.key, need.ref))
                self._waiting[namespace, need.key].discard(execution)
            else:
                self._waiting[namespace, need.key].add(execution)
            return answer
        return Claim(granted=False, again_ms=self._now_ms() + claims.AGAIN_MS)

    async def release(
        self, execution: ObjectKey, uid: str, wanted: frozenset[tuple[str, str]]
    ) -> set[ObjectKey]:
        """Give back the places that are not wanted any more. Returns who waits for one of them."""
        woken: set[ObjectKey] = set()
        for key, ref in self._held.get(execution, set()) - wanted:
            await self._release(execution.namespace, key, uid, ref)
            self._held[execution].discard((key, ref))
            woken |= self._waiting.pop((execution.namespace, key), set())
        if not self._held.get(execution):
            self._held.pop(execution, None)
        return woken

    async def _release(self, namespace: str, key: str, uid: str, ref: str) -> None:
        for _ in range(_TRIES):
            try:
                body = await self._client.get(LIMITS, namespace, names.limit_name(key))
                before = claims.read(body["spec"])
                places = claims.release(before, uid, ref)
                if places != before:
                    await self._write(body, places)
            except NotFound:
                return
            except Conflict:
                continue
            return
        logger.warning("the place of %s under %s was not given back; it will be found free", uid, key)

    async def _limit(self, namespace: str, key: str) -> JsonObject:
        name = names.limit_name(key)
        try:
            return await self._client.get(LIMITS, namespace, name)
        except NotFound:
            body = {
                "apiVersion": API_VERSION,
                "kind": "Limit",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"key": key},
            }
        try:
            return await self._client.create(LIMITS, namespace, body)
        except AlreadyExists:
            return await self._client.get(LIMITS, namespace, name)

    async def _write(self, body: JsonObject, places: Places) -> None:
        spec = {"key": body["spec"]["key"], **claims.written(places)}
        await self._client.replace(LIMITS, {**body, "spec": spec})

    async def _alive(self, namespace: str, holders: tuple[Place, ...]) -> dict[Place, bool]:
        return {held: await self._is_alive(namespace, held) for held in holders}

    async def _is_alive(self, namespace: str, held: Place) -> bool:
        """Whether the ledger of a place's holder still wants it."""
        try:
            body = await self._client.get(EXECUTIONS, namespace, held.execution)
        except NotFound:
            return False
        status = body.get("status") or {}
        phase = phase_of(body)
        if body["metadata"]["uid"] != held.uid or phase.is_final:
            return False
        is_recorded = phase is not Phase.PENDING
        if held.ref:
            task = (status.get("tasks") or {}).get(held.ref)
            if task is not None:
                return not TaskStatus(task["status"]).is_final
            is_recorded = False
        return is_recorded or held.at > self._now_ms() - UNRECORDED_MS
