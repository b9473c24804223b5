"""`openworld policy test`: written cases and recorded runs against files, by the engine's own verdicts."""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner, Result

from openworld.cli.app import cli
from openworld.cli.completions import for_kubectl
from openworld.controller.names import segment_name
from openworld.simulation import PolicyCase
from tests.support.guides import blocks
from tests.support.world import World, tool
from tests.unit.cli_double import POLICY, execution, oncall, oncall_done, oncall_waiting

REPOSITORY = Path(__file__).parents[2]
ONCALL = REPOSITORY / "examples/oncall"
Definitions = dict[tuple[str, str], dict[str, Any]]
AGENT: dict[str, Any] = {
    "model": {"provider": "scripted", "script": {"configMapName": "s"}},
    "catalogs": ["tools"],
}
WORKFLOW: dict[str, Any] = {
    "tasks": [{"ref": "triage", "type": "AGENT", "input": {"agent": "oncall"}}],
    "catalogs": ["tools"],
    "policyRef": {"name": "p"},
}
LOOK = {"ref": "m", "type": "look", "input": {"service": "checkout"}}


def base() -> Definitions:
    tools = [tool("look"), tool("rollback", "Destructive"), tool("delete", "Destructive")]
    return {
        ("Workflow", "main"): copy.deepcopy(WORKFLOW),
        ("Policy", "p"): copy.deepcopy(POLICY),
        ("ToolCatalog", "tools"): {"tools": tools},
        ("Agent", "oncall"): copy.deepcopy(AGENT),
    }


def write(folder: Path, definitions: Definitions, labels: dict[str, dict[str, str]] | None = None) -> Path:
    documents = [
        {
            "apiVersion": "openworld.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "labels": (labels or {}).get(name, {})},
            "spec": spec,
        }
        for (kind, name), spec in definitions.items()
    ]
    file = folder / "definitions.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return file


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, ["policy", "test", *map(str, arguments)])


def judged(*arguments: Any) -> tuple[int, Any]:
    result = run(*arguments, "-o", "json")
    assert result.exit_code in (0, 1), result.output
    return result.exit_code, json.loads(result.output)


def cases(folder: Path, *found: Any) -> Path:
    file = folder / "cases.yaml"
    file.write_text(yaml.safe_dump_all(found))
    return file


def case(expect: list[dict[str, Any]] | None = None, *tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"case": "c", "proposal": {"tasks": list(tasks or (LOOK,))}, **more}
    return found if expect is None else {**found, "expect": expect}


def recorded(folder: Path, world: World) -> Path:
    file = folder / "run.json"
    file.write_text(json.dumps(execution(world)))
    return file


def verdicts(report: Any) -> list[tuple[str, str, str, str, list[str]]]:
    return [
        (
            row["ref"],
            row["stage"],
            row["verdict"]["decision"],
            row["verdict"]["rule"],
            row["differs"],
        )
        for each in report["tested"]
        for row in each["items"]
    ]


# Written cases.


def test_the_cases_of_the_oncall_example_hold() -> None:
    result = run(ONCALL, "--cases", ONCALL / "policy-cases.yaml")
    assert result.exit_code == 0, result.output
    assert "6 cases, 9 verdicts: all as expected" in result.output
    assert "note: access is assumed: whether the service account may use deploy_history" in result.output
    assert "    refused as a whole: output breaks the agent's outputSchema" in result.output


@pytest.mark.parametrize(
    ("expected", "differs"),
    [
        ({"decision": "Allowed"}, []),
        ({"decision": "Denied"}, ["decision"]),
        ({"decision": "Allowed", "rule": "writes"}, ["rule"]),
        ({"decision": "Allowed", "check": "access"}, ["check"]),
        ({"decision": "Allowed", "reason": "is free"}, []),
        ({"decision": "Allowed", "reason": "costs"}, ["reason"]),
        ({"decision": "Allowed", "approvals": 1}, ["approvals"]),
    ],
)
def test_what_an_expectation_says_counts(
    expected: dict[str, Any], differs: list[str], tmp_path: Path
) -> None:
    code, report = judged(write(tmp_path, base()), "--cases", cases(tmp_path, case([expected])))
    assert verdicts(report) == [("triage__1__m", "Proposal", "Allowed", "reads", differs)]
    assert (code, report["summary"]["differing"]) == ((1, 1) if differs else (0, 0))


def test_a_difference_is_marked_with_what_was_expected(tmp_path: Path) -> None:
    wrong = case([{"decision": "Denied", "rule": "no"}])
    result = run(write(tmp_path, base()), "--cases", cases(tmp_path, wrong))
    assert result.exit_code == 1
    assert "✗ triage__1__m  Allowed        reads  Reading is free." in result.output
    assert "      expected Denied by no\n" in result.output
    assert "1 case, 1 verdict: 1 otherwise than expected" in result.output


def test_items_and_expectations_that_have_no_partner_differ(tmp_path: Path) -> None:
    allowed = {"decision": "Allowed"}
    too_few = case([allowed], LOOK, {**LOOK, "ref": "n"})
    too_many = case([allowed, {**allowed, "ref": "gone"}])
    code, report = judged(write(tmp_path, base()), "--cases", cases(tmp_path, too_few, too_many))
    assert code == 1
    rows = [row for each in report["tested"] for row in each["items"]]
    assert [(row["ref"], row["differs"]) for row in rows] == [
        ("triage__1__m", []),
        ("triage__1__n", ["decision"]),
        ("triage__1__m", []),
        ("gone", ["decision"]),
    ]


