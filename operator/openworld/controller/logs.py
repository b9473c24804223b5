"""Logs as JSON, one object a line, each line naming the execution it is about."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

import orjson

from openworld.api import JsonObject

from .stores import ObjectKey

_execution: ContextVar[ObjectKey | None] = ContextVar("execution", default=None)
_EXTRAS = ("ref", "seq")


@contextmanager
def of_execution(key: ObjectKey) -> Iterator[None]:
    """What is logged inside is about this execution."""
    token = _execution.set(key)
    try:
        yield
    finally:
        _execution.reset(token)


def about(event: JsonObject) -> dict[str, object]:
    """What a log line says of the ledger event that it is about."""
    return {name: event[name] for name in ("ref", "seq") if name in event}


class JsonFormatter(logging.Formatter):
    """A log record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        key = _execution.get()
        if key is not None:
            line |= {"namespace": key.namespace, "execution": key.name}
        line |= {name: getattr(record, name) for name in _EXTRAS if hasattr(record, name)}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def set_up(level: int) -> None:
    """Send every log line to standard error as JSON. Third parties speak from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("openworld").setLevel(level)
    # kopf calls what the webhook refuses a failure of its handler; `webhook` says it at INFO.
    logging.getLogger("kopf.objects").addFilter(lambda record: " failed permanently: " not in record.msg)
