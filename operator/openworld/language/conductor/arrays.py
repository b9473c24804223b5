"""Where tasks stand within the JSON of a definition, whatever else that JSON holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from openworld.api.meta import Json, JsonObject

from .losses import Step


def all_tasks(array: Json, steps: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], JsonObject]]:
    """The tasks of an array and of the arrays within them, with their steps; not of inline workflows."""
    if not isinstance(array, list):
        return
    for index, task in enumerate(array):
        if isinstance(task, Mapping):
            here = (*steps, index)
            yield here, dict(task)
            for below, inner in _inner(task):
                yield from all_tasks(inner, (*here, *below))


def inline_definition(task: JsonObject) -> JsonObject | None:
    """The workflow that a task carries, if it does."""
    parameter = task.get("subWorkflowParam")
    definition = parameter.get("workflowDefinition") if isinstance(parameter, Mapping) else None
    return dict(definition) if isinstance(definition, Mapping) else None


def _inner(task: Mapping[str, Json]) -> Iterator[tuple[tuple[Step, ...], Json]]:
    cases = task.get("decisionCases")
    if isinstance(cases, Mapping):
        for case, array in cases.items():
            yield ("decisionCases", str(case)), array
    yield ("defaultCase",), task.get("defaultCase")
    branches = task.get("forkTasks")
    if isinstance(branches, list):
        for index, branch in enumerate(branches):
            yield ("forkTasks", index), branch
    yield ("loopOver",), task.get("loopOver")
