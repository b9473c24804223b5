"""One execution of a simulated namespace: its state, its ledger, and who started it."""

from __future__ import annotations

from dataclasses import dataclass, field

from openworld.api import JsonObject, TaskStatus
from openworld.api.meta import Json
from openworld.engine.desire import desired
from openworld.engine.facts import Fact
from openworld.engine.outside import DesiredJob
from openworld.engine.state import Identity, State, TaskState
from openworld.ledger import join


@dataclass(frozen=True, slots=True)
class Origin:
    """The task of another execution that an execution was started for.

    `seq` names the attempt. A `detached` execution is no child: its end tells nobody anything.
    """

    execution: SimulatedExecution
    ref: str
    seq: int
    detached: bool


@dataclass(slots=True, eq=False)
class SimulatedExecution:
    """An Execution object as a cluster would hold it, and what it has not been told yet."""

    identity: Identity
    state: State
    origin: Origin | None = None
    events: list[JsonObject] = field(default_factory=list)
    payloads: dict[str, Json] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    refused: list[tuple[Fact, str]] = field(default_factory=list)
    wake_at_ms: int | None = None
    is_due: bool = True

    @property
    def uid(self) -> str:
        """Its uid; counted, so that the same calls give the same ledger."""
        return self.identity.uid

    @property
    def whole_events(self) -> list[JsonObject]:
        """The events with the large values that they keep apart."""
        return [join(event, self.payloads) for event in self.events]

    @property
    def name(self) -> str:
        """Its name."""
        return self.identity.name

    @property
    def open_tasks(self) -> list[TaskState]:
        """The tasks that have not ended, in the order of their start."""
        return self.state.active_tasks()

    def statuses(self) -> dict[str, TaskStatus]:
        """Status of the last attempt of each task, by ref."""
        return {ref: task.status for ref, task in self.state.tasks.items()}

    def jobs(self, now_ms: int) -> dict[str, DesiredJob]:
        """The Jobs that would exist now, by ref."""
        return {job.ref: job for job in desired(self.state, now_ms).jobs}