def test_an_expectation_may_name_its_item_by_its_long_ref(tmp_path: Path) -> None:
    expect = [{"ref": "triage__1__n", "decision": "Allowed"}, {"ref": "m", "decision": "Allowed"}]
    found = case(expect, LOOK, {**LOOK, "ref": "n"})
    assert judged(write(tmp_path, base()), "--cases", cases(tmp_path, found))[0] == 0


ROLLBACK = {"ref": "r", "type": "rollback", "input": {"service": "checkout"}}
CHECKOUT = {"input": {"service": "checkout"}}


@pytest.mark.parametrize(
    ("when", "facts"),
    [
        ("execution.requestedBy == 'carol'", {"execution": {"requestedBy": "carol"}}),
        ("execution.name == 'nightly'", {"execution": {"name": "nightly"}}),
        ("execution.namespace == 'prod'", {"execution": {"namespace": "prod"}}),
        ("has(execution.input.a) && execution.input.a == 1", {"execution": {"input": {"a": 1}}}),
        ("execution.workflow == 'main'", {}),
        ("now.getDayOfWeek() == 0", {"now": "2026-03-01T12:00:00Z"}),
        ("proposal.size == 1", {}),
    ],
)
def test_a_case_is_judged_by_the_facts_that_it_states(
    when: str, facts: dict[str, Any], tmp_path: Path
) -> None:
    definitions = base()
    definitions["Policy", "p"]["rules"].append({"name": "hit", "when": when, "decision": "Deny"})
    file = write(tmp_path, definitions)
    denied = case([{"decision": "Denied", "rule": "hit"}], **facts)
    assert judged(file, "--cases", cases(tmp_path, denied))[0] == 0
    if facts:
        free = case([{"decision": "Allowed", "rule": "reads"}])
        assert judged(file, "--cases", cases(tmp_path, free))[0] == 0


@pytest.mark.parametrize(
    ("used", "limits", "rule"),
    [
        ({"tasks": 5}, {"tasks": 5}, "tasks"),
        ({"tokens": 11}, {"tokens": 10}, "tokens"),
        ({"seconds": 61}, {"durationSeconds": 60}, "durationSeconds"),
    ],
)
def test_a_case_says_what_has_been_used(
    used: dict[str, int], limits: dict[str, int], rule: str, tmp_path: Path
) -> None:
    definitions = base()
    definitions["Policy", "p"]["limits"] = limits
    file = write(tmp_path, definitions)
    denied = case([{"decision": "Denied", "check": "limits", "rule": rule}], used=used)
    assert judged(file, "--cases", cases(tmp_path, denied))[0] == 0
    assert judged(file, "--cases", cases(tmp_path, case([{"decision": "Allowed"}])))[0] == 0


def test_the_turn_stands_in_the_refs(tmp_path: Path) -> None:
    found = case([{"ref": "triage__4__m", "decision": "Allowed"}], used={"turns": 3})
    assert judged(write(tmp_path, base()), "--cases", cases(tmp_path, found))[0] == 0


def test_only_refs_that_a_case_shows_may_be_named(tmp_path: Path) -> None:
    named = {**LOOK, "input": {"x": "${before.output.x}"}}
    hidden = case([{"decision": "Denied", "check": "shape"}], named)
    shown = case([{"decision": "Allowed"}], named, visible=["before"])
    assert judged(write(tmp_path, base()), "--cases", cases(tmp_path, hidden, shown))[0] == 0


def test_access_is_allowed_and_said_to_be_assumed_unless_a_case_answers(tmp_path: Path) -> None:
    file = write(tmp_path, base())
    _, report = judged(file, "--cases", cases(tmp_path, case([{"decision": "Allowed"}])))
    assert report["tested"][0]["items"][0]["accessAssumed"] is True
    assert report["notes"] == [
        "access is assumed: whether the service account may use look is not known here"
    ]
    yes = case([{"decision": "Allowed"}], access={"look": True})
    no = case([{"decision": "Denied", "check": "access", "rule": "use"}], access={"look": False})
    code, report = judged(file, "--cases", cases(tmp_path, yes, no))
    assert (code, report["notes"]) == (0, [])


def test_a_worker_proposes_all_or_nothing_and_without_an_agents_limits(tmp_path: Path) -> None:
    definitions = base()
    definitions["Agent", "oncall"]["tools"] = ["nothing*"]
    file = write(tmp_path, definitions)
    agent = case([{"decision": "Denied", "rule": "agent-tools"}])
    worker = case([{"decision": "Allowed"}], worker=True)
    delete = {"ref": "d", "type": "delete", "input": {}}
    both = case([{"decision": "Denied", "rule": "atomic"}, {"decision": "Denied"}], LOOK, delete, worker=True)
    assert judged(file, "--cases", cases(tmp_path, agent, worker, both))[0] == 0


