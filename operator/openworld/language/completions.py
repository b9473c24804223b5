"""What an LLM_CHAT_COMPLETE task asks of a model: one reading of authored and of resolved input.

Source of the keys: Conductor's ChatCompletion and LLMWorkerInput (module `ai`); `baseURL` and `apiKey` are
ours, for there is no server here that holds a provider's address and key. Calls nothing, and judges no host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from openworld.api.meta import Json, JsonObject

from .canonical import NotCanonical, canonical, normalise
from .completion_messages import message_problems, tool_problems
from .expressions import ExpressionError, references
from .reading import suggestion
from .requests import Problem, Reading
from .secrets import ENV, is_secret

#: Where each provider is, unless `baseURL` says otherwise.
PROVIDERS = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
#: The shortest thinking that Anthropic takes, in tokens.
LEAST_THINKING = 1024
MOST_TOKENS = 10_000_000
_EFFORTS = ("minimal", "low", "medium", "high")
_MOST_STOP_WORDS = 16
#: Keys that only one provider's API has.
ONLY_OF = {
    "frequencyPenalty": "openai",
    "presencePenalty": "openai",
    "reasoningEffort": "openai",
    "topK": "anthropic",
    "thinkingTokenLimit": "anthropic",
}
#: What names a prompt template of a Conductor server.
TEMPLATES = ("prompt", "promptName", "promptVersion", "promptVariables", "allowRawPrompts")
#: Keys of Conductor's that mean nothing here, and what to do instead.
NOT_HERE: Mapping[str, str] = {
    **dict.fromkeys(
        ("integrationName", "integrationNames"),
        "names an integration of a Conductor server, and there are none here: llmProvider, baseURL and "
        "apiKey say where the model is",
    ),
    **dict.fromkeys(
        TEMPLATES,
        "belongs to a prompt template of a Conductor server: write its text into instructions or messages, "
        "with expressions",
    ),
    "participants": "is not read: the model sees the messages that the input says, nothing of other tasks",
    **dict.fromkeys(
        ("inputSchema", "outputSchema"),
        "is not enforced here: jsonOutput gives JSON; what it must hold is for a task behind this one",
    ),
    **dict.fromkeys(
        ("webSearch", "codeInterpreter", "fileSearchVectorStoreIds", "googleSearchRetrieval"),
        "is a tool of the provider's own, of whose work nothing would stand in the record",
    ),
    "previousResponseId": "is not sent: the messages are the whole conversation",
    **dict.fromkeys(
        ("voice", "outputMimeType", "outputLocation", "maxResults"), "has no counterpart: one answer in text"
    ),
}


def completion_problems(given: JsonObject, *, authored: bool = True) -> Iterator[Problem]:
    """What is wrong with the input of an LLM_CHAT_COMPLETE task.

    Authored text may hold expressions, of which nothing is known yet; in resolved input `${` is only text.
    """
    reading = Reading(authored=authored)
    said = {key: value for key, value in given.items() if value is not None}
    for key in said:
        if key in NOT_HERE:
            yield (key,), NOT_HERE[key]
        elif key not in _KEYS:
            meant = suggestion(str(key), _KEYS)
            yield (
                (key,),
                f"means nothing to an LLM_CHAT_COMPLETE task{meant or '; it reads ' + ', '.join(_KEYS)}",
            )
    yield from _where(said, reading)
    for key, check in _CHECKS.items():
        if key in said and not reading.is_open(said[key]) and (message := check(said[key])):
            yield (key,), message
    provider = _known(said.get("llmProvider"))
    for key, only in ONLY_OF.items():
        if key in said and provider and provider != only:
            yield (key,), f"means nothing to {provider}, only to {only}"
    yield from _told(said, reading)
    yield from tool_problems(said.get("tools"), reading)


def completion_of(given: JsonObject) -> JsonObject:
    """The completion in resolved input, with every key that has a default. Raises ValueError."""
    for steps, message in completion_problems(given, authored=False):
        raise ValueError(f"{'.'.join(map(str, steps))}: {message}")
    said = {key: value for key, value in given.items() if value is not None}
    user_input = said.pop("userInput", None)
    said["messages"] = [_as_text(message) for message in said.get("messages", [])]
    if not said["messages"]:
        said["messages"] = [{"role": "user", "message": user_input}]
    said["baseURL"] = said.get("baseURL", PROVIDERS[said["llmProvider"]]).rstrip("/")
    return {"jsonOutput": False, "stopWords": [], "tools": []} | said


def _where(said: JsonObject, reading: Reading) -> Iterator[Problem]:
    """Which model, where it is, and with which key."""
    provider, base = said.get("llmProvider"), said.get("baseURL")
    known = _known(provider)
    if provider is None:
        yield ("llmProvider",), f"is required: one of {', '.join(PROVIDERS)}"
    elif not reading.is_open(provider) and not known:
        yield (
            ("llmProvider",),
            f"{str(provider)[:80]!r} is not known here: one of {', '.join(PROVIDERS)}. What speaks OpenAI's "
            "API is openai, with its own baseURL",
        )
    model = said.get("model")
    if not isinstance(model, str) or not model:
        yield ("model",), "is required: the model's name"
    if base is not None and (not isinstance(base, str) or not base):
        yield ("baseURL",), "must be the URL of the model's API"
    elif isinstance(base, str) and (message := reading.url(base)):
        yield ("baseURL",), message
    elif isinstance(base, str) and ("?" in base or "#" in base) and not reading.is_open(base):
        yield ("baseURL",), "must be the URL that paths are put behind, without ? and #"
    if message := _key_problem(said.get("apiKey"), authored=reading.authored):
        yield ("apiKey",), message
    elif "apiKey" not in said and base is None and known:
        yield ("apiKey",), f"is required by {PROVIDERS[known]}: ${{workflow.secrets.NAME.KEY}}"


def _known(provider: Json) -> str:
    """The provider; empty if it is none that is known."""
    return provider if isinstance(provider, str) and provider in PROVIDERS else ""


def _key_problem(key: Json, *, authored: bool) -> str:
    """A key is named, never said: what is said would stand in the record."""
    if key is None:
        return ""
    message = (
        "must be ${workflow.secrets.NAME.KEY} and nothing else: a key that is written out would stand in the "
        "record"
    )
    if not isinstance(key, str):
        return message
    if not authored:  # a mark, in whose place the worker puts the value
        return "" if key.startswith(f"$({ENV}") and key.endswith(")") else message
    try:
        found = references(key)
    except ExpressionError:  # told by the check of expressions
        return ""
    is_named = len(found) == 1 and found[0].text == key and is_secret(found[0])
    return "" if is_named else message


def _told(said: JsonObject, reading: Reading) -> Iterator[Problem]:
    """What the model is told: messages, or the user's input in their place."""
    messages, user_input = said.get("messages"), said.get("userInput")
    if messages in (None, []) and user_input is None:
        yield ("messages",), "is required: what the model is told, [{role, message}]"
    if messages and user_input is not None:
        yield ("userInput",), "stands beside messages; say it there"
    yield from message_problems(messages, reading)


