"""Agents by examples: turns, verdicts, gates, feedback, budgets."""

from __future__ import annotations

from typing import Any

from openworld.api import Phase
from openworld.engine.desire import desired
from openworld.engine.facts import Ending
from tests.support.world import World, tool

POLICY: dict[str, Any] = {
    "rules": [
        {"name": "reads", "match": {"effects": ["Read"]}, "decision": "Allow"},
        {
            "name": "careful",
            "match": {"tools": ["rollback"]},
            "when": "item.input.service == execution.input.service",
            "decision": "RequireApproval",
            "approval": {"count": 1, "timeoutSeconds": 900, "notRequester": True},
        },
        {
            "name": "no-deletes",
            "match": {"tools": ["delete"]},
            "decision": "Deny",
            "message": "nobody deletes",
        },
    ]
}


def agent_world(
    policy: dict[str, Any] | None = None, agent: dict[str, Any] | None = None, **workflow: Any
) -> World:
    """An execution whose only task is an agent with three tools."""
    w = World(
        {
            "tasks": [{"ref": "triage", "type": "AGENT", "input": {"agent": "oncall", "goal": "find it"}}],
            "policyRef": {"name": "p"},
            **workflow,
        },
        input={"service": "checkout"},
    )
    w.define("Policy", "p", policy or POLICY)
    w.define(
        "ToolCatalog",
        "tools",
        {"tools": [tool("look"), tool("rollback", "Destructive"), tool("delete", "Destructive")]},
    )
    base = {"model": {"provider": "scripted", "script": {"configMapName": "s"}}, "catalogs": ["tools"]}
    w.define("Agent", "oncall", {**base, **(agent or {})})
    return w.step()


def propose(w: World, *tasks: dict[str, Any], ref: str = "triage", **more: Any) -> World:
    """The agent's turn answers with a proposal."""
    return w.completes(ref, proposal={"tasks": list(tasks), **more})


def answer(w: World, output: dict[str, Any]) -> World:
    """The agent's turn answers with its answer."""
    return w.completes("triage", proposal={"output": output})


def test_a_turn_is_a_job_whose_context_is_recorded() -> None:
    w = agent_world()
    job = w.jobs["triage"]
    assert (job.turn, job.agent_name) == (1, "oncall")
    assert job.context == w.of_type("TurnStarted")[0]["context"]
    assert job.context is not None
    assert job.context["goal"] == "find it"
    assert [t["name"] for t in job.context["tools"]] == ["look", "rollback", "delete"]
    assert [t["needsPerson"] for t in job.context["tools"]] == [False, True, False]
    assert job.context["state"]["workflow"]["input"] == {"service": "checkout"}


def test_allowed_items_run_in_parallel_and_the_next_turn_sees_their_results() -> None:
    w = agent_world()
    propose(w, {"type": "look", "input": {"a": 1}}, {"ref": "other", "type": "look", "input": {"a": 2}})
    assert w.jobs.keys() == {"triage__1__look", "triage__1__other"}
    w.completes("triage__1__look", {"v": 1})
    assert w.jobs.keys() == {"triage__1__other"}
    w.completes("triage__1__other", {"v": 2})
    assert w.jobs.keys() == {"triage"}
    context = w.jobs["triage"].context
    assert context is not None
    assert context["turn"] == 2
    assert [(r["ref"], r["status"], r["output"]) for r in context["history"][0]["results"]] == [
        ("triage__1__look", "Completed", {"v": 1}),
        ("triage__1__other", "Completed", {"v": 2}),
    ]
    answer(w, {"cause": "deploy"})
    assert w.phase is Phase.COMPLETED
    assert w.state.output == {"cause": "deploy"}


def test_items_depend_on_each_other_by_their_short_refs() -> None:
    w = agent_world()
    propose(
        w,
        {"ref": "first", "type": "look", "input": {}},
        {"ref": "second", "type": "look", "input": {"v": "${first.output.v}"}, "dependsOn": ["first"]},
    )
    assert w.jobs.keys() == {"triage__1__first"}
    w.completes("triage__1__first", {"v": 7})
    assert w.jobs["triage__1__second"].input == {"v": 7}


