"""Definitions that come at run time, from data or a proposal: what nobody has reviewed reaches less."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from openworld.api import JsonObject, Task, TaskType, Workflow
from openworld.api.meta import Json

from .checks import check_workflow
from .expressions import ExpressionError, references
from .reading import InvalidResource, kind_of, read, told

#: What Conductor's definitions say beside what they mean.
_IDLE_KEYS = frozenset({"schemaVersion", "ownerEmail", "ownerApp", "createTime", "updateTime", "createdBy"})
#: Of the run, what only reviewed text may name; `*` and an empty step name them as well.
_OUT_OF_REACH = ("secrets", "env", "*", "")
#: Types whose tasks data names later, when nobody judges by whom they were brought.
_NAMED_LATER = (TaskType.DYNAMIC, TaskType.FORK_JOIN_DYNAMIC)


def runtime_definition(given: Json) -> tuple[Workflow, JsonObject] | str:
    """A definition as a model and as it was given, or what is wrong with it."""
    if not isinstance(given, dict):
        return f"workflowDefinition must be an object, and is {kind_of(given)}"
    kept = {key: value for key, value in given.items() if key not in _IDLE_KEYS}
    try:
        workflow = read(Workflow, kept, path="workflowDefinition")
    except InvalidResource as error:
        return str(error)
    findings = check_workflow(workflow, path="workflowDefinition")
    return told(findings) if findings else (workflow, kept)


def reach_problem(workflow: Workflow, catalogs: Collection[str]) -> str:
    """What a definition names that no data may reach; empty when there is nothing. `catalogs` it may name."""
    wire = workflow.wire()
    try:
        found = references(wire)
    except ExpressionError as error:
        return f"workflowDefinition: {error}"
    for reference in found:
        head = reference.head
        if reference.root == "workflow" and head in _OUT_OF_REACH:
            return f"workflowDefinition: {reference.text}: what comes at run time reaches no workflow.{head}"
        if reference.root.startswith("${") or (reference.root == "workflow" and head.startswith("${")):
            return f"workflowDefinition: {reference.text}: what comes at run time computes no such name"
    if any("env" in task.when for task in tasks_of(workflow)):
        return "workflowDefinition: a condition that comes at run time reaches no workflow.env"
    for each in _all_definitions(workflow):
        if each.failure_workflow:
            why = "what comes at run time starts nothing without a verdict"
            return f"workflowDefinition.failureWorkflow: {each.failure_workflow!r}: {why}"
        others = sorted(set(each.catalogs) - set(catalogs))
        if others:
            return f"workflowDefinition.catalogs: {others[0]!r} is none of the catalogs of what runs it"
    return ""


def _all_definitions(workflow: Workflow) -> Iterator[Workflow]:
    """A definition and those that it brings; one that cannot be read fails where it is run."""
    yield workflow
    for task in tasks_of(workflow):
        parameter = task.sub_workflow_param
        found = runtime_definition(parameter.workflow_definition) if parameter is not None else ""
        if not isinstance(found, str):
            yield from _all_definitions(found[0])


def proposal_problem(workflow: Workflow) -> str:
    """What a proposed definition holds that only a reviewed one may; empty when there is nothing."""
    if workflow.failure_workflow:
        return "workflowDefinition.failureWorkflow cannot be proposed: it would start without a verdict"
    for task in tasks_of(workflow):
        ref = task.task_reference_name
        if task.type in _NAMED_LATER:
            return f"workflowDefinition: {ref}: a {task.type} task cannot stand in a proposed definition"
        if task.human is not None:
            return (
                f"workflowDefinition: {ref}: who answers a proposed HUMAN task is not for the proposal to say"
            )
        if task.sub_workflow_param is not None and task.sub_workflow_param.workflow_definition is not None:
            return f"workflowDefinition: {ref}: a definition within a proposed definition cannot be proposed"
    return reach_problem(workflow, workflow.catalogs)  # which those may be, the check of catalogs says


def tools_of(workflow: Workflow) -> Iterator[str]:
    """The names of all tools that a definition may run: its tasks', and what undoes them."""
    for task in tasks_of(workflow):
        if task.type is TaskType.SIMPLE:
            yield task.name
        if task.compensation is not None:
            yield task.compensation.tool


def tasks_of(workflow: Workflow) -> Iterator[Task]:
    """All tasks of a definition, however deep."""
    waiting = list(workflow.tasks)
    while waiting:
        task = waiting.pop(0)
        yield task
        waiting += [each for array in task.inner_arrays() for each in array]
