"""The Policy resource: what may be proposed, what needs a person, and the budgets.

Deny wins over RequireApproval, which wins over Allow; where no rule matches, the answer is Deny.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from pydantic import Field, field_validator, model_validator

from .effect import Effect
from .meta import GROUP, Condition, Dollars, HostPattern, SomeSeconds, Strict, ToolName
from .workflow import TaskType

#: The label of a policy that binds every execution, whether its workflow names it or not.
MANDATORY = f"{GROUP}/mandatory"
#: An annotation of a Workflow: who has committed it.
COMMITTER = f"{GROUP}/committer"


class Mode(StrEnum):
    """Whether the rules bind or are only recorded."""

    ENFORCE = "Enforce"
    AUDIT = "Audit"


class Scope(StrEnum):
    """Which tasks the rules bind."""

    PROPOSED = "Proposed"
    ALL = "All"


class RuleDecision(StrEnum):
    """What a matching rule says."""

    ALLOW = "Allow"
    REQUIRE_APPROVAL = "RequireApproval"
    DENY = "Deny"


#: Task types that reach people, time or other definitions: judged wherever the rules bind.
JUDGED = (
    TaskType.HUMAN,
    TaskType.WAIT,
    TaskType.SUB_WORKFLOW,
    TaskType.AGENT,
    TaskType.START_WORKFLOW,
    TaskType.HTTP,
    TaskType.EVENT,
    TaskType.LLM_CHAT_COMPLETE,
    TaskType.LIST_MCP_TOOLS,
    TaskType.CALL_MCP_TOOL,
)
#: What may be proposed beside tools. Control flow (FORK_JOIN, SWITCH, …) only decides what comes next and
#: is not judged; each task that it leads to is. EVENT, and what calls a model or MCP, is only authored.
PROPOSABLE = (
    TaskType.HUMAN,
    TaskType.WAIT,
    TaskType.SUB_WORKFLOW,
    TaskType.AGENT,
    TaskType.START_WORKFLOW,
    TaskType.HTTP,
    TaskType.COMPENSATE,
    TaskType.INLINE,
    TaskType.JSON_JQ_TRANSFORM,
    TaskType.NOOP,
    TaskType.SET_VARIABLE,
)


#: What a rule may name.
_NAMEABLE = (TaskType.SIMPLE, *dict.fromkeys((*JUDGED, *PROPOSABLE)))


class Match(Strict):
    """Which items a rule is about: each given list must contain the item's value."""

    tools: list[ToolName] = Field(default_factory=list, description="Names of tools.")
    effects: list[Effect] = Field(default_factory=list, description="Effects of tools.")
    types: list[TaskType] = Field(
        default_factory=list,
        description="Task types: SIMPLE (any tool), HUMAN, WAIT, SUB_WORKFLOW, AGENT, START_WORKFLOW, HTTP, "
        "EVENT, LLM_CHAT_COMPLETE, LIST_MCP_TOOLS, CALL_MCP_TOOL; "
        "of proposed tasks INLINE, JSON_JQ_TRANSFORM, NOOP, SET_VARIABLE too.",
    )

    hosts: list[HostPattern] = Field(
        default_factory=list,
        max_length=256,
        description="Hosts of HTTP tasks: exactly, or `*.example.com` for all below it. Allowing a proposed "
        "HTTP task takes one.",
    )

    @field_validator("types")
    @classmethod
    def _are_judged(cls, types: list[TaskType]) -> list[TaskType]:
        for one in types:
            if one not in _NAMEABLE:
                raise ValueError(
                    f"{one.value} is control flow and is not judged, only the tasks it leads to are; "
                    f"types may name {', '.join(_NAMEABLE)}"
                )
        return types


class OnTimeout(StrEnum):
    """What becomes of an item that nobody has decided on in time."""

    DENY = "Deny"
    ESCALATE = "Escalate"
    APPROVE = "Approve"


class Approval(Strict):
    """How a person's consent is given."""

    count: int = Field(default=1, ge=1, le=10, description="Distinct people who must approve.")
    timeout_seconds: SomeSeconds = Field(default=3600, description="Without consent by then: denied.")
    on_timeout: OnTimeout = Field(
        default=OnTimeout.DENY,
        description="Deny; Escalate: people are told, and have the same time once more; Approve, which only "
        "a rule for the effect Read may say.",
    )
    not_requester: bool = Field(default=True, description="Who requested the execution may not approve.")
    not_committer: bool = Field(
        default=False,
        description="Whom the Workflow's annotation openworld.dev/committer names may not approve.",
    )


