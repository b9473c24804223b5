"""What can be known to be wrong with a definition before it ever runs.

Each check is a function from a typed resource to findings, in document order, and judges nothing that only
the world knows: whether a tool, an agent or another workflow exists is asked at run time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from openworld.api import Agent, Policy, Task, TaskType, ToolCatalog, Workflow
from openworld.api.meta import Json
from openworld.api.policy import Approval, RuleDecision
from openworld.api.toolcatalog import BUILT_IN_IMAGE, EnvVar
from openworld.api.workflow import Compensation, TimeoutPolicy

from .expressions import ExpressionError, Reference, find, references
from .mcp_servers import mcp_server_findings
from .reading import MAX_FINDINGS, Finding, InvalidResource, joined, read, suggestion, under
from .schemas import check_schema
from .secrets import is_secret, named_in
from .task_checks import problems_of

#: What `${workflow.…}` offers.
WORKFLOW_KEYS = (
    "input",
    "output",
    "secrets",
    "env",
    "status",
    "workflowId",
    "workflowType",
    "version",
    "correlationId",
    "variables",
    "parentWorkflowId",
    "reasonForIncompletion",
)
_WITH_SECRETS = (
    TaskType.SIMPLE,
    TaskType.HTTP,
    TaskType.LLM_CHAT_COMPLETE,
    TaskType.LIST_MCP_TOOLS,
    TaskType.CALL_MCP_TOOL,
)
_FORKS = (TaskType.FORK_JOIN, TaskType.FORK_JOIN_DYNAMIC)


@dataclass(frozen=True, slots=True)
class _Array:
    """An array of tasks and where it stands."""

    path: str
    tasks: Sequence[Task]

    def paths(self) -> Iterator[tuple[str, Task]]:
        for index, task in enumerate(self.tasks):
            yield f"{self.path}[{index}]", task

    @property
    def is_graph(self) -> bool:
        """With dependsOn anywhere the array is a graph; otherwise it runs in order."""
        return any(task.depends_on is not None for task in self.tasks)


def check_workflow(workflow: Workflow, path: str = "spec") -> list[Finding]:
    """What is wrong with a workflow, the first `MAX_FINDINGS` of it; empty if it can run."""
    return list(islice(_check_workflow(workflow, path), MAX_FINDINGS))


def _check_workflow(workflow: Workflow, path: str) -> Iterator[Finding]:
    arrays = list(_arrays(_Array(joined(path, ["tasks"]), workflow.tasks)))
    refs = _refs(arrays)
    yield from _duplicates(arrays)
    for array in arrays:
        for where, task in array.paths():
            for steps, message in problems_of(task):
                yield Finding(joined(where, steps), message)
            yield from _names(where, task)
            yield from _expressions(joined(where, ["inputParameters"]), task.input_parameters, refs)
            yield from _expressions(joined(where, ["items"]), task.items, refs)
            yield from _expressions(joined(where, ["sink"]), task.sink, refs)
            yield from _secrets(where, task)
            yield from _compensation(joined(where, ["compensation"]), task.compensation)
            yield from _compensated(where, task, refs)
            yield from _inline_definition(where, task, refs)
            yield from _join_on(where, task, refs)
        yield from _depends_on(array)
    if workflow.output_parameters is not None:
        here = joined(path, ["outputParameters"])
        yield from _expressions(here, workflow.output_parameters, refs)
        yield from _no_secrets(here, workflow.output_parameters)
    yield from _schema(joined(path, ["inputSchema"]), workflow.input_schema)
    yield from _schema(joined(path, ["outputSchema"]), workflow.output_schema)
    if workflow.timeout_policy is TimeoutPolicy.RETRY:
        message = "a workflow is not retried: TIME_OUT_WF or ALERT_ONLY"
        yield Finding(joined(path, ["timeoutPolicy"]), message)


def check_catalog(catalog: ToolCatalog, path: str = "spec") -> list[Finding]:
    """What is wrong with a tool catalog; empty if its tools can run."""
    findings: list[Finding] = []
    first: dict[str, str] = {}
    for index, tool in enumerate(catalog.tools):
        where = joined(path, ["tools", index])
        if first.setdefault(tool.name, where) != where:
            message = f"the tool {tool.name!r} is defined already, at {first[tool.name]}"
            findings.append(Finding(f"{where}.name", message))
        if tool.name.isupper():
            message = (
                f"{tool.name!r} is spelt like a task type, whose approval is another right; use small letters"
            )
            findings.append(Finding(f"{where}.name", message))
        findings += _schema(f"{where}.inputSchema", tool.input_schema)
        findings += _schema(f"{where}.outputSchema", tool.output_schema)
        findings += _compensation(f"{where}.compensation", tool.compensation)
        findings += _env(f"{where}.run.container.env", tool.run.container.env)
        if tool.run.container.image == BUILT_IN_IMAGE:
            message = f"{BUILT_IN_IMAGE} stands for the operator's own image; name another"
            findings.append(Finding(f"{where}.run.container.image", message))
    return [*findings, *mcp_server_findings(catalog.mcp_servers, joined(path, ["mcpServers"]))]


def check_policy(policy: Policy, path: str = "spec") -> list[Finding]:
    """What is wrong with a policy apart from the CEL in it, which governance compiles."""
    findings: list[Finding] = []
    first: dict[str, str] = {}
    for index, rule in enumerate(policy.rules):
        where = joined(path, ["rules", index])
        if first.setdefault(rule.name, where) != where:
            message = f"the rule {rule.name!r} is defined already, at {first[rule.name]}; verdicts name rules"
            findings.append(Finding(f"{where}.name", message))
        if rule.decision is not RuleDecision.REQUIRE_APPROVAL and rule.approval != Approval():
            message = f"has no effect with decision {rule.decision}; it belongs to RequireApproval"
            findings.append(Finding(f"{where}.approval", message))
    return findings


def check_agent(agent: Agent, path: str = "spec") -> list[Finding]:
    """What is wrong with an agent; empty if it can take turns."""
    findings = _schema(joined(path, ["outputSchema"]), agent.output_schema)
    for name, paths in (("include", agent.context.include), ("redact", agent.context.redact)):
        for index, jsonpath in enumerate(paths):
            try:
                find({}, jsonpath)
            except ExpressionError as error:
                findings.append(Finding(joined(path, ["context", name, index]), str(error)))
    return findings


def _arrays(array: _Array) -> Iterator[_Array]:
    """An array and, in document order, those within its tasks."""
    yield array
    for where, task in array.paths():
        for inner, tasks in arrays_of(task, where):
            yield from _arrays(_Array(inner, tasks))


def arrays_of(task: Task, where: str) -> Iterator[tuple[str, list[Task]]]:
    """The arrays of tasks that a task holds, each with its path, in document order."""
    for case, tasks in task.decision_cases.items():
        yield joined(where, ["decisionCases", case]), tasks
    yield f"{where}.defaultCase", task.default_case
    for index, branch in enumerate(task.fork_tasks):
        yield f"{where}.forkTasks[{index}]", branch
    yield f"{where}.loopOver", task.loop_over


def _refs(arrays: list[_Array]) -> set[str]:
    """Every ref that an expression may name, those of implied joins included."""
    refs = {task.task_reference_name for array in arrays for task in array.tasks}
    for array in arrays:
        following = [*array.tasks[1:], None]
        for task, after in zip(array.tasks, following, strict=False):
            has_join = after is not None and after.type is TaskType.JOIN
            if task.type in _FORKS and not has_join and not array.is_graph:
                refs.add(f"{task.task_reference_name}_join")
    return refs


def _inline_definition(where: str, task: Task, refs: set[str]) -> list[Finding]:
    """What is wrong with the definition that a SUB_WORKFLOW carries, or with the expression in its place."""
    definition = task.sub_workflow_param.workflow_definition if task.sub_workflow_param else None
    here = joined(where, ["subWorkflowParam", "workflowDefinition"])
    if isinstance(definition, str):
        if "${" not in definition:
            return [Finding(here, "must be a definition, or an expression that gives one")]
        return list(_expressions(here, definition, refs))
    if definition is None:
        return []
    try:
        return check_workflow(read(Workflow, definition, path=here), path=here)
    except InvalidResource as error:
        return list(error.findings)


def _secrets(where: str, task: Task) -> Iterator[Finding]:
    """Secrets reach only what runs in a Job, and are named in full."""
    here = joined(where, ["inputParameters"])
    if task.type not in _WITH_SECRETS:
        yield from _no_secrets(here, task.input_parameters)
        return
    try:
        named_in(task.input_parameters)
    except ExpressionError as error:
        if "secrets" in str(error):
            yield Finding(here, str(error))


def _no_secrets(where: str, value: Json) -> Iterator[Finding]:
    try:
        found = [reference for reference in references(value) if is_secret(reference)]
    except ExpressionError:  # told by the check of expressions
        return
    for reference in found:
        kinds = " and ".join(kind.value for kind in _WITH_SECRETS)
        yield Finding(under(where, reference.where), f"{reference.text}: secrets reach only {kinds} tasks")


def _compensation(where: str, compensation: Compensation | None) -> Iterator[Finding]:
    """What undoes a task sees its input, its output, and the input of the run."""
    if compensation is None:
        return
    here = joined(where, ["input"])
    try:
        found = list(references(compensation.input))
    except ExpressionError:
        yield from _unreadable(here, compensation.input)
        return
    for reference in found:
        if reference.root not in ("input", "output") and not reference.names_run_input:
            seen = "${input…}, ${output…} and ${workflow.input…}"
            yield Finding(under(here, reference.where), f"{reference.text}: a compensation sees only {seen}")


def _compensated(where: str, task: Task, refs: set[str]) -> Iterator[Finding]:
    """A COMPENSATE task undoes a task that exists."""
    scope = task.input_parameters.get("scope")
    if task.type is not TaskType.COMPENSATE or scope is None:
        return
    here = joined(where, ["inputParameters", "scope"])
    if not isinstance(scope, str):
        yield Finding(here, "must be the reference name of a task")
    elif "${" not in scope and scope not in refs:
        message = f"refers to task {scope!r}, which does not exist{suggestion(scope, sorted(refs))}"
        yield Finding(here, message)


def _duplicates(arrays: list[_Array]) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for array in arrays:
        for where, task in array.paths():
            ref = task.task_reference_name
            if first.setdefault(ref, where) != where:
                yield Finding(
                    f"{where}.taskReferenceName",
                    f"the task reference name {ref!r} is used already, at {first[ref]}; "
                    "it must be unique within the workflow, nested tasks included",
                )


def _names(where: str, task: Task) -> Iterator[Finding]:
    ref = task.task_reference_name
    if ref == "workflow":
        yield Finding(f"{where}.taskReferenceName", "'workflow' is taken: ${workflow.…} is the run itself")
    if "__" in ref:
        yield Finding(
            f"{where}.taskReferenceName", f"{ref!r} contains '__', which is kept for refs that are generated"
        )


def _expressions(where: str, value: Json, refs: set[str]) -> Iterator[Finding]:
    try:
        found = list(references(value))
    except ExpressionError:
        yield from _unreadable(where, value)
        return
    for reference in found:
        for problem in _dangling(reference, refs):
            yield Finding(under(where, reference.where), problem)


def _unreadable(where: str, value: Json) -> Iterator[Finding]:
    """The findings of a value that holds a malformed expression: the innermost place is named."""
    if isinstance(value, str):
        try:
            references(value)
        except ExpressionError as error:
            yield Finding(where, str(error))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unreadable(joined(where, [key]), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unreadable(f"{where}[{index}]", item)


def _dangling(reference: Reference, refs: set[str]) -> Iterator[str]:
    root = reference.root
    if root.startswith("${") or root in refs or _iteration_of(root) in refs:
        return
    if root != "workflow":
        dotted = [ref for ref in refs if "." in ref and reference.text[2:].strip().startswith(ref)]
        quoted = f"; write ${{['{dotted[0]}']…}} for a ref with a dot in it" if dotted else ""
        meant = quoted or suggestion(root, sorted(refs | {"workflow"}))
        yield f"{reference.text} refers to task {root!r}, which does not exist{meant}"
        return
    key = reference.path
    for end in ".[(":
        key = key.split(end, 1)[0]
    if key and "${" not in key and key not in WORKFLOW_KEYS:
        meant = suggestion(key, WORKFLOW_KEYS)
        yield f"{reference.text}: workflow has no {key!r}{meant or '.'} Known: {', '.join(WORKFLOW_KEYS)}"


def _iteration_of(root: str) -> str:
    """The ref of a loop's body that a ref with its iteration (`step__2`, `step__2__1`) belongs to."""
    plain, *numbers = root.split("__")
    return plain if numbers and all(number.isdigit() for number in numbers) else root