def test_a_denied_item_is_told_to_the_agent_with_rule_and_reason() -> None:
    w = agent_world()
    propose(w, {"type": "look", "input": {}}, {"type": "delete", "input": {}})
    judged = w.of_type("ProposalJudged")[0]
    assert [(i["decision"], i.get("rule")) for i in judged["items"]] == [
        ("Allowed", "reads"),
        ("Denied", "no-deletes"),
    ]
    assert judged["rules"]["p/no-deletes"]["decision"] == "Deny"
    w.completes("triage__1__look")
    context = w.jobs["triage"].context
    assert context is not None
    assert context["history"][0]["verdict"][1]["reason"] == "nobody deletes"
    assert w.state.denied == 1


def test_a_gated_item_waits_for_the_right_person_and_the_shown_item() -> None:
    w = agent_world()
    propose(w, {"type": "rollback", "input": {"service": "checkout", "to": "1"}})
    ref = "triage__1__rollback"
    assert w.statuses[ref] == "AwaitingApproval"
    assert w.jobs == {}
    w.approve(ref, by="alice@example.com")
    assert "requested this execution" in w.of_type("FactRefused")[0]["reason"]
    w.signal("Approve", ref=ref, tool="rollback", item_digest="sha256:other")
    assert "another item" in w.of_type("FactRefused")[1]["reason"]
    w.signal("Approve", ref=ref, tool="look", item_digest=w.task(ref).gate.digest)  # type: ignore[union-attr]
    assert "is about 'look'" in w.of_type("FactRefused")[2]["reason"]
    assert w.jobs == {}
    w.approve(ref)
    assert w.jobs[ref].input == {"service": "checkout", "to": "1"}
    assert w.of_type("ApprovalGiven")[0]["by"] == "bob@example.com"


def test_a_quorum_counts_distinct_people() -> None:
    policy = {"rules": [{"name": "two", "decision": "RequireApproval", "approval": {"count": 2}}]}
    w = agent_world(policy)
    propose(w, {"type": "look", "input": {}})
    ref = "triage__1__look"
    w.approve(ref, "bob@example.com")
    w.approve(ref, "bob@example.com")
    assert w.jobs == {}
    w.approve(ref, "carol@example.com")
    assert w.jobs.keys() == {ref}


def test_a_refusal_is_feedback_and_dependents_are_skipped() -> None:
    w = agent_world()
    propose(
        w,
        {"ref": "undo", "type": "rollback", "input": {"service": "checkout"}},
        {"ref": "check", "type": "look", "input": {}, "dependsOn": ["undo"]},
    )
    w.approve("triage__1__undo", kind="Reject")
    assert w.statuses["triage__1__undo"] == "Canceled"
    assert w.statuses["triage__1__check"] == "Skipped"
    assert w.phase is Phase.RUNNING
    context = w.jobs["triage"].context
    assert context is not None
    assert context["history"][0]["results"][0]["reason"] == "ApprovalRefused by bob@example.com"


def test_an_approval_expires() -> None:
    w = agent_world()
    propose(w, {"type": "rollback", "input": {"service": "checkout"}})
    w.advance(900)
    assert w.of_type("ApprovalExpired")[0]["ref"] == "triage__1__rollback"
    assert w.jobs.keys() == {"triage"}
    w.signal("Approve", ref="triage__1__rollback", tool="rollback", item_digest="sha256:x")
    assert w.types()[-1] == "FactRefused"


def test_a_changed_tool_after_the_request_asks_again() -> None:
    w = agent_world()
    propose(w, {"type": "rollback", "input": {"service": "checkout"}})
    w.define("ToolCatalog", "tools", {"tools": [tool("rollback", "Destructive", description="changed")]})
    w.approve("triage__1__rollback")
    assert len(w.of_type("ApprovalRequested")) == 2
    assert w.jobs == {}
    w.approve("triage__1__rollback")
    assert w.jobs.keys() == {"triage__1__rollback"}


def test_policy_has_the_last_word_on_resolved_values() -> None:
    w = agent_world()
    propose(
        w,
        {"ref": "find", "type": "look", "input": {}},
        {"ref": "undo", "type": "rollback", "input": {"service": "${find.output.s}"}, "dependsOn": ["find"]},
    )
    w.completes("triage__1__find", {"s": "payments"})
    assert w.statuses["triage__1__undo"] == "FailedWithTerminalError"
    assert w.jobs.keys() == {"triage"}
    assert w.of_type("ProposalJudged")[1]["stage"] == "BeforeStart"


