"""A catalog with the tools of its MCP servers, as far as its file has the operator's status."""

from __future__ import annotations

from dataclasses import replace

from openworld.api import ToolCatalog
from openworld.cli.pinned import is_known, server_notes, status_findings, status_of
from openworld.engine.catalog_tools import merged, statuses_in

from .problem import Object, Problem, Severity


def with_servers(item: Object, catalog: ToolCatalog) -> tuple[Object, list[Problem]]:
    """The catalog with what is pinned, and what is wrong with that."""
    wrong = [item.problem(each.path, each.message) for each in status_findings(item.body)]
    if not catalog.mcp_servers:
        return item, wrong
    status = None if wrong else status_of(item.body)
    found = merged(catalog, statuses_in(status))
    problems = wrong + [item.problem(each.path, each.message) for each in found.findings]
    if not wrong:
        notes = server_notes(item.name, catalog.mcp_servers, status)
        problems += [item.problem("spec.mcpServers", note, Severity.WARNING) for note in notes]
    known = replace(
        item,
        model=catalog.model_copy(update={"tools": [tool for tool, _ in found.tools]}),
        withheld={name: why.reason for name, why in found.withheld.items()},
        is_complete=all(is_known(server, status) for server in catalog.mcp_servers),
    )
    return known, problems
