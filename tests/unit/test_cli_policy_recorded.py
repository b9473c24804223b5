"""`openworld policy test --recorded`: runs judged again under other policies."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from openworld.cli.app import cli
from openworld.controller.names import segment_name
from tests.support.policytest import (
    LOOK,
    WORKFLOW,
    Definitions,
    base,
    case,
    cases,
    judged,
    recorded,
    rule_of,
    run,
    verdicts,
    write,
)
from tests.support.world import World
from tests.unit.cli_double import POLICY, execution, oncall, oncall_done, oncall_waiting

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


def _deny_reads(definitions: Definitions) -> None:
    rule_of(definitions, 0)["decision"] = "Deny"


def _rename(definitions: Definitions) -> None:
    rule_of(definitions, 0)["name"] = "look"


def _two_people(definitions: Definitions) -> None:
    rule_of(definitions, 1)["approval"]["count"] = 2


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
    rule_of(definitions, 2)["decision"] = "Allow"
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
    rule_of(definitions, 1)["when"] = "item.input.service == 'cart'"
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