def test_a_proposal_that_is_none_is_a_problem(tmp_path: Path) -> None:
    file = write(tmp_path, base())
    broken = {"case": "c", "proposal": "rm -rf", "problem": "is an object, and this is a string"}
    code, report = judged(file, "--cases", cases(tmp_path, broken))
    assert code == 0, report
    unexpected = {"case": "c", "proposal": "rm -rf", "expect": [{"decision": "Denied"}]}
    assert judged(file, "--cases", cases(tmp_path, unexpected))[0] == 1
    absent = {**case(), "problem": "is an object"}
    assert judged(file, "--cases", cases(tmp_path, absent))[0] == 1


def test_a_mandatory_policy_binds_beside_the_one_that_the_workflow_names(tmp_path: Path) -> None:
    definitions = base()
    definitions["Policy", "guard"] = {
        "rules": [{"name": "all", "decision": "Allow"}, {"name": "never", "when": "true", "decision": "Deny"}]
    }
    allowed, denied = case([{"decision": "Allowed"}]), case([{"decision": "Denied", "rule": "never"}])
    assert judged(write(tmp_path, definitions), "--cases", cases(tmp_path, allowed))[0] == 0
    labelled = write(tmp_path, definitions, {"guard": {"openworld.dev/mandatory": "true"}})
    code, report = judged(labelled, "--cases", cases(tmp_path, denied))
    assert (code, report["tested"][0]["policies"]) == (0, ["p", "guard"])


def test_a_policy_that_is_named_and_labelled_binds_once(tmp_path: Path) -> None:
    file = write(tmp_path, base(), {"p": {"openworld.dev/mandatory": ""}})
    _, report = judged(file, "--cases", cases(tmp_path, case([{"decision": "Allowed"}])))
    assert report["tested"][0]["policies"] == ["p"]


def test_without_a_workflow_the_only_policy_and_all_catalogs_count(tmp_path: Path) -> None:
    definitions = base()
    del definitions["Workflow", "main"], definitions["Agent", "oncall"]
    file = write(tmp_path, definitions)
    assert judged(file, "--cases", cases(tmp_path, case([{"decision": "Allowed"}])))[0] == 0
    definitions["Policy", "q"] = {"rules": []}
    result = run(write(tmp_path, definitions), "--cases", cases(tmp_path, case([{"decision": "Allowed"}])))
    assert result.exit_code == 2
    assert "the files have 2 Policies and no Workflow that names one" in result.output


# Recorded runs.


def test_a_recorded_run_agrees_with_the_policies_it_was_judged_by(tmp_path: Path) -> None:
    code, report = judged(write(tmp_path, base()), "--recorded", recorded(tmp_path, oncall_done()))
    assert code == 0
    assert verdicts(report) == [
        ("triage__1__metrics", "Proposal", "Allowed", "reads", []),
        ("triage__2__rollback", "Proposal", "NeedsApproval", "own-service", []),
        ("triage__2__delete", "Proposal", "Denied", "no-deletes", []),
    ]
    assert [each["name"] for each in report["tested"]] == [
        "p-1 of triage, turn 1",
        "p-2 of triage, turn 2",
        "p-3 of triage, turn 3",
    ]
    assert report["notes"] == []


@pytest.mark.parametrize("form", ["events", "yaml", "list", "segments"])
def test_a_record_is_read_as_it_is_printed(form: str, tmp_path: Path) -> None:
    body = execution(oncall_done())
    ledger = body["status"]["ledger"]
    value: Any = body
    if form == "events":
        value = ledger["events"]
    elif form == "list":
        value = {"apiVersion": "v1", "kind": "List", "items": [body]}
    elif form == "segments":
        name = segment_name("run-1", "uid-1", 0)
        segment = {
            "kind": "LedgerSegment",
            "metadata": {"name": name},
            "spec": {"events": ledger["events"][:7]},
        }
        rest = {**ledger, "events": ledger["events"][7:], "segments": 1}
        body = {**body, "status": {**body["status"], "ledger": rest}}
        value = {"apiVersion": "v1", "kind": "List", "items": [body, segment]}
    file = tmp_path / "record"
    file.write_text(yaml.safe_dump(value) if form == "yaml" else json.dumps(value))
    code, report = judged(write(tmp_path, base()), "--recorded", file)
    assert (code, report["summary"]) == (0, {"tested": 3, "verdicts": 3, "differing": 0})


def test_a_simulation_makes_a_record_without_a_cluster(tmp_path: Path) -> None:
    definitions = base()
    file = write(tmp_path, definitions)
    mock = tmp_path / "mock.yaml"
    turns = [{"proposal": {"tasks": [LOOK]}}, {"proposal": {"output": {}}}]
    mock.write_text(yaml.safe_dump({"tasks": {"oncall": turns, "look": [{}]}}))
    arguments = ["simulate", str(file), "--mock", str(mock), "-o", "json"]
    (tmp_path / "run.json").write_text(CliRunner().invoke(cli, arguments).output)
    code, report = judged(file, "--recorded", tmp_path / "run.json")
    assert (code, report["summary"]["tested"], report["tested"][0]["where"]) == (0, 2, "run-1")
    _deny_reads(definitions)
    assert judged(write(tmp_path, definitions), "--recorded", tmp_path / "run.json")[0] == 1


