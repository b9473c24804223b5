"""Whether a definition can be worked with: read strictly, checked, and its policy compiled.

The same judgement serves a decision, the webhook and the definition's Valid condition, so what a person
sees in `kubectl apply` and `kubectl get` is what a run will meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from openworld.api import Agent, Execution, JsonObject, Policy, ToolCatalog, Workflow
from openworld.engine.needs import Definition
from openworld.governance import compile_problems
from openworld.kube import Resource
from openworld.kube.resources import AGENTS, EXECUTIONS, POLICIES, TOOL_CATALOGS, WORKFLOWS
from openworld.language.canonical import digest
from openworld.language.checks import check_agent, check_catalog, check_policy, check_workflow
from openworld.language.reading import Finding, InvalidResource, read

AnyDefinition = Workflow | ToolCatalog | Policy | Agent


@dataclass(frozen=True, slots=True)
class Assessment:
    """A definition, or what an Execution says, as it was judged. `model` is None when its shape is wrong."""

    model: AnyDefinition | Execution | None
    digest: str
    findings: tuple[Finding, ...]

    @property
    def problem(self) -> str:
        """What is wrong, each with its exact place; empty when nothing is."""
        return "; ".join(f"{finding.path}: {finding.message}" for finding in self.findings)


def _check_policy(policy: Policy) -> list[Finding]:
    return [*check_policy(policy), *compile_problems(policy)]


def _check_execution(execution: Execution) -> list[Finding]:
    return check_workflow(execution.workflow, "spec.workflow") if execution.workflow is not None else []


_KINDS: dict[Resource, tuple[type[Any], Callable[[Any], list[Finding]]]] = {
    WORKFLOWS: (Workflow, check_workflow),
    TOOL_CATALOGS: (ToolCatalog, check_catalog),
    POLICIES: (Policy, _check_policy),
    AGENTS: (Agent, check_agent),
    EXECUTIONS: (Execution, _check_execution),
}


def assess(resource: Resource, body: JsonObject) -> Assessment:
    """Judge a Workflow, ToolCatalog, Policy or Agent, or the spec of an Execution."""
    kind, check = _KINDS[resource]
    try:
        model = read(kind, body.get("spec") or {})
    except InvalidResource as error:
        return Assessment(None, "", error.findings)
    return Assessment(model, digest(model.wire()), tuple(check(model)))


def definition_of(resource: Resource, body: JsonObject) -> Definition:
    """A definition as a decision sees it: without its model when anything is wrong with it."""
    assessed = assess(resource, body)
    name = body["metadata"]["name"]
    if assessed.problem:
        problem = f"{resource.kind} {name!r} is not valid: {assessed.problem}"
        return Definition(name, None, digest=assessed.digest, problem=problem)
    return Definition(name, cast("AnyDefinition", assessed.model), digest=assessed.digest)