def test_a_failed_item_is_feedback() -> None:
    w = agent_world()
    propose(w, {"type": "look", "input": {}})
    w.fails("triage__1__look", "broken", terminal=True)
    assert w.phase is Phase.RUNNING
    context = w.jobs["triage"].context
    assert context is not None
    assert context["history"][0]["results"][0]["reason"] == "broken"


def test_turns_with_nothing_allowed_end_the_agent() -> None:
    w = agent_world()
    for turn in range(1, 4):
        assert w.jobs["triage"].turn == turn
        propose(w, {"type": "delete", "input": {}})
    assert w.phase is Phase.FAILED
    assert w.state.reason.startswith("task triage failed: ProposalsRejected: 3 turns in a row")
    assert "nobody deletes" in w.state.reason


def test_malformed_proposals_are_rejections_not_consent() -> None:
    w = agent_world()
    for content in ([], "rm -rf", {"tasks": "all"}):
        w.completes("triage", proposal=content)
    assert w.phase is Phase.FAILED
    assert w.types().count("TaskScheduled") == 1


def test_the_turn_budget_is_hard() -> None:
    w = agent_world(agent={"limits": {"turns": 2}})
    for _ in range(2):
        propose(w, {"type": "look", "input": {}})
        w.completes(next(ref for ref in w.jobs if ref != "triage"))
    assert w.phase is Phase.FAILED
    assert w.of_type("BudgetExceeded")[0] | {"prev": "", "hash": "", "seq": 0, "at": ""} == {
        "seq": 0,
        "at": "",
        "type": "BudgetExceeded",
        "ref": "triage",
        "limit": "turns",
        "used": 2,
        "allowed": 2,
        "prev": "",
        "hash": "",
    }


def test_the_token_budget_is_hard() -> None:
    w = agent_world({**POLICY, "limits": {"tokens": 100}})
    w.completes(
        "triage", proposal={"tasks": [{"type": "look", "input": {}}]}, usage={"tokensIn": 90, "tokensOut": 20}
    )
    for ref in [ref for ref in w.jobs if ref != "triage"]:
        w.completes(ref)
    assert w.phase is Phase.FAILED
    assert "BudgetExceeded: tokens used 110 of 100" in w.state.reason


def test_an_answer_that_breaks_the_output_schema_is_sent_back() -> None:
    w = agent_world(agent={"outputSchema": {"type": "object", "required": ["cause"]}})
    answer(w, {"wrong": 1})
    context = w.jobs["triage"].context
    assert context is not None
    assert "outputSchema" in context["history"][0]["problem"]
    answer(w, {"cause": "x"})
    assert w.phase is Phase.COMPLETED


def test_a_failed_turn_is_tried_again_with_the_same_context() -> None:
    w = agent_world()
    context = w.jobs["triage"].context
    w.job_ends("triage", Ending.FAILED, "model overloaded")
    assert w.jobs == {}
    w.advance(5)
    job = w.jobs["triage"]
    assert (job.turn, job.attempt) == (1, 1)
    assert job.context == context


def test_concurrent_tasks_queue_and_are_never_denied() -> None:
    w = agent_world({**POLICY, "limits": {"concurrentTasks": 1}})
    propose(w, {"ref": "x", "type": "look", "input": {}}, {"ref": "y", "type": "look", "input": {}})
    assert w.jobs.keys() == {"triage__1__x"}
    w.completes("triage__1__x")
    assert w.jobs.keys() == {"triage__1__y"}


def test_what_the_model_sees_honours_include_and_redact() -> None:
    w = agent_world(agent={"context": {"include": ["$.workflow.input"], "redact": ["$..secret"]}})
    propose(w, {"type": "look", "input": {}})
    w.completes("triage__1__look", {"secret": "s3", "v": 1})
    context = w.jobs["triage"].context
    assert context is not None
    assert context["state"] == {"workflow": {"input": {"service": "checkout"}}}
    assert context["history"][0]["results"][0]["output"] == {"secret": "[redacted]", "v": 1}


def test_an_ordinary_task_may_propose_and_its_successor_waits_for_the_scope() -> None:
    w = World(
        {
            "tasks": [{"ref": "plan", "type": "look"}, {"ref": "after", "type": "look"}],
            "catalogs": ["tools"],
            "policyRef": {"name": "p"},
        }
    )
    w.define("Policy", "p", POLICY).define("ToolCatalog", "tools", {"tools": [tool("look")]}).step()
    w.completes("plan", {"n": 1}, proposal={"tasks": [{"ref": "x", "type": "look", "input": {}}]})
    assert w.statuses["plan"] == "Completed"
    assert w.jobs.keys() == {"plan__1__x"}
    w.completes("plan__1__x")
    assert w.jobs.keys() == {"after"}


