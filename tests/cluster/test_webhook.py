"""The webhook on the real cluster: what is wrong is refused by `kubectl apply`, and nothing hangs without it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.settings import REPOSITORY
from tests.cluster.shell import wait_for
from tests.support.environment import NAMESPACE as RELEASE_NAMESPACE
from tests.support.environment import ONCALL, Environment
from tests.support.runs import definition

NAMESPACE = "demo-b"
HUMAN = {"ref": "ask", "type": "HUMAN"}
BAD = {"tasks": [HUMAN, HUMAN]}
DUPLICATE = "spec.tasks[1].taskReferenceName: the task reference name 'ask' is used already, at spec.tasks[0]"


def _case_of(*tasks: dict[str, Any]) -> dict[str, Any]:
    switch = {"ref": "s", "type": "SWITCH", "expression": "kind", "input": {"kind": "rollback"}}
    return {"tasks": [{**switch, "decisionCases": {"rollback": list(tasks)}}]}


def _tool(schema: dict[str, Any]) -> dict[str, Any]:
    run = {"container": {"image": ONCALL, "command": ["true"]}}
    return {"name": "lookup", "inputSchema": schema, "effect": "Read", "run": run}


def _rule(when: str) -> dict[str, Any]:
    return {"rules": [{"name": "r", "decision": "Allow", "when": when}]}


def _agent(path: str) -> dict[str, Any]:
    model = {"provider": "scripted", "script": {"configMapName": "turns"}}
    return {"instructions": "Look.", "model": model, "context": {"include": [path]}}


def _inline(task: dict[str, Any]) -> dict[str, Any]:
    return {"requestedBy": "admin", "workflow": {"tasks": [task]}}


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "duplicate-ref": ("Workflow", BAD, DUPLICATE),
    "unknown-field": (
        "Workflow",
        {"tasks": [{**HUMAN, "inputs": {}}]},
        "spec.tasks[0].inputs: unknown field 'inputs'; did you mean 'input'?",
    ),
    "nested-type": (
        "Workflow",
        _case_of({"ref": "x", "type": "FORK"}),
        "spec.tasks[0].decisionCases.rollback[0].type: unknown task type 'FORK'; did you mean 'FORK_JOIN'?",
    ),
    "nested-reference": (
        "Workflow",
        _case_of({**HUMAN, "input": {"service": "${workflo.input.service}"}}),
        "spec.tasks[0].decisionCases.rollback[0].inputParameters.service: ${workflo.input.service} refers to "
        "task 'workflo', which does not exist; did you mean 'workflow'?",
    ),
    "remote-reference": (
        "ToolCatalog",
        {"tools": [_tool({"$ref": "https://example.com/schema.json"})]},
        "spec.tools[0].inputSchema: $ref refers to 'https://example.com/schema.json'; only references of the "
        "form #/… are allowed",
    ),
    "broken-condition": ("Policy", _rule("item.input."), "spec.rules[0].when: 1:12: Syntax error"),
    "broken-path": (
        "Agent",
        _agent("$["),
        "spec.context.include[0]: the path '$[' opens a [ at offset 1 that is never closed",
    ),
    "inline": (
        "Execution",
        _inline({**HUMAN, "input": {"x": "${gone.output}"}}),
        "spec.workflow.tasks[0].inputParameters.x: ${gone.output} refers to task 'gone', which does not exist",
    ),
}
PLURALS = {
    "Workflow": "workflows",
    "ToolCatalog": "toolcatalogs",
    "Policy": "policies",
    "Agent": "agents",
    "Execution": "executions",
}


def _switch(env: Environment, state: str) -> None:
    chart = str(REPOSITORY / "charts" / "openworld")
    env.helm(
        "upgrade", "openworld", chart, "-n", RELEASE_NAMESPACE, "--reuse-values",
        "--set", f"webhook.enabled={state}",
    )  # fmt: skip
    _await_operator(env)


def _await_operator(env: Environment) -> None:
    env.kubectl(
        "-n", RELEASE_NAMESPACE, "rollout", "status", "deployment/openworld-operator", "--timeout=120s"
    )


@pytest.fixture(scope="module")
def guarded(env: Environment) -> Iterator[Environment]:
    """The release with the webhook; the other tests need it without."""
    _switch(env, "true")
    kind, spec, _ = REFUSED[next(iter(REFUSED))]
    bad = definition(kind, "hook-probe", spec)
    # The API server takes a moment to see the configuration, and kube-proxy to see the pod.
    wait_for("a refusal", lambda: _applied(env, bad, "--dry-run=server").returncode != 0, seconds=30)
    yield env
    _switch(env, "false")


def _applied(
    env: Environment, manifest: dict[str, Any], *more: str, namespace: str = NAMESPACE
) -> subprocess.CompletedProcess[str]:
    return env.kubectl("-n", namespace, "apply", "-f", "-", *more, stdin=json.dumps(manifest), check=False)


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_refused_with_its_exact_place(guarded: Environment, name: str) -> None:
    kind, spec, message = REFUSED[name]
    done = _applied(guarded, definition(kind, f"hook-{name}", spec))
    assert done.returncode != 0, done.stdout
    denied = f'admission webhook "{PLURALS[kind]}.openworld.dev" denied the request: {message}'
    assert denied in done.stderr
    assert guarded.kubectl("-n", NAMESPACE, "get", kind, f"hook-{name}", check=False).returncode != 0


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Workflow", _case_of(HUMAN)),
        ("ToolCatalog", {"tools": [_tool({"type": "object"})]}),
        ("Policy", _rule("item.input.a == 1")),
        ("Agent", _agent("$.tasks")),
        ("Execution", _inline(HUMAN)),
    ],
)
def test_what_has_no_mistake_is_taken(guarded: Environment, kind: str, spec: dict[str, Any]) -> None:
    done = _applied(guarded, definition(kind, "hook-good", spec), "--dry-run=server")
    assert done.returncode == 0, done.stderr


def test_a_change_for_the_worse_is_refused_and_leaves_what_was(guarded: Environment) -> None:
    good = definition("Workflow", "hook-changed", {"tasks": [HUMAN]})
    guarded.kubectl.apply(NAMESPACE, good)
    changed = _applied(guarded, definition("Workflow", "hook-changed", BAD))
    assert f'"workflows.openworld.dev" denied the request: {DUPLICATE}' in changed.stderr
    found = guarded.kubectl.json("-n", NAMESPACE, "get", "workflow", "hook-changed")
    assert found["spec"]["tasks"] == [HUMAN]
    guarded.kubectl("-n", NAMESPACE, "delete", "workflow", "hook-changed")


def test_a_namespace_that_is_not_served_is_left_alone(guarded: Environment) -> None:
    done = _applied(
        guarded, definition("Workflow", "hook-elsewhere", BAD), "--dry-run=server", namespace="default"
    )
    assert done.returncode == 0, done.stderr


def test_without_the_operator_nothing_hangs_and_the_condition_says_it_later(guarded: Environment) -> None:
    kubectl, bad = guarded.kubectl, definition("Workflow", "hook-unchecked", BAD)
    scale = ("-n", RELEASE_NAMESPACE, "scale", "deployment/openworld-operator")
    kubectl(*scale, "--replicas=0")
    try:
        pods = ("pod", "-l", "app.kubernetes.io/name=openworld")
        kubectl("-n", RELEASE_NAMESPACE, "wait", *pods, "--for=delete", "--timeout=60s")
        kubectl.apply(NAMESPACE, bad)
    finally:
        kubectl(*scale, "--replicas=1")
        _await_operator(guarded)
    found = ("workflow/hook-unchecked", "-n", NAMESPACE)
    kubectl("wait", *found, "--for=condition=Valid=False", "--timeout=60s")
    condition = kubectl.json("get", *found)["status"]["conditions"][0]
    assert condition["message"].startswith(DUPLICATE)

    # It can still be labelled and let go, but not be changed into something else that is wrong.
    kubectl("label", *found, "team=a")
    kubectl("patch", *found, "--type=merge", "-p", '{"metadata": {"finalizers": ["example.com/kept"]}}')
    kubectl("delete", *found, "--wait=false")
    again = {"spec": {"tasks": [HUMAN, HUMAN, HUMAN]}}
    refused = kubectl("patch", *found, "--type=merge", "-p", json.dumps(again), check=False)
    assert f'"workflows.openworld.dev" denied the request: {DUPLICATE}' in refused.stderr
    kubectl("patch", *found, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    kubectl("wait", *found, "--for=delete", "--timeout=30s")
