"""One attempt of a tool, from the task file to the outcome; and the catalog that a module prints."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from openworld.api import ToolCatalog
from openworld_worker import Context, Item, Proposal, TerminalError
from openworld_worker.__main__ import main
from openworld_worker.catalog import to_yaml
from openworld_worker.report import Outcome, Status
from openworld_worker.runner import call, run_job
from openworld_worker.tool import Options, define, load_tools
from tests.unit.test_worker_report import environment

MODULE = '''
from dataclasses import dataclass
from openworld_worker import Context, tool

@dataclass
class Sum:
    total: int
    key: str

@tool(effect="Read", idempotent=True, timeout_seconds=30)
def add(numbers: list[int], context: Context) -> Sum:
    """Add numbers."""
    return Sum(sum(numbers), context.idempotency_key)
'''


def context(**changes: Any) -> Context:
    plain: dict[str, Any] = {
        "execution": "run-1",
        "namespace": "team",
        "ref": "add",
        "attempt": 0,
        "deadline": datetime(2026, 4, 12, tzinfo=UTC),
        "idempotency_key": "key-1",
    }
    return Context(**plain | changes)


def outcome_of(function: Any, **values: Any) -> Outcome:
    return call(define(function, Options()), values, context())


def write(folder: Path, text: str, name: str = "my_tools.py") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_what_a_tool_returns_becomes_an_object() -> None:
    def nothing() -> None:
        pass

    def number() -> int:
        return 3

    def mapping() -> dict[str, int]:
        return {"a": 1}

    assert outcome_of(nothing).output == {}
    assert outcome_of(number).output == {"result": 3}
    assert outcome_of(mapping).output == {"a": 1}


def test_a_proposal_is_reported_in_the_native_form() -> None:
    def grow() -> Proposal:
        look = Item(type="look", input={"n": 1}, ref="first")
        fix = Item(type="fix", input={"to": "${first.output.x}"}, depends_on=["first"], optional=True)
        return Proposal(
            tasks=[look, fix, {"type": "WAIT", "input": {"duration": "5s"}}], rationale="why", atomic=True
        )

    def done() -> Proposal:
        return Proposal(output={"cause": "c"})

    assert outcome_of(grow) == Outcome(
        status=Status.COMPLETED,
        output={},
        proposal={
            "rationale": "why",
            "atomic": True,
            "tasks": [
                {"type": "look", "input": {"n": 1}, "ref": "first"},
                {
                    "type": "fix",
                    "input": {"to": "${first.output.x}"},
                    "dependsOn": ["first"],
                    "optional": True,
                },
                {"type": "WAIT", "input": {"duration": "5s"}},
            ],
        },
    )
    assert outcome_of(done) == Outcome(
        status=Status.COMPLETED, output={"cause": "c"}, proposal={"output": {"cause": "c"}}
    )


def test_an_exception_is_a_failure_with_its_name_and_a_traceback_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken() -> None:
        raise KeyError("service")

    assert outcome_of(broken) == Outcome(status=Status.FAILED, reason="KeyError: 'service'")
    assert "Traceback" in capsys.readouterr().err


def test_a_tool_that_ends_its_process_has_failed() -> None:
    def leaves() -> None:
        raise SystemExit(0)

    reason = "the tool ended the process: SystemExit: 0"
    assert outcome_of(leaves) == Outcome(status=Status.FAILED, reason=reason)


def test_a_terminal_error_stops_retries() -> None:
    def refused() -> None:
        raise TerminalError("no such service")

    assert outcome_of(refused) == Outcome(status=Status.FAILED_WITH_TERMINAL_ERROR, reason="no such service")


def test_an_input_that_does_not_fit_is_terminal_and_the_tool_does_not_run() -> None:
    ran: list[int] = []

    def add(n: int) -> None:
        ran.append(n)

    assert outcome_of(add, n="1") == Outcome(
        status=Status.FAILED_WITH_TERMINAL_ERROR, reason="input.n: expected an integer, got string '1'"
    )
    assert ran == []


def test_an_output_without_a_json_form_is_a_failure() -> None:
    def when() -> Any:
        return {"at": datetime(2026, 1, 1, tzinfo=UTC)}

    def later() -> Any:
        async def value() -> int:
            return 1

        coroutine = value()
        coroutine.close()
        return coroutine

    assert outcome_of(when).reason == "TypeError: output.at: datetime has no JSON form"
    assert outcome_of(later).reason == "the tool is an async function; wrap its body with asyncio.run"


def test_progress_goes_to_the_channel_and_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[tuple[int | None, str]] = []
    with caplog.at_level(logging.INFO):
        context(report_progress=lambda percent, message: sent.append((percent, message))).progress(
            150, "m" * 2000
        )
        context().progress(message="no channel")
    assert sent == [(100, "m" * 1024)]
    assert "progress no channel" in caplog.text


def job(tmp_path: Path, source: str, name: str, task: Any) -> tuple[int, Any]:
    message = tmp_path / "termination-log"
    (tmp_path / "task.json").write_text(task if isinstance(task, str) else json.dumps(task), encoding="utf-8")
    code = f"""
import os, pathlib, sys
from openworld_worker import runner
runner.TERMINATION_LOG = pathlib.Path({str(message)!r})
sys.exit(runner.run_job({source!r}, {name!r}, os.environ))
"""
    environ = environment(TASK_FILE=str(tmp_path / "task.json")) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, check=False, timeout=30
    )
    return ran.returncode, json.loads(message.read_bytes())


def test_a_job_reads_its_task_and_leaves_a_termination_message(tmp_path: Path) -> None:
    source = write(tmp_path, MODULE)
    assert job(tmp_path, source, "add", {"input": {"numbers": [1, 2]}}) == (0, {"total": 3, "key": "key-1"})


STOPPED = """
import asyncio, os, signal, threading
from openworld_worker import Context, tool

