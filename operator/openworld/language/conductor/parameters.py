"""inputParameters: expressions under the new refs, and what some types read from their input."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from openworld.api import TaskType
from openworld.api.meta import Json, JsonObject
from openworld.api.workflow import EvaluatorType

from . import models
from .losses import Place
from .started import start_workflow
from .within import Here

_CALLS: Mapping[str, Callable[[JsonObject, Place], JsonObject]] = {
    TaskType.LLM_CHAT_COMPLETE: models.completion,
    TaskType.LIST_MCP_TOOLS: models.listing,
    TaskType.CALL_MCP_TOOL: models.call,
}


def input_parameters(here: Here, name: str) -> Json:
    """The input of a task."""
    place = here.place.at(name)
    given: JsonObject = here.within.refs.resolved(here.fields.mapping(name))
    if here.kind == TaskType.INLINE and given.get("evaluatorType") is not None:
        evaluator(given["evaluatorType"], place.at("evaluatorType"))
    if here.kind == TaskType.START_WORKFLOW:
        given = start_workflow(given, place, here.within)
    if here.kind in _CALLS:
        given = _CALLS[here.kind](given, place)
    named = _names_a_tool(here)
    if named is not None and isinstance(given.get(named), str):
        given[named] = here.within.tools.names.get(given[named], given[named])
    return given


def evaluator(value: Json, place: Place) -> Json:
    """An evaluator type as it is; reported if there is no such evaluator."""
    is_computed = isinstance(value, str) and "${" in value
    if value is not None and not is_computed and value not in tuple(EvaluatorType):
        known = ", ".join(EvaluatorType)
        place.error(
            f"there is no evaluator {str(value)[:80]!r} here: rewrite the expression for one of {known}"
        )
    return value


def _names_a_tool(here: Here) -> str | None:
    """The input that names what a task runs, if it has one."""
    if here.kind == TaskType.FORK_JOIN_DYNAMIC:
        return "forkTaskName"
    if here.kind == TaskType.DYNAMIC:
        return here.fields.peek_text("dynamicTaskNameParam") or "taskToExecute"
    return None
