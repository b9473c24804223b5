"""A proposed HTTP request goes to hosts that somebody has named, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.governance import Decision
from openworld.language.requests import host_of
from tests.support.governance import only, question, rule, started
from tests.support.world import world

SCRIPTED = {"provider": "scripted", "script": {"configMapName": "s"}}


def to(uri: Any, **more: Any) -> dict[str, Any]:
    """An HTTP item."""
    return {"type": "HTTP", "input": {"uri": uri, **more}}


def hosts(*names: str, **more: Any) -> dict[str, Any]:
    """A policy that allows requests to these hosts."""
    return {"rules": [rule("api", match={"types": ["HTTP"], "hosts": list(names)}, **more)]}


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("https://api.example.com/v1", True),
        ("https://API.Example.com:8443/v1?x=${workflow.input.service}", True),
        ("https://api.example.com/${workflow.input.service}", True),
        ("https://deep.team.example.org/", True),
        ("https://example.org/", False),
        ("https://evilexample.org/", False),
        ("https://api.example.com.evil.test/", False),
        ("https://api.example.com${workflow.input.service}/", False),
        ("https://${workflow.input.service}/", False),
        ("${workflow.input.service}", False),
        ("https://169.254.169.254/latest/meta-data", False),
        ("https://api.example.com./v1", True),
        ("https://api.example.com.evil.test./v1", False),
    ],
)
def test_a_request_is_allowed_to_hosts_that_a_rule_names(uri: str, allowed: bool) -> None:
    found = only(question(hosts("api.example.com", "*.example.org")), to(uri))
    assert (found.decision is Decision.ALLOWED) == allowed
    if not allowed:
        assert "a rule may, with match: {types: [HTTP], hosts: […]}" in found.reason


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (to("https://api.example.com@evil.test/"), "must not hold a user or a password"),
        (to("https://аpi.example.com/"), "write it in ASCII"),
        (to("https://evil.test\\.example.org/"), "a host is letters, digits"),
        (to("http://0xa9fea9fe/"), "write the address as four decimal numbers"),
        (to("http://[::1%25eth0]/"), "which is no IPv6 address"),
        (to("https://api.example.com/", headers={"Host": "other.test"}), "follows from the request"),
        (to("file:///etc/passwd"), "must begin with http:// or https://"),
        (
            to("https://api.example.com/", headers={"Host": "evil.test", "content-length": "3"}),
            "follows from the request",
        ),
        (to("https://api.example.com/", method="TRACE"), "is not allowed: one of"),
        (to("https://api.example.com/ HTTP/1.1"), "holds a space"),
        (to("https://api.example.com/", auth={"user": "x"}), "means nothing to an HTTP task"),
        (
            to("https://api.example.com/", headers={"x": "${workflow.secrets.crm.token}"}),
            "only its input may be named",
        ),
    ],
)
def test_what_no_request_may_be_is_denied_with_the_reason(item: dict[str, Any], reason: str) -> None:
    found = only(question(hosts("api.example.com")), item)
    assert (found.decision, found.check) == (Decision.DENIED, "shape")
    assert reason in found.reason


def test_a_rule_without_hosts_allows_no_proposed_request_and_denies_any() -> None:
    found = only(
        question({"rules": [rule("any", match={"types": ["HTTP"]})]}), to("https://api.example.com/")
    )
    assert found.rule == "default-deny"
    shut = {"rules": [*hosts("api.example.com")["rules"], rule("no", "Deny", match={"types": ["HTTP"]})]}
    assert only(question(shut), to("https://api.example.com/")).rule == "no"


def test_authored_requests_are_the_authors_and_need_no_host() -> None:
    asked = question({"scope": "All", "rules": [rule("any", match={"types": ["HTTP"]})]}, proposed=False)
    verdict = started(asked, {"uri": "https://api.example.com/"}, type="HTTP")
    assert verdict.items[0].decision is Decision.ALLOWED


def test_the_host_is_judged_again_when_it_is_known() -> None:
    w = world({"ref": "ask", "type": "AGENT", "input": {"agent": "a"}}, policyRef={"name": "p"})
    w.define("Policy", "p", hosts("api.example.com")).define("Agent", "a", {"model": SCRIPTED})
    w.step().started("ask")
    item = to("https://api.example.com/${workflow.input.path}")
    w.completes("ask", proposal={"tasks": [item]})
    assert w.statuses["ask__1__http"] == "Scheduled"
    assert host_of(w.task("ask__1__http").input) == "api.example.com"
