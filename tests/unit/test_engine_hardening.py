"""What was found by trying to break the engine: each stays mended."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.api import Phase, ReportStatus, SignalType
from openworld.engine.decide import Pass
from openworld.engine.desire import desired
from openworld.engine.facts import CannotGoOn, Report, Signaled, SuspendSet
from openworld.engine.projection import project
from tests.support.world import World, world
from tests.unit.test_engine_agent import agent_world, propose

ALL = {
    "rules": [
        {"name": "all", "decision": "Allow"},
        {
            "name": "t",
            "decision": "Allow",
            "match": {"types": ["HUMAN", "AGENT", "SUB_WORKFLOW"]},
        },
    ]
}
FAN = {"ref": "fan", "type": "FORK_JOIN_DYNAMIC", "input": {"dynamicTasks": "${list.output.tasks}"}}


def governed(*tasks: dict[str, Any], policy: dict[str, Any] | None = None, **workflow: Any) -> World:
    """A world whose policy allows everything, or what is given."""
    return world(*tasks, policyRef={"name": "p"}, **workflow).define("Policy", "p", policy or ALL)


def join(ref: str, *on: str) -> dict[str, Any]:
    """A JOIN."""
    return {"ref": ref, "type": "JOIN", "joinOn": list(on)}


@pytest.mark.parametrize("stolen", ["review", "fan_join", "later"])
def test_data_cannot_take_the_place_of_an_authored_task(stolen: str) -> None:
    w = governed(
        {"ref": "list", "type": "a"},
        FAN,
        {"ref": "review", "type": "HUMAN"},
        {
            "ref": "s",
            "type": "SWITCH",
            "expression": "v",
            "input": {"v": "x"},
            "decisionCases": {"x": [{"ref": "later", "type": "b"}]},
        },
    ).step()
    w.completes("list", {"tasks": [{"name": "a", "taskReferenceName": stolen}]})
    assert w.phase is Phase.FAILED
    assert f"ref '{stolen}' is used by a task that exists" in w.state.reason


def test_what_data_says_in_a_dynamic_fork_is_never_resolved() -> None:
    fan = {
        **FAN,
        "input": {
            "dynamicTasks": [
                {
                    "name": "c",
                    "taskReferenceName": "post",
                    "inputParameters": {"text": "${fetch.output.body}"},
                }
            ]
        },
    }
    w = governed({"ref": "secret", "type": "a"}, {"ref": "fetch", "type": "b"}, fan).step()
    w.completes("secret", {"token": "s3cr3t"}).completes("fetch", {"body": "${secret.output.token}"})
    assert w.jobs["post"].input == {"text": "${secret.output.token}"}


def test_an_agent_may_name_only_what_it_was_shown() -> None:
    tasks = [
        {"ref": "shown", "type": "look"},
        {"ref": "hidden", "type": "look"},
        {"ref": "triage", "type": "AGENT", "input": {"agent": "oncall", "goal": "g"}},
    ]
    w = agent_world(agent={"context": {"include": ["$.tasks.shown.output"]}}, tasks=tasks, catalogs=["tools"])
    w.completes("shown", {"v": 1}).completes("hidden", {"t": "s3"})
    propose(
        w,
        {"ref": "x", "type": "look", "input": {"v": "${hidden.output.t}"}},
        {"ref": "y", "type": "look", "input": {"v": "${shown.output.v}"}},
    )
    assert [i["decision"] for i in w.of_type("ProposalJudged")[0]["items"]] == ["Denied", "Allowed"]


def test_redaction_reaches_the_history() -> None:
    w = agent_world(agent={"context": {"redact": ["$.tasks.*.output.token"]}})
    propose(w, {"ref": "e", "type": "look", "input": {}})
    w.completes("triage__1__e", {"token": "S3", "v": 1})
    context = w.jobs["triage"].context
    assert context is not None
    assert context["history"][0]["results"][0]["output"] == {"token": "[redacted]", "v": 1}
    assert "S3" not in str(context)


def test_an_approval_of_a_sub_workflow_is_of_the_definition_that_was_shown() -> None:
    policy = {"rules": [{"name": "r", "match": {"types": ["SUB_WORKFLOW"]}, "decision": "RequireApproval"}]}
    w = agent_world(policy).define("Workflow", "wipe", {"tasks": [{"ref": "z", "type": "HUMAN"}]})
    propose(w, {"ref": "s", "type": "SUB_WORKFLOW", "input": {"name": "wipe", "q": 1}})
    shown = w.of_type("ApprovalRequested")[0]
    assert (shown["subject"]["kind"], shown["subject"]["name"]) == ("Workflow", "wipe")
    w.define("Workflow", "wipe", {"tasks": [{"ref": "other", "type": "HUMAN"}]})
    w.approve("triage__1__s")
    assert w.children == {}
    assert len(w.of_type("ApprovalRequested")) == 2
    w.approve("triage__1__s")
    assert w.children.keys() == {"triage__1__s"}
    assert w.children["triage__1__s"].depth == 2


def test_joins_that_wait_for_each_other_end_with_a_reason() -> None:
    w = world(join("j", "b"), {"ref": "b", "type": "a"}).step()
    assert w.state.reason == "Deadlock: j waits for tasks that cannot start before it"
    crossed = {
        "ref": "f",
        "type": "FORK_JOIN",
        "forkTasks": [
            [join("j1", "y"), {"ref": "x", "type": "a"}],
            [join("j2", "x"), {"ref": "y", "type": "a"}],
        ],
    }
    assert "Deadlock: j, j1, j2" in world(crossed, join("j", "x", "y")).step().state.reason.replace(
        "f_join", "j"
    )


def test_nothing_runs_behind_a_permissive_failure() -> None:
    fork = {
        "ref": "f",
        "type": "FORK_JOIN",
        "forkTasks": [[{"ref": "p", "type": "a", "permissive": True}], [{"ref": "q", "type": "b"}]],
    }
    w = world(fork, join("j", "p", "q"), {"ref": "deploy", "type": "c"}).step()
    w.fails("p", terminal=True).completes("q", {})
    assert "deploy" not in w.statuses
    assert w.phase is Phase.FAILED
    switch = {
        "ref": "s",
        "type": "SWITCH",
        "expression": "v",
        "input": {"v": "x"},
        "decisionCases": {"x": [{"ref": "p", "type": "a", "permissive": True}]},
    }
    w = world(switch, {"ref": "deploy", "type": "c"}).step().fails("p", terminal=True)
    assert w.statuses["deploy"] == "Skipped"
    assert w.phase is Phase.FAILED


@pytest.mark.parametrize("how", ["Reject", "expire"])
def test_a_refused_optional_task_is_tolerated(how: str) -> None:
    policy = {
        "scope": "All",
        "rules": [
            {"name": "r", "match": {"tools": ["a"]}, "decision": "RequireApproval"},
            {"name": "q", "match": {"tools": ["b"]}, "decision": "Allow"},
        ],
    }
    w = governed({"ref": "x", "type": "a", "optional": True}, {"ref": "y", "type": "b"}, policy=policy).step()
    if how == "expire":
        w.advance(3600)
    else:
        w.approve("x", kind="Reject")
    assert w.statuses == {"x": "CompletedWithErrors", "y": "Scheduled"}


def test_a_pause_is_not_held_against_what_it_holds_back() -> None:
    w = world({"ref": "x", "type": "a"}).step().fails("x").signal("Pause")
    w.advance(4000)
    assert w.phase is Phase.PAUSED
    w.signal("Resume")
    assert w.jobs["x"].attempt == 1
    w.advance(299)
    assert w.phase is Phase.RUNNING


def test_an_approved_task_that_is_held_back_asks_for_no_timer() -> None:
    policy = {
        "scope": "All",
        "rules": [{"name": "r", "decision": "RequireApproval", "approval": {"timeoutSeconds": 60}}],
    }
    w = governed({"ref": "x", "type": "a"}, policy=policy).step().signal("Pause").approve("x")
    w.advance(120)
    assert desired(w.state, w.now_ms).wake_at_ms is None


def test_a_dynamic_fork_runs_all_of_its_tasks_or_none() -> None:
    tasks = [{"name": "b", "taskReferenceName": "ok"}, {"name": "nope", "taskReferenceName": "bad"}]
    w = governed({**FAN, "optional": True, "input": {"dynamicTasks": tasks}}).step()
    assert w.jobs == {}
    assert w.statuses["fan"] == "CompletedWithErrors"


def test_one_pass_goes_as_far_as_it_can() -> None:
    w = world({"ref": "x", "type": "nope", "permissive": True}, {"ref": "y", "type": "b"}).step()
    assert w.phase is Phase.FAILED
    assert w.statuses["y"] == "Skipped"


def deep(levels: int) -> dict[str, Any]:
    """An object of that many levels."""
    value: dict[str, Any] = {"v": 1}
    for _ in range(levels):
        value = {"a": value}
    return value


def test_what_a_worker_reports_cannot_wedge_its_execution() -> None:
    w = world({"ref": "x", "type": "a"}, {"ref": "y", "type": "b", "input": {"v": "${x.output}"}}).step()
    w.completes("x", deep(50))
    assert "InvalidReport" in w.state.reason
    w = agent_world()
    w.completes("triage", proposal={"output": {}}, usage={"tokensIn": 2**60})
    assert "InvalidReport" in w.state.reason


def test_a_long_reference_in_a_proposal_is_denied_not_fatal() -> None:
    ref = "a" * 62
    tasks = [{"ref": ref, "type": "AGENT", "input": {"agent": "oncall", "goal": "g"}}]
    w = agent_world(tasks=tasks)
    w.completes(
        ref,
        proposal={
            "tasks": [
                {"ref": "b" * 63, "type": "look"},
                {"ref": "c", "type": "look", "dependsOn": ["b" * 63]},
            ]
        },
    )
    assert w.state.denied == 2


def test_the_tokens_of_a_failed_turn_count() -> None:
    w = agent_world()
    w.step(
        Report(
            "r",
            w.task("triage").seq,
            ReportStatus.FAILED,
            reason="no",
            usage={"tokensIn": 90, "tokensOut": 9},
        )
    )
    assert w.state.tokens == 99


def test_agents_count_as_jobs_and_their_retries_are_their_own() -> None:
    w = agent_world({**ALL, "limits": {"concurrentTasks": 1}})
    item = {"type": "AGENT", "input": {"agent": "oncall", "goal": "g"}}
    propose(w, {**item, "ref": "x"}, {**item, "ref": "y"}, {**item, "ref": "z", "retry": {"count": 100}})
    assert w.of_type("ProposalJudged")[0]["items"][2]["decision"] == "Denied"
    assert w.jobs.keys() == {"triage__1__x"}


def test_a_report_completes_neither_a_person_s_task_nor_a_child_s() -> None:
    w = world({"ref": "h", "type": "HUMAN"}).step().completes("h", {"forged": True})
    assert w.statuses == {"h": "InProgress"}
    w = world({"ref": "s", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "other"}})
    w.define("Workflow", "other", {"tasks": [{"ref": "x", "type": "HUMAN"}]}).step().completes(
        "s", {"forged": True}
    )
    assert w.statuses == {"s": "InProgress"}


def test_stricter_terms_ask_again() -> None:
    late = {
        "name": "two",
        "decision": "RequireApproval",
        "approval": {"count": 3},
        "when": "now > timestamp('2027-01-15T08:10:00Z')",
    }
    w = agent_world({"rules": [{"name": "one", "decision": "RequireApproval"}, late]})
    propose(w, {"ref": "x", "type": "look", "input": {}})
    w.advance(1200)
    w.approve("triage__1__x")
    assert w.jobs == {}
    assert w.of_type("ApprovalRequested")[1]["approval"]["count"] == 3


def test_a_retry_that_runs_stays_wanted_through_a_pause() -> None:
    w = world({"ref": "x", "type": "a"}).step().fails("x").advance(10)
    seq = w.jobs["x"].seq
    w.signal("Pause")
    assert w.jobs["x"].seq == seq


def test_a_policy_that_is_gone_does_not_loosen_the_budget() -> None:
    w = agent_world({"limits": {"turns": 1}, "rules": []})
    del w.definitions[next(key for key in w.definitions if key[1] == "p")]
    propose(w, {"type": "look", "input": {}})
    assert "BudgetExceeded: turns used 1 of 1" in w.state.reason


def test_a_failure_deep_inside_stops_what_follows() -> None:
    inner: dict[str, Any] = {"ref": "p", "type": "a", "permissive": True}
    for level in ("s2", "s1"):
        inner = {
            "ref": level,
            "type": "SWITCH",
            "expression": "v",
            "input": {"v": "x"},
            "decisionCases": {"x": [inner]},
        }
    w = world(inner, {"ref": "after", "type": "b"}).step().fails("p", terminal=True)
    assert w.statuses["after"] == "Skipped"
    assert w.phase is Phase.FAILED


def approved_hand_off() -> World:
    """An agent's hand-off to the Agent `helper`, approved, in its first turn."""
    policy = {"rules": [{"name": "r", "match": {"types": ["AGENT"]}, "decision": "RequireApproval"}]}
    w = agent_world(policy).define("Agent", "helper", w_agent("first"))
    propose(w, {"ref": "h", "type": "AGENT", "input": {"agent": "helper", "goal": "g"}})
    return w


