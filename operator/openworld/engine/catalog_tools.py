"""A catalog's tools as one list: those of its spec, and those of its MCP servers as they are pinned.

Whoever judges a tool sees an ordinary Tool; what its Job is told of the server is the catalog's own
configuration, and nothing of a model's input or of the server's words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import orjson
from pydantic import ValidationError

from openworld.api import Effect, JsonObject, Tool, ToolCatalog
from openworld.api.mcpserver import (
    ACCEPT_DRIFT,
    Change,
    DiscoveredTool,
    DriftedTool,
    McpServer,
    McpServerStatus,
)
from openworld.api.toolcatalog import BUILT_IN_IMAGE
from openworld.governance import Withheld
from openworld.language.mcp_servers import SPEC
from openworld.language.reading import Finding

from .discovered import is_wanted, name_problem
from .pins import drift

#: The variable of a header's secret value; the catalog's own variables never reach such a Job.
SECRET = "MCP_SECRET_"  # noqa: S105  (a name, not a secret)
_COMMAND = ("python", "-m", "openworld_worker.builtin")
_SEVERITY = (Effect.READ, Effect.WRITE, Effect.DESTRUCTIVE)


@dataclass(frozen=True, slots=True)
class Merged:
    """The tools of a catalog, each with its source, those that are withheld, and what is wrong with them."""

    tools: tuple[tuple[Tool, str], ...]
    withheld: Mapping[str, Withheld] = field(default_factory=dict)
    drifted: tuple[DriftedTool, ...] = ()
    findings: tuple[Finding, ...] = ()


def statuses_in(status: JsonObject | None) -> tuple[McpServerStatus, ...]:
    """What a catalog's status says of its MCP servers; nothing of what cannot be read counts as pinned."""
    found: list[McpServerStatus] = []
    for each in (status or {}).get("mcpServers") or ():
        try:
            found.append(McpServerStatus.model_validate(each))
        except ValidationError:
            continue
    return tuple(found)


def merged(catalog: ToolCatalog, statuses: Sequence[McpServerStatus]) -> Merged:
    """The tools that a catalog has, by its spec and by what is pinned."""
    known = {status.name: status for status in statuses}
    tools = [(tool, SPEC) for tool in catalog.tools]
    withheld: dict[str, Withheld] = {}
    drifted: list[DriftedTool] = []
    taken: dict[str, str] = {tool.name: SPEC for tool in catalog.tools}
    findings: list[Finding] = []
    for index, server in enumerate(catalog.mcp_servers):
        status = known.get(server.name)
        if status is None:
            continue
        changes = {each.name: each for each in drift(server, status)}
        drifted += changes.values()
        for pinned in status.tools:
            if not is_wanted(server, pinned.name):
                continue
            name = server.prefix + pinned.name
            source = taken.setdefault(name, server.name)
            if source != server.name:
                of = "spec.tools" if source == SPEC else f"the server {source!r}"
                message = (
                    f"its tool {name!r} has the name of one of {of}; give the server a prefix, or deny it"
                )
                findings.append(Finding(f"spec.mcpServers[{index}]", message))
            elif name in changes:
                withheld[name] = Withheld(_why(changes[name]), was_usable=True)
            elif problem := name_problem(name):  # under another prefix it was one
                withheld[name] = Withheld(problem, was_usable=False)
            else:
                tool = _read(server, pinned)
                if isinstance(tool, Tool):
                    tools.append((tool, server.name))
                else:
                    withheld[name] = Withheld(tool, was_usable=True)
    for change in drifted:
        if change.name not in taken:
            withheld[change.name] = Withheld(_why(change), was_usable=False)
    return Merged(tuple(tools), withheld, tuple(drifted), tuple(findings))


def tool_of(server: McpServer, pinned: DiscoveredTool) -> Tool:
    """A tool of a server as an ordinary one, which runs as the built-in tool `mcp`."""
    effect = effect_of(server, pinned)
    arguments = ["--repeatable"] if effect is Effect.READ else []
    return Tool.model_validate(
        {
            "name": server.prefix + pinned.name,
            "description": pinned.description,
            "inputSchema": pinned.input_schema,
            "effect": effect.value,
            "run": run_of(server, "mcp", [*arguments, f"--method={pinned.name}"]),
            "retry": server.retry.wire(),
            "timeoutSeconds": server.timeout_seconds,
            "pollTimeoutSeconds": server.poll_timeout_seconds,
        }
    )


def _read(server: McpServer, pinned: DiscoveredTool) -> Tool | str:
    """The tool, or why what is pinned makes none."""
    try:
        return tool_of(server, pinned)
    except ValidationError as error:
        name = server.prefix + pinned.name
        where = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
        return f"tool {name!r} is pinned in a form that no tool can have ({where}); ask its server again"


def run_of(server: McpServer, tool: str, arguments: Sequence[str] = ()) -> JsonObject:
    """How a built-in tool runs that speaks with a catalog's server."""
    said: dict[str, Any] = {"url": server.url, "headers": []}
    env: list[JsonObject] = []
    for index, header in enumerate(server.headers_from):
        variable = f"{SECRET}{index}"
        said["headers"].append({"name": header.name, "prefix": header.prefix, "variable": variable})
        env.append({"name": variable, "valueFrom": {"secretKeyRef": header.secret_ref.wire()}})
    text = orjson.dumps(said).decode().replace("$", "$$")  # the kubelet would put a variable for $(NAME)
    container = {
        "image": BUILT_IN_IMAGE,
        "command": [*_COMMAND, tool],
        "args": [f"--server={text}", *arguments],
        "env": env,
    }
    return {"container": container, "report": "TaskResult"}


def effect_of(server: McpServer, pinned: DiscoveredTool) -> Effect:
    """What a tool does: as the catalog says, or worse where its server says so."""
    stated = server.effects.default
    for override in server.effects.overrides:
        if any(fnmatchcase(pinned.name, glob) for glob in override.tools):
            stated = override.effect
            break
    worst: Effect = max(stated, *_said(pinned), key=_SEVERITY.index)
    return worst


def _said(pinned: DiscoveredTool) -> Iterator[Effect]:
    yield Effect.WRITE if pinned.hints.read_only is False else Effect.READ
    yield Effect.DESTRUCTIVE if pinned.hints.destructive else Effect.READ


def _why(drifted: DriftedTool) -> str:
    accept = f"a person accepts that by the annotation {ACCEPT_DRIFT}: {drifted.accept}"
    what = {
        Change.CHANGED: f"offers it otherwise than it was pinned ({', '.join(drifted.differs)})",
        Change.NEW: "offers it since it was pinned",
        Change.GONE: "does not offer it any more, or not so that it could be used",
    }[drifted.change]
    return f"tool {drifted.name!r} has drifted: the MCP server {drifted.server!r} {what}; {accept}"
