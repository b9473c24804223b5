"""A workflow that an agent brings: judged when it is proposed, and task by task when it runs."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.governance import Decision
from openworld.simulation import Namespace
from tests.support.governance import agent, catalog, only, question, rule
from tests.support.world import tool, world

SCRIPTED = {"provider": "scripted", "script": {"configMapName": "s"}}
OPEN: dict[str, Any] = {
    "rules": [rule("all"), rule("subs", match={"types": ["SUB_WORKFLOW"]}, when="item.inline")]
}
LOOK = {"ref": "l", "type": "look"}


def brings(*tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An item with a definition of its own."""
    return {
        "type": "SUB_WORKFLOW",
        "subWorkflowParam": {"name": "made", "workflowDefinition": {"tasks": list(tasks), **more}},
    }


@pytest.mark.parametrize(
    ("item", "check", "reason"),
    [
        (brings(), "shape", "workflowDefinition.tasks"),
        (brings({"ref": "x", "type": "ghost"}), "catalog", "workflowDefinition: there is no tool 'ghost'"),
        (
            brings({"ref": "x", "type": "note"}),
            "catalog",
            "workflowDefinition: agent 'oncall' may not use tool 'note'",
        ),
        (brings({**LOOK, "compensation": {"tool": "note"}}), "catalog", "may not use tool 'note'"),
        (
            brings(
                {
                    "ref": "s",
                    "type": "SWITCH",
                    "expression": "x",
                    "input": {"x": 1},
                    "defaultCase": [{"ref": "x", "type": "note"}],
                }
            ),
            "catalog",
            "may not use tool 'note'",
        ),
        (brings(LOOK, catalogs=["admin"]), "catalog", "'admin' is none of the proposer's catalogs"),
        (brings(LOOK, failureWorkflow="wipe"), "shape", "failureWorkflow cannot be proposed"),
        (
            brings({"ref": "d", "type": "DYNAMIC", "input": {"taskToExecute": "note"}}),
            "shape",
            "a DYNAMIC task cannot stand",
        ),
        (
            brings(
                {
                    "ref": "f",
                    "type": "FORK_JOIN_DYNAMIC",
                    "input": {"dynamicTasks": [], "dynamicTasksInput": {}},
                }
            ),
            "shape",
            "a FORK_JOIN_DYNAMIC task cannot stand",
        ),
        (
            brings({"ref": "h", "type": "HUMAN", "human": {"assignees": ["mallory"]}}),
            "shape",
            "who answers a proposed HUMAN",
        ),
        (brings({**brings(LOOK), "ref": "n"}), "shape", "a definition within a proposed definition"),
        (
            brings({**LOOK, "input": {"a": "${workflow.secrets.crm.token}"}}),
            "shape",
            "reaches no workflow.secrets",
        ),
        (brings({**LOOK, "input": {"a": "${workflow['env'].STAGE}"}}), "shape", "reaches no workflow.env"),
        (brings(LOOK, outputParameters={"a": "${workflow.env}"}), "shape", "reaches no workflow.env"),
        (brings({**LOOK, "when": "workflow['env'].STAGE == 'x'"}), "shape", "reaches no workflow.env"),
        (brings(LOOK, image="evil"), "shape", "workflowDefinition.image"),
        (brings(LOOK, LOOK), "shape", "workflowDefinition.tasks[1]"),
    ],
)
def test_a_definition_that_reaches_too_far_is_denied_with_the_reason(
    item: dict[str, Any], check: str, reason: str
) -> None:
    tools = catalog(tool("look"), tool("note", "Write"))
    found = only(question(OPEN, catalogs=(tools,), agent=agent(tools=["look"])), item)
    assert (found.decision, found.check) == (Decision.DENIED, check)
    assert reason in found.reason


def test_a_rule_says_whether_definitions_may_be_brought() -> None:
    named = {
        "rules": [
            rule("all"),
            rule("known", match={"types": ["SUB_WORKFLOW"]}, when="item.workflow == 'made'"),
        ]
    }
    assert only(question(named), brings(LOOK)).decision is Decision.DENIED
    assert only(question(OPEN), brings(LOOK)).decision is Decision.ALLOWED
    assert (
        only(question(OPEN), {"type": "SUB_WORKFLOW", "input": {"name": "made"}}).decision is Decision.DENIED
    )


def running(spec: dict[str, Any], *tasks: dict[str, Any], **limits: int) -> tuple[Namespace, Any, Any]:
    """A run whose agent brings a workflow; the namespace, the run and the child."""
    made = Namespace(name="team", check=True)
    made.define("ToolCatalog", "tools", {"tools": [tool("look"), tool("note", "Write")]})
    made.define("Policy", "p", {**spec, "limits": limits})
    made.define("Agent", "a", {"model": SCRIPTED, "catalogs": ["tools"]})
    made.define(
        "Workflow",
        "main",
        {"policyRef": {"name": "p"}, "tasks": [{"ref": "ask", "type": "AGENT", "input": {"agent": "a"}}]},
    )
    run = made.start("main")
    made.settle()
    made.report(run, "ask", proposal={"tasks": [brings(*tasks)]})
    return made, run, made.child(run, "ask__1__sub_workflow")


def test_a_workflow_that_an_agent_brings_runs_with_the_agents_catalogs_and_is_bound_as_the_agent_is() -> None:
    spec = {"rules": [*OPEN["rules"], rule("no-notes", "Deny", match={"tools": ["note"]})]}
    made, run, child = running(spec, LOOK, {"ref": "n", "type": "note"})
    assert child.identity.spec.parent.proposed
    assert child.identity.spec.workflow.catalogs == ["tools"]
    made.report(child, "l")
    assert child.state.phase.value == "Failed"
    assert "Denied (policy, no-notes)" in child.state.reason
    assert run.state.tasks["ask__1__sub_workflow"].status.value == "Failed"


def test_its_scripts_and_waits_take_a_rule_as_an_item_would() -> None:
    wait = {"ref": "w", "type": "WAIT", "input": {"duration": "1s"}}
    script = {"ref": "s", "type": "INLINE", "evaluatorType": "javascript", "expression": "1"}
    for task in (wait, script):
        _, _, child = running(OPEN, task)
        assert "Denied (policy, default-deny)" in child.state.reason


def test_its_tasks_count_so_that_one_item_cannot_stand_for_many() -> None:
    many = [{"ref": f"l{n}", "type": "look"} for n in range(9)]
    made, run, child = running(OPEN, *many, tasks=9)
    assert child.identity.spec.parent.grant.tasks == 4
    for n in range(4):
        made.report(child, f"l{n}")
    assert "Denied (limits, tasks)" in child.state.reason
    assert run.state.proposed_tasks == 5


def test_a_definition_from_data_reaches_no_secret() -> None:
    definition = {"tasks": [{"ref": "x", "type": "a", "input": {"t": "${workflow.secrets.crm.token}"}}]}
    sub = {
        "ref": "sub",
        "type": "SUB_WORKFLOW",
        "subWorkflowParam": {"name": "made", "workflowDefinition": "${look.output.d}"},
    }
    w = world({"ref": "look", "type": "a"}, sub).step().completes("look", {"d": definition})
    assert "what comes at run time reaches no workflow.secrets" in w.state.reason
