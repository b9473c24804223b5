"""`openworld import`: files in, objects out, and on standard error what was lost."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from openworld.cli.app import cli
from openworld.cli.documents import documents, parse
from openworld.cli.linting import lint
from openworld.cli.verbs.import_ import manifest

IMAGE = "registry.example/worker:1"
EFFECT = (
    "note: every tool is written as effect: Write, since a task definition does not say; review them, as policies "
    "match on it"
)
IDEMPOTENT = (
    "note: every tool is written as idempotent: true, since Conductor delivers a task at least once; set it to false "
    "where running twice does harm"
)
NOTES = [EFFECT, IDEMPOTENT]


def simple(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "taskReferenceName": name, "type": "SIMPLE"} | fields


def workflow(*tasks: dict[str, Any], name: str = "orders") -> dict[str, Any]:
    return {"name": name, "version": 1, "schemaVersion": 2, "tasks": list(tasks)}


class Folder:
    """Files to import, and what came of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, **files: Any) -> Folder:
        for name, value in files.items():
            (self.path / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value))
        return self

    def run(self, *arguments: str) -> Result:
        """Import files by their names; what begins with - is an option."""
        named = [str(self.path / word) if word.endswith(".json") else word for word in arguments]
        result = CliRunner().invoke(cli, ["import", "--image", IMAGE, *named])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    def told(self, result: Result) -> list[str]:
        """The lines of standard error without the folder's name."""
        return [line.replace(f"{self.path}/", "") for line in result.stderr.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path).write(
        orders=workflow(simple("pack", taskToDomain={"*": "eu"})), tasks=[{"name": "pack"}]
    )


def objects(text: str) -> list[tuple[str, str]]:
    """Kind and name of each object."""
    return [(found.data["kind"], found.data["metadata"]["name"]) for found in documents("", text)]


def test_files_are_one_import_and_what_is_lost_is_told_by_file_and_path(folder: Folder) -> None:
    result = folder.run("orders.json", "tasks.json")
    assert result.exit_code == 0
    assert objects(result.stdout) == [("ToolCatalog", "imported"), ("Workflow", "orders")]
    assert IMAGE in result.stdout
    assert folder.told(result) == [
        "orders.json: tasks[0].taskToDomain: task domains have no counterpart: a tool's run says where it runs",
        *NOTES,
        "1 workflow, 1 tool: 1 loss, 2 notes",
    ]


def test_what_was_printed_passes_the_linter(folder: Folder) -> None:
    result = folder.run("orders.json", "tasks.json")
    (folder.path / "made.yaml").write_text(result.stdout)
    found = lint([folder.path / "made.yaml"], strict=True)
    assert (found.objects, found.problems) == (2, ())


def test_severities_and_paths_within_lists_and_exports(folder: Folder) -> None:
    kafka = {"name": "k", "taskReferenceName": "k", "type": "KAFKA_PUBLISH"}
    folder.write(
        all={"workflowDefs": [workflow(kafka)], "taskDefs": [{"name": "PACK"}], "eventHandlers": [1]},
        list=[{"name": "x"}, workflow(simple("missing"), name="b")],
    )
    assert folder.told(folder.run("list.json", "all.json")) == [
        "list.json: [1].tasks[0].name: error: no task definition 'missing' is in the import: the workflow is refused "
        "until a catalog has the tool 'missing'",
        "all.json: eventHandlers: is not imported: neither workflow nor task definitions",
        "all.json: workflowDefs[0].tasks[0].type: error: there is no task type 'KAFKA_PUBLISH' here: the workflow "
        "cannot run until this task is replaced",
        "all.json: taskDefs[0].name: note: 'PACK' is written as 'pack'; data that names it, as in dynamic forks, "
        "must follow",
        *NOTES,
        "2 workflows, 2 tools: 2 errors, 1 loss, 3 notes",
    ]


def test_without_an_image_the_placeholder_is_told(folder: Folder) -> None:
    result = CliRunner().invoke(cli, ["import", str(folder.path / "tasks.json")])
    assert "image: example.invalid/worker:replace-me\n" in result.stdout
    assert result.stderr.splitlines()[-2] == (
        "note: the image of the tools is example.invalid/worker:replace-me; give yours with --image"
    )


def test_the_catalog_has_the_name_that_is_given(folder: Folder) -> None:
    result = folder.run("orders.json", "tasks.json", "--catalog", "warehouse")
    assert objects(result.stdout)[0] == ("ToolCatalog", "warehouse")
    assert parse(result.stdout.split("---\n")[1])["spec"]["catalogs"] == ["warehouse"]
    refused = folder.run("orders.json", "--catalog", "No Name")
    assert refused.exit_code == 2
    assert "'No Name' is no name of an object" in refused.stderr


