"""When an MCP server is asked for its tools, and what is recorded of it. Pure; times are epoch milliseconds.

A discovery is recorded before its Job exists, so a restart goes on with it; one that failed is followed by
another after a pause that grows.
"""

from __future__ import annotations

from openworld.api import Tool
from openworld.api.mcpserver import Discovery, McpServer, McpServerStatus, RefreshMode
from openworld.language.canonical import digest
from openworld.ledger import epoch_ms

from .catalog_tools import run_of
from .discovered import MOST_BYTES_OF_ALL, Found, plain, size_of
from .pins import with_found

FIRST_PAUSE_SECONDS = 10
LONGEST_PAUSE_SECONDS = 1800
#: The built-in tool that asks a server for its tools.
TOOL = "discover-mcp-tools"
_LONGEST_PROBLEM = 1000


def due_ms(server: McpServer, status: McpServerStatus, asked: str) -> int | None:
    """When the server is to be asked next; None: only when something is said anew, 0: now."""
    last = status.last
    if last is None or (last.server, last.asked) != (server_digest(server), asked):
        return 0
    if status.failures:
        pause: int = FIRST_PAUSE_SECONDS * 2 ** min(status.failures - 1, 20)
        return epoch_ms(status.ended_at) + min(pause, LONGEST_PAUSE_SECONDS) * 1000
    if server.refresh.mode is RefreshMode.INTERVAL:
        return epoch_ms(status.ended_at) + server.refresh.seconds * 1000
    return None


def is_outdated(server: McpServer, status: McpServerStatus) -> bool:
    """Whether the discovery that is going on asks what the catalog does not say any more."""
    return status.discovering is not None and status.discovering.server != server_digest(server)


def begun(
    server: McpServer, status: McpServerStatus, *, number: int, job: str, at: str, asked: str
) -> McpServerStatus:
    """The status once a discovery is decided on."""
    discovery = Discovery(number=number, job=job, started_at=at, server=server_digest(server), asked=asked)
    return status.model_copy(update={"discovering": discovery})


def succeeded(server: McpServer, status: McpServerStatus, found: Found, at: str) -> McpServerStatus:
    """The status after a discovery that found something."""
    ended = _ended(status, at)
    ended = ended.model_copy(update={"discovered_at": at, "failures": 0, "problem": ""})
    return with_found(server, ended, found)


def failed(status: McpServerStatus, reason: str, at: str) -> McpServerStatus:
    """The status after a discovery that found nothing: what is pinned stays."""
    changes = {"failures": status.failures + 1, "problem": plain(reason)[:_LONGEST_PROBLEM]}
    return _ended(status, at).model_copy(update=changes)


def is_too_much(statuses: list[McpServerStatus]) -> bool:
    """Whether a catalog's status could not hold this."""
    lists = [tools for each in statuses for tools in (each.tools, each.found.tools if each.found else [])]
    return sum(map(size_of, lists)) > MOST_BYTES_OF_ALL


def tool_for(server: McpServer) -> Tool:
    """What a discovery runs as."""
    return Tool.model_validate(
        {"name": TOOL, "inputSchema": {"type": "object"}, "effect": "Read", "run": run_of(server, TOOL)}
    )


def server_digest(server: McpServer) -> str:
    """SHA-256 of what a catalog says of a server."""
    return digest(server.wire())


def _ended(status: McpServerStatus, at: str) -> McpServerStatus:
    return status.model_copy(update={"discovering": None, "last": status.discovering, "ended_at": at})