def _rule(definitions: Definitions, index: int) -> dict[str, Any]:
    found: dict[str, Any] = definitions["Policy", "p"]["rules"][index]
    return found


def _deny_reads(definitions: Definitions) -> None:
    _rule(definitions, 0)["decision"] = "Deny"


def _rename(definitions: Definitions) -> None:
    _rule(definitions, 0)["name"] = "look"


def _two_people(definitions: Definitions) -> None:
    _rule(definitions, 1)["approval"]["count"] = 2


def _agent_without_look(definitions: Definitions) -> None:
    definitions["Agent", "oncall"]["tools"] = ["rollback", "delete"]


def _look_needs_more(definitions: Definitions) -> None:
    definitions["ToolCatalog", "tools"]["tools"][0]["inputSchema"] = {"type": "object", "required": ["zone"]}


def _other_policy(definitions: Definitions) -> None:
    definitions["Workflow", "main"]["policyRef"] = {"name": "q"}
    definitions["Policy", "q"] = {"rules": [{"name": "all", "decision": "Allow"}]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_deny_reads, [("triage__1__metrics", "Denied", "reads", ["decision"])]),
        (_rename, [("triage__1__metrics", "Allowed", "look", ["rule"])]),
        (_two_people, [("triage__2__rollback", "NeedsApproval", "own-service", ["approval"])]),
        (
            _agent_without_look,
            [("triage__1__metrics", "Denied", "agent-tools", ["decision", "check", "rule"])],
        ),
        (
            _look_needs_more,
            [("triage__1__metrics", "Denied", "input-schema", ["decision", "check", "rule"])],
        ),
        (
            _other_policy,
            [
                ("triage__1__metrics", "Allowed", "all", ["rule"]),
                ("triage__2__rollback", "Allowed", "all", ["decision", "rule"]),
                ("triage__2__delete", "Allowed", "all", ["decision", "rule"]),
            ],
        ),
    ],
)
def test_what_a_change_would_alter_is_found(
    change: Callable[[Definitions], None], expected: list[Any], tmp_path: Path
) -> None:
    definitions = base()
    change(definitions)
    record = recorded(tmp_path, oncall_done())
    code, report = judged(write(tmp_path, definitions), "--recorded", record)
    assert code == 1
    found = [
        (ref, decision, rule, differs) for ref, _, decision, rule, differs in verdicts(report) if differs
    ]
    if change is _look_needs_more:  # the authored task that looks, too
        assert found.pop() == ("report", "Denied", "input-schema", ["decision"])
    assert found == expected
    assert judged(write(tmp_path, definitions), "--recorded", record, "--allow-changes")[0] == 0


def test_what_a_change_allows_anew_rests_on_access_that_nobody_has_asked_for(tmp_path: Path) -> None:
    definitions = base()
    _rule(definitions, 2)["decision"] = "Allow"
    record = recorded(tmp_path, oncall_done())
    result = run(write(tmp_path, definitions), "--recorded", record)
    assert result.exit_code == 1
    assert "      was Denied by no-deletes\n" in result.output
    assert "note: access is assumed: whether the service account may use delete is not" in result.output


def test_a_denied_access_is_remembered(tmp_path: Path) -> None:
    world = oncall().advance(1)
    world.denied_tools.add("look")
    world.completes("triage", proposal={"tasks": [LOOK]})
    code, report = judged(write(tmp_path, base()), "--recorded", recorded(tmp_path, world))
    assert (code, verdicts(report)) == (0, [("triage__1__m", "Proposal", "Denied", "use", [])])


@pytest.mark.parametrize(
    ("rule", "limits"),
    [
        ({"name": "early", "when": "now < timestamp('2027-01-15T08:00:02Z')", "decision": "Deny"}, {}),
        (None, {"tasks": 1}),
        (None, {"tokens": 150}),
        (None, {"durationSeconds": 3}),
    ],
)
def test_each_proposal_is_judged_by_its_own_facts(
    rule: dict[str, Any] | None, limits: dict[str, int], tmp_path: Path
) -> None:
    """The first proposal and the second one differ in time, and in what was used before."""
    world = oncall().advance(1)
    usage = {"tokensIn": 90, "tokensOut": 10}
    world.completes("triage", proposal={"tasks": [LOOK]}, usage=usage)
    world.advance(1).completes("triage__1__m", {})
    world.advance(3).completes("triage", proposal={"tasks": [LOOK]}, usage=usage)
    record = recorded(tmp_path, world)
    definitions = base()
    definitions["Policy", "p"]["limits"] = limits
    if rule is not None:
        definitions["Policy", "p"]["rules"].append(rule)
    _, report = judged(write(tmp_path, definitions), "--recorded", record)
    decisions = [decision for _, _, decision, _, _ in verdicts(report)]
    assert decisions == (["Denied", "Allowed"] if rule else ["Allowed", "Denied"])


def provisional() -> World:
    """A rollback whose service is only known when it starts."""
    world = oncall().advance(1)
    world.completes("triage", proposal={"tasks": [LOOK]})
    world.advance(1).completes("triage__1__m", {"service": "checkout"})
    late = {"ref": "r", "type": "rollback", "input": {"service": "${triage__1__m.output.service}"}}
    world.advance(1).completes("triage", proposal={"tasks": [late]})
    return world


