"""Where the engine asks governance: a proposal is judged, and each task once more before it starts.

One path: authored, forked and proposed tasks go through the same validator. What differs is whether
policy binds (authored tasks: only where the policy says `scope: All`) and whose catalogs count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from openworld.api import Agent, JsonObject, Policy, Strict, Task, TaskStatus, TaskType, ToolCatalog, Workflow
from openworld.api.policy import JUDGED, PROPOSABLE, Approval, OnTimeout
from openworld.governance import (
    AgentSource,
    Amounts,
    CatalogSource,
    Decision,
    ExecutionFacts,
    Failed,
    ItemVerdict,
    PolicySource,
    Question,
    Spent,
    Verdict,
    find_tool,
    item_digest,
    judge,
    judge_task,
)
from openworld.governance.checks import limits
from openworld.governance.checks.policy import binds_authored
from openworld.language.canonical import digest
from openworld.language.reading import told
from openworld.language.schemas import violations
from openworld.ledger import EventType, rfc3339

from . import budget, builtin, overdraft
from .context import visible_refs
from .decide import Pass
from .endings import CONTEXT_LIMIT_BYTES, OUTCOME_UNKNOWN, fail_execution, fail_task
from .needs import Definition, DefinitionKind, Mandatory, NeedAccess, NeedDefinition, NeedMandatory
from .overdraft import Overdraft
from .scopes import every_ref, outwards
from .state import Gate, Scope, State, TaskState

Policies = tuple[PolicySource, ...]
#: Who consents to a read when nobody has decided in time.
TIMEOUT = "timeout"


def digest_of(model: Strict) -> str:
    """SHA-256 of a definition's canonical form, as people wrote it."""
    return digest(model.wire())


def admit(
    p: Pass,
    scope: Scope,
    definition: Task,
    task_input: JsonObject,
    *,
    named_by_data: bool = False,
    secrets: list[JsonObject] | None = None,
) -> JsonObject | None:
    """What the TaskScheduled event says of a task that may start; None when it may not (yet).

    A denied task has failed and a gated one waits for a person when this returns None. What data names
    (DYNAMIC) is bound by policy as a proposal is.
    """
    if not must_judge(p, scope, definition, named_by_data=named_by_data):
        return None if p.needs else {}
    judged = verdict_before_start(p, scope, definition, task_input, named_by_data=named_by_data)
    if judged is None:
        return None
    verdict, task_input = judged
    item = verdict.items[0]
    if item.decision is Decision.DENIED:
        _deny(p, scope, definition.task_reference_name, verdict, task_input)
        return None
    if item.decision is Decision.NEEDS_APPROVAL and not _is_approved(
        p, scope, item, verdict, task_input, secrets or []
    ):
        return None
    return {"input": task_input, **_tool_data(p, item), **_as_judged(p, scope, item, verdict)}


def _as_judged(p: Pass, scope: Scope, item: ItemVerdict, verdict: Verdict) -> JsonObject:
    """By which rule a task starts, where no verdict on a proposal has said so with finality."""
    if not item.policy:
        return {}
    said: JsonObject = {"decision": item.decision.value, "rule": item.rule, "policy": item.policy}
    sources = _sources(verdict)
    owner = p.state.tasks.get(scope.owner or "")
    turn = next((t for t in owner.turns if t.proposal_id == scope.proposal_id), None) if owner else None
    before = next((each for each in turn.verdict if each["ref"] == item.ref), None) if turn else None
    is_final = before is not None and not before.get("provisional") and before["rule"] == item.rule
    if turn is not None and is_final and turn.policies == sources["policies"]:
        return {}
    return {"verdict": said, "policies": sources["policies"], "rules": sources["rules"]}


