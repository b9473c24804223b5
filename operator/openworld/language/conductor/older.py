"""Task types under the names that Conductor has replaced."""

from __future__ import annotations

from openworld.api.meta import JsonObject

from .losses import Place


def modern(task: JsonObject, place: Place) -> JsonObject:
    """A DECISION as a SWITCH, a LAMBDA as an INLINE; any other task as it is."""
    match task.get("type"):
        case "DECISION":
            return _switch(task, place)
        case "LAMBDA":
            return _inline(task, place)
        case _:
            return task


def _switch(task: JsonObject, place: Place) -> JsonObject:
    place.at("type").note(
        "DECISION is written as SWITCH: its output is evaluationResult and selectedCase, no longer caseOutput"
    )
    rest = {key: value for key, value in task.items() if key not in ("caseExpression", "caseValueParam")}
    script, parameter = task.get("caseExpression"), task.get("caseValueParam")
    if script:
        return rest | {"type": "SWITCH", "evaluatorType": "javascript", "expression": script}
    return rest | {"type": "SWITCH", "evaluatorType": "value-param", "expression": parameter}


def _inline(task: JsonObject, place: Place) -> JsonObject:
    place.at("type").note("LAMBDA is written as INLINE")
    rest = {key: value for key, value in task.items() if key != "scriptExpression"}
    given = task.get("inputParameters")
    parameters = dict(given) if isinstance(given, dict) else {}
    script = parameters.pop("scriptExpression", None) or task.get("scriptExpression")
    parameters |= {"evaluatorType": "javascript", "expression": script}
    return rest | {"type": "INLINE", "inputParameters": parameters}
