"""DO_WHILE: runs its body again while a condition holds, or once for each of some items. Source: Conductor.

The body of iteration n has its refs with `__n` behind them. The loop's output holds what each iteration
gave, by the refs of the body; `keepLastN` of the input bounds how many are kept, in the output and in what
expressions see, never in the ledger.
"""

from __future__ import annotations

from openworld.api import JsonObject, Task, TaskStatus
from openworld.api.meta import Json
from openworld.api.workflow import EvaluatorType
from openworld.engine.decide import Pass, resolved
from openworld.engine.endings import fail_task
from openworld.engine.evolve import iteration_id
from openworld.engine.scripts import value_of
from openworld.engine.state import Scope, TaskState
from openworld.language.canonical import NotCanonical
from openworld.language.expressions import ExpressionError
from openworld.ledger import EventType

from .kind import TaskKind

#: A condition sees the outputs of this many iterations, so that one costs the same however many there were.
SEEN_ITERATIONS = 20


class DoWhileTask(TaskKind):
    """A loop."""

    def schedule_data(self, p: Pass, scope: Scope, definition: Task, task_input: JsonObject) -> JsonObject:
        """The items, resolved once."""
        _kept(task_input)
        if definition.items is None:
            return {}
        items = resolved(definition.items, p.state, scope)
        if not isinstance(items, list):
            raise ValueError(f"items must be a list, and is {type(items).__name__}")
        return {"items": items}

    def follow(self, p: Pass, task: TaskState) -> None:
        """After an iteration: fail, end, or begin the next."""
        if task.open_scopes:
            return
        number = task.iteration
        if task.failed_inside:
            self._fail_inside(p, task)
            return
        goes_on = self._goes_on(p, task) if number else task.items != []
        if goes_on is None or task.status.is_final:
            return
        if not goes_on:
            p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, iterations=number)
            return
        most = task.definition.max_iterations
        if most is not None and number >= most:
            reason = f"MaxIterations: the condition still holds after {most} iterations"
            fail_task(p, task.ref, p.state.scope_of(task), reason, terminal=True)
            return
        self._iterate(p, task, number + 1)

    @staticmethod
    def _iterate(p: Pass, task: TaskState, number: int) -> None:
        data: JsonObject = {}
        if task.items is not None:
            data |= {"index": number - 1, "item": task.items[number - 1]}
        keep = _kept(task.input)
        if keep is not None and number > keep:
            data["dropped"] = [number - keep]
        p.emit(EventType.LOOP_ITERATED, ref=task.ref, iteration=number, **data)

    @staticmethod
    def _fail_inside(p: Pass, task: TaskState) -> None:
        """A permissive task of the body failed: the loop has, and what runs beside it may finish."""
        is_optional = task.definition.optional
        p.emit(
            EventType.TASK_FAILED,
            ref=task.ref,
            scope=task.scope,
            attempt=task.attempt,
            status=(TaskStatus.COMPLETED_WITH_ERRORS if is_optional else TaskStatus.FAILED).value,
            reason=f"a task of iteration {task.iteration} failed",
        )

    def _goes_on(self, p: Pass, task: TaskState) -> bool | None:
        """Whether another iteration follows; None while that is asked, or when asking has failed the loop."""
        definition = task.definition
        if task.items is not None and task.iteration >= len(task.items):
            return False
        if not definition.loop_condition:
            return True
        scope = p.state.scope_of(task)
        evaluator = definition.evaluator_type
        if evaluator is EvaluatorType.VALUE_PARAM:
            evaluator = EvaluatorType.JAVASCRIPT
        try:
            data = resolved(definition.input_parameters, p.state, scope) | self._seen(p, task, scope)
            answer = value_of(p, evaluator, definition.loop_condition, data)
        except (ExpressionError, NotCanonical) as error:
            fail_task(p, task.ref, scope, f"InvalidInput: {error}", terminal=True)
            return None
        if answer is None:
            return None
        if answer.error is not None:
            fail_task(p, task.ref, scope, f"the loopCondition failed: {answer.error}", terminal=True)
            return None
        return is_true(answer.value)

    @staticmethod
    def _seen(p: Pass, task: TaskState, scope: Scope) -> JsonObject:
        """The loop's output so far, and the last output of each task of its body, by their plain refs."""
        state = p.state
        number = task.iteration
        iteration = state.scopes[iteration_id(task.ref, number)]
        seen: JsonObject = {}
        for ref in _refs_within(task.definition.loop_over):
            plain = ref.removesuffix(scope.suffix)
            found = state.tasks.get(f"{ref}__{number}") or state.tasks.get(state.latest.get(plain, ""))
            if found is not None:
                seen[plain] = found.output
        kept = {str(n) for n in range(max(1, number - SEEN_ITERATIONS), number)}
        output = {key: task.output[key] for key in (*sorted(kept, key=int), *_LIVE) if key in task.output}
        output[str(number)] = {
            ref.removesuffix(iteration.suffix): state.tasks[ref].output for ref in iteration.entered
        }
        return seen | {task.ref.removesuffix(scope.suffix): output}


_LIVE = ("iteration", "loopIndex", "loopItem")


def is_true(value: Json) -> bool:
    """Whether a condition holds: true, or a number above zero, as in Conductor."""
    if isinstance(value, bool):
        return value
    return isinstance(value, int | float) and value > 0


def _kept(task_input: JsonObject) -> int | None:
    keep = task_input.get("keepLastN")
    if keep is None:
        return None
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
        raise ValueError(f"keepLastN must be a number from 1, and is {keep!r}")
    return keep


def _refs_within(tasks: list[Task]) -> list[str]:
    found: list[str] = []
    for task in tasks:
        found.append(task.task_reference_name)
        if not task.loop_over:
            for array in task.inner_arrays():
                found += _refs_within(array)
    return found