def test_a_provisional_verdict_is_told_again_with_the_final_input(tmp_path: Path) -> None:
    record = recorded(tmp_path, provisional())
    _, report = judged(write(tmp_path, base()), "--recorded", record)
    last = ("triage__2__r", "BeforeStart", "NeedsApproval", "own-service", [])
    assert verdicts(report)[-1] == last
    definitions = base()
    _rule(definitions, 1)["when"] = "item.input.service == 'cart'"
    code, report = judged(write(tmp_path, definitions), "--recorded", record)
    assert verdicts(report)[-2:] == [
        ("triage__2__r", "Proposal", "NeedsApproval", "own-service", []),
        ("triage__2__r", "BeforeStart", "Denied", "default-deny", ["decision", "rule"]),
    ]
    assert code == 1


def test_a_denial_before_the_start_is_judged_again(tmp_path: Path) -> None:
    world = oncall()
    rules = copy.deepcopy(POLICY)
    rules["rules"][1]["when"] = "item.input.service == 'cart'"
    world.define("Policy", "p", rules)
    world.advance(1).completes("triage", proposal={"tasks": [LOOK]})
    world.advance(1).completes("triage__1__m", {"service": "checkout"})
    late = {"ref": "r", "type": "rollback", "input": {"service": "${triage__1__m.output.service}"}}
    world.advance(1).completes("triage", proposal={"tasks": [late]})
    record = recorded(tmp_path, world)
    strict = base()
    strict["Policy", "p"] = rules
    code, report = judged(write(tmp_path, strict), "--recorded", record)
    assert (code, verdicts(report)[-1]) == (0, ("triage__2__r", "BeforeStart", "Denied", "default-deny", []))
    code, report = judged(write(tmp_path, base()), "--recorded", record)
    now = ("triage__2__r", "BeforeStart", "NeedsApproval", "own-service", ["decision", "rule"])
    assert (code, verdicts(report)[-1]) == (1, now)


def test_a_scope_that_grows_denies_authored_tasks(tmp_path: Path) -> None:
    definitions = base()
    definitions["Policy", "p"]["scope"] = "All"
    code, report = judged(write(tmp_path, definitions), "--recorded", recorded(tmp_path, oncall_done()))
    assert code == 1
    assert report["tested"][-1]["name"] == "authored tasks"
    found = [(ref, rule) for ref, _, _, rule, differs in verdicts(report) if differs]
    assert found == [("triage", "default-deny")]


def test_a_mandatory_policy_binds_recorded_proposals(tmp_path: Path) -> None:
    definitions = base()
    definitions["Policy", "guard"] = {
        "rules": [{"name": "reads-only", "match": {"effects": ["Read"]}, "decision": "Allow"}]
    }
    file = write(tmp_path, definitions, {"guard": {"openworld.dev/mandatory": "true"}})
    code, report = judged(file, "--recorded", recorded(tmp_path, oncall_waiting()))
    found = [(ref, decision) for ref, _, decision, _, differs in verdicts(report) if "decision" in differs]
    assert (code, found) == (1, [("triage__2__rollback", "Denied")])


def test_a_mandatory_policy_of_scope_all_binds_the_authored_tasks_of_a_record(tmp_path: Path) -> None:
    definitions = base()
    every = {"name": "every", "decision": "Allow"}
    agents = {"name": "no-agents", "match": {"types": ["AGENT"]}, "decision": "Deny"}
    definitions["Policy", "guard"] = {"scope": "All", "rules": [every, agents]}
    record = recorded(tmp_path, oncall_done())
    assert judged(write(tmp_path, definitions), "--recorded", record)[0] == 0
    file = write(tmp_path, definitions, {"guard": {"openworld.dev/mandatory": "true"}})
    code, report = judged(file, "--recorded", record)
    assert code == 1
    rows = report["tested"][-1]["items"]
    assert [
        (row["ref"], row["verdict"]["decision"], row["wanted"]["decision"], row["differs"]) for row in rows
    ] == [("triage", "Denied", "Allowed", ["decision"]), ("report", "Allowed", "Allowed", [])]


def authored(policy: dict[str, Any] | None = None, *tasks: dict[str, Any]) -> World:
    """A run of authored tasks alone, done; `policy` is its own."""
    found = tasks or ({"ref": "find", "type": "look", "input": {}}, {"ref": "say", "type": "HUMAN"})
    spec = {**copy.deepcopy(WORKFLOW), "tasks": list(found)}
    if policy is None:
        del spec["policyRef"]
    world = World(spec)
    world.define("ToolCatalog", "tools", base()["ToolCatalog", "tools"])
    world.define("Policy", "p", policy or {"rules": []})
    world.step()
    for ref in list(world.jobs):
        world.completes(ref, {})
    return world


def files_of(world: World, policy: dict[str, Any] | None = None) -> Definitions:
    """The definitions that a run was made by, with another policy if one is given."""
    found = {(kind.value, name): copy.deepcopy(spec) for (kind, name), spec in world.definitions.items()}
    return found if policy is None else {**found, ("Policy", "p"): policy}


