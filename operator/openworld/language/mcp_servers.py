"""What can be known to be wrong with a catalog's MCP servers before any of them is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from openworld.api.mcpserver import McpServer

from .mcp import OWN
from .reading import Finding, joined
from .requests import Reading

#: What `status.tools` says of a tool that the catalog defines itself.
SPEC = "spec"


def mcp_server_findings(servers: Sequence[McpServer], path: str = "spec.mcpServers") -> Iterator[Finding]:
    """What is wrong with MCP servers, in document order."""
    first: dict[str, str] = {}
    reading = Reading(authored=False)
    for index, server in enumerate(servers):
        where = joined(path, [index])
        if first.setdefault(server.name, where) != where:
            message = f"the server {server.name!r} is defined already, at {first[server.name]}"
            yield Finding(f"{where}.name", message)
        if server.name == SPEC:
            yield Finding(f"{where}.name", f"{SPEC!r} stands for the catalog's own tools; use another name")
        if message := reading.url(server.url):
            yield Finding(f"{where}.url", message)
        names: set[str] = set()
        for number, header in enumerate(server.headers_from):
            below = f"{where}.headersFrom[{number}]"
            for steps, message in reading.headers({header.name: header.prefix}, OWN):
                yield Finding(f"{below}.name" if message.startswith(repr(steps[-1])) else below, message)
            if header.name.lower() in names:
                yield Finding(f"{below}.name", f"the header {header.name!r} is set already")
            names.add(header.name.lower())