def verdict_before_start(
    p: Pass,
    scope: Scope,
    definition: Task,
    task_input: JsonObject,
    *,
    named_by_data: bool = False,
) -> tuple[Verdict, JsonObject] | None:
    """The verdict on a task whose input is final, and that input over its tool's template. Records nothing.

    None while something is looked up (`p.needs`).
    """
    ref = definition.task_reference_name
    suffix = scope.suffix if scope.proposed else ""
    question = _question(p, scope, proposer=scope.owner or ref, prefix=scope.prefix, suffix=suffix)
    if question is None:
        return None
    if named_by_data:
        question = replace(question, bind_policy=True)
    if scope.proposed:  # it was counted when it was proposed, and what would undo it
        used = question.spent.used.minus(Amounts(tasks=limits.tasks_of(definition)))
        question = replace(question, spent=replace(question.spent, used=used))
    if scope.compensates:  # it was counted when its task was, and no budget stands in its way now
        brought = scope.proposed and p.state.tasks[scope.compensates].definition.compensation is not None
        question = replace(question, proposed=False, agent=question.agent if brought else None)
    task_input = _over_template(question, definition, task_input)
    verdict = judge_task(question, definition, task_input, scope.retries.get(ref, ""))
    return (verdict, task_input) if _has_access_answers(p, verdict) else None


def _over_template(question: Question, definition: Task, task_input: JsonObject) -> JsonObject:
    """A tool's input: what the task says over what the tool's inputTemplate says."""
    if definition.type is not TaskType.SIMPLE:
        return task_input
    tool = find_tool(question.catalogs, definition.name)
    return task_input if isinstance(tool, str) else tool.input_template | task_input


def must_judge(p: Pass, scope: Scope, definition: Task, *, named_by_data: bool = False) -> bool:
    """Whether a task is judged before it starts: tools and what is proposed are, others if policy binds."""
    if definition.type is TaskType.SIMPLE or scope.proposed:
        return True
    if p.state.is_proposed and definition.type in PROPOSABLE:
        return True
    if definition.type not in JUDGED:
        return False
    if named_by_data or p.state.spec.workflow is not None:
        return True
    return any(map(binds_authored, policies(p, agents_of(p.state, scope)) or ()))


def _has_access_answers(p: Pass, verdict: Verdict) -> bool:
    account = p.state.spec.service_account_name
    for tool in sorted(verdict.needs_access):
        p.ask(NeedAccess(account, tool))
    return not verdict.needs_access


def _deny(p: Pass, scope: Scope, ref: str, verdict: Verdict, task_input: JsonObject) -> None:
    item = verdict.items[0]
    p.emit(
        EventType.PROPOSAL_JUDGED,
        ref=ref,
        stage="BeforeStart",
        scope=scope.id,
        input=task_input,
        items=[item.record()],
        **_sources(verdict),
    )
    fail_task(p, ref, scope, f"Denied ({item.check}, {item.rule}): {item.reason}", terminal=True)


def _is_approved(
    p: Pass,
    scope: Scope,
    item: ItemVerdict,
    verdict: Verdict,
    task_input: JsonObject,
    secrets: list[JsonObject],
) -> bool:
    """Whether people have approved exactly this item; asks them when they have not."""
    ref = item.ref
    subject = _subject(p, item, task_input)
    if subject is None:
        return False
    approval = item.approval or Approval()
    terms = approval.model_dump(mode="json", by_alias=True)
    shown = item_digest(
        execution_uid=p.state.uid,
        ref=ref,
        generation=p.state.generation,
        resolved_input={
            "input": task_input,
            "subject": subject,
            "rule": item.rule,
            "approval": terms,
            "retryCount": item.task.retry_count if item.task is not None else None,
            "optional": item.task.optional if item.task is not None else False,
            "secrets": secrets,
        },
        tool_digest=item.tool_digest,
        policy_digests=[value for _, value in verdict.policies],
    )
    existing = p.state.tasks.get(ref)
    gate = existing.gate if existing is not None else None
    edited_by = gate.edited_by if gate is not None else ""
    if gate is not None and gate.digest == shown and not edited_by:
        return not gate.is_open
    if edited_by and may_not_approve(p.state, approval, edited_by, item.rule):
        edited_by = ""  # another rule may bind what they have made of it
    p.emit(
        EventType.APPROVAL_REQUESTED,
        ref=ref,
        scope=scope.id,
        tool=item.tool.name if item.tool is not None else item_type(item),
        itemDigest=shown,
        rule=item.rule,
        policy=item.policy or None,
        reason=item.reason or None,
        approval=terms,
        input=task_input,
        secrets=secrets or None,
        subject=subject or None,
        expiresAt=rfc3339(p.now_ms + approval.timeout_seconds * 1000),
        approvedBy=[edited_by] if edited_by else None,
        **_sources(verdict),
    )
    return bool(edited_by) and approval.count == 1


