"""The task types, one module each behind one interface."""

from __future__ import annotations

from openworld.api import TaskType
from openworld.engine.state import State, TaskState

from .agent import AgentTask
from .fork import DynamicForkTask, ForkTask
from .human import HumanTask
from .inline import InlineTask
from .join import JoinTask
from .kind import TaskKind
from .set_variable import SetVariableTask
from .simple import SimpleTask
from .sub_workflow import SubWorkflowTask
from .switch import SwitchTask
from .terminate import TerminateTask
from .wait import WaitTask

_KINDS: dict[TaskType, TaskKind] = {
    TaskType.SIMPLE: SimpleTask(),
    TaskType.AGENT: AgentTask(),
    TaskType.FORK_JOIN: ForkTask(),
    TaskType.FORK_JOIN_DYNAMIC: DynamicForkTask(),
    TaskType.JOIN: JoinTask(),
    TaskType.SWITCH: SwitchTask(),
    TaskType.SUB_WORKFLOW: SubWorkflowTask(),
    TaskType.HUMAN: HumanTask(),
    TaskType.WAIT: WaitTask(),
    TaskType.INLINE: InlineTask(),
    TaskType.SET_VARIABLE: SetVariableTask(),
    TaskType.TERMINATE: TerminateTask(),
}

#: Types whose every attempt is a Job and counts against `concurrentTasks`.
WITH_JOB = frozenset({TaskType.SIMPLE})


def of(task_type: TaskType) -> TaskKind:
    """The behaviour of a task type."""
    return _KINDS[task_type]


def deadline_ms(state: State, task: TaskState) -> int | None:
    """When the present attempt of a task has taken too long (epoch, milliseconds)."""
    if task.gate is not None or (state.is_paused and task.started_at_ms is None):
        return None
    return of(task.type).deadline_ms(state, task)


__all__ = ["WITH_JOB", "TaskKind", "deadline_ms", "of"]