@tool
def deaf() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(60)

@tool
def attentive(context: Context) -> bool:
    os.kill(os.getpid(), signal.SIGTERM)
    return context.cancelled.wait(60)

def kill():
    os.kill(os.getpid(), signal.SIGTERM)

async def callback():
    asyncio.get_running_loop().call_soon(kill)
    await asyncio.sleep(60)

async def group():
    async def step():
        kill()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(step())
        await asyncio.sleep(60)

async def wrapped():
    try:
        await asyncio.sleep(0)
        kill()
    except BaseException as error:
        raise BaseExceptionGroup("lost", [error])

@tool
def looping(where: str) -> None:
    asyncio.run(globals()[where]())
"""


def test_a_request_to_stop_reaches_a_tool_with_and_without_a_context(tmp_path: Path) -> None:
    source = write(tmp_path, STOPPED)
    assert job(tmp_path, source, "attentive", {"input": {}}) == (0, {"result": True})
    reason = "the pod was asked to stop (SIGTERM) before the tool had ended"
    assert job(tmp_path, source, "deaf", {"input": {}}) == (1, {"reason": reason})


@pytest.mark.parametrize("where", ["callback", "group", "wrapped"])
def test_a_request_to_stop_is_not_swallowed_by_the_event_loop_of_a_tool(tmp_path: Path, where: str) -> None:
    source = write(tmp_path, STOPPED)
    reason = "the pod was asked to stop (SIGTERM) before the tool had ended"
    assert job(tmp_path, source, "looping", {"input": {"where": where}}) == (1, {"reason": reason})


@pytest.mark.parametrize(
    ("name", "task", "reason"),
    [
        ("sub", {"input": {}}, "has no tool sub; it has add"),
        ("add", "{", "is not JSON"),
        ("add", {"input": []}, "must be an object with an `input` object"),
    ],
)
def test_a_broken_contract_is_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, task: Any, reason: str
) -> None:
    message, file = tmp_path / "termination-log", tmp_path / "task.json"
    file.write_text(task if isinstance(task, str) else json.dumps(task), encoding="utf-8")
    monkeypatch.setattr("openworld_worker.runner.TERMINATION_LOG", message)
    assert run_job(write(tmp_path, MODULE), name, environment(TASK_FILE=str(file))) == 64
    assert reason in json.loads(message.read_bytes())["reason"]


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({}, "OPENWORLD_ATTEMPT is not set."),
        (
            environment(REPORT="Pigeon"),
            "OPENWORLD_REPORT is 'Pigeon'; it is TaskResult or TerminationMessage",
        ),
        (environment(REPORT="TaskResult"), "KUBERNETES_SERVICE_HOST is not set: not in a pod"),
    ],
)
def test_a_job_that_cannot_report_leaves_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], reason: str
) -> None:
    message = tmp_path / "termination-log"
    monkeypatch.setattr("openworld_worker.runner.TERMINATION_LOG", message)
    assert run_job("my_tools.py", "add", environ) == 1
    assert json.loads(message.read_bytes())["reason"].startswith(reason)
    elsewhere = tmp_path / "elsewhere"
    assert run_job("my_tools.py", "add", environ | {"OPENWORLD_TERMINATION_LOG": str(elsewhere)}) == 1
    assert elsewhere.read_bytes() == message.read_bytes()


def test_a_module_prints_its_catalog(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path, MODULE)
    assert (
        main(["catalog", source, "--image", "registry.example/sums:1", "--source-in-image", "/opt/t.py"]) == 0
    )
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["metadata"] == {"name": "my-tools"}
    (entry,) = printed["spec"]["tools"]
    assert entry["run"] == {
        "container": {
            "image": "registry.example/sums:1",
            "command": ["python", "-m", "openworld_worker", "run", "/opt/t.py", "add"],
        },
        "report": "TaskResult",
    }
    assert (entry["effect"], entry["idempotent"], entry["timeoutSeconds"]) == ("Read", True, 30)
    ToolCatalog.model_validate(printed["spec"])


def test_a_catalog_is_refused_until_each_tool_says_its_effect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path, MODULE.replace('effect="Read", ', ""))
    assert main(["catalog", source]) == 1
    assert capsys.readouterr().err == (
        "error: add: say what it does to the world, so that policies can tell: "
        '@tool(effect="Read"), "Write" or "Destructive"\n'
    )


def test_modules_without_tools_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", write(tmp_path, "x = 1", "plain.py")]) == 1
    assert "has no function marked with @tool" in capsys.readouterr().err
    assert main(["catalog", str(tmp_path / "gone.py")]) == 1
    assert "no such file" in capsys.readouterr().err
    assert main(["catalog", "no.such.module"]) == 1
    assert "no.such.module" in capsys.readouterr().err


def test_a_file_named_like_a_library_does_not_replace_it(tmp_path: Path) -> None:
    tools = load_tools(write(tmp_path, MODULE, "json.py"))
    assert list(tools) == ["add"]
    assert json.loads("1") == 1
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    "value",
    [
        {"a": {"b": []}, "n": "no", "e": {}, "t": "a: b", "m": "two\nlines", "u": "ü", "k": "5"},
        {"list": [{"x": 1, "y": [{"z": None}]}, [1, [True]], "s"], "yes": False, "- ": 1.5},
        [{"a": [[]]}, "null", "~", "#", "é", "2026-01-01", "1e3", "0x1", ".5", "=", "<<"],
        "plain",
        {},
    ],
)
def test_the_printed_yaml_reads_back_as_it_was(value: Any) -> None:
    assert yaml.safe_load(to_yaml(value)) == value