def _join_on(where: str, task: Task, refs: set[str]) -> Iterator[Finding]:
    named = {"joinOn": task.join_on, "defaultExclusiveJoinTask": task.default_exclusive_join_task}
    for field, joined_refs in named.items():
        for index, ref in enumerate(joined_refs):
            if ref not in refs:
                message = f"refers to task {ref!r}, which does not exist{suggestion(ref, sorted(refs))}"
                yield Finding(f"{where}.{field}[{index}]", message)


def _depends_on(array: _Array) -> Iterator[Finding]:
    needs = {task.task_reference_name: task.depends_on or [] for task in array.tasks}
    for where, task in array.paths():
        for index, ref in enumerate(task.depends_on or ()):
            if ref not in needs:
                message = (
                    f"refers to task {ref!r}, which is not in the same list of tasks"
                    f"{suggestion(ref, sorted(needs))}"
                )
                yield Finding(f"{where}.dependsOn[{index}]", message)
    cycle = _cycle(needs)
    if cycle:
        where = next(path for path, task in array.paths() if task.task_reference_name == cycle[0])
        yield Finding(f"{where}.dependsOn", f"the tasks depend on each other in a cycle: {' → '.join(cycle)}")


def _cycle(needs: dict[str, list[str]]) -> list[str]:
    """The first cycle in document order, its first ref repeated at the end; empty if there is none."""
    done: set[str] = set()
    for start in needs:
        trail: dict[str, Iterator[str]] = {}
        current: str | None = start if start not in done else None
        while current is not None:
            trail.setdefault(current, iter(needs[current]))
            following = next((ref for ref in trail[current] if ref in needs and ref not in done), None)
            if following is None:
                done.add(current)
                del trail[current]
                current = next(reversed(trail), None)
            elif following in trail:
                refs = list(trail)
                return [*refs[refs.index(following) :], following]
            else:
                current = following
    return []


def _schema(where: str, schema: Json) -> list[Finding]:
    return [] if schema is None else [Finding(where, problem) for problem in check_schema(schema)]


def _env(where: str, variables: Sequence[EnvVar]) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        here, source = f"{where}[{index}]", variable.value_from
        if variable.name in seen:
            yield Finding(here, f"{variable.name} is set twice")
        seen.add(variable.name)
        if variable.name.startswith("OPENWORLD_"):
            yield Finding(f"{here}.name", "names that begin with OPENWORLD_ are reserved")
        if (variable.value is None) == (source is None):
            yield Finding(here, "needs exactly one of value and valueFrom")
        if source is not None and (source.secret_key_ref is None) == (source.config_map_key_ref is None):
            yield Finding(f"{here}.valueFrom", "needs exactly one of secretKeyRef and configMapKeyRef")
