"""The ToolCatalog resource: the tools that may be run, kept in Git by the people who own them.

A tool's `run` is the operator's configuration; the model's input never reaches it. Nothing here
is read from a run's input.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from .effect import Effect
from .mcpserver import DriftedTool, McpServer, McpServerStatus
from .meta import Condition, DnsName, JsonObject, Seconds, SomeSeconds, Strict, ToolName
from .workflow import Compensation, Retry, Timeouts

#: Stands for the operator's worker image, which no record should depend on.
BUILT_IN_IMAGE = "openworld.dev/builtin"


class ReportChannel(StrEnum):
    """How a tool's container says its result."""

    TERMINATION_MESSAGE = "TerminationMessage"
    TASK_RESULT = "TaskResult"


class PullPolicy(StrEnum):
    """When the kubelet pulls the image (Kubernetes' imagePullPolicy)."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class KeyReference(Strict):
    """One key of a Secret or ConfigMap of the same namespace."""

    name: DnsName = Field(description="Name of the Secret or ConfigMap.")
    key: str = Field(min_length=1, max_length=253, description="Key within it.")


class EnvSource(Strict):
    """Where an environment variable's value is kept."""

    secret_key_ref: KeyReference | None = Field(default=None, description="A key of a Secret.")
    config_map_key_ref: KeyReference | None = Field(default=None, description="A key of a ConfigMap.")


class EnvVar(Strict):
    """An environment variable of a tool's container."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$", description="Name; OPENWORLD_ is reserved.")
    value: str | None = Field(default=None, max_length=32768, description="A literal value.")
    value_from: EnvSource | None = Field(default=None, description="A reference to a Secret or ConfigMap.")


class Resources(Strict):
    """Compute resources of a container, as Kubernetes quantities."""

    requests: dict[str, str | int] = Field(default_factory=dict, description="Guaranteed: cpu, memory.")
    limits: dict[str, str | int] = Field(default_factory=dict, description="Upper bounds: cpu, memory.")


class Container(Strict):
    """The container that runs a tool."""

    image: str = Field(min_length=1, max_length=1024, description="Image reference; a digest is best.")
    image_pull_policy: PullPolicy = Field(default=PullPolicy.IF_NOT_PRESENT, description="When to pull.")
    command: list[str] = Field(default_factory=list, description="Entry point; unset: the image's.")
    args: list[str] = Field(default_factory=list, description="Arguments.")
    env: list[EnvVar] = Field(default_factory=list, description="Environment.")
    resources: Resources = Field(default_factory=Resources, description="Compute resources.")


class Run(Strict):
    """How a tool runs: as one Job for each attempt."""

    container: Container = Field(description="The container.")
    service_account_name: DnsName | None = Field(
        default=None, description="Service account of the pod. Unset: openworld-task."
    )
    report: ReportChannel = Field(
        default=ReportChannel.TERMINATION_MESSAGE,
        description="TaskResult for workers with the SDK: ending without a report is then a failure, and "
        "only then does the pod get an API token (unless serviceAccountName is set).",
    )


class RateLimit(Strict):
    """How many may start in a time."""

    count: int = Field(ge=1, le=10_000, description="Starts.")
    per_seconds: SomeSeconds = Field(description="In this many seconds.")


class Tool(Timeouts):
    """One tool: what it takes, what it does, how it runs."""

    name: ToolName = Field(description="Name; valid for every model's tool calling.")
    description: str = Field(default="", max_length=4096, description="What the model is told of it.")
    input_schema: JsonObject = Field(description="JSON Schema of the input.")
    input_template: JsonObject = Field(
        default_factory=dict, description="What the input holds where a task says nothing."
    )
    output_schema: JsonObject | None = Field(default=None, description="JSON Schema of the output.")
    effect: Effect = Field(description="Read, Write or Destructive.")
    run: Run = Field(description="How it runs.")
    retry: Retry = Field(default_factory=Retry, description="Retries of a failed attempt.")
    timeout_seconds: Seconds = Field(
        default=300, description="From the container's start to the end; 0 means no limit."
    )
    poll_timeout_seconds: Seconds = Field(
        default=300,
        description="Until the container starts: pod not scheduled, image not there; 0: no limit.",
    )
    compensation: Compensation | None = Field(
        default=None, description="What undoes a task of this tool, once it has completed."
    )
    concurrency_limit: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Tasks of this tool at a time in the namespace; 0: any number.",
    )
    rate_limit: RateLimit | None = Field(
        default=None, description="How often tasks of this tool may start in the namespace."
    )
    idempotent: bool = Field(
        default=False,
        description="Running twice does no harm. Otherwise a Write or Destructive attempt whose "
        "outcome is unknown is not retried.",
    )


class ToolCatalog(Strict):
    """A list of tools under one owner."""

    tools: list[Tool] = Field(default_factory=list, max_length=256, description="The tools.")
    mcp_servers: list[McpServer] = Field(
        default_factory=list,
        max_length=16,
        description="MCP servers whose tools belong to the catalog too, once they are discovered and pinned.",
    )


class ToolStatus(Strict):
    """A tool as the operator accepted it."""

    name: str = Field(description="Name of the tool.")
    digest: str = Field(description="SHA-256 of its canonical definition.")
    source: str = Field(default="spec", description="The MCP server that it is of, or `spec`.")


class ToolCatalogStatus(Strict):
    """What the operator says of a catalog."""

    conditions: list[Condition] = Field(
        default_factory=list,
        description="Valid: its tools can be run. Discovered: its MCP servers offer what is pinned.",
    )
    observed_generation: int = Field(
        default=0, description="The metadata.generation that this status is about."
    )
    digest: str = Field(
        default="",
        description="SHA-256 of the canonical spec; with MCP servers, of it and of their tools as pinned.",
    )
    tools: list[ToolStatus] = Field(default_factory=list, description="The accepted tools.")
    drifted: list[DriftedTool] = Field(
        default_factory=list, description="Tools that are denied until a person accepts their change."
    )
    mcp_servers: list[McpServerStatus] = Field(
        default_factory=list, description="The MCP servers and what is pinned of each."
    )
    discoveries: int = Field(default=0, description="How many discoveries there have been.")
