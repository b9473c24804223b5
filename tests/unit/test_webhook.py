"""The webhook without a cluster: what it says, what it takes, and how it is served."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import kopf
import pytest

from openworld.controller import logs, webhook
from openworld.controller.webhook import WebhookServer, refused, register, told
from openworld.engine.validity import assess
from openworld.kube import Resource
from openworld.kube.resources import AGENTS, EXECUTIONS, POLICIES, TOOL_CATALOGS, WORKFLOWS
from openworld.language.reading import Finding
from tests.cluster.settings import REPOSITORY

HUMAN = {"ref": "ask", "type": "HUMAN"}
MISSPELT = {"ref": "x", "type": "HUMAN", "input": {"service": "${workflo.input.service}"}}


def case_of(*tasks: dict[str, Any]) -> dict[str, Any]:
    """A workflow with tasks in a case of a switch."""
    switch = {"ref": "s", "type": "SWITCH", "expression": "kind", "input": {"kind": "rollback"}}
    return {"tasks": [{**switch, "decisionCases": {"rollback": list(tasks)}}]}


def tool(**more: Any) -> dict[str, Any]:
    """A tool that nothing is wrong with."""
    run = {"container": {"image": "example/lookup:1"}}
    return {"name": "lookup", "inputSchema": {"type": "object"}, "effect": "Read", "run": run, **more}


REFUSED: dict[str, tuple[Resource, dict[str, Any], str]] = {
    "duplicate-ref": (
        WORKFLOWS,
        {"tasks": [HUMAN, HUMAN]},
        "spec.tasks[1].taskReferenceName: the task reference name 'ask' is used already, at spec.tasks[0]; "
        "it must be unique within the workflow, nested tasks included",
    ),
    "unknown-field": (
        WORKFLOWS,
        {"tasks": [{**HUMAN, "inputs": {}}]},
        "spec.tasks[0].inputs: unknown field 'inputs'; did you mean 'input'?",
    ),
    "nested": (
        WORKFLOWS,
        case_of(MISSPELT),
        "spec.tasks[0].decisionCases.rollback[0].inputParameters.service: ${workflo.input.service} refers to "
        "task 'workflo', which does not exist; did you mean 'workflow'?",
    ),
    "remote-reference": (
        TOOL_CATALOGS,
        {"tools": [tool(inputSchema={"$ref": "https://example.com/s.json"})]},
        "spec.tools[0].inputSchema: $ref refers to 'https://example.com/s.json'; only references of the form "
        "#/… are allowed",
    ),
    "broken-condition": (
        POLICIES,
        {"rules": [{"name": "r", "decision": "Allow", "when": "item.input."}]},
        "spec.rules[0].when: 1:12: Syntax error: no viable alternative at input '.'",
    ),
    "misspelt-policy": (POLICIES, {"rulez": []}, "spec.rulez: unknown field 'rulez'; did you mean 'rules'?"),
    "broken-path": (
        AGENTS,
        {
            "instructions": "Look.",
            "model": {"provider": "scripted", "script": {"configMapName": "turns"}},
            "context": {"include": ["$["]},
        },
        "spec.context.include[0]: the path '$[' opens a [ at offset 1 that is never closed",
    ),
    "inline": (
        EXECUTIONS,
        {"requestedBy": "alice", "workflow": case_of(MISSPELT)},
        "spec.workflow.tasks[0].decisionCases.rollback[0].inputParameters.service: ${workflo.input.service} "
        "refers to task 'workflo', which does not exist; did you mean 'workflow'?",
    ),
    "execution": (
        EXECUTIONS,
        {"requestedBy": "alice", "workflow": {"tasks": [{**HUMAN, "inputs": {}}]}},
        "spec.workflow.tasks[0].inputs: unknown field 'inputs'; did you mean 'input'?",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_refused_with_its_exact_place_as_the_valid_condition_says_it(name: str) -> None:
    resource, spec, message = REFUSED[name]
    body = {"metadata": {"name": "x"}, "spec": spec}
    assert refused(resource, body) == message == assess(resource.kind, body["spec"]).problem


@pytest.mark.parametrize(
    ("resource", "spec"),
    [
        (WORKFLOWS, case_of(HUMAN)),
        (TOOL_CATALOGS, {"tools": [tool()]}),
        (POLICIES, {"rules": [{"name": "r", "decision": "Allow", "when": "item.input.a == 1"}]}),
        (EXECUTIONS, {"requestedBy": "alice", "workflow": case_of(HUMAN), "input": {"a": 1}}),
        (EXECUTIONS, {"requestedBy": "alice", "workflowRef": {"name": "not-here-yet"}}),
    ],
)
def test_what_has_no_mistake_is_taken(resource: Resource, spec: dict[str, Any]) -> None:
    assert refused(resource, {"metadata": {"name": "x"}, "spec": spec}) == ""


def test_many_mistakes_are_cut_to_what_can_be_read() -> None:
    findings = [Finding(f"spec.tasks[{index}]", "m" * 5000) for index in range(12)]
    text = told(findings)
    assert text.startswith("spec.tasks[0]: mmm")
    assert text.endswith("…; and 2 more (`openworld lint` shows all)")
    assert len(text) < 11_000
    assert told(findings[:1]) == f"spec.tasks[0]: {'m' * 985}…"


def test_what_cannot_be_checked_is_refused_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a mistake of the operator")

    monkeypatch.setattr(webhook, "assess", broken)
    said = refused(WORKFLOWS, {"metadata": {"name": "x"}, "spec": {}})
    assert said == "spec: the operator could not check it (RuntimeError; its log says more)"
    assert "a mistake of the operator" in caplog.text


# What kopf is told


def handlers() -> dict[str, Callable[..., Any]]:
    """What kopf calls for each path."""
    registry = kopf.OperatorRegistry()
    register(registry)
    return {handler.id: handler.fn for handler in registry._webhooks.get_all_handlers()}


def test_the_operator_answers_at_each_path_that_the_chart_names() -> None:
    text = (REPOSITORY / "charts/openworld/templates/webhook.yaml").read_text()
    (line,) = (line for line in text.splitlines() if "range $plural := list" in line)
    assert [word.strip('"') for word in line.split() if word.startswith('"')] == list(handlers())


def test_a_refusal_is_an_admission_error_and_is_logged_as_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    body = kopf.Body({"metadata": {"name": "x", "namespace": "team"}, "spec": {"tasks": [HUMAN, HUMAN]}})
    with pytest.raises(kopf.AdmissionError, match=r"spec\.tasks\[1\]\.taskReferenceName: ") as caught:
        asyncio.run(handlers()["workflows"](body=body))
    assert caught.value.code == 422
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()[:26]) == ("INFO", "refused Workflow team/x: s")


def test_a_good_object_is_taken_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    body = kopf.Body({"metadata": {"name": "x", "namespace": "team"}, "spec": {"tasks": [HUMAN]}})
    asyncio.run(handlers()["workflows"](body=body))
    assert caplog.records == []


def test_one_is_judged_at_a_time_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def slow(*_: object) -> str:
        names.append(threading.current_thread().name)
        return ""

    monkeypatch.setattr(webhook, "refused", slow)
    body = kopf.Body({"metadata": {}, "spec": {}})

    async def story() -> None:
        both = handlers()
        await asyncio.gather(*(both[kind](body=body) for kind in ("workflows", "policies", "agents")))

    asyncio.run(story())
    assert names == ["webhook_0"] * 3


def test_kopfs_own_word_for_a_refusal_is_left_out_of_the_log() -> None:
    kopfs = logging.getLogger("kopf.objects")
    before, root = list(kopfs.filters), list(logging.getLogger().handlers)
    try:
        logs.set_up(logging.INFO)
        (drop,) = (each for each in kopfs.filters if each not in before)
        record = logging.LogRecord(kopfs.name, logging.ERROR, "", 0, "", (), None)
        record.msg = "Webhook 'workflows' failed permanently: spec.tasks[0]: …"
        assert not drop(record)  # type: ignore[operator]
        record.msg = "Handler 'saw-jobs' failed with an exception."
        assert drop(record)  # type: ignore[operator]
    finally:
        kopfs.filters[:] = before
        logging.getLogger().handlers[:] = root


# How it is served


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for this machine."""
    folder = tmp_path_factory.mktemp("certificates")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*new, *files, *names], check=True, capture_output=True)
    return folder


