"""`openworld simulate`: what it prints, what it exits with, and what its mock file may say."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner, Result

from openworld.cli.app import cli
from tests.support.guides import blocks
from tests.support.pinned import Tools, exported, offered
from tests.support.world import tool

REPOSITORY = Path(__file__).parents[2]
GUIDE = REPOSITORY / "docs/guides/simulate.md"


def simulate(folder: Path, *arguments: str, mock: dict[str, Any] | None = None) -> Result:
    if mock is not None:
        (folder / "mock.yml").write_text(yaml.safe_dump(mock))
        arguments = (*arguments, "--mock", str(folder / "mock.yml"))
    return CliRunner().invoke(cli, ["simulate", str(folder / "flow.yaml"), *arguments])


def write(folder: Path, *tasks: dict[str, Any], **spec: Any) -> Path:
    """A workflow with these tasks, and its catalog."""
    objects = [
        ("Workflow", "flow", {"tasks": list(tasks), "catalogs": ["tools"], **spec}),
        ("ToolCatalog", "tools", {"tools": [tool("look"), tool("fix", "Write", timeoutSeconds=30)]}),
    ]
    texts = [
        yaml.safe_dump(
            {"apiVersion": "openworld.dev/v1alpha1", "kind": k, "metadata": {"name": n}, "spec": s}
        )
        for k, n, s in objects
    ]
    (folder / "flow.yaml").write_text("---\n".join(texts))
    return folder


def test_the_guides_example_is_what_happens(tmp_path: Path) -> None:
    objects, mock, command, story = blocks(GUIDE)[:4]
    (tmp_path / "refund.yaml").write_text(objects)
    (tmp_path / "mock.yaml").write_text(mock)
    assert command == 'openworld simulate refund.yaml --input \'{"order": "A-1"}\' --mock mock.yaml\n'
    files = [str(tmp_path / "refund.yaml"), "--mock", str(tmp_path / "mock.yaml")]
    result = CliRunner().invoke(cli, ["simulate", *files, "--input", '{"order": "A-1"}'])
    assert result.exit_code == 0, result.output
    assert [line.strip() for line in result.output.splitlines()] == [
        line.strip() for line in story.splitlines()
    ]


def test_the_person_who_says_no_in_the_guide_ends_the_run(tmp_path: Path) -> None:
    objects, mock = blocks(GUIDE)[:2]
    (tmp_path / "flow.yaml").write_text(objects)
    script = yaml.safe_load(mock) | yaml.safe_load(blocks(GUIDE)[5])
    del script["approvals"]
    result = simulate(tmp_path, "--input", '{"order": "A-1"}', mock=script)
    assert result.exit_code == 1
    assert "ApprovalRefused by bob@example.com: not twice" in result.output


def test_a_failed_run_is_exit_code_1(tmp_path: Path) -> None:
    folder = write(tmp_path, {"ref": "a", "type": "look"})
    result = simulate(folder, mock={"tasks": {"a": [{"terminal": "no such thing"}]}})
    assert result.exit_code == 1
    assert "failed: no such thing" in result.output


def test_a_ref_counts_before_its_tool_and_the_last_entry_repeats(tmp_path: Path) -> None:
    folder = write(tmp_path, {"ref": "a", "type": "look"}, {"ref": "b", "type": "look", "retryCount": 3})
    tasks = {"a": [{"output": {"n": 1}}], "look": [{"fail": "x"}, {"fail": "y"}, {"output": {"n": 2}}]}
    result = simulate(folder, "-o", "json", mock={"tasks": tasks})
    shown = json.loads(result.output)
    assert (shown["phase"], shown["output"]) == ("Completed", {"n": 2})
    ended = [e for e in shown["executions"][0]["events"] if e["type"] in ("TaskFailed", "TaskCompleted")]
    assert [(e["ref"], e.get("reason")) for e in ended] == [("a", None), ("b", "x"), ("b", "y"), ("b", None)]


def test_the_iterations_of_a_loop_take_the_entries_of_the_plain_ref_in_order(tmp_path: Path) -> None:
    loop = {"ref": "l", "type": "DO_WHILE", "items": [1, 2], "loopOver": [{"ref": "a", "type": "look"}]}
    folder = write(tmp_path, loop, outputParameters={"one": "${a__1.output.n}", "two": "${a.output.n}"})
    result = simulate(
        folder, "-o", "json", mock={"tasks": {"a": [{"output": {"n": 1}}, {"output": {"n": 2}}]}}
    )
    assert json.loads(result.output)["output"] == {"one": 1, "two": 2}


def test_an_attempt_that_takes_too_long_times_out(tmp_path: Path) -> None:
    folder = write(tmp_path, {"ref": "a", "type": "fix", "retryCount": 0})
    result = simulate(folder, mock={"tasks": {"a": [{"seconds": 31}]}})
    assert result.exit_code == 1
    assert "timed out" in result.output


def test_people_answer_and_complete_what_waits(tmp_path: Path) -> None:
    folder = write(tmp_path, {"ref": "ask", "type": "HUMAN"}, {"ref": "go", "type": "WAIT"})
    mock = {
        "tasks": {"ask": [{"output": {"answer": "yes"}}]},
        "signals": [{"after": "go", "type": "Complete", "payload": {"from": "outside"}}],
    }
    result = simulate(folder, "-o", "json", mock=mock)
    assert json.loads(result.output)["output"] == {"from": "outside"}


def test_a_run_that_waits_for_nobody_says_for_what(tmp_path: Path) -> None:
    result = simulate(write(tmp_path, {"ref": "ask", "type": "HUMAN"}))
    assert result.exit_code == 1
    assert "Error: the run does not end: it waits for person: ask" in result.output


def test_a_task_without_an_outcome_is_named(tmp_path: Path) -> None:
    result = simulate(write(tmp_path, {"ref": "a", "type": "look"}))
    assert result.exit_code == 1
    assert "task a runs the tool look, and the script has no outcome for either" in result.output


def test_a_misspelt_key_of_the_mock_file_is_an_error_with_its_place(tmp_path: Path) -> None:
    folder = write(tmp_path, {"ref": "a", "type": "look"})
    result = simulate(folder, mock={"tasks": {"a": [{"outptu": {}}]}})
    assert result.exit_code == 1
    assert "tasks.a[0].outptu: unknown field 'outptu'; did you mean 'output'?" in result.output


@pytest.mark.parametrize(
    "entry", [{"fail": "a", "terminal": "b"}, {"fail": "a", "proposal": {"tasks": []}}, {"seconds": -1}]
)
def test_an_entry_that_means_nothing_is_refused(entry: dict[str, Any], tmp_path: Path) -> None:
    folder = write(tmp_path, {"ref": "a", "type": "look"})
    assert simulate(folder, mock={"tasks": {"a": [entry]}}).exit_code == 1


def test_a_definition_with_a_mistake_is_refused_with_file_and_line(tmp_path: Path) -> None:
    result = simulate(write(tmp_path, {"ref": "a", "type": "look"}, {"ref": "a", "type": "look"}))
    assert result.exit_code == 1
    assert "flow.yaml:1: Workflow 'flow' is not valid: spec.tasks[1]" in result.output


def test_the_input_may_come_from_a_file(tmp_path: Path) -> None:
    folder = write(
        tmp_path, {"ref": "nothing", "type": "NOOP"}, outputParameters={"x": "${workflow.input.x}"}
    )
    (tmp_path / "input.yaml").write_text("x: [1, y]\n")
    result = simulate(folder, "-o", "json", "--input", f"@{tmp_path / 'input.yaml'}")
    assert json.loads(result.output)["output"] == {"x": [1, "y"]}


def test_the_junit_report_has_a_case_for_each_task_and_one_for_the_run(tmp_path: Path) -> None:
    folder = write(tmp_path, {"ref": "a", "type": "look"}, {"ref": "b", "type": "look"})
    mock = {"tasks": {"a": [{}], "b": [{"terminal": "broken \x07"}]}}
    result = simulate(folder, "--junit", str(tmp_path / "out.xml"), mock=mock)
    assert result.exit_code == 1
    [suite] = ElementTree.fromstring((tmp_path / "out.xml").read_text())  # noqa: S314  (our own report)
    failures = {case.get("name"): case.find("failure") is not None for case in suite}
    assert failures == {"a": False, "b": True, "flow": True}
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")


def test_a_failure_that_the_run_tolerates_fails_no_case(tmp_path: Path) -> None:
    folder = write(tmp_path, {"ref": "a", "type": "look", "optional": True})
    mock = {"tasks": {"a": [{"terminal": "broken"}]}}
    assert simulate(folder, "--junit", str(tmp_path / "out.xml"), mock=mock).exit_code == 0
    assert "<failure" not in (tmp_path / "out.xml").read_text()


def test_a_recorded_message_of_a_model_is_not_taken_for_a_proposal(tmp_path: Path) -> None:
    write(tmp_path, {"ref": "a", "type": "AGENT", "input": {"agent": "oncall"}})
    model = {"provider": "scripted", "script": {"configMapName": "script"}}
    objects = [
        {
            "apiVersion": "openworld.dev/v1alpha1",
            "kind": "Agent",
            "metadata": {"name": "oncall"},
            "spec": {"model": model, "catalogs": ["tools"]},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "script"},
            "data": {"1.yaml": "{dialect: openai, message: {content: done}}"},
        },
    ]
    with (tmp_path / "flow.yaml").open("a") as file:
        file.write("---\n" + yaml.safe_dump_all(objects))
    result = simulate(tmp_path)
    assert result.exit_code != 0
    assert (
        "ConfigMap script: holds a recorded message of a model, which the agent's image reads"
        in result.output
    )
    mocked = simulate(tmp_path, mock={"tasks": {"oncall": [{"proposal": {"output": {"cause": "x"}}}]}})
    assert mocked.exit_code == 0, mocked.output


def test_the_oncall_example_runs_as_its_guide_says(monkeypatch: pytest.MonkeyPatch) -> None:
    command = blocks(GUIDE)[4]
    assert command.strip() in (REPOSITORY / "examples/oncall/README.md").read_text()
    assert command.strip() in (REPOSITORY / "examples/oncall/mock.yaml").read_text()
    monkeypatch.chdir(REPOSITORY)
    result = CliRunner().invoke(cli, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    assert "bob@example.com       approved rollback (triage__2__rollback)" in result.output
    assert "triage__2__delete_deployment denied: rule no-deletes" in result.output
    assert "incident: INC-1" in result.output


def test_the_environment_of_workflows_is_given_by_name(tmp_path: Path) -> None:
    write(tmp_path, {"ref": "say", "type": "NOOP"}, outputParameters={"stage": "${workflow.env.STAGE}"})
    done = simulate(tmp_path, "--env", "STAGE=test=1", "-o", "json")
    assert json.loads(done.stdout)["output"] == {"stage": "test=1"}
    wrong = simulate(tmp_path, "--env", "STAGE")
    assert (wrong.exit_code, "'STAGE' is not NAME=VALUE" in wrong.stderr) == (2, True)


def test_a_mocked_person_answers_for_a_group(tmp_path: Path) -> None:
    write(tmp_path, {"ref": "ask", "type": "HUMAN", "human": {"groups": ["leads"]}})
    signal = {"after": "ask", "type": "Complete", "group": "leads", "payload": {"ok": True}}
    assert simulate(tmp_path, mock={"signals": [signal]}).exit_code == 0
    refused = simulate(tmp_path, mock={"signals": [{**signal, "group": "interns"}]})
    assert refused.exit_code != 0


def test_a_policy_that_is_labelled_mandatory_binds_the_simulated_run(tmp_path: Path) -> None:
    write(tmp_path, {"ref": "fix", "type": "fix"})
    rules = [{"name": "no", "decision": "Deny", "match": {"tools": ["fix"]}, "message": "frozen"}]
    guard = {
        "apiVersion": "openworld.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "guard", "labels": {"openworld.dev/mandatory": ""}},
        "spec": {"scope": "All", "rules": rules},
    }
    flow = tmp_path / "flow.yaml"
    flow.write_text(flow.read_text() + "\n---\n" + yaml.safe_dump(guard))
    done = simulate(tmp_path)
    assert done.exit_code != 0
    assert "Denied (policy, no): frozen" in done.output


# Tools of MCP servers, as far as the catalog's file has the operator's status.


SERVED: dict[str, Any] = {
    "tools": [tool("look")],
    "mcpServers": [
        {"name": "docs", "url": "https://docs.example/mcp", "prefix": "d_", "effects": {"default": "Read"}}
    ],
}


def write_served(folder: Path, catalog: dict[str, Any], *tasks: dict[str, Any]) -> Path:
    write(folder, *tasks)
    first = next(yaml.safe_load_all((folder / "flow.yaml").read_text()))
    (folder / "flow.yaml").write_text(yaml.safe_dump_all([first, catalog]))
    return folder


def catalog_after(*lists: Tools) -> dict[str, Any]:
    return exported("tools", SERVED, {"docs": list(lists)})


SEARCH = {"ref": "a", "type": "d_search", "input": {"q": "x"}}
ANSWER = {
    "tasks": {"d_search": [{"output": {"content": [{"type": "text", "text": "found"}], "isError": False}}]}
}


def test_what_is_pinned_of_an_mcp_server_runs_as_it_is_pinned(tmp_path: Path) -> None:
    folder = write_served(tmp_path, catalog_after([offered("search")]), SEARCH)
    result = simulate(folder, "-o", "json", mock=ANSWER)
    assert (result.exit_code, result.stderr) == (0, "")
    shown = json.loads(result.stdout)
    assert shown["output"]["content"][0]["text"] == "found"
    wrong = write_served(tmp_path, catalog_after([offered("search")]), SEARCH | {"input": {"p": 1}})
    assert "does not fit its schema: (root): " in simulate(wrong, mock=ANSWER).output


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        ([offered("search", description="Other.")], "offers it otherwise than it was pinned (description)"),
        ([], "does not offer it any more, or not so that it could be used"),
    ],
)
def test_what_has_drifted_is_denied_with_the_reason_of_the_operator(
    later: Tools, reason: str, tmp_path: Path
) -> None:
    catalog = catalog_after([offered("search")], later)
    result = simulate(write_served(tmp_path, catalog, SEARCH), mock=ANSWER)
    assert result.exit_code == 1
    told = " ".join(result.output.split())
    assert f"tool 'd_search' has drifted: the MCP server 'docs' {reason}" in told
    assert catalog["status"]["drifted"][0]["accept"] in told


def test_without_a_status_the_hint_says_where_to_get_it(tmp_path: Path) -> None:
    catalog = catalog_after()
    del catalog["status"]
    result = simulate(write_served(tmp_path, catalog, SEARCH), "-o", "json", mock=ANSWER)
    assert result.exit_code == 1
    assert "there is no tool 'd_search'" in json.loads(result.stdout)["reason"]
    assert result.stderr == (
        "note: ToolCatalog 'tools' names MCP servers (docs) whose tools its file does not say, so they are not "
        "known here; a file with the operator's status says them: kubectl get otc tools -o yaml\n"
    )


def test_a_server_that_was_never_asked_is_named_and_the_others_are_known(tmp_path: Path) -> None:
    spec = SERVED | {
        "mcpServers": [*SERVED["mcpServers"], {"name": "wiki", "url": "https://wiki.example/mcp"}]
    }
    catalog = exported("tools", spec, {"docs": [[offered("search")]]})
    result = simulate(write_served(tmp_path, catalog, SEARCH), mock=ANSWER)
    assert result.exit_code == 0
    assert "names MCP servers (wiki) whose tools its file does not say" in result.stderr


def test_a_status_that_no_operator_has_written_ends_it_with_the_place(tmp_path: Path) -> None:
    catalog = catalog_after([offered("search")])
    catalog["status"]["mcpServers"][0]["tools"][0]["digset"] = "x"
    result = simulate(write_served(tmp_path, catalog, SEARCH), mock=ANSWER)
    assert result.exit_code == 1
    line = (tmp_path / "flow.yaml").read_text().splitlines().index("      digset: x") + 1
    assert f"flow.yaml:{line}: status.mcpServers[0].tools[0].digset: unknown field 'digset'" in result.output