class Rule(Strict):
    """One rule: who it is about (`match`), when it holds (`when`), and what it says."""

    name: str = Field(min_length=1, max_length=63, description="Name; stands in the verdict.")
    match: Match = Field(default_factory=Match, description="Which items; empty: every item.")
    when: str | None = Field(
        default=None,
        max_length=4096,
        description="CEL over item, tool, execution, proposal, now; must be a bool.",
    )
    decision: RuleDecision = Field(description="Allow, RequireApproval or Deny.")
    approval: Approval = Field(default_factory=Approval, description="For RequireApproval.")
    message: str = Field(default="", max_length=1024, description="What people and the agent are told.")

    @model_validator(mode="after")
    def _consents_to_reads_alone(self) -> Rule:
        if self.approval.on_timeout is OnTimeout.APPROVE and self.match.effects != [Effect.READ]:
            raise ValueError(
                "approval.onTimeout: Approve is for reading tools alone: set match.effects: [Read], "
                "or let it deny"
            )
        return self


def nano_usd(text: str) -> int:
    """An amount of US dollars as whole billionths of one."""
    return int(Decimal(text) * 1_000_000_000)


def usd(nano: int) -> str:
    """Billionths of a US dollar as dollars."""
    return f"{Decimal(nano) / 1_000_000_000:f}"


def is_money(limit: str) -> bool:
    """Whether a limit, a run's or an agent's own, is one of money."""
    return limit.startswith("costUSD")


def amount_text(limit: str, amount: int) -> str:
    """An amount of a limit for people: of money in US dollars, which is counted in billionths."""
    return usd(amount) if is_money(limit) else str(amount)


class RequireCompensation(Strict):
    """Which proposed tools must say what undoes them."""

    effects: list[Effect] = Field(min_length=1, description="Effects of tools.")


class OnExceeded(StrEnum):
    """What becomes of an agent whose budget is used up."""

    FAIL = "Fail"
    ASK_HUMAN = "AskHuman"


class Limits(Strict):
    """Budgets of one execution. Unset means the default; there is no unlimited."""

    turns: int = Field(default=12, ge=1, le=1000, description="Turns of each agent task.")
    tasks: int = Field(default=200, ge=1, le=100_000, description="Proposed tasks of the execution.")
    tasks_per_proposal: int = Field(default=10, ge=1, le=1000, description="Items of one proposal.")
    concurrent_tasks: int = Field(default=20, ge=1, le=1000, description="Jobs at a time; more wait.")
    depth: int = Field(default=3, ge=1, le=20, description="Nesting of proposals and child executions.")
    rejections: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Consecutive turns with nothing allowed, after which the agent fails.",
    )
    tokens: int = Field(
        default=200_000,
        ge=1,
        description="Tokens in and out of all agents and LLM_CHAT_COMPLETE tasks together.",
    )
    cost_usd: Dollars = Field(
        default="10.00",
        alias="costUSD",
        description="US dollars for the tokens of all agents together, by the prices that each Agent states.",
    )
    duration_seconds: SomeSeconds = Field(default=7200, description="Time since the execution's start.")
    on_exceeded: OnExceeded = Field(
        default=OnExceeded.FAIL,
        description="When an agent has used up turns, tokens, costUSD or durationSeconds: Fail; or AskHuman: "
        "it waits for a person, who may grant as much again. Of several policies all must say AskHuman.",
    )
    extension: Approval = Field(
        default_factory=Approval, description="For AskHuman: how a person's consent is given."
    )

    @model_validator(mode="after")
    def _takes_consent_to_grow(self) -> Limits:
        if self.extension.on_timeout is OnTimeout.APPROVE:
            raise ValueError("extension.onTimeout: no budget grows because nobody has answered; let it deny")
        return self


class Policy(Strict):
    """Rules and budgets for the executions whose workflow names it."""

    mode: Mode = Field(default=Mode.ENFORCE, description="Audit records what would be denied and allows it.")
    scope: Scope = Field(default=Scope.PROPOSED, description="All binds authored tasks too.")
    limits: Limits = Field(default_factory=Limits, description="Budgets.")
    require_atomic: bool = Field(
        default=False, description="One denied item denies the whole proposal, whatever the proposal says."
    )
    require_compensation: RequireCompensation | None = Field(
        default=None,
        description="A proposed tool of these effects must have a compensation: its own, or the item's.",
    )
    rules: list[Rule] = Field(default_factory=list, max_length=256, description="The rules.")


class PolicyStatus(Strict):
    """What the operator says of a policy."""

    conditions: list[Condition] = Field(
        default_factory=list,
        description="Valid: it can be judged by. A policy that is not denies everything.",
    )
    observed_generation: int = Field(
        default=0, description="The metadata.generation that this status is about."
    )
    digest: str = Field(default="", description="SHA-256 of the canonical spec.")
