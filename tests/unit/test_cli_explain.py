"""`openworld explain`: why a task exists, who allowed it, what it saw and did, from the ledger alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openworld.cli.completions import for_kubectl
from openworld.controller.names import child_name, job_name, payload_name
from openworld.engine.facts import Ending
from tests.support.world import World
from tests.unit.cli_double import FakeCluster, execution, invoke, oncall, oncall_done, oncall_waiting
from tests.unit.test_cli_history import sealed
from tests.unit.test_compensation import BOOK, LAST, PAY, failed, saga


def told(world: World, ref: str) -> Any:
    result = invoke(FakeCluster().put(execution(world)), "explain", "run-1", ref, "-o", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def text(world: World, ref: str) -> str:
    result = invoke(FakeCluster().put(execution(world)), "explain", "run-1", ref)
    assert result.exit_code == 0, result.output
    return result.output


def event(world: World, kind: str, number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = world.of_type(kind)[number]
    return found


def test_an_approved_item_is_explained_from_its_proposal_to_its_output() -> None:
    world = oncall_done()
    found = told(world, "triage__2__rollback")
    assert (found["kind"], found["status"]) == ("Task", "Completed")
    assert found["runs"] == {"type": "SIMPLE", "tool": "rollback", "toolDigest": found["runs"]["toolDigest"]}
    origin, turn = found["origin"], event(world, "TurnStarted", 1)
    assert origin == {
        "by": {"ref": "triage", "agent": "oncall", "agentDigest": turn["agent"]["digest"]},
        "turn": 2,
        "proposal": "p-2",
        "at": event(world, "ProposalReceived", 1)["at"],
        "rationale": "go back",
        "contextDigest": turn["contextDigest"],
        "item": 0,
        "proposed": {"type": "rollback", "input": {"service": "checkout", "to": "1"}},
    }
    [verdict] = found["verdicts"]
    judged = event(world, "ProposalJudged", 1)
    assert (verdict["decision"], verdict["check"], verdict["rule"]) == (
        "NeedsApproval",
        "policy",
        "own-service",
    )
    assert verdict["ruleText"] == judged["rules"]["p/own-service"]
    assert (verdict["policies"], verdict["catalogs"]) == (judged["policies"], judged["catalogs"])
    assert verdict["access"] == {"serviceAccountName": "runner", "answer": "Granted"}
    [asked] = found["approvals"]
    requested, given = event(world, "ApprovalRequested"), event(world, "ApprovalGiven")
    assert (asked["itemDigest"], asked["expiresAt"]) == (requested["itemDigest"], requested["expiresAt"])
    assert asked["answers"] == [
        {
            "decision": "Approved",
            "by": "bob@example.com",
            "at": given["at"],
            "itemDigest": requested["itemDigest"],
            **{key: given[key] for key in ("signal", "reason") if key in given},
        }
    ]
    assert found["saw"] == {"input": {"service": "checkout", "to": "1"}}
    [attempt] = found["attempts"]
    scheduled = next(e for e in world.of_type("TaskScheduled") if e["ref"] == "triage__2__rollback")
    assert (attempt["seq"], attempt["job"]) == (scheduled["seq"], job_name("uid-1", scheduled["seq"]))
    assert (attempt["result"], attempt["startedAt"]) == ("Completed", event(world, "TaskStarted")["at"])
    assert found["outcome"]["output"] == {"to": "1"}
    assert found["undo"] == {}


def test_people_read_it_in_sections() -> None:
    world = oncall_done()
    shown = text(world, "triage__2__rollback")
    for line in (
        "triage__2__rollback  rollback  Completed",
        "  as proposed: rollback(service=checkout, to=1)",
        "  rationale (untrusted text of agent oncall): go back",
        "  NeedsApproval by rule own-service: one person",
        "    the rule as recorded: {name: own-service,",
        f"    policy p {event(world, 'ProposalJudged')['policies'][0]['digest']}",
        "    access: service account runner may use tool rollback",
        "  asked 1 person, not the requester for consent",
        "    approved by bob@example.com at",
        "  input: service=checkout, to=1",
        "took 4.1 s",
        "  output: {to: 1}",
        f"from the ledger of team/run-1: {len(world.events)} events, hash chain verified, head",
    ):
        assert line in shown
    titles = [line for line in shown.splitlines() if line in TITLES]
    assert titles == list(TITLES[:5])
    assert shown.count("the rule as recorded") == 1


TITLES = (
    "why it exists",
    "who allowed it",
    "what it saw",
    "what it did",
    "what it returned",
    "what undid it",
)


@pytest.mark.parametrize("ref", ["triage__2__delete", "triage/2/1"])
def test_a_denied_item_is_explained_by_its_ref_or_its_place(ref: str) -> None:
    found = told(oncall_done(), ref)
    assert (found["ref"], found["kind"], found["status"]) == ("triage__2__delete", "DeniedItem", "Denied")
    [verdict] = found["verdicts"]
    assert (verdict["decision"], verdict["rule"]) == ("Denied", "no-deletes")
    assert verdict["ruleText"]["message"] == "nobody deletes"
    assert verdict["access"]["answer"] == "NotAsked"
    assert (found["attempts"], found["approvals"], found["outcome"]) == ([], [], {})
    assert "Denied by rule no-deletes: nobody deletes" in text(oncall_done(), ref)


def test_a_turns_proposal_is_explained_as_a_whole() -> None:
    found = told(oncall_done(), "triage/2")
    assert (found["kind"], found["ref"], found["origin"]["rationale"]) == ("Proposal", "triage/2", "go back")
    assert [(v["ref"], v["decision"]) for v in found["verdicts"]] == [
        ("triage__2__rollback", "NeedsApproval"),
        ("triage__2__delete", "Denied"),
    ]
    last = told(oncall_done(), "triage/3")
    assert (last["answer"], last["verdicts"]) == ({"cause": "deploy"}, [])
    assert "answer (untrusted text of agent oncall): {cause: deploy}" in text(oncall_done(), "triage/3")


def test_a_proposal_that_makes_no_sense_is_explained() -> None:
    world = oncall().advance(1).completes("triage", proposal="rm -rf /")
    assert "a proposal is an object" in told(world, "triage/1")["problem"]
    assert "refused as a whole: a proposal is an object" in text(world, "triage/1")


def test_an_agent_is_explained_turn_by_turn_with_tokens() -> None:
    world = oncall().advance(1)
    look = {"ref": "m", "type": "look", "input": {}}
    world.completes("triage", proposal={"tasks": [look]}, usage={"tokensIn": 900, "tokensOut": 80})
    found = told(world, "triage")
    [attempt] = found["attempts"]
    started = event(world, "TurnStarted")
    assert (attempt["turn"], attempt["result"], attempt["proposal"]) == (1, "Proposed", "p-1")
    assert (attempt["job"], attempt["usage"]) == (
        job_name("uid-1", started["seq"]),
        {"tokensIn": 900, "tokensOut": 80},
    )
    assert found["saw"]["contexts"] == [{"turn": 1, "contextDigest": started["contextDigest"]}]
    assert (found["runs"]["agent"], found["status"]) == ("oncall", "InProgress")
    assert "900 tokens in, 80 out" in text(world, "triage")


def test_an_authored_task_says_which_definition_it_stands_in() -> None:
    world = oncall_done()
    found = told(world, "report")
    assert found["origin"] == {"definition": "main", "version": 1}
    assert found["execution"]["workflowDigest"] == event(world, "ExecutionStarted")["workflow"]["digest"]
    shown = text(world, "report")
    assert "  it is written in the workflow main v1 (sha256:" in shown
    assert "its verdict is recorded only if it is denied, or needs a person" in shown


def test_a_task_that_is_still_to_come_is_pending() -> None:
    found = told(oncall(), "report")
    assert (found["kind"], found["status"], found["attempts"]) == ("Task", "Pending", [])


def test_each_attempt_says_why_there_was_another() -> None:
    world = saga(BOOK)
    world.started("book").advance(2)
    world.job_ends("book", Ending.FAILED, "the pod ended with exit code 1")
    world.advance(30).completes("book", {"id": "b"})
    attempts = told(world, "book")["attempts"]
    assert [(a.get("attempt", 0), a["result"]) for a in attempts] == [
        (0, "Failed"),
        (1, "Completed"),
    ]
    assert "exit code 1" in attempts[0]["reason"]
    assert attempts[1]["cause"]
    jobs = [a["job"] for a in attempts]
    assert jobs == [job_name("uid-1", a["seq"]) for a in attempts]
    assert len(set(jobs)) == 2
    shown = text(world, "book")
    assert "attempt 1: Failed; Job" in shown
    assert "attempt 2: Completed; Job" in shown
    assert "since " in shown


def test_after_a_rerun_the_last_proposal_counts_and_the_attempt_says_who_wanted_it() -> None:
    world = oncall_done()
    world.advance(1).signal("Rerun", ref="triage")
    world.advance(1)
    delete = {"ref": "metrics", "type": "delete", "input": {}}
    world.completes("triage", proposal={"rationale": "once more", "tasks": [{**delete, "ref": "x"}, delete]})
    found = told(world, "triage__1__metrics")
    assert found["origin"]["item"] == 1
    assert found["origin"]["rationale"] == "once more"
    digests = [e["contextDigest"] for e in world.of_type("TurnStarted") if e["turn"] == 1]
    assert found["origin"]["contextDigest"] == digests[1]
    assert [v["decision"] for v in found["verdicts"]] == ["Allowed", "Denied"]
    assert told(world, "triage/1")["verdicts"][0]["rule"] == "no-deletes"
    causes = [a.get("cause") for a in told(world, "triage")["attempts"]]
    assert causes[:4] == [None, None, None, "ExecutionRerun by bob@example.com"]
    assert "since ExecutionRerun by bob@example.com" in text(world, "triage")


def test_what_undid_it_and_what_it_undid() -> None:
    world = failed(BOOK, PAY, LAST).completes("pay__undo").completes("book__undo")
    undo = told(world, "book")["undo"]
    assert (undo["ref"], undo["tool"], undo["status"]) == ("book__undo", "undo", "Completed")
    assert undo["input"] == {"of": 1, "id": "b", "for": "alice"}
    assert told(world, "book__undo")["origin"] == {"compensates": "book"}
    assert "  book__undo, scheduled at" in text(world, "book")
    assert "  it undoes book, by the compensation of that task" in text(world, "book__undo")


def test_what_would_undo_it_is_told_as_long_as_nothing_has() -> None:
    world = saga(BOOK, LAST).completes("book", {"id": "b"})
    assert "nothing so far; undo(of=1, id=b, for=alice) would undo it" in text(world, "book")


def test_a_refusal_and_an_expiry_are_told() -> None:
    world = oncall_waiting().advance(5)
    world.approve("triage__2__rollback", by="carol@example.com", kind="Reject")
    [asked] = told(world, "triage__2__rollback")["approvals"]
    assert [(a["decision"], a["by"]) for a in asked["answers"]] == [("Refused", "carol@example.com")]
    assert "    refused by carol@example.com at" in text(world, "triage__2__rollback")
    late = oncall_waiting().advance(901)
    assert "nobody consented by" in text(late, "triage__2__rollback")
    assert told(late, "triage__2__rollback")["status"] == "Canceled"


def test_a_final_verdict_before_the_start_is_told_too() -> None:
    world = oncall().advance(1)
    world.completes("triage", proposal={"tasks": [{"ref": "m", "type": "look", "input": {}}]})
    world.advance(1).completes("triage__1__m", {"service": "cart"})
    late = {"ref": "r", "type": "rollback", "input": {"service": "${triage__1__m.output.service}"}}
    world.advance(1).completes("triage", proposal={"tasks": [late]})
    found = told(world, "triage__2__r")
    assert [(v["stage"], v["decision"]) for v in found["verdicts"]] == [
        ("Proposal", "NeedsApproval"),
        ("BeforeStart", "Denied"),
    ]
    shown = text(world, "triage__2__r")
    assert "provisional: its input held expressions" in shown
    assert "Denied before its start, with its final input by rule default-deny" in shown


def test_a_refused_access_names_the_account() -> None:
    world = oncall().advance(1)
    world.denied_tools.add("look")
    world.completes("triage", proposal={"tasks": [{"ref": "m", "type": "look", "input": {}}]})
    assert told(world, "triage__1__m")["verdicts"][0]["access"]["answer"] == "Refused"
    assert "access: service account runner may not use tool look" in text(world, "triage__1__m")


def test_a_worker_that_proposes_is_named_as_such() -> None:
    world = saga({"ref": "book", "type": "book", "input": {"n": 1}})
    world.define("Policy", "p", {"rules": [{"name": "all", "decision": "Allow"}]})
    world.completes(
        "book", proposal={"rationale": "more", "tasks": [{"ref": "x", "type": "pay", "input": {}}]}
    )
    found = told(world, "book/1")
    assert found["origin"]["by"] == {"ref": "book"}
    assert "rationale (untrusted text of the worker of book): more" in text(world, "book/1")


def test_what_waits_for_people_or_children_has_no_job() -> None:
    world = World({"tasks": [{"ref": "ask", "type": "HUMAN"}]}).step()
    assert "job" not in told(world, "ask")["attempts"][0]
    child = {"ref": "sub", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "other"}}
    world = World({"tasks": [child]})
    world.define("Workflow", "other", {"tasks": [{"ref": "a", "type": "NOOP"}]}).step()
    [attempt] = told(world, "sub")["attempts"]
    assert attempt["child"] == child_name("run-1", "uid-1", attempt["seq"])


def test_untrusted_text_is_escaped_cropped_and_labelled() -> None:
    world = oncall().advance(1)
    evil = "\x1b[2J\u202eevil " + "x" * 2500
    world.completes(
        "triage", proposal={"rationale": evil, "tasks": [{"ref": "m", "type": "look", "input": {"a": evil}}]}
    )
    shown = text(world, "triage__1__m")
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "rationale (untrusted text of agent oncall): \\x1b[2J\\u202eevil xxx" in shown
    assert max(map(len, shown.splitlines())) < 800
    assert told(world, "triage__1__m")["origin"]["rationale"] == evil


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("rollback", "no proposed item 'rollback'; did you mean 'triage__2__rollback'?"),
        ("triag", "did you mean 'triage'?"),
        ("zzz", "; it has triage, report, triage__1__metrics"),
        ("triage/9", "triage has no proposal of turn 9: it has 1, 2, 3"),
        ("report/1", "report has no proposal of turn 1: it has made none"),
        ("triag/1", "it has made none; did you mean 'triage'?"),
        ("triage/2/7", "the proposal has no item 7: it has 2, counted from 0"),
        ("triage/x", "no task and no proposed item 'triage/x'"),
    ],
)
def test_a_ref_that_is_not_there_is_answered_with_what_is(ref: str, message: str) -> None:
    result = invoke(FakeCluster().put(execution(oncall_done())), "explain", "run-1", ref)
    assert result.exit_code == 1
    assert message in result.stderr


def test_sealed_events_are_read_too() -> None:
    whole = execution(oncall_done())
    plain = invoke(FakeCluster().put(whole), "explain", "run-1", "triage__1__metrics").output
    assert invoke(sealed(whole, 3, 9), "explain", "run-1", "triage__1__metrics").output == plain


def test_large_values_that_stand_apart_are_told_too(tmp_path: Path) -> None:
    large = {"to": "y" * 9_000}
    world = oncall_waiting()
    world.approve("triage__2__rollback").completes("triage__2__rollback", large)
    body = execution(world)
    segments = [
        {
            "kind": "LedgerSegment",
            "metadata": {"name": payload_name("run-1", "uid-1", known_as)},
            "spec": {"payload": {"digest": known_as, "value": value}},
        }
        for known_as, value in world.payloads.items()
    ]
    assert len(segments) == 2  # the output, and the context of the next turn, which shows it
    cluster, file = FakeCluster().put(body), tmp_path / "run.json"
    for segment in segments:
        cluster.put(segment)
    words = ("explain", "run-1", "triage__2__rollback", "-o", "json")
    plain = invoke(cluster, *words).output
    assert json.loads(plain)["outcome"]["output"] == large
    file.write_text(json.dumps({"kind": "List", "items": [body, *segments]}))
    assert invoke(FakeCluster(), *words, "-f", str(file)).output == plain
    file.write_text(json.dumps(body["status"]["ledger"]["events"]))
    result = invoke(FakeCluster(), *words, "-f", str(file))
    assert "large values are missing: add --payloads" in result.stderr


def test_a_ledger_that_was_changed_explains_nothing() -> None:
    body = execution(oncall_done())
    body["status"]["ledger"]["events"][3]["content"]["rationale"] = "another"
    result = invoke(FakeCluster().put(body), "explain", "run-1", "triage")
    assert result.exit_code == 1
    assert "ledger event 3: its content does not have the hash" in result.stderr


def test_a_run_that_has_not_begun_has_nothing_to_explain() -> None:
    body = execution(oncall_done())
    result = invoke(FakeCluster().put({**body, "status": {}}), "explain", "run-1", "triage")
    assert result.exit_code == 1
    assert "execution run-1 has no events: it has not begun" in result.stderr


def test_the_status_is_not_asked() -> None:
    body = execution(oncall_done())
    plain = invoke(FakeCluster().put(body), "explain", "run-1", "triage__2__rollback", "-o", "json").output
    body["status"] = {"ledger": body["status"]["ledger"], "phase": "Failed", "tasks": {}}
    changed = invoke(FakeCluster().put(body), "explain", "run-1", "triage__2__rollback", "-o", "json").output
    assert changed == plain


def test_a_file_will_do_in_place_of_a_cluster(tmp_path: Path) -> None:
    body, file = execution(oncall_done()), tmp_path / "run.json"
    file.write_text(json.dumps(body))
    plain = invoke(FakeCluster().put(body), "explain", "run-1", "report").output
    assert invoke(FakeCluster(), "explain", "run-1", "report", "-f", str(file)).output == plain
    other = invoke(FakeCluster(), "explain", "run-2", "report", "-f", str(file))
    assert other.exit_code == 1
    assert "records no run 'run-2'; it records run-1" in other.stderr
    file.write_text(json.dumps(body["status"]["ledger"]["events"]))
    events = invoke(FakeCluster(), "explain", "run-1", "report", "-f", str(file), "-o", "json")
    assert "job" not in json.loads(events.output)["attempts"][0]


def test_it_is_completed() -> None:
    assert any(line.startswith("explain\t") for line in for_kubectl(["exp"]))
    assert any(line.startswith("--file") for line in for_kubectl(["explain", "--fi"]))