def all_tasks(name: str, decision: str = "Allow") -> dict[str, Any]:
    """A policy of scope All with one rule, on tools and on what people are asked."""
    match = {"types": ["SIMPLE", "HUMAN"]}
    return {"scope": "All", "rules": [{"name": name, "match": match, "decision": decision}]}


def test_authored_tasks_that_a_policy_binds_are_judged_also_where_nothing_differs(tmp_path: Path) -> None:
    world = authored(all_tasks("every"))
    record = recorded(tmp_path, world)
    code, report = judged(write(tmp_path, files_of(world)), "--recorded", record)
    assert code == 0
    assert verdicts(report) == [
        ("find", "BeforeStart", "Allowed", "every", []),
        ("say", "BeforeStart", "Allowed", "every", []),
    ]
    assert report["tested"][0]["policies"] == ["p"]
    result = run(write(tmp_path, files_of(world)), "--recorded", record)
    assert result.output.splitlines()[-1] == "2 authored tasks, 2 verdicts: all as expected"
    code, report = judged(write(tmp_path, files_of(world, all_tasks("any"))), "--recorded", record)
    assert (code, [differs for *_, differs in verdicts(report)]) == (1, [["rule"], ["rule"]])


def test_a_policy_that_is_to_bind_authored_tasks_judges_a_run_that_it_did_not_bind(tmp_path: Path) -> None:
    world = authored({"rules": []})
    record = recorded(tmp_path, world)
    looks = {
        "scope": "All",
        "rules": [{"name": "looks", "match": {"types": ["SIMPLE"]}, "decision": "Allow"}],
    }
    code, report = judged(write(tmp_path, files_of(world, looks)), "--recorded", record)
    assert code == 1
    assert verdicts(report) == [
        ("find", "BeforeStart", "Allowed", "looks", []),
        ("say", "BeforeStart", "Denied", "default-deny", ["decision"]),
    ]


@pytest.mark.parametrize(
    ("decision", "differs"),
    [
        ("Allow", ["rule"]),
        ("Deny", ["decision", "check", "rule"]),
        ("RequireApproval", ["decision", "rule"]),
    ],
)
@pytest.mark.parametrize("task", [{"ref": "say", "type": "HUMAN"}, {"ref": "say", "type": "look"}])
def test_a_policy_that_binds_authored_tasks_no_more_is_a_change(
    decision: str, differs: list[str], task: dict[str, Any], tmp_path: Path
) -> None:
    world = authored(all_tasks("r", decision), task)
    record = recorded(tmp_path, world)
    assert judged(write(tmp_path, files_of(world)), "--recorded", record)[0] == 0
    code, report = judged(write(tmp_path, files_of(world, {"rules": []})), "--recorded", record)
    [row] = verdicts(report)
    assert (code, row[2:]) == (1, ("Allowed", "authored", differs))


@pytest.mark.parametrize(
    ("policy", "tasks", "why"),
    [
        (
            {"rules": []},
            (),
            "no policy binds its 2 authored tasks (find, say): p binds proposals alone; with `scope: All` it "
            "would bind authored tasks too",
        ),
        (
            None,
            (),
            "no policy binds its 2 authored tasks (find, say): its workflow names none by policyRef, and "
            "none of the files is mandatory",
        ),
        (
            all_tasks("every"),
            ({"ref": "a", "type": "NOOP"}, {"ref": "b", "type": "SET_VARIABLE", "input": {"x": 1}}),
            "no policy is asked about its 2 authored tasks (NOOP, SET_VARIABLE)",
        ),
    ],
)
def test_a_run_with_nothing_to_judge_says_what_was_looked_at_and_what_to_do(
    policy: dict[str, Any] | None, tasks: tuple[dict[str, Any], ...], why: str, tmp_path: Path
) -> None:
    world = authored(policy, *tasks)
    record = recorded(tmp_path, world)
    result = run(write(tmp_path, files_of(world)), "--recorded", record)
    assert result.exit_code == 2
    assert (
        result.output
        == f"Error: there is nothing to judge: {record}: run-1 has no judged proposal, and {why}\n"
    )


def test_a_run_that_has_nothing_to_judge_is_named_beside_what_is_judged(tmp_path: Path) -> None:
    world = authored({"rules": []})
    record = recorded(tmp_path, world)
    definitions = {**base(), **files_of(world)}
    found = cases(tmp_path, case([{"decision": "Denied"}]))
    code, report = judged(write(tmp_path, definitions), "--recorded", record, "--cases", found)
    assert (code, len(report["tested"])) == (0, 1)
    assert [note for note in report["notes"] if "no judged proposal" in note] == [
        f"{record}: run-1 has no judged proposal, and no policy binds its 2 authored tasks (find, say): p binds "
        "proposals alone; with `scope: All` it would bind authored tasks too"
    ]


def test_a_mandatory_policy_that_binds_proposals_alone_is_named(tmp_path: Path) -> None:
    world = authored(None)
    file = write(tmp_path, files_of(world), {"p": {"openworld.dev/mandatory": "true"}})
    result = run(file, "--recorded", recorded(tmp_path, world))
    assert result.exit_code == 2
    assert "(find, say): p binds proposals alone; with `scope: All`" in result.output


