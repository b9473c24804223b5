"""What the status of a ToolCatalog says of its tools and of its MCP servers. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from openworld.api import JsonObject, McpServerStatus, ToolCatalog
from openworld.api.mcpserver import Change, McpServer
from openworld.engine.catalog_tools import statuses_in
from openworld.engine.pins import drift
from openworld.engine.validity import Assessment, with_pinned
from openworld.language.canonical import digest
from openworld.language.mcp_servers import SPEC

_MOST_NAMED = 10


def known_servers(body: JsonObject) -> tuple[McpServerStatus, ...]:
    """What a catalog's status holds of its MCP servers."""
    return statuses_in(body.get("status"))


def with_servers(
    assessed: Assessment, statuses: Sequence[McpServerStatus], discoveries: int
) -> tuple[Assessment, JsonObject]:
    """The judgement of a catalog with its MCP servers, and what its status says of tools and servers."""
    catalog = assessed.model
    if not isinstance(catalog, ToolCatalog):  # what is pinned outlives a spec that cannot be read
        kept = [_wire(status) for status in statuses]
        return assessed, {"tools": [], **({"mcpServers": kept, "discoveries": discoveries} if kept else {})}
    if not catalog.mcp_servers:
        return assessed, {
            **({"discoveries": discoveries} if discoveries else {}),
            "tools": [
                {"name": tool.name, "digest": digest(tool.wire()), "source": SPEC} for tool in catalog.tools
            ],
        }
    judged, found = with_pinned(assessed, catalog, statuses)
    said: JsonObject = {
        "tools": [
            {"name": tool.name, "digest": digest(tool.wire()), "source": source}
            for tool, source in found.tools
        ],
        "drifted": [drifted.model_dump(mode="json", by_alias=True) for drifted in found.drifted],
        "mcpServers": [_wire(status) for status in statuses],
        "discoveries": discoveries,
    }
    return judged, {name: value for name, value in said.items() if value != [] or name == "tools"}


def discovered_condition(catalog: ToolCatalog, statuses: Sequence[McpServerStatus]) -> tuple[str, str, str]:
    """Status, reason and message of the condition Discovered."""
    known = {status.name: status for status in statuses}
    told = [_told(server, known.get(server.name)) for server in catalog.mcp_servers]
    for holds, reason in (
        ("False", "DiscoveryFailed"),
        ("False", "Drifted"),
        ("Unknown", "Discovering"),
        ("True", "ToolsLeftOut"),
    ):
        if any(reason == each for each, _ in told):
            return holds, reason, " | ".join(message for _, message in told)
    return "True", "Discovered", " | ".join(message for _, message in told)


def _told(server: McpServer, status: McpServerStatus | None) -> tuple[str, str]:
    """The reason and the words for one server."""
    if status is None or not (status.last or status.failures):
        job = status.discovering.job if status is not None and status.discovering is not None else ""
        return "Discovering", f"{server.name}: it is asked for its tools{f' by the Job {job}' if job else ''}"
    changes = drift(server, status)
    parts = [f"{len(status.tools)} tools pinned"]
    for change in Change:
        named = [each.name for each in changes if each.change is change]
        if named:
            parts.append(f"{change.value.lower()}: {_some(named)}")
    if changes and status.found is not None:
        parts.append(f"to accept all: {status.found.digest}")
    if status.left_out:
        parts.append(
            "left out: " + "; ".join(f"{each.name}: {each.reason}" for each in status.left_out[:_MOST_NAMED])
        )
    if status.failures:
        parts.append(f"discovery {status.last.number if status.last else 0} failed: {status.problem}")
        return "DiscoveryFailed", f"{server.name}: {', '.join(parts)}"
    reason = "Drifted" if changes else "ToolsLeftOut" if status.left_out else "Discovered"
    return reason, f"{server.name}: {', '.join(parts)}"


def _some(named: list[str]) -> str:
    more = len(named) - _MOST_NAMED
    return ", ".join(named[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _wire(status: McpServerStatus) -> JsonObject:
    """The whole status: the API server would add what has a default."""
    return _without_nulls(status.model_dump(mode="json", by_alias=True))


def _without_nulls(dumped: JsonObject) -> JsonObject:
    """Only the fields of ours that are not set are left out: a null within a schema means something."""
    tools = [*dumped["tools"], *((dumped["found"] or {}).get("tools") or ())]
    for tool in tools:
        tool["hints"] = {name: value for name, value in tool["hints"].items() if value is not None}
    return {name: value for name, value in dumped.items() if value is not None}
