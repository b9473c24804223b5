"""Values of expressions: `value-param` here, scripts by asking the shell's sandbox."""

from __future__ import annotations

from openworld.api import JsonObject
from openworld.api.workflow import EvaluatorType
from openworld.language.canonical import canonical

from .decide import Pass
from .needs import NeedScript, ScriptAnswer


def value_of(p: Pass, evaluator: EvaluatorType, expression: str, data: JsonObject) -> ScriptAnswer | None:
    """The value, or None while the sandbox is asked."""
    if evaluator is EvaluatorType.VALUE_PARAM:
        return ScriptAnswer(data.get(expression))
    answer = p.ask(NeedScript(evaluator.value, expression, canonical(data)))
    return answer if isinstance(answer, ScriptAnswer) else None
