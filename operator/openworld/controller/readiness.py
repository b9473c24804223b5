"""`GET /readyz`: whether this operator judges and acts. Liveness is kopf's own endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

PORT = 8081


@asynccontextmanager
async def serve_readiness(
    problems: Callable[[], list[str]], *, host: str | None = None, port: int = PORT
) -> AsyncIterator[int]:
    """Serve `/readyz`: 200 while there are no problems, else 503 with one problem a line.

    `host` None: on every address. Yields the port.
    """

    async def readyz(_: web.Request) -> web.Response:
        found = problems()
        return web.Response(status=503 if found else 200, text="\n".join(found or ["ok"]) + "\n")

    application = web.Application()
    application.router.add_get("/readyz", readyz)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
