"""INLINE: a script's value; an error is terminal. Source: Conductor."""

from __future__ import annotations

from openworld.api.workflow import EvaluatorType
from openworld.engine.decide import Pass
from openworld.engine.endings import fail_task
from openworld.engine.scripts import value_of
from openworld.engine.state import TaskState
from openworld.ledger import EventType

from .kind import TaskKind


class InlineTask(TaskKind):
    """A small computation over the task's input."""

    def follow(self, p: Pass, task: TaskState) -> None:
        """Evaluate and complete."""
        scope = p.state.scope_of(task)
        expression = task.definition.expression or task.input.get("expression")
        evaluator = task.definition.evaluator_type
        if not task.definition.expression:
            try:
                evaluator = EvaluatorType(task.input.get("evaluatorType", "value-param"))
            except ValueError:
                evaluator_name = task.input.get("evaluatorType")
                fail_task(p, task.ref, scope, f"unknown evaluatorType {evaluator_name!r}", terminal=True)
                return
        if not isinstance(expression, str):
            fail_task(p, task.ref, scope, "the expression is not a string", terminal=True)
            return
        answer = value_of(p, evaluator, expression, task.input)
        if answer is None:
            return
        if answer.error is not None:
            fail_task(
                p,
                task.ref,
                scope,
                f"the script failed: {answer.error}",
                terminal=True,
                output={"error": answer.error},
            )
            return
        p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output={"result": answer.value})