def w_agent(instructions: str) -> dict[str, Any]:
    """An Agent."""
    script = {"configMapName": "s"}
    model = {"provider": "scripted", "script": script}
    return {"instructions": instructions, "model": model, "catalogs": ["tools"]}


def test_an_approved_agent_is_the_approved_one_in_every_turn() -> None:
    w = approved_hand_off().approve("triage__1__h")
    w.define("Agent", "helper", w_agent("second"))
    w.completes("triage__1__h", proposal={"tasks": [{"type": "nope"}]})
    context = w.jobs["triage__1__h"].context
    assert context is not None
    assert (context["turn"], context["agent"]["instructions"]) == (2, "first")


def test_an_agent_that_changed_between_approval_and_start_does_not_run() -> None:
    w = approved_hand_off()
    gate = w.task("triage__1__h").gate
    assert gate is not None
    w.signal("Pause").approve("triage__1__h")
    w.define("Agent", "helper", w_agent("second"))
    w.signal("Resume")
    assert "triage__1__h" not in w.jobs
    assert len(w.of_type("ApprovalRequested")) == 2


def test_a_child_is_told_which_definition_was_approved() -> None:
    policy = {"rules": [{"name": "r", "match": {"types": ["SUB_WORKFLOW"]}, "decision": "RequireApproval"}]}
    w = agent_world(policy).define("Workflow", "wipe", {"tasks": [{"ref": "z", "type": "HUMAN"}]})
    propose(w, {"ref": "s", "type": "SUB_WORKFLOW", "input": {"name": "wipe", "version": 1}})
    w.approve("triage__1__s")
    child = w.children["triage__1__s"]
    shown = w.of_type("ApprovalRequested")[0]["subject"]["digest"]
    assert (child.version, child.workflow_digest) == (1, shown)
    parent = {"name": "run-0", "uid": "u", "ref": "s", "seq": 3, "depth": 1}
    task = {"ref": "x", "type": "HUMAN"}
    for digest, phase in ((shown, Phase.RUNNING), ("sha256:0", Phase.FAILED)):
        w = world(task, spec={"parent": {**parent, "workflowDigest": digest}})
        w.define("Workflow", "main", {"tasks": [{"ref": "z", "type": "HUMAN"}]}).step()
        assert w.phase is phase
    assert w.state.reason == "Changed: Workflow 'main' is not the one that was approved any more"
    w = world(task, spec={"workflowRef": {"name": "main", "version": 2}}).step().advance(11)
    assert w.state.reason == "Workflow 'main' has version 1, not 2"


