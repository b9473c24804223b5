"""`when`: whether a task runs at all, by a CEL condition that is evaluated right before it would start."""

from __future__ import annotations

from openworld.api import JsonObject, Task
from openworld.language.evaluators import CONDITION
from openworld.ledger import EventType

from . import scripts
from .decide import Pass
from .endings import fail_task
from .state import Scope, State
from .views import task_of, workflow_view

UNMET = "its condition `when` does not hold"


def is_met(p: Pass, scope: Scope, definition: Task, task_input: JsonObject) -> bool:
    """Whether a task may go on to start; where its condition does not hold, it is skipped."""
    ref = definition.task_reference_name
    answer = scripts.run(p, CONDITION, definition.when, _seen(p.state, scope, definition.when, task_input))
    if answer is None:
        return False
    if answer.error is not None:
        fail_task(p, ref, scope, f"InvalidInput: the condition `when` failed: {answer.error}", terminal=True)
        return False
    if answer.value is True:
        return True
    p.emit(EventType.TASK_SKIPPED, ref=ref, scope=scope.id, reason=UNMET, unmet=True)
    return False


def _seen(state: State, scope: Scope, condition: str, task_input: JsonObject) -> JsonObject:
    """What a condition may name: the task's input, the run's input, variables and env, and tasks."""
    named = sorted(ref for ref in {*state.tasks, *state.latest, *scope.aliases} if ref in condition)
    tasks = {ref: task for ref in named if (task := task_of(state, scope, ref)) is not None}
    workflow = workflow_view(state)
    return {
        "input": task_input,
        "workflow": {key: workflow[key] for key in ("input", "variables", "env")},
        "tasks": {ref: {"output": task.output, "status": task.status.value} for ref, task in tasks.items()},
    }
