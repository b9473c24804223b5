"""How each provider is asked and how its answer is read.

Sources: OpenAI's chat completions, Anthropic's messages.

An answer is read as what it is, text from outside: whatever has another form is a BrokenAnswerError. OpenAI's
form is spoken by many others (vLLM, llama.cpp, Ollama, gateways), at their own address.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import WorkerError
from .wire import JsonObject, encode

_OPENAI = "https://api.openai.com/v1"
_ANTHROPIC_VERSION = "2023-06-01"
#: Anthropic wants a limit in every request.
_DEFAULT_TOKENS = 4096
#: Anthropic has no mode for JSON.
_AS_JSON = "Answer with one JSON object or array and with nothing else."
_FINISHED = {
    "stop": "STOP",
    "length": "LENGTH",
    "tool_calls": "TOOL_CALLS",
    "function_call": "TOOL_CALLS",
    "content_filter": "CONTENT_FILTER",
    "end_turn": "STOP",
    "stop_sequence": "STOP",
    "max_tokens": "LENGTH",
    "model_context_window_exceeded": "LENGTH",
    "tool_use": "TOOL_CALLS",
    "refusal": "CONTENT_FILTER",
}


class BrokenAnswerError(WorkerError):
    """An answer that is not of the form it should have."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A tool that the model asks for; `arguments` as the provider gives them: JSON text, or a value."""

    id: str
    name: str
    arguments: Any


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model said."""

    text: str
    finish_reason: str
    calls: list[Call] = field(default_factory=list)
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    model: str = ""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One provider's form."""

    url: Callable[[JsonObject], str]
    headers: Callable[[JsonObject], dict[str, str]]
    body: Callable[[JsonObject], JsonObject]
    answer: Callable[[Any], Answer]
    """Raises BrokenAnswerError."""


def _openai_url(given: JsonObject) -> str:
    return f"{given['baseURL']}/chat/completions"


def _openai_headers(given: JsonObject) -> dict[str, str]:
    return {"Authorization": f"Bearer {_key(given)}"} if "apiKey" in given else {}


def _openai_body(given: JsonObject) -> JsonObject:
    # OpenAI itself has given up max_tokens; what else speaks its form may know nothing newer
    limit = "max_completion_tokens" if given["baseURL"] == _OPENAI else "max_tokens"
    names = {
        "temperature": "temperature",
        "topP": "top_p",
        "frequencyPenalty": "frequency_penalty",
        "presencePenalty": "presence_penalty",
        "maxTokens": limit,
        "reasoningEffort": "reasoning_effort",
    }
    messages = [{"role": "system", "content": text} for text in _instructions(given)]
    for message in given["messages"]:
        messages += _openai_messages(message)
    body: JsonObject = {"model": given["model"], "messages": messages}
    body |= {wire: given[name] for name, wire in names.items() if name in given}
    if given["stopWords"]:
        body["stop"] = given["stopWords"]
    if given["jsonOutput"]:
        body["response_format"] = {"type": "json_object"}
    if given["tools"]:
        body["tools"] = [
            {"type": "function", "function": _tool(tool, "parameters")} for tool in given["tools"]
        ]
    return body


def _openai_messages(message: JsonObject) -> list[JsonObject]:
    role = message["role"]
    if role == "tool":
        return [
            {"role": "tool", "tool_call_id": call["taskReferenceName"], "content": _output(call)}
            for call in message["toolCalls"]
        ]
    if role != "tool_call":
        return [{"role": role, "content": message["message"]}]
    calls = [
        {
            "id": call["taskReferenceName"],
            "type": "function",
            "function": {"name": call["name"], "arguments": encode(_arguments(call)).decode()},
        }
        for call in message["toolCalls"]
    ]
    return [{"role": "assistant", "content": message.get("message") or None, "tool_calls": calls}]


def _openai_answer(value: Any) -> Answer:
    choice = _object(_first(_object(value).get("choices"), "choices"))
    message = _object(choice.get("message"))
    refusal = _text(message.get("refusal"))
    usage = _object(_object(value).get("usage"))
    calls = [
        Call(id=_text(call.get("id")), name=_text(function.get("name")), arguments=function.get("arguments"))
        for call in map(_object, _list(message.get("tool_calls")))
        for function in [_object(call.get("function"))]
    ]
    return Answer(
        text=refusal or _text(message.get("content")),
        finish_reason="CONTENT_FILTER" if refusal else _finish(choice.get("finish_reason"), calls),
        calls=calls,
        tokens_in=_count(usage.get("prompt_tokens")),
        tokens_out=_count(usage.get("completion_tokens")),
        tokens_cached=_count(_object(usage.get("prompt_tokens_details")).get("cached_tokens")),
        model=_text(_object(value).get("model")),
    )


def _anthropic_url(given: JsonObject) -> str:
    return f"{given['baseURL'].removesuffix('/v1')}/v1/messages"