def test_an_authored_task_that_data_names_is_judged_by_policies_of_any_scope(tmp_path: Path) -> None:
    named = {"ref": "d", "type": "DYNAMIC", "dynamicTaskNameParam": "t", "input": {"t": "look"}}
    world = authored({"rules": [{"name": "every", "decision": "Allow"}]}, named)
    code, report = judged(write(tmp_path, files_of(world)), "--recorded", recorded(tmp_path, world))
    assert (code, verdicts(report)) == (0, [("d", "BeforeStart", "Allowed", "every", [])])
    assert report["tested"][0]["policies"] == ["p"]


def test_a_run_in_which_nothing_has_begun_says_so(tmp_path: Path) -> None:
    world = oncall()
    file = tmp_path / "events.json"
    file.write_text(json.dumps(execution(world)["status"]["ledger"]["events"][:1]))
    result = run(write(tmp_path, base()), "--recorded", file)
    assert result.exit_code == 2
    assert "none of its tasks has begun: record it when it has gone further" in result.output


def test_leaving_audit_mode_is_a_change(tmp_path: Path) -> None:
    world = oncall()
    audit = {**copy.deepcopy(POLICY), "mode": "Audit"}
    world.define("Policy", "p", audit)
    world.advance(1).completes("triage", proposal={"tasks": [{"type": "delete", "ref": "d", "input": {}}]})
    record = recorded(tmp_path, world)
    definitions = base()
    definitions["Policy", "p"] = audit
    assert judged(write(tmp_path, definitions), "--recorded", record)[0] == 0
    code, report = judged(write(tmp_path, base()), "--recorded", record)
    assert (code, verdicts(report)[0][2:]) == (1, ("Denied", "no-deletes", ["decision", "audited"]))


def test_events_alone_do_not_say_which_run_it_was(tmp_path: Path) -> None:
    file = tmp_path / "events.json"
    file.write_text(json.dumps(execution(oncall_done())["status"]["ledger"]["events"]))
    definitions = base()
    assert judged(write(tmp_path, definitions), "--recorded", file)[1]["notes"] == []
    definitions["Policy", "p"]["rules"].append(
        {"name": "x", "when": "execution.namespace == 'other'", "decision": "Deny"}
    )
    [note] = judged(write(tmp_path, definitions), "--recorded", file)[1]["notes"]
    assert "rules ask for the run's name or namespace, which are not known" in note


# What cannot be used.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case: a\nproposal: {}\nexpct: []\n", "3: expct: unknown field 'expct'; did you mean 'expect'?"),
        (
            "case: a\nproposal: {}\nexpect:\n- {decision: Allowed}\n- {decison: Denied, decision: Denied}\n",
            "5: expect[1].decison: unknown field 'decison'; did you mean 'decision'?",
        ),
        ("case: a\nproposal: {}\nexpect: [{decision: Maybe}]\n", "3: expect[0].decision: 'Maybe' is not"),
        ("case: a\nproposal: {}\n", "1: exactly one of expect and problem"),
        ("case: a\nexpect: [{decision: Denied}]\n", "1: proposal is required"),
        ("case: a\nnow: noon\nproposal: {}\nproblem: x\n", "2: now: "),
        (
            "case: a\nagent: x\nworker: true\nproposal: {}\nproblem: x\n",
            "either an agent proposes or a worker",
        ),
        ("- 1\n", "must be an object"),
        ("case: [\n", "is not YAML"),
        (
            "case: a\nworkflow: man\nproposal: {}\nproblem: x\n",
            "'man' is not among the files; did you mean 'main'?",
        ),
        ("case: a\nagent: oncal\nproposal: {}\nproblem: x\n", "did you mean 'oncall'?"),
    ],
)
def test_a_case_with_a_mistake_is_exit_code_2_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "cases.yaml").write_text(text)
    result = run(write(tmp_path, base()), "--cases", tmp_path / "cases.yaml")
    assert result.exit_code == 2
    assert message in result.output


def test_every_mistake_of_the_cases_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "cases.yaml").write_text("case: a\nproposal: {}\nx: 1\n---\nz: 1\n")
    result = run(write(tmp_path, base()), "--cases", tmp_path / "cases.yaml")
    assert result.exit_code == 2
    assert ":3: x: unknown field" in result.output
    assert ":5: z: unknown field" in result.output


def _tamper(body: dict[str, Any]) -> None:
    body["status"]["ledger"]["events"][0]["requestedBy"] = "mallory"


def _cut_the_end(body: dict[str, Any]) -> None:
    body["status"]["ledger"]["events"].pop()


def _cut_the_start(body: dict[str, Any]) -> None:
    del body["status"]["ledger"]["events"][0]


def _another_run(body: dict[str, Any]) -> None:
    body["metadata"]["uid"] = "uid-2"


def _sealed(body: dict[str, Any]) -> None:
    body["status"]["ledger"]["segments"] = 1


def _empty(body: dict[str, Any]) -> None:
    body["status"] = {}


