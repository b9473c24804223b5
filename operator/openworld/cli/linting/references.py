"""What objects say of each other: tools, catalogs, policies, agents, workflows, scripts.

An object that is not among the files may well be in the cluster: that is a warning. A tool that is in none
of the catalogs that *are* there is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from openworld.api import Agent, Execution, Policy, Task, TaskType, Tool, ToolCatalog, Workflow
from openworld.api.policy import Scope
from openworld.language.checks import arrays_of
from openworld.language.reading import suggestion, under
from openworld.language.schemas import violations

from .binding import unmatched
from .inputs import input_findings
from .order import order_findings
from .problem import Object, Problem, Severity
from .scripts import script_findings


@dataclass(frozen=True, slots=True)
class _Known:
    """The tools of some catalogs: those to be had, why others are not, and whether there are no more."""

    tools: dict[str, Tool]
    withheld: dict[str, str]
    is_complete: bool

    @property
    def names(self) -> list[str]:
        return [*self.tools, *self.withheld]

    def problem_with(self, name: str) -> str:
        """Why a tool is not to be had; empty when it is, or may be."""
        if name in self.tools:
            return ""
        if name in self.withheld:
            return self.withheld[name]
        return _unknown_tool(name, self.tools) if self.is_complete else ""


_Tools = Generator[Problem, None, _Known]


class References:
    """All objects of the files, found by kind and name; references never cross namespaces.

    But an object that names none finds what a cluster has printed, which always does.
    """

    def __init__(self, objects: list[Object], *, strict: bool) -> None:
        self._objects = objects
        self._missing = Severity.ERROR if strict else Severity.WARNING
        self._by_name = {(item.kind, item.namespace, item.name): item for item in objects}

    def problems(self) -> Iterator[Problem]:
        """Every finding, in the order of the objects."""
        checks: dict[type, Callable[..., Iterator[Problem]]] = {
            Workflow: self._workflow,
            Policy: self._policy,
            Agent: self._agent,
            Execution: self._execution,
        }
        seen: dict[tuple[str, str, str], Object] = {}
        for item in self._objects:
            key = (item.kind, item.namespace, item.name)
            first = seen.setdefault(key, item)
            if (
                first is not item
                and item.kind != "ConfigMap"
                and item.name
                and "name" in item.body["metadata"]
            ):
                where = f"{first.document.file}:{first.document.line()}"
                yield item.problem("metadata.name", f"is defined already, at {where}", Severity.WARNING)
            if item.model is not None and type(item.model) in checks:
                yield from checks[type(item.model)](item, item.model)

    def _find(self, source: Object, kind: str, name: str, path: str) -> Object | list[Problem]:
        found = self._seen_from(source, kind, name)
        if found is not None:
            return found
        beside = [item for item in self._objects if item.namespace == source.namespace]
        known = [item.name for item in beside if item.kind == kind and item is not source]
        message = f"{kind} {name!r} is not among the files{suggestion(name, known)}"
        return [source.problem(path, message, self._missing)]

    def _seen_from(self, source: Object, kind: str, name: str) -> Object | None:
        """The object of that name in the same namespace, or the only one that a cluster has printed."""
        found = self._by_name.get((kind, source.namespace, name))
        if found is not None or source.namespace:
            return found
        named = [item for (of, _, called), item in self._by_name.items() if (of, called) == (kind, name)]
        printed = [item for item in named if "status" in item.body]
        return printed[0] if len(printed) == 1 else None

    def _needs(self, source: Object, kind: str, name: str, path: str) -> Iterator[Problem]:
        found = self._find(source, kind, name, path)
        if isinstance(found, list):
            yield from found

    def _workflow(self, item: Object, workflow: Workflow, path: str = "spec") -> Iterator[Problem]:
        if workflow.policy_ref is not None:
            yield from self._needs(item, "Policy", workflow.policy_ref.name, f"{path}.policyRef.name")
        known = yield from self._tools(item, workflow.catalogs, f"{path}.catalogs")
        policy = self._binding(item, workflow)
        for where, task in _tasks(workflow.tasks, f"{path}.tasks"):
            yield from self._task(item, where, task, known)
            denied = unmatched(policy, task, known.tools.get(task.name)) if policy is not None else ""
            if denied and workflow.policy_ref is not None:
                message = f"no rule of the policy {workflow.policy_ref.name!r} {denied}"
                yield item.problem(where, message, Severity.WARNING)
        for finding in order_findings(workflow.tasks, f"{path}.tasks"):
            yield item.problem(finding.path, finding.message, Severity.WARNING)

    def _binding(self, item: Object, workflow: Workflow) -> Policy | None:
        """The policy among the files that binds authored tasks: by its scope, or since they are inline."""
        if workflow.policy_ref is None:
            return None
        found = self._seen_from(item, "Policy", workflow.policy_ref.name)
        policy = found.model if found is not None else None
        if not isinstance(policy, Policy):
            return None
        return policy if policy.scope is Scope.ALL or isinstance(item.model, Execution) else None

    def _tools(self, item: Object, catalogs: list[str], path: str) -> _Tools:
        """The tools of the named catalogs, as far as they are known."""
        tools: dict[str, Tool] = {}
        withheld: dict[str, str] = {}
        complete = True
        for index, name in enumerate(catalogs):
            found = self._find(item, "ToolCatalog", name, f"{path}[{index}]")
            if isinstance(found, list):
                yield from found
                complete = False
            elif isinstance(found.model, ToolCatalog):
                tools |= {tool.name: tool for tool in found.model.tools}
                withheld |= found.withheld
                complete = complete and found.is_complete
            else:
                complete = False
        return _Known(tools, withheld, complete)

    def _task(self, item: Object, where: str, task: Task, known: _Known) -> Iterator[Problem]:
        undo = task.compensation
        if undo is not None and (message := known.problem_with(undo.tool)):
            yield item.problem(f"{where}.compensation.tool", message)
        if task.type is TaskType.SIMPLE and task.name:
            tool = known.tools.get(task.name)
            if message := known.problem_with(task.name):
                yield item.problem(self._tool_path(item, where), message)
            elif tool is not None:
                schema, given = tool.input_schema, task.input_parameters
                for finding in input_findings(schema, given, f"{where}.inputParameters"):
                    yield item.problem(
                        finding.path, f"{finding.message} (inputSchema of the tool {tool.name!r})"
                    )
        elif task.type is TaskType.AGENT:
            agent = task.input_parameters.get("agent")
            if isinstance(agent, str) and agent and "${" not in agent:
                yield from self._needs(item, "Agent", agent, f"{where}.inputParameters.agent")
        elif task.type is TaskType.SUB_WORKFLOW and task.sub_workflow_param is not None:
            name = task.sub_workflow_param.name
            yield from self._needs(item, "Workflow", name, f"{where}.subWorkflowParam.name")

    @staticmethod
    def _tool_path(item: Object, where: str) -> str:
        """Where the author wrote the tool's name: `name`, or `type` in the short form."""
        value = item.document.at(where)
        return f"{where}.name" if isinstance(value, dict) and "name" in value else f"{where}.type"

    def _policy(self, item: Object, policy: Policy) -> Iterator[Problem]:
        catalogs = [(found, found.model) for found in self._objects if isinstance(found.model, ToolCatalog)]
        if not catalogs or not all(found.is_complete for found, _ in catalogs):
            return
        known = {tool.name for _, catalog in catalogs for tool in catalog.tools}
        known |= {name for found, _ in catalogs for name in found.withheld}
        for rule_index, rule in enumerate(policy.rules):
            for index, name in enumerate(rule.match.tools):
                if name not in known:
                    message = (
                        f"no catalog among the files has a tool {name!r}{suggestion(name, sorted(known))}"
                    )
                    path = f"spec.rules[{rule_index}].match.tools[{index}]"
                    yield item.problem(path, message, self._missing)

    def _agent(self, item: Object, agent: Agent) -> Iterator[Problem]:
        known = yield from self._tools(item, agent.catalogs, "spec.catalogs")
        names = known.names if known.is_complete else []
        for index, pattern in enumerate(agent.tools):
            if names and not any(fnmatchcase(name, pattern) for name in names):
                message = f"{pattern!r} matches no tool of its catalogs{suggestion(pattern, names)}"
                yield item.problem(f"spec.tools[{index}]", message)
        name = agent.model.script.config_map_name
        script = self._find(item, "ConfigMap", name, "spec.model.script.configMapName")
        if isinstance(script, list):
            yield from script
            return
        for finding in script_findings(script.body, self._authored(item)):
            yield script.problem(finding.path, finding.message)

    def _authored(self, source: Object) -> frozenset[str] | None:
        """The refs of the workflows beside an object; None when there is none to be read."""
        workflows = [
            found.model
            for found in self._objects
            if isinstance(found.model, Workflow) and found.namespace == source.namespace
        ]
        refs = (task.task_reference_name for found in workflows for _, task in _tasks(found.tasks, ""))
        return frozenset(refs) if workflows else None

    def _execution(self, item: Object, execution: Execution) -> Iterator[Problem]:
        if execution.workflow is not None:
            yield from self._workflow(item, execution.workflow, "spec.workflow")
            workflow: Workflow | None = execution.workflow
        elif execution.workflow_ref is not None:
            found = self._find(item, "Workflow", execution.workflow_ref.name, "spec.workflowRef.name")
            if isinstance(found, list):
                yield from found
                return
            workflow = found.model if isinstance(found.model, Workflow) else None
        else:
            workflow = None
        if workflow is None or workflow.input_schema is None:
            return
        for violation in violations(workflow.input_schema, execution.input):
            below = "" if violation.path == "(root)" else violation.path
            message = f"{violation.message} (inputSchema of the workflow)"
            yield item.problem(under("spec.input", below), message)


def _tasks(tasks: list[Task], path: str) -> Iterator[tuple[str, Task]]:
    """Every task and its path, nested ones too, in document order."""
    for index, task in enumerate(tasks):
        where = f"{path}[{index}]"
        yield where, task
        for below, inner in arrays_of(task, where):
            yield from _tasks(inner, below)


def _unknown_tool(name: str, tools: dict[str, Tool]) -> str:
    if not tools:
        return f"unknown tool {name!r}: no catalog is named under spec.catalogs that has a tool"
    meant = suggestion(name, tools) or f". Known: {', '.join(sorted(tools))}"
    return f"unknown tool {name!r}{meant}"
