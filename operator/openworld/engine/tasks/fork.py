"""FORK_JOIN and FORK_JOIN_DYNAMIC: branches; the fork itself completes at once, the JOIN waits.

A dynamic fork's tasks come from data, so they are a proposal like any other. Source: Conductor.
"""

from __future__ import annotations

from openworld.api import Json, JsonObject, Task, TaskType
from openworld.engine.decide import Pass
from openworld.engine.endings import fail_task
from openworld.engine.state import Scope, TaskState
from openworld.language.reading import kind_of
from openworld.ledger import EventType

from .kind import TaskKind


class ForkTask(TaskKind):
    """Branches that were authored."""

    def follow(self, p: Pass, task: TaskState) -> None:
        """Complete at once."""
        p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output={})


class DynamicForkTask(TaskKind):
    """Branches that come from data, in one of three forms.

    A list of tasks, and a map from ref to input; or one tool (`forkTaskName`, `forkTaskType`) or one
    Workflow (`forkTaskWorkflow`), and a list of inputs (`forkTaskInputs`).
    """

    enters_when_refused = False

    def schedule_data(self, p: Pass, scope: Scope, definition: Task, task_input: JsonObject) -> JsonObject:  # noqa: ARG002
        """See that the input can be read as tasks."""
        proposal(definition, task_input)
        return {}

    def follow(self, p: Pass, task: TaskState) -> None:
        """Propose the tasks; complete when all are allowed, fail when any is not."""
        turn = task.turn
        if turn is None:
            p.emit(
                EventType.PROPOSAL_RECEIVED,
                ref=task.ref,
                turn=1,
                proposal=f"p-{p.state.proposals + 1}",
                content=proposal(task.definition, task.input),
            )
            return
        if not turn.judged:
            return
        if turn.content.get("tasks") and turn.denial:
            reason = f"ProposalDenied: {turn.denial}"
            fail_task(p, task.ref, p.state.scope_of(task), reason, terminal=True)
            return
        p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output={})


def proposal(definition: Task, task_input: JsonObject) -> JsonObject:
    """The tasks that a dynamic fork's input asks for. Raises ValueError with a sentence for people."""
    if "forkTaskInputs" in task_input:
        items = _alike(definition, task_input)
    else:
        items = _listed(definition, task_input)
    return {"intent": "FORK_JOIN_DYNAMIC", "tasks": [_literal(item) for item in items]}


def _listed(definition: Task, task_input: JsonObject) -> list[JsonObject]:
    list_name = definition.dynamic_fork_tasks_param
    map_name = definition.dynamic_fork_tasks_input_param_name
    tasks = task_input.get(list_name)
    inputs = task_input.get(map_name) or {}
    if not isinstance(tasks, list):
        raise ValueError(f"inputParameters.{list_name} must be a list of tasks, and is {kind_of(tasks)}")
    if not isinstance(inputs, dict):
        raise ValueError(f"inputParameters.{map_name} must map refs to inputs, and is {kind_of(inputs)}")
    items = []
    for task in tasks:
        if not isinstance(task, dict):
            raise ValueError(f"inputParameters.{list_name} holds {kind_of(task)} where a task belongs")
        item = dict(task)
        ref = item.get("taskReferenceName", item.get("ref"))
        given = inputs.get(ref) if isinstance(ref, str) else None
        if given is not None:
            key = "inputParameters" if "inputParameters" in item else "input"
            own = item.get(key) or {}
            item[key] = {**own, **given} if isinstance(given, dict) and isinstance(own, dict) else given
        items.append(item)
    return items


def _alike(definition: Task, task_input: JsonObject) -> list[JsonObject]:
    inputs = task_input["forkTaskInputs"]
    if not isinstance(inputs, list):
        raise ValueError(f"inputParameters.forkTaskInputs must be a list, and is {kind_of(inputs)}")
    workflow, name = task_input.get("forkTaskWorkflow"), task_input.get("forkTaskName")
    kind = task_input.get("forkTaskType") or TaskType.SIMPLE.value
    version = task_input.get("forkTaskWorkflowVersion")
    label = definition.name or definition.task_reference_name if workflow else name or kind
    if not isinstance(label, str) or not isinstance(kind, str) or not isinstance(workflow or "", str):
        raise ValueError("inputParameters.forkTaskName, forkTaskType and forkTaskWorkflow must be text")
    items = []
    for index, given in enumerate(inputs):
        values = {**(given if isinstance(given, dict) else {"input": given}), "__index": index}
        item: JsonObject = {"ref": f"_{label}_{index}", "type": kind, "name": label, "input": values}
        if workflow:
            item |= {"type": TaskType.SUB_WORKFLOW.value, "subWorkflowParam": {"name": workflow}}
            if version is not None:
                item["subWorkflowParam"]["version"] = _number(version)
        items.append(item)
    return items


def _number(version: Json) -> Json:
    return int(version) if isinstance(version, str) and version.isascii() and version.isdigit() else version


def _literal(value: Json) -> Json:
    """The value with every `${` escaped: it was resolved already, and data is never resolved again."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [_literal(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _literal(inner) for key, inner in value.items()}
    return value
