"""Values of expressions: `value-param` here, scripts by asking the shell's sandbox."""

from __future__ import annotations

import orjson

from openworld.api import JsonObject
from openworld.api.workflow import EvaluatorType

from .decide import Pass
from .endings import unrecordable
from .needs import NeedScript, ScriptAnswer


def value_of(p: Pass, evaluator: EvaluatorType, expression: str, data: JsonObject) -> ScriptAnswer | None:
    """The value, or None while the sandbox is asked."""
    if evaluator is EvaluatorType.VALUE_PARAM:
        return ScriptAnswer(data.get(expression))
    return run(p, evaluator.value, expression, data)


def run(p: Pass, evaluator: str, expression: str, data: JsonObject) -> ScriptAnswer | None:
    """The value of a script, or None while the sandbox is asked. Keys keep their order."""
    answer = p.ask(NeedScript(evaluator, expression, orjson.dumps(data)))
    if not isinstance(answer, ScriptAnswer):
        return None
    problem = unrecordable(answer.value)
    return ScriptAnswer(error=f"the value of the script {problem}") if problem else answer
