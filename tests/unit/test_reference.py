"""The generated reference pages: what the code says, all of it, and nothing that it does not have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import openworld
from openworld.api import TaskType, crd
from openworld.engine import views
from openworld.engine.facts import Ending
from openworld.governance.verdict import Check
from openworld.language.checks import WORKFLOW_KEYS
from openworld.ledger import EventType
from openworld.simulation import Namespace
from tests.conformance.case import CASES, read_cases
from tests.support import reference
from tests.support.reference import errors, events, expressions, markdown, resources, task_types

PAGES = reference.pages()
SOURCES = Path(openworld.__file__).parent
_A_WORD = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]+)*")


def trees(*packages: str) -> Iterator[ast.Module]:
    """The syntax of every module of some packages."""
    for package in packages:
        for path in sorted((SOURCES / package).rglob("*.py")):
            yield ast.parse(path.read_text(), str(path))


def texts(*packages: str) -> Iterator[str]:
    """Every literal text of some packages, and the beginnings of those that are put together; no docstrings."""
    for tree in trees(*packages):
        told = {
            node.body[0].value
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in told:
                yield node.value


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    assert (reference.FOLDER / name).read_text() == PAGES[name], "run `make generate`"


@pytest.mark.parametrize("path", sorted(reference.FOLDER.glob("*.md")), ids=lambda path: path.name)
def test_every_link_of_a_reference_page_leads_somewhere(path: Path) -> None:
    text = re.sub(r"`[^`\n]*`|^    .*$", "", path.read_text(), flags=re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, fragment = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        assert page.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
            anchors = [markdown.anchor(heading) for heading in headings]
            assert anchors.count(f"#{fragment}") == 1, target


def test_every_kind_and_every_field_stands_in_the_page() -> None:
    page = PAGES["resources.md"]
    models = [model for kind in crd.KINDS for model in (kind.spec, kind.status) if model is not None]
    assert all(f"\n## {kind.name}\n" in page for kind in crd.KINDS)
    fields = sum(len(model.model_fields) for model in (*models, *resources.nested_models()))
    assert page.count("\n| `") == fields
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    assert len(headings) == len(set(headings))


def test_every_field_is_described() -> None:
    models = [model for kind in crd.KINDS for model in (kind.spec, kind.status) if model is not None]
    for model in (*models, *resources.nested_models()):
        assert model.__doc__, model
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_every_task_type_is_described_in_both_tables() -> None:
    assert set(task_types.INPUT_AND_OUTPUT) == set(TaskType)
    assert all(PAGES["task-types.md"].count(f"\n| `{kind.value}` |") == 3 for kind in TaskType)


@pytest.mark.parametrize("kind", TaskType)
def test_the_summary_of_a_task_type_names_it(kind: TaskType) -> None:
    assert kind.value in task_types.summary_of(kind).split(":")[0]


def test_the_fields_of_a_type_are_those_that_it_may_have() -> None:
    fields = task_types.fields_of_types()
    assert fields["expression"] == [TaskType.SWITCH, TaskType.INLINE]
    assert fields["loopOver"] == [TaskType.DO_WHILE]
    assert fields["inputParameters"] == list(TaskType)
    assert TaskType.WAIT not in fields["retryCount"]


def test_the_runs_write_every_type_of_event() -> None:
    assert set(events.fields_of_types()) == {kind.value for kind in EventType}
    assert set(events.MEANINGS) == set(EventType)


def test_the_runs_write_every_field_that_the_engine_can() -> None:
    found = events.fields_of_types()
    for tree in trees("engine"):
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and _is_emit(call):
                kind = EventType[call.args[0].attr]  # type: ignore[attr-defined]
                given = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
                assert given <= set(found[kind.value]), kind


def _is_emit(call: ast.Call) -> bool:
    is_named = isinstance(call.func, ast.Attribute) and call.func.attr == "emit"
    return is_named and bool(call.args) and isinstance(call.args[0], ast.Attribute)


def test_every_field_of_an_event_is_explained_and_no_other() -> None:
    seen = {field for fields in events.fields_of_types().values() for field in fields}
    assert set(events.FIELDS) == seen


def test_every_word_that_a_reason_begins_with_is_explained() -> None:
    found = {
        match[1]
        for text in texts("engine", "controller")
        if (match := re.match(r"([A-Z]\w*[a-z]\w*): ", text))
    }
    found |= {
        match[1]
        for text in texts("engine", "controller")
        if (match := re.match(r"([A-Z]\w*[a-z]\w*) (by |\()$", text))
    }
    assert found
    assert found <= {reason.word for reason in errors.ALL}


def test_every_word_that_is_explained_stands_in_the_code() -> None:
    words = {_first_word(text) for text in texts("engine", "controller")}
    assert {reason.word for reason in errors.ALL} <= words
    assert len({reason.word for reason in errors.ALL}) == len(errors.ALL)


def _first_word(text: str) -> str:
    match = _A_WORD.match(text)
    return match[0] if match else ""


def test_the_endings_of_a_job_that_name_themselves_are_explained() -> None:
    named = {Ending.IMAGE, Ending.NAME_TAKEN, Ending.REFUSED}
    assert {ending.value for ending in named} <= {reason.word for reason in errors.TASK_REASONS}


def test_every_check_and_every_rule_of_it_is_explained() -> None:
    assert set(errors.CHECKS) == set(Check)
    for tree in trees("governance"):
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Denial":
                check, rule = call.args[0], call.args[1]
                if (
                    isinstance(check, ast.Attribute)
                    and isinstance(rule, ast.Constant)
                    and check.attr != "SHAPE"
                ):
                    assert f"`{rule.value!s}`" in errors.CHECKS[Check[check.attr]], rule.value


def test_the_keys_of_expressions_are_explained() -> None:
    assert set(expressions.WORKFLOW) == set(WORKFLOW_KEYS)
    assert set(expressions.TASK) == set(expressions.task_keys())


def test_the_linter_knows_the_keys_that_the_workflow_has() -> None:
    namespace = Namespace()
    run = namespace.start({"tasks": [{"ref": "one", "type": "NOOP"}]})
    namespace.settle()
    assert set(views.workflow_view(run.state)) == set(WORKFLOW_KEYS)


def test_the_differences_name_the_cases_that_differ_by_intent_and_their_number() -> None:
    page = (reference.FOLDER / "conductor-differences.md").read_text()
    cases = read_cases(CASES)
    by_intent = [case.name for case in cases if not case.is_normative]
    told = f"a corpus of {len(cases)} cases .* {len(cases) - len(by_intent)} come about .* and {len(by_intent)} differ"
    assert re.search(told, page, re.DOTALL)
    assert [name for name in by_intent if f"`{name}`" not in page] == []


def test_a_cell_of_a_table_cannot_break_it() -> None:
    made: Any = markdown.table(("a",), [("x | y\nz",)])
    assert made == "| a |\n|---|\n| x \\| y z |\n"
