"""The input of tasks that ask a model or an MCP server: older names, and what stays on Conductor's server."""

from __future__ import annotations

from collections.abc import Mapping

from openworld.api.meta import JsonObject
from openworld.language.completions import NOT_HERE, ONLY_OF, TEMPLATES
from openworld.language.mcp import CALL_KEYS, LISTING_KEYS

from .fields import says_something
from .losses import Place

_COMPLETION_NAMES = {"baseUrl": "baseURL", "stopSequences": "stopWords"}
_CALL_NAMES = {"methodName": "method", "toolName": "method"}


def completion(given: JsonObject, place: Place) -> JsonObject:
    """The input of an LLM_CHAT_COMPLETE. A prompt template stays, and is an error: its text is elsewhere."""
    given = _renamed({key: value for key, value in given.items() if _is_said(key, value)}, _COMPLETION_NAMES)
    provider = given.get("llmProvider")
    for key in list(given):
        only = ONLY_OF.get(key)
        if key in NOT_HERE and key not in TEMPLATES:
            place.at(key).lose(NOT_HERE[key])
        elif only is not None and provider in ONLY_OF.values() and provider != only:
            place.at(key).lose(f"means nothing to {provider}, only to {only}; left out")
        else:
            continue
        del given[key]
    if "loopOver" in place.steps:
        place.lose(
            "in a loop Conductor tells the model its earlier answers too; here it is told what messages say: "
            "collect the conversation with SET_VARIABLE"
        )
    return given


def listing(given: JsonObject, place: Place) -> JsonObject:
    """The input of a LIST_MCP_TOOLS."""
    return _without_a_servers(given, LISTING_KEYS, place)


def call(given: JsonObject, place: Place) -> JsonObject:
    """The input of a CALL_MCP_TOOL: what Conductor's guide writes beside it goes under `arguments`."""
    given = _without_a_servers(_renamed(given, _CALL_NAMES), CALL_KEYS, place)
    arguments = given.get("arguments")
    stray = [key for key in given if key not in CALL_KEYS]
    if stray and (arguments is None or isinstance(arguments, Mapping)):
        moved = {key: given.pop(key) for key in stray}
        for key in stray:
            place.at(key).note("is written under arguments: what the tool is given")
        given["arguments"] = {**moved, **(arguments or {})}
    return given


def _renamed(given: JsonObject, names: Mapping[str, str]) -> JsonObject:
    """Under its new name what is not there under it already."""
    return {
        names[key] if key in names and names[key] not in given else key: value for key, value in given.items()
    }


def _is_said(key: str, value: object) -> bool:
    """Whether a key says more than what it would be in Java: false, 0, an empty list; one answer."""
    return says_something(value) and (key, value) not in (("thinkingTokenLimit", 0), ("maxResults", 1))


def _without_a_servers(given: JsonObject, keys: tuple[str, ...], place: Place) -> JsonObject:
    """Without what names an integration or a template of the server's, which no MCP task reads."""
    kept: JsonObject = {}
    for key, value in given.items():
        if key in NOT_HERE and key not in keys:
            if says_something(value):
                place.at(key).lose(NOT_HERE[key])
        elif value is not None:
            kept[key] = value
    return kept
