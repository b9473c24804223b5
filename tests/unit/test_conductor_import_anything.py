"""Whatever is called a definition of Conductor's is imported or refused, never half read."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openworld.api import ToolCatalog, Workflow
from openworld.language.checks import check_catalog, check_workflow
from openworld.language.conductor import (
    NotADefinition,
    Place,
    Severity,
    Shape,
    definitions_in,
)
from openworld.language.reading import read
from tests.support.conductor import JSON, imported, inline, spec, told, workflow


@pytest.mark.parametrize(
    ("workflows", "tasks", "message"),
    [
        ([7], [], "workflows[0]: a definition is an object"),
        ([{"tasks": []}], [], "workflows[0].name: a workflow definition needs a name"),
        ([{"name": "x"}], [], "workflows[0].tasks: a workflow definition needs a list of tasks"),
        ([], [{}], "tasks[0].name: a task definition needs a name"),
        ([], [None], "tasks[0]: a definition is an object"),
    ],
)
def test_what_is_no_definition_is_refused(workflows: list[Any], tasks: list[Any], message: str) -> None:
    with pytest.raises(NotADefinition) as refused:
        imported(workflows, tasks)
    assert str(refused.value) == message


def test_a_definition_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(NotADefinition, match="nested deeper than 64 levels"):
        imported([workflow(inline("a", v=deep))])


def test_what_is_no_task_is_an_error_and_left_out() -> None:
    result = imported([workflow(inline("a"), 7, {}, forkTasks=3)])  # type: ignore[arg-type]
    assert [entry.get("taskReferenceName") for entry in result.workflows[0]["spec"]["tasks"]] == ["a", ""]
    assert [loss.path for loss in result.losses if loss.severity is Severity.ERROR] == [
        "workflows[0].tasks[1]",
        "workflows[0].tasks[2].name",
        "workflows[0].tasks[2].taskReferenceName",
        "workflows[0]",
    ]


def test_a_workflow_without_tasks_is_an_error() -> None:
    result = imported([workflow()])
    assert told(result) == ["workflows[0].tasks: a workflow needs at least one task"]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (workflow(inline("a")), [(Shape.WORKFLOW, ())]),
        ({"name": "t", "retryCount": 1}, [(Shape.TASK, ())]),
        ({"name": "t", "ownerEmail": "a@example.com"}, [(Shape.TASK, ())]),
        ([workflow(), {"name": "t"}], [(Shape.WORKFLOW, (0,)), (Shape.TASK, (1,))]),
        (
            {"workflowDefs": [workflow()], "taskDefs": [{"name": "t", "x": 1}]},
            [(Shape.WORKFLOW, ("workflowDefs", 0)), (Shape.TASK, ("taskDefs", 0))],
        ),
        ({"taskDefs": None, "workflowDefs": []}, []),
        ([], []),
    ],
)
def test_definitions_are_told_by_their_shape(document: Any, expected: list[Any]) -> None:
    assert [(found.shape, found.steps) for found in definitions_in(document, Place())] == expected


@pytest.mark.parametrize(
    "document",
    [
        None,
        7,
        "x",
        {},
        {"tasks": {}},
        {"name": "handler", "event": "kafka:x", "actions": []},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}},
        [[workflow()]],
        {"workflowDefs": {}},
        {"taskDefs": [3]},
    ],
)
def test_other_documents_hold_no_definitions(document: Any) -> None:
    with pytest.raises(NotADefinition):
        definitions_in(document, Place())


def test_what_else_an_export_holds_is_told() -> None:
    place = Place()
    assert definitions_in({"workflowDefs": [], "eventHandlers": [{"name": "h"}], "roles": []}, place) == []
    assert [(loss.path, loss.message) for loss in place.found] == [
        ("eventHandlers", "is not imported: neither workflow nor task definitions")
    ]


WORDS = st.sampled_from(
    [
        "name", "tasks", "taskReferenceName", "type", "SIMPLE", "SWITCH", "DECISION", "LAMBDA", "INLINE", "DO_WHILE",
        "SUB_WORKFLOW", "START_WORKFLOW", "FORK_JOIN", "FORK_JOIN_DYNAMIC", "JOIN", "DYNAMIC", "HTTP", "LLM_CHAT_COMPLETE",
        "CALL_MCP_TOOL", "LIST_MCP_TOOLS", "llmProvider", "openai", "messages", "arguments", "headers", "version",
        "inputParameters", "outputParameters", "decisionCases", "defaultCase", "forkTasks", "loopOver", "items",
        "loopCondition", "joinOn", "subWorkflowParam", "workflowDefinition", "taskDefinition", "startWorkflow",
        "inputSchema", "data", "$schema", "retryCount", "timeoutSeconds", "inputTemplate", "evaluatorType",
        "expression", "${a b.c}", "a b", "a__1", "workflow", "$.a__1", "", "-1", "\ud800",
    ]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=40,
)
TASKISH = st.dictionaries(WORDS, ANYTHING, max_size=8)


@settings(max_examples=150, deadline=None)
@given(document=ANYTHING)
def test_any_json_is_definitions_or_is_refused(document: Any) -> None:
    with suppress(NotADefinition):
        found = definitions_in(document, Place())
        imported(
            [item.data for item in found if item.shape is Shape.WORKFLOW],
            [item.data for item in found if item.shape is Shape.TASK],
        )


@settings(max_examples=250, deadline=None)
@given(
    tasks=st.lists(TASKISH | ANYTHING, max_size=4),
    fields=TASKISH,
    definition=TASKISH,
    kinds=st.lists(WORDS, max_size=4),
)
def test_whatever_a_definition_holds_it_is_imported_or_told(
    tasks: list[Any], fields: JSON, definition: JSON, kinds: list[str]
) -> None:
    for entry, kind in zip(tasks, kinds, strict=False):
        if isinstance(entry, dict):
            entry["type"] = kind
    result = imported([fields | {"name": "w", "tasks": tasks}], [definition | {"name": "t"}])
    [made] = result.workflows
    errors = [loss for loss in result.losses if loss.severity is Severity.ERROR]
    if not errors:
        assert check_workflow(read(Workflow, made["spec"])) == []
        assert check_catalog(read(ToolCatalog, result.catalogs[0]["spec"])) == []


PIECES = st.sampled_from(
    ["a b", "a__1", "c", "workflow", "${", "}", "$", ".", "[", "]", "'", "output", "__2", " "]
)


@settings(deadline=None)
@given(text=st.lists(PIECES, max_size=12).map("".join))
def test_texts_without_refs_that_change_stay(text: str) -> None:
    made = spec(inline("c"), inline("d", v=text))
    assert made["tasks"][1]["inputParameters"]["v"] == text
