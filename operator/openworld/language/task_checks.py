"""What each task type needs and what it does not take: one function for each type, found in a table.

Judges a single task by itself; what concerns several tasks is `checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from openworld.api import Task, TaskType
from openworld.api.meta import Json
from openworld.api.workflow import EvaluatorType

from .completions import completion_problems
from .durations import InvalidTime, parse_duration, parse_until
from .evaluators import condition_problem
from .mcp import call_problems, listing_problems
from .reading import suggestion
from .requests import request_problems, sink_problem
from .schemas import check_schema

#: A field of the task and what is wrong with it; the field may go deeper (`inputParameters.agent`).
Problem = tuple[tuple[str | int, ...], str]

TERMINATION_STATUSES = ("COMPLETED", "FAILED", "TERMINATED")
_INPUT = "inputParameters"
#: What calls something from a Job of the worker image.
_BUILT_IN = (
    TaskType.HTTP,
    TaskType.EVENT,
    TaskType.LLM_CHAT_COMPLETE,
    TaskType.LIST_MCP_TOOLS,
    TaskType.CALL_MCP_TOOL,
)
_OWNERS: dict[str, tuple[TaskType, ...]] = {
    "join_on": (TaskType.JOIN, TaskType.EXCLUSIVE_JOIN),
    "default_exclusive_join_task": (TaskType.EXCLUSIVE_JOIN,),
    "evaluator_type": (TaskType.SWITCH, TaskType.INLINE, TaskType.DO_WHILE),
    "expression": (TaskType.SWITCH, TaskType.INLINE),
    "decision_cases": (TaskType.SWITCH,),
    "default_case": (TaskType.SWITCH,),
    "fork_tasks": (TaskType.FORK_JOIN,),
    "dynamic_fork_tasks_param": (TaskType.FORK_JOIN_DYNAMIC,),
    "dynamic_fork_tasks_input_param_name": (TaskType.FORK_JOIN_DYNAMIC,),
    "sub_workflow_param": (TaskType.SUB_WORKFLOW,),
    "dynamic_task_name_param": (TaskType.DYNAMIC,),
    "loop_over": (TaskType.DO_WHILE,),
    "loop_condition": (TaskType.DO_WHILE,),
    "items": (TaskType.DO_WHILE,),
    "max_iterations": (TaskType.DO_WHILE,),
    "human": (TaskType.HUMAN,),
    "compensation": (
        TaskType.SIMPLE,
        TaskType.HTTP,
        TaskType.EVENT,
        TaskType.CALL_MCP_TOOL,
        TaskType.DYNAMIC,
        TaskType.AGENT,
        TaskType.HUMAN,
        TaskType.SUB_WORKFLOW,
        TaskType.START_WORKFLOW,
    ),
    "start_delay": (TaskType.SIMPLE, *_BUILT_IN, TaskType.DYNAMIC),
    "retry_count": (TaskType.SIMPLE, *_BUILT_IN, TaskType.AGENT, TaskType.DYNAMIC),
    "task_definition": (TaskType.SIMPLE, *_BUILT_IN, TaskType.DYNAMIC),
    "sink": (TaskType.EVENT,),
    "async_complete": (TaskType.SIMPLE, TaskType.HTTP, TaskType.EVENT),
}


def can_be_undone(task_type: TaskType) -> bool:
    """Whether tasks of a type do something that could be undone, and may say with what."""
    return task_type in _OWNERS["compensation"]


def problems_of(task: Task) -> Iterator[Problem]:
    """What is wrong with a task by the rules of its type."""
    for name, owners in _OWNERS.items():
        field = Task.model_fields[name]
        if task.type not in owners and getattr(task, name) != field.get_default(call_default_factory=True):
            belongs = " and ".join(owner.value for owner in owners)
            yield (field.alias or name,), f"does not belong to a {task.type} task, only to {belongs}"
    if task.when and (message := condition_problem(task.when)):
        yield ("when",), message
    check = _CHECKS.get(task.type)
    if check is not None:
        yield from check(task)


def _simple(task: Task) -> Iterator[Problem]:
    if not task.name:
        yield ("name",), "is required: the tool that a SIMPLE task runs"


def _http(task: Task) -> Iterator[Problem]:
    for steps, message in request_problems(task.input_parameters):
        yield (_INPUT, *steps), message


def _llm_chat_complete(task: Task) -> Iterator[Problem]:
    for steps, message in completion_problems(task.input_parameters):
        yield (_INPUT, *steps), message


def _list_mcp_tools(task: Task) -> Iterator[Problem]:
    for steps, message in listing_problems(task.input_parameters):
        yield (_INPUT, *steps), message


def _call_mcp_tool(task: Task) -> Iterator[Problem]:
    for steps, message in call_problems(task.input_parameters):
        yield (_INPUT, *steps), message


def _event(task: Task) -> Iterator[Problem]:
    if message := sink_problem(task.sink):
        yield ("sink",), message
    if "sink" in task.input_parameters:
        yield (_INPUT, "sink"), "is the task's own field; write it beside inputParameters"
    kind = task.input_parameters.get("type")
    if not task.name and (not isinstance(kind, str) or not kind):
        yield ("name",), f"is required, or {_INPUT}.type: the type of the event"


def _agent(task: Task) -> Iterator[Problem]:
    agent = task.input_parameters.get("agent")
    if not isinstance(agent, str) or not agent:
        yield (_INPUT, "agent"), "is required: the name of the Agent"


def _fork_join(task: Task) -> Iterator[Problem]:
    if not task.fork_tasks:
        yield ("forkTasks",), "is required: the branches, each a list of tasks"


def _fork_join_dynamic(task: Task) -> Iterator[Problem]:
    given = task.input_parameters
    if "forkTaskInputs" in given and not {"forkTaskName", "forkTaskWorkflow"}.isdisjoint(given):
        return
    name = task.dynamic_fork_tasks_param
    if name not in given:
        yield (_INPUT, name), f"is required: the list of tasks to fork{suggestion(name, given)}"


def _switch(task: Task) -> Iterator[Problem]:
    if not task.decision_cases and not task.default_case:
        yield ("decisionCases",), "is required: the tasks for each value of the expression"
    if not task.expression:
        yield ("expression",), "is required: what picks the case"
    else:
        yield from _value_param(task, task.evaluator_type, task.expression)


def _inline(task: Task) -> Iterator[Problem]:
    inner = task.input_parameters.get("expression")
    evaluator = task.input_parameters.get("evaluatorType")
    if inner is not None and not isinstance(inner, str):
        yield (_INPUT, "expression"), "must be text"
    elif task.expression and inner:
        yield ("expression",), f"is given twice, here and as {_INPUT}.expression; keep one"
    elif not (task.expression or inner):
        yield ("expression",), "is required: what an INLINE task evaluates"
    if evaluator is not None and not _is_computed(evaluator):
        known = [member.value for member in EvaluatorType]
        if evaluator not in known:
            meant = suggestion(str(evaluator), known)
            yield (
                (_INPUT, "evaluatorType"),
                f"{evaluator!r} is not allowed{meant or '.'} Allowed: {', '.join(known)}",
            )
            return
    expression = task.expression or inner
    if isinstance(expression, str) and not (_is_computed(evaluator) or _is_computed(inner)):
        yield from _value_param(task, EvaluatorType(evaluator or task.evaluator_type), expression)


def _value_param(task: Task, evaluator: EvaluatorType, expression: str) -> Iterator[Problem]:
    if evaluator is EvaluatorType.VALUE_PARAM and expression not in task.input_parameters:
        meant = suggestion(expression, task.input_parameters)
        named = f"names the input {expression[:80]!r}, which {_INPUT} does not have{meant or '.'}"
        yield ("expression",), f"{named} With evaluatorType value-param the expression is an input's name"


def _sub_workflow(task: Task) -> Iterator[Problem]:
    parameter = task.sub_workflow_param
    if parameter is None:
        yield ("subWorkflowParam",), "is required: the Workflow to start"
    elif not parameter.name and parameter.workflow_definition is None:
        yield ("subWorkflowParam", "name"), "is required: the Workflow to start"


def _start_workflow(task: Task) -> Iterator[Problem]:
    start = task.input_parameters.get("startWorkflow")
    if _is_computed(start):
        return
    if not isinstance(start, dict) or not start.get("name"):
        yield (_INPUT, "startWorkflow"), "is required: {name, version, input} of the Workflow to start"


def _dynamic(task: Task) -> Iterator[Problem]:
    name = task.dynamic_task_name_param
    if name not in task.input_parameters:
        meant = suggestion(name, task.input_parameters)
        yield (_INPUT, name), f"is required: the name of what is run{meant}"


def _do_while(task: Task) -> Iterator[Problem]:
    if not task.loop_over:
        yield ("loopOver",), "is required: the tasks of an iteration"
    if not task.loop_condition and task.items is None:
        yield ("loopCondition",), "is required, or items: when does the loop end?"
    if isinstance(task.items, str) and not _is_computed(task.items):
        yield ("items",), "must be a list, or an expression that gives one"
    keep = task.input_parameters.get("keepLastN")
    if keep is not None and not _is_computed(keep) and (not _is_count(keep) or keep < 1):
        yield (_INPUT, "keepLastN"), "must be a number from 1"


def _human(task: Task) -> Iterator[Problem]:
    human = task.human
    if human is None:
        return
    if human.escalate_to and human.due_seconds is None:
        yield ("human", "escalateTo"), "has no effect without dueSeconds"
    if human.escalate_to and not (human.assignees or human.groups):
        yield (
            ("human", "escalateTo"),
            "has no effect without assignees or groups: everybody may answer already",
        )
    if human.form_schema is not None:
        for problem in check_schema(human.form_schema):
            yield ("human", "formSchema"), problem


def _is_count(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _jq(task: Task) -> Iterator[Problem]:
    if not isinstance(task.input_parameters.get("queryExpression"), str):
        yield (_INPUT, "queryExpression"), "is required: the jq program"


def _wait(task: Task) -> Iterator[Problem]:
    given = task.input_parameters
    if "duration" in given and "until" in given:
        yield (_INPUT, "until"), "stands beside duration; keep one"
    for name in given:
        meant = suggestion(name, ("duration", "until"))
        if meant and name not in ("duration", "until"):
            yield (_INPUT, name), f"means nothing to a WAIT task{meant}"
    yield from _readable(given.get("duration"), "duration", parse_duration)
    yield from _readable(given.get("until"), "until", lambda text: parse_until(text, _FAR_AHEAD_MS))


#: Whether a date is too far ahead depends on the day, which a definition's check must not.
_FAR_AHEAD_MS = 253_402_300_800_000


def _readable(value: Json, name: str, parse: Callable[[str], int]) -> Iterator[Problem]:
    if value is None or _is_computed(value):
        return
    if not isinstance(value, str):
        yield (_INPUT, name), "must be text"
        return
    try:
        parse(value)
    except InvalidTime as error:
        yield (_INPUT, name), str(error)


def _terminate(task: Task) -> Iterator[Problem]:
    status = task.input_parameters.get("terminationStatus")
    if not _is_computed(status) and status not in TERMINATION_STATUSES:
        given = "is required" if status is None else f"{str(status)[:80]!r} is not allowed"
        yield (_INPUT, "terminationStatus"), f"{given}: one of {', '.join(TERMINATION_STATUSES)}"


def _is_computed(value: Json) -> bool:
    return isinstance(value, str) and "${" in value


_CHECKS: dict[TaskType, Callable[[Task], Iterator[Problem]]] = {
    TaskType.SIMPLE: _simple,
    TaskType.HTTP: _http,
    TaskType.EVENT: _event,
    TaskType.LLM_CHAT_COMPLETE: _llm_chat_complete,
    TaskType.LIST_MCP_TOOLS: _list_mcp_tools,
    TaskType.CALL_MCP_TOOL: _call_mcp_tool,
    TaskType.AGENT: _agent,
    TaskType.FORK_JOIN: _fork_join,
    TaskType.FORK_JOIN_DYNAMIC: _fork_join_dynamic,
    TaskType.SWITCH: _switch,
    TaskType.INLINE: _inline,
    TaskType.SUB_WORKFLOW: _sub_workflow,
    TaskType.START_WORKFLOW: _start_workflow,
    TaskType.DYNAMIC: _dynamic,
    TaskType.DO_WHILE: _do_while,
    TaskType.HUMAN: _human,
    TaskType.JSON_JQ_TRANSFORM: _jq,
    TaskType.WAIT: _wait,
    TaskType.TERMINATE: _terminate,
}
