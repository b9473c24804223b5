"""MCP servers whose tools belong to a catalog: what its owner says of them, and what the operator has pinned.

What a server says of its tools is data from outside. What stands in `status` was checked, and is what runs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from .effect import Effect
from .meta import DnsName, JsonObject, Seconds, SomeSeconds, Strict
from .workflow import Retry

ServerName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")]
Glob = Annotated[str, StringConstraints(min_length=1, max_length=256)]
ToolPrefix = Annotated[str, StringConstraints(pattern=r"^([a-zA-Z_][a-zA-Z0-9_-]{0,39})?$")]
#: Annotations of a ToolCatalog: which changes a person accepts, and a text that asks for a discovery.
ACCEPT_DRIFT = "openworld.dev/accept-drift"
DISCOVER = "openworld.dev/discover"


class SecretKey(Strict):
    """One key of a Secret of the same namespace."""

    name: DnsName = Field(description="Name of the Secret.")
    key: str = Field(min_length=1, max_length=253, description="Key within it.")


class SecretHeader(Strict):
    """A header whose value is kept in a Secret."""

    name: str = Field(min_length=1, max_length=256, description="Name of the header.")
    prefix: str = Field(
        default="", max_length=256, description="What stands before the Secret's value, such as `Bearer `."
    )
    secret_ref: SecretKey = Field(description="Where its value is kept.")


class RefreshMode(StrEnum):
    """When a server is asked again for its tools."""

    MANUAL = "Manual"
    INTERVAL = "Interval"


class Refresh(Strict):
    """When a server is asked again for its tools; always when what the catalog says of it has changed."""

    mode: RefreshMode = Field(
        default=RefreshMode.MANUAL,
        description="Manual: when the annotation openworld.dev/discover has another text. "
        "Interval: then, and from time to time.",
    )
    seconds: Annotated[int, Field(ge=10, le=31_536_000)] = Field(
        default=3600, description="Of an Interval: from the end of one discovery to the next."
    )


class Pin(StrEnum):
    """Who takes a server's tools into the catalog."""

    FIRST = "First"
    MANUAL = "Manual"


class EffectOf(Strict):
    """The effect of some tools."""

    tools: list[Glob] = Field(min_length=1, max_length=256, description="Names, as the server has them.")
    effect: Effect = Field(description="Their effect.")


class Effects(Strict):
    """What a server's tools do to the world. What it says itself counts only where it is worse."""

    default: Effect = Field(default=Effect.DESTRUCTIVE, description="Of tools that no override names.")
    overrides: list[EffectOf] = Field(
        default_factory=list, max_length=256, description="The first that names a tool counts."
    )


class McpServer(Strict):
    """An MCP server that speaks streamable HTTP, and which of its tools belong to the catalog."""

    name: ServerName = Field(description="Name within the catalog.")
    url: str = Field(min_length=1, max_length=2048, description="Where it is.")
    headers_from: list[SecretHeader] = Field(
        default_factory=list, max_length=16, description="Headers of every request to it."
    )
    allow: list[Glob] = Field(
        default_factory=lambda: ["*"],
        max_length=256,
        description="Which of its tools, by their names as the server has them. Unset: all.",
    )
    deny: list[Glob] = Field(default_factory=list, max_length=256, description="Which of those not.")
    prefix: ToolPrefix = Field(
        default="", description="Stands before a tool's own name; both together are its name in the catalog."
    )
    effects: Effects = Field(default_factory=Effects, description="What its tools do to the world.")
    pin: Pin = Field(
        default=Pin.FIRST,
        description="First: what the first discovery finds is taken as it is. Manual: nothing is, "
        "until the annotation openworld.dev/accept-drift names its digest.",
    )
    refresh: Refresh = Field(default_factory=Refresh, description="When it is asked again for its tools.")
    retry: Retry = Field(default_factory=Retry, description="Retries of a failed attempt of its tools.")
    timeout_seconds: SomeSeconds = Field(
        default=300, description="Of a call of a tool, and of a discovery: from the container's start."
    )
    poll_timeout_seconds: Seconds = Field(
        default=300, description="Of a call of a tool: until the container starts; 0: no limit."
    )


class Hints(Strict):
    """What a server says of a tool's effect. Believed only where it makes it worse."""

    read_only: bool | None = Field(default=None, description="MCP's readOnlyHint.")
    destructive: bool | None = Field(default=None, description="MCP's destructiveHint.")


class DiscoveredTool(Strict):
    """A tool as its server described it, checked."""

    name: str = Field(description="Its name, as the server has it.")
    description: str = Field(default="", description="What the model is told of it.")
    input_schema: JsonObject = Field(description="JSON Schema of its input.")
    schema_digest: str = Field(description="SHA-256 of its schema.")
    hints: Hints = Field(default_factory=Hints, description="What the server says of its effect.")
    digest: str = Field(description="SHA-256 of all of this, and of the server's name.")


class LeftOut(Strict):
    """A tool of a server that cannot be used."""

    name: str = Field(description="Its name, as far as that can be shown.")
    reason: str = Field(description="Why.")


class Discovered(Strict):
    """The tools of a server as of one discovery."""

    digest: str = Field(description="SHA-256 of the tools: what accepts them all.")
    tools: list[DiscoveredTool] = Field(default_factory=list, description="The tools, by name.")


class Discovery(Strict):
    """A discovery that is going on. Recorded before its Job is created."""

    number: int = Field(description="Which one, counted from 1.")
    job: str = Field(description="Name of its Job.")
    started_at: str = Field(description="When it was decided on (RFC 3339).")
    server: str = Field(description="SHA-256 of what the catalog said of the server.")
    asked: str = Field(default="", description="The annotation openworld.dev/discover at that time.")


class McpServerStatus(Strict):
    """What the operator knows of an MCP server of a catalog."""

    name: ServerName = Field(description="Name within the catalog.")
    digest: str = Field(default="", description="SHA-256 of the pinned tools; empty before there are any.")
    tools: list[DiscoveredTool] = Field(default_factory=list, description="The pinned tools: what may run.")
    found: Discovered | None = Field(
        default=None, description="The tools as of the last discovery, where they are not the pinned ones."
    )
    left_out: list[LeftOut] = Field(default_factory=list, description="Tools that cannot be used.")
    discovering: Discovery | None = Field(default=None, description="The discovery that is going on.")
    last: Discovery | None = Field(default=None, description="The last discovery that has ended.")
    ended_at: str = Field(default="", description="When that was (RFC 3339).")
    discovered_at: str = Field(default="", description="When a discovery last succeeded (RFC 3339).")
    failures: int = Field(default=0, description="Discoveries that have failed since then.")
    problem: str = Field(default="", description="Why the last one failed.")


class Change(StrEnum):
    """How a tool differs from what was pinned."""

    CHANGED = "Changed"
    NEW = "New"
    GONE = "Gone"


class DriftedTool(Strict):
    """A tool that a server offers otherwise than it was pinned: denied until a person accepts that."""

    name: str = Field(description="Name in the catalog.")
    server: ServerName = Field(description="Its server.")
    change: Change = Field(description="Changed, New or Gone.")
    differs: list[str] = Field(
        default_factory=list, description="Of a changed one: inputSchema, description, hints."
    )
    accept: str = Field(description="What the annotation openworld.dev/accept-drift must name to accept it.")
