"""The status of Workflows, ToolCatalogs, Policies and Agents: is it valid, and which digest has it?

Written only when it differs from what stands there, so that nothing is ever written in circles.
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
from openworld.language.canonical import digest

from .stores import ObjectKey
from .world import World

_MESSAGE_LIMIT = 4096


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
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._world = world
        self._now = now

    async def reconcile(self, key: DefinitionKey) -> None:
        """Write the status of one definition if it is not what it should be. Raises kube.ApiError."""
        body = self._world.store_of(key.resource).get(key.key)
        if body is None:
            return
        at = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        assessed = await asyncio.to_thread(assess, key.resource.kind, body.get("spec") or {})
        status = status_of(key.resource, body, assessed, at)
        if status == (body.get("status") or {}):
            return
        try:
            written = await self._client.replace_status(key.resource, {**body, "status": status})
        except (NotFound, Conflict):
            return  # it changed or went away: the watch will say so
        self._world.store_of(key.resource).put(written)


def status_of(resource: Resource, body: JsonObject, assessed: Assessment, at: str) -> JsonObject:
    """The status that a definition should have. `at` is the time of a change (RFC 3339)."""
    before: JsonObject = next(
        (c for c in (body.get("status") or {}).get("conditions") or () if c.get("type") == "Valid"), {}
    )
    holds = "False" if assessed.findings else "True"
    since = before.get("lastTransitionTime") if before.get("status") == holds else None
    generation = body["metadata"].get("generation", 0)
    stalled = "True" if assessed.findings else "False"
    condition = {
        "reason": "Invalid" if assessed.findings else "Checked",
        "message": assessed.problem[:_MESSAGE_LIMIT],
        "observedGeneration": generation,
        "lastTransitionTime": since or at,
    }
    # Valid is ours; Ready and Stalled say the same to what reads any resource's health, such as Flux.
    told = (("Valid", holds), ("Ready", holds), ("Stalled", stalled))
    conditions = [{"type": kind, "status": said, **condition} for kind, said in told]
    status: JsonObject = {
        "conditions": conditions,
        "observedGeneration": generation,
        "digest": assessed.digest,
    }
    if resource is TOOL_CATALOGS:
        catalog = assessed.model if isinstance(assessed.model, ToolCatalog) else ToolCatalog()
        status["tools"] = [{"name": tool.name, "digest": digest(tool.wire())} for tool in catalog.tools]
    return status
