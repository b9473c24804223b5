"""Checks 2 and 5: the tool exists, the proposer may name it, the input fits, the account may use it."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.governance import CatalogSource, Decision, Question, find_tool, judge, tool_digest
from tests.support.governance import agent, catalog, items, only, question, started
from tests.support.world import tool


def rollback(**given: Any) -> dict[str, Any]:
    """An item that rolls back."""
    return {"type": "rollback", "ref": "x", "input": given}


def reason(asked: Question, item: Any) -> tuple[str, str]:
    """Rule and reason of a denial by the catalog check."""
    verdict = only(asked, item)
    assert (verdict.decision, verdict.check) == (Decision.DENIED, "catalog")
    return verdict.rule, verdict.reason


def test_a_tool_that_is_in_no_catalog_does_not_exist() -> None:
    assert reason(question(), {"type": "lok"}) == (
        "exists",
        "there is no tool 'lok' in catalogs tools; did you mean 'look'?",
    )
    assert reason(question(catalogs=()), {"type": "look"}) == (
        "exists",
        "there is no tool 'look' in catalogs (none)",
    )
    assert reason(question(catalogs=(catalog(name="a"), catalog(name="b"))), {"type": "look"}) == (
        "exists",
        "there is no tool 'look' in catalogs a, b",
    )


def test_a_tool_of_two_catalogs_is_nobody_s() -> None:
    asked = question(catalogs=(catalog(tool("look"), name="a"), catalog(tool("look"), name="b")))
    assert reason(asked, {"type": "look"}) == ("exists", "tool 'look' is in more than one catalog: a, b")


def test_a_catalog_that_cannot_be_used_has_no_tools() -> None:
    broken = CatalogSource("b", "", None, "ToolCatalog 'b' not found")
    assert reason(question(catalogs=(broken,)), {"type": "look"}) == (
        "exists",
        "tool 'look' cannot be looked up: ToolCatalog 'b' not found",
    )
    assert only(question(catalogs=(broken, catalog(tool("look")))), {"type": "look"}).decision is (
        Decision.ALLOWED
    )


def test_a_tool_is_found_by_its_exact_name() -> None:
    sources = (catalog(tool("look"), name="a"), catalog(tool("note"), name="b"))
    found = find_tool(sources, "note")
    assert not isinstance(found, str)
    assert found.name == "note"


def test_an_allowed_item_carries_the_tool_and_its_digest() -> None:
    verdict = only(question(), {"type": "look"})
    assert verdict.tool is not None
    assert verdict.tool.name == "look"
    assert verdict.tool_digest == tool_digest(verdict.tool)
    assert verdict.record()["toolDigest"] == verdict.tool_digest


def test_the_digest_of_a_tool_changes_with_each_of_its_fields() -> None:
    variants = [
        tool("look"),
        tool("look", "Write"),
        tool("look", description="d"),
        tool("look", inputSchema={}),
        tool("look", idempotent=True),
        tool("look", timeoutSeconds=1),
        tool("look", retry={"count": 0}),
        tool("look", run={"container": {"image": "example/tool:2"}}),
    ]
    digests = {only(question(catalogs=(catalog(spec),)), {"type": "look"}).tool_digest for spec in variants}
    assert len(digests) == len(variants)


@pytest.mark.parametrize(
    ("globs", "allowed"),
    [
        (["*"], True),
        (["look"], True),
        (["lo*"], True),
        (["note", "l??k"], True),
        ([], False),
        (["LOOK"], False),
        (["loo"], False),
        (["note*"], False),
    ],
)
def test_an_agent_names_only_the_tools_that_it_was_given(globs: list[str], allowed: bool) -> None:
    verdict = only(question(agent=agent(tools=globs)), {"type": "look"})
    if allowed:
        assert verdict.decision is Decision.ALLOWED
    else:
        assert (verdict.rule, verdict.reason) == ("agent-tools", "agent 'oncall' may not use tool 'look'")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, '(root): "service" is a required property'),
        ({"service": 7}, 'service: 7 is not of type "string"'),
        ({"service": "a" * 64}, None),
        ({"service": "a", "to": 0}, "to: 0 is less than the minimum of 1"),
        (
            {"service": "a", "image": "evil"},
            "(root): Additional properties are not allowed ('image' was unexpected)",
        ),
    ],
)
def test_an_input_that_breaks_the_schema_is_denied(given: dict[str, Any], text: str | None) -> None:
    rule, why = reason(question(), rollback(**given))
    assert rule == "input-schema"
    assert why.startswith("input of 'rollback' does not fit its schema: ")
    if text is not None:
        assert why == f"input of 'rollback' does not fit its schema: {text}"


def test_an_input_that_fits_is_allowed() -> None:
    assert only(question(), rollback(service="checkout", to=3)).decision is Decision.ALLOWED


def test_an_input_with_expressions_is_provisional_and_its_names_are_checked_at_once() -> None:
    verdict = only(question(), rollback(service="${workflow.input.service}"))
    assert (verdict.decision, verdict.provisional) == (Decision.ALLOWED, True)
    assert verdict.record()["provisional"] is True
    assert reason(question(), rollback(servce="${workflow.input.service}", z=1)) == (
        "input-schema",
        "input of 'rollback': unknown properties servce, z",
    )


def test_names_that_a_pattern_allows_are_not_unknown() -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"a": {}},
        "patternProperties": {"^x-": {"type": "string"}},
    }
    asked = question(catalogs=(catalog(tool("look", inputSchema=schema)),))
    item = {"type": "look", "input": {"x-y": "${workflow.input.service}"}}
    assert only(asked, item).decision is Decision.ALLOWED


def test_the_resolved_input_is_judged_again() -> None:
    asked = question()
    fits = started(asked, {"service": "checkout"}, name="rollback").items[0]
    assert (fits.decision, fits.provisional) == (Decision.ALLOWED, False)
    breaks = started(asked, {"service": None}, name="rollback").items[0]
    assert (breaks.decision, breaks.check, breaks.reason) == (
        Decision.DENIED,
        "catalog",
        "input of 'rollback' does not fit its schema: service: null is not of type \"string\"",
    )


def test_a_resolved_input_that_is_no_json_is_denied() -> None:
    for value in (float("nan"), 2**80, "\ud800"):
        assert started(question(), {"x": value}).items[0].decision is Decision.DENIED


def test_a_schema_that_cannot_be_used_allows_nothing() -> None:
    asked = question(catalogs=(catalog(tool("look", inputSchema={"type": "nonsense"})),))
    assert reason(asked, {"type": "look"})[0] == "input-schema"


def test_retries_go_as_far_as_the_catalog_s() -> None:
    assert only(question(), {"type": "look", "retry": {"count": 1}}).decision is Decision.ALLOWED
    assert only(question(), {"type": "look", "retry": {"count": 0}}).task.retry_count == 0  # type: ignore[union-attr]
    assert reason(question(), {"type": "look", "retry": {"count": 2}}) == (
        "retry",
        "retry.count is 2, and the catalog allows at most 1 for 'look'",
    )
    authored = question(proposed=False, bind_policy=False)
    assert started(authored, retryCount=9).items[0].decision is Decision.ALLOWED


def test_the_account_must_be_allowed_to_use_the_tool() -> None:
    verdict = only(question(access={"look": False}), {"type": "look"})
    assert (verdict.decision, verdict.check, verdict.rule, verdict.reason) == (
        Decision.DENIED,
        "access",
        "use",
        "service account 'runner' may not use tool 'look'; grant it verb 'use' on tools.openworld.dev/look",
    )


def test_an_access_review_that_is_open_is_asked_for_and_is_not_a_yes() -> None:
    verdict = judge(question(access={"note": True}), {"tasks": [{"type": "look"}, {"type": "note"}]})
    assert verdict.needs_access == {"look"}
    assert [item.decision for item in verdict.items] == [Decision.DENIED, Decision.ALLOWED]


def test_access_is_not_asked_for_what_is_denied_anyway() -> None:
    denying = {"rules": [{"name": "no", "decision": "Deny"}]}
    verdict = judge(question(denying, access={}), {"tasks": [{"type": "look"}, {"type": "nope"}]})
    assert verdict.needs_access == frozenset()


def test_task_types_need_no_tool_and_no_access() -> None:
    waiting = {"rules": [{"name": "w", "match": {"types": ["WAIT"]}, "decision": "Allow"}]}
    asked = question(waiting, catalogs=(), access={})
    verdict = only(asked, {"type": "WAIT", "name": "rollback", "input": {"duration": "5m"}})
    assert (verdict.decision, verdict.tool) == (Decision.ALLOWED, None)


def test_authored_tasks_pass_catalog_and_access_as_well() -> None:
    authored = question(policies=(), proposed=False, bind_policy=False)
    allowed = started(authored).items[0]
    assert (allowed.decision, allowed.check, allowed.rule, allowed.reason) == (
        Decision.ALLOWED,
        "access",
        "authored",
        "authored in the workflow's definition",
    )
    assert started(authored, name="nope").items[0].check == "catalog"
    refused = question(policies=(), proposed=False, bind_policy=False, access={"look": False})
    assert started(refused).items[0].check == "access"


def test_a_long_reason_is_cut_off() -> None:
    verdict = items(question(), rollback(**{"k" * 9000: "${workflow.input.x}"}))[0]
    assert len(verdict.reason) == 2000
    assert verdict.reason.endswith("k…")
