"""SUB_WORKFLOW: a child execution with a deterministic name. Source: Conductor."""

from __future__ import annotations

from collections.abc import Iterator

from openworld.api import TaskStatus, Workflow
from openworld.engine.decide import Pass
from openworld.engine.endings import fail_task
from openworld.engine.needs import Definition, DefinitionKind, NeedDefinition
from openworld.engine.outside import DesiredChild
from openworld.engine.state import State, TaskState
from openworld.ledger import EventType

from .kind import TaskKind

#: Executions above one another; more is taken for an endless recursion.
DEEPEST = 20


class SubWorkflowTask(TaskKind):
    """A workflow as a task."""

    def follow(self, p: Pass, task: TaskState) -> None:
        """Check that the workflow can be started; the child's end is a fact."""
        if task.status is not TaskStatus.SCHEDULED:
            return
        parameter = task.definition.sub_workflow_param
        scope = p.state.scope_of(task)
        if parameter is None:
            fail_task(p, task.ref, scope, "InvalidInput: subWorkflowParam is missing", terminal=True)
            return
        answer = p.ask(NeedDefinition(DefinitionKind.WORKFLOW, parameter.name))
        if not isinstance(answer, Definition):
            return
        problem = answer.problem
        wanted = parameter.version
        if isinstance(answer.model, Workflow) and wanted is not None and answer.model.version != wanted:
            problem = f"Workflow {parameter.name!r} has version {answer.model.version}, not {wanted}"
        if task.subject_digest not in ("", answer.digest):
            problem = f"Changed: Workflow {parameter.name!r} is not the one that was approved any more"
        if p.state.depth + scope.depth + 1 > DEEPEST:
            problem = f"{DEEPEST} executions are nested already; is it an endless recursion?"
        if problem:
            fail_task(p, task.ref, scope, problem, terminal=True)
            return
        p.emit(EventType.TASK_STARTED, ref=task.ref, attempt=task.attempt)

    def desired(self, state: State, task: TaskState) -> Iterator[DesiredChild]:
        """The child execution."""
        parameter = task.definition.sub_workflow_param
        if task.status is TaskStatus.IN_PROGRESS and parameter is not None:
            yield DesiredChild(
                seq=task.seq,
                ref=task.ref,
                workflow_name=parameter.name,
                input=task.input,
                depth=state.depth + state.scope_of(task).depth + 1,
                version=parameter.version,
                workflow_digest=task.subject_digest,
            )
