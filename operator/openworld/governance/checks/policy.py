"""Check 3: the rules. Deny wins over RequireApproval, which wins over Allow; no match is a Deny.

Every policy that binds must allow. A rule whose condition cannot be evaluated never allows, and denies
unless it is an Allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from openworld.api import JsonObject, Policy, TaskType
from openworld.api.policy import Approval, Mode, OnTimeout, Rule, RuleDecision, Scope
from openworld.governance import cel
from openworld.governance.item import Item
from openworld.governance.question import PolicySource, Question
from openworld.governance.verdict import Check, Decision, Denial
from openworld.language.requests import host_of

DEFAULT_DENY = "default-deny"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules say of an item, and which of them said it."""

    decision: Decision
    rule: str
    reason: str
    approval: Approval | None = None
    audited: str = ""
    provisional: bool = False
    rules: Mapping[str, JsonObject] | None = None
    policy: str = ""


def binding(question: Question) -> list[PolicySource]:
    """The policies whose rules bind what is asked about: what an author wrote, only where they say so."""
    return [source for source in question.policies if question.bind_policy or binds_authored(source)]


def binds_authored(source: PolicySource) -> bool:
    """Whether a policy's rules bind authored tasks too; one that cannot be used denies them as well."""
    return source.policy is None or source.policy.scope is Scope.ALL


def rule_on(question: Question, item: Item, counts: Mapping[str, int]) -> Ruling:
    """The joint ruling of all policies that bind. The rules that decided are keyed `POLICY/RULE`."""
    if not question.policies:
        return Ruling(
            Decision.DENIED, DEFAULT_DENY, "no policy binds this workflow, so nothing proposed is allowed"
        )
    rulings = [
        replace(_ruling(source, question, item, counts), policy=source.name) for source in binding(question)
    ]
    rules = {f"{each.policy}/{name}": text for each in rulings for name, text in (each.rules or {}).items()}
    audited = "; ".join(ruling.audited for ruling in rulings if ruling.audited)
    provisional = any(ruling.provisional for ruling in rulings)
    order = (Decision.DENIED, Decision.NEEDS_APPROVAL, Decision.ALLOWED)
    decisive = min(rulings, key=lambda ruling: order.index(ruling.decision))
    approvals = [r.approval for r in rulings if r.approval is not None]
    return Ruling(
        decisive.decision,
        decisive.rule,
        decisive.reason,
        strictest(approvals) if decisive.decision is Decision.NEEDS_APPROVAL else None,
        audited,
        provisional,
        rules,
        decisive.policy,
    )


def as_denial(ruling: Ruling) -> Denial | None:
    """The ruling as a check's answer."""
    if ruling.decision is not Decision.DENIED:
        return None
    return Denial(Check.POLICY, ruling.rule, ruling.reason, ruling.policy)


def _ruling(source: PolicySource, question: Question, item: Item, counts: Mapping[str, int]) -> Ruling:
    policy = source.policy
    if policy is None:
        reason = f"policy {source.name!r} cannot be used and so denies everything: {source.problem}"
        return Ruling(Decision.DENIED, "policy-unusable", reason)
    ruling = _judged(source.name, policy.rules, question, item, counts)
    if ruling.decision is not Decision.DENIED and _must_be_undoable(policy, question, item):
        reason = (
            f"policy {source.name!r} wants every {item.tool.effect if item.tool else ''} tool to have a "
            "compensation: give the item one, or name a tool that has one"
        )
        ruling = Ruling(Decision.DENIED, "requireCompensation", reason, rules=ruling.rules)
    if policy.mode is Mode.AUDIT and ruling.decision is not Decision.ALLOWED:
        said = f"{source.name}/{ruling.rule}: {ruling.decision.value}: {ruling.reason}"
        return Ruling(
            Decision.ALLOWED,
            ruling.rule,
            f"policy {source.name!r} audits only",
            None,
            said,
            rules=ruling.rules,
        )
    return ruling


def _must_be_undoable(policy: Policy, question: Question, item: Item) -> bool:
    """Whether a policy wants a compensation that an item does not have."""
    wanted, tool = policy.require_compensation, item.tool
    if wanted is None or tool is None or not question.proposed or tool.effect not in wanted.effects:
        return False
    is_undoing = item.task.task_reference_name != item.ref  # what undoes an item is judged under its ref
    return not is_undoing and item.task.compensation is None and tool.compensation is None


