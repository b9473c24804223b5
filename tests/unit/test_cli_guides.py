"""Every object that a guide shows is one that the linter accepts: people paste them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from openworld.api.workflow import TaskType, Workflow
from openworld.cli.app import VERBS, cli
from openworld.cli.linting import lint
from openworld.cli.linting.problem import Severity
from openworld.cli.verbs.signal import _TYPES
from openworld.language.checks import check_workflow
from tests.support.guides import blocks
from tests.support.world import World
from tests.unit.cli_double import execution

REPOSITORY = Path(__file__).parents[2]
PAGES = (*sorted((REPOSITORY / "docs").rglob("*.md")), REPOSITORY / "README.md")
_BLOCK = re.compile(r"^    apiVersion: .*\n(?:(?:    .*)?\n)*", re.MULTILINE)


def block(page: Path, start: str) -> str:
    """The block of code of a page that begins so."""
    text = page.read_text()
    found = re.match(r"(?:(?:    .*)?\n)+", text[text.index(f"    {start}") :])
    assert found is not None
    return re.sub(r"^    ", "", found.group(), flags=re.MULTILINE)


def objects(page: Path) -> list[str]:
    """The YAML blocks of a page, without what follows them in the same block of code."""
    blocks = [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in _BLOCK.findall(page.read_text())]
    return [re.split(r"\n\n(?=kubectl|openworld)|^EOF$", block, flags=re.MULTILINE)[0] for block in blocks]


def test_there_are_objects_to_look_at() -> None:
    assert sum(len(objects(page)) for page in PAGES) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_the_objects_of_a_page_have_no_mistake(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(objects(page)):
        (tmp_path / f"{number}.yaml").write_text(block)
    found = lint([tmp_path])
    assert [problem.text() for problem in found.problems if problem.severity is Severity.ERROR] == []


def test_the_tasks_that_the_guide_shows_by_themselves_have_no_mistake() -> None:
    page = (REPOSITORY / "docs/guides/write-a-workflow.md").read_text()
    blocks = re.findall(r"^    - ref: .*\n(?:    .*\n)*", page, re.MULTILINE)
    kinds = set()
    for text in blocks:
        tasks = yaml.safe_load(text)
        kinds |= {task["type"] for task in tasks}
        assert check_workflow(Workflow.model_validate({"tasks": tasks})) == []
    assert {"HTTP", "EVENT", "DO_WHILE", "HUMAN"} <= kinds


def test_what_a_newcomer_pastes_needs_nothing_else(tmp_path: Path) -> None:
    page = REPOSITORY / "docs/guides/write-a-workflow.md"
    for number, block in enumerate(objects(page)):
        (tmp_path / f"{number}.yaml").write_text(block)
    found = lint([tmp_path], strict=True)
    assert [problem.text() for problem in found.problems] == []
    assert found.objects == 4


@pytest.mark.parametrize(
    ("tool", "output"), [("say", '{"text": "Hello, Ada"}'), ("count_words", '{"words": 2}')]
)
def test_the_tools_of_the_catalog_to_paste_do_what_they_say(tool: str, output: str, tmp_path: Path) -> None:
    texts = objects(REPOSITORY / "docs/guides/write-a-workflow.md")
    documents = [document for text in texts for document in yaml.safe_load_all(text)]
    [catalog] = [document for document in documents if document["kind"] == "ToolCatalog"]
    [found] = [entry for entry in catalog["spec"]["tools"] if entry["name"] == tool]
    _, option, script = found["run"]["container"]["command"]
    task, message = tmp_path / "task.json", tmp_path / "message"
    task.write_text('{"input": {"text": "Hello, Ada"}}')
    script = script.replace("/dev/termination-log", str(message))
    subprocess.run(
        [sys.executable, option, script],
        env={"OPENWORLD_TASK_FILE": str(task)},
        check=True,
        capture_output=True,
    )
    assert message.read_text() == output


def note(folder: Path) -> Path:
    """What the guide to agents has to paste, with what it takes from the guide to workflows."""
    folder.mkdir()
    for page in ("write-a-workflow", "write-an-agent"):
        for number, text in enumerate(objects(REPOSITORY / f"docs/guides/{page}.md")):
            (folder / f"{page}-{number}.yaml").write_text(text)
    return folder


def test_the_agent_to_paste_needs_nothing_else_than_the_catalog_to_paste(tmp_path: Path) -> None:
    found = lint([note(tmp_path / "note")], strict=True)
    assert [problem.text() for problem in found.problems] == []
    assert found.objects == 7


def test_the_agent_to_paste_runs_in_simulation_as_its_guide_says(tmp_path: Path) -> None:
    page = REPOSITORY / "docs/guides/write-an-agent.md"
    note(tmp_path / "note")
    (tmp_path / "mock.yaml").write_text(block(page, "tasks:\n      say:").partition("\n\n")[0])
    [command] = re.findall(r"^    openworld (simulate .*)", page.read_text(), re.MULTILINE)
    assert (
        command == """simulate note --workflow write-note --input '{"topic": "ledgers"}' --mock mock.yaml"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "openworld.cli", *shlex.split(command)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "write__2__ask" in done.stdout


_OFFLINE = re.compile(
    r"(?:^    |`)(openworld (?:simulate|policy test) [^`\n]*(?:\n[^`\n]+)?)(?=`|$)", re.MULTILINE
)
#: A word in capitals stands for something of the reader's.
_PLACEHOLDER = re.compile(r"\b[A-Z]{4,}\b|…")


