"""Expressions that name a task which has not run yet where they are resolved: they are null there.

Only the order of arrays is judged. In an array with `dependsOn` the order is that of the graph, and what
runs side by side has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from openworld.api import Task
from openworld.api.meta import Json
from openworld.language.checks import arrays_of
from openworld.language.expressions import ExpressionError, references
from openworld.language.reading import Finding, joined, under


def order_findings(tasks: Sequence[Task], path: str) -> Iterator[Finding]:
    """The references to later tasks, in document order."""
    yield from _findings(tasks, path, {})


def _findings(tasks: Sequence[Task], path: str, later: dict[str, str]) -> Iterator[Finding]:
    """`later` are the refs of tasks behind this array, and where they stand."""
    is_graph = any(task.depends_on is not None for task in tasks)
    for index, task in enumerate(tasks):
        where = f"{path}[{index}]"
        behind = later if is_graph else later | _refs(tasks, path, index + 1)
        inside = {ref: at for inner, at in _arrays(task, where) for ref, at in _refs(inner, at).items()}
        yield from _early(task.input_parameters, joined(where, ["inputParameters"]), behind | inside)
        yield from _early(task.sink, joined(where, ["sink"]), behind | inside)
        for inner, at in _arrays(task, where):
            yield from _findings(inner, at, behind)


def _early(value: Json, path: str, later: dict[str, str]) -> Iterator[Finding]:
    try:
        found = references(value)
    except ExpressionError:
        return
    for reference in found:
        ref = reference.root
        if ref in later:
            message = f"{reference.text} refers to task {ref!r}, which comes later, at {later[ref]}"
            yield Finding(under(path, reference.where), f"{message}: it is null here")


def _refs(tasks: Sequence[Task], path: str, start: int = 0) -> dict[str, str]:
    """The refs of the tasks from `start` on, nested ones too, and where they stand."""
    refs: dict[str, str] = {}
    for index, task in enumerate(tasks[start:], start):
        where = f"{path}[{index}]"
        refs[task.task_reference_name] = where
        for inner, at in _arrays(task, where):
            refs |= _refs(inner, at)
    return refs


def _arrays(task: Task, where: str) -> Iterator[tuple[Sequence[Task], str]]:
    """The arrays within a task, and where they stand; not a loop's, whose tasks have run when it goes on."""
    return ((inner, at) for at, inner in arrays_of(task, where) if inner is not task.loop_over)
