"""Which tasks can be undone, and where that is done. Structure only."""

from __future__ import annotations

from openworld.api import JsonObject, Task, TaskType
from openworld.api.workflow import Compensation

from .generations import below
from .state import Compensable, Scope, State, TaskState


def compensation_of(state: State, task: TaskState) -> Compensation | None:
    """What undoes a task: its own compensation, else its tool's."""
    tool = state.tools.get(task.tool_digest)
    return task.definition.compensation or (tool.compensation if tool is not None else None)


def pending(state: State, among: frozenset[str] | None = None) -> list[Compensable]:
    """What is still to be undone (of some tasks), the last first."""
    return [
        each for each in reversed(state.compensable) if not each.undo and (among is None or each.ref in among)
    ]


def within(state: State, ref: str) -> frozenset[str]:
    """A task and everything that it has brought forth."""
    return frozenset({ref, *below(state, [ref])[0]})


def scope_of(state: State, compensable: Compensable, event: JsonObject) -> Scope:
    """The scope in which the task runs that undoes another."""
    owner = event.get("task")
    around = state.scope_of(state.tasks[owner]) if owner is not None else None
    task = Task(name=compensable.tool, task_reference_name=event["ref"], type=TaskType.SIMPLE)
    return Scope(
        id=event["scope"],
        tasks=(task,),
        parent=around.id if around is not None else None,
        owner=owner,
        proposed=compensable.proposed,
        feedback=True,
        agent_digest=compensable.agent_digest,
        compensates=compensable.ref,
    )
