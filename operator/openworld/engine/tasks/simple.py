"""SIMPLE: one attempt of a catalog tool is one Job. Source: Conductor's worker tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from openworld.engine.decide import Pass
from openworld.engine.endings import fail_task
from openworld.engine.outside import DesiredJob
from openworld.engine.state import State, TaskState
from openworld.ledger import EventType

from .kind import TaskKind

#: The Job's own deadline lies this far behind the engine's timer, which is the one that counts.
BACKSTOP_SECONDS = 60


def idempotency_key(state: State, task: TaskState) -> str:
    """The same for every attempt of a task (and turn), different for any other."""
    turn = task.turn.number if task.turn else 0
    return hashlib.sha256(f"{state.uid}/{task.ref}/{turn}".encode()).hexdigest()[:32]


class SimpleTask(TaskKind):
    """A tool's container."""

    def follow(self, p: Pass, task: TaskState) -> None:
        """Complete a task whose result carried a proposal, once that is judged; a denial fails it."""
        turn = task.turn
        if turn is None or not turn.judged:
            return
        if turn.denial:
            fail_task(p, task.ref, p.state.scope_of(task), f"ProposalDenied: {turn.denial}", terminal=True)
            return
        p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output=turn.output)

    def desired(self, state: State, task: TaskState) -> Iterator[DesiredJob]:
        """The Job of the present attempt."""
        tool = state.tools[task.tool_digest]
        yield DesiredJob(
            seq=task.seq,
            ref=task.ref,
            attempt=task.attempt,
            input=task.input,
            idempotency_key=idempotency_key(state, task),
            deadline_seconds=tool.timeout_seconds + BACKSTOP_SECONDS,
            tool=tool,
            earlier=task.earlier,
        )

    def deadline_ms(self, state: State, task: TaskState) -> int | None:
        """timeoutSeconds of the tool, from the container's start; as long again to start at all."""
        if task.turn is not None:
            return None
        since = task.started_at_ms or max(task.scheduled_at_ms, task.not_before_ms)
        return since + state.tools[task.tool_digest].timeout_seconds * 1000
