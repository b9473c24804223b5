"""SWITCH: the value of an expression, as text, picks the case. Source: Conductor."""

from __future__ import annotations

from openworld.api.meta import Json
from openworld.engine.decide import Pass
from openworld.engine.endings import fail_task
from openworld.engine.scripts import value_of
from openworld.engine.state import TaskState
from openworld.language.canonical import canonical
from openworld.ledger import EventType

from .kind import TaskKind


class SwitchTask(TaskKind):
    """A choice between arrays of tasks."""

    def follow(self, p: Pass, task: TaskState) -> None:
        """Evaluate, take the branch, complete."""
        definition = task.definition
        answer = value_of(p, definition.evaluator_type, definition.expression, task.input)
        if answer is None:
            return
        if answer.error is not None:
            reason = f"the expression failed: {answer.error}"
            fail_task(p, task.ref, p.state.scope_of(task), reason, terminal=True)
            return
        case = case_text(answer.value)
        is_case = answer.value is not None and case in definition.decision_cases
        p.emit(EventType.BRANCH_TAKEN, ref=task.ref, case=case, matched=is_case)
        p.emit(
            EventType.TASK_COMPLETED,
            ref=task.ref,
            attempt=task.attempt,
            output={"evaluationResult": [case], "selectedCase": case},
        )


def case_text(value: Json) -> str:
    """The text of a value as a case names it: strings as they are, anything else as JSON."""
    return value if isinstance(value, str) else canonical(value).decode()