def may_not_approve(state: State, terms: Approval | Gate, by: str, rule: str) -> str:
    """Why somebody's consent does not count; empty when it does."""
    if terms.not_requester and by == state.spec.requested_by:
        return f"{by} requested this execution, and rule {rule!r} does not let the requester approve"
    if terms.not_committer and by == state.committer:
        return f"{by} has committed the workflow, and rule {rule!r} does not let the committer approve"
    return ""


def _subject(p: Pass, item: ItemVerdict, task_input: JsonObject) -> JsonObject | None:
    """The definition that an item would run, which its input does not say; None while it is looked up."""
    task = item.task
    if task is None or task.type not in (TaskType.SUB_WORKFLOW, TaskType.START_WORKFLOW, TaskType.AGENT):
        return {}
    kind, version = DefinitionKind.WORKFLOW, None
    if task.type is TaskType.AGENT:
        kind, name = DefinitionKind.AGENT, str(task_input.get("agent"))
    elif task.sub_workflow_param is not None:
        name, version = task.sub_workflow_param.name, task.sub_workflow_param.version
    else:
        start = task_input.get("startWorkflow")
        asked = start if isinstance(start, dict) else {}
        name, version = str(asked.get("name")), asked.get("version")
    answer = p.ask(NeedDefinition(kind, name, version if isinstance(version, int) else None))
    if not isinstance(answer, Definition):
        return None
    return {
        "kind": kind.value,
        "name": name,
        "digest": answer.digest,
        **({"version": answer.model.version} if isinstance(answer.model, Workflow) else {}),
    }


def item_type(item: ItemVerdict) -> str:
    """The task type of an item that is not a tool, as an approval names it."""
    return item.task.type.value if item.task is not None else ""


def _tool_data(p: Pass, item: ItemVerdict) -> JsonObject:
    if item.tool is None:
        return {}
    tool: JsonObject = {"name": item.tool.name, "digest": item.tool_digest}
    if item.tool_digest not in p.state.tools:
        tool["definition"] = item.tool.wire()
    return {"tool": tool}


def _sources(verdict: Verdict) -> JsonObject:
    return {
        "policies": [{"name": name, "digest": value} for name, value in verdict.policies],
        "catalogs": [{"name": name, "digest": value} for name, value in verdict.catalogs],
        "rules": dict(verdict.rules),
    }


def verdict_on_proposal(p: Pass, task: TaskState) -> Verdict | None:
    """The verdict on the newest proposal of a task, which was received. Records nothing.

    None while something is looked up (`p.needs`).
    """
    turn = task.turns[-1]
    scope = p.state.scope_of(task)
    prefix = f"{task.ref}__{turn.number}__" if task.type is not TaskType.FORK_JOIN_DYNAMIC else ""
    suffix = scope.suffix if task.type is TaskType.FORK_JOIN_DYNAMIC else ""
    question = _question(p, scope, proposer=task.ref, prefix=prefix, suffix=suffix, proposing=task)
    if question is None:
        return None
    if task.type is TaskType.FORK_JOIN_DYNAMIC:
        question = replace(question, most_bytes=CONTEXT_LIMIT_BYTES)
    content = turn.content
    if task.type is not TaskType.AGENT and isinstance(content, dict):
        content = {**content, "atomic": True}  # nobody is there to mend the rest of it
    verdict = judge(question, content)
    if not _has_access_answers(p, verdict):
        return None
    if any(source.policy is None for source in question.policies):
        verdict = replace(verdict, limits=p.state.limits)
    if verdict.problem or verdict.answer is None or question.agent is None:
        return verdict
    schema = question.agent.agent.output_schema
    broken = violations(schema, verdict.answer) if schema is not None else []
    if not broken:
        return verdict
    return replace(verdict, answer=None, problem=f"output breaks the agent's outputSchema: {told(broken)}")


