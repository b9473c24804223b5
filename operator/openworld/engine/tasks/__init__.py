"""The task types, one module each behind one interface."""

from __future__ import annotations

from openworld.api import TaskType
from openworld.engine import builtin
from openworld.engine.state import State, TaskState
from openworld.engine.timeouts import Expired

from .agent import AgentTask
from .call_mcp_tool import CallMcpToolTask
from .compensate import CompensateTask
from .do_while import DoWhileTask
from .event import EventTask
from .exclusive_join import ExclusiveJoinTask
from .fork import DynamicForkTask, ForkTask
from .http import HttpTask
from .human import HumanTask
from .inline import InlineTask
from .join import JoinTask
from .jq import JqTask
from .kind import TaskKind
from .list_mcp_tools import ListMcpToolsTask
from .llm_chat_complete import LlmChatCompleteTask
from .noop import NoopTask
from .set_variable import SetVariableTask
from .simple import SimpleTask
from .start_workflow import StartWorkflowTask
from .sub_workflow import SubWorkflowTask
from .switch import SwitchTask
from .terminate import TerminateTask
from .wait import WaitTask

_KINDS: dict[TaskType, TaskKind] = {
    TaskType.SIMPLE: SimpleTask(),
    TaskType.HTTP: HttpTask(),
    TaskType.EVENT: EventTask(),
    TaskType.LLM_CHAT_COMPLETE: LlmChatCompleteTask(),
    TaskType.LIST_MCP_TOOLS: ListMcpToolsTask(),
    TaskType.CALL_MCP_TOOL: CallMcpToolTask(),
    TaskType.AGENT: AgentTask(),
    TaskType.FORK_JOIN: ForkTask(),
    TaskType.FORK_JOIN_DYNAMIC: DynamicForkTask(),
    TaskType.JOIN: JoinTask(),
    TaskType.EXCLUSIVE_JOIN: ExclusiveJoinTask(),
    TaskType.SWITCH: SwitchTask(),
    TaskType.DO_WHILE: DoWhileTask(),
    TaskType.SUB_WORKFLOW: SubWorkflowTask(),
    TaskType.START_WORKFLOW: StartWorkflowTask(),
    TaskType.HUMAN: HumanTask(),
    TaskType.WAIT: WaitTask(),
    TaskType.INLINE: InlineTask(),
    TaskType.JSON_JQ_TRANSFORM: JqTask(),
    TaskType.SET_VARIABLE: SetVariableTask(),
    TaskType.TERMINATE: TerminateTask(),
    TaskType.NOOP: NoopTask(),
    TaskType.COMPENSATE: CompensateTask(),
}

#: Types whose every attempt is a Job and counts against `concurrentTasks`.
WITH_JOB = builtin.TYPES | {TaskType.SIMPLE}


#: What a DYNAMIC task may become beside a tool: types that their input says all of.
NAMEABLE = frozenset(
    {
        TaskType.HUMAN,
        TaskType.INLINE,
        TaskType.JSON_JQ_TRANSFORM,
        TaskType.NOOP,
        TaskType.SET_VARIABLE,
        TaskType.WAIT,
    }
)


def of(task_type: TaskType) -> TaskKind:
    """The behaviour of a task type."""
    return _KINDS[task_type]


def limit(state: State, task: TaskState) -> Expired | None:
    """The limit of time that the present attempt of a task reaches first."""
    if task.gate is not None or (state.is_paused and task.started_at_ms is None):
        return None
    return of(task.type).limit(state, task)


__all__ = ["NAMEABLE", "WITH_JOB", "TaskKind", "limit", "of"]