def _wrong_spec(body: dict[str, Any]) -> None:
    body["spec"]["extra"] = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_tamper, "ledger event 0: its content does not have the hash that it states"),
        (_cut_the_end, "events are missing at the end of its ledger"),
        (_cut_the_start, "its sequence number is 1"),
        (_another_run, "ledger event 0: it follows"),
        (_sealed, "the ledger is not whole: its segment run-1-"),
        (_empty, "execution run-1 has no events"),
        (_wrong_spec, "unknown field 'extra'"),
    ],
)
def test_a_record_that_cannot_be_believed_is_refused(
    change: Callable[[dict[str, Any]], None], message: str, tmp_path: Path
) -> None:
    body = execution(oncall_done())
    change(body)
    (tmp_path / "run.json").write_text(json.dumps(body))
    result = run(write(tmp_path, base()), "--recorded", tmp_path / "run.json")
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "records no run"),
        ("[]", "a list of events must begin with ExecutionStarted"),
        ('[{"type": "ExecutionStarted"}]', "its sequence number is None"),
        ("a: [", "is neither JSON nor YAML"),
        ('{"kind": "Execution", "metadata": {"name": "x"}}', "has no events"),
        ('{"executions": [{}]}', "is no Execution as the API server prints it"),
        ('{"kind": "Execution"}', "is no Execution as the API server prints it"),
    ],
)
def test_a_file_that_records_nothing_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "run").write_text(text)
    result = run(write(tmp_path, base()), "--recorded", tmp_path / "run")
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (("Policy", "p"), "there is no Policy in the files"),
        (("ToolCatalog", "tools"), "ToolCatalog 'tools' is needed, and is not among the files"),
    ],
)
def test_definitions_that_are_needed_must_be_there(
    missing: tuple[str, str], message: str, tmp_path: Path
) -> None:
    definitions = base()
    del definitions[missing]
    file = write(tmp_path, definitions)
    for what in (
        ("--recorded", recorded(tmp_path, oncall_done())),
        ("--cases", cases(tmp_path, case([{"decision": "Denied"}]))),
    ):
        result = run(file, *what)
        assert result.exit_code == 2
        assert message in result.output


def test_a_definition_with_a_mistake_and_one_that_is_there_twice_are_refused(tmp_path: Path) -> None:
    definitions = base()
    _rule(definitions, 0)["when"] = "item.input ="
    found = cases(tmp_path, case([{"decision": "Denied"}]))
    result = run(write(tmp_path, definitions), "--cases", found)
    assert result.exit_code == 2
    assert "Policy 'p' is not valid: spec.rules[0].when" in result.output
    twice = write(tmp_path, base())
    twice.write_text(f"{twice.read_text()}---\n{twice.read_text()}")
    result = run(twice, "--cases", found)
    assert result.exit_code == 2
    assert "is defined already, at" in result.output


def test_nothing_to_judge_is_no_success(tmp_path: Path) -> None:
    file = write(tmp_path, base())
    assert run(file).exit_code == 2
    (tmp_path / "cases.yaml").write_text("# nothing\n")
    assert run(file, "--cases", tmp_path / "cases.yaml").exit_code == 2
    assert run(file, "--recorded", recorded(tmp_path, oncall())).exit_code == 2
    assert run(file, "--cases", tmp_path / "gone.yaml").exit_code == 2


# What comes out.


def test_the_junit_report_has_a_case_for_each(tmp_path: Path) -> None:
    wrong, right = (
        case([{"decision": "Denied"}], case="wrong \x07"),
        case([{"decision": "Allowed"}], case="right"),
    )
    xml = tmp_path / "out.xml"
    assert (
        run(write(tmp_path, base()), "--cases", cases(tmp_path, wrong, right), "--junit", xml).exit_code == 1
    )
    [suite] = ElementTree.fromstring(xml.read_text())  # noqa: S314  (our own report)
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failed = [found for each in suite if (found := each.find("failure")) is not None]
    assert [found.get("message") for found in failed] == [
        "triage__1__m: Allowed (policy, reads: Reading is free.); expected Denied"
    ]


def test_text_of_a_model_cannot_drive_the_terminal(tmp_path: Path) -> None:
    evil = {"ref": "m", "type": "\x1b[2Jlook", "input": {}}
    result = run(write(tmp_path, base()), "--cases", cases(tmp_path, case([{"decision": "Denied"}], evil)))
    assert "\x1b" not in result.output


def test_the_group_is_completed() -> None:
    assert "policy\tJudge proposals" in "\n".join(for_kubectl(["pol"]))
    assert any(line.startswith("test") for line in for_kubectl(["policy", ""]))
    assert any(line.startswith("--cases") for line in for_kubectl(["policy", "test", "--ca"]))


# The guide.


def test_the_guides_example_is_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects, written, command, story = blocks(REPOSITORY / "docs/guides/test-a-policy.md")[:4]
    (tmp_path / "shop.yaml").write_text(objects)
    (tmp_path / "cases.yaml").write_text(written)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, shlex.split(command)[1:])
    assert (result.exit_code, result.output) == (0, story)


def test_the_guide_names_every_key_of_a_case() -> None:
    page = (REPOSITORY / "docs/guides/test-a-policy.md").read_text()
    for name in PolicyCase.model_json_schema(by_alias=True)["properties"]:
        assert f"`{name}" in page, name
