"""The definitions of a namespace, judged as the operator judges them, and found as it finds them."""

from __future__ import annotations

from openworld.api import JsonObject
from openworld.engine.needs import Definition, DefinitionKind
from openworld.engine.validity import definition_of
from openworld.language.versions import choose, name_of, version_in

_Known = tuple[JsonObject, Definition]


class Definitions:
    """Workflows, ToolCatalogs, Policies and Agents by the name of their object."""

    def __init__(self) -> None:
        self._held: dict[tuple[DefinitionKind, str], _Known] = {}

    def put(
        self, kind: DefinitionKind, name: str, spec: JsonObject, status: JsonObject | None = None
    ) -> Definition:
        """Add or replace an object; returns what the engine will be told of it.

        `status` is the operator's: what a ToolCatalog has pinned of its MCP servers.
        """
        definition = definition_of(kind.value, name, spec, status)
        self._held[kind, name] = (spec, definition)
        return definition

    def find(self, kind: DefinitionKind, name: str, version: int | None = None) -> Definition:
        """The definition of that name; of a Workflow, the latest version unless one is asked for."""
        problem = f"{kind.value} {name!r} does not exist"
        if kind is DefinitionKind.WORKFLOW:
            definition, problem = choose(name, version, self._workflows(name))
        else:
            definition = self._held.get((kind, name), (None, None))[1]
        return definition or Definition(name, None, problem=problem, missing=True)

    def _workflows(self, name: str) -> list[tuple[int, str, Definition]]:
        return [
            (version_in(spec), object_name, definition)
            for (kind, object_name), (spec, definition) in self._held.items()
            if kind is DefinitionKind.WORKFLOW and name_of(object_name, spec) == name
        ]

    def reference_to(self, name: str) -> JsonObject:
        """How the Workflow of an object's name is referred to, where none is called so itself."""
        spec, _ = self._held.get((DefinitionKind.WORKFLOW, name), ({}, None))
        if not spec or self._workflows(name):
            return {"name": name}
        return {"name": name_of(name, spec), "version": version_in(spec)}
