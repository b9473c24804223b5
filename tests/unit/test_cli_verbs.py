"""The verbs against a cluster in memory: what they create, print and refuse."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from rich.console import Console

from openworld.api import SignalType
from openworld.api.crd import KINDS
from openworld.cli import kinds
from openworld.cli.app import VERBS, cli
from openworld.cli.completions import for_kubectl
from openworld.cli.errors import CliError
from openworld.cli.outline import fitted, outline
from openworld.cli.output import yaml_text
from openworld.cli.refs import MOST_SHOWN_TASKS
from openworld.cli.session import Connection, Session
from openworld.cli.verbs.signal import _TYPES
from openworld.cli.verbs.tree import _follow, on_screen
from openworld.controller.names import job_name
from openworld.engine import projection
from openworld.kube import resources
from openworld.ledger import rfc3339
from tests.support.world import START_MS, World
from tests.support.world import world as world_of
from tests.unit.cli_double import NOW, FakeCluster, execution, invoke, oncall, oncall_done, oncall_waiting

ACCEPTED = {"status": "True", "reason": "Accepted", "message": ""}


def cluster(*bodies: dict[str, Any], answer: dict[str, str] | None = None) -> FakeCluster:
    """A cluster that holds the objects, and an operator that gives this answer to every signal."""
    made = FakeCluster(answer=answer)
    for body in bodies:
        made.put(body)
    return made


def test_run_creates_an_execution_as_the_caller_and_prints_its_name() -> None:
    c = cluster()
    result = invoke(
        c, "run", "main", "-i", "service=checkout", "-i", "count=3", "-i", "tags=[1]", "-i", "x=NaN"
    )
    assert (result.exit_code, result.output) == (0, "main-x1\n")
    assert c.created == [
        {
            "apiVersion": "openworld.dev/v1alpha1",
            "kind": "Execution",
            "metadata": {"generateName": "main-", "namespace": "team"},
            "spec": {
                "workflowRef": {"name": "main"},
                "input": {"service": "checkout", "count": 3, "tags": [1], "x": "NaN"},
                "requestedBy": "bob@example.com",
            },
        }
    ]


def test_run_with_everything_given(tmp_path: Path) -> None:
    file = tmp_path / "input.yaml"
    file.write_text("service: checkout\nat: 2026-01-01\n")
    c = cluster()
    options = ("--name", "r1", "--service-account", "runner", "--correlation-id", "c-1", "-o", "json")
    result = invoke(c, "-n", "other", "run", "main", "--input-file", str(file), *options)
    assert c.created[0]["metadata"] == {"name": "r1", "namespace": "other"}
    assert c.created[0]["spec"]["input"] == {"service": "checkout", "at": "2026-01-01"}
    assert c.created[0]["spec"]["serviceAccountName"] == "runner"
    assert c.created[0]["spec"]["correlationId"] == "c-1"
    assert json.loads(result.output)["metadata"]["name"] == "r1"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-i", "service"), "-i takes KEY=VALUE, not 'service'"),
        (("-i", "a=1", "-i", "a=2"), "-i a is given twice"),
        (
            ("--input", "{"),
            "--input is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char "
            "1)",
        ),
        (("--input", "[1]"), '--input must be a JSON object, such as {"key": "value"}'),
        (("--input", '{"a": NaN}'), "--input is not JSON: NaN is not a JSON number"),
        (("--input-file", "/nonexistent"), "/nonexistent cannot be read: No such file or directory"),
    ],
)
def test_run_refuses_inputs_that_are_none(args: tuple[str, ...], message: str) -> None:
    c = cluster()
    result = invoke(c, "run", "main", *args)
    assert (result.exit_code, result.stderr, c.created) == (1, f"Error: {message}\n", [])


def test_an_input_file_that_is_not_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "input.yaml"
    file.write_text("a: 1\nb: [1\nc: 2\n")
    result = invoke(cluster(), "run", "main", "--input-file", str(file))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {file}:3 is neither JSON nor YAML: ")


def test_run_takes_one_kind_of_input() -> None:
    result = invoke(cluster(), "run", "main", "-i", "a=1", "--input", "{}")
    assert result.exit_code == 2
    assert "give the input once: -i, --input or --input-file" in result.stderr


def test_run_waits_for_the_end_and_says_what_it_waits_for() -> None:
    c = cluster()
    c.changes[("Execution", "r")] = [execution(oncall_waiting(), "r"), execution(oncall_done(), "r")]
    result = invoke(c, "run", "main", "--name", "r", "--wait")
    assert (result.exit_code, result.stdout) == (0, "r\nCompleted: {id: INC-1}\n")
    assert result.stderr == "r waits for approval of triage__2__rollback (rollback)\n"


def test_run_fails_as_the_execution_does() -> None:
    c = cluster()
    c.changes[("Execution", "r")] = [execution(oncall().fails("triage", "no idea", terminal=True), "r")]
    result = invoke(c, "run", "main", "--name", "r", "--wait")
    assert (result.exit_code, result.stderr) == (1, "Error: r Failed: task triage failed: no idea\n")


def test_run_stops_waiting_in_time() -> None:
    c = cluster()
    c.changes[("Execution", "r")] = [execution(oncall_waiting(), "r")]
    result = invoke(c, "run", "main", "--name", "r", "--wait", "--timeout", "5")
    assert c.watched == [("Execution", "r", 5.0)]
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "Error: r is still Running after 5 s, waits for approval of triage__2__rollback (rollback); it "
        "goes on"
    )


def test_get_lists_and_shows() -> None:
    c = cluster(execution(oncall_done()), execution(oncall_waiting(), "run-2"))
    assert [line.split() for line in invoke(c, "get").output.splitlines()] == [
        ["NAME", "WORKFLOW", "PHASE", "ACTIVE/DONE/ALL", "WAITING-FOR", "AGE"],
        ["run-1", "main", "Completed", "0/4/4", "90s"],
        ["run-2", "main", "Running", "2/1/3", "approval", "of", "triage__2__rollback", "(rollback)", "90s"],
    ]
    assert len(invoke(c, "get", "run-2").output.splitlines()) == 2
    assert yaml.safe_load(invoke(c, "get", "run-1", "-o", "yaml").output)["status"]["phase"] == "Completed"
    listed = json.loads(invoke(c, "get", "-o", "json").output)
    assert (listed["kind"], len(listed["items"])) == ("List", 2)
    assert "NAMESPACE" in invoke(c, "get", "-A").output


def test_get_has_the_columns_of_kubectl() -> None:
    [kind] = [kind for kind in KINDS if kind.name == "Execution"]
    columns = [name.upper() for name, _, _, priority in kind.columns if priority == 0]
    head = invoke(cluster(execution(oncall_done())), "get").output.splitlines()[0]
    assert head.split() == ["NAME", *columns]


def test_get_says_what_is_not_there() -> None:
    result = invoke(cluster(), "get", "-n", "empty")
    assert (result.exit_code, result.stderr) == (0, "no executions in empty\n")
    result = invoke(cluster(), "get", "nope")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: Execution 'nope' does not exist in namespace 'team'\n",
    )


def test_an_execution_that_the_operator_has_not_seen_is_pending() -> None:
    body = execution(oncall())
    del body["status"]
    assert invoke(cluster(body), "get").output.splitlines()[1].split()[:4] == [
        "run-1",
        "main",
        "Pending",
        "0/0/0",
    ]
    body["metadata"]["creationTimestamp"] = rfc3339(START_MS + 80_000)
    assert invoke(cluster(body), "tree", "run-1").output == "· run-1  workflow main  Pending\n"
    assert invoke(cluster(body), "ledger", "run-1").stderr == "run-1 has not started\n"


WHERE = (
    "The operator may not be running, or may not serve the namespace "
    "team (the chart's value `namespaces`). Look where it is installed:\n"
    "  kubectl -n openworld-system get pods\n"
    "  kubectl -n openworld-system set env deployment/openworld-operator --list | grep NAMESPACES\n"
)
HINT = "{}: Pending for more than 15 s and not begun. " + WHERE


def unserved(name: str = "run-1", after_seconds: float = 0) -> dict[str, Any]:
    """An execution of that many seconds after the start that no operator has looked at; it is 90 s later."""
    body = execution(oncall(), name)
    del body["status"]
    body["metadata"]["creationTimestamp"] = rfc3339(START_MS + round(after_seconds * 1000))
    return body


@pytest.mark.parametrize("verb", [("get",), ("get", "run-1"), ("tree", "run-1"), ("ledger", "run-1")])
def test_an_execution_that_nobody_works_is_pointed_out(verb: tuple[str, ...]) -> None:
    result = invoke(cluster(unserved()), *verb)
    assert (result.exit_code, result.stderr.removesuffix("run-1 has not started\n")) == (
        0,
        HINT.format("run-1"),
    )
    assert "openworld-system" not in invoke(cluster(unserved(after_seconds=75)), *verb).stderr
    assert "openworld-system" not in invoke(cluster(execution(oncall())), *verb).stderr


def test_what_nobody_works_is_pointed_out_above_a_live_tree() -> None:
    c = cluster(unserved())
    c.changes[("Execution", "run-1")] = [execution(oncall_done())]
    screen = io.StringIO()
    session = Session(connect=lambda _: c, now=lambda: NOW)
    _follow(session, Console(file=screen, force_terminal=True, width=200, color_system=None), "run-1")
    assert screen.getvalue().count("kubectl -n openworld-system get pods") == 1


def test_several_that_nobody_works_are_one_hint() -> None:
    bodies = [unserved(f"r{number}") for number in range(5)]
    result = invoke(cluster(*bodies, execution(oncall())), "get")
    assert result.stderr == HINT.format("r0, r1, r2 and 2 more")


def test_waiting_for_what_nobody_works_says_so_once_and_goes_on() -> None:
    c = cluster()
    c.changes[("Execution", "r")] = [unserved("r", 76), unserved("r", 76)]
    result = invoke(c, "run", "main", "--name", "r", "--wait", "--timeout", "60")
    assert result.stderr == HINT.format("r") + "Error: r is still Pending after 60 s; it goes on\n"
    assert c.watched == [("Execution", "r", 15), ("Execution", "r", 45.0)]


def test_following_what_nobody_works_says_so_at_once_and_only_once() -> None:
    c = cluster(unserved())
    c.changes[("Execution", "run-1")] = [unserved(), unserved()]
    result = invoke(c, "ledger", "run-1", "--follow")
    assert result.stderr == HINT.format("run-1") + "run-1 has not started\n"


def test_what_begins_in_time_is_waited_for_without_a_word() -> None:
    c = cluster()
    c.changes[("Execution", "r")] = [unserved("r", 85), execution(oncall(), "r")]
    result = invoke(c, "run", "main", "--name", "r", "--wait", "--timeout", "60")
    assert result.stderr == "Error: r is still Running after 60 s; it goes on\n"


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


def screen(body: dict[str, Any], width: int, height: int) -> list[str]:
    """The lines of a live tree."""
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(on_screen(outline(body), console))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


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


def test_ledger_tells_follows_and_prints_raw() -> None:
    world = oncall_done()
    c = cluster(execution(world))
    told = invoke(c, "ledger", "run-1").output.splitlines()
    assert told[0] == "  +00:00.0  alice@example.com     started main v1 with service=checkout, as runner"
    assert "                                    - delete(service=checkout)" in told
    assert told[-1] == "  +00:20.1  execution             completed after 20.1 s: {id: INC-1}"
    assert json.loads(invoke(c, "ledger", "run-1", "-o", "json").output) == world.events
    assert yaml.safe_load(invoke(c, "ledger", "run-1", "-o", "yaml").output) == world.events


def test_ledger_names_the_job_whose_log_tells_more() -> None:
    world = oncall_waiting()
    world.approve("triage__2__rollback")
    world.fails("triage__2__rollback", "the container ended with exit code 64", terminal=True)
    c = cluster(execution(world))
    seq = next(e["seq"] for e in world.of_type("TaskScheduled") if e["ref"] == "triage__2__rollback")
    wanted = f"exit code 64; logs: kubectl logs job/{job_name('uid-1', seq)} -n team"
    assert wanted in invoke(c, "ledger", "run-1").stdout
    assert wanted in invoke(c, "tree", "run-1").stdout


def test_ledger_follow_tells_every_event_once_up_to_the_end() -> None:
    done = oncall_done()
    c = cluster(execution(oncall()))
    c.changes[("Execution", "run-1")] = [execution(oncall_waiting()), execution(done), execution(done)]
    result = invoke(c, "ledger", "run-1", "--follow", "-o", "json")
    assert [json.loads(line)["seq"] for line in result.output.splitlines()] == list(range(len(done.events)))


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


def asking() -> World:
    """An agent whose second turn has proposed a question to a person; a task is still to come."""
    world = World(
        {
            "tasks": [
                {"ref": "writer", "type": "AGENT", "input": {"agent": "writer", "goal": "ask"}},
                {
                    "ref": "pick",
                    "type": "SWITCH",
                    "evaluatorType": "value-param",
                    "expression": "x",
                    "input": {"x": "a"},
                    "decisionCases": {"a": [{"ref": "publish", "type": "NOOP"}]},
                },
            ],
            "policyRef": {"name": "p"},
        }
    )
    world.define(
        "Policy", "p", {"rules": [{"name": "ask", "match": {"types": ["HUMAN"]}, "decision": "Allow"}]}
    )
    world.define("Agent", "writer", {"model": {"provider": "scripted", "script": {"configMapName": "s"}}})
    world.step().completes("writer", proposal={"tasks": [{"ref": "sure", "type": "HUMAN"}]})
    world.signal("Complete", ref="writer__1__sure")
    return world.completes("writer", proposal={"tasks": [{"ref": "ask", "type": "HUMAN"}]})


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("Complete", "ask"), "run-1 has no task 'ask'; did you mean 'writer__2__ask'?"),
        (("Fail", "writer__1__ask"), "run-1 has no task 'writer__1__ask'; did you mean 'writer__2__ask'?"),
        (("Rerun", "writr"), "run-1 has no task 'writr'; did you mean 'writer'?"),
        (("Rerun", "publish"), "run-1 has no task 'publish'; waiting: writer__2__ask"),
        (("Skip", "pubish"), "run-1 has no task 'pubish'; did you mean 'publish'?"),
        (("Complete", "zzz\x1b"), "run-1 has no task 'zzz\\x1b'; waiting: writer__2__ask"),
    ],
)
def test_a_task_that_does_not_exist_is_pointed_out_and_nothing_sent(
    args: tuple[str, ...], message: str
) -> None:
    c = cluster(execution(asking()), answer=ACCEPTED)
    result = invoke(c, "signal", "run-1", *args)
    assert (result.exit_code, result.stderr, c.created) == (1, f"Error: {message}\n", [])


@pytest.mark.parametrize(
    "args", [("Complete", "writer__2__ask"), ("Skip", "pick"), ("Skip", "publish"), ("Skip", "publish__2")]
)
def test_a_task_that_exists_or_may_still_come_is_sent(args: tuple[str, ...]) -> None:
    c = cluster(execution(asking()), answer=ACCEPTED)
    assert invoke(c, "signal", "run-1", *args).output == f"run-1: {args[0]} accepted\n"


@pytest.mark.parametrize("kind", ["Rerun", "Skip"])
def test_what_a_long_run_has_behind_it_is_left_to_the_operator(kind: str) -> None:
    sealed, many = execution(asking()), execution(asking())
    sealed["status"]["ledger"]["segments"] = 1
    many["status"]["tasks"] |= {f"t{number}": {"type": "NOOP", "status": "Completed"} for number in range(99)}
    assert MOST_SHOWN_TASKS == projection.MOST_SHOWN_TASKS
    for body in (sealed, many):
        c = cluster(body, answer=ACCEPTED)
        assert invoke(c, "signal", "run-1", kind, "gone").output == f"run-1: {kind} accepted\n"
        assert "did you mean 'writer__2__ask'?" in invoke(c, "signal", "run-1", "Fail", "ask").stderr


def test_what_has_not_begun_is_left_to_the_operator() -> None:
    c = cluster(unserved(), answer=ACCEPTED)
    assert invoke(c, "signal", "run-1", "Complete", "ask").output == "run-1: Complete accepted\n"


def test_signal_completes_a_task_and_pauses_a_run() -> None:
    c = cluster(execution(world_of({"ref": "ask", "type": "HUMAN"}).step()), answer=ACCEPTED)
    result = invoke(c, "signal", "run-1", "complete", "ask", "--payload", '{"ok": true}')
    assert (result.exit_code, result.output) == (0, "run-1: Complete accepted\n")
    assert invoke(c, "signal", "run-1", "PAUSE", "--reason", "lunch").output == "run-1: Pause accepted\n"
    assert [(s["spec"]["type"], s["spec"].get("ref"), s["spec"].get("payload")) for s in c.created] == [
        ("Complete", "ask", {"ok": True}),
        ("Pause", None, {"reason": "lunch"}),
    ]
    assert invoke(c, "signal", "run-1", "complete", "ask", "--group", "leads").exit_code == 0
    assert (c.created[-1]["spec"]["group"], "group" in c.created[0]["spec"]) == ("leads", False)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("skip",), "Skip is about one task: openworld signal run-1 Skip REF"),
        (("pause", "ask"), "Pause is about the whole execution and takes no REF"),
        (("pause", "--group", "leads"), "Pause is not said for a group: leave out --group"),
        (
            ("fail", "ask", "--payload", "{}"),
            "Fail takes --reason and no --payload",
        ),
        (
            ("complete", "ask", "--reason", "x"),
            "--reason does not go with Complete: the payload is the task's output",
        ),
        (
            ("complete", "ask", "--payload", "no"),
            "--payload is not JSON: Expecting value: line 1 column 1 (char 0)",
        ),
    ],
)
def test_signals_that_make_no_sense(args: tuple[str, ...], message: str) -> None:
    result = invoke(cluster(execution(oncall())), "signal", "run-1", *args)
    assert (result.exit_code, result.stderr) == (1, f"Error: {message}\n")


def test_signal_types_are_those_of_the_api_without_the_decisions() -> None:
    assert set(_TYPES) == {kind.value for kind in SignalType} - {"Approve", "Reject"}
    result = invoke(cluster(), "signal", "run-1", "approve", "x")
    assert result.exit_code == 2
    assert "use `openworld approve`, which shows what you decide on" in result.stderr
    assert "'sing' is not one of Complete, Fail, Rerun" in invoke(cluster(), "signal", "run-1", "sing").stderr


def test_terminate() -> None:
    c = cluster(execution(oncall()), answer=ACCEPTED)
    assert invoke(c, "terminate", "run-1", "--reason", "enough").output == "run-1 terminated\n"
    assert c.created[0]["spec"]["type"] == "Terminate"
    assert c.created[0]["spec"]["payload"] == {"reason": "enough"}


def test_connection_options_stand_before_or_after_the_verb_and_the_last_counts() -> None:
    seen: list[Connection] = []

    def connect(connection: Connection) -> FakeCluster:
        seen.append(connection)
        return FakeCluster()

    before = ["-n", "a", "--context", "c", "--as", "eve@example.com"]
    after = ["-n", "b", "--kubeconfig", "k", "--as-group", "g1", "--as-group", "g2"]
    CliRunner().invoke(cli, [*before, "get", *after], obj=Session(connect=connect))
    assert seen == [Connection("b", "c", "k", "eve@example.com", ("g1", "g2"))]


def test_every_verb_can_be_loaded_and_explains_itself() -> None:
    for verb in VERBS:
        result = CliRunner().invoke(cli, [verb, "--help"])
        assert result.exit_code == 0
        assert result.output.startswith(f"Usage: cli {verb}")


def test_help_is_a_verb_too() -> None:
    runner = CliRunner()
    for words in ([], ["tree"], ["import"]):
        said = runner.invoke(cli, ["help", *words], prog_name="openworld")
        assert (said.exit_code, said.output) == (
            0,
            runner.invoke(cli, [*words, "--help"], prog_name="openworld").output,
        )
    result = runner.invoke(cli, ["help", "aprove"])
    assert result.exit_code == 2
    assert "there is no verb 'aprove'; did you mean 'approve'?" in result.output


def test_a_verb_that_is_misspelt() -> None:
    result = CliRunner().invoke(cli, ["aprove"])
    assert result.exit_code == 2
    assert "there is no verb 'aprove'; did you mean 'approve'?" in result.output


def test_version_and_completion() -> None:
    assert CliRunner().invoke(cli, ["version"]).output == "openworld 0.1.0\n"
    for shell in ("bash", "zsh", "fish"):
        assert "_OPENWORLD_COMPLETE" in CliRunner().invoke(cli, ["completion", shell]).output


def test_completions_for_kubectl_end_with_the_directive() -> None:
    assert for_kubectl(["te"]) == ["terminate\tEnd an execution now.", ":4"]
    assert for_kubectl(["get", "-o", "j"]) == ["json", ":4"]
    assert for_kubectl(["lint", "x"])[-1] == ":0"
    assert "run\tStart a workflow." in for_kubectl([])


def test_the_paths_are_those_of_the_async_client() -> None:
    for own, known in ((kinds.EXECUTIONS, resources.EXECUTIONS), (kinds.SIGNALS, resources.SIGNALS)):
        assert own.path("ns", "n") == known.path("ns", "n")
        assert (own.api_version, own.kind) == (known.api_version, known.kind)
    assert kinds.EXECUTIONS.path("ns", "../x").endswith("/executions/..%2Fx")


def test_error_messages_are_harmless_too(capsys: pytest.CaptureFixture[str]) -> None:
    CliError("bad \x1b[2J").show()
    assert capsys.readouterr().err == "Error: bad \\x1b[2J\n"


def test_yaml_says_exactly_the_value_and_is_harmless() -> None:
    value = {"a": "b\u202ec\x1b[2J\x85", "ü": "é"}
    text = yaml_text(value)
    assert yaml.safe_load(text) == value
    assert text.isascii()
    assert yaml_text({"ü": "é"}) == "ü: é\n"


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
