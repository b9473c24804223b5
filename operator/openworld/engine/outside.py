"""What must exist outside: the answer of `desired(state)`.

Names are deterministic (execution uid and `seq`), so creating twice meets the same object.
"""

from __future__ import annotations

from dataclasses import dataclass

from openworld.api import Agent, Grant, JsonObject, Tool


@dataclass(frozen=True, slots=True)
class DesiredJob:
    """One attempt of a tool, or one turn of an agent, as one Job.

    Exactly one of `tool` and `agent` is set. `earlier` are the attempts before it: the Job is
    created only when none of their Jobs has an active or terminating pod. `deadline_seconds` is
    the Job's activeDeadlineSeconds, a backstop behind the engine's own timer. `secrets` say
    where in the input a key of a Secret is to stand. A `builtin` tool runs the operator's worker image.
    """

    seq: int
    ref: str
    attempt: int
    input: JsonObject
    idempotency_key: str
    deadline_seconds: int
    tool: Tool | None = None
    builtin: bool = False
    agent: Agent | None = None
    agent_name: str = ""
    turn: int | None = None
    context: JsonObject | None = None
    earlier: tuple[int, ...] = ()
    secrets: tuple[JsonObject, ...] = ()


@dataclass(frozen=True, slots=True)
class DesiredChild:
    """One execution that this one starts.

    `version` and `workflow_digest` say which definition it must find, where that was asked for or
    approved; it ends at once when it finds another. `definition` is an inline one. A `detached`
    execution (START_WORKFLOW, a failure workflow) is no child: it is only started, and a
    `ChildStarted` fact says so. One with an `idempotency_key` is started at most once for that key and
    workflow; `returns_existing` says whether that other time counts as this one. The end of a child that was
    revived less than `revivals` times is an old one: it has to be retried first. `proposed`: its
    definition came with a proposal. `policies` bind it beside
    its own, and `grant` is what it may use of this run's budgets.
    """

    seq: int
    ref: str
    workflow_name: str
    input: JsonObject
    depth: int
    version: int | None = None
    workflow_digest: str = ""
    definition: JsonObject | None = None
    detached: bool = False
    correlation_id: str = ""
    idempotency_key: str = ""
    returns_existing: bool = False
    revivals: int = 0
    proposed: bool = False
    policies: tuple[str, ...] = ()
    grant: Grant | None = None


def spec_of_child(
    child: DesiredChild, *, name: str, uid: str, requested_by: str, service_account_name: str
) -> JsonObject:
    """The Execution's spec: under the account and the requester of the execution that starts it."""
    spec: JsonObject = {"correlationId": child.correlation_id} if child.correlation_id else {}
    if child.definition is not None:
        spec["workflow"] = child.definition
    else:
        spec["workflowRef"] = {"name": child.workflow_name}
        if child.version is not None:
            spec["workflowRef"]["version"] = child.version
    parent: JsonObject = {"name": name, "uid": uid, "seq": child.seq, "depth": child.depth}
    if child.ref:
        parent["ref"] = child.ref
    if child.workflow_digest:
        parent["workflowDigest"] = child.workflow_digest
    if child.detached:
        parent["detached"] = True
    if child.proposed:
        parent["proposed"] = True
    if child.policies:
        parent["policies"] = list(child.policies)
    if child.grant is not None:
        parent["grant"] = child.grant.wire()
    return spec | {
        "input": child.input,
        "requestedBy": requested_by,
        "serviceAccountName": service_account_name,
        "parent": parent,
    }


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything that must exist now, and what must not.

    `jobs` and `children` hold what must be there, `claims` the limits under which this run has a place, each
    with the ref of its task (empty for the run itself). `stop` names attempts (by seq) whose Job or
    child must not go on. `wake_at_ms` is when time alone changes the answer (epoch, milliseconds).
    """

    jobs: tuple[DesiredJob, ...] = ()
    children: tuple[DesiredChild, ...] = ()
    stop: frozenset[int] = frozenset()
    claims: frozenset[tuple[str, str]] = frozenset()
    wake_at_ms: int | None = None
