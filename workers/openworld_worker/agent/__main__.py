"""The command of an agent turn's container: context in, one TaskResult with a proposal out."""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from openworld_worker.apiserver import in_cluster
from openworld_worker.assignment import identity, read_task
from openworld_worker.errors import TerminalError, WorkerError
from openworld_worker.report import EXIT_FAILED, Outcome, Status, TaskResultReporter, failed, last_words
from openworld_worker.runner import TERMINATION_LOG
from openworld_worker.wire import JsonObject

from .scripted import Scripted
from .turn import Provider

Providers = Mapping[str, Callable[[], Provider]]

PROVIDERS: Providers = {"scripted": Scripted}
"""By the name in `model.provider`; adding one is adding a module and a line."""


def main(environ: Mapping[str, str], providers: Providers = PROVIDERS) -> int:
    """Take one turn and report it; returns the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    try:
        me = identity(environ)
        reporter = TaskResultReporter(server=in_cluster(environ), identity=me)
        return reporter.finish(answer(lambda: read_task(me.task_file), providers))
    except WorkerError as error:
        print(error, file=sys.stderr)
        last_words(TERMINATION_LOG, str(error))
        return EXIT_FAILED


def answer(read: Callable[[], JsonObject], providers: Providers) -> Outcome:
    """Ask the provider that the task's context names; every failure becomes an outcome with a reason."""
    try:
        context = read().get("context")
        if not isinstance(context, dict):
            raise TerminalError("the task file has no `context`: it is not an agent's turn")
        started = time.monotonic()
        turn = _provider(context.get("model"), providers).propose(context)
        latency = round((time.monotonic() - started) * 1000)
    except WorkerError as error:
        return failed(str(error), terminal=True)
    except Exception as error:
        traceback.print_exc()
        return failed(f"{type(error).__name__}: {error}")
    return Outcome(status=Status.COMPLETED, proposal=turn.proposal, usage=turn.usage(latency))


def _provider(model: Any, providers: Providers) -> Provider:
    name = model.get("provider") if isinstance(model, dict) else None
    if not isinstance(name, str) or name not in providers:
        raise TerminalError(f"model.provider is {name!r}; this image has {', '.join(sorted(providers))}")
    return providers[name]()


if __name__ == "__main__":
    sys.exit(main(os.environ))
