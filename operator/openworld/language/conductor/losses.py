"""What an import could not carry over, and where it stood in the original."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from openworld.language.canonical import path_text

Step = str | int


class Severity(StrEnum):
    """What a loss means for the person who imports."""

    #: The workflow is refused, or cannot run, until somebody changes something.
    ERROR = "error"
    #: It runs, and something of the original is gone or behaves differently.
    LOSS = "loss"
    #: Everything is there; it is worth a look.
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that was not carried over as it was; `steps` lead to it in the original definitions."""

    steps: tuple[Step, ...]
    message: str
    severity: Severity = Severity.LOSS

    @property
    def path(self) -> str:
        """The steps as people write them: `workflows[0].tasks[3].taskToDomain`."""
        return path_text(self.steps)


class NotADefinition(ValueError):
    """The value is no definition of Conductor; `steps` lead to it, `why` says what it is not."""

    def __init__(self, steps: tuple[Step, ...], why: str) -> None:
        super().__init__(f"{path_text(steps)}: {why}" if steps else why)
        self.steps = steps
        self.why = why


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the originals. All places of an import write into one list of losses."""

    steps: tuple[Step, ...] = ()
    found: list[Loss] = field(default_factory=list)

    def at(self, *steps: Step) -> Place:
        """A place below this one."""
        return Place((*self.steps, *steps), self.found)

    def error(self, message: str) -> None:
        """The workflow cannot run until this is changed."""
        self.found.append(Loss(self.steps, message, Severity.ERROR))

    def lose(self, message: str) -> None:
        """Something is gone, or behaves differently."""
        self.found.append(Loss(self.steps, message, Severity.LOSS))

    def note(self, message: str) -> None:
        """Worth a look."""
        self.found.append(Loss(self.steps, message, Severity.NOTE))
