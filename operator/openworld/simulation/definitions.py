"""The definitions of a namespace, judged as the operator judges them, and found as it finds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openworld.api import Agent, JsonObject, Policy, ToolCatalog, Workflow
from openworld.engine.needs import Definition, DefinitionKind
from openworld.governance import compile_problems
from openworld.language.canonical import digest
from openworld.language.checks import check_agent, check_catalog, check_policy, check_workflow
from openworld.language.reading import Finding, InvalidResource, read


def _check_policy(policy: Policy) -> list[Finding]:
    return [*check_policy(policy), *compile_problems(policy)]


_KINDS: dict[DefinitionKind, tuple[type[Any], Callable[[Any], list[Finding]]]] = {
    DefinitionKind.WORKFLOW: (Workflow, check_workflow),
    DefinitionKind.TOOL_CATALOG: (ToolCatalog, check_catalog),
    DefinitionKind.POLICY: (Policy, _check_policy),
    DefinitionKind.AGENT: (Agent, check_agent),
}


@dataclass(frozen=True, slots=True)
class _Held:
    """A definition and what a Workflow is known by besides its object's name."""

    definition: Definition
    name: str = ""
    version: int = 1


class Definitions:
    """Workflows, ToolCatalogs, Policies and Agents by the name of their object."""

    def __init__(self) -> None:
        self._held: dict[tuple[DefinitionKind, str], _Held] = {}

    def put(self, kind: DefinitionKind, name: str, spec: JsonObject) -> Definition:
        """Add or replace an object; returns what the engine will be told of it."""
        model_type, check = _KINDS[kind]
        known_as, version = spec.get("name"), spec.get("version", 1)
        try:
            model = read(model_type, spec)
        except InvalidResource as error:
            definition = Definition(name, None, problem=f"{kind.value} {name!r} is not valid: {error}")
        else:
            problem = "; ".join(f"{finding.path}: {finding.message}" for finding in check(model))
            definition = Definition(
                name,
                None if problem else model,
                digest(model.wire()),
                f"{kind.value} {name!r} is not valid: {problem}" if problem else "",
            )
        self._held[kind, name] = _Held(
            definition,
            name=known_as if kind is DefinitionKind.WORKFLOW and isinstance(known_as, str) else "",
            version=version if isinstance(version, int) else 1,
        )
        return definition

    def find(self, kind: DefinitionKind, name: str, version: int | None = None) -> Definition:
        """The definition of that name. A Workflow: by `spec.name` or else its object's name, the
        latest version unless one is asked for."""
        if kind is DefinitionKind.WORKFLOW:
            held = self._workflow(name, version)
        else:
            held = self._held.get((kind, name))
        if held is not None:
            return held.definition
        wanted = f"{kind.value} {name!r}" + (f" version {version}" if version is not None else "")
        return Definition(name, None, problem=f"{wanted} does not exist", missing=True)

    def _workflow(self, name: str, version: int | None) -> _Held | None:
        workflows = [
            (object_name, held)
            for (kind, object_name), held in self._held.items()
            if kind is DefinitionKind.WORKFLOW
        ]
        named = [held for object_name, held in workflows if (held.name or object_name) == name]
        named = named or [held for object_name, held in workflows if object_name == name]
        fitting = [held for held in named if version is None or held.version == version]
        return max(fitting, key=lambda held: held.version, default=None)
