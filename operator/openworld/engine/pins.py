"""What is pinned of an MCP server, how what it offers has drifted from that, and what a person has accepted.

A pin moves in two ways only: the first discovery makes it (unless the catalog says `pin: Manual`), and a
person accepts a change by naming its digest. Pure: the controller writes what comes out into the status.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set

from openworld.api.mcpserver import (
    Change,
    Discovered,
    DiscoveredTool,
    DriftedTool,
    McpServer,
    McpServerStatus,
    Pin,
)
from openworld.language.canonical import digest

from .discovered import Found, discovered, is_wanted

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def accepted_in(annotation: str) -> frozenset[str]:
    """The digests that an annotation names, whatever stands between them."""
    return frozenset(_DIGEST.findall(annotation))


def with_found(server: McpServer, status: McpServerStatus, found: Found) -> McpServerStatus:
    """The status after a discovery that succeeded."""
    is_first = not status.digest and status.found is None and server.pin is Pin.FIRST
    changes: dict[str, object] = {"left_out": list(found.left_out), "found": found.tools}
    if is_first:
        changes |= {"tools": found.tools.tools, "digest": found.tools.digest}
    return _settled(server, status.model_copy(update=changes))


def with_accepted(server: McpServer, status: McpServerStatus, accepted: Set[str]) -> McpServerStatus:
    """The status with the pins moved to what a person has accepted."""
    if status.found is None or not accepted:
        return status
    if status.found.digest in accepted:
        tools = {tool.name: tool for tool in status.found.tools}
    else:
        tools = {tool.name: tool for tool in status.tools}
        new = {tool.name: tool for tool in status.found.tools}
        for drifted in drift(server, status):
            if drifted.accept not in accepted:
                continue
            name = drifted.name.removeprefix(server.prefix)
            if name in new:
                tools[name] = new[name]
            else:
                del tools[name]
        if [tool.digest for tool in status.tools] == [tool.digest for tool in tools.values()]:
            return status
    pinned = discovered(server.name, list(tools.values()))
    return _settled(server, status.model_copy(update={"tools": pinned.tools, "digest": pinned.digest}))


def drift(server: McpServer, status: McpServerStatus) -> tuple[DriftedTool, ...]:
    """What the server offers otherwise than it was pinned, by name."""
    return tuple(_drift(server, status, status.found)) if status.found is not None else ()


def _drift(server: McpServer, status: McpServerStatus, found: Discovered) -> Iterator[DriftedTool]:
    pinned = {tool.name: tool for tool in status.tools if is_wanted(server, tool.name)}
    offered = {tool.name: tool for tool in found.tools if is_wanted(server, tool.name)}
    for name in sorted({*pinned, *offered}):
        was, now = pinned.get(name), offered.get(name)
        if was is not None and now is not None and was.digest == now.digest:
            continue
        change = Change.NEW if was is None else Change.GONE if now is None else Change.CHANGED
        accept = (
            now.digest if now is not None else digest({"server": server.name, "gone": was and was.digest})
        )
        yield DriftedTool(
            name=server.prefix + name,
            server=server.name,
            change=change,
            differs=_differs(was, now) if was is not None and now is not None else [],
            accept=accept,
        )


def _differs(was: DiscoveredTool, now: DiscoveredTool) -> list[str]:
    parts = {
        "inputSchema": was.schema_digest != now.schema_digest,
        "description": was.description != now.description,
        "hints": was.hints.wire() != now.hints.wire(),
    }
    return [part for part, is_other in parts.items() if is_other]


def _settled(server: McpServer, status: McpServerStatus) -> McpServerStatus:
    """Without what was found, if nothing of it has drifted; the pin forgets what is not wanted any more."""
    if status.found is None or not status.digest or drift(server, status):
        return status
    found = status.found
    return status.model_copy(update={"tools": found.tools, "digest": found.digest, "found": None})
