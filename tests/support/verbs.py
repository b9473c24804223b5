"""What the command line's verbs are tried on."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from openworld.cli.outline import outline
from openworld.cli.verbs.tree import on_screen
from openworld.ledger import rfc3339
from tests.support.world import START_MS
from tests.unit.cli_double import FakeCluster, execution, oncall

ACCEPTED = {"status": "True", "reason": "Accepted", "message": ""}


def cluster(*bodies: dict[str, Any], answer: dict[str, str] | None = None) -> FakeCluster:
    """A cluster that holds the objects, and an operator that gives this answer to every signal."""
    made = FakeCluster(answer=answer)
    for body in bodies:
        made.put(body)
    return made


WHERE = (
    "The operator may not be running, or may not serve the namespace "
    "team (the chart's value `namespaces`). Look where it is installed:\n"
    "  kubectl -n openworld-system get pods\n"
    "  kubectl -n openworld-system set env deployment/openworld-operator --list | grep NAMESPACES\n"
)


def unserved(name: str = "run-1", after_seconds: float = 0) -> dict[str, Any]:
    """An execution of that many seconds after the start that no operator has looked at; it is 90 s later."""
    body = execution(oncall(), name)
    del body["status"]
    body["metadata"]["creationTimestamp"] = rfc3339(START_MS + round(after_seconds * 1000))
    return body


def screen(body: dict[str, Any], width: int, height: int) -> list[str]:
    """The lines of a live tree."""
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(on_screen(outline(body), console))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]
