"""Check 3: what the rules say, field by field, alone and together; and what no rule says."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from openworld.api import Policy
from openworld.api.policy import Approval, Limits, Match, Rule
from openworld.governance import Decision, ExecutionFacts, PolicySource, compile_problems, judge
from openworld.language.checks import check_policy
from openworld.language.reading import Finding
from tests.support.governance import (
    NOW_MS,
    agent,
    facts,
    items,
    only,
    policy,
    question,
    rule,
    started,
    summary,
)
from tests.support.world import World, tool

LOOK: dict[str, Any] = {"type": "look", "input": {"n": 3}}
BROKEN = "item.input.gone == 1"


def decision(rules: list[dict[str, Any]], item: dict[str, Any] = LOOK, **policy_fields: Any) -> str:
    """What a policy of these rules decides on an item."""
    return only(question({"rules": rules, **policy_fields}), item).decision.value


def test_where_no_rule_matches_the_answer_is_deny() -> None:
    verdict = only(question({}), LOOK)
    assert (verdict.decision, verdict.check, verdict.rule, verdict.reason) == (
        Decision.DENIED,
        "policy",
        "default-deny",
        "no rule of policy 'p' allows tool 'look'",
    )


def test_without_a_policy_nothing_proposed_is_allowed() -> None:
    verdict = only(question(policies=()), LOOK)
    assert (verdict.rule, verdict.reason) == (
        "default-deny",
        "no policy binds this workflow, so nothing proposed is allowed",
    )


def test_a_policy_that_cannot_be_used_denies_everything_beside_one_that_allows() -> None:
    sources = (policy({"rules": [rule()]}), PolicySource("q", "", None, "Policy 'q' not found"))
    verdict = only(question(policies=sources), LOOK)
    assert (verdict.decision, verdict.rule, verdict.reason) == (
        Decision.DENIED,
        "policy-unusable",
        "policy 'q' cannot be used and so denies everything: Policy 'q' not found",
    )


@pytest.mark.parametrize(
    ("match", "allowed"),
    [
        ({}, ["look", "note", "rollback"]),
        ({"tools": ["look", "rollback"]}, ["look", "rollback"]),
        ({"tools": ["Look"]}, []),
        ({"effects": ["Read"]}, ["look"]),
        ({"effects": ["Write", "Destructive"]}, ["note", "rollback"]),
        ({"tools": ["look", "note"], "effects": ["Write"]}, ["note"]),
        ({"tools": ["look"], "effects": ["Write"]}, []),
        ({"types": ["SIMPLE"]}, ["look", "note", "rollback"]),
        ({"types": ["HUMAN"]}, ["HUMAN"]),
        ({"types": ["HUMAN", "WAIT", "AGENT", "SUB_WORKFLOW"]}, ["HUMAN", "WAIT", "AGENT", "SUB_WORKFLOW"]),
        ({"types": ["HUMAN"], "tools": ["look"]}, []),
        ({"types": ["HUMAN"], "effects": ["Read"]}, []),
        ({"types": ["SIMPLE"], "tools": ["look"]}, ["look"]),
    ],
)
def test_an_allow_rule_matches_what_each_of_its_lists_names(
    match: dict[str, Any], allowed: list[str]
) -> None:
    given = {
        "look": {},
        "note": {},
        "rollback": {"service": "checkout"},
        "HUMAN": {},
        "WAIT": {"duration": "5m"},
        "AGENT": {"agent": "other"},
        "SUB_WORKFLOW": {"name": "other"},
    }
    asked = question({"rules": [rule(match=match)], "limits": {"tasksPerProposal": 7}})
    verdicts = items(asked, *({"type": kind, "input": value} for kind, value in given.items()))
    found = [
        kind for kind, verdict in zip(given, verdicts, strict=True) if verdict.decision is Decision.ALLOWED
    ]
    assert found == allowed


@pytest.mark.parametrize("denial", ["Deny", "RequireApproval"])
def test_a_rule_without_match_that_restricts_is_about_task_types_as_well(denial: str) -> None:
    rules = [rule("human", match={"types": ["HUMAN"]}), rule("strict", denial)]
    expected = "Denied" if denial == "Deny" else "NeedsApproval"
    assert decision(rules, {"type": "HUMAN"}) == expected


def test_deny_wins_over_approval_and_approval_over_allow_in_any_order() -> None:
    allow, ask, deny = rule("a"), rule("b", "RequireApproval"), rule("c", "Deny")
    for rules in ([allow, ask, deny], [deny, ask, allow], [ask, deny, allow], [deny, allow]):
        assert decision(rules) == "Denied"
    for rules in ([allow, ask], [ask, allow], [ask]):
        assert decision(rules) == "NeedsApproval"
    assert decision([allow]) == "Allowed"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (rule("r", message="Reading is free."), "Reading is free."),
        (rule("r"), "rule 'r' of policy 'p' allows it"),
        (rule("r", "Deny", message="Ask bob."), "Ask bob."),
        (rule("r", "Deny"), "rule 'r' of policy 'p' denies it"),
        (rule("r", "RequireApproval", message="Two pairs of eyes."), "Two pairs of eyes."),
        (rule("r", "RequireApproval"), "rule 'r' of policy 'p' wants a person's approval"),
    ],
)
def test_the_message_of_the_rule_that_decides_is_the_reason(spec: dict[str, Any], reason: str) -> None:
    verdict = only(question({"rules": [spec]}), LOOK)
    assert (verdict.check, verdict.rule, verdict.reason) == ("policy", "r", reason)


def test_the_first_rule_of_the_decision_that_wins_is_named() -> None:
    rules = [rule("a1"), rule("d1", "Deny"), rule("a2"), rule("d2", "Deny")]
    assert only(question({"rules": rules}), LOOK).rule == "d1"
    assert only(question({"rules": [rules[0], rules[2]]}), LOOK).rule == "a1"


def test_the_text_of_each_rule_that_decided_is_kept() -> None:
    rules = [
        rule("reads", match={"effects": ["Read"]}),
        rule("ask", "RequireApproval", match={"tools": ["note"]}, approval={"count": 2}),
        rule("unused", match={"tools": ["other"]}),
    ]
    verdict = judge(question({"rules": rules}), {"tasks": [LOOK, {"type": "note"}]})
    assert verdict.rules == {"p/reads": rules[0], "p/ask": rules[1]}
    assert verdict.policies == (("p", "sha256:p"),)


@pytest.mark.parametrize(
    "when",
    [
        "item.input.n == 3",
        "item.ref == 'x'",
        "item.type == 'SIMPLE' && item.tool == 'look'",
        "item.optional",
        "item.workflow == ''",
        "item.dependsOn == ['before']",
        "tool.name == 'look' && tool.effect == 'Read' && !tool.idempotent",
        "execution.name == 'run-1' && execution.namespace == 'team'",
        "execution.input.service == 'checkout'",
        "execution.requestedBy == 'alice@example.com'",
        "execution.workflow == 'incident'",
        "proposal.size == 2 && proposal.count('look') == 2 && proposal.counts['look'] == 2",
        "now.getDayOfWeek() == 5",
    ],
)
def test_a_condition_sees_every_variable_and_its_negation_does_not_hold(when: str) -> None:
    proposed = [
        {"type": "look", "ref": "before"},
        {"type": "look", "ref": "x", "input": {"n": 3}, "optional": True, "dependsOn": ["before"]},
    ]
    before = rule("before", when="item.ref == 'before'")
    assert items(question({"rules": [before, rule(when=when)]}), *proposed)[1].decision is Decision.ALLOWED
    negated = items(question({"rules": [before, rule(when=f"!({when})")]}), *proposed)[1]
    assert (negated.decision, negated.rule) == (Decision.DENIED, "default-deny")


def test_the_workflow_that_an_item_starts_can_be_told_apart() -> None:
    asked = question(
        {"rules": [rule(match={"types": ["SUB_WORKFLOW"]}, when="item.workflow == 'deep-dive'")]}
    )
    verdicts = items(asked, *({"type": "SUB_WORKFLOW", "input": {"name": n}} for n in ("deep-dive", "drop")))
    assert [v.decision for v in verdicts] == [Decision.ALLOWED, Decision.DENIED]


def test_the_agent_that_an_item_starts_can_be_told_apart() -> None:
    asked = question({"rules": [rule(match={"types": ["AGENT"]}, when="item.input.agent == 'db'")]})
    verdicts = items(asked, *({"type": "AGENT", "input": {"agent": name}} for name in ("db", "root")))
    assert [v.decision for v in verdicts] == [Decision.ALLOWED, Decision.DENIED]


def test_a_deny_rule_that_cannot_be_evaluated_denies() -> None:
    verdict = only(question({"rules": [rule("all"), rule("no", "Deny", when=BROKEN)]}), LOOK)
    assert (verdict.decision, verdict.rule, verdict.reason) == (
        Decision.DENIED,
        "no",
        "Deny rule 'no' cannot be evaluated, and so denies: NOT_FOUND: Key not found in map : \"gone\"",
    )


def test_an_allow_rule_that_cannot_be_evaluated_does_not_allow() -> None:
    verdict = only(question({"rules": [rule("yes", when=BROKEN)]}), LOOK)
    assert (verdict.decision, verdict.rule, verdict.reason) == (
        Decision.DENIED,
        "default-deny",
        "no rule of policy 'p' allows tool 'look' (rule 'yes' cannot be evaluated: "
        'NOT_FOUND: Key not found in map : "gone")',
    )


@pytest.mark.parametrize(
    "when",
    [
        BROKEN,
        "item.input.gone",
        "1 / 0 == 1",
        "1 / 0",
        "item.input.n",
        "item.input",
        "dyn('true')",
        "nope",
        "true &&",
        "",
        "item.input.n.matches('3')",
        "execution.count('look') > 0",
    ],
)
@pytest.mark.parametrize("kind", ["Allow", "RequireApproval"])
def test_no_error_value_ever_lets_an_item_pass(when: str, kind: str) -> None:
    assert decision([rule("r", kind, when=when)]) == "Denied"


@pytest.mark.parametrize("when", ["true &&", "nope", "", "1", "dyn(1)", BROKEN])
def test_a_broken_deny_rule_denies_whatever_is_wrong_with_it(when: str) -> None:
    assert decision([rule("all"), rule("no", "Deny", when=when)]) == "Denied"


def test_an_approval_rule_that_cannot_be_evaluated_denies_what_another_rule_allows() -> None:
    verdict = only(question({"rules": [rule("all"), rule("ask", "RequireApproval", when=BROKEN)]}), LOOK)
    assert verdict.decision is Decision.DENIED
    assert verdict.reason == (
        "RequireApproval rule 'ask' cannot be evaluated, and so denies: "
        'NOT_FOUND: Key not found in map : "gone"'
    )


def test_proposal_count_counts_the_items_of_a_tool_or_type() -> None:
    rules = [
        rule("all"),
        rule("types", match={"types": ["WAIT"]}),
        rule("few", "Deny", when="proposal.count('note') > 1", message="One note at a time."),
        rule("waits", "Deny", when="proposal.count('WAIT') > 2"),
    ]
    asked = question({"rules": rules})
    wait = {"type": "WAIT", "input": {"duration": "5m"}}
    assert {v.decision for v in items(asked, LOOK, LOOK, {"type": "note"}, wait)} == {Decision.ALLOWED}
    assert {v.reason for v in items(asked, LOOK, {"type": "note"}, {"type": "note"})} == {
        "One note at a time."
    }
    assert {v.rule for v in items(asked, LOOK, wait, wait, wait)} == {"waits"}


def test_denied_items_count_too() -> None:
    asked = question({"rules": [rule("one", when="proposal.count('look') == 1 && proposal.size == 1")]})
    assert only(asked, LOOK).decision is Decision.ALLOWED
    assert {v.decision for v in items(asked, LOOK, {**LOOK, "dependsOn": ["nope"]})} == {Decision.DENIED}


def test_a_task_that_starts_is_counted_with_the_proposal_that_it_came_from() -> None:
    spec = {"rules": [rule("all"), rule("many", "RequireApproval", when="proposal.count('look') > 1")]}
    proposal = judge(question(spec), {"tasks": [LOOK, LOOK]})
    assert proposal.counts == {"look": 2}
    assert [v.decision for v in proposal.items] == [Decision.NEEDS_APPROVAL] * 2
    again = started(question(spec, counts=proposal.counts)).items[0]
    assert again.decision is Decision.NEEDS_APPROVAL
    assert started(question(spec)).items[0].decision is Decision.ALLOWED


def test_a_task_that_starts_is_seen_under_its_short_refs() -> None:
    spec = {"rules": [rule(when="item.ref == 'x' && item.dependsOn == ['y']")]}
    verdict = started(question(spec), taskReferenceName="triage__1__x", dependsOn=["triage__1__y"]).items[0]
    assert (verdict.decision, verdict.ref) == (Decision.ALLOWED, "triage__1__x")


def test_a_condition_on_an_item_with_expressions_is_open_until_they_are_resolved() -> None:
    spec = {"rules": [rule("own", when="item.input.service == execution.input.service")]}
    item = {"type": "rollback", "input": {"service": "${workflow.input.service}"}}
    verdict = only(question(spec), item)
    assert (verdict.decision, verdict.rule, verdict.provisional) == (Decision.ALLOWED, "own", True)
    own = started(question(spec), {"service": "checkout"}, name="rollback").items[0]
    assert (own.decision, own.provisional) == (Decision.ALLOWED, False)
    other = started(question(spec), {"service": "payments"}, name="rollback").items[0]
    assert (other.decision, other.rule) == (Decision.DENIED, "default-deny")


def test_an_open_deny_rule_binds_once_the_values_are_known() -> None:
    spec = {"rules": [rule("all"), rule("prod", "Deny", when="item.input.env == 'prod'")]}
    assert only(question(spec), {"type": "look", "input": {"env": "${workflow.input.env}"}}).provisional
    assert started(question(spec), {"env": "prod"}).items[0].rule == "prod"
    assert started(question(spec), {"env": "dev"}).items[0].decision is Decision.ALLOWED
    assert started(question(spec), {}).items[0].rule == "prod"


def test_conditions_on_other_things_are_judged_at_once() -> None:
    spec = {"rules": [rule("all"), rule("weekend", "Deny", when="now.getDayOfWeek() in [0, 6]")]}
    item = {"type": "look", "input": {"x": "${workflow.input.service}"}}
    assert only(question(spec), item).decision is Decision.ALLOWED
    assert only(question(spec, now_ms=NOW_MS + 86_400_000), item).rule == "weekend"


def test_an_open_approval_rule_asks_provisionally() -> None:
    spec = {"rules": [rule("all"), rule("ask", "RequireApproval", when="item.input.n > 1")]}
    verdict = only(question(spec), {"type": "look", "input": {"n": "${workflow.input.n}"}})
    assert (verdict.decision, verdict.rule, verdict.provisional) == (Decision.NEEDS_APPROVAL, "ask", True)
    assert started(question(spec), {"n": 1}).items[0].decision is Decision.ALLOWED
    assert started(question(spec), {"n": 2}).items[0].decision is Decision.NEEDS_APPROVAL


def test_the_approval_is_the_rule_s() -> None:
    given = {"count": 2, "timeoutSeconds": 60, "notRequester": False}
    verdict = only(question({"rules": [rule("ask", "RequireApproval", approval=given)]}), LOOK)
    assert verdict.approval == Approval(count=2, timeout_seconds=60, not_requester=False)
    assert verdict.record()["approval"] == {**given, "onTimeout": "Deny", "notCommitter": False}
    assert only(question({"rules": [rule("ask", "RequireApproval")]}), LOOK).approval == Approval()


def test_of_several_approvals_the_strictest_of_each_part_counts() -> None:
    first = rule("a", "RequireApproval", approval={"count": 3, "timeoutSeconds": 900, "notRequester": False})
    second = rule("b", "RequireApproval", approval={"count": 1, "timeoutSeconds": 60, "notRequester": True})
    strictest = Approval(count=3, timeout_seconds=60, not_requester=True)
    assert only(question({"rules": [first, second]}), LOOK).approval == strictest
    verdict = only(question({"rules": [first]}, {"rules": [second]}), LOOK)
    assert (verdict.rule, verdict.approval) == ("a", strictest)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("Allow", "Allow", "Allowed"),
        ("Allow", "RequireApproval", "NeedsApproval"),
        ("RequireApproval", "Deny", "Denied"),
        ("Deny", "Allow", "Denied"),
        ("Allow", None, "Denied"),
        (None, "RequireApproval", "Denied"),
    ],
)
def test_of_several_policies_every_one_must_allow(
    first: str | None, second: str | None, expected: str
) -> None:
    specs = [{"rules": [rule(decision=kind)] if kind else []} for kind in (first, second)]
    for asked in (question(*specs), question(*reversed(specs))):
        assert only(asked, LOOK).decision == expected


def test_an_auditing_policy_records_what_it_would_have_said_and_allows() -> None:
    denying = {"mode": "Audit", "rules": [rule("no", "Deny", message="Not on Fridays.")]}
    verdict = only(question(denying), LOOK)
    assert (verdict.decision, verdict.rule, verdict.reason, verdict.audited) == (
        Decision.ALLOWED,
        "no",
        "policy 'p' audits only",
        "p/no: Denied: Not on Fridays.",
    )
    assert verdict.record()["audited"] == "p/no: Denied: Not on Fridays."
    asking = {"mode": "Audit", "rules": [rule("ask", "RequireApproval")]}
    assert only(question(asking), LOOK).approval is None
    assert only(question(asking), LOOK).audited == (
        "p/ask: NeedsApproval: rule 'ask' of policy 'p' wants a person's approval"
    )
    assert only(question({"mode": "Audit"}), LOOK).audited == (
        "p/default-deny: Denied: no rule of policy 'p' allows tool 'look'"
    )
    assert "audited" not in only(question({"mode": "Audit", "rules": [rule()]}), LOOK).record()


def test_an_auditing_policy_frees_nobody_from_another_one() -> None:
    auditing, enforcing = {"mode": "Audit"}, {"rules": [rule("no", "Deny")]}
    verdict = only(question(auditing, enforcing), LOOK)
    assert (verdict.decision, verdict.rule) == (Decision.DENIED, "no")


def test_auditing_suspends_the_rules_alone() -> None:
    auditing = {"mode": "Audit", "limits": {"tasks": 1}}
    assert only(question(auditing), {"type": "nope"}).check == "catalog"
    assert only(question(auditing, access={"look": False}), LOOK).check == "access"
    assert only(question(auditing, agent=agent(tools=[])), LOOK).check == "catalog"
    assert summary(items(question(auditing), LOOK, LOOK))[1] == ("look_2", "Denied", "tasks")
    assert only(question({"mode": "Audit"}), {"type": "look", "image": "evil"}).check == "shape"


def test_conditions_are_compiled_before_a_policy_is_valid() -> None:
    rules = [rule("a", when="true"), rule("b"), rule("c", when="nope"), rule("d", when="1")]
    assert compile_problems(Policy.model_validate({"rules": rules})) == [
        Finding("spec.rules[2].when", "1:1: undeclared reference to 'nope' (in container '')"),
        Finding("spec.rules[3].when", "it must be a condition (bool), and is of type int"),
    ]


def authored(spec: dict[str, Any]) -> World:
    """An execution with one authored task under a policy."""
    w = World({"tasks": [{"ref": "a", "type": "look"}], "catalogs": ["tools"], "policyRef": {"name": "p"}})
    return w.define("Policy", "p", spec).define("ToolCatalog", "tools", {"tools": [tool("look")]}).step()


def test_rules_bind_authored_tasks_where_the_scope_is_all() -> None:
    denying = {"rules": [rule("no", "Deny", message="Never.")]}
    assert authored(denying).jobs.keys() == {"a"}
    assert authored({**denying, "scope": "Proposed"}).jobs.keys() == {"a"}
    bound = authored({**denying, "scope": "All"})
    assert bound.jobs == {}
    assert bound.task("a").reason == "Denied (policy, no): Never."
    assert authored({"scope": "All", "rules": [rule()]}).jobs.keys() == {"a"}
    assert authored({**denying, "scope": "All", "mode": "Audit"}).jobs.keys() == {"a"}


def test_an_authored_task_waits_for_a_person_where_the_scope_is_all() -> None:
    w = authored({"scope": "All", "rules": [rule("ask", "RequireApproval", approval={"timeoutSeconds": 60})]})
    assert w.statuses == {"a": "AwaitingApproval"}
    w.approve("a", by="alice@example.com")
    assert w.of_type("FactRefused")[0]["reason"] == (
        "alice@example.com requested this execution, and rule 'ask' does not let the requester approve"
    )
    w.approve("a", by="bob@example.com")
    assert w.jobs.keys() == {"a"}


def test_the_requester_may_approve_where_the_rule_says_so_and_consent_expires() -> None:
    spec = {"rules": [rule("ask", "RequireApproval", approval={"timeoutSeconds": 60, "notRequester": False})]}
    w = authored({"scope": "All", **spec})
    w.approve("a", by="alice@example.com")
    assert w.jobs.keys() == {"a"}
    late = authored({"scope": "All", **spec})
    late.advance(59)
    assert late.statuses == {"a": "AwaitingApproval"}
    late.advance(1)
    assert late.types().count("ApprovalExpired") == 1
    assert late.jobs == {}


def guide_documents() -> list[dict[str, Any]]:
    """The resources that the guide shows: its indented blocks that state an apiVersion."""
    text = (Path(__file__).parents[2] / "docs/guides/write-a-policy.md").read_text()
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("    "):
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    shown = [textwrap.dedent("\n".join(block)) for block in blocks]
    return [yaml.safe_load(block) for block in shown if block.startswith("apiVersion:")]


def guide_policies() -> dict[str, dict[str, Any]]:
    """The specs of the policies in the guide, by name."""
    return {doc["metadata"]["name"]: doc["spec"] for doc in guide_documents() if doc["kind"] == "Policy"}


def test_the_guide_shows_valid_policies() -> None:
    assert guide_policies().keys() == {"team-rules", "team-rules-trial", "no-deletes"}
    for spec in guide_policies().values():
        read = Policy.model_validate(spec)
        assert compile_problems(read) == []
        assert check_policy(read) == []


def test_the_policy_of_the_guide_decides_as_the_guide_says() -> None:
    spec = guide_policies()["team-rules"]
    tuesday, sunday = NOW_MS + 4 * 86_400_000, NOW_MS + 2 * 86_400_000

    def decided(now_ms: int, *proposed: dict[str, Any]) -> list[tuple[str, str]]:
        return [
            (v.decision.value, v.rule)
            for v in items(question(spec, now_ms=now_ms, execution=young(now_ms)), *proposed)
        ]

    own = {"type": "rollback", "input": {"service": "checkout"}}
    other = {"type": "rollback", "input": {"service": "payments"}}
    assert decided(tuesday, LOOK, own) == [("Allowed", "reads"), ("NeedsApproval", "own-service")]
    assert decided(tuesday, other) == [("Denied", "default-deny")]
    assert decided(sunday, own) == decided(sunday, other) == [("Denied", "not-on-weekends")]
    assert decided(tuesday, own, own) == [("Denied", "one-at-a-time")] * 2
    dive, drop = ({"type": "SUB_WORKFLOW", "input": {"name": name}} for name in ("deep-dive", "drop"))
    assert decided(tuesday, {"type": "HUMAN"}, dive, drop, {"type": "WAIT"}) == [
        ("Allowed", "questions"),
        ("Allowed", "deep-dive"),
        ("Denied", "default-deny"),
        ("Denied", "default-deny"),
    ]


def young(now_ms: int) -> ExecutionFacts:
    """An execution that has just started."""
    return facts(started_at_ms=now_ms)


def test_the_guide_names_every_field_and_its_default() -> None:
    text = (Path(__file__).parents[2] / "docs/guides/write-a-policy.md").read_text()
    assert "extension: {count: 1, timeoutSeconds: " in text
    for name, value in Limits().model_dump(by_alias=True, exclude={"extension"}).items():
        assert f"| `{name}` | {value} |" in text
    for model in (Policy, Rule, Match, Approval):
        for field in model.model_fields.values():
            assert f"{field.alias}`" in text


@pytest.mark.parametrize("kind", ["SWITCH", "FORK_JOIN_DYNAMIC", "JOIN"])
def test_a_rule_about_control_flow_is_refused_since_nothing_would_read_it(kind: str) -> None:
    with pytest.raises(ValueError, match=f"{kind} is control flow and is not judged"):
        Policy.model_validate({"rules": [rule(match={"types": [kind]})]})
