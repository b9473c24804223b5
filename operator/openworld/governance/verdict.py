"""What a verdict says: item by item, with the check and the rule that decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from openworld.api import JsonObject, Task, Tool
from openworld.api.policy import Approval, Limits

#: What is said of a task that an author wrote and that no policy's rules bind: by which rule, and why.
AUTHORED, AUTHORED_REASON = "authored", "authored in the workflow's definition"


class Decision(StrEnum):
    """What becomes of an item."""

    ALLOWED = "Allowed"
    DENIED = "Denied"
    NEEDS_APPROVAL = "NeedsApproval"


class Check(StrEnum):
    """The checks, in the order in which they are asked."""

    SHAPE = "shape"
    CATALOG = "catalog"
    POLICY = "policy"
    LIMITS = "limits"
    ACCESS = "access"
    DEPENDENCY = "dependency"
    ATOMIC = "atomic"


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a check says no: the rule within it, and a sentence that an agent can act on."""

    check: Check
    rule: str
    reason: str
    policy: str = ""


@dataclass(frozen=True, slots=True)
class ItemVerdict:
    """The decision on one item. `task` is the normalised task with its full refs."""

    item: int
    ref: str
    short_ref: str
    decision: Decision
    check: str
    rule: str
    reason: str
    task: Task | None = None
    tool: Tool | None = None
    tool_digest: str = ""
    approval: Approval | None = None
    policy: str = ""
    audited: str = ""
    provisional: bool = False
    retry_of: str = ""

    def record(self) -> JsonObject:
        """The form in which it stands in the ledger and is told to the agent."""
        entry: JsonObject = {
            "item": self.item,
            "ref": self.ref,
            "decision": self.decision.value,
            "check": self.check,
            "rule": self.rule,
            "reason": self.reason,
        }
        if self.tool is not None:
            entry |= {"tool": self.tool.name, "toolDigest": self.tool_digest}
        if self.approval is not None:
            entry["approval"] = self.approval.model_dump(mode="json", by_alias=True)
        if self.policy:
            entry["policy"] = self.policy
        if self.audited:
            entry["audited"] = self.audited
        if self.provisional:
            entry["provisional"] = True
        if self.retry_of:
            entry["retryOf"] = self.retry_of
        return entry


def passed_access(record: JsonObject) -> bool | None:
    """What an item's record says of the access review: passed, denied by it, or not asked (None)."""
    if not record.get("tool"):
        return None
    if record["decision"] != Decision.DENIED or record.get("check") in (Check.DEPENDENCY, Check.ATOMIC):
        return True
    return False if record.get("check") == Check.ACCESS else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on a proposal.

    While `needs_access` is not empty the verdict is not final: these access reviews are open.
    `problem` means that the proposal as a whole is malformed and nothing of it is allowed. `counts`
    says how often it names each tool or task type, denied items included.
    """

    items: tuple[ItemVerdict, ...] = ()
    problem: str = ""
    answer: JsonObject | None = None
    rationale: str = ""
    needs_access: frozenset[str] = frozenset()
    policies: tuple[tuple[str, str], ...] = ()
    catalogs: tuple[tuple[str, str], ...] = ()
    rules: Mapping[str, JsonObject] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    counts: Mapping[str, int] = field(default_factory=dict)
