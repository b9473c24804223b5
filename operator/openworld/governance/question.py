"""What a verdict is asked on: the gathered inputs, as values. Nothing here is fetched or computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from openworld.api import Agent, JsonObject, Policy, Task, ToolCatalog


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why a tool is not to be had for now. `was_usable`: it was before, so its name is still its own."""

    reason: str
    was_usable: bool


@dataclass(frozen=True, slots=True)
class CatalogSource:
    """A catalog as it stands now; `catalog` is None when it is missing or invalid.

    Its tools are those of its MCP servers too; `withheld` are those that have drifted, by name.
    """

    name: str
    digest: str
    catalog: ToolCatalog | None
    problem: str = ""
    withheld: Mapping[str, Withheld] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PolicySource:
    """A policy as it stands now. One that is missing or invalid denies everything."""

    name: str
    digest: str
    policy: Policy | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class AgentSource:
    """The agent that proposes."""

    name: str
    digest: str
    agent: Agent


@dataclass(frozen=True, slots=True)
class ExecutionFacts:
    """What rules may know of the execution; `started` counts its tasks so far, by tool or task type."""

    name: str
    namespace: str
    uid: str
    input: JsonObject
    requested_by: str
    service_account: str
    started_at_ms: int
    workflow_name: str
    started: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Amounts:
    """An amount of each budget that children share with their parents: proposed tasks, tokens, cost."""

    tasks: int = 0
    tokens: int = 0
    cost_nano_usd: int = 0

    @classmethod
    def of(cls, data: JsonObject) -> Amounts:
        """The amounts of what `wire` gives. Raises KeyError when one is missing."""
        return cls(data["tasks"], data["tokens"], data["costNanoUSD"])

    def wire(self) -> JsonObject:
        """The amounts as events and `status.usage` hold them."""
        return {"tasks": self.tasks, "tokens": self.tokens, "costNanoUSD": self.cost_nano_usd}

    def each(self) -> tuple[int, int, int]:
        """The amounts, in the order of the fields."""
        return self.tasks, self.tokens, self.cost_nano_usd

    def minus(self, other: Amounts) -> Amounts:
        """What is left of these when others are taken away; it may be less than nothing."""
        return Amounts(*(a - b for a, b in zip(self.each(), other.each(), strict=True)))

    def plus(self, other: Amounts) -> Amounts:
        """Both together."""
        return Amounts(*(a + b for a, b in zip(self.each(), other.each(), strict=True)))


@dataclass(frozen=True, slots=True)
class Spent:
    """What the execution has used, and lent to its children; `depth` is where the items would run.

    `granted` is what its parent lets it use in all; None where there is no parent. `extended` and
    `extended_seconds` are what people have granted beyond the policies' limits.
    """

    used: Amounts = field(default_factory=Amounts)
    granted: Amounts | None = None
    extended: Amounts = field(default_factory=Amounts)
    extended_seconds: int = 0
    turn: int = 0
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """A task of the proposer's that did not succeed, with the input that it had.

    `is_unknown`: it may have done its work all the same.
    """

    task: Task
    input: JsonObject
    is_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """Everything a verdict depends on.

    `access` holds the answers of access reviews by tool: absent means not asked yet. `visible` are
    the refs that proposed text may name, `own` those that the proposer has brought forth, `failed` those of
    them that may be tried again, `taken` those that exist, `prefix` goes before a short ref and
    `suffix` (of an iteration) behind it. `most_bytes` is how large a proposal may be.
    `proposed` is false for authored tasks: budgets of proposals do not bind them, and rules only
    where `bind_policy` says so. `counts` is the `Verdict.counts` of the proposal that a single task
    came from; empty for authored tasks.
    """

    execution: ExecutionFacts
    now_ms: int
    proposer: str
    catalogs: tuple[CatalogSource, ...]
    policies: tuple[PolicySource, ...]
    access: Mapping[str, bool]
    visible: frozenset[str] = frozenset()
    taken: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    failed: Mapping[str, Failed] = field(default_factory=dict)
    prefix: str = ""
    suffix: str = ""
    most_bytes: int = 64 * 1024
    spent: Spent = field(default_factory=Spent)
    agent: AgentSource | None = None
    bind_policy: bool = True
    proposed: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)

    def full_ref(self, short: str) -> str:
        """The ref that an item gets."""
        return f"{self.prefix}{short}{self.suffix}"

    def short_ref(self, full: str) -> str:
        """The ref that an item was proposed under."""
        return full.removesuffix(self.suffix).removeprefix(self.prefix)