def posted(certificates: Path, answer: Callable[..., Any], body: object) -> tuple[int, str]:
    """What a server with this answer says to a request."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def story() -> tuple[int, str]:
        server = WebhookServer(certificates, host="127.0.0.1", port=port, patience_seconds=0.05)
        assert server.faults == ["the webhook is not served yet"]
        trust = ssl.create_default_context(cafile=str(certificates / "tls.crt"))
        async with server, aiohttp.ClientSession() as session:
            async for _ in server(answer):
                assert server.faults == []
                url = f"https://127.0.0.1:{port}/workflows"
                async with session.post(url, json=body, ssl=trust) as response:
                    return response.status, await response.text()
        raise AssertionError("it was never served")

    return asyncio.run(story())


async def echo(request: object, *, webhook: str, **_: object) -> dict[str, object]:
    """Says what came, and where."""
    return {"came": request, "at": webhook}


def test_it_is_served_with_the_certificates_of_the_folder(certificates: Path) -> None:
    assert posted(certificates, echo, {"a": 1}) == (200, '{"came": {"a": 1}, "at": "workflows"}')


def test_what_is_not_answered_in_time_is_left_to_the_failure_policy(
    certificates: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    assert posted(certificates, never, {}) == (503, "the operator is busy")
    assert "a request of the API server was not answered in time" in caplog.text


def test_a_request_that_is_too_large_is_not_read(certificates: Path) -> None:
    status, _ = posted(certificates, echo, {"a": "x" * 2**20})
    assert status == 413
