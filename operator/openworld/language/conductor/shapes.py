"""Which definitions a document holds: told by their shape, as the files do not say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from openworld.api.meta import Json, JsonObject

from .losses import NotADefinition, Place, Step

_EXPORT = {"workflowDefs": "workflow", "taskDefs": "task"}
#: What only a task definition has. A name alone is one too; with strange fields beside it, it is not.
_OF_TASKS = frozenset(
    {
        "retryCount",
        "retryLogic",
        "retryDelaySeconds",
        "maxRetryDelaySeconds",
        "backoffScaleFactor",
        "backoffJitterMs",
        "timeoutSeconds",
        "timeoutPolicy",
        "responseTimeoutSeconds",
        "pollTimeoutSeconds",
        "totalTimeoutSeconds",
        "inputKeys",
        "outputKeys",
        "inputTemplate",
        "inputSchema",
        "outputSchema",
        "concurrentExecLimit",
        "rateLimitPerFrequency",
        "rateLimitFrequencyInSeconds",
        "isolationGroupId",
        "executionNameSpace",
    }
)
_OF_ANYTHING = frozenset(
    {"name", "description", "ownerEmail", "ownerApp", "createTime", "updateTime", "createdBy", "updatedBy"}
)


class Shape(StrEnum):
    """What a definition defines."""

    WORKFLOW = "workflow"
    TASK = "task"


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition, and where in its document it stands."""

    shape: Shape
    steps: tuple[Step, ...]
    data: JsonObject


def definitions_in(document: Json, place: Place) -> list[Definition]:
    """The definitions of a document: one, a list, or an export with both. Raises NotADefinition.

    What else an export holds is reported at `place`.
    """
    return list(_definitions(document, place))


def _definitions(document: Json, place: Place) -> Iterator[Definition]:
    if isinstance(document, list):
        for index, item in enumerate(document):
            yield _definition(item, (index,))
        return
    if not isinstance(document, Mapping) or _EXPORT.keys().isdisjoint(document):
        yield _definition(document, ())
        return
    for key, value in document.items():
        if key not in _EXPORT:
            if value:
                place.at(str(key)).lose("is not imported: neither workflow nor task definitions")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield _of(Shape(_EXPORT[key]), item, (key, index))
        elif value is not None:
            raise NotADefinition((key,), "must be a list of definitions")


def _definition(value: Json, steps: tuple[Step, ...]) -> Definition:
    if isinstance(value, Mapping):
        if isinstance(value.get("tasks"), list):
            return Definition(Shape.WORKFLOW, steps, dict(value))
        is_named = isinstance(value.get("name"), str)
        if is_named and (not _OF_TASKS.isdisjoint(value) or _OF_ANYTHING.issuperset(value)):
            return Definition(Shape.TASK, steps, dict(value))
    raise NotADefinition(
        steps, "is neither a workflow definition (an object with a name and tasks) nor a task definition"
    )


def _of(shape: Shape, value: Json, steps: tuple[Step, ...]) -> Definition:
    if not isinstance(value, Mapping):
        raise NotADefinition(steps, f"must be a {shape} definition, an object")
    return Definition(shape, steps, dict(value))
