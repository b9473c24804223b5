"""`openworld policy test`: written cases and recorded runs against files, by the engine's own verdicts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner

from openworld.cli.app import cli
from openworld.cli.completions import for_kubectl
from openworld.simulation import PolicyCase
from tests.support.guides import blocks
from tests.support.pinned import Tools, exported, offered
from tests.support.policytest import (
    LOOK,
    ONCALL,
    REPOSITORY,
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
from tests.support.world import tool
from tests.unit.cli_double import execution, oncall, oncall_done

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
    rule_of(definitions, 0)["when"] = "item.input ="
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


# Tools of MCP servers, as far as the catalog's file has the operator's status.


SERVED: dict[str, Any] = {
    "tools": [tool("look")],
    "mcpServers": [
        {
            "name": "docs",
            "url": "https://docs.example/mcp",
            "effects": {"overrides": [{"tools": ["search"], "effect": "Read"}]},
        }
    ],
}
SEARCH = {"ref": "s", "type": "search", "input": {"q": "x"}}
PIN = [offered("search"), offered("drop")]
DRIFTED = [offered("search", annotations={"readOnlyHint": True}), offered("drop"), offered("new")]


def write_served(folder: Path, *lists: Tools, name: str = "definitions.yaml") -> Path:
    file = write(folder, {key: spec for key, spec in base().items() if key[0] != "ToolCatalog"})
    rest = list(yaml.safe_load_all(file.read_text()))
    file = folder / name
    file.write_text(yaml.safe_dump_all([*rest, exported("tools", SERVED, {"docs": list(lists)})]))
    return file


def test_a_written_case_is_judged_on_what_is_pinned(tmp_path: Path) -> None:
    broken = {"ref": "b", "type": "search", "input": {"p": "x"}}
    drop = {"ref": "d", "type": "drop", "input": {"q": "x"}}
    expect = [
        {"decision": "Allowed", "rule": "reads"},
        {"decision": "Denied", "check": "catalog", "rule": "input-schema"},
        {"decision": "Denied", "rule": "default-deny"},
    ]
    file = cases(tmp_path, case(expect, SEARCH, broken, drop))
    code, report = judged(write_served(tmp_path, PIN), "--cases", file)
    assert (code, [row["differs"] for row in report["tested"][0]["items"]]) == (0, [[], [], []])
    assert not any("MCP" in note for note in report["notes"])


def test_a_written_case_may_expect_that_what_has_drifted_is_denied(tmp_path: Path) -> None:
    expect = [
        {"decision": "Denied", "check": "catalog", "rule": "drifted", "reason": "it was pinned (hints)"},
        {"decision": "Denied", "check": "catalog", "rule": "drifted", "reason": "offers it since"},
    ]
    file = cases(tmp_path, case(expect, SEARCH, {"ref": "n", "type": "new", "input": {"q": "x"}}))
    code, report = judged(write_served(tmp_path, PIN, DRIFTED), "--cases", file)
    assert (code, verdicts(report)[0][2:]) == (0, ("Denied", "drifted", []))


def test_a_recorded_run_is_judged_again_on_what_is_pinned_now(tmp_path: Path) -> None:
    pinned = write_served(tmp_path, PIN, name="pinned.yaml")
    drifted = write_served(tmp_path, PIN, DRIFTED, name="drifted.yaml")
    mock = tmp_path / "mock.yml"
    turns = [{"proposal": {"tasks": [SEARCH]}}, {"proposal": {"output": {}}}]
    mock.write_text(yaml.safe_dump({"tasks": {"oncall": turns, "search": [{"output": {"content": []}}]}}))
    played = CliRunner().invoke(cli, ["simulate", str(pinned), "--mock", str(mock), "-o", "json"])
    assert played.exit_code == 0, played.output
    record = tmp_path / "record.json"
    record.write_text(played.stdout)
    code, report = judged(pinned, "--recorded", record)
    assert (code, verdicts(report)) == (0, [("triage__1__s", "Proposal", "Allowed", "reads", [])])
    code, report = judged(drifted, "--recorded", record)
    changed = ("triage__1__s", "Proposal", "Denied", "drifted", ["decision", "check", "rule"])
    assert (code, verdicts(report)) == (1, [changed])


def test_without_a_status_a_note_says_where_to_get_it(tmp_path: Path) -> None:
    file = write(tmp_path, base() | {("ToolCatalog", "tools"): SERVED})
    expect = [{"decision": "Denied", "rule": "exists", "reason": "there is no tool 'search'"}]
    result = run(file, "--cases", cases(tmp_path, case(expect, SEARCH)))
    assert result.exit_code == 0, result.output
    told = " ".join(result.output.split())
    assert "note: ToolCatalog 'tools' names MCP servers (docs) whose tools its file does not say, so" in told
    assert "says them: kubectl get otc tools -o yaml" in told


def test_a_status_that_no_operator_has_written_cannot_be_used(tmp_path: Path) -> None:
    file = write_served(tmp_path, PIN)
    text = file.read_text()
    file.write_text(text.replace("discoveredAt:", "discovredAt:"))
    result = run(file, "--cases", cases(tmp_path, case([{"decision": "Allowed"}], SEARCH)))
    assert result.exit_code == 2
    line = text[: text.index("discoveredAt:")].count("\n") + 1
    assert f"definitions.yaml:{line}: status.mcpServers[0].discovredAt: unknown field" in result.output
