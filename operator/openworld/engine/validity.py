"""Whether a definition can be worked with: read strictly, checked, and its policy compiled.

The same judgement serves a decision, the webhook, the definition's Valid condition, `openworld lint` and a
simulation, so what a person sees before is what a run will meet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from openworld.api import (
    Agent,
    Execution,
    Json,
    JsonObject,
    McpServerStatus,
    Policy,
    ToolCatalog,
    Workflow,
)
from openworld.governance import Withheld, compile_problems
from openworld.language.canonical import digest
from openworld.language.checks import check_agent, check_catalog, check_policy, check_workflow
from openworld.language.reading import Finding, InvalidResource, read, told

from .catalog_tools import Merged, merged, statuses_in
from .needs import Definition

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
        return told(self.findings)


def _check_policy(policy: Policy) -> list[Finding]:
    return [*check_policy(policy), *compile_problems(policy)]


def _check_execution(execution: Execution) -> list[Finding]:
    return check_workflow(execution.workflow, "spec.workflow") if execution.workflow is not None else []


_KINDS: dict[str, tuple[type[Any], Callable[[Any], list[Finding]]]] = {
    "Workflow": (Workflow, check_workflow),
    "ToolCatalog": (ToolCatalog, check_catalog),
    "Policy": (Policy, _check_policy),
    "Agent": (Agent, check_agent),
    "Execution": (Execution, _check_execution),
}


def assess(kind: str, spec: Json) -> Assessment:
    """Judge the spec of a Workflow, ToolCatalog, Policy, Agent or Execution."""
    model_type, check = _KINDS[kind]
    try:
        model = read(model_type, spec)
    except InvalidResource as error:
        return Assessment(None, "", error.findings)
    return Assessment(model, digest(model.wire()), tuple(check(model)))


def definition_of(kind: str, name: str, spec: Json, status: JsonObject | None = None) -> Definition:
    """A definition as a decision sees it: without its model when anything is wrong with it.

    `status` counts for a ToolCatalog: what the operator has pinned there of its MCP servers.
    """
    assessed = assess(kind, spec)
    withheld: Mapping[str, Withheld] = {}
    if isinstance(assessed.model, ToolCatalog) and assessed.model.mcp_servers:
        assessed, found = with_pinned(assessed, assessed.model, statuses_in(status))
        withheld = found.withheld
    if assessed.problem:
        problem = f"{kind} {name!r} is not valid: {assessed.problem}"
        return Definition(name, None, digest=assessed.digest, problem=problem)
    model = cast("AnyDefinition", assessed.model)
    return Definition(name, model, digest=assessed.digest, withheld=withheld)


def with_pinned(
    assessed: Assessment, catalog: ToolCatalog, statuses: Sequence[McpServerStatus]
) -> tuple[Assessment, Merged]:
    """The judgement of a catalog with the tools of its MCP servers, which its digest covers too."""
    found = merged(catalog, statuses)
    tools = [tool for tool, _ in found.tools]
    pinned = {name: why.reason for name, why in found.withheld.items()}
    known_as = digest(
        {"spec": assessed.digest, "tools": [digest(tool.wire()) for tool in tools], "withheld": pinned}
    )
    model = catalog.model_copy(update={"tools": tools})
    return Assessment(model, known_as, (*assessed.findings, *found.findings)), found
