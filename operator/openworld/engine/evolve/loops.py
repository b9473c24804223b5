"""Iterations: what opens with each, what a loop keeps of them, and what is let go of."""

from __future__ import annotations

from openworld.api import JsonObject
from openworld.engine.scopes import open_scope, outwards, suffixed
from openworld.engine.state import Scope, State, TaskState
from openworld.ledger import EventType

from .registry import on


@on(EventType.LOOP_ITERATED)
def _iterated(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task = state.tasks[event["ref"]]
    around = state.scope_of(task)
    keep_iteration(state, task)
    for number in event.get("dropped", ()):
        _drop_iteration(state, task, number)
    task.iteration = event["iteration"]
    task.output["iteration"] = task.iteration
    if "index" in event:
        task.output |= {"loopIndex": event["index"], "loopItem": event.get("item")}
    suffix = f"__{task.iteration}"
    open_scope(
        state,
        Scope(
            id=iteration_id(task.ref, task.iteration),
            tasks=tuple(suffixed(inner, suffix) for inner in task.definition.loop_over),
            parent=around.id,
            owner=task.ref,
            depth=around.depth,
            suffix=around.suffix + suffix,
            iteration=task.iteration,
        ),
    )


def iteration_id(ref: str, number: int) -> str:
    """The id of the scope of a loop's iteration."""
    return f"{ref}/{number}"


def keep_iteration(state: State, task: TaskState) -> None:
    """Put what the present iteration of a loop has given into the loop's output, by the refs of its body."""
    task.output.setdefault("iteration", task.iteration)
    scope = state.scopes.get(iteration_id(task.ref, task.iteration))
    if scope is not None:
        task.output[str(task.iteration)] = {
            ref.removesuffix(scope.suffix): state.tasks[ref].output for ref in scope.entered
        }


def _drop_iteration(state: State, task: TaskState, number: int) -> None:
    """Let go of an iteration that the loop does not keep: its tasks and scopes, not its events."""
    task.output.pop(str(number), None)
    gone = iteration_id(task.ref, number)
    within = [
        scope for scope in state.scopes.values() if any(each.id == gone for each in outwards(state, scope))
    ]
    for scope in within:
        for definition in scope.tasks:
            dropped = state.tasks.pop(definition.task_reference_name, None)
            if dropped is not None:
                for seq in (*dropped.earlier, dropped.seq):
                    state.by_seq.pop(seq, None)
        del state.scopes[scope.id]
