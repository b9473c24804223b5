"""Models' messages in each dialect, and what is told to the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from openworld.governance import judge
from openworld_worker.agent.dialects import normalise, results
from tests.support.governance import question

ABSENT: Any = object()


def without_absent(**fields: Any) -> dict[str, Any]:
    """The entries that are there."""
    return {key: value for key, value in fields.items() if value is not ABSENT}


@dataclass(frozen=True)
class Spoken:
    """How a dialect says a call and a text; `decoded` when arguments come as an object."""

    call: Callable[..., Any]
    message: Callable[..., Any]
    decoded: bool
    truncated: Callable[[Any], Any] | None = None


def openai_call(call_id: Any, name: Any, arguments: Any) -> Any:
    function = without_absent(name=name, arguments=arguments)
    return without_absent(id=call_id, type="function", function=function)


def openai_message(*calls: Any, text: str = "") -> Any:
    return {"role": "assistant", "content": text or None, "tool_calls": list(calls)}


def responses_call(call_id: Any, name: Any, arguments: Any) -> Any:
    return without_absent(
        type="function_call", id="fc_1", call_id=call_id, name=name, arguments=arguments, status="completed"
    )


def responses_message(*calls: Any, text: str = "") -> Any:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return {
        "status": "completed",
        "output": [{"type": "reasoning", "summary": []}, *([said] if text else []), *calls],
    }


def anthropic_call(call_id: Any, name: Any, arguments: Any) -> Any:
    return without_absent(type="tool_use", id=call_id, name=name, input=arguments)


def anthropic_message(*calls: Any, text: str = "") -> Any:
    said = [{"type": "text", "text": text}] if text else []
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    return {"role": "assistant", "content": [thought, *said, *calls], "stop_reason": "tool_use"}


def gemini_call(call_id: Any, name: Any, arguments: Any) -> Any:
    return {"functionCall": without_absent(id=call_id, name=name, args=arguments), "thoughtSignature": "s"}


def gemini_message(*calls: Any, text: str = "") -> Any:
    thought = {"text": "hm", "thought": True}
    parts = [thought, *([{"text": text}] if text else []), *calls]
    return {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}


def mcp_call(call_id: Any, name: Any, arguments: Any) -> Any:
    params = without_absent(name=name, arguments=arguments)
    return without_absent(jsonrpc="2.0", id=call_id, method="tools/call", params=params)


def mcp_message(*calls: Any, text: str = "") -> Any:  # noqa: ARG001 - a request has no text beside it
    return list(calls)


SPOKEN = {
    "openai": Spoken(
        openai_call, openai_message, False, lambda m: {"choices": [{"message": m, "finish_reason": "length"}]}
    ),
    "openai-responses": Spoken(
        responses_call, responses_message, False, lambda m: {**m, "status": "incomplete"}
    ),
    "anthropic": Spoken(
        anthropic_call, anthropic_message, True, lambda m: {**m, "stop_reason": "max_tokens"}
    ),
    "gemini": Spoken(
        gemini_call,
        gemini_message,
        True,
        lambda m: {"candidates": [{**m["candidates"][0], "finishReason": "MAX_TOKENS"}]},
    ),
    "mcp": Spoken(mcp_call, mcp_message, True),
}
every = pytest.mark.parametrize("dialect", SPOKEN)


def call(dialect: str, call_id: Any, name: Any, arguments: Any) -> Any:
    """A call; arguments that are an object are said as the dialect says them."""
    if isinstance(arguments, dict) and not SPOKEN[dialect].decoded:
        arguments = json.dumps(arguments)
    return SPOKEN[dialect].call(call_id, name, arguments)


def read(dialect: str, *calls: Any, text: str = "", **more: Any) -> dict[str, Any]:
    """A message as a proposal."""
    return normalise(dialect, SPOKEN[dialect].message(*calls, text=text), **more)


def told(dialect: str, proposal: dict[str, Any]) -> list[dict[str, Any]]:
    """What a proposal's calls are told when tools `look` return 7 and all else is denied."""
    return results(dialect, [turn_of(proposal)])


def turn_of(proposal: dict[str, Any]) -> dict[str, Any]:
    """A turn with that proposal, the verdict on it, and the outcomes of what was allowed."""
    verdict = judge(question(), proposal)
    records = [item.record() for item in verdict.items]
    done = [r["ref"] for r in records if r["decision"] == "Allowed"]
    outcomes = [{"ref": ref, "status": "Completed", "output": {"n": 7}} for ref in done]
    past = {"turn": 1, "proposal": proposal, "verdict": records, "results": outcomes}
    return {**past, "problem": verdict.problem} if verdict.problem else past


def answered(dialect: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What each call id was told; fails when one was told twice."""
    found: list[tuple[str, Any]] = []
    for message in messages:
        if dialect == "openai" and message["role"] == "tool":
            found.append((message["tool_call_id"], json.loads(message["content"])))
        elif dialect == "openai-responses" and message.get("type") == "function_call_output":
            found.append((message["call_id"], json.loads(message["output"])))
        elif dialect == "anthropic":
            blocks = [block for block in message["content"] if block["type"] == "tool_result"]
            found += [(block["tool_use_id"], json.loads(block["content"])) for block in blocks]
        elif dialect == "gemini":
            responses = [p["functionResponse"] for p in message["parts"] if "functionResponse" in p]
            found += [(response.get("id", response["name"]), response["response"]) for response in responses]
        elif dialect == "mcp" and "id" in message:
            found.append((message["id"], message["result"]["structuredContent"]))
    told_once = dict(found)
    assert len(told_once) == len(found)
    return told_once
