"""`openworld approve` and `reject`: what is shown, asked, sent and answered."""

from __future__ import annotations

import pytest

from tests.support.verbs import ACCEPTED, WHERE, cluster
from tests.unit.cli_double import execution, invoke, oncall, oncall_waiting


def test_approve_shows_the_recorded_item_asks_and_sends_its_digest() -> None:
    world = oncall_waiting()
    c = cluster(execution(world), answer=ACCEPTED)
    result = invoke(c, "approve", "run-1", "--reason", "go", terminal=True, typed="y\n")
    gate = world.task("triage__2__rollback").gate
    assert gate is not None
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "An item waits for a person:",
        "  task:      triage__2__rollback",
        "  tool:      rollback",
        "  rule:      own-service",
        "  why:       one person",
        "  approvals: 0 of 1",
        "  expires:   2027-01-15T08:15:03.000Z",
        f"  digest:    {gate.digest}",
        "  input:",
        "    service: checkout",
        "    to: '1'",
        "Approve this? [y/N]: y",
        "triage__2__rollback (rollback) approved",
    ]
    assert c.created == [
        {
            "apiVersion": "openworld.dev/v1alpha1",
            "kind": "Signal",
            "metadata": {"generateName": "approve-", "namespace": "team"},
            "spec": {
                "execution": "run-1",
                "executionUID": "uid-1",
                "type": "Approve",
                "by": "bob@example.com",
                "tool": "rollback",
                "itemDigest": gate.digest,
                "ref": "triage__2__rollback",
                "payload": {"reason": "go"},
            },
        }
    ]
    assert c.watched == [("Signal", "approve-x1", 30.0)]


def test_reject_sends_a_rejection() -> None:
    c = cluster(execution(oncall_waiting()), answer=ACCEPTED)
    result = invoke(c, "reject", "run-1", "triage__2__rollback", "--yes", "--timeout", "5")
    assert (result.exit_code, result.output.splitlines()[-1]) == (
        0,
        "triage__2__rollback (rollback) rejected",
    )
    assert c.created[0]["spec"]["type"] == "Reject"
    assert c.watched == [("Signal", "reject-x1", 5.0)]


def test_what_is_approved_without_being_asked_is_shown_before_it_is_sent() -> None:
    c = cluster(execution(oncall_waiting()))
    shown = invoke(c, "approve", "run-1", "--yes").stdout.splitlines()
    assert shown[:5] == [
        "An item waits for a person:",
        "  task:      triage__2__rollback",
        "  tool:      rollback",
        "  rule:      own-service",
        "  why:       one person",
    ]
    assert shown[-3:] == ["  input:", "    service: checkout", "    to: '1'"]


@pytest.mark.parametrize(
    ("args", "sent"),
    [
        (("approve", "run-1", "--yes"), "triage__2__rollback (rollback) Approve sent"),
        (("reject", "run-1", "--yes"), "triage__2__rollback (rollback) Reject sent"),
        (("signal", "run-1", "Pause"), "run-1: Pause sent"),
        (("terminate", "run-1"), "run-1: Terminate sent"),
    ],
)
def test_who_may_send_and_not_read_is_told_that_it_was_sent(args: tuple[str, ...], sent: str) -> None:
    c = cluster(execution(oncall_waiting()), answer=ACCEPTED)
    c.unreadable = ("Signal",)
    result = invoke(c, *args)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, sent)
    kind = sent.split()[-2].lower()
    assert result.stderr == (
        f"The signal {kind}-x1 was sent. The operator's answer cannot be read: you lack the verbs `get`, `list` and "
        "`watch` on signals.openworld.dev in the namespace team (the role openworld-approver has them). "
        "`openworld ledger run-1` shows what came of it.\n"
    )
    assert len(c.created) == 1


def test_without_a_terminal_nothing_is_approved_unseen() -> None:
    c = cluster(execution(oncall_waiting()), answer=ACCEPTED)
    result = invoke(c, "approve", "run-1")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: nothing was sent: there is no terminal to ask on; look at the item and give --yes to approve it\n",
    )
    assert "  tool:      rollback\n" in result.stdout
    result = invoke(c, "approve", "run-1", terminal=True, typed="n\n")
    assert (result.exit_code, result.stderr) == (1, "Error: nothing was sent\n")
    assert c.created == []


