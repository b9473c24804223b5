"""The status of Workflows, ToolCatalogs, Policies and Agents: is it valid, and which digest has it?

Written only when it differs from what stands there, so that nothing is ever written in circles. The MCP
servers of a ToolCatalog are asked for their tools on the way: what is decided on is written, and then done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from openworld.api import JsonObject, ToolCatalog
from openworld.engine.validity import Assessment, assess
from openworld.kube import Client, Conflict, NotFound, Resource
from openworld.kube.resources import TOOL_CATALOGS

from .catalogs import discovered_condition, known_servers, with_servers
from .discovery import Discoverer, Observed
from .queue import WorkQueue
from .stores import ObjectKey
from .world import World

_MESSAGE_LIMIT = 4096
#: How soon a catalog is looked at again while the admission policies are missing.
CLOSED_SECONDS = 5.0


class DefinitionKey(NamedTuple):
    """Which definition."""

    resource: Resource
    key: ObjectKey

    def __str__(self) -> str:
        return f"{self.resource.kind} {self.key}"


class DefinitionReconciler:
    """Keeps the status of definitions true."""

    def __init__(
        self,
        client: Client,
        world: World,
        discoverer: Discoverer | None = None,
        *,
        is_closed: Callable[[], bool] = lambda: True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`is_closed`: whether nobody gets past admission, so that reports can be believed."""
        self._client = client
        self._world = world
        self._discoverer = discoverer
        self._is_closed = is_closed
        self._now = now
        self.queue: WorkQueue[DefinitionKey] | None = None

    async def reconcile(self, key: DefinitionKey) -> None:
        """Write the status of one definition if it is not what it should be. Raises kube.ApiError."""
        body = self._world.store_of(key.resource).get(key.key)
        if body is None:
            if self._discoverer is not None and key.resource is TOOL_CATALOGS:
                self._discoverer.forget(key.key)
            return
        now = self._now()
        assessed = await asyncio.to_thread(assess, key.resource.kind, body.get("spec") or {})
        observed = await self._observed(key, body, assessed, int(now.timestamp() * 1000))
        status = status_of(key.resource, body, assessed, now.strftime("%Y-%m-%dT%H:%M:%SZ"), observed)
        if status != (body.get("status") or {}):
            try:
                body = await self._client.replace_status(key.resource, {**body, "status": status})
            except (NotFound, Conflict):
                return  # it changed or went away: the watch will say so
            self._world.store_of(key.resource).put(body)
        if observed is not None:
            await self._discover(key, body, assessed, observed)

    async def _observed(
        self, key: DefinitionKey, body: JsonObject, assessed: Assessment, now_ms: int
    ) -> Observed | None:
        """What has become of the discoveries of a catalog that is valid; None of any other object."""
        catalog = assessed.model
        if self._discoverer is None or assessed.problem or not isinstance(catalog, ToolCatalog):
            return None
        if not catalog.mcp_servers and not known_servers(body):
            return None
        if not self._is_closed():
            self._again(key, CLOSED_SECONDS)
            return None
        return await self._discoverer.observe(body, catalog, now_ms)

    async def _discover(
        self, key: DefinitionKey, body: JsonObject, assessed: Assessment, observed: Observed
    ) -> None:
        if self._discoverer is None or not isinstance(assessed.model, ToolCatalog):
            return
        now_ms = int(self._now().timestamp() * 1000)
        if await self._discoverer.act(body, assessed.model, now_ms):
            self._again(key, 0)
        elif observed.again_ms is not None:
            self._again(key, max(0, observed.again_ms - now_ms) / 1000)

    def _again(self, key: DefinitionKey, seconds: float) -> None:
        if self.queue is not None:
            self.queue.add_after(key, seconds)


def status_of(
    resource: Resource, body: JsonObject, assessed: Assessment, at: str, observed: Observed | None = None
) -> JsonObject:
    """The status that a definition should have. `at` is the time of a change (RFC 3339).

    `observed` is what is known of a catalog's MCP servers; without it, what stands there is kept.
    """
    extra: JsonObject = {}
    discovered: list[JsonObject] = []
    if resource is TOOL_CATALOGS:
        catalog = assessed.model
        known = (body.get("status") or {}).get("discoveries") or 0
        servers = observed.servers if observed is not None else known_servers(body)
        assessed, extra = with_servers(
            assessed, servers, observed.discoveries if observed is not None else known
        )
        if isinstance(catalog, ToolCatalog) and catalog.mcp_servers:
            discovered = [_condition(body, "Discovered", *discovered_condition(catalog, servers), at)]
    holds, reason = ("False", "Invalid") if assessed.findings else ("True", "Checked")
    stalled = "True" if assessed.findings else "False"
    # Valid is ours; Ready and Stalled say the same to what reads any resource's health, such as Flux.
    told = (("Valid", holds), ("Ready", holds), ("Stalled", stalled))
    conditions = [_condition(body, kind, said, reason, assessed.problem, at) for kind, said in told]
    return {
        "conditions": [*conditions, *discovered],
        "observedGeneration": body["metadata"].get("generation", 0),
        "digest": assessed.digest,
        **extra,
    }


def _condition(body: JsonObject, kind: str, holds: str, reason: str, message: str, at: str) -> JsonObject:
    before: JsonObject = next(
        (c for c in (body.get("status") or {}).get("conditions") or () if c.get("type") == kind), {}
    )
    since = before.get("lastTransitionTime") if before.get("status") == holds else None
    return {
        "type": kind,
        "status": holds,
        "reason": reason,
        "message": message[:_MESSAGE_LIMIT],
        "observedGeneration": body["metadata"].get("generation", 0),
        "lastTransitionTime": since or at,
    }
