"""SIMPLE: one attempt of a catalog tool is one Job. Source: Conductor's worker tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from openworld.api import JsonObject
from openworld.api.toolcatalog import BUILT_IN_IMAGE
from openworld.api.workflow import Timeouts
from openworld.engine.completing import complete_attempt
from openworld.engine.decide import Pass
from openworld.engine.endings import fail_task
from openworld.engine.outside import DesiredJob
from openworld.engine.state import State, TaskState
from openworld.engine.timeouts import Expired, next_limit, timeouts_of

from .kind import TaskKind

#: The Job's own deadline lies this far behind the engine's timer, which is the one that counts.
BACKSTOP_SECONDS = 60
_A_YEAR_SECONDS = 31_536_000


def idempotency_key(state: State, task: TaskState) -> str:
    """The same for every attempt of a task (and turn), different for any other."""
    turn = task.turn.number if task.turn else 0
    generation = f"/{state.generation}" if state.generation else ""
    return hashlib.sha256(f"{state.uid}/{task.ref}/{turn}{generation}".encode()).hexdigest()[:32]


class SimpleTask(TaskKind):
    """A tool's container. `is_builtin`: the tool is the engine's own, as an MCP server's are too."""

    is_builtin = False

    def job_input(self, state: State, task: TaskState) -> JsonObject:  # noqa: ARG002
        """What the container is given."""
        return task.input

    def job_path(self, path: list[str | int]) -> list[str | int]:
        """Where something of the task's input stands in what the container is given."""
        return path

    def follow(self, p: Pass, task: TaskState) -> None:
        """Complete a task whose result carried a proposal, once that is judged; a denial fails it."""
        turn = task.turn
        if turn is None or not turn.judged or task.awaits_signal:
            return
        if turn.denial:
            fail_task(p, task.ref, p.state.scope_of(task), f"ProposalDenied: {turn.denial}", terminal=True)
            return
        complete_attempt(p, task, turn.output)

    def desired(self, state: State, task: TaskState) -> Iterator[DesiredJob]:
        """The Job of the present attempt, until its worker has succeeded."""
        if task.awaits_signal:
            return
        tool = state.tools[task.tool_digest]
        yield DesiredJob(
            seq=task.seq,
            ref=task.ref,
            attempt=task.attempt,
            input=self.job_input(state, task),
            idempotency_key=idempotency_key(state, task),
            deadline_seconds=_backstop_seconds(timeouts_of(state, task)),
            tool=tool,
            builtin=self.is_builtin or tool.run.container.image == BUILT_IN_IMAGE,
            earlier=task.earlier,
            secrets=tuple({**each, "path": self.job_path(each["path"])} for each in task.secrets),
        )

    def limit(self, state: State, task: TaskState) -> Expired | None:
        """The tool's timeouts, until a report has come."""
        return None if task.turn is not None else next_limit(state, task)


def _backstop_seconds(limits: Timeouts | None) -> int:
    """Longer than the engine lets an attempt take, waiting for its pod included."""
    if limits is None or not limits.timeout_seconds or not limits.poll_timeout_seconds:
        return _A_YEAR_SECONDS
    return limits.poll_timeout_seconds + limits.timeout_seconds + BACKSTOP_SECONDS
