"""Every event as a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.api import ReportStatus
from openworld.cli.outline import outline
from openworld.cli.plain import arguments, lines, one_line, value_text
from openworld.cli.story import TELLERS, Line, Story, Tone
from openworld.cli.times import age_text, duration_text, offset_text
from openworld.controller.names import job_name
from openworld.engine.facts import Report
from openworld.ledger import EventType, rfc3339
from tests.support.world import START_MS, World
from tests.support.world import world as world_of
from tests.unit.cli_double import NOW, execution, oncall_done, oncall_waiting

#: An event of each type, who the line names, and what it says.
EXAMPLES: dict[EventType, tuple[dict[str, Any], str, str]] = {
    EventType.EXECUTION_STARTED: (
        {
            "workflow": {"name": "main", "version": 2},
            "input": {"service": "checkout"},
            "requestedBy": "alice@example.com",
            "serviceAccountName": "runner",
        },
        "alice@example.com",
        "started main v2 with service=checkout, as runner",
    ),
    EventType.EXECUTION_PAUSED: (
        {"by": "bob@example.com", "reason": "lunch"},
        "bob@example.com",
        "paused the execution: lunch",
    ),
    EventType.EXECUTION_RESUMED: ({"by": "spec.suspend"}, "spec.suspend", "resumed the execution"),
    EventType.EXECUTION_RETRIED: (
        {"by": "bob@example.com", "resumed": ["j"]},
        "bob@example.com",
        "retried the execution",
    ),
    EventType.EXECUTION_RERUN: (
        {"by": "bob@example.com", "ref": "t", "taskInput": {"to": 2}, "reason": "wrong day"},
        "bob@example.com",
        "rerun from t with to=2: wrong day",
    ),
    EventType.EXECUTION_RESTARTED: (
        {"by": "bob@example.com", "latest": True},
        "bob@example.com",
        "restarted the execution with the definitions of now",
    ),
    EventType.FAILURE_WORKFLOW_STARTED: (
        {"workflow": "cleanup", "execution": "run-1-abc-7"},
        "execution",
        "started the failure workflow cleanup as execution run-1-abc-7",
    ),
    EventType.TASK_REMINDED: (
        {"ref": "ask", "reminder": 2},
        "ask",
        "ask still waits for an answer (reminder 2)",
    ),
    EventType.TASK_ESCALATED: (
        {"ref": "ask", "to": ["carol@example.com"]},
        "ask",
        "ask is overdue: now for carol@example.com too",
    ),
    EventType.COMPENSATION_REGISTERED: (
        {"ref": "book", "tool": "cancel", "input": {"id": 7}},
        "book",
        "book would be undone by cancel(id=7)",
    ),
    EventType.COMPENSATION_SCHEDULED: (
        {"ref": "book__undo", "compensates": "book", "tool": "cancel"},
        "execution",
        "book is undone now, by cancel",
    ),
    EventType.EXECUTION_COMPENSATING: (
        {"ending": "ExecutionFailed", "reason": "task last failed: boom"},
        "execution",
        "what has been done is undone: task last failed: boom",
    ),
    EventType.LOOP_ITERATED: ({"ref": "l", "iteration": 2, "item": "b"}, "l", "iteration 2 with b"),
    EventType.TASK_PROGRESSED: (
        {"ref": "t", "output": {"pct": 40}},
        "t",
        "t reports progress: {pct: 40}",
    ),
    EventType.EXECUTION_COMPLETED: (
        {"output": {"cause": "deploy 14:02"}},
        "execution",
        'completed after 0.0 s: {cause: "deploy 14:02"}',
    ),
    EventType.EXECUTION_FAILED: (
        {"reason": "task a failed: boom", "failedTask": "a"},
        "execution",
        "failed after 0.0 s: task a failed: boom",
    ),
    EventType.EXECUTION_TIMED_OUT: (
        {"reason": "timeoutSeconds of the workflow (5 s) passed"},
        "execution",
        "timed out after 0.0 s: timeoutSeconds of the workflow (5 s) passed",
    ),
    EventType.EXECUTION_TERMINATED: (
        {"reason": "terminated by bob@example.com", "by": "bob@example.com"},
        "execution",
        "terminated after 0.0 s: terminated by bob@example.com",
    ),
    EventType.TASK_SCHEDULED: (
        {
            "ref": "t",
            "taskType": "SIMPLE",
            "tool": {"name": "rollback"},
            "input": {"to": 1},
            "origin": {"proposal": "p-2", "item": 0},
        },
        "t",
        "scheduled rollback(to=1) (proposal p-2, item 0)",
    ),
    EventType.TASK_STARTED: (
        {"ref": "t", "attempt": 1, "pod": "ow-1"},
        "t",
        "t started in pod ow-1 (attempt 2)",
    ),
    EventType.TASK_COMPLETED: (
        {"ref": "ask", "by": "bob@example.com", "output": {"ok": True}},
        "bob@example.com",
        "completed ask: {ok: true}",
    ),
    EventType.TASK_FAILED: (
        {"ref": "t", "attempt": 0, "reason": "boom", "willRetry": True},
        "t",
        "t failed: boom; it will be tried again",
    ),
    EventType.TASK_TIMED_OUT: ({"ref": "t", "reason": "too slow"}, "t", "t timed out: too slow"),
    EventType.TASK_CANCELED: (
        {"ref": "t", "reason": "the execution failed"},
        "t",
        "t canceled: the execution failed",
    ),
    EventType.TASK_SKIPPED: (
        {"ref": "t", "reason": "it depends on a, which ended as Failed"},
        "t",
        "t skipped: it depends on a, which ended as Failed",
    ),
    EventType.RETRY_SCHEDULED: (
        {"ref": "t", "attempt": 1, "notBefore": rfc3339(START_MS + 10_000), "cause": "boom"},
        "t",
        "attempt 2 of t is due in 10.0 s: boom",
    ),
    EventType.OUTCOME_UNKNOWN: (
        {"ref": "t", "attempt": 0, "reason": "node lost"},
        "t",
        "t ended with an unknown outcome: node lost",
    ),
    EventType.BRANCH_TAKEN: (
        {"ref": "s", "case": "blue", "matched": False},
        "s",
        "no case for blue: takes the default case",
    ),
    EventType.VARIABLE_SET: ({"ref": "v", "variables": {"a": 1}}, "v", "sets a=1"),
    EventType.TURN_STARTED: (
        {"ref": "triage", "turn": 2, "agent": {"name": "oncall"}},
        "triage",
        "turn 2: asks agent oncall",
    ),
    EventType.PROPOSAL_RECEIVED: (
        {
            "ref": "triage",
            "turn": 2,
            "proposal": "p-2",
            "content": {
                "rationale": "go back",
                "tasks": [{"type": "rollback", "input": {"service": "checkout", "to": "1"}}],
            },
        },
        "triage",
        "turn 2: triage proposed rollback(service=checkout, to=1): go back",
    ),
    EventType.PROPOSAL_JUDGED: (
        {
            "ref": "triage",
            "proposal": "p-2",
            "policies": [{"name": "oncall", "digest": "sha256:1"}],
            "items": [
                {
                    "item": 0,
                    "ref": "undo",
                    "decision": "NeedsApproval",
                    "check": "policy",
                    "rule": "own-service",
                    "reason": "one person",
                }
            ],
        },
        "policy oncall",
        "undo needs approval: rule own-service: one person",
    ),
    EventType.TASKS_MATERIALIZED: (
        {"ref": "triage", "tasks": [{"taskReferenceName": "a"}, {"taskReferenceName": "b"}]},
        "triage",
        "2 tasks joined the execution: a, b",
    ),
    EventType.APPROVAL_REQUESTED: (
        {
            "ref": "undo",
            "tool": "rollback",
            "input": {"to": 1},
            "rule": "own-service",
            "approval": {"count": 2},
            "expiresAt": "2027-01-15T08:15:00.000Z",
        },
        "undo",
        "waits for 2 people to approve rollback(to=1) (rule own-service) until 2027-01-15T08:15:00.000Z",
    ),
    EventType.APPROVAL_GIVEN: (
        {"ref": "undo", "tool": "rollback", "by": "bob@example.com", "reason": "go"},
        "bob@example.com",
        "approved rollback (undo): go",
    ),
    EventType.APPROVAL_REFUSED: (
        {"ref": "undo", "tool": "rollback", "by": "bob@example.com"},
        "bob@example.com",
        "rejected rollback (undo)",
    ),
    EventType.APPROVAL_EXPIRED: ({"ref": "undo"}, "undo", "nobody approved undo in time"),
    EventType.BUDGET_RESERVED: (
        {"ref": "sub", "tasks": 90, "tokens": 1000, "costNanoUSD": 5_000_000_000},
        "sub",
        "is lent 90 proposed tasks, 1000 tokens, $5",
    ),
    EventType.BUDGET_RETURNED: (
        {"ref": "sub", "used": {"tasks": 1, "tokens": 20, "costNanoUSD": 1_500_000}},
        "sub",
        "has used 1 proposed tasks, 20 tokens, $0.0015 of what it was lent",
    ),
    EventType.APPROVAL_ESCALATED: (
        {"ref": "undo", "expiresAt": "2026-01-01T00:00:00.000Z"},
        "undo",
        "nobody has decided on undo; it waits until 2026-01-01T00:00:00.000Z",
    ),
    EventType.BUDGET_EXTENDED: (
        {"ref": "triage", "limit": "costUSD", "more": 2_500_000_000},
        "triage",
        "may use $2.5 more of costUSD, and goes on",
    ),
    EventType.BUDGET_EXCEEDED: (
        {"ref": "triage", "limit": "turns", "used": 12, "allowed": 12},
        "triage",
        "exceeded its budget: turns used 12 of 12",
    ),
    EventType.FACT_REFUSED: (
        {
            "fact": "Signaled",
            "signalType": "Approve",
            "by": "alice@example.com",
            "ref": "undo",
            "reason": "the requester may not",
        },
        "operator",
        "refused signal Approve of alice@example.com about undo: the requester may not",
    ),
}


def tell(kind: str, data: dict[str, Any]) -> Line:
    """The line of one event."""
    return Story().tell({"seq": 0, "at": rfc3339(START_MS), "type": kind, **data})


def test_every_event_type_is_told_and_has_an_example() -> None:
    assert set(TELLERS) == {kind.value for kind in EventType}
    assert set(EXAMPLES) == set(EventType)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_sentence_of(kind: EventType) -> None:
    data, who, text = EXAMPLES[kind]
    line = tell(kind.value, data)
    assert (line.who, line.text) == (who, text)


@pytest.mark.parametrize("kind", EventType)
def test_an_event_without_its_data_is_told_all_the_same(kind: EventType) -> None:
    assert tell(kind.value, {}).text


def test_an_event_of_a_newer_operator_is_shown_as_it_is() -> None:
    line = tell("MoonRisen", {"ref": "t", "phase": "full", "hash": "sha256:1"})
    assert (line.who, line.text) == ("t", "MoonRisen {phase: full}")


def test_an_agent_that_asks_for_more_is_told_with_what_is_used_up() -> None:
    asked = {
        "ref": "triage",
        "tool": "AGENT",
        "rule": "onExceeded",
        "reason": "tokens used 100 of 100; consent grants 100 more",
        "approval": {"count": 2},
        "input": {"goal": "approve me"},
        "budget": {"limit": "tokens", "used": 100, "allowed": 100, "more": 100},
    }
    told = tell("ApprovalRequested", asked).text
    assert told.startswith(
        "has used up a budget, and waits for 2 people to grant more: tokens used 100 of 100"
    )
    assert "approve me" not in told


def test_the_on_call_story_from_start_to_end() -> None:
    told = [(line.offset_ms, line.who, line.text) for line in Story().tell_all(oncall_done().events)]
    assert told[:5] == [
        (0, "alice@example.com", "started main v1 with service=checkout, as runner"),
        (0, "triage", 'scheduled agent oncall(goal="find it")'),
        (0, "triage", "turn 1: asks agent oncall"),
        (1000, "triage", "turn 1: agent oncall proposed look(service=checkout): look first"),
        (1000, "policy p", "triage__1__metrics allowed: rule reads: Reading is free."),
    ]
    assert (13_000, "bob@example.com", "approved rollback (triage__2__rollback)") in told
    assert (18_100, "triage__2__rollback", "rollback completed in 4.1 s: {to: 1}") in told
    assert told[-1] == (20_100, "execution", "completed after 20.1 s: {id: INC-1}")


def test_a_proposal_of_several_items_and_its_verdict_are_told_item_by_item() -> None:
    story = list(Story().tell_all(oncall_done().events))
    proposed = next(line for line in story if line.text.startswith("turn 2: agent oncall proposed"))
    assert proposed.text == "turn 2: agent oncall proposed 2 tasks: go back"
    assert proposed.details == ("rollback(service=checkout, to=1)", "delete(service=checkout)")
    judged = next(line for line in story if line.text.startswith("proposal p-2"))
    assert (judged.text, judged.tone) == ("proposal p-2: 1 needing approval, 1 denied", Tone.BAD)
    assert judged.details == (
        "triage__2__rollback needs approval: rule own-service: one person",
        "triage__2__delete denied: rule no-deletes: nobody deletes",
    )


def test_a_denial_by_another_check_names_the_check_and_audit_mode_what_it_spared() -> None:
    item = {"ref": "x", "decision": "Denied", "check": "catalog", "rule": "exists", "reason": "no such tool"}
    assert tell("ProposalJudged", {"items": [item]}).text == "x denied: catalog check (exists): no such tool"
    item = {"ref": "x", "decision": "Allowed", "check": "policy", "rule": "r", "audited": "p/r: Denied: no"}
    assert tell("ProposalJudged", {"items": [item]}).text == (
        "x allowed: rule r [without audit mode: p/r: Denied: no]"
    )


@pytest.mark.parametrize(
    "content", [None, 7, "text", [], {"tasks": "no"}, {"tasks": [3]}, {"tasks": [{"type": []}]}]
)
def test_a_proposal_may_be_anything_at_all(content: object) -> None:
    assert tell("ProposalReceived", {"ref": "t", "turn": 1, "content": content}).text.startswith(
        "turn 1: t proposed"
    )


def test_a_call_that_could_not_be_read_is_not_shown_as_one_without_arguments() -> None:
    content = {"tasks": [{"type": "rollback", "malformed": "the call's arguments: the value is not JSON"}]}
    line = tell("ProposalReceived", {"ref": "t", "turn": 1, "content": content})
    assert line.text == "turn 1: t proposed rollback (unreadable)"


def test_escape_sequences_and_overrides_of_a_model_are_shown_not_obeyed() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07 ok\u202egnp\nsecond line\u2028"
    line = tell(
        "ProposalReceived",
        {
            "ref": "t",
            "turn": 1,
            "content": {"rationale": evil, "tasks": [{"type": evil, "input": {evil: evil}}]},
        },
    )
    assert not any(ord(char) < 32 or char in "\u202e\u2028" for char in line.text)
    assert "\\x1b[2J\\x1b]0;owned\\x07 ok\\u202egnp second line\\u2028" in line.text


def test_an_agent_took_as_long_as_all_its_turns() -> None:
    world = oncall_waiting()
    world.approve("triage__2__rollback")
    world.advance(1).completes("triage__2__rollback", {"to": "1"})
    world.advance(10).started("triage")
    world.advance(1).completes("triage", proposal={"output": {"cause": "deploy"}})
    told = [line.text for line in Story().tell_all(world.events)]
    assert "agent oncall completed in 15.0 s: {cause: deploy}" in told
    assert "turn 3: agent oncall answered {cause: deploy}" in told
    assert "accepted the answer" in told
    assert outline(execution(world)).children[0].notes == ["15.0 s"]


def failing(reason: str) -> World:
    """A tool that fails twice: the second time for good."""
    world = world_of({"ref": "a", "type": "a"}).step()
    return world.fails("a", reason).advance(10).fails("a", reason)


def test_a_failure_with_an_exit_code_names_the_log_of_each_attempt() -> None:
    world = failing("the container ended with exit code 3")
    told = [line.text for line in Story("uid-1", "team").tell_all(world.events)]
    first, second = (job_name("uid-1", seq) for seq in (1, 3))
    assert [text for text in told if text.startswith("a failed")] == [
        "a failed: the container ended with exit code 3; it will be tried again; "
        f"logs: kubectl logs job/{first} -n team",
        f"a failed (attempt 2): the container ended with exit code 3; logs: kubectl logs job/{second} -n team",
    ]
    [node] = outline(execution(world)).children
    assert node.notes == [
        "attempt 2",
        "the container ended with exit code 3",
        f"logs: kubectl logs job/{second} -n team",
    ]


def test_a_failure_that_is_tolerated_names_its_log_too() -> None:
    world = world_of({"ref": "a", "type": "a", "optional": True, "retryCount": 0}).step()
    world.fails("a", "the container ended with exit code 3")
    [node] = outline(execution(world)).children
    assert node.status == "CompletedWithErrors"
    assert node.notes[-1] == f"logs: kubectl logs job/{job_name('uid-1', 1)} -n team"


def crashed(*reasons: str) -> World:
    """A tool whose container ran at each attempt, and that reports why it failed."""
    world = world_of({"ref": "a", "type": "a"}).step()
    for reason in reasons:
        world.advance(10).started("a").fails("a", reason)
    return world


def test_a_failure_that_a_worker_reports_names_the_log_of_each_attempt() -> None:
    world = crashed("KeyError: 'nope'", "KeyError: 'nope'")
    told = [line.text for line in Story("uid-1", "team").tell_all(world.events)]
    jobs = [
        job_name("uid-1", e["seq"]) for e in world.events if e["type"] in ("TaskScheduled", "RetryScheduled")
    ]
    assert [text.rpartition("; ")[2] for text in told if text.startswith("a failed")] == [
        f"logs: kubectl logs job/{job} -n team" for job in jobs
    ]
    [node] = outline(execution(world)).children
    assert node.notes[-1] == f"logs: kubectl logs job/{jobs[1]} -n team"


def test_an_attempt_whose_pod_never_started_has_no_log_though_the_one_before_had() -> None:
    world = crashed("boom").advance(10).fails("a", "ImageUnavailable: it cannot be pulled")
    told = [
        line.text
        for line in Story("uid-1", "team").tell_all(world.events)
        if line.text.startswith("a failed")
    ]
    assert [text.count("kubectl logs") for text in told] == [1, 0]
    assert "kubectl" not in str(outline(execution(world)))


def test_the_log_is_that_of_the_attempts_last_call() -> None:
    world = world_of({"ref": "a", "type": "a"}).step().started("a")
    world.step(Report("r", 1, ReportStatus.IN_PROGRESS, callback_after_seconds=5)).advance(5)
    world.started("a").fails("a", "boom", terminal=True)
    [again] = world.of_type("TaskProgressed")
    wanted = f"logs: kubectl logs job/{job_name('uid-1', again['seq'])} -n team"
    assert wanted in str(list(Story("uid-1", "team").tell_all(world.events)))
    assert outline(execution(world)).children[0].notes[-1] == wanted


@pytest.mark.parametrize(
    "reason",
    [
        "the pod x was deleted while its container ran (exit code 137)",
        "the pod x was ended by its node: Evicted",
    ],
)
def test_a_pod_that_is_gone_has_no_log_to_point_to(reason: str) -> None:
    world = crashed(reason, reason)
    assert "kubectl" not in str(list(Story("uid-1", "team").tell_all(world.events)))
    assert "kubectl" not in str(outline(execution(world)))


def test_an_agent_that_is_out_of_budget_names_no_log() -> None:
    world = oncall_waiting()
    world.approve("triage__2__rollback").completes("triage__2__rollback", {})
    world.started("triage").fails("triage", "ProposalsRejected: nothing allowed", terminal=True)
    assert "kubectl" not in str(list(Story("uid-1", "team").tell_all(world.events)))
    assert "kubectl" not in str(outline(execution(world)))


def test_a_failure_whose_container_never_ran_names_no_log() -> None:
    world = failing("no such host")
    assert "kubectl" not in str(list(Story("uid-1", "team").tell_all(world.events)))
    assert "kubectl" not in str(outline(execution(world)))


def test_long_values_are_cropped() -> None:
    line = tell("TaskCompleted", {"ref": "t", "output": {"log": "x" * 10_000}})
    assert line.text == "t completed: {log: " + "x" * 153 + "…"


def test_values_are_written_as_people_do() -> None:
    assert value_text({"a": [1, True, None, "b c", ""]}) == '{a: [1, true, null, "b c", ""]}'
    assert arguments({"service": "checkout", "to": 1}) == "service=checkout, to=1"
    assert one_line("a\tb\r\nc") == "a b  c"
    assert lines("a\tb\nc\x1b") == "a\tb\nc\\x1b"


def test_times_are_written_as_people_do() -> None:
    texts = [duration_text(ms) for ms in (0, 4_100, 200_000, 3_600_000, 7_500_000, 273_600_000)]
    assert texts == ["0.0 s", "4.1 s", "3 min 20 s", "1 h", "2 h 5 min", "3 d 4 h"]
    assert [offset_text(ms) for ms in (4_100, 3_723_400)] == ["+00:04.1", "+1:02:03.4"]
    assert age_text(rfc3339(START_MS), NOW) == "90s"
    assert age_text("2027-01-12T04:00:00Z", NOW) == "3d"
    assert age_text("nonsense", NOW) == "?"
