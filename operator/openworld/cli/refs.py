"""Is there a task of that name? Asked before a signal is sent, so that a typing mistake costs nothing.

What an execution knows is in its status and in the definition that it recorded. Pure.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from openworld.api import JsonObject
from openworld.ledger import EventType

from .errors import CliError
from .plain import one_line

#: What makes a generated ref of others: `<agent's ref>__<turn>__<short ref>`, `<ref>__<iteration>`.
_GLUE = "__"
_LISTED = 5
_ABOUT_WHAT_WAITS = ("Complete", "Fail", "Progress")
#: Tasks in a status from which on some may be left out; a test compares it with the operator's number.
MOST_SHOWN_TASKS = 100


def check_ref(execution: JsonObject, ref: str, kind: str) -> None:
    """Raises CliError when a signal of this type cannot mean the task `ref`; names the one that may be meant.

    A Skip may mean a task of the definition that has not begun. What the status does not show whole, and an
    execution that has not begun, is left to the operator: of a long run only the active tasks are sure to be
    in the status.
    """
    status = execution.get("status") or {}
    tasks: JsonObject = status.get("tasks") or {}
    known = list(tasks)
    if kind not in _ABOUT_WHAT_WAITS and not _is_whole(status):
        return
    if kind == "Skip":
        known += authored(execution)
    if not known or ref in known or (kind == "Skip" and ref.partition(_GLUE)[0] in known):
        return
    name = one_line(execution["metadata"]["name"])
    raise CliError(f"{name} has no task {ref[:130]!r}{_meant(ref, tasks, known)}")


def _is_whole(status: JsonObject) -> bool:
    """Whether the status shows every task and every event."""
    ledger = status.get("ledger") or {}
    return not ledger.get("segments") and len(status.get("tasks") or ()) < MOST_SHOWN_TASKS


def _meant(ref: str, tasks: JsonObject, known: list[str]) -> str:
    waiting = [each for each, task in tasks.items() if _waits(task)]
    for candidates in (waiting, known):
        close = like(ref, candidates)
        if close:
            return f"; did you mean {one_line(close, 253)!r}?"
    listed = [one_line(each, 253) for each in waiting or known]
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return f"; {'waiting' if waiting else 'tasks'}: {', '.join(listed[:_LISTED])}{more}"


def like(ref: str, candidates: Iterable[str]) -> str:
    """The candidate that has the ref as its last part, else the one that is spelt alike."""
    candidates = list(candidates)
    for candidate in reversed(candidates):
        parts = candidate.split(_GLUE)
        if ref in (parts[-1], parts[0]):
            return candidate
    return next(iter(difflib.get_close_matches(ref[:200], candidates, n=1)), "")


def _waits(task: Any) -> bool:
    return task.get("type") in ("HUMAN", "WAIT") and task.get("status") == "InProgress"


def authored(execution: JsonObject) -> Iterator[str]:
    """The refs of the recorded definition, those inside branches, cases and loops too."""
    events = ((execution.get("status") or {}).get("ledger") or {}).get("events") or ()
    for event in events:
        if event.get("type") == EventType.EXECUTION_STARTED:
            yield from _refs_in(event.get("definition"))


def _refs_in(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _refs_in(item)
    elif isinstance(value, dict):
        if isinstance(value.get("taskReferenceName"), str):
            yield value["taskReferenceName"]
        for key, item in value.items():
            if key not in ("inputParameters", "inputSchema", "outputParameters", "inputTemplate"):
                yield from _refs_in(item)
