"""Bad input on the real cluster: each fails fast, with a reason that a person understands."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import puppets
from tests.support.environment import ONCALL, Environment
from tests.support.runs import Run, definition

NAMESPACE = "demo-b"


def _tool(name: str, container: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "inputSchema": {"type": "object"},
        "effect": "Read",
        "retry": {"count": 0},
        "run": {"container": {"image": ONCALL, **container}, **more.pop("run", {})},
        **more,
    }


def _says(code: str) -> dict[str, Any]:
    return {"command": ["python", "-c", code]}


LARGE = """
from openworld_worker import tool
@tool(effect="Read")
def large() -> dict[str, str]:
    '''Return too much.'''
    return {"blob": "x" * 2_000_000}
"""
RUN_LARGE = (
    f"import runpy, sys; open('/tmp/large.py', 'w').write({LARGE!r}); "
    "sys.argv = ['openworld_worker', 'run', '/tmp/large.py', 'large']; "
    "runpy.run_module('openworld_worker', run_name='__main__')"
)
TOOLS = [
    _tool("fine", {"command": ["true"]}),
    _tool(
        "strict",
        {"command": ["true"]},
        inputSchema={"type": "object", "properties": {"n": {"type": "integer"}}},
    ),
    _tool("garbled", _says("open('/dev/termination-log', 'w').write('{\"a\": 1,}')")),
    _tool("listed", _says("open('/dev/termination-log', 'w').write('[1]')")),
    _tool("exits", _says("raise SystemExit(3)")),
    _tool("hungry", {**_says("x = 'x' * 10**9"), "resources": {"limits": {"memory": "64Mi"}}}),
    _tool("unpulled", {"image": "registry.invalid/no/such:1", "command": ["true"]}),
    _tool("never", {"image": "localhost/no-such-image:1", "imagePullPolicy": "Never", "command": ["true"]}),
    _tool("large", _says(RUN_LARGE), run={"report": "TaskResult"}),
    _tool("silent", {"command": ["true"]}, run={"report": "TaskResult"}),
]
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown-type": ({"tasks": [{"ref": "x", "type": "FORK"}]}, "spec.tasks[0].type: unknown task type 'FORK'"),
    "unknown-field": ({"tasks": [{"ref": "x", "type": "fine", "inputs": {}}]}, "spec.tasks[0].inputs: unknown field"),
    "duplicate-ref": (
        {"tasks": [{"ref": "x", "type": "fine"}, {"ref": "x", "type": "fine"}]},
        "spec.tasks[1].taskReferenceName",
    ),
    "dangling": (
        {"tasks": [{"ref": "x", "type": "fine", "input": {"v": "${ghost.output.v}"}}]},
        "refers to task 'ghost', which does not exist",
    ),
    "unknown-tool": ({"tasks": [{"ref": "x", "type": "fien"}]}, "there is no tool 'fien' in catalogs bad"),
    "schema": ({"tasks": [{"ref": "x", "type": "strict", "input": {"n": "many"}}]}, "does not fit its schema: n: "),
    "cycle": (
        {"tasks": [
            {"ref": "x", "type": "fine", "dependsOn": ["y"]}, {"ref": "y", "type": "fine", "dependsOn": ["x"]}]},
        "x → y → x",
    ),
    "garbled": ({"tasks": [{"ref": "x", "type": "garbled"}]}, "termination message is not JSON"),
    "not-an-object": ({"tasks": [{"ref": "x", "type": "listed"}]}, "termination message"),
    "exit-code": ({"tasks": [{"ref": "x", "type": "exits"}]}, "code 3"),
    "out-of-memory": ({"tasks": [{"ref": "x", "type": "hungry"}]}, "memory"),
    "unpulled": ({"tasks": [{"ref": "x", "type": "unpulled"}]}, "registry.invalid/no/such:1"),
    "never-pulled": ({"tasks": [{"ref": "x", "type": "never"}]}, "localhost/no-such-image:1"),
    "two-megabytes": ({"tasks": [{"ref": "x", "type": "large"}]}, "a TaskResult holds at most 1,000,000"),
    "silent-worker": ({"tasks": [{"ref": "x", "type": "silent"}]}, "report"),
    "missing-policy": ({"tasks": [{"ref": "x", "type": "fine"}], "policyRef": {"name": "gone"}}, "Policy 'gone'"),
    "missing-agent": (
        {"tasks": [{"ref": "x", "type": "AGENT", "input": {"agent": "gone", "goal": "g"}}]},
        "Agent 'gone'",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def bad(env: Environment) -> dict[str, Run]:
    """All bad runs at once: they wait for the cluster, not for each other."""
    objects = [
        definition("ToolCatalog", "bad", {"tools": TOOLS}),
        *puppets.right_to_use(NAMESPACE),
    ]
    objects += [
        definition("Workflow", f"bad-{name}", {"catalogs": ["bad"], **spec})
        for name, (spec, _) in CASES.items()
    ]
    env.kubectl.apply(NAMESPACE, *objects)
    names = [*CASES, "missing-workflow"]
    return {
        name: Run.start(env.kubectl, NAMESPACE, f"bad-{name}", {"workflowRef": {"name": f"bad-{name}"}})
        for name in names
    }


@pytest.mark.parametrize("name", CASES)
def test_bad_input_fails_with_a_reason(bad: dict[str, Run], name: str) -> None:
    status = bad[name].until_final(seconds=150)
    assert status["phase"] == "Failed"
    assert CASES[name][1] in status["reason"]


def test_a_missing_workflow_is_named(bad: dict[str, Run]) -> None:
    status = bad["missing-workflow"].until_final()
    assert "Workflow 'bad-missing-workflow'" in status["reason"]


def test_an_invalid_definition_says_so_in_its_condition(env: Environment, bad: dict[str, Run]) -> None:
    bad["cycle"].until_final()
    found = env.kubectl.json("-n", NAMESPACE, "get", "workflow", "bad-unknown-field")
    condition = found["status"]["conditions"][0]
    assert (condition["type"], condition["status"]) == ("Valid", "False")
    assert "spec.tasks[0].inputs: unknown field 'inputs'; did you mean 'input'" in condition["message"]


@pytest.mark.parametrize("levels", [300, 980, 3_000, 9_900])
def test_an_input_of_any_depth_fails_its_own_run_and_nothing_else(env: Environment, levels: int) -> None:
    kubectl, name = env.kubectl, f"deep-{levels}"
    before = _restarts(env)
    manifest = definition("Execution", name, {"requestedBy": "admin", "input": {"deep": "HERE"}})
    manifest["spec"]["workflow"] = {"tasks": [{"ref": "x", "type": "NOOP"}]}
    deep = '{"a":' * levels + "1" + "}" * levels
    kubectl("-n", NAMESPACE, "create", "-f", "-", stdin=json.dumps(manifest).replace('"HERE"', deep))
    try:
        ended = "jsonpath={.status.phase}=Failed"
        kubectl("-n", NAMESPACE, "wait", "execution", name, f"--for={ended}", "--timeout=60s")
        reason = kubectl("-n", NAMESPACE, "get", "execution", name, "-o", "jsonpath={.status.reason}").stdout
        assert "nested deeper than 64 levels" in reason
        assert _restarts(env) == before
        beside = Run.start(kubectl, NAMESPACE, f"beside-{levels}", {"workflow": manifest["spec"]["workflow"]})
        assert beside.until_final()["phase"] == "Completed"
    finally:
        kubectl("-n", NAMESPACE, "delete", "execution", name, "--wait=false")


def _restarts(env: Environment) -> str:
    shown = "jsonpath={.items[*].metadata.uid} {.items[*].status.containerStatuses[*].restartCount}"
    return env.kubectl("-n", "openworld-system", "get", "pods", "-o", shown).stdout