def test_a_person_cannot_resume_what_spec_suspend_holds() -> None:
    w = world({"ref": "x", "type": "a", "retryCount": 0}, {"ref": "y", "type": "b"}).step()
    w.signal("Pause").completes("x", {})
    w.step(
        SuspendSet(suspend=True),
        Signaled("s2", SignalType.RESUME, "bob@example.com", name="resume-1"),
    )
    assert (w.phase, w.jobs) == (Phase.PAUSED, {})
    assert w.types()[-2:] == ["ExecutionPaused", "ExecutionResumed"]
    w.signal("Resume")
    assert (
        w.of_type("FactRefused")[0]["reason"] == "the execution is paused by spec.suspend; set that to false"
    )
    w.step(SuspendSet(suspend=False))
    assert (w.phase, list(w.jobs)) == (Phase.RUNNING, ["y"])


def test_tokens_of_any_worker_count() -> None:
    w = world({"ref": "x", "type": "a"}, {"ref": "y", "type": "b"}).step()
    w.completes("x", {}, usage={"tokensIn": 5, "tokensOut": 2})
    assert w.state.tokens == 7


def test_control_flow_is_not_judged_but_what_it_leads_to_is() -> None:
    policy = {"scope": "All", "rules": [{"name": "r", "match": {"tools": ["a"]}, "decision": "Allow"}]}
    branches = [[{"ref": "x", "type": "a"}], [{"ref": "v", "type": "SET_VARIABLE", "input": {"k": 1}}]]
    w = governed(
        {"ref": "f", "type": "FORK_JOIN", "forkTasks": branches}, {"ref": "w", "type": "WAIT"}, policy=policy
    )
    w.step()
    assert w.jobs.keys() == {"x"}
    w.completes("x", {})
    assert (
        "no rule of policy 'p' allows task type WAIT; a rule may, with match.types: [WAIT]" in w.state.reason
    )


