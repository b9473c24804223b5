"""Work in an event loop that ends in good order when the pod is asked to stop (SIGTERM).

The handler of a signal runs in whatever the loop is doing at that moment, most of it a library's. So it must
not raise there: it tells the loop, and the loop cancels the work. What is cancelled cannot begin to wait
again, also not for a server's farewell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio

from .runner import Stopped, on_sigterm


def run_stoppable(work: Callable[[], Awaitable[None]]) -> None:
    """Run work to its end, in an event loop of its own.

    Raises:
        Stopped: The pod was asked to stop meanwhile, and the work was cancelled.
    """
    asked = False
    cancel: list[Callable[[], object]] = []

    def stop() -> None:
        nonlocal asked
        asked = True
        for act in cancel:
            act()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        with anyio.CancelScope() as scope:
            cancel.append(lambda: loop.call_soon_threadsafe(scope.cancel))
            try:
                if asked:
                    scope.cancel()
                await work()
            finally:
                cancel.clear()

    with on_sigterm(stop):
        try:
            anyio.run(run)
        except BaseException as error:
            if asked:
                raise Stopped from error
            raise
    if asked:
        raise Stopped
