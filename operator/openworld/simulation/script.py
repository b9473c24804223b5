"""What the outside world is to do in a simulation, as a person writes it down: results and signals.

Read strictly: a misspelt key is an error with its place, never ignored.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from openworld.api import Json, JsonObject, SignalType, Strict
from openworld.api.meta import Seconds


class Outcome(Strict):
    """What one attempt of a task gives, or one turn of an agent. Nothing set: an empty output."""

    output: JsonObject | None = Field(default=None, description="It succeeds with this output.")
    fail: str | None = Field(default=None, description="It fails for this reason, and may be retried.")
    terminal: str | None = Field(default=None, description="It fails for this reason, and is not retried.")
    proposal: Json = Field(default=None, description="It proposes this, as an agent's turn does.")
    usage: JsonObject | None = Field(default=None, description="What the turn consumed: tokensIn, tokensOut.")
    seconds: Seconds = Field(default=1, description="How long it takes.")

    @model_validator(mode="after")
    def _one_meaning(self) -> Outcome:
        if self.fail is not None and self.terminal is not None:
            raise ValueError("an attempt cannot have both fail and terminal")
        if (self.fail or self.terminal) and self.proposal is not None:
            raise ValueError("an attempt that fails proposes nothing")
        return self


class ScriptedSignal(Strict):
    """A signal, sent once: as soon as `after` waits for something or has ended; without it, at once."""

    after: str = Field(default="", description="Ref of the task that it comes after.")
    type: SignalType = Field(description="Approve, Reject, Complete, Fail, Pause, …")
    ref: str | None = Field(default=None, description="The task that it is about. Default: `after`.")
    by: str = Field(default="somebody@example.com", min_length=1, description="Who sends it.")
    group: str | None = Field(default=None, description="The group for which they answer a HUMAN task.")
    reason: str = Field(default="", description="Why; stands in the record.")
    payload: JsonObject = Field(default_factory=dict, description="Complete: the output.")


class Script(Strict):
    """Everything that comes from outside."""

    tasks: dict[str, list[Outcome]] = Field(
        default_factory=dict,
        description="By ref, or by name of a tool or an agent: one entry for each attempt, the last repeats.",
    )
    signals: list[ScriptedSignal] = Field(default_factory=list, description="What people say.")
    approvals: list[str] = Field(
        default_factory=list, description="Who approves whatever waits for a person, in this order."
    )
