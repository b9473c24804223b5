"""Executions that nobody works: still Pending, and without a record, after longer than the operator takes;
and signals that nobody answers.

The command line cannot see whether an operator runs or which namespaces it serves; it says how to look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import click

from openworld.api import JsonObject

from .kinds import EXECUTIONS
from .plain import one_line
from .session import Session

#: The operator records its first event within a second, and gives a missing definition 10 seconds.
PATIENCE_SECONDS = 15
_NAMED = 3
#: Where the README installs the chart.
_INSTALLED_IN = "openworld-system"


def is_unserved(execution: JsonObject, now: datetime) -> bool:
    """Whether it has been waiting for its first event for too long, by its creationTimestamp."""
    if not _has_no_record(execution):
        return False
    try:
        created = datetime.fromisoformat(str(execution["metadata"].get("creationTimestamp")))
        return (now - created).total_seconds() > PATIENCE_SECONDS
    except (ValueError, TypeError):
        return False


def hint(executions: Sequence[JsonObject]) -> str:
    """What may be the reason that these have not begun, and how to find out."""
    names = [one_line(execution["metadata"]["name"]) for execution in executions]
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    spaces = sorted({one_line(execution["metadata"].get("namespace") or "") for execution in executions})
    where = f"the namespace {', '.join(spaces)}" if spaces != [""] else "this namespace"
    return f"{shown}: Pending for more than {PATIENCE_SECONDS} s and not begun. {where_to_look(where)}"


def where_to_look(where: str) -> str:
    """Why nobody may be at work in a namespace (`the namespace team`), and how to find out."""
    return (
        f"The operator may not be running, or may not serve {where} (the chart's value `namespaces`). "
        "Look where it is installed:\n"
        f"  kubectl -n {_INSTALLED_IN} get pods\n"
        f"  kubectl -n {_INSTALLED_IN} set env deployment/openworld-operator --list | grep NAMESPACES"
    )


def tell_unserved(session: Session, executions: Sequence[JsonObject]) -> None:
    """Print the hint on standard error if it is due."""
    found = [execution for execution in executions if is_unserved(execution, session.now())]
    if found:
        click.echo(hint(found), err=True)


def watched(
    session: Session,
    name: str,
    seconds: float | None = None,
    tell: Callable[[str], None] = lambda text: click.echo(text, err=True),
) -> Iterator[JsonObject]:
    """An execution as it is, then at each change, for so many seconds; tells the hint once if it is due."""
    first = PATIENCE_SECONDS if seconds is None else min(PATIENCE_SECONDS, seconds)
    latest: JsonObject | None = None
    told = False
    for latest in session.cluster.watch(EXECUTIONS, name, first):
        if not told and is_unserved(latest, session.now()):
            told = True
            tell(hint([latest]))
        yield latest
    rest = None if seconds is None else seconds - first
    if rest is not None and rest <= 0:
        return
    if not told and latest is not None and _has_no_record(latest):
        tell(hint([latest]))
    yield from session.cluster.watch(EXECUTIONS, name, rest)


def _has_no_record(execution: JsonObject) -> bool:
    status = execution.get("status") or {}
    return (status.get("phase") or "Pending") == "Pending" and not (status.get("ledger") or {}).get("events")
