"""What a decision asks the shell to look up; the answer that mattered stands in the event.

A need is a value: the shell answers it into a mapping, and the decision goes on from where it was.
A look-up that fails (API server away) is no answer: the shell raises, and the pass is tried again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from openworld.api import Agent, Policy, ToolCatalog, Workflow
from openworld.api.meta import Json
from openworld.governance import Withheld


class DefinitionKind(StrEnum):
    """Kinds whose objects a decision may ask for."""

    WORKFLOW = "Workflow"
    TOOL_CATALOG = "ToolCatalog"
    POLICY = "Policy"
    AGENT = "Agent"


@dataclass(frozen=True, slots=True)
class NeedDefinition:
    """An object of the execution's namespace. Answered by a `Definition`.

    A Workflow is found by its `spec.name`, else by its own; of several versions `version` says which one
    is meant, and the latest is where it does not.
    """

    kind: DefinitionKind
    name: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition as it stands now; `model` is None when it is missing or invalid (`problem` says).

    `committer` is whom its annotation names. The tools of a ToolCatalog are those of its MCP servers too, as
    they are pinned; `withheld` are those that have drifted.
    """

    name: str
    model: Workflow | ToolCatalog | Policy | Agent | None
    digest: str = ""
    problem: str = ""
    missing: bool = False
    committer: str = ""
    withheld: Mapping[str, Withheld] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NeedAccess:
    """May this service account `use` `tools.openworld.dev/<tool>`, or a Secret? Answered by a bool."""

    service_account: str
    tool: str
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class NeedScript:
    """The value of a script, run in the sandbox. Answered by a `ScriptAnswer`.

    `data` is JSON.
    """

    evaluator: str
    expression: str
    data: bytes


@dataclass(frozen=True, slots=True)
class NeedClaim:
    """A place under a limit of the namespace, for a task or (without ref) for the run. Answered by a `Claim`.

    `most` bounds how many run at a time, `rate` how many start in `per_seconds`; 0 bounds nothing.
    """

    key: str
    execution: str
    uid: str
    ref: str = ""
    most: int = 0
    rate: int = 0
    per_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """Whether there was a place; if not, when to ask again (epoch, milliseconds)."""

    granted: bool
    again_ms: int = 0


@dataclass(frozen=True, slots=True)
class NeedChild:
    """The child that the attempt `seq` of the execution `uid` has started. Answered by a `Child`."""

    uid: str
    seq: int


@dataclass(frozen=True, slots=True)
class Child:
    """How often a child was retried, rerun or restarted so far; `is_gone` when there is none any more."""

    revivals: int = 0
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class ScriptAnswer:
    """A script's value, or why there is none."""

    value: Json = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class NeedEnvironment:
    """What the operator's administrator has set for `${workflow.env…}`. Answered by an `Environment`."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Names and values."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NeedMandatory:
    """The Policies that bind every run of the namespace. Answered by a `Mandatory`."""


@dataclass(frozen=True, slots=True)
class Mandatory:
    """The Policies that are labelled mandatory, here and where the operator runs."""

    policies: tuple[Definition, ...] = ()


Need = NeedEnvironment | NeedMandatory | NeedDefinition | NeedAccess | NeedScript | NeedClaim | NeedChild
Answer = Environment | Mandatory | Definition | bool | ScriptAnswer | Claim | Child
