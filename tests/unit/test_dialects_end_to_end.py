"""A recorded message of a model, from the agent's image through the operator's engine, and back into its dialect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from openworld.api import Phase
from openworld.simulation import Namespace, SimulatedExecution
from openworld_worker.agent.dialects import results
from openworld_worker.agent.scripted import Scripted
from tests.support.dialects import SPOKEN, answered, call
from tests.support.world import tool

POLICY: dict[str, Any] = {"rules": [{"name": "reads", "match": {"effects": ["Read"]}, "decision": "Allow"}]}


def run_of(made: Namespace, **agent: Any) -> SimulatedExecution:
    model = {"provider": "scripted", "script": {"configMapName": "s"}}
    schema = {"type": "object", "required": ["cause"]}
    made.define("ToolCatalog", "tools", {"tools": [tool("look"), tool("rollback", "Destructive")]})
    made.define("Policy", "p", POLICY)
    spec = {"model": model, "catalogs": ["tools"], "outputSchema": schema, **agent}
    made.define("Agent", "oncall", spec)
    task = {"ref": "triage", "type": "AGENT", "input": {"agent": "oncall", "goal": "find it"}}
    made.define("Workflow", "main", {"tasks": [task], "policyRef": {"name": "p"}})
    run = made.start("main", {})
    made.settle()
    return run


def test_an_agent_may_be_spared_its_own_messages(tmp_path: Path) -> None:
    message = SPOKEN["openai"].message(call("openai", "c1", "look", {}))
    for number in (1, 2):
        said = yaml.safe_dump({"dialect": "openai", "message": message})
        (tmp_path / f"{number}.yaml").write_text(said)
    script, made = Scripted(tmp_path), Namespace(check=True)
    run = run_of(made, context={"redact": ["$.proposal.raw.payload"]})
    takes_its_turn(made, run, script)
    made.report(run, "triage__1__look")
    (past,) = takes_its_turn(made, run, script)["history"]
    assert past["proposal"]["raw"]["payload"] == "[redacted]"
    assert set(answered("openai", results("openai", [past]))) == {"c1"}


def takes_its_turn(made: Namespace, run: SimulatedExecution, script: Scripted) -> dict[str, Any]:
    """The agent's container does what it would do; the context of its turn."""
    context = run.jobs(made.now_ms)["triage"].context
    assert context is not None
    assert made.report(run, "triage", proposal=script.propose(context).proposal) == ""
    return context


@pytest.mark.parametrize("dialect", SPOKEN)
def test_a_call_that_cannot_be_read_is_denied_in_the_ledger_while_its_siblings_run(
    dialect: str, tmp_path: Path
) -> None:
    spoken = SPOKEN[dialect]
    broken = [] if spoken.decoded else '{"to": 1, "to": 2}'
    first = spoken.message(
        call(dialect, "c1", "look", {"service": "checkout"}),
        spoken.call("c2", "rollback", broken),
        call(dialect, "c3", "rollback", {}),
        call(dialect, "c4", "__proto__", {}),
    )
    answer = spoken.message(text='{"cause": "deploy"}')
    if dialect == "mcp":
        answer = spoken.message(call(dialect, "c1", "propose_tasks", {"output": {"cause": "deploy"}}))
    for number, message in enumerate((first, answer), start=1):
        said = {"dialect": dialect, "message": message}
        (tmp_path / f"turn-{number}.yaml").write_text(yaml.safe_dump(said))
    script, made = Scripted(tmp_path), Namespace(check=True)
    run = run_of(made)
    context = takes_its_turn(made, run, script)
    assert context["agent"]["outputSchema"] == {"type": "object", "required": ["cause"]}
    received = next(event for event in run.whole_events if event["type"] == "ProposalReceived")
    ids = ["c1", "c2", "c3", "c4"]
    shown_ids = [json.dumps(each) for each in ids] if dialect == "mcp" else ids
    assert [item["callId"] for item in received["content"]["tasks"]] == shown_ids
    assert received["content"]["raw"]["payload"] == first
    judged = next(event for event in run.whole_events if event["type"] == "ProposalJudged")
    assert [(item["ref"], item["decision"], item["rule"]) for item in judged["items"]] == [
        ("triage__1__look", "Allowed", "reads"),
        ("triage__1__rollback", "Denied", "arguments"),
        ("triage__1__rollback_2", "Denied", "default-deny"),
        ("triage__1___proto_", "Denied", "exists"),
    ]
    reason = "must be an object, and is a list" if spoken.decoded else 'the key "to" is given twice'
    assert judged["items"][1]["reason"].startswith("its worker could not read it: the call's arguments: ")
    assert judged["items"][1]["reason"].endswith(reason)
    assert set(run.state.tasks) == {"triage", "triage__1__look"}
    made.report(run, "triage__1__look", output={"previous": 41})
    context = takes_its_turn(made, run, script)
    told = answered(dialect, results(dialect, context["history"]))
    assert set(told) == set(ids)
    assert told["c1"]["output"] == {"previous": 41}
    assert told["c2"]["reason"] == judged["items"][1]["reason"]
    assert run.state.phase is Phase.COMPLETED
    assert run.state.tasks["triage"].output == {"cause": "deploy"}
