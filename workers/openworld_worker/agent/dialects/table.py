"""The dialects, by the name that a script or a provider gives; adding one is adding a module and a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openworld_worker.wire import JsonObject

from . import anthropic, gemini, mcp, openai, openai_responses
from .message import Answer, Message


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a provider's messages are read, and how it wants to be answered. Neither ever raises."""

    read: Callable[[Any], Message]
    tell: Callable[[Sequence[Answer], Sequence[str]], list[JsonObject]]
    answers_by_name: bool = False
    """Whether a call without an id can be answered."""


DIALECTS: Mapping[str, Dialect] = {
    "openai": Dialect(read=openai.read, tell=openai.tell),
    "openai-responses": Dialect(read=openai_responses.read, tell=openai_responses.tell),
    "anthropic": Dialect(read=anthropic.read, tell=anthropic.tell),
    "gemini": Dialect(read=gemini.read, tell=gemini.tell, answers_by_name=True),
    "mcp": Dialect(read=mcp.read, tell=mcp.tell),
}