def _judged(
    policy: str, rules: list[Rule], question: Question, item: Item, counts: Mapping[str, int]
) -> Ruling:
    hits: dict[RuleDecision, list[Rule]] = {decision: [] for decision in RuleDecision}
    open_rules: list[Rule] = []
    errors: list[str] = []
    for rule in _matching(rules, item, proposed=question.proposed):
        if rule.when is None:
            hits[rule.decision].append(rule)
            continue
        if item.has_expressions and "item" in rule.when:
            open_rules.append(rule)
            continue
        try:
            if _holds(rule.when, question, item, counts):
                hits[rule.decision].append(rule)
        except cel.CelError as error:
            if rule.decision is not RuleDecision.ALLOW:  # what restricts must not fall away by an error
                reason = f"{rule.decision} rule {rule.name!r} cannot be evaluated, and so denies: {error}"
                return Ruling(Decision.DENIED, rule.name, reason, rules={rule.name: rule.wire()})
            errors.append(f"rule {rule.name!r} cannot be evaluated: {error}")
    if hits[RuleDecision.DENY]:
        rule = hits[RuleDecision.DENY][0]
        return Ruling(
            Decision.DENIED,
            rule.name,
            rule.message or f"rule {rule.name!r} of policy {policy!r} denies it",
            rules={rule.name: rule.wire()},
        )
    asking = hits[RuleDecision.REQUIRE_APPROVAL] + [
        rule for rule in open_rules if rule.decision is RuleDecision.REQUIRE_APPROVAL
    ]
    allowing = hits[RuleDecision.ALLOW] + [rule for rule in open_rules if rule.decision is RuleDecision.ALLOW]
    provisional = bool(open_rules)
    if asking:
        text = {rule.name: rule.wire() for rule in asking}
        approval = strictest([rule.approval for rule in asking])
        reason = (
            asking[0].message or f"rule {asking[0].name!r} of policy {policy!r} wants a person's approval"
        )
        return Ruling(
            Decision.NEEDS_APPROVAL, asking[0].name, reason, approval, provisional=provisional, rules=text
        )
    if allowing:
        rule = allowing[0]
        reason = rule.message or f"rule {rule.name!r} of policy {policy!r} allows it"
        return Ruling(
            Decision.ALLOWED, rule.name, reason, provisional=provisional, rules={rule.name: rule.wire()}
        )
    reason = f"no rule of policy {policy!r} allows " + _cure(item)
    if errors:
        reason += " (" + "; ".join(errors) + ")"
    return Ruling(Decision.DENIED, DEFAULT_DENY, reason)


def _cure(item: Item) -> str:
    """What the item is called in a rule that would allow it."""
    if item.task.type is TaskType.HTTP:
        host = host_of(item.input) or "a host that is not known before it starts"
        return f"an HTTP request to {host[:253]}; a rule may, with match: {{types: [HTTP], hosts: […]}}"
    if item.task.type is not TaskType.SIMPLE:
        kind = item.task.type.value
        return f"task type {kind}; a rule may, with match.types: [{kind}]"
    return f"tool {item.tool_name!r}"


def _matching(rules: list[Rule], item: Item, *, proposed: bool) -> Iterator[Rule]:
    """The rules whose lists name the item: each given list must contain its value."""
    tool = item.tool
    for rule in rules:
        match = rule.match
        if match.tools and item.tool_name not in match.tools:
            continue
        if match.effects and (tool is None or tool.effect not in match.effects):
            continue
        if match.types and item.task.type not in match.types:
            continue
        is_tool = item.task.type is TaskType.SIMPLE
        if not is_tool and not match.types and rule.decision is RuleDecision.ALLOW:
            continue  # task types are allowed by name, never by a rule that was written for tools
        if match.hosts and not _is_host_of(match.hosts, item):
            continue
        is_request = item.task.type is TaskType.HTTP
        if is_request and proposed and not match.hosts and rule.decision is RuleDecision.ALLOW:
            continue  # a proposed request is allowed to hosts that somebody has named
        yield rule


def _is_host_of(patterns: list[str], item: Item) -> bool:
    """Whether an HTTP item goes to one of the hosts. One whose host is not known yet goes to none."""
    host = host_of(item.input) if item.task.type is TaskType.HTTP else ""
    return bool(host) and any(
        host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern for pattern in patterns
    )


def _holds(when: str, question: Question, item: Item, counts: Mapping[str, int]) -> bool:
    execution = question.execution
    tool, started = item.tool, item.task.sub_workflow_param
    return cel.holds(
        when,
        now_ms=question.now_ms,
        item={
            "ref": item.short_ref,
            "type": item.task.type.value,
            "tool": item.tool_name,
            "input": item.input,
            "workflow": started.name if started is not None and started.workflow_definition is None else "",
            "inline": started is not None and started.workflow_definition is not None,
            "optional": item.task.optional,
            "retryOf": item.retry_of,
            "dependsOn": list(item.depends_on),
        },
        tool={
            "name": item.tool_name,
            "effect": tool.effect.value if tool is not None else "",
            "idempotent": tool.idempotent if tool is not None else False,
        },
        execution={
            "name": execution.name,
            "namespace": execution.namespace,
            "input": execution.input,
            "requestedBy": execution.requested_by,
            "workflow": execution.workflow_name,
            "counts": dict(execution.started),
        },
        proposal={"counts": dict(counts), "size": sum(counts.values())},
    )


def strictest(approvals: list[Approval]) -> Approval:
    """The terms of several approvals as one: of each the stricter."""
    return Approval(
        count=max(a.count for a in approvals),
        timeout_seconds=min(a.timeout_seconds for a in approvals),
        not_requester=any(a.not_requester for a in approvals),
        not_committer=any(a.not_committer for a in approvals),
        on_timeout=min((a.on_timeout for a in approvals), key=list(OnTimeout).index),
    )
