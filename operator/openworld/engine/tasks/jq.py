"""JSON_JQ_TRANSFORM: a jq program over the task's input. Source: Conductor."""

from __future__ import annotations

from openworld.engine.decide import Pass
from openworld.engine.endings import fail_task
from openworld.engine.scripts import run
from openworld.engine.state import TaskState
from openworld.ledger import EventType

from .kind import TaskKind

#: The sandbox's name for jq with all its results.
ALL_RESULTS = "jq-all"


class JqTask(TaskKind):
    """The first result, and all of them as a list."""

    def follow(self, p: Pass, task: TaskState) -> None:
        """Run the program and complete."""
        scope = p.state.scope_of(task)
        program = task.input.get("queryExpression")
        if not isinstance(program, str):
            fail_task(p, task.ref, scope, "InvalidInput: queryExpression must be the text of a jq program")
            return
        answer = run(p, ALL_RESULTS, program, task.input)
        if answer is None:
            return
        if answer.error is not None:
            error = {"error": answer.error}
            fail_task(p, task.ref, scope, f"the jq program failed: {answer.error}", output=error)
            return
        results = answer.value if isinstance(answer.value, list) else []
        output = {"result": results[0] if results else None, "resultList": results}
        p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output=output)
