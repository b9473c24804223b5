"""LLM_CHAT_COMPLETE's worker against fake providers on the loopback address: what is sent, what answers become."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from openworld.language.completions import completion_of
from openworld_worker import builtin
from openworld_worker.completion import ANSWER_LIMIT, MOST_TRIES, complete
from openworld_worker.completion_dialects import DIALECTS, BrokenAnswerError
from openworld_worker.report import RESULT_LIMIT, Outcome, Status
from tests.unit.api_double import Answer, ApiDouble
from tests.unit.test_worker_builtin import Asked, Said, Service, as_json, serving
from tests.unit.test_worker_report import environment

SECRET = "sk-very-secret"
TOOL = {"name": "look", "description": "Looks.", "inputSchema": {"type": "object", "properties": {"x": {}}}}
CALLS = [
    {
        "taskReferenceName": "c1",
        "name": "look",
        "inputParameters": {"x": 1, "method": "look"},
        "output": {"y": 2},
    }
]
TALK = [
    {"role": "system", "message": "Be brief."},
    {"role": "user", "message": "Hi"},
    {"role": "assistant", "message": "Yes?"},
    {"role": "tool_call", "toolCalls": CALLS},
    {"role": "tool", "toolCalls": CALLS},
]  # fmt: skip


def openai(text: Any = "Hello", *, finish: str = "stop", **message: Any) -> Said:
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": text, **message},
    }
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    return as_json({"id": "x", "model": "m-2026", "choices": [choice], "usage": usage})


def anthropic(*content: Any, stop: str = "end_turn", **more: Any) -> Said:
    usage = {
        "input_tokens": 5,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 1,
        "output_tokens": 3,
    }
    blocks = list(content) or [{"type": "text", "text": "Hello"}]
    return as_json({"model": "m-2026", "content": blocks, "stop_reason": stop, "usage": usage, **more})


def given_to(url: str, **given: Any) -> dict[str, Any]:
    """What the operator hands over, with the secret in its place."""
    said = {"llmProvider": "openai", "model": "m", "userInput": "Hi", "baseURL": url, **given}
    if "messages" in given:
        del said["userInput"]
    return completion_of(said) | {"apiKey": f"{SECRET}\n"}


def ask(
    said: Any, *, seconds: float = 3600.0, pauses: list[float] | None = None, **given: Any
) -> tuple[Service, Outcome]:
    taken = pauses if pauses is not None else []
    with serving(said) as service:
        return service, complete(given_to(service.url, **given), seconds, taken.append)


def sent(service: Service) -> Any:
    [asked] = service.asked
    return json.loads(asked.body)


def result(outcome: Outcome) -> Any:
    assert outcome.status is Status.COMPLETED, outcome.reason
    assert outcome.output is not None
    return outcome.output["result"]


# What is sent.


def test_openai_is_asked_in_its_form() -> None:
    settings = {
        "temperature": 0.5, "topP": 0.9, "maxTokens": 7, "stopWords": ["END"], "frequencyPenalty": 1,
        "presencePenalty": -1, "reasoningEffort": "low", "jsonOutput": True, "tools": [TOOL],
    }  # fmt: skip
    service, _ = ask(openai('{"a": 1}'), instructions="You sort.", messages=TALK, **settings)
    [asked] = service.asked
    assert (asked.method, asked.path) == ("POST", "/chat/completions")
    assert asked.headers["Authorization"] == f"Bearer {SECRET}"
    assert sent(service) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "You sort."},
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Yes?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"x":1}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": '{"y":2}'},
        ],
        "temperature": 0.5,
        "top_p": 0.9,
        "frequency_penalty": 1,
        "presence_penalty": -1,
        "max_tokens": 7,
        "reasoning_effort": "low",
        "stop": ["END"],
        "response_format": {"type": "json_object"},
        "tools": [
            {
                "type": "function",
                "function": {"name": "look", "description": "Looks.", "parameters": TOOL["inputSchema"]},
            }
        ],
    }


def test_anthropic_is_asked_in_its_form() -> None:
    settings = {
        "temperature": 1,
        "topP": 0.9,
        "topK": 4,
        "stopWords": ["END"],
        "jsonOutput": True,
        "tools": [TOOL],
    }
    service, _ = ask(
        anthropic({"type": "text", "text": "{}"}), llmProvider="anthropic", instructions="You sort.", messages=TALK, **settings
    )  # fmt: skip
    [asked] = service.asked
    assert (asked.method, asked.path) == ("POST", "/v1/messages")
    assert (asked.headers["x-api-key"], asked.headers["anthropic-version"]) == (SECRET, "2023-06-01")
    assert "Authorization" not in asked.headers
    assert sent(service) == {
        "model": "m",
        "max_tokens": 4096,
        "system": "You sort.\n\nBe brief.\n\nAnswer with one JSON object or array and with nothing else.",
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {"x": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": '{"y":2}'}]},
        ],
        "temperature": 1,
        "top_p": 0.9,
        "top_k": 4,
        "stop_sequences": ["END"],
        "tools": [{"name": "look", "description": "Looks.", "input_schema": TOOL["inputSchema"]}],
    }  # fmt: skip


def test_thinking_has_its_tokens_beside_those_of_the_answer() -> None:
    service, _ = ask(anthropic(), llmProvider="anthropic", thinkingTokenLimit=2048)
    body = sent(service)
    assert (body["thinking"], body["max_tokens"]) == ({"type": "enabled", "budget_tokens": 2048}, 6144)


def test_a_base_with_its_version_is_taken_for_what_it_is() -> None:
    with serving(anthropic()) as service:
        given = given_to(service.url + "/v1", llmProvider="anthropic")
        assert result(complete(given, 60.0)) == "Hello"
    assert service.asked[0].path == "/v1/messages"


def test_openai_itself_is_told_the_limit_by_its_new_name() -> None:
    given = completion_of(
        {
            "llmProvider": "openai",
            "model": "m",
            "userInput": "Hi",
            "maxTokens": 5,
            "baseURL": "https://api.openai.com/v1",
        }
    )
    assert DIALECTS["openai"].body(given)["max_completion_tokens"] == 5
    assert DIALECTS["openai"].headers(given) == {}
    assert DIALECTS["anthropic"].headers(given) == {"anthropic-version": "2023-06-01"}


# What comes back.


@pytest.mark.parametrize(("provider", "said"), [("openai", openai()), ("anthropic", anthropic())])
def test_an_answer_has_conductors_form_and_says_what_it_used(provider: str, said: Said) -> None:
    _, outcome = ask(said, llmProvider=provider)
    assert outcome.output == {
        "result": "Hello",
        "finishReason": "STOP",
        "tokenUsed": 12,
        "promptTokens": 9,
        "completionTokens": 3,
    }
    assert outcome.usage is not None
    assert outcome.usage.pop("latencyMs") >= 0
    cached = {"openai": 4, "anthropic": 3}[provider]
    assert outcome.usage == {"tokensIn": 9, "tokensOut": 3, "tokensCached": cached, "model": "m-2026"}


@pytest.mark.parametrize(
    ("provider", "said", "reason"),
    [
        ("openai", openai("Hel", finish="length"), "LENGTH"),
        ("openai", openai(None, refusal="I will not."), "CONTENT_FILTER"),
        ("openai", openai("x", finish="<script>"), "OTHER"),
        ("anthropic", anthropic(stop="max_tokens"), "LENGTH"),
        ("anthropic", anthropic(stop="stop_sequence"), "STOP"),
        ("anthropic", anthropic(stop="refusal"), "CONTENT_FILTER"),
    ],
)
def test_why_it_ended_is_said_in_the_same_words_by_all(provider: str, said: Said, reason: str) -> None:
    _, outcome = ask(said, llmProvider=provider)
    assert outcome.output is not None
    assert outcome.output["finishReason"] == reason


@pytest.mark.parametrize(
    ("text", "as_json_output", "value"),
    [
        ('{"a": 1}', False, {"a": 1}),
        ('```json\n{"a": 1}\n```', False, {"a": 1}),
        ("[1]", False, "[1]"),
        ("12", False, "12"),
        ("{a: 1}", False, "{a: 1}"),
        ('{"a": NaN}', False, '{"a": NaN}'),
        ("", False, ""),
        (' {"a": [1, 2]} ', True, {"a": [1, 2]}),
        ("[1]", True, [1]),
        ("```\n[1]\n```", True, [1]),
    ],
)
def test_json_is_read_where_it_is_json(text: str, as_json_output: bool, value: Any) -> None:
    assert result(ask(openai(text), jsonOutput=as_json_output)[1]) == value


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (openai("Sure! {}"), "jsonOutput: the model's answer is no JSON"),
        (openai('{"a": NaN}'), "NaN is no JSON"),
        (openai('{"a": "\\ud800"}'), "half a surrogate pair"),
        (openai("[" * 100_000), "no JSON"),
        (openai('{"a": [1,', finish="length"), "it was cut, see maxTokens"),
        (openai("12"), "is no object or list: 12"),
        (openai(""), "nothing"),
    ],
)
def test_broken_json_is_a_failure_that_counts_its_tokens(said: Said, told: str) -> None:
    _, outcome = ask(said, jsonOutput=True)
    assert (outcome.status, outcome.output) == (Status.FAILED, None)
    assert told in outcome.reason
    assert len(outcome.reason) < 1000
    assert outcome.usage is not None
    assert outcome.usage["tokensIn"] == 9


def function(name: str = "look", arguments: Any = '{"x": 1}', id_: Any = "call_7") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("openai", openai(None, finish="tool_calls", tool_calls=[function(), function(id_="7 !")])),
        (
            "anthropic",
            anthropic(
                {"type": "tool_use", "id": "call_7", "name": "look", "input": {"x": 1}},
                {"type": "tool_use", "id": "", "name": "look", "input": {"x": 1}},
                stop="tool_use",
            ),
        ),
    ],
)
def test_tools_that_the_model_asks_for_are_told_and_not_called(provider: str, said: Said) -> None:
    tool = {**TOOL, "type": "CALL_MCP_TOOL", "integrationNames": {"MCP": "tracker"}}
    _, outcome = ask(said, llmProvider=provider, tools=[tool], jsonOutput=True)
    assert result(outcome) == ""
    assert outcome.output is not None
    assert outcome.output["finishReason"] == "TOOL_CALLS"
    wanted = {
        "name": "look",
        "type": "CALL_MCP_TOOL",
        "inputParameters": {"x": 1, "method": "look"},
        "integrationNames": {"MCP": "tracker"},
    }
    assert outcome.output["toolCalls"] == [
        {"taskReferenceName": "call_7", **wanted},
        {"taskReferenceName": "call_2", **wanted},
    ]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (function("rm_rf"), "asks for the tool 'rm_rf', which it was not offered"),
        (function(arguments="{x"), "arguments for look are no JSON"),
        (function(arguments="[1]"), "arguments for look are no object"),
        (function(arguments=None), "arguments for look are no object"),
    ],
)
def test_a_tool_that_cannot_be_called_fails_the_attempt(wanted: Any, told: str) -> None:
    _, outcome = ask(openai(None, tool_calls=[wanted]), tools=[TOOL])
    assert outcome.status is Status.FAILED
    assert told in outcome.reason
    assert outcome.usage is not None


@pytest.mark.parametrize(
    "said",
    [
        Said(200, b"<html>login</html>", {"Content-Type": "text/html"}),
        Said(200, b"\xff\xfe"),
        as_json([]),
        as_json({"choices": []}),
        as_json({"choices": [{"message": []}]}),
        as_json({"choices": [{"message": {"content": ["x"]}}]}),
        as_json({"choices": [{"message": {"content": "x", "tool_calls": {}}}]}),
        as_json({"choices": [{"message": {"content": "x"}}], "usage": "many"}),
    ],
)
def test_what_is_no_answer_of_a_model_fails_the_attempt(said: Said) -> None:
    _, outcome = ask(said)
    assert outcome.status is Status.FAILED
    assert "gave no answer of a model" in outcome.reason


def test_what_anthropic_never_says_fails_the_attempt() -> None:
    _, outcome = ask(as_json({"content": "Hello"}), llmProvider="anthropic")
    assert "there is no list `content` in it" in outcome.reason


@pytest.mark.parametrize("value", [None, -5, "7", True, 1.5, 2**70])
def test_a_count_of_tokens_that_makes_no_sense_is_bounded(value: Any) -> None:
    choice = {"message": {"content": "x"}, "finish_reason": "stop"}
    _, outcome = ask(as_json({"choices": [choice], "usage": {"prompt_tokens": value}}))
    assert outcome.status in (Status.COMPLETED, Status.FAILED)
    tokens = (outcome.usage or {"tokensIn": 0})["tokensIn"]
    assert 0 <= tokens <= 1_000_000_000


@pytest.mark.parametrize("size", [RESULT_LIMIT, ANSWER_LIMIT])
def test_an_answer_larger_than_a_result_may_be_is_a_clear_failure(size: int) -> None:
    _, outcome = ask(openai("x" * size))
    assert outcome.status is Status.FAILED_WITH_TERMINAL_ERROR
    assert "more than the 1,000,000 bytes that a result may hold; set maxTokens" in outcome.reason


# When it does not come.


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_an_overloaded_provider_is_asked_again_with_growing_pauses(status: int) -> None:
    answers = [as_json({"error": {}}, status)] * 3 + [openai()]
    pauses: list[float] = []
    service, outcome = ask(lambda _asked: answers[len(service_of(_asked)) - 1], pauses=pauses)
    assert result(outcome) == "Hello"
    assert len(service.asked) == 4
    assert [0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(pauses)] == [True] * 3


_ASKED: list[Asked] = []


def service_of(asked: Asked) -> list[Asked]:
    _ASKED.append(asked)
    return _ASKED


@pytest.fixture(autouse=True)
def _forget() -> None:
    _ASKED.clear()


def test_it_is_given_up_after_some_tries() -> None:
    service, outcome = ask(as_json({"error": {"message": "busy"}}, 529), llmProvider="anthropic")
    assert (len(service.asked), outcome.status) == (MOST_TRIES, Status.FAILED)
    assert outcome.reason.endswith('{"error": {"message": "busy"}}; tried 6 times')


def test_the_pause_that_a_provider_asks_for_is_made() -> None:
    said = [replace(as_json({}, 429), headers={"Retry-After": "17"}), openai()]
    pauses: list[float] = []
    _, outcome = ask(lambda asked: said[len(service_of(asked)) - 1], pauses=pauses)
    assert (result(outcome), pauses) == ("Hello", [17.0])


def test_a_pause_until_a_date_is_made() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    said = [replace(as_json({}, 503), headers={"Retry-After": at}), openai()]
    pauses: list[float] = []
    ask(lambda asked: said[len(service_of(asked)) - 1], pauses=pauses)
    assert 20 < pauses[0] <= 30


@pytest.mark.parametrize(("asked_for", "seconds"), [("3000", 3600.0), ("30", 20.0)])
def test_a_pause_longer_than_the_attempt_can_make_ends_it(asked_for: str, seconds: float) -> None:
    said = replace(as_json({}, 429), headers={"Retry-After": asked_for})
    pauses: list[float] = []
    service, outcome = ask(said, seconds=seconds, pauses=pauses)
    assert (len(service.asked), outcome.status, pauses) == (1, Status.FAILED, [])
    assert f"it asks to wait for {asked_for} s, longer than this attempt can" in outcome.reason


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_is_refused_is_not_asked_again(status: int) -> None:
    service, outcome = ask(as_json({"error": {"message": "no such key"}}, status))
    assert (len(service.asked), outcome.status) == (1, Status.FAILED_WITH_TERMINAL_ERROR)
    assert "no such key" in outcome.reason


def test_a_quota_that_is_spent_is_no_rate_limit() -> None:
    service, outcome = ask(as_json({"error": {"code": "insufficient_quota"}}, 429))
    assert (len(service.asked), outcome.status) == (1, Status.FAILED_WITH_TERMINAL_ERROR)


def test_a_redirect_is_not_followed_with_the_key() -> None:
    with serving(openai()) as elsewhere:
        service, outcome = ask(Said(307, headers={"Location": elsewhere.url}))
    assert (len(service.asked), elsewhere.asked) == (1, [])
    assert "which is not followed" in outcome.reason


@pytest.mark.parametrize("said", [Said(drops=True), Said(hangs=True)])
def test_an_answer_that_never_came_may_be_asked_for_again(said: Said) -> None:
    with serving(said) as service:
        outcome = builtin.call("llm-chat-complete", given_to(service.url), key="k", seconds=0.2)
    assert outcome.status is Status.FAILED
    assert not outcome.reason.startswith("OutcomeUnknown")


def test_a_provider_that_is_not_there_may_be_asked_again() -> None:
    outcome = builtin.call("llm-chat-complete", given_to("http://127.0.0.1:1"), key="k")
    assert outcome.status is Status.FAILED
    assert "cannot connect" in outcome.reason


def test_a_key_that_the_answer_repeats_does_not_enter_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tmp_path / "task.json"
    monkeypatch.setenv("OPENWORLD_SECRET_0", f"{SECRET}\n")
    monkeypatch.setattr("openworld_worker.runner.in_cluster", lambda _environ: double.server)
    environ = environment(TASK_FILE=str(task), REPORT="TaskResult", DEADLINE="2999-01-01T00:00:00Z")
    environ["OPENWORLD_SECRET_0"] = f"{SECRET}\n"

    def echo(asked: Asked) -> Said:
        key = asked.headers["Authorization"].removeprefix("Bearer ")
        choice = {"message": {"content": json.dumps({key: [key]})}, "finish_reason": "stop"}
        return as_json({"model": key, "choices": [choice], "usage": {"prompt_tokens": 3}})

    with serving(echo) as service, ApiDouble(tmp_path, lambda _asked: Answer(201)) as double:
        given = given_to(service.url) | {"apiKey": "$(OPENWORLD_SECRET_0)"}
        places = [{"path": ["apiKey"], "env": "OPENWORLD_SECRET_0"}]
        task.write_text(json.dumps({"input": given, "secrets": places}))
        assert builtin.main(["llm-chat-complete"], environ) == 0
    spec = double.asked[0].body["spec"]
    assert spec["output"]["result"] == {"***": ["***"]}
    assert (spec["usage"]["tokensIn"], spec["usage"]["model"]) == (3, "***")
    assert SECRET not in json.dumps(spec)


WORDS = st.sampled_from(
    [
        "choices", "message", "content", "tool_calls", "function", "name", "arguments", "id", "usage", "prompt_tokens",
        "finish_reason", "stop_reason", "type", "text", "tool_use", "input", "refusal", "model", "input_tokens",
    ]
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)


@drawn(value=ANYTHING, provider=st.sampled_from(sorted(DIALECTS)))
def test_whatever_a_provider_says_is_an_answer_or_refused(value: Any, provider: str) -> None:
    try:
        answer = DIALECTS[provider].answer(value)
    except BrokenAnswerError:
        return
    assert answer.finish_reason in ("STOP", "LENGTH", "TOOL_CALLS", "CONTENT_FILTER", "OTHER")
    assert min(answer.tokens_in, answer.tokens_out, answer.tokens_cached) >= 0
