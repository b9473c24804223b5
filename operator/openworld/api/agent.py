"""The Agent resource: the reasoning side of an AGENT task.

Anything that widens an agent's reach stands here, in a reviewed definition, never in a run's input.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from .meta import Condition, DnsName, Dollars, JsonObject, NamedReference, SomeSeconds, Strict
from .toolcatalog import Resources
from .workflow import Retry


class Provider(StrEnum):
    """Where an agent's proposals come from."""

    SCRIPTED = "scripted"


class ScriptReference(Strict):
    """A ConfigMap whose keys, in order, are the proposals of turn 1, 2, …"""

    config_map_name: DnsName = Field(
        description="Name of the ConfigMap; each value is a proposal, or a model's message, in YAML or JSON."
    )


class Price(Strict):
    """US dollars for a million tokens; unset: nothing. It counts against `costUSD` of the policies."""

    input_per_million: Dollars = Field(default="0", description="Prompt tokens.")
    cached_per_million: Dollars | None = Field(
        default=None, description="Prompt tokens that a cache has served; unset: as other prompt tokens."
    )
    output_per_million: Dollars = Field(default="0", description="Completion tokens.")


class Model(Strict):
    """The model that proposes."""

    provider: Provider = Field(description="scripted: proposals from a ConfigMap, no key and no network.")
    script: ScriptReference = Field(description="The proposals of the scripted provider.")
    price: Price = Field(default_factory=lambda: Price(), description="What its tokens cost.")


class Context(Strict):
    """What of the execution the model sees."""

    history_turns: int = Field(default=20, ge=0, le=1000, description="Earlier turns shown.")
    include: list[str] = Field(
        default_factory=lambda: ["$.workflow.input", "$.tasks"],
        max_length=64,
        description="JSONPaths into {workflow, tasks, variables} that are shown.",
    )
    redact: list[str] = Field(
        default_factory=list, max_length=64, description="JSONPaths whose values are replaced by [redacted]."
    )


class AgentLimits(Strict):
    """Budgets that tighten the policy's; they can never widen them."""

    turns: int | None = Field(default=None, ge=1, le=1000, description="Turns of one task of this agent.")
    tokens: int | None = Field(default=None, ge=1, description="Tokens of one task of this agent.")
    cost_usd: Dollars | None = Field(
        default=None, alias="costUSD", description="US dollars for the tokens of one task of this agent."
    )


class Agent(Strict):
    """An agent: instructions, model, the tools it may name, what it sees, what it must answer."""

    instructions: str = Field(default="", max_length=65536, description="System instructions.")
    model: Model = Field(description="The model that proposes.")
    catalogs: list[DnsName] = Field(
        default_factory=list, description="ToolCatalogs whose tools it may propose."
    )
    policy_ref: NamedReference | None = Field(
        default=None, description="A Policy that binds what it proposes, beside the workflow's."
    )
    tools: list[str] = Field(
        default_factory=lambda: ["*"], description="Names or globs of the tools it may propose."
    )
    output_schema: JsonObject | None = Field(default=None, description="JSON Schema of its answer.")
    context: Context = Field(default_factory=Context, description="What it sees.")
    limits: AgentLimits = Field(default_factory=AgentLimits, description="Its budgets.")
    retry: Retry = Field(
        default_factory=lambda: Retry(count=3, delay_seconds=5), description="Retries of a failed turn."
    )
    turn_timeout_seconds: SomeSeconds = Field(default=300, description="A turn longer than this has failed.")
    resources: Resources = Field(default_factory=Resources, description="Compute resources of a turn's pod.")


class AgentStatus(Strict):
    """What the operator says of an agent."""

    conditions: list[Condition] = Field(default_factory=list, description="Valid: it can take turns.")
    observed_generation: int = Field(
        default=0, description="The metadata.generation that this status is about."
    )
    digest: str = Field(default="", description="SHA-256 of the canonical spec.")
