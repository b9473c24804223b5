"""What every dialect's message comes down to: calls in the model's order, and text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openworld_worker.wire import JsonObject, clip, encode

from . import arguments

LONGEST_ID = 128
"""Characters of a provider's call id."""
LONGEST_NAME = 128
"""Characters of a tool's name: no catalog has a longer one, and no provider allows it."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call, or one part of a message that is none and that nothing here can answer."""

    name: str
    """As the model wrote it, known or not."""
    id: str | None = None
    """The provider's; None when it gave none that can be used."""
    arguments: JsonObject | None = None
    problem: str = ""
    """Why it cannot run; then `arguments` is None."""
    stray: bool = False
    """Whether it is no call: the provider awaits no answer to it."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """A model's message. `cut` says why it is not whole, when it is not: its end cannot be trusted."""

    calls: Sequence[Call] = ()
    text: str = ""
    cut: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one call is told: a verdict and a result, or several when it proposed several tasks."""

    call: Call
    bodies: Sequence[JsonObject]
    ok: bool
    """False when anything of it was denied or has failed."""

    @property
    def body(self) -> JsonObject:
        """All of it as one object."""
        return self.bodies[0] if len(self.bodies) == 1 else {"items": list(self.bodies)}

    @property
    def text(self) -> str:
        """The same as JSON text, for dialects whose results are text."""
        return encode(self.body).decode()


def call(*, name: Any, call_id: Any, given: JsonObject | str, needs_id: bool = True) -> Call:
    """A call from its parts as they came; `given` is its arguments, or what is wrong with them."""
    usable_id = call_id if arguments.is_text(call_id) and 1 <= len(call_id) <= LONGEST_ID else None
    known = name if arguments.is_text(name) else ""
    problem = ""
    if not known:
        problem = "the call names no tool" if name in (None, "") else "the call's name must be text"
    elif len(known) > LONGEST_NAME:
        problem = f"the call's name has {len(known):,} characters, the limit is {LONGEST_NAME}"
    elif usable_id is None and (needs_id or call_id is not None):
        problem = f"the call's id must be a string of 1 to {LONGEST_ID} characters: nothing could answer it"
    elif isinstance(given, str):
        problem = f"the call's arguments: the value {given}"
    return Call(
        name=clip(known, LONGEST_NAME),
        id=usable_id,
        arguments=given if not problem and isinstance(given, dict) else None,
        problem=problem,
    )


def unknown(what: str, problem: str) -> Call:
    """A part of a message that must not be lost and that cannot run."""
    return Call(name=clip(what, LONGEST_NAME), problem=problem, stray=True)


def stray(kind: Any) -> Call:
    """A part of a kind that no operator has an answer for, such as a tool that the provider itself offers."""
    name = kind if isinstance(kind, str) and kind else "part"
    return unknown(
        name, f"the message holds a part of the kind {clip(name, 100)!r}, which nothing here answers"
    )


def misshapen(where: str, value: Any, wanted: str) -> Call:
    """A place of a message that holds something else than the provider's documentation says."""
    return unknown("message", f"{where} must be {wanted}, and is {arguments.kind_of(value)}")
