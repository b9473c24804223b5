"""What objects say of each other: tools, catalogs, policies, agents, workflows, scripts.

An object that is not among the files may well be in the cluster: that is a warning. A tool that is in none
of the catalogs that *are* there is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
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

_Tools = Generator[Problem, None, tuple[dict[str, Tool], bool]]


class References:
    """All objects of the files, found by kind and name; references never cross namespaces."""

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
        found = self._by_name.get((kind, source.namespace, name))
        if found is not None:
            return found
        beside = [item for item in self._objects if item.namespace == source.namespace]
        known = [item.name for item in beside if item.kind == kind and item is not source]
        message = f"{kind} {name!r} is not among the files{suggestion(name, known)}"
        return [source.problem(path, message, self._missing)]

    def _needs(self, source: Object, kind: str, name: str, path: str) -> Iterator[Problem]:
        found = self._find(source, kind, name, path)
        if isinstance(found, list):
            yield from found

    def _workflow(self, item: Object, workflow: Workflow, path: str = "spec") -> Iterator[Problem]:
        if workflow.policy_ref is not None:
            yield from self._needs(item, "Policy", workflow.policy_ref.name, f"{path}.policyRef.name")
        tools, complete = yield from self._tools(item, workflow.catalogs, f"{path}.catalogs")
        policy = self._binding(item, workflow)
        for where, task in _tasks(workflow.tasks, f"{path}.tasks"):
            yield from self._task(item, where, task, tools if complete or task.name in tools else None)
            denied = unmatched(policy, task, tools.get(task.name)) if policy is not None else ""
            if denied and workflow.policy_ref is not None:
                message = f"no rule of the policy {workflow.policy_ref.name!r} {denied}"
                yield item.problem(where, message, Severity.WARNING)
        for finding in order_findings(workflow.tasks, f"{path}.tasks"):
            yield item.problem(finding.path, finding.message, Severity.WARNING)

    def _binding(self, item: Object, workflow: Workflow) -> Policy | None:
        """The policy among the files that binds authored tasks: by its scope, or since they are inline."""
        if workflow.policy_ref is None:
            return None
        found = self._by_name.get(("Policy", item.namespace, workflow.policy_ref.name))
        policy = found.model if found is not None else None
        if not isinstance(policy, Policy):
            return None
        return policy if policy.scope is Scope.ALL or isinstance(item.model, Execution) else None

    def _tools(self, item: Object, catalogs: list[str], path: str) -> _Tools:
        """The tools of the named catalogs, and whether all of them are known."""
        tools: dict[str, Tool] = {}
        complete = True
        for index, name in enumerate(catalogs):
            found = self._find(item, "ToolCatalog", name, f"{path}[{index}]")
            if isinstance(found, list):
                yield from found
                complete = False
            elif isinstance(found.model, ToolCatalog):
                tools |= {tool.name: tool for tool in found.model.tools}
                complete = complete and not found.model.mcp_servers  # what they offer, only the cluster knows
            else:
                complete = False
        return tools, complete

    def _task(self, item: Object, where: str, task: Task, tools: dict[str, Tool] | None) -> Iterator[Problem]:
        undo = task.compensation
        if undo is not None and tools is not None and undo.tool not in tools:
            yield item.problem(f"{where}.compensation.tool", _unknown_tool(undo.tool, tools))
        if task.type is TaskType.SIMPLE and task.name and tools is not None:
            tool = tools.get(task.name)
            if tool is None:
                yield item.problem(self._tool_path(item, where), _unknown_tool(task.name, tools))
            else:
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
        catalogs = [found.model for found in self._objects if isinstance(found.model, ToolCatalog)]
        if not catalogs or any(catalog.mcp_servers for catalog in catalogs):
            return
        known = {tool.name for catalog in catalogs for tool in catalog.tools}
        for rule_index, rule in enumerate(policy.rules):
            for index, name in enumerate(rule.match.tools):
                if name not in known:
                    message = (
                        f"no catalog among the files has a tool {name!r}{suggestion(name, sorted(known))}"
                    )
                    path = f"spec.rules[{rule_index}].match.tools[{index}]"
                    yield item.problem(path, message, self._missing)

    def _agent(self, item: Object, agent: Agent) -> Iterator[Problem]:
        tools, complete = yield from self._tools(item, agent.catalogs, "spec.catalogs")
        for index, pattern in enumerate(agent.tools):
            if complete and tools and not any(fnmatchcase(name, pattern) for name in tools):
                message = f"{pattern!r} matches no tool of its catalogs{suggestion(pattern, tools)}"
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
