"""Every object that a guide shows is one that the linter accepts: people paste them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from openworld.cli.linting import lint
from openworld.cli.linting.problem import Severity

REPOSITORY = Path(__file__).parents[2]
PAGES = (*sorted((REPOSITORY / "docs").rglob("*.md")), REPOSITORY / "README.md")
_BLOCK = re.compile(r"^    apiVersion: .*\n(?:(?:    .*)?\n)*", re.MULTILINE)


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
