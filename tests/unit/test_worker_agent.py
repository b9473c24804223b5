"""An agent's turn: the scripted provider, and what is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openworld.api import TaskResult
from openworld_worker.agent import __main__ as agent
from openworld_worker.agent.scripted import Scripted, script_files
from openworld_worker.agent.turn import Turn
from openworld_worker.errors import TerminalError
from openworld_worker.report import Outcome, Status
from tests.unit.api_double import Answer, ApiDouble
from tests.unit.test_worker_report import environment


def script(folder: Path, **files: str) -> Path:
    """A folder as the kubelet mounts a ConfigMap: keys are links beside bookkeeping entries."""
    data = folder / "..2026_04_12"
    data.mkdir()
    (folder / "..data").symlink_to(data.name)
    for name, text in files.items():
        (data / name).write_text(text, encoding="utf-8")
        (folder / name).symlink_to(Path("..data") / name)
    return folder


def test_keys_are_sorted_by_their_numbers(tmp_path: Path) -> None:
    names = ["turn-10.yaml", "turn-2.yaml", "turn-1.json", "turn-1b.yaml"]
    folder = script(tmp_path, **dict.fromkeys(names, "{}"))
    assert [file.name for file in script_files(folder)] == [
        "turn-1.json",
        "turn-1b.yaml",
        "turn-2.yaml",
        "turn-10.yaml",
    ]


def test_turn_n_is_the_nth_file_in_yaml_or_json(tmp_path: Path) -> None:
    folder = script(
        tmp_path,
        **{
            "1.yaml": "tasks:\n- {type: look, input: {since: 2026-01-01}}\n",
            "2.json": '{"output": {"cause": "c"}}',
            "3.yaml": "just words",
        },
    )
    provider = Scripted(folder)
    assert provider.propose({"turn": 1}).proposal == {
        "tasks": [{"type": "look", "input": {"since": "2026-01-01"}}]
    }
    assert provider.propose({"turn": 2}) == Turn(proposal={"output": {"cause": "c"}}, model="scripted")
    assert provider.propose({"turn": 3}).proposal == "just words"


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (3, "this is turn 3, and the script's ConfigMap has 2 files: it needs one for each turn"),
        (0, "context.turn is 0, not a number from 1"),
        (1, "1.yaml of the script is empty"),
        (2, "2.yaml of the script cannot be read: "),
    ],
)
def test_a_script_that_has_no_answer_is_terminal(tmp_path: Path, turn: int, message: str) -> None:
    folder = script(tmp_path, **{"1.yaml": "# nothing\n", "2.yaml": "tasks: [\n"})
    with pytest.raises(TerminalError) as error:
        Scripted(folder).propose({"turn": turn})
    assert str(error.value).startswith(message)


def test_a_file_may_be_a_recorded_message_of_a_model(tmp_path: Path) -> None:
    said = '{"dialect": "anthropic", "message": {"content": [{"type": "text", "text": "{\\"cause\\": 1}"}]}}'
    folder = script(tmp_path, **{"1.json": said})
    plain = Scripted(folder).propose({"turn": 1, "agent": {"name": "a"}}).proposal
    assert plain["output"] == {"text": '{"cause": 1}'}
    schema = {"name": "a", "outputSchema": {"type": "object"}}
    structured = Scripted(folder).propose({"turn": 1, "agent": schema}).proposal
    assert structured["output"] == {"cause": 1}
    assert structured["raw"]["payload"]["content"][0]["type"] == "text"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "{dialect: morse, message: {}}",
            "1.yaml of the script has the dialect 'morse'; there are openai, openai-responses, anthropic, gemini, mcp",
        ),
        (
            "{dialect: [], message: {}}",
            "1.yaml of the script has the dialect []; there are openai, openai-responses, anthropic, gemini, mcp",
        ),
        ("{dialect: mcp}", "1.yaml of the script must hold dialect and message, and nothing else"),
        (
            "{dialect: mcp, message: {}, tasks: []}",
            "1.yaml of the script must hold dialect and message, and nothing else",
        ),
    ],
)
def test_a_recorded_message_that_cannot_be_one_is_terminal(tmp_path: Path, said: str, message: str) -> None:
    with pytest.raises(TerminalError) as error:
        Scripted(script(tmp_path, **{"1.yaml": said})).propose({"turn": 1})
    assert str(error.value) == message


@pytest.mark.parametrize("folder", ["gone", "."])
def test_a_script_that_is_missing_or_empty_is_terminal(tmp_path: Path, folder: str) -> None:
    """The kubelet mounts an optional ConfigMap that does not exist as an empty folder."""
    script(tmp_path)
    with pytest.raises(TerminalError) as error:
        Scripted(tmp_path / folder).propose({"turn": 2})
    assert str(error.value) == (
        "no script is mounted: the ConfigMap that the Agent's model.script names does not exist in this "
        "namespace, or is empty"
    )


class Fixed:
    """A provider with one answer."""

    def propose(self, context: dict[str, Any]) -> Turn:
        if context["goal"] == "break":
            raise ConnectionError("reset")
        return Turn(proposal={"tasks": []}, model="m", tokens_in=5, tokens_out=7)


def asked(context: Any) -> Outcome:
    return agent.answer(lambda: {"input": {}, "context": context}, {"fixed": Fixed})


def test_a_turn_is_reported_with_its_usage() -> None:
    outcome = asked({"turn": 1, "goal": "g", "model": {"provider": "fixed"}})
    assert (outcome.status, outcome.proposal) == (Status.COMPLETED, {"tasks": []})
    assert outcome.usage is not None
    assert outcome.usage | {"latencyMs": 0} == {
        "model": "m",
        "tokensIn": 5,
        "tokensOut": 7,
        "tokensCached": 0,
        "latencyMs": 0,
    }


def test_trouble_with_a_turn_is_a_failure_with_a_reason() -> None:
    trouble = asked({"turn": 1, "goal": "break", "model": {"provider": "fixed"}})
    assert (trouble.status, trouble.reason) == (Status.FAILED, "ConnectionError: reset")
    unknown = asked({"turn": 1, "model": {"provider": "oracle"}})
    assert unknown.status is Status.FAILED_WITH_TERMINAL_ERROR
    assert unknown.reason == "model.provider is 'oracle'; this image has fixed"
    missing = asked(None)
    assert missing.reason == "the task file has no `context`: it is not an agent's turn"


def test_the_command_reports_one_task_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "script"
    folder.mkdir()
    script(folder, **{"1.yaml": "rationale: why\n"})
    task = tmp_path / "task.json"
    task.write_text(json.dumps({"input": {}, "context": {"turn": 1, "model": {"provider": "scripted"}}}))
    with ApiDouble(tmp_path, lambda _: Answer(201)) as double:
        scripted = {"scripted": lambda: Scripted(folder)}
        monkeypatch.setattr(agent, "in_cluster", lambda _environ: double.server)
        assert (
            agent.main(environment(TASK_FILE=str(task), TURN="1", DEADLINE="2999-01-01T00:00:00Z"), scripted)
            == 0
        )
    spec = TaskResult.model_validate(double.asked[0].body["spec"])
    assert (spec.status, spec.proposal, spec.output) == ("Completed", {"rationale": "why"}, None)
    assert spec.usage is not None
    assert spec.usage.model == "scripted"


def test_a_turn_without_a_token_leaves_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "TERMINATION_LOG", tmp_path / "termination-log")
    assert agent.main(environment() | {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) == 1
    (message,) = tmp_path.iterdir()
    assert "has no API token" in json.loads(message.read_bytes())["reason"]
