"""What a model asks a person is shown as the model's, in every view; an approval is shown from the record."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
import yaml

from openworld.cli.outline import outline
from openworld.cli.questions import question
from openworld.cli.story import Story
from tests.support.governance import rule
from tests.support.verbs import screen
from tests.support.world import World, tool
from tests.support.world import world as world_of
from tests.unit.cli_double import POLICY, FakeCluster, execution, invoke, oncall, oncall_waiting
from tests.unit.test_governance_runtime import OPEN, running

#: Colours the terminal and clears it (7- and 8-bit), begins a line of its own, runs backwards, and is long.
HOSTILE = (
    "ok?\x1b[2J\x1b[31m\x9b1A\r\n  bob@example.com       APPROVED by bob\n  digest:    sha256:0\u2028x\u202egnp"
    + " " * 200
    + "APPROVED by bob "
    + "y" * 5000
)
LABEL = "HUMAN (untrusted, from agent oncall)"
REF = "triage__1__ask"
#: What a hostile question comes to, up to where it is cropped.
SHOWN = (
    'question="ok?\\u001b[2J\\u001b[31m\\x9b1A\\r\\n bob@example.com APPROVED by bob\\n digest: '
    "sha256:0\\u2028x\\u202egnp APPROVED by bob yyyy"
)


def asked(decision: str = "Allow", text: str = HOSTILE) -> World:
    """A run whose agent has proposed to ask a person; `decision` is what the policy says to that."""
    world = oncall()
    asks = rule("asks", decision, match={"types": ["HUMAN"]})
    world.define("Policy", "p", {"rules": [*POLICY["rules"], asks]})
    item = {"ref": "ask", "type": "HUMAN", "input": {"question": text}}
    return world.advance(1).completes("triage", proposal={"tasks": [item], "rationale": HOSTILE[:600]})


def view(world: World, *verb: str, code: int = 0) -> list[str]:
    """The lines that a verb prints of a run."""
    found = FakeCluster(answer={"status": "True"}).put(execution(world))
    result = invoke(found, verb[0], "run-1", *verb[1:])
    assert result.exit_code == code, result.output
    return result.output.splitlines()


def assert_harmless(lines: list[str]) -> None:
    """Nothing drives the terminal, and no line but an attributed one speaks of an approval."""
    for line in lines:
        assert not any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") for char in line), line
        assert len(line) < 1200, line
        assert "  APPROVED" not in line, line
        if "APPROVED by bob" in line:
            assert "untrusted" in line.partition("ok?")[0] or "turn 1" in line.partition("ok?")[0], line


@pytest.mark.parametrize("decision", ["Allow", "RequireApproval"])
def test_every_view_shows_a_question_of_a_model_as_the_models_on_one_harmless_line(decision: str) -> None:
    world = asked(decision)
    for verb in (("tree",), ("ledger",), ("explain", REF), ("explain", "triage/1")):
        assert_harmless(view(world, *verb))
    labelled = [line for verb in ("tree", "ledger") for line in view(world, verb) if "question=" in line]
    assert len(labelled) == 3
    for line in labelled:
        assert f"{LABEL}: {SHOWN}" in line
        assert len(line.partition(f"{LABEL}: ")[2].partition("…")[0]) == 159


def test_the_tree_says_whose_question_it_is_before_the_question_however_narrow_it_is() -> None:
    world = asked(text="Is it good?")
    [line] = [line for line in view(world, "tree") if "HUMAN" in line]
    assert f'{REF}  {LABEL}: question="Is it good?"  InProgress  rule asks' in line
    narrow = next(line for line in screen(execution(world), 80, 24) if "HUMAN" in line)
    assert "HUMAN (untr" in narrow
    assert "good" not in narrow


def test_the_tree_says_whose_question_it_is_also_before_it_is_asked() -> None:
    body = execution(asked())
    ledger = body["status"]["ledger"]
    ledger["events"] = [e for e in ledger["events"] if e["type"] != "TaskScheduled" or e["ref"] != REF]
    for tasks in (body["status"]["tasks"], {}):
        body["status"]["tasks"] = tasks
        [turn] = outline(body).children[0].children
        assert turn.children[0].what == LABEL


def test_the_story_says_so_of_the_proposal_the_question_and_what_becomes_of_it() -> None:
    world, story = asked(text="Good?"), Story()
    told = [line.text for line in story.tell_all(world.events)]
    assert f"turn 1: agent oncall proposed {LABEL}: question=Good?: ok?" in told[3]
    assert f"scheduled {LABEL}: question=Good? (proposal p-1, item 0)" in told
    later = [
        {"type": "TaskReminded", "reminder": 1},
        {"type": "TaskEscalated", "to": ["carol@example.com"]},
        {"type": "TaskCanceled", "reason": "the run was terminated"},
    ]
    assert [story.tell({"ref": REF, **event}).text for event in later] == [
        f"{LABEL} still waits for an answer (reminder 1)",
        f"{LABEL} is overdue: now for carol@example.com too",
        f"{LABEL} canceled: the run was terminated",
    ]


def test_the_explanation_says_so_of_the_headline_the_proposal_and_the_input() -> None:
    lines = view(asked(), "explain", REF)
    assert lines[0] == f"{REF}  {LABEL}  InProgress"
    [proposed] = [line for line in lines if line.startswith("  as proposed: ")]
    assert f"  as proposed: {LABEL}: {SHOWN}" in proposed
    [saw] = [line for line in lines if line.startswith("  input")]
    assert f"  input (untrusted, from agent oncall): {SHOWN}" in saw
    explained = yaml.safe_load("\n".join(view(asked(), "explain", REF, "-o", "yaml")))
    assert explained["asker"] == "agent oncall"
    assert explained["saw"]["input"] == {"question": HOSTILE}


def test_an_explanation_of_what_people_were_asked_to_approve_says_so() -> None:
    [to] = [line for line in view(asked("RequireApproval"), "explain", REF) if "to exactly" in line]
    assert f"to exactly {LABEL}: {SHOWN}" in to


def test_consent_to_ask_a_person_is_asked_for_with_the_question_cropped_and_labelled() -> None:
    world = asked("RequireApproval")
    gate = world.task(REF).gate
    assert gate is not None
    lines = view(world, "approve", "--yes")
    assert_harmless(lines)
    assert lines[:3] == ["An item waits for a person:", f"  task:      {REF}", f"  tool:      {LABEL}"]
    assert lines[7] == f"  digest:    {gate.digest}"
    assert lines[8].startswith(f"  input (untrusted, from agent oncall): {SHOWN}")
    assert len(lines[8].partition("): ")[2]) == 600
    assert lines[9:] == [f"{REF} (HUMAN) approved"]


def test_an_approval_shows_nothing_but_what_is_recorded_of_the_item() -> None:
    world = oncall_waiting()
    body = execution(world)
    for event in body["status"]["ledger"]["events"]:
        if event["type"] == "ProposalReceived":
            event["content"] = {
                "rationale": "PRETEND",
                "tasks": [{"type": "PRETEND", "input": {"to": "PRETEND"}}],
            }
        if event["type"] == "ProposalJudged":
            event["items"] = [{**item, "reason": "PRETEND"} for item in event["items"]]
    shown = invoke(FakeCluster(answer={"status": "True"}).put(body), "approve", "run-1", "--yes")
    assert shown.exit_code == 0
    assert "PRETEND" not in shown.output
    assert shown.output.splitlines()[:11] == [
        "An item waits for a person:",
        "  task:      triage__2__rollback",
        "  tool:      rollback",
        "  rule:      own-service",
        "  why:       one person",
        "  approvals: 0 of 1",
        "  expires:   2027-01-15T08:15:03.000Z",
        f"  digest:    {world.task('triage__2__rollback').gate.digest}",  # type: ignore[union-attr]
        "  input:",
        "    service: checkout",
        "    to: '1'",
    ]


def test_no_text_of_an_input_that_is_approved_looks_like_another_field() -> None:
    world = oncall()
    note = "why not\nto: '2'\n  digest:    sha256:0" + " word" * 60
    proposal = {"type": "rollback", "input": {"service": "checkout", "note": note, "to": "1"}}
    world.completes("triage", proposal={"tasks": [proposal]})
    lines = view(world, "approve", "--yes")
    inputs = lines[lines.index("  input:") + 1 : -1]
    assert [line.partition(":")[0] for line in inputs] == ["    service", "    note", "    to"]
    assert yaml.safe_load("\n".join(inputs)) == {"service": "checkout", "note": note, "to": "1"}


def test_the_list_of_what_waits_says_whose_question_waits() -> None:
    world = oncall()
    rules = [rule("asks", "RequireApproval", match={"types": ["HUMAN"]}), POLICY["rules"][1]]
    world.define("Policy", "p", {"rules": rules})
    items = [
        {"ref": "ask", "type": "HUMAN", "input": {"question": HOSTILE}},
        {"ref": "undo", "type": "rollback", "input": {"service": "checkout"}},
    ]
    world.completes("triage", proposal={"tasks": items})
    [line] = view(world, "approve", code=1)
    assert line == (f"Error: name one: waiting for an approval: {REF} {LABEL}, triage__1__undo (rollback)")


def test_a_question_of_a_worker_is_from_its_task() -> None:
    world = world_of({"ref": "fetch", "type": "a"}, policyRef={"name": "p"})
    world.define("Policy", "p", {"rules": [rule("asks", match={"types": ["HUMAN"]})]})
    ask = {"ref": "ask", "type": "HUMAN", "input": {"question": "Good?"}}
    world.step().completes("fetch", {}, proposal={"tasks": [ask]})
    told = "HUMAN (untrusted, from task fetch): question=Good?"
    assert any(told in line for line in view(world, "tree"))
    assert [told in line for line in view(world, "ledger") if "question" in line] == [True, True]
    [ref] = [ref for ref in world.state.tasks if ref != "fetch"]
    assert view(world, "explain", ref)[0].startswith(f"{ref}  HUMAN (untrusted, from task fetch)")


def test_a_question_of_a_branch_that_data_has_made_is_from_the_fork() -> None:
    fork = {
        "ref": "fork",
        "type": "FORK_JOIN_DYNAMIC",
        "dynamicForkTasksParam": "tasks",
        "dynamicForkTasksInputParamName": "inputs",
        "input": {
            "tasks": [{"taskReferenceName": "q", "name": "q", "type": "HUMAN"}],
            "inputs": {"q": {"question": "Good?"}},
        },
    }
    world = world_of(fork, {"ref": "j", "type": "JOIN"}, policyRef={"name": "p"})
    world.define("Policy", "p", {"rules": [rule("asks", match={"types": ["HUMAN"]})]}).step()
    assert any("q  HUMAN (untrusted, from task fork): question=Good?" in line for line in view(world, "tree"))


def test_a_question_in_a_workflow_that_an_agent_has_brought_is_from_what_has_brought_it() -> None:
    ask = {"ref": "q", "type": "HUMAN", "input": {"question": "Good?"}}
    both = {"rules": [*OPEN["rules"], rule("asks", match={"types": ["HUMAN"]})]}
    _, run, child = running(both, ask)
    told = [line.text for line in Story().tell_all(child.whole_events)]
    label = f"HUMAN (untrusted, from task ask__1__sub_workflow of {run.name})"
    assert f"scheduled {label}: question=Good?" in told


def test_a_question_that_the_author_has_written_is_as_it_was() -> None:
    world = world_of({"ref": "ask", "type": "HUMAN", "input": {"question": "Good?"}}).step()
    told = [line.text for line in Story().tell_all(world.events)]
    assert "scheduled HUMAN(question=Good?)" in told
    assert not any("untrusted" in line for verb in ("tree", "ledger") for line in view(world, verb))
    assert not any("untrusted" in line for line in view(world, "explain", "ask"))


@pytest.mark.parametrize("values", [{}, {"question": ""}, {"a": [1, {"b": None}]}, {"x" * 500: "\x07"}])
def test_whatever_is_asked_is_one_line(values: dict[str, Any]) -> None:
    told = question(values)
    assert len(told) <= 160
    assert told.isprintable()


def test_a_simulation_tells_it_so_too(tmp_path: Path) -> None:
    objects = [
        (
            "Workflow",
            "main",
            {"tasks": [{"ref": "fetch", "type": "look"}], "catalogs": ["tools"], "policyRef": {"name": "p"}},
        ),
        ("ToolCatalog", "tools", {"tools": [tool("look")]}),
        ("Policy", "p", {"rules": [rule("asks", match={"types": ["HUMAN"]})]}),
    ]
    (tmp_path / "flow.yaml").write_text(
        yaml.safe_dump_all(
            {"apiVersion": "openworld.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
            for kind, name, spec in objects
        )
    )
    ask = {"ref": "ask", "type": "HUMAN", "input": {"question": HOSTILE}}
    mock = {"tasks": {"fetch": [{"proposal": {"tasks": [ask]}}], "fetch__1__ask": [{"output": {"ok": True}}]}}
    (tmp_path / "mock.yaml").write_text(yaml.safe_dump(mock))
    done = invoke(
        FakeCluster(), "simulate", str(tmp_path / "flow.yaml"), "--mock", str(tmp_path / "mock.yaml")
    )
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert_harmless(lines)
    assert sum("HUMAN (untrusted, from task fetch): question=" in line for line in lines) == 2
