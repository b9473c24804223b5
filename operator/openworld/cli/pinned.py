"""What a catalog's file says of its MCP servers: the operator's status, as kubectl prints it.

What cannot be read of it counts for nothing to a verdict; a person is told where it stands, and what is not
known without it. Judges no tool.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from openworld.api import JsonObject, McpServerStatus
from openworld.api.mcpserver import McpServer
from openworld.engine.catalog_tools import statuses_in
from openworld.engine.discoveries import server_digest
from openworld.language.reading import Finding, InvalidResource, read

_MOST_NAMED = 3


def status_of(body: JsonObject) -> JsonObject | None:
    """The status that a catalog's file holds; None where it holds none that is an object."""
    status = body.get("status")
    return status if isinstance(status, dict) else None


def status_findings(body: JsonObject) -> Iterator[Finding]:
    """Where a catalog's file holds a status that no operator has written, in document order."""
    status = body.get("status")
    if status is None:
        return
    if not isinstance(status, dict):
        yield Finding("status", "must be an object, as `kubectl get otc NAME -o yaml` prints it")
        return
    servers = status.get("mcpServers")
    if servers is not None and not isinstance(servers, list):
        yield Finding("status.mcpServers", "must be a list, as `kubectl get otc NAME -o yaml` prints it")
        return
    first: dict[str, str] = {}
    for index, server in enumerate(servers or ()):
        path = f"status.mcpServers[{index}]"
        try:
            found = read(McpServerStatus, server, path=path)
        except InvalidResource as error:
            yield from error.findings
            continue
        if first.setdefault(found.name, path) != path:
            message = f"the server {found.name!r} stands there already, at {first[found.name]}"
            yield Finding(f"{path}.name", message)


def is_known(server: McpServer, status: JsonObject | None) -> bool:
    """Whether a catalog's status says what is pinned of a server, or waits to be."""
    known = {each.name: each for each in statuses_in(status)}
    found = known.get(server.name)
    return found is not None and (bool(found.digest) or found.found is not None)


def server_notes(name: str, servers: Sequence[McpServer], status: JsonObject | None) -> Iterator[str]:
    """What a reader must know of the verdicts on the tools of a catalog's servers."""
    unknown = [server.name for server in servers if not is_known(server, status)]
    if unknown:
        more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
        named = ", ".join(unknown[:_MOST_NAMED]) + more
        yield (
            f"ToolCatalog {name!r} names MCP servers ({named}) whose tools its file does not say, so they "
            f"are not known here; a file with the operator's status says them: kubectl get otc {name} -o yaml"
        )
    asked = {each.name: each.last for each in statuses_in(status)}
    for server in servers:
        last = asked.get(server.name)
        if last is not None and last.server != server_digest(server):
            yield (
                f"the status in the file of ToolCatalog {name!r} is of another text of the MCP server "
                f"{server.name!r}: the operator will ask it again, and may find other tools"
            )