def offline_commands() -> list[tuple[str, str]]:
    """Page and command of each `simulate` and `policy test` that the documentation prints, ready to paste."""
    pages = [*PAGES, *sorted((REPOSITORY / "examples").rglob("README.md"))]
    found = [
        (str(page.relative_to(REPOSITORY)), " ".join(command.split()))
        for page in pages
        for command in _OFFLINE.findall(page.read_text())
    ]
    return [(page, command) for page, command in found if not _PLACEHOLDER.search(command)]


def recorded_refunds(shop: str) -> str:
    """A run by the policy and the catalog of the guide to tests, as `kubectl get execution -o yaml` prints it."""
    agent = {
        "model": {"provider": "scripted", "script": {"configMapName": "s"}},
        "catalogs": ["refund-tools"],
    }
    tasks = [{"ref": "pay", "type": "AGENT", "input": {"agent": "clerk"}}]
    world = World({"tasks": tasks, "catalogs": ["refund-tools"], "policyRef": {"name": "refunds"}})
    for document in yaml.safe_load_all(shop):
        world.define(document["kind"], document["metadata"]["name"], document["spec"])
    world.define("Agent", "clerk", agent).step()
    refunds = [{"type": "refund", "ref": f"r{amount}", "input": {"amount": amount}} for amount in (50, 51)]
    world.completes("pay", proposal={"tasks": refunds})
    return yaml.safe_dump(execution(world))


def workplace(folder: Path, page: str) -> None:
    """The files that the reader of a page has by then, and the examples."""
    (folder / "examples").symlink_to(REPOSITORY / "examples")
    if page.endswith("write-an-agent.md"):
        note(folder / "note")
        mock = block(REPOSITORY / page, "tasks:\n      say:").partition("\n\n")[0]
        (folder / "mock.yaml").write_text(mock)
        return
    refund, mock = blocks(REPOSITORY / "docs/guides/simulate.md")[:2]
    shop, cases = blocks(REPOSITORY / "docs/guides/test-a-policy.md")[:2]
    texts = {"refund.yaml": refund, "mock.yaml": mock, "shop.yaml": shop, "cases.yaml": cases}
    for name, text in {**texts, "run.yaml": recorded_refunds(shop)}.items():
        (folder / name).write_text(text)


@pytest.mark.parametrize(("page", "command"), offline_commands())
def test_a_command_that_needs_no_cluster_works_as_it_is_printed(
    page: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace(tmp_path, page)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output


def test_what_a_simulation_prints_is_a_record_to_test_policies_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = "docs/guides/test-a-policy.md"
    assert (
        "`openworld simulate FILE … -o json > run.json` makes such a record"
        in (REPOSITORY / page).read_text()
    )
    workplace(tmp_path, page)
    monkeypatch.chdir(tmp_path)
    simulated = [
        "simulate",
        "refund.yaml",
        "--input",
        '{"order": "A-1"}',
        "--mock",
        "mock.yaml",
        "-o",
        "json",
    ]
    (tmp_path / "run.json").write_text(CliRunner().invoke(cli, simulated).stdout)
    done = CliRunner().invoke(cli, ["policy", "test", "refund.yaml", "--recorded", "run.json"])
    assert done.output.splitlines()[-1] == "3 authored tasks, 3 verdicts: all as expected"


def test_there_are_commands_to_paste_on_the_pages_that_are_about_them() -> None:
    pages = [page for page, _ in offline_commands()]
    assert {"docs/guides/simulate.md", "docs/guides/test-a-policy.md", "docs/guides/write-an-agent.md"} <= {
        *pages
    }
    assert pages.count("docs/guides/simulate.md") == pages.count("docs/guides/test-a-policy.md") == 2


def test_a_tool_is_tried_by_hand_as_the_guide_says(tmp_path: Path) -> None:
    page = REPOSITORY / "docs/guides/write-a-worker.md"
    (tmp_path / "my_tools.py").write_text(block(page, "# my_tools.py"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", block(page, """echo '{"input": {"item": "A-1"}}'""")],
        cwd=tmp_path,
        env={"PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.stdout == 'exit code 0\n{"item":"A-1","left":7}'
    assert '`exit code 0` and `{"item":"A-1","left":7}`' in page.read_text()
    assert "asking the warehouse main" in done.stderr


def identities(texts: list[str]) -> set[tuple[str, str]]:
    """Kind and name of each object."""
    documents = [document for text in texts for document in yaml.safe_load_all(text) if document]
    found = {(each["kind"], each["metadata"].get("name", "")) for each in documents if "metadata" in each}
    return {(kind, name) for kind, name in found if name}


def test_what_the_guides_have_to_paste_overwrites_nothing_of_the_demo() -> None:
    files = sorted((REPOSITORY / "examples/oncall").glob("*.yaml"))
    demo = identities([file.read_text() for file in files])
    assert ("Agent", "oncall") in demo
    for page in sorted((REPOSITORY / "docs/guides").glob("*.md")):
        assert identities(objects(page)) & demo == set(), page.name


def test_the_reference_names_every_verb() -> None:
    text = (REPOSITORY / "docs/reference/cli.md").read_text()
    assert [verb for verb in VERBS if f"openworld {verb}" not in text] == []


def test_the_guide_and_the_readme_name_every_task_type() -> None:
    guide = (REPOSITORY / "docs/guides/write-a-workflow.md").read_text()
    assert [kind for kind in TaskType if f"\n| {kind.value} |" not in guide] == []
    readme = (REPOSITORY / "README.md").read_text()
    assert [kind for kind in TaskType if not re.search(rf"\b{kind.value}\b", readme)] == []


def test_the_reference_names_every_type_of_signal() -> None:
    text = (REPOSITORY / "docs/reference/cli.md").read_text()
    assert [kind for kind in _TYPES if f"`{kind}`" not in text] == []