def judge_proposal(p: Pass, task: TaskState) -> None:
    """Give the verdict on a proposal that was received, and materialise what it allows."""
    turn = task.turns[-1]
    verdict = verdict_on_proposal(p, task)
    if verdict is None:
        return
    accepted = [i for i in verdict.items if i.decision is not Decision.DENIED and i.task is not None]
    p.emit(
        EventType.PROPOSAL_JUDGED,
        ref=task.ref,
        turn=turn.number,
        proposal=turn.proposal_id,
        items=[item.record() for item in verdict.items],
        problem=verdict.problem or None,
        answer=verdict.answer,
        nothingAllowed=not accepted and verdict.answer is None,
        limits=limits.recorded(verdict.limits),
        counts=dict(verdict.counts),
        **_sources(verdict),
    )
    if accepted:
        p.emit(
            EventType.TASKS_MATERIALIZED,
            ref=task.ref,
            turn=turn.number,
            proposal=turn.proposal_id,
            scope=f"{task.ref}/{turn.number}",
            tasks=[item.task.wire() for item in accepted if item.task is not None],
            items=[item.item for item in accepted],
            aliases={item.short_ref: item.ref for item in accepted},
            retries={item.ref: item.retry_of for item in accepted if item.retry_of} or None,
        )


def out_of_time(p: Pass, task: TaskState, gate: Gate) -> None:
    """Nobody has decided in time: people are told once more, or it is settled as the rule says."""
    expired = rfc3339(gate.expires_at_ms)
    if gate.on_timeout is OnTimeout.ESCALATE and not gate.is_escalated:
        again = rfc3339(p.now_ms + gate.seconds * 1000)
        p.emit(EventType.APPROVAL_ESCALATED, ref=task.ref, itemDigest=gate.digest, expiresAt=again)
        return
    if gate.on_timeout is OnTimeout.APPROVE:
        while gate.is_open:
            by = f"{TIMEOUT} of rule {gate.rule} ({len(gate.approved_by) + 1})"
            p.emit(EventType.APPROVAL_GIVEN, ref=task.ref, tool=gate.tool, itemDigest=gate.digest, by=by)
        return
    p.emit(EventType.APPROVAL_EXPIRED, ref=task.ref, itemDigest=gate.digest)
    refuse(p, task, f"ApprovalExpired: nobody approved by {expired}")


def refuse(p: Pass, task: TaskState, reason: str) -> None:
    """A person refused, or nobody approved in time: feedback, tolerated, or the end of the run."""
    if task.gate is not None and task.gate.budget is not None:
        overdraft.end(p, task, Overdraft.of(task.gate.budget), reason)
        return
    scope = p.state.scope_of(task)
    if not scope.feedback and (task.definition.optional or task.definition.permissive):
        fail_task(p, task.ref, scope, reason, terminal=True)
        return
    p.emit(EventType.TASK_CANCELED, ref=task.ref, reason=reason)
    if not scope.feedback:
        fail_execution(p, f"task {task.ref}: {reason}", task=task.ref)


def has_capacity(p: Pass) -> bool:
    """Whether one more Job may run beside those of this execution."""
    running = sum(_has_job(task) for task in p.state.active_tasks())
    return running < p.state.limits.concurrent_tasks


def _has_job(task: TaskState) -> bool:
    if task.type is TaskType.AGENT:
        return task.turn is not None and not task.turn.received
    is_over = task.awaits_signal or task.status is TaskStatus.AWAITING_APPROVAL
    return not is_over and (task.type is TaskType.SIMPLE or task.type in builtin.TYPES)


def catalogs(p: Pass, names: list[str]) -> tuple[CatalogSource, ...] | None:
    """The named catalogs as they stand now, or None while they are looked up."""
    found = []
    for name in names:
        answer = p.ask(NeedDefinition(DefinitionKind.TOOL_CATALOG, name))
        if isinstance(answer, Definition):
            model = answer.model if isinstance(answer.model, ToolCatalog) else None
            found.append(CatalogSource(name, answer.digest, model, answer.problem, answer.withheld))
    return tuple(found) if len(found) == len(names) else None


def policy_source(found: Definition) -> PolicySource:
    """A policy as a verdict is asked on it."""
    model = found.model if isinstance(found.model, Policy) else None
    return PolicySource(found.name, found.digest, model, found.problem)


def agent_of(state: State, scope: Scope) -> Agent | None:
    """The agent whose proposal a scope is of, or belongs to."""
    found = state.agents.get(scope.agent_digest)
    return found[1] if found is not None else None


