"""A task of a workflow: one function for each field that it may have, found in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from openworld.api import Task, TaskType
from openworld.api.meta import Json, JsonObject

from . import settings
from .fields import Fields
from .losses import Place
from .older import modern
from .overrides import overrides_of
from .parameters import evaluator, input_parameters
from .started import sub_workflow
from .within import Here, Within

_MAX_LABEL = 253
_MAX_SCRIPT = 65536
_RETRIED = (
    "SIMPLE",
    "DYNAMIC",
    "HTTP",
    "EVENT",
    "LLM_CHAT_COMPLETE",
    "LIST_MCP_TOOLS",
    "CALL_MCP_TOOL",
)
_OWNERS: Mapping[str, tuple[str, ...]] = {
    "startDelay": _RETRIED,
    "retryCount": _RETRIED,
    "taskDefinition": _RETRIED,
    "joinOn": ("JOIN", "EXCLUSIVE_JOIN"),
    "defaultExclusiveJoinTask": ("EXCLUSIVE_JOIN",),
    "evaluatorType": ("SWITCH", "INLINE"),
    "expression": ("SWITCH", "INLINE"),
    "decisionCases": ("SWITCH",),
    "defaultCase": ("SWITCH",),
    "forkTasks": ("FORK_JOIN",),
    "loopOver": ("DO_WHILE",),
    "loopCondition": ("DO_WHILE",),
    "items": ("DO_WHILE",),
    "dynamicTaskNameParam": ("DYNAMIC",),
    "dynamicForkTasksParam": ("FORK_JOIN_DYNAMIC",),
    "dynamicForkTasksInputParamName": ("FORK_JOIN_DYNAMIC",),
    "subWorkflowParam": ("SUB_WORKFLOW",),
    "sink": ("EVENT",),
    "asyncComplete": ("EVENT", "HTTP", "SIMPLE"),
}
#: Fields that say something even when they are empty or 0.
_MEANT_EMPTY = ("items", "retryCount")
_MODEL = frozenset(field.alias or name for name, field in Task.model_fields.items())
_REASONS = {
    "taskToDomain": "task domains have no counterpart: a tool's run says where it runs",
    "cacheConfig": "outputs are not cached: the task runs each time",
    "onStateChange": "nothing is published when a task changes; watch the Execution",
    "joinStatus": "has no counterpart: a JOIN waits until its tasks have ended, and fails with them",
    "rateLimited": "has no counterpart; a tool has rateLimit",
    "caseValueParam": "belongs to a DECISION task",
    "caseExpression": "belongs to a DECISION task",
    "scriptExpression": "belongs to a LAMBDA task",
}
#: How often a JOIN is looked at, and an old copy of the type.
_SILENT = ("joinMode", "workflowTaskType")


def imported_tasks(array: Json, place: Place, within: Within) -> list[JsonObject]:
    """The tasks of an array. What is no task is reported and left out."""
    if not isinstance(array, list):
        place.error("must be a list of tasks; left out")
        return []
    tasks: list[JsonObject] = []
    for index, item in enumerate(array):
        if isinstance(item, Mapping):
            tasks.append(_task(dict(item), place.at(index), within))
        else:
            place.at(index).error("must be a task, an object; left out")
    return tasks


def _task(data: JsonObject, place: Place, within: Within) -> JsonObject:
    fields = Fields(modern(data, place), place)
    kind = fields.text("type") or TaskType.SIMPLE.value
    name = fields.text("name", None if kind == TaskType.SIMPLE else _MAX_LABEL)
    here = Here(kind, name or "", fields, within)
    if kind not in TaskType.__members__:
        place.at("type").error(
            f"there is no task type {kind[:80]!r} here: the workflow cannot run until this task is replaced"
        )
    task = {"name": _name(here), "taskReferenceName": _ref(here), "type": kind}
    if not task["name"]:
        del task["name"]
    if kind == TaskType.INLINE:
        _said_once(fields, data.get("inputParameters"))
    for name, converted in _CONVERTED.items():
        value = converted(here, name) if _is_carried(here, name) else None
        if value is not None:
            task[name] = value
    if _belongs(here, "taskDefinition"):
        task |= overrides_of(here, task)
    if kind in (TaskType.DYNAMIC, TaskType.FORK_JOIN_DYNAMIC):
        within.found.catalogs = True
        within.found.judged.append(place)
        _older_dynamic_fork(fields)
    fields.skip(*_SILENT)
    fields.report_rest(_REASONS)
    return task


def _is_carried(here: Here, name: str) -> bool:
    """Whether the field is there, says something, and has a counterpart."""
    if name in _OWNERS and not _belongs(here, name):
        return False
    if name not in _MODEL and here.kind in TaskType.__members__:
        return False
    return here.fields.holds(name) or name in _MEANT_EMPTY


def _belongs(here: Here, name: str) -> bool:
    """Whether the type has the field; reported if it is there and the type has not."""
    if here.kind in _OWNERS[name] or here.kind not in TaskType.__members__:
        return True
    if here.fields.take(name):
        here.place.at(name).lose(f"means nothing to a {here.kind} task; left out")
    return False


def _name(here: Here) -> str:
    """The name, which for a SIMPLE task is that of its tool."""
    if here.kind != TaskType.SIMPLE:
        return here.name
    tools, found = here.within.tools, here.within.found
    found.catalogs = True
    called = tools.names.get(here.name, here.name)
    if not here.name:
        here.place.at("name").error("is required: the tool that a SIMPLE task runs")
    elif here.name not in tools.definitions and here.name not in found.missing:
        found.missing.add(here.name)
        here.place.at("name").error(
            f"no task definition {here.name[:80]!r} is in the import: the workflow is refused until a "
            f"catalog has the tool {called[:80]!r}"
        )
    return called


def _ref(here: Here) -> str:
    ref = here.fields.text("taskReferenceName")
    if ref is None:
        here.place.at("taskReferenceName").error("is required")
        return ""
    return here.within.refs.name(ref)


def _said_once(fields: Fields, parameters: Json) -> None:
    """An INLINE that says its expression as input and as field: the input counts, as in Conductor."""
    if not isinstance(parameters, Mapping) or not parameters.get("expression"):
        return
    for name in ("evaluatorType", "expression"):
        value = fields.take(name)
        if value and value != parameters.get(name):
            fields.place.at(name).lose("is left out: inputParameters say it")


def _older_dynamic_fork(fields: Fields) -> None:
    if fields.holds("dynamicForkJoinTasksParam"):
        fields.place.at("dynamicForkJoinTasksParam").error(
            "this old form is not supported: give a list of tasks and a map of their inputs, under "
            "dynamicForkTasksParam and dynamicForkTasksInputParamName"
        )
        fields.skip("dynamicForkJoinTasksParam")


def _description(here: Here, name: str) -> Json:
    return here.fields.text(name, settings.MAX_DESCRIPTION)


def _parameter_name(here: Here, name: str) -> Json:
    return here.fields.text(name)


def _flag(here: Here, name: str) -> Json:
    return here.fields.flag(name) or None


def _start_delay(here: Here, name: str) -> Json:
    return here.fields.whole(name, 0, settings.MAX_SECONDS) or None


def _retry_count(here: Here, name: str) -> Json:
    return here.fields.whole(name, 0, settings.MAX_RETRIES)


def _refs(here: Here, name: str) -> Json:
    refs: list[str] = []
    for index, ref in enumerate(here.fields.items(name)):
        if isinstance(ref, str):
            refs.append(here.within.refs.name(ref))
        else:
            here.place.at(name, index).lose("must be a taskReferenceName; left out")
    return refs


def _evaluator(here: Here, name: str) -> Json:
    return evaluator(here.fields.text(name), here.place.at(name))


def _expression(here: Here, name: str) -> Json:
    return here.fields.text(name, _MAX_SCRIPT)


def _cases(here: Here, name: str) -> Json:
    place = here.place.at(name)
    return {
        case: imported_tasks(array, place.at(case), here.within)
        for case, array in here.fields.mapping(name).items()
    }


def _array(here: Here, name: str) -> Json:
    return imported_tasks(here.fields.items(name), here.place.at(name), here.within)


def _sink(here: Here, name: str) -> Json:
    return here.within.refs.resolved(here.fields.text(name))


def _branches(here: Here, name: str) -> Json:
    place = here.place.at(name)
    return [
        imported_tasks(branch, place.at(index), here.within)
        for index, branch in enumerate(here.fields.items(name))
    ]


def _condition(here: Here, name: str) -> Json:
    text = here.fields.text(name, _MAX_SCRIPT)
    return here.within.refs.condition(text) if text is not None else None


def _items(here: Here, name: str) -> Json:
    value = here.fields.take(name)
    if isinstance(value, str | list):
        return here.within.refs.resolved(value)
    if value is not None:
        here.place.at(name).lose("must be a list or an expression that gives one; left out")
    return None


#: In the order in which they are written.
_CONVERTED: Mapping[str, Callable[[Here, str], Json]] = {
    "description": _description,
    "optional": _flag,
    "permissive": _flag,
    "startDelay": _start_delay,
    "retryCount": _retry_count,
    "inputParameters": input_parameters,
    "joinOn": _refs,
    "defaultExclusiveJoinTask": _refs,
    "evaluatorType": _evaluator,
    "expression": _expression,
    "decisionCases": _cases,
    "defaultCase": _array,
    "forkTasks": _branches,
    "items": _items,
    "loopCondition": _condition,
    "loopOver": _array,
    "dynamicTaskNameParam": _parameter_name,
    "dynamicForkTasksParam": _parameter_name,
    "dynamicForkTasksInputParamName": _parameter_name,
    "subWorkflowParam": sub_workflow,
    "sink": _sink,
    "asyncComplete": _flag,
}