def _as_text(message: JsonObject) -> JsonObject:
    """A message whose text came as another value has it as JSON."""
    text = message.get("message")
    if text is None or isinstance(text, str):
        return message
    try:
        return message | {"message": canonical(normalise(text)).decode()}
    except NotCanonical as error:
        raise ValueError(f"messages: {error}") from error


def _text(value: Json) -> str:
    return "" if isinstance(value, str) and value else "must be text"


def _flag(value: Json) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _number(least: float, most: float) -> Callable[[Json], str]:
    def check(value: Json) -> str:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if is_number and least <= value <= most else f"must be a number from {least:g} to {most:g}"

    return check


def _whole(least: int, most: int = MOST_TOKENS) -> Callable[[Json], str]:
    def check(value: Json) -> str:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return "" if is_whole and least <= value <= most else f"must be a whole number from {least} to {most}"

    return check


def _effort(value: Json) -> str:
    return "" if value in _EFFORTS else f"{str(value)[:40]!r} is not allowed: one of {', '.join(_EFFORTS)}"


def _stop_words(value: Json) -> str:
    is_list = isinstance(value, list) and len(value) <= _MOST_STOP_WORDS
    if is_list and all(isinstance(word, str) and word for word in value):
        return ""
    return f"must be a list of at most {_MOST_STOP_WORDS} texts that end the answer"


#: Keys whose value is judged by itself.
_CHECKS: Mapping[str, Callable[[Json], str]] = {
    "instructions": _text,
    "userInput": _text,
    "temperature": _number(0, 2),
    "topP": _number(0, 1),
    "topK": _whole(1),
    "frequencyPenalty": _number(-2, 2),
    "presencePenalty": _number(-2, 2),
    "maxTokens": _whole(1),
    "stopWords": _stop_words,
    "jsonOutput": _flag,
    "reasoningEffort": _effort,
    "thinkingTokenLimit": _whole(LEAST_THINKING),
}
_KEYS = ("llmProvider", "model", "baseURL", "apiKey", "messages", "tools", *_CHECKS)
