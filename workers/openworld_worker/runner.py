"""One attempt of one tool: bind the input, call the function, say how it ended.

It must not let an exception of a tool escape: whatever happens becomes an outcome with a reason.
"""

from __future__ import annotations

import inspect
import logging
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from .apiserver import in_cluster
from .assignment import Identity, identity, read_task
from .binding import bind_fields
from .context import Context
from .errors import ContractError, ReportError, TerminalError, WorkerError
from .proposal import Proposal
from .report import (
    EXIT_FAILED,
    Outcome,
    Reporter,
    Status,
    TaskResultReporter,
    TerminationMessageReporter,
    failed,
    last_words,
)
from .tool import Tool, load_tools
from .wire import JsonObject, to_json

TERMINATION_LOG = Path("/dev/termination-log")


class Stopped(KeyboardInterrupt):
    """The pod was asked to stop while a tool ran that cannot see it; `except Exception` lets it by.

    Of what a signal's handler raises, event loops let only a KeyboardInterrupt out of the task or callback in
    which it comes up; anything else is kept in the task, or logged and forgotten.
    """


def run_job(source: str, name: str, environ: Mapping[str, str]) -> int:
    """The command of a tool's container; returns the exit code."""
    return run_attempt(
        environ, lambda me, reporter, cancelled: _attempt(source, name, me, reporter, cancelled)
    )


def run_attempt(
    environ: Mapping[str, str], attempt: Callable[[Identity, Reporter, threading.Event], Outcome]
) -> int:
    """Make an attempt and report how it ended; returns the exit code. `attempt` must not raise."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    try:
        me = identity(environ)
        reporter = _reporter(me, environ)
    except WorkerError as error:
        return _unable(str(error), _termination_log(environ))
    cancelled = threading.Event()
    with on_sigterm(cancelled.set):
        outcome = attempt(me, reporter, cancelled)
        try:
            return reporter.finish(outcome)
        except ReportError as error:
            return _unable(str(error), _termination_log(environ))


def call(tool: Tool, values: JsonObject, context: Context) -> Outcome:
    """Call a tool with the input of its task."""
    try:
        arguments = bind_fields(tool.fields, tool.required, values, "input")
        if tool.context_parameter is not None:
            arguments[tool.context_parameter] = context
            return _completed(tool.function(**arguments))
        # it cannot see `cancelled`, and Python as a container's first process would ignore the signal
        with stopping():
            return _completed(tool.function(**arguments))
    except TerminalError as error:
        return failed(str(error) or type(error).__name__, terminal=True)
    except Stopped:
        return failed("the pod was asked to stop (SIGTERM) before the tool had ended")
    except SystemExit as error:
        return failed(f"the tool ended the process: SystemExit: {error.code}")
    except Exception as error:
        traceback.print_exc()
        return failed(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _attempt(source: str, name: str, me: Identity, reporter: Reporter, cancelled: threading.Event) -> Outcome:
    try:
        tool = _find(source, name)
        task = read_task(me.task_file)
    except WorkerError as error:
        return failed(str(error), terminal=True)
    except Exception as error:
        traceback.print_exc()
        return failed(f"{source} does not import: {type(error).__name__}: {error}", terminal=True)
    context = Context(
        execution=me.execution,
        namespace=me.namespace,
        ref=me.ref,
        attempt=me.attempt,
        deadline=me.deadline,
        idempotency_key=me.idempotency_key,
        cancelled=cancelled,
        logger=logging.getLogger(f"openworld.tool.{name}"),
        report_progress=reporter.progress,
    )
    return call(tool, task["input"], context)


def _find(source: str, name: str) -> Tool:
    tools = load_tools(source)
    if name not in tools:
        raise ContractError(f"{source} has no tool {name}; it has {', '.join(sorted(tools))}")
    return tools[name]


def _completed(result: Any) -> Outcome:
    if inspect.isawaitable(result):
        raise TerminalError("the tool is an async function; wrap its body with asyncio.run")
    if isinstance(result, Proposal):
        proposal = result.wire()
        return Outcome(status=Status.COMPLETED, output=proposal.get("output", {}), proposal=proposal)
    value = to_json(result)
    if value is None:
        return Outcome(status=Status.COMPLETED, output={})
    return Outcome(status=Status.COMPLETED, output=value if isinstance(value, dict) else {"result": value})


def _reporter(me: Identity, environ: Mapping[str, str]) -> Reporter:
    if me.report == "TaskResult":
        return TaskResultReporter(server=in_cluster(environ), identity=me)
    if me.report == "TerminationMessage":
        return TerminationMessageReporter(path=_termination_log(environ))
    raise ContractError(f"OPENWORLD_REPORT is {me.report!r}; it is TaskResult or TerminationMessage")


@contextmanager
def stopping() -> Iterator[None]:
    """Within it, a pod that is asked to stop raises Stopped, whatever a library has made of it."""
    asked: list[bool] = []

    def stop() -> None:
        asked.append(True)
        raise Stopped

    with on_sigterm(stop):
        try:
            yield
        except BaseException as error:
            if asked and not isinstance(error, Stopped):
                raise Stopped from error
            raise


@contextmanager
def on_sigterm(act: Callable[[], None]) -> Iterator[None]:
    """Within it, a request to stop calls `act` instead of what it called before."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        act()

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _termination_log(environ: Mapping[str, str]) -> Path:
    """Where the kubelet reads; OPENWORLD_TERMINATION_LOG names another file when a tool is tried by hand."""
    return Path(environ.get("OPENWORLD_TERMINATION_LOG") or TERMINATION_LOG)


def _unable(reason: str, message: Path) -> int:
    print(reason, file=sys.stderr)
    last_words(message, reason)
    return EXIT_FAILED
