"""The operator's process: settings, one API client, the caches, the workers, and kopf to watch."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Awaitable

import kopf

from openworld import __version__
from openworld.kube import Access, AccessError, ApiError, Client, RateLimit
from openworld.kube import from_environment as access_from_environment
from openworld.kube.nesting import read_deep_json

from . import logs
from .admission import AdmissionGuard
from .definitions import DefinitionKey, DefinitionReconciler
from .discovery import Discoverer
from .handlers import Watcher, build_registry, build_settings
from .queue import WorkQueue
from .readiness import serve_readiness
from .reconcile import Reconciler
from .scripts import SandboxUnavailable, ScriptRunner
from .settings import Settings, SettingsError, from_environment
from .stores import ObjectKey
from .webhook import WebhookServer
from .world import DEFINITIONS, World, set_right, unfinished

logger = logging.getLogger("openworld.controller")

LIVENESS = "http://0.0.0.0:8080/healthz"
RESYNC_SECONDS = 300.0
_DEFINITION_WORKERS = 4
_FIRST_READ_RETRY_SECONDS = 2.0


async def run(settings: Settings, access: Access) -> None:
    """Run the operator until it is told to stop (SIGTERM, SIGINT)."""
    limit = RateLimit(settings.requests_per_second, 2 * settings.requests_per_second)
    scripts = ScriptRunner()
    async with Client(access, limit=limit) as client:
        world = World()
        guard = AdmissionGuard(client)
        reconciler = Reconciler(client, world, settings, scripts, guard)
        executions: WorkQueue[ObjectKey] = WorkQueue(
            reconciler.reconcile,
            concurrency=settings.concurrency,
            expected=(ApiError, SandboxUnavailable),
        )
        reconciler.queue = executions
        discoverer = Discoverer(client, world, settings, guard)
        defining = DefinitionReconciler(client, world, discoverer, is_closed=lambda: guard.is_closed)
        definitions: WorkQueue[DefinitionKey] = WorkQueue(
            defining.reconcile,
            concurrency=_DEFINITION_WORKERS,
            expected=(ApiError,),
        )
        defining.queue = definitions
        watcher = Watcher(world, executions, definitions)
        server = WebhookServer(settings.webhook_certificates) if settings.webhook_certificates else None
        problems: list[str] = ["the first read of the cluster is not done yet"]
        async with serve_readiness(lambda: problems + guard.faults + (server.faults if server else [])):
            await _first_read(client, world, guard, settings)
            problems.clear()
            for resource in DEFINITIONS:
                for key in world.store_of(resource).present():
                    definitions.add(DefinitionKey(resource, key))
            for key in unfinished(world):
                executions.add(key)
            executions.start()
            definitions.start()
            background = [
                asyncio.create_task(_guarded(guard.keep_checking())),
                asyncio.create_task(_guarded(_resync(client, world, settings, watcher))),
            ]
            try:
                await kopf.operator(
                    registry=build_registry(watcher, access, with_webhook=server is not None),
                    settings=build_settings(server),
                    # kopf would make one from the user's name, and the image's user has none.
                    identity=socket.gethostname(),  # type: ignore[arg-type]
                    standalone=True,
                    clusterwide=not settings.namespaces,
                    namespaces=settings.namespaces,
                    liveness_endpoint=LIVENESS,
                )
            finally:
                for task in background:
                    task.cancel()
                await executions.stop()
                await definitions.stop()
                await scripts.close()


async def _first_read(client: Client, world: World, guard: AdmissionGuard, settings: Settings) -> None:
    """Fill the stores before anything is worked on; try until it succeeds."""
    await guard.check()
    while True:
        try:
            await set_right(client, world, settings.namespaces)
        except ApiError as error:
            logger.warning("the cluster cannot be read yet (are the CRDs installed?): %s", error)
            await asyncio.sleep(_FIRST_READ_RETRY_SECONDS)
        else:
            return


async def _resync(client: Client, world: World, settings: Settings, watcher: Watcher) -> None:
    """Set the stores right from time to time: watch events can be lost, deletions above all."""
    while True:
        await asyncio.sleep(RESYNC_SECONDS)
        try:
            news = await set_right(client, world, settings.namespaces)
        except ApiError as error:
            logger.warning("the resync failed and is tried again later: %s", error)
            continue
        for resource, body in news:
            watcher.wake(resource, body)


async def _guarded(work: Awaitable[None]) -> None:
    """A background task that fails ends the process: it is restarted, rather than half alive."""
    try:
        await work
    except Exception:
        logger.exception("a background task failed; the operator stops to be restarted")
        os._exit(1)


def main() -> int:
    """Start the operator; returns the process's exit code."""
    try:
        settings = from_environment(os.environ)
        access = access_from_environment()
    except (SettingsError, AccessError) as error:
        print(f"openworld: {error}", file=sys.stderr)
        return 2
    logs.set_up(settings.log_level)
    read_deep_json()
    logger.info("openworld %s starts", __version__)
    asyncio.run(run(settings, access))
    return 0


if __name__ == "__main__":
    sys.exit(main())