def _anthropic_headers(given: JsonObject) -> dict[str, str]:
    key = {"x-api-key": _key(given)} if "apiKey" in given else {}
    return {"anthropic-version": _ANTHROPIC_VERSION, **key}


def _anthropic_body(given: JsonObject) -> JsonObject:
    names = {"temperature": "temperature", "topP": "top_p", "topK": "top_k"}
    thinking = given.get("thinkingTokenLimit", 0)
    told = [message for message in given["messages"] if message["role"] != "system"]
    system = _instructions(given) + [m["message"] for m in given["messages"] if m["role"] == "system"]
    if given["jsonOutput"]:
        system.append(_AS_JSON)
    body: JsonObject = {
        "model": given["model"],
        "max_tokens": given.get("maxTokens", _DEFAULT_TOKENS + thinking),
        "messages": [_anthropic_message(message) for message in told],
    }
    if system:
        body["system"] = "\n\n".join(system)
    body |= {wire: given[name] for name, wire in names.items() if name in given}
    if given["stopWords"]:
        body["stop_sequences"] = given["stopWords"]
    if thinking:
        body["thinking"] = {"type": "enabled", "budget_tokens": thinking}
    if given["tools"]:
        body["tools"] = [_tool(tool, "input_schema") for tool in given["tools"]]
    return body


def _anthropic_message(message: JsonObject) -> JsonObject:
    role = message["role"]
    if role == "tool":
        results = [
            {"type": "tool_result", "tool_use_id": call["taskReferenceName"], "content": _output(call)}
            for call in message["toolCalls"]
        ]
        return {"role": "user", "content": results}
    if role != "tool_call":
        return {"role": role, "content": message["message"]}
    said = [{"type": "text", "text": message["message"]}] if message.get("message") else []
    calls = [
        {
            "type": "tool_use",
            "id": call["taskReferenceName"],
            "name": call["name"],
            "input": _arguments(call),
        }
        for call in message["toolCalls"]
    ]
    return {"role": "assistant", "content": [*said, *calls]}


def _anthropic_answer(value: Any) -> Answer:
    said = _object(value)
    if not isinstance(said.get("content"), list):
        raise BrokenAnswerError("there is no list `content` in it")
    blocks = [_object(block) for block in said["content"]]
    usage = _object(said.get("usage"))
    cached = _count(usage.get("cache_read_input_tokens"))
    calls = [
        Call(id=_text(block.get("id")), name=_text(block.get("name")), arguments=block.get("input"))
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    return Answer(
        text="".join(_text(block.get("text")) for block in blocks if block.get("type") == "text"),
        finish_reason=_finish(said.get("stop_reason"), calls),
        calls=calls,
        tokens_in=_count(usage.get("input_tokens"))
        + cached
        + _count(usage.get("cache_creation_input_tokens")),
        tokens_out=_count(usage.get("output_tokens")),
        tokens_cached=cached,
        model=_text(said.get("model")),
    )


DIALECTS: Mapping[str, Dialect] = {
    "openai": Dialect(url=_openai_url, headers=_openai_headers, body=_openai_body, answer=_openai_answer),
    "anthropic": Dialect(
        url=_anthropic_url, headers=_anthropic_headers, body=_anthropic_body, answer=_anthropic_answer
    ),
}


def _key(given: JsonObject) -> str:
    """The key as it is sent: a file that became a Secret often ends with a line break."""
    return str(given["apiKey"]).strip()


def _instructions(given: JsonObject) -> list[str]:
    return [given["instructions"]] if "instructions" in given else []


def _tool(tool: JsonObject, schema: str) -> JsonObject:
    said: JsonObject = {"name": tool["name"], schema: tool.get("inputSchema") or {"type": "object"}}
    if tool.get("description"):
        said["description"] = tool["description"]
    return said


def _arguments(call: JsonObject) -> JsonObject:
    """What the model had written: without the `method` that was added to it."""
    given = call.get("inputParameters") or {}
    return {name: value for name, value in given.items() if (name, value) != ("method", call["name"])}


def _output(call: JsonObject) -> str:
    output = call.get("output")
    return output if isinstance(output, str) else encode(output if output is not None else {}).decode()


def _finish(reason: Any, calls: list[Call]) -> str:
    if calls:
        return "TOOL_CALLS"
    return _FINISHED.get(reason, "OTHER") if isinstance(reason, str) else "OTHER"


def _object(value: Any) -> JsonObject:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BrokenAnswerError("what should be an object is none")
    return value


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise BrokenAnswerError("what should be a list is none")
    return value


def _first(value: Any, name: str) -> Any:
    if not isinstance(value, list) or not value:
        raise BrokenAnswerError(f"there is no list `{name}` in it")
    return value[0]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BrokenAnswerError("what should be text is none")
    return value


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
