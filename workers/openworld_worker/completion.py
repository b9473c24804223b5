"""One completion: ask the model, wait where it is overloaded, and give its answer Conductor's form.

A model's text decides nothing here but what the result is: its size is bounded, its JSON read strictly, and
it can ask for no tool that it was not offered. Providers' own forms are in `completion_dialects`.

Plain HTTP by `exchange`, not a library: two small JSON formats, whose bounds (size, redirects, time, proxies)
are then the same as those of any other request.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from .answers import strict_json, text_of, told
from .completion_dialects import DIALECTS, Answer, BrokenAnswerError, Call
from .exchange import Request, Response, exchange
from .report import RESULT_LIMIT, Outcome, Status, failed, stored_size
from .wire import JsonObject, clip, encode, to_json

#: Bytes of a provider's whole answer, which says more than the result.
ANSWER_LIMIT = 4 * RESULT_LIMIT
MOST_TRIES = 6
#: Seconds. A provider that asks for a longer pause is given up: the task's own retries wait without a pod.
LONGEST_PAUSE = 60.0
_FIRST_PAUSE, _LONGEST_OWN_PAUSE = 1.0, 30.0
_CONNECT_SECONDS = 10.0
#: The provider has too much to do, or is not well: the same request may succeed in a moment.
_BUSY = (408, 409, 425, 429, 500, 502, 503, 504, 529)
#: What OpenAI calls a rate limit and no waiting helps: nothing is left that is paid for.
_SPENT = ("insufficient_quota", "billing_hard_limit_reached")
_SHOWN_OF_A_TEXT = 300
_FENCE = "```"
#: How an expression can name a call, which may become a task.
_REF = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,126}")
_MOST_TOKENS = 1_000_000_000

log = logging.getLogger("openworld.worker")


def complete(given: JsonObject, seconds: float, sleep: Callable[[float], None] = time.sleep) -> Outcome:
    """Ask a model for one answer, within so many seconds.

    Raises:
        NotSentError: There is no connection.
        NoAnswerError: No whole answer came.
    """
    dialect = DIALECTS[given["llmProvider"]]
    ends = time.monotonic() + seconds
    request = Request(
        method="POST",
        url=dialect.url(given),
        headers={"Content-Type": "application/json", "Accept": "application/json", **dialect.headers(given)},
        body=encode(dialect.body(given)),
        connect_seconds=_CONNECT_SECONDS,
    )
    for tries in range(1, MOST_TRIES + 1):
        began = time.monotonic()
        response = exchange(replace(request, read_seconds=max(1.0, ends - began)), ANSWER_LIMIT)
        if 200 <= response.status < 300:
            latency_ms = int((time.monotonic() - began) * 1000)
            return _outcome(given, request, response, dialect.answer, latency_ms)
        said = told(request, response)
        if response.status not in _BUSY or _is_spent(response):
            return failed(said, terminal=400 <= response.status < 500)
        pause = _pause(response, tries)
        if pause > min(LONGEST_PAUSE, ends - time.monotonic()):
            return failed(f"{said}; it asks to wait for {pause:.0f} s, longer than this attempt can")
        if tries < MOST_TRIES:
            log.warning("%s answered %d; next try in %.1f s", request.shown, response.status, pause)
            sleep(pause)
    return failed(f"{said}; tried {MOST_TRIES} times")


def _outcome(
    given: JsonObject,
    request: Request,
    response: Response,
    read: Callable[[Any], Answer],
    latency_ms: int,
) -> Outcome:
    too_large = (
        f"{request.shown} answered with more than the {RESULT_LIMIT:,} bytes that a result may hold; "
        "set maxTokens"
    )
    if response.is_cut:
        return failed(too_large, terminal=True)
    try:
        answer = read(strict_json(text_of(response)))
    except (ValueError, BrokenAnswerError) as error:
        text = text_of(response, errors="replace")
        return failed(f"{request.shown} gave no answer of a model: {error}: {clip(text, _SHOWN_OF_A_TEXT)}")
    usage = _usage(given, answer, latency_ms)
    try:
        output = _output(given, answer, usage)
    except BrokenAnswerError as error:
        return replace(failed(str(error)), usage=usage)
    if stored_size(output) > RESULT_LIMIT:
        return replace(failed(too_large, terminal=True), usage=usage)
    return Outcome(status=Status.COMPLETED, output=output, usage=usage)


def _usage(given: JsonObject, answer: Answer, latency_ms: int) -> JsonObject:
    """What was consumed, as the provider says it."""
    return {
        "tokensIn": min(answer.tokens_in, _MOST_TOKENS),
        "tokensOut": min(answer.tokens_out, _MOST_TOKENS),
        "tokensCached": min(answer.tokens_cached, _MOST_TOKENS),
        "model": clip(answer.model or given["model"], 253),
        "latencyMs": latency_ms,
    }


def _output(given: JsonObject, answer: Answer, usage: JsonObject) -> JsonObject:
    """The answer in Conductor's form (LLMResponse)."""
    output: JsonObject = {
        "result": answer.text if answer.calls else _result(given, answer),
        "finishReason": answer.finish_reason,
        "tokenUsed": usage["tokensIn"] + usage["tokensOut"],
        "promptTokens": usage["tokensIn"],
        "completionTokens": usage["tokensOut"],
    }
    if answer.calls:
        output["toolCalls"] = [
            _tool_call(call, index, given["tools"]) for index, call in enumerate(answer.calls)
        ]
    return output