def test_a_refusal_by_the_operator_is_an_error_with_its_reason() -> None:
    answer = {"status": "False", "reason": "Refused", "message": "the requester may not approve"}
    result = invoke(cluster(execution(oncall_waiting()), answer=answer), "approve", "run-1", "--yes")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: the operator refused it: the requester may not approve (signal approve-x1)\n",
    )


def test_an_operator_that_does_not_answer_is_an_error() -> None:
    result = invoke(cluster(execution(oncall_waiting())), "approve", "run-1", "--yes", "--timeout", "2")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: the operator has not answered within 2 s; the signal approve-x1 stays and is read when the "
        f"operator runs. {WHERE}",
    )


@pytest.mark.parametrize(
    "verb", [("signal", "run-1", "Pause"), ("terminate", "run-1"), ("reject", "run-1", "--yes")]
)
def test_no_answer_to_any_signal_says_where_to_look(verb: tuple[str, ...]) -> None:
    result = invoke(cluster(execution(oncall_waiting())), *verb)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the operator has not answered within 30 s; ")
    assert result.stderr.endswith(WHERE)


def test_what_does_not_wait_cannot_be_approved() -> None:
    c = cluster(execution(oncall_waiting()), execution(oncall(), "none"))
    listed = "waiting for an approval: triage__2__rollback (rollback)"
    cases = {
        ("run-1", "report"): f"task 'report' of run-1 does not exist; {listed}",
        ("run-1", "triage"): f"task 'triage' of run-1 is InProgress; {listed}",
        ("none",): "nothing in none waits for an approval",
    }
    for args, message in cases.items():
        result = invoke(c, "approve", *args, "--yes")
        assert (result.exit_code, result.stderr) == (1, f"Error: {message}\n")


def test_of_several_that_wait_one_must_be_named() -> None:
    items = [{"ref": ref, "type": "rollback", "input": {"service": "checkout"}} for ref in ("a", "b")]
    world = oncall().completes("triage", proposal={"tasks": items})
    result = invoke(cluster(execution(world)), "approve", "run-1", "--yes")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: name one: waiting for an approval: triage__1__a (rollback), triage__1__b (rollback)\n",
    )


def test_an_item_that_the_ledger_does_not_show_is_not_decided_on() -> None:
    body = execution(oncall_waiting())
    body["status"]["tasks"]["triage__2__rollback"]["approval"]["itemDigest"] = "sha256:other"
    result = invoke(cluster(body), "approve", "run-1", "--yes")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: the ledger does not show the item that triage__2__rollback waits with (digest sha256:other); "
        "do not decide on what cannot be shown\n",
    )


def test_escape_sequences_in_an_item_are_shown_to_who_approves() -> None:
    item = {"type": "rollback", "input": {"service": "checkout", "to": "1\x1b[8m; rm -rf"}}
    world = oncall().completes("triage", proposal={"tasks": [item]})
    result = invoke(cluster(execution(world)), "approve", "run-1", terminal=True, typed="n\n")
    assert "\x1b" not in result.output
    assert r"to: \"1\e[8m; rm -rf\"".replace('\\"', '"') in result.output


@pytest.mark.parametrize("name", ["restart-service", "wipe-database"])
def test_the_definition_that_an_approval_would_run_is_shown(name: str) -> None:
    world = oncall()
    types = {"rules": [{"name": "subs", "match": {"types": ["SUB_WORKFLOW"]}, "decision": "RequireApproval"}]}
    world.define("Policy", "p", types)
    world.define("Workflow", name, {"version": 4, "tasks": [{"ref": "z", "type": "HUMAN"}]})
    item = {"ref": "fix", "type": "SUB_WORKFLOW", "input": {"name": name, "service": "checkout"}}
    world.completes("triage", proposal={"tasks": [item]})
    result = invoke(cluster(execution(world), answer=ACCEPTED), "approve", "run-1", "--yes")
    digest = world.of_type("ApprovalRequested")[0]["subject"]["digest"]
    assert f"runs:      Workflow {name} version 4 ({digest})" in result.output
    assert f"running Workflow {name}" in invoke(cluster(execution(world)), "ledger", "run-1").output
