"""SUB_WORKFLOW: a child execution with a deterministic name. Source: Conductor."""

from __future__ import annotations

from collections.abc import Iterator

from openworld.api import JsonObject, Task, TaskStatus
from openworld.api.workflow import SubWorkflowParam
from openworld.engine import budget, governed
from openworld.engine.decide import Pass, resolved
from openworld.engine.endings import fail_task
from openworld.engine.needs import Definition, DefinitionKind, NeedDefinition
from openworld.engine.outside import DesiredChild
from openworld.engine.state import Scope, State, TaskState
from openworld.language.canonical import canonical
from openworld.language.runtime import reach_problem, runtime_definition
from openworld.ledger import EventType

from .kind import TaskKind

#: Executions above one another; more is taken for an endless recursion.
DEEPEST = 20
LARGEST_DEFINITION_BYTES = 128 * 1024


class SubWorkflowTask(TaskKind):
    """A workflow as a task."""

    def schedule_data(self, p: Pass, scope: Scope, definition: Task, task_input: JsonObject) -> JsonObject:  # noqa: ARG002
        """The inline definition, where there is one, resolved and checked as a Workflow is."""
        parameter = definition.sub_workflow_param
        if parameter is None or parameter.workflow_definition is None:
            return {}
        inline = _inline(p, scope, parameter)
        size = len(canonical(inline))
        if size > LARGEST_DEFINITION_BYTES:
            raise ValueError(f"workflowDefinition has {size} bytes, the limit is {LARGEST_DEFINITION_BYTES}")
        return {"definition": inline}

    def follow(self, p: Pass, task: TaskState) -> None:
        """Check that the workflow can be started; the child's end is a fact."""
        if task.status is not TaskStatus.SCHEDULED:
            return
        parameter = task.definition.sub_workflow_param or SubWorkflowParam()
        if is_startable(p, task, parameter.name, parameter.version):
            p.emit(EventType.TASK_STARTED, ref=task.ref, attempt=task.attempt)

    def desired(self, state: State, task: TaskState) -> Iterator[DesiredChild]:
        """The child execution."""
        parameter = task.definition.sub_workflow_param
        is_granted = task.granted_seq == task.seq
        if task.status is TaskStatus.IN_PROGRESS and parameter is not None and is_granted:
            yield DesiredChild(
                seq=task.seq,
                ref=task.ref,
                workflow_name=parameter.name,
                version=parameter.version,
                input=task.input or _conductors_input(parameter, task),
                depth=state.depth + state.scope_of(task).depth + 1,
                workflow_digest=task.subject_digest if task.inline is None else "",
                definition=task.inline,
                revivals=task.child_revivals,
                proposed=task.inline is not None and state.scope_of(task).proposed,
                policies=policies_of(state, task),
                grant=budget.grant_of(state, task),
            )


def policies_of(state: State, task: TaskState) -> tuple[str, ...]:
    """The policies of this run, and of the agents whose proposal a task is of: they bind its child too."""
    return tuple(governed.policy_names(state, governed.agents_of(state, state.scope_of(task))))


def is_startable(p: Pass, task: TaskState, name: str, version: int | None) -> bool:
    """Whether the Workflow that a task starts is there; fails the task when it is not."""
    problem = ""
    scope = p.state.scope_of(task)
    if task.inline is None:
        answer = p.ask(NeedDefinition(DefinitionKind.WORKFLOW, name, version))
        if not isinstance(answer, Definition):
            return False
        problem = answer.problem
        if not problem and task.subject_digest not in ("", answer.digest):
            problem = f"Changed: Workflow {name!r} is not the one that was approved any more"
    if p.state.depth + scope.depth + 1 > DEEPEST:
        problem = f"{DEEPEST} executions are nested already; is it an endless recursion?"
    if problem:
        fail_task(p, task.ref, scope, problem, terminal=True)
    return not problem


def _inline(p: Pass, scope: Scope, parameter: SubWorkflowParam) -> JsonObject:
    """The definition that a task carries. It is bound by the policy of the workflow that it is part of."""
    given = parameter.workflow_definition
    if isinstance(given, str):  # an expression; what stands in a definition is the child's to resolve
        given = resolved(given, p.state, scope)
    found = runtime_definition(given)
    if isinstance(found, str):
        raise ValueError(found)
    workflow, given = found
    is_data = scope.proposed or isinstance(parameter.workflow_definition, str)
    around = p.state.workflow
    agent = governed.agent_of(p.state, scope)
    catalogs = agent.catalogs if agent is not None else around.catalogs if around is not None else []
    problem = reach_problem(workflow, catalogs) if is_data else ""
    if problem:
        raise ValueError(problem)
    definition = {key: value for key, value in workflow.wire().items() if key != "policyRef"}
    definition["name"] = workflow.name or parameter.name
    if around is not None:
        definition.setdefault("catalogs", catalogs)
        if around.policy_ref is not None:
            definition["policyRef"] = around.policy_ref.wire()
    return definition


def _conductors_input(parameter: SubWorkflowParam, task: TaskState) -> JsonObject:
    """What a child without input parameters is given: in Conductor, what its task holds."""
    return {
        "subWorkflowDefinition": task.inline,
        "subWorkflowName": parameter.name,
        "subWorkflowVersion": parameter.version,
        "subWorkflowTaskToDomain": None,
        "workflowInput": {},
        "idempotencyKey": None,
        "idempotencyStrategy": None,
        "priority": None,
    }