def _result(given: JsonObject, answer: Answer) -> Any:
    """With jsonOutput the object or list that the text is; else, as in Conductor, an object if it is one."""
    try:
        value = strict_json(_bare(answer.text))
    except ValueError as error:
        if not given["jsonOutput"]:
            return answer.text
        cut = "; it was cut, see maxTokens" if answer.finish_reason == "LENGTH" else ""
        shown = clip(answer.text, _SHOWN_OF_A_TEXT) or "nothing"
        raise BrokenAnswerError(
            f"jsonOutput: the model's answer is no JSON: {error}{cut}: {shown}"
        ) from error
    if isinstance(value, dict):
        return value
    if not given["jsonOutput"]:
        return answer.text
    if isinstance(value, list):
        return value
    raise BrokenAnswerError(
        f"jsonOutput: the model's answer is no object or list: {clip(answer.text, _SHOWN_OF_A_TEXT)}"
    )


def _bare(text: str) -> str:
    """A text without the fence of Markdown that models put around JSON."""
    text = text.strip()
    first, _, rest = text.partition("\n")
    if first in (_FENCE, f"{_FENCE}json") and rest.endswith(_FENCE):
        return rest.removesuffix(_FENCE)
    return text


def _tool_call(call: Call, index: int, tools: list[JsonObject]) -> JsonObject:
    """A call in Conductor's form (ToolCall); `method` is what CALL_MCP_TOOL reads."""
    offered = next((tool for tool in tools if tool["name"] == call.name), None)
    if offered is None:
        raise BrokenAnswerError(
            f"the model asks for the tool {clip(call.name, 80)!r}, which it was not offered"
        )
    arguments = call.arguments
    if isinstance(arguments, str):
        try:
            arguments = strict_json(arguments or "{}")
        except ValueError as error:
            raise BrokenAnswerError(
                f"the model's arguments for {call.name} are no JSON: {error}: "
                f"{clip(arguments, _SHOWN_OF_A_TEXT)}"
            ) from error
    if not isinstance(arguments, dict):
        raise BrokenAnswerError(f"the model's arguments for {call.name} are no object")
    said: JsonObject = {
        "taskReferenceName": call.id if _REF.fullmatch(call.id) else f"call_{index + 1}",
        "name": call.name,
        "type": offered.get("type") or "SIMPLE",
        "inputParameters": {**arguments, "method": call.name},
    }
    if offered.get("integrationNames"):
        said["integrationNames"] = offered["integrationNames"]
    return to_json(said)  # type: ignore[no-any-return]


def _is_spent(response: Response) -> bool:
    try:
        error = strict_json(text_of(response))["error"]
        return error.get("code") in _SPENT or error.get("type") in _SPENT
    except (ValueError, LookupError, TypeError, AttributeError):
        return False


def _pause(response: Response, tries: int) -> float:
    """Seconds until the next try: what the provider asks for, else twice as long each time, with jitter."""
    asked = response.header("Retry-After")
    if asked.isascii() and asked.isdigit() and len(asked) < 10:
        return float(asked)
    if asked:
        try:
            return max(
                0.0, (parsedate_to_datetime(asked).astimezone(UTC) - datetime.now(UTC)).total_seconds()
            )
        except (ValueError, OverflowError):
            pass
    pause = min(_FIRST_PAUSE * float(2 ** (tries - 1)), _LONGEST_OWN_PAUSE)
    return pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