def test_a_pending_retry_is_what_a_run_waits_for() -> None:
    w = world({"ref": "x", "type": "a"}).step().fails("x")
    assert project(w.state, w.events)["waitingFor"] == "retry of x at 2027-01-15T08:00:10.000Z"


def test_a_policy_that_is_broken_while_a_run_goes_on_denies_authored_tasks_too() -> None:
    policy = {"scope": "All", "rules": [{"name": "h", "match": {"types": ["HUMAN"]}, "decision": "Allow"}]}
    w = governed({"ref": "h", "type": "HUMAN"}, {"ref": "x", "type": "a"}, policy=policy).step()
    del w.definitions[next(key for key in w.definitions if key[1] == "p")]
    w.signal("Complete", ref="h")
    assert w.jobs == {}
    assert "task x failed: Denied (policy, policy-unusable)" in w.state.reason


@pytest.mark.parametrize("redact", ["$.tasks", "$.*", "$"])
def test_a_redaction_of_everything_leaves_an_empty_history(redact: str) -> None:
    w = agent_world(agent={"context": {"redact": [redact]}})
    propose(w, {"ref": "e", "type": "look", "input": {}})
    w.completes("triage__1__e", {"token": "S3"})
    context = w.jobs["triage"].context
    assert context is not None
    assert context["turn"] == 2
    assert "S3" not in str(context)