def test_strict_fails_for_a_loss_and_an_error_and_not_for_a_note(folder: Folder) -> None:
    folder.write(fine=workflow(simple("pack")), wrong=workflow(simple("other")))
    assert folder.run("orders.json", "tasks.json", "--strict").exit_code == 1
    assert folder.run("wrong.json", "tasks.json", "--strict").exit_code == 1
    assert folder.run("fine.json", "tasks.json", "--strict").exit_code == 0
    assert objects(folder.run("orders.json", "tasks.json", "--strict").stdout) == [
        ("ToolCatalog", "imported"),
        ("Workflow", "orders"),
    ]


def test_a_folder_gets_a_file_for_each_object_and_nothing_is_overwritten(folder: Folder) -> None:
    made = folder.path / "made" / "here"
    result = folder.run("orders.json", "tasks.json", "-o", str(made))
    names = ["toolcatalog-imported.yaml", "workflow-orders.yaml"]
    assert result.stdout.splitlines() == [str(made / name) for name in names]
    assert sorted(file.name for file in made.iterdir()) == names
    assert objects((made / names[1]).read_text()) == [("Workflow", "orders")]
    (made / names[0]).unlink()
    again = folder.run("orders.json", "tasks.json", "-o", str(made))
    assert again.exit_code == 1
    assert (
        again.stderr == f"Error: {made / names[1]} exists already; choose another folder, or move it away\n"
    )
    assert [file.name for file in made.iterdir()] == [names[1]]


def test_standard_input_is_a_file() -> None:
    text = json.dumps(workflow({"name": "n", "taskReferenceName": "n", "type": "NOOP"}))
    result = CliRunner().invoke(cli, ["import", "-"], input=text)
    assert (result.exit_code, objects(result.stdout)) == (0, [("Workflow", "orders")])
    assert result.stderr == "1 workflow, 0 tools: nothing was lost\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "x.json: is not JSON: Expecting property name"),
        ("NaN", "x.json: is not JSON: NaN is not a number that JSON has"),
        ("\ufeff7", "x.json: is neither a workflow definition"),
        ('{"name": "h", "event": "e"}', "x.json: is neither a workflow definition"),
        ('[{"name": "t"}, 3]', "x.json: [1]: is neither a workflow definition"),
        ('{"taskDefs": [3]}', "x.json: taskDefs[0]: must be a task definition, an object"),
        ('[{"tasks": []}]', "x.json: [0].name: a workflow definition needs a name"),
        ("[" * 200_000, "x.json: is n"),
    ],
)
def test_what_is_no_definition_ends_with_exit_code_2(folder: Folder, content: str, message: str) -> None:
    result = folder.write(x=content).run("orders.json", "x.json")
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = folder.told(result)
    assert line.startswith(f"Error: {message}")


def test_a_file_that_is_not_there_ends_with_exit_code_2(folder: Folder) -> None:
    assert folder.run("none.json").exit_code == 2


def test_words_that_kubectl_reads_otherwise_are_quoted() -> None:
    value = {
        "y": "n",
        "no": "1e3",
        "x": ["0o7", "~", "", "on", "<<", "1_0"],
        "script": "var a = 1;\na + 1;\n",
    }
    text = manifest(value)
    assert parse(text) == value
    assert text.startswith("'y': 'n'\n'no': '1e3'\n")
    assert text.endswith("script: |\n  var a = 1;\n  a + 1;\n")


SHARED = {"a": 1}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12)
    | st.text(alphabet="\n\t\r ab#:-'\"|\x1b\u2028\ufeffyn01.e_", max_size=16),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@settings(deadline=None)
@given(value=JSON)
def test_what_is_written_is_read_as_the_same_value(value: Any) -> None:
    assert parse(manifest({"v": value, "w": [value]})) == {"v": value, "w": [value]}


def test_what_occurs_twice_is_written_twice() -> None:
    assert manifest([SHARED, SHARED]) == "- a: 1\n- a: 1\n"


def test_the_example_of_the_guide_says_what_the_command_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs/guides/import-from-conductor.md").read_text()
    blocks = [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n)+", page, re.MULTILINE)]
    shipping, tasks, told = (
        next(block for block in blocks if block.startswith(beginning))
        for beginning in ("{\n", "[\n", "shipping.json: ")
    )
    monkeypatch.chdir(tmp_path)
    Path("shipping.json").write_text(shipping)
    Path("tasks.json").write_text(tasks)
    command = next(part for part in page.split("`") if part.startswith("openworld import shipping.json"))
    result = CliRunner().invoke(cli, command.split()[1:])
    assert (result.exit_code, result.stderr) == (0, told)