def test_a_dynamic_fork_is_judged_by_policy() -> None:
    definition = {
        "tasks": [
            {
                "ref": "f",
                "type": "FORK_JOIN_DYNAMIC",
                "input": {"dynamicTasks": "${workflow.input.list}", "dynamicTasksInput": {"x": {"k": 1}}},
            },
            {"ref": "j", "type": "JOIN"},
        ],
        "catalogs": ["tools"],
        "policyRef": {"name": "p"},
    }
    items = [
        {"name": "look", "taskReferenceName": "x", "type": "SIMPLE"},
        {"name": "look", "taskReferenceName": "y"},
    ]
    w = World(definition, input={"list": items}).define("Policy", "p", POLICY)
    w.define("ToolCatalog", "tools", {"tools": [tool("look"), tool("delete", "Destructive")]}).step()
    assert w.jobs.keys() == {"x", "y"}
    assert w.jobs["x"].input == {"k": 1}
    w.completes("x", {"v": 1})
    assert w.statuses["j"] == "InProgress"
    w.completes("y", {"v": 2})
    assert w.state.output == {"x": {"v": 1}, "y": {"v": 2}}

    refused = World(definition, input={"list": [{"name": "delete", "taskReferenceName": "x"}]}).define(
        "Policy", "p", POLICY
    )
    refused.define("ToolCatalog", "tools", {"tools": [tool("delete", "Destructive")]}).step()
    assert refused.phase is Phase.FAILED
    assert "ProposalDenied" in refused.state.reason


def test_without_a_policy_nothing_proposed_runs() -> None:
    w = World({"tasks": [{"ref": "plan", "type": "look"}], "catalogs": ["tools"]})
    w.define("ToolCatalog", "tools", {"tools": [tool("look")]}).step()
    w.completes("plan", proposal={"tasks": [{"type": "look", "input": {}}]})
    assert w.phase is Phase.FAILED
    assert w.types().count("TaskScheduled") == 1


def test_data_that_looks_like_an_expression_is_never_resolved() -> None:
    w = agent_world()
    propose(
        w,
        {"ref": "x", "type": "look", "input": {}},
        {"ref": "y", "type": "look", "input": {"v": "${x.output.v}"}, "dependsOn": ["x"]},
    )
    w.completes("triage__1__x", {"v": "${workflow.input.service}"})
    assert w.jobs["triage__1__y"].input == {"v": "${workflow.input.service}"}


def test_the_time_budget_is_hard_even_while_a_person_is_waited_for() -> None:
    policy = {
        "limits": {"durationSeconds": 600},
        "rules": [*POLICY["rules"], {"name": "ask", "match": {"types": ["HUMAN"]}, "decision": "Allow"}],
    }
    w = agent_world(policy)
    propose(
        w,
        {"ref": "ask", "type": "HUMAN", "input": {}},
        {"ref": "look", "type": "look", "input": {}, "dependsOn": ["ask"]},
    )
    assert w.statuses["triage__1__ask"] == "InProgress"
    assert desired(w.state, w.now_ms).wake_at_ms == w.state.started_at_ms + 600_000
    w.advance(599)
    assert w.phase is Phase.RUNNING
    w.advance(1)
    assert w.state.reason == "task triage failed: BudgetExceeded: durationSeconds used 600 of 600"
    assert w.statuses["triage__1__ask"] == "Canceled"
    assert w.statuses["triage__1__look"] == "Skipped"


def test_an_optional_agent_over_budget_leaves_nothing_running_and_the_run_goes_on() -> None:
    w = agent_world(
        {**POLICY, "limits": {"durationSeconds": 600}},
        tasks=[
            {"ref": "triage", "type": "AGENT", "input": {"agent": "oncall", "goal": "g"}, "optional": True},
            {"ref": "after", "type": "WAIT", "input": {"duration": "1s"}},
        ],
    )
    seq = w.jobs["triage"].seq
    w.advance(600)
    assert seq in w.state.stopped
    assert w.statuses == {"triage": "CompletedWithErrors", "after": "InProgress"}
    w.advance(1)
    assert w.phase is Phase.COMPLETED