def test_half_a_surrogate_in_a_reason_is_no_end_of_the_run() -> None:
    w = world({"ref": "x", "type": "a", "optional": True}, {"ref": "h", "type": "HUMAN"}).step()
    w.fails("x", "\ud800", terminal=True)
    assert (w.phase, w.statuses["x"]) == (Phase.RUNNING, "CompletedWithErrors")


def test_a_script_s_value_leaves_room_for_what_is_made_of_it() -> None:
    nest = "var v=1; for(var i=0;i<50;i++){v=[v]} v"
    script = {"evaluatorType": "javascript", "expression": nest}
    w = world(
        {"ref": "x", "type": "INLINE", "input": script, "optional": True}, {"ref": "h", "type": "HUMAN"}
    )
    w.step()
    assert w.statuses == {"x": "CompletedWithErrors", "h": "InProgress"}
    payload: Any = {}
    for _ in range(50):
        payload = {"p": payload}
    w.signal("Complete", ref="h", payload=payload)
    assert w.of_type("FactRefused")[0]["reason"].startswith("the payload cannot be recorded: ")
    assert w.phase is Phase.RUNNING


def test_an_approval_is_of_the_retries_that_were_shown_too() -> None:
    digests = set()
    for retry in ({}, {"retry": {"count": 1}}, {"optional": True}):
        w = agent_world({"rules": [{"name": "r", "decision": "RequireApproval"}]})
        propose(w, {"ref": "x", "type": "look", "input": {}, **retry})
        digests.add(w.of_type("ApprovalRequested")[0]["itemDigest"])
    assert len(digests) == 3


def test_an_approval_of_a_workflow_shows_its_version() -> None:
    policy = {"rules": [{"name": "r", "match": {"types": ["SUB_WORKFLOW"]}, "decision": "RequireApproval"}]}
    w = agent_world(policy).define(
        "Workflow", "wipe", {"version": 3, "tasks": [{"ref": "z", "type": "HUMAN"}]}
    )
    propose(w, {"ref": "s", "type": "SUB_WORKFLOW", "input": {"name": "wipe"}})
    assert w.of_type("ApprovalRequested")[0]["subject"]["version"] == 3


def test_a_record_that_takes_no_ending_takes_one_event() -> None:
    w = world(*[{"ref": f"w{i}", "type": "WAIT", "dependsOn": []} for i in range(3)]).step()
    w.step(CannotGoOn("LedgerFull: no room", in_one_event=True))
    assert (w.phase, w.types()[-1], len(w.of_type("TaskCanceled"))) == (Phase.FAILED, "ExecutionFailed", 0)
    assert set(w.statuses.values()) == {"Canceled"}


def test_a_pass_is_cut_by_its_size_and_goes_on() -> None:
    big = "x" * 20_000
    tasks = [{"ref": f"n{i}", "type": "NOOP", "input": {"v": big}} for i in range(6)]
    w = world(*tasks)
    one = Pass(w.state, w.now_ms)
    answers: dict[Any, Any] = {}
    while needs := one.run(answers):
        answers |= {need: w._answer(need) for need in needs}
    assert one.is_full
    assert one.wake_at_ms == w.now_ms
    assert not w.state.is_final
    w.events += one.events
    w.step()
    assert w.phase is Phase.COMPLETED
    assert len(w.of_type("TaskCompleted")) == 6
