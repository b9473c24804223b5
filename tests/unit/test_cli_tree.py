"""`openworld tree`: what it says, and how it fits a screen."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.cli.outline import fitted, outline
from tests.support.verbs import cluster, screen
from tests.unit.cli_double import execution, invoke, oncall, oncall_done, oncall_waiting


def test_tree_shows_what_was_proposed_denied_and_approved() -> None:
    assert invoke(cluster(execution(oncall_done())), "tree", "run-1").output.splitlines() == [
        "✓ run-1  workflow main  Completed  output {id: INC-1}",
        "├── ✓ triage  agent oncall  Completed  19.1 s",
        "│   ├── • turn 1  p-1  look first",
        "│   │   └── ✓ triage__1__metrics  look(service=checkout)  Completed  rule reads: Reading is free.",
        "│   ├── • turn 2  p-2  go back",
        "│   │   ├── ✓ triage__2__rollback  rollback(service=checkout, to=1)  Completed  "
        "rule own-service: one person; approved by bob@example.com; 4.1 s",
        "│   │   └── ⊘ triage__2__delete  delete  Denied  rule no-deletes: nobody deletes",
        "│   └── • turn 3  p-3  answered {cause: deploy}",
        "└── ✓ report  look(cause=deploy)  Completed",
    ]


def test_tree_shows_what_waits_and_what_has_not_started() -> None:
    lines = invoke(cluster(execution(oncall_waiting())), "tree", "run-1").output.splitlines()
    assert lines[0] == "▸ run-1  workflow main  Running  waits for approval of triage__2__rollback (rollback)"
    assert lines[5] == (
        "│       ├── ? triage__2__rollback  rollback(service=checkout, to=1)  AwaitingApproval  "
        "rule own-service: one person; 0 of 1 approvals, waits until 2027-01-15T08:15:03.000Z"
    )
    assert lines[-1] == "└── · report  SIMPLE  Pending"


@pytest.mark.parametrize(
    ("value", "told"), [({"service": "checkout", "to": "2"}, "service=checkout, to=2"), ({}, "(empty)")]
)
def test_tree_says_that_something_else_was_approved_than_was_asked_for(
    value: dict[str, Any], told: str
) -> None:
    world = oncall_waiting()
    world.define("Policy", "p", {"rules": [{"name": "any", "decision": "RequireApproval"}]})
    gate = world.task("triage__2__rollback").gate
    assert gate is not None
    about = {"ref": "triage__2__rollback", "tool": gate.tool, "item_digest": gate.digest}
    world.signal("Approve", payload={"input": value}, **about)
    lines = invoke(cluster(execution(world)), "tree", "run-1").output.splitlines()
    assert f"approved by bob@example.com with another input: {told}" in lines[5]


def test_a_tree_that_is_too_high_folds_its_oldest_settled_branches() -> None:
    root = outline(execution(oncall_done()))
    assert root.rows() == 9
    assert fitted(root, 7).rows() == 6
    first, second, third = root.children[0].children
    assert [(turn.hidden, len(turn.children)) for turn in (first, second, third)] == [(1, 0), (2, 0), (0, 0)]
    assert fitted(root, 4).rows() == 3
    assert root.children[0].hidden == 6


def test_what_still_changes_is_never_folded() -> None:
    root = fitted(outline(execution(oncall_waiting())), 1)
    first, second = root.children[0].children
    assert [child.status for child in second.children] == ["AwaitingApproval", "Denied"]
    assert first.hidden == 1


def test_a_live_tree_of_80_columns_says_what_is_waited_for_and_every_state() -> None:
    body = execution(oncall_waiting(), "incident-response-x7f2q")
    lines = screen(body, 80, 24)
    assert lines[:2] == [
        "▸ incident-response-x7f2q  workflow main  Running  waits for approval of",
        "triage__2__rollback (rollback)",
    ]
    assert lines[6] == "│       ├── ? triage__2__rollback  rollback(se…  AwaitingApproval  rule own-ser…"
    assert max(map(len, lines)) <= 80
    assert "  AwaitingApproval" in screen(body, 60, 24)[6]


def test_a_live_tree_is_no_higher_than_its_screen() -> None:
    body = execution(oncall_waiting())
    whole = screen(body, 80, 24)
    assert screen(body, 80, len(whole) + 1) == whole
    folded = screen(body, 80, len(whole))
    assert len(folded) == len(whole) - 1
    assert folded[-1] == whole[-1]


def test_a_live_tree_on_a_wide_screen_is_the_plain_one() -> None:
    body = execution(oncall_done())
    assert screen(body, 400, 40) == invoke(cluster(body), "tree", "run-1").output.splitlines()


def test_live_needs_a_terminal() -> None:
    result = invoke(cluster(execution(oncall())), "tree", "run-1", "--live")
    assert result.exit_code == 2
    assert "--live needs a terminal" in result.stderr
