"""What `openworld lint` reads: files, folders, documents and YAML as kubectl reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from openworld.cli.app import cli
from openworld.cli.documents import Dialect, UnreadableError, documents, parse
from tests.support.linting import CATALOG, Folder, workflow


def test_what_stands_around_the_spec(folder: Folder) -> None:
    folder.write(
        a="apiVersion: openworld.dev/v1\nkind: Workflow\n",
        b="apiVersion: openworld.dev/v1alpha1\nkind: Workfow\n",
        c=workflow("{ref: a, type: look, input: {service: x}}", name="Bad_Name") + "spce: {}\n",
        d="apiVersion: openworld.dev/v1alpha1\nkind: Agent\nspec: []\n",
        e="apiVersion: apps/v1\nkind: Deployment\nnonsense: true\n",
    )
    assert folder.findings() == [
        "a.yaml:1: Workflow/: apiVersion: 'openworld.dev/v1' does not exist; write openworld.dev/v1alpha1",
        "b.yaml:2: Workfow/: kind: unknown kind 'Workfow'; did you mean 'Workflow'?",
        "c.yaml:4: Workflow/Bad_Name: metadata.name: 'Bad_Name' is no Kubernetes name: lower-case letters, "
        "digits, '-' and '.'",
        "c.yaml:9: Workflow/Bad_Name: spce: unknown field 'spce'; did you mean 'spec'?",
        "d.yaml:1: Agent/: metadata: is required: an object with a name",
        "d.yaml:3: Agent/: spec: must be an object",
    ]


def test_files_that_are_not_yaml_and_keys_given_twice(folder: Folder) -> None:
    folder.write(a="kind: [\n", b="a: 1\nb: 2\na: 3\n")
    findings = folder.findings()
    assert findings[0].startswith("a.yaml:2: is not YAML: ")
    assert findings[1] == "b.yaml:3: is not YAML: the key 'a' is given twice"


def test_defined_twice_is_a_warning(folder: Folder) -> None:
    folder.write(other=CATALOG)
    assert folder.findings() == [
        f"other.yaml:3: ToolCatalog/tools: metadata.name: warning: is defined already, at "
        f"{folder.path}/catalog.yaml:1"
    ]


def test_several_documents_of_one_file_have_their_own_lines(folder: Folder) -> None:
    folder.write(all=CATALOG.lstrip() + "---\n" + workflow("{ref: a, type: lok}", name="second"))
    assert "all.yaml:24: Workflow/second: spec.tasks[0].type: unknown tool 'lok'; did you mean 'look'?" in (
        folder.findings()
    )


def test_json_for_programs(folder: Folder) -> None:
    folder.write(w=workflow("{ref: a, type: lok}"))
    result = folder.lint("-o", "json")
    assert result.exit_code == 1
    assert json.loads(result.output) == {
        "files": 2,
        "objects": 2,
        "findings": [
            {
                "file": f"{folder.path}/w.yaml",
                "line": 8,
                "kind": "Workflow",
                "name": "main",
                "path": "spec.tasks[0].type",
                "severity": "error",
                "message": "unknown tool 'lok'; did you mean 'look'?",
            }
        ],
    }


def test_a_folder_is_read_without_hidden_files_and_helm_templates(folder: Folder) -> None:
    chart = folder.path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("name: x\n")
    (chart / "templates" / "a.yaml").write_text("{{ .Values.x }}: [")
    (folder.path / ".hidden.yaml").write_text("[")
    assert folder.lint().output == "2 files, 1 object: no problems\n"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["lint", str(tmp_path / "none.yaml")])
    assert (result.exit_code, result.stderr) == (1, f"Error: {tmp_path}/none.yaml does not exist\n")


def test_yaml_is_read_as_kubernetes_reads_it() -> None:
    assert parse("at: 2026-01-01\nanchor: &a {x: 1}\nmerged: {<<: *a, z: 2}\n") == {
        "at": "2026-01-01",
        "anchor": {"x": 1},
        "merged": {"x": 1, "z": 2},
    }
    with pytest.raises(UnreadableError, match="more than one document"):
        parse("a: 1\n---\nb: 2\n")
    [document] = documents("f", "a:\n- b: 1\n  c d: 2\n")
    assert [document.line(path) for path in ("", "a", 'a[0]["c d"]', "a[0].none", "a[7]")] == [1, 1, 3, 2, 1]
    assert document.at('a[0]["c d"]') == 2


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *((word, True) for word in ("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "TRUE")),
        *((word, False) for word in ("n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "FALSE")),
        *(
            (word, word)
            for word in ("tRue", "yEs", "1:30", "=", "_1", "1e", "0b102", "0o8", "1e400", "2026-01-01")
        ),
        *((word, None) for word in ("~", "null", "NULL", "")),
        ("017", 15),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0b11", -3),
        ("1_000", 1000),
        ("08", 8),
        ("1e3", 1000),
        ("1.0", 1),
        (".5", 0.5),
        ("1e21", 1e21),
        ("'y'", "y"),
        ("!!str no", "no"),
        ('!!bool "off"', False),
    ],
)
def test_an_unquoted_word_is_what_kubectl_reads(word: str, value: object) -> None:
    # Each pair is what sigs.k8s.io/yaml 1.6.0 makes of it.
    read = parse(f"a: {word}")["a"]
    assert (read, type(read)) == (value, type(value))


def test_keys_are_text_and_numbers_are_those_of_json() -> None:
    assert parse("{y: 1, 2: 2, 0x10: 3, 1.5: 4, false: 5}") == {
        "true": 1,
        "2": 2,
        "16": 3,
        "1.5": 4,
        "false": 5,
    }
    for text, why in (
        ("{y: 1, yes: 2}", "the key 'yes' is given twice"),
        ("{1: 1, '1': 2}", "the key '1' is given twice"),
        ("{~: 1}", "a key must be text"),
        ("a: .inf", ".inf is not a number that JSON has"),
        ("a: !!int x", "could not convert string to float"),
    ):
        with pytest.raises(UnreadableError, match=why):
            parse(text)


def test_an_agents_turn_is_read_as_the_agent_reads_it() -> None:
    assert parse("{a: y, b: 1:30}", Dialect.PYTHON) == {"a": "y", "b": 90}


def test_a_word_that_kubectl_reads_as_a_boolean_is_pointed_out(folder: Folder) -> None:
    schema = "  inputSchema: {type: object, properties: {x: {type: number}, y: {type: number}}}\n"
    task = "{ref: a, type: look, optional: yes, input: {service: 'y'}}"
    folder.write(w=workflow(task, head=schema + "  variables: {answer: N}\n"))
    assert folder.findings() == [
        "w.yaml:6: Workflow/main: spec.inputSchema.properties.y: the key y is read as true by Kubernetes "
        '(YAML 1.1): write "y"',
        "w.yaml:7: Workflow/main: spec.variables.answer: warning: N is read as false by Kubernetes (YAML 1.1): "
        'write false, or "N" if it is text',
        "w.yaml:10: Workflow/main: spec.tasks[0].optional: warning: yes is read as true by Kubernetes "
        '(YAML 1.1): write true, or "yes" if it is text',
    ]
    assert folder.lint().exit_code == 1


def test_the_input_of_a_task_is_judged_with_kubectls_reading(folder: Folder) -> None:
    folder.write(w=workflow("{ref: a, type: look, input: {service: y}}"))
    assert [line.partition(": spec.")[2] for line in folder.findings()] == [
        'tasks[0].input.service: warning: y is read as true by Kubernetes (YAML 1.1): write true, or "y" if it '
        "is text",
        "tasks[0].inputParameters.service: true is not of type \"string\" (inputSchema of the tool 'look')",
    ]


def test_words_of_other_peoples_files_are_not_our_business(folder: Folder) -> None:
    folder.write(ci="on: {push: {}}\njobs: {}\n", looped="a: &a [*a, y]\n")
    assert folder.findings() == []
    folder.write(x=CATALOG.replace("spec:", "x: &a [*a, y]\nspec:"))
    assert "x.yaml:4: ToolCatalog/tools: x[1]: warning: y is read as true" in "\n".join(folder.findings())