def agents_of(state: State, scope: Scope) -> list[Agent]:
    """The agents that a scope is of, the innermost first: who proposed it, and who handed over to them."""
    if scope.compensates:
        scope = state.scope_of(state.tasks[scope.compensates])
    digests = dict.fromkeys(each.agent_digest for each in outwards(state, scope))
    return [state.agents[digest][1] for digest in digests if digest in state.agents]


def policy_names(state: State, agents: Iterable[Agent] = (), workflow: Workflow | None = None) -> list[str]:
    """The policies that are named for a run, each once: the workflow's, the agents', its parent's."""
    of = workflow or state.workflow
    references = (of.policy_ref if of is not None else None, *(agent.policy_ref for agent in agents))
    inherited = state.spec.parent.policies if state.spec.parent is not None else []
    return list(dict.fromkeys([*(each.name for each in references if each is not None), *inherited]))


def policies(p: Pass, agents: Iterable[Agent] = (), workflow: Workflow | None = None) -> Policies | None:
    """The policies that bind a run as they stand now, or None while they are looked up.

    Those that are named for it and for `agents`, and every mandatory one: who takes over from an agent is
    bound by that agent's policy too. `workflow` is its own before it has begun.
    """
    names = policy_names(p.state, agents, workflow)
    named = [p.ask(NeedDefinition(DefinitionKind.POLICY, name)) for name in names]
    everywhere = p.ask(NeedMandatory())
    if not isinstance(everywhere, Mandatory):
        return None
    found = [answer for answer in named if isinstance(answer, Definition)]
    if len(found) < len(names):
        return None
    also = (each for each in everywhere.policies if each.name not in names)
    return tuple(policy_source(each) for each in (*found, *also))


def _failed(state: State, refs: Iterable[str]) -> dict[str, Failed]:
    """Those of some tasks that ended without success."""
    known = (state.tasks[ref] for ref in refs if ref in state.tasks)
    return {
        task.ref: Failed(task.definition, task.input, task.reason.startswith(OUTCOME_UNKNOWN))
        for task in known
        if task.status.is_final and not task.status.is_success
    }


def _question(
    p: Pass,
    scope: Scope,
    *,
    proposer: str,
    prefix: str = "",
    suffix: str = "",
    proposing: TaskState | None = None,
) -> Question | None:
    state = p.state
    workflow = state.workflow
    if workflow is None:
        return None
    agent_digest = (proposing.agent_digest if proposing else "") or scope.agent_digest
    agent = None
    if agent_digest:
        name, model = state.agents[agent_digest]
        agent = AgentSource(name, agent_digest, model)
    own = [agent.agent] if agent is not None else []
    binding = policies(p, [*own, *agents_of(state, scope)])
    known = catalogs(p, list(agent.agent.catalogs if agent is not None else workflow.catalogs))
    if binding is None or known is None:
        return None
    account = state.spec.service_account_name
    access = {
        need.tool: answer
        for need, answer in p.answers.items()
        if isinstance(need, NeedAccess)
        and not need.is_secret
        and need.service_account == account
        and isinstance(answer, bool)
    }
    is_proposed = proposing is not None or scope.proposed or state.is_proposed
    turn = proposing.turn if proposing else None
    return Question(
        execution=ExecutionFacts(
            name=state.name,
            namespace=state.namespace,
            uid=state.uid,
            input=state.input,
            requested_by=state.spec.requested_by,
            service_account=account,
            started_at_ms=state.clock_from_ms,
            workflow_name=state.workflow_name,
            started=state.started,
        ),
        now_ms=p.now_ms,
        proposer=proposer,
        catalogs=known,
        policies=binding,
        access=access,
        visible=visible_refs(state, proposing, agent.agent if agent else None),
        taken=every_ref(state) if proposing is not None else frozenset(),
        own=frozenset(proposing.branch_refs) if proposing is not None else frozenset(),
        failed=_failed(state, proposing.branch_refs) if proposing is not None else {},
        prefix=prefix,
        suffix=suffix,
        spent=Spent(
            used=budget.used(state),
            granted=budget.granted(state),
            extended=budget.extended(state),
            extended_seconds=budget.extended_seconds(state),
            turn=turn.number if turn else 0,
            depth=state.depth + scope.depth + (1 if proposing else 0),
        ),
        agent=agent,
        bind_policy=is_proposed or state.spec.workflow is not None,
        proposed=is_proposed,
        counts={} if proposing is not None else scope.counts,
    )
