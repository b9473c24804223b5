"""When an attempt has taken too long, by which of its limits. Pure: time comes in, nothing is recorded.

Source of the limits and of when each clock runs: Conductor's task definitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from openworld.api.workflow import TimeoutPolicy, Timeouts
from openworld.ledger import rfc3339

from .state import State, TaskState


@dataclass(frozen=True, slots=True)
class Expired:
    """A limit of an attempt, when it is reached (epoch, milliseconds), and what it then leads to."""

    kind: str
    at_ms: int
    reason: str
    policy: TimeoutPolicy = TimeoutPolicy.RETRY
    is_total: bool = False


def timeouts_of(state: State, task: TaskState) -> Timeouts | None:
    """The limits of a tool's attempt: the tool's, where the task does not override them."""
    tool: Timeouts | None = state.tools.get(task.tool_digest)
    override = task.definition.task_definition
    if tool is None or override is None or override.timeouts is None:
        return tool
    given = override.timeouts
    return tool.model_copy(update={name: getattr(given, name) for name in given.model_fields_set})


def limits(state: State, task: TaskState) -> Iterator[Expired]:
    """Every limit of a tool's present attempt that has a time now and has not been alerted of.

    When its worker has succeeded and a Signal is awaited, only the limit of all attempts together goes on.
    """
    given = timeouts_of(state, task)
    if given is None:
        return
    if not task.awaits_signal:
        yield from _limits_of_the_worker(given, task)
    if given.total_timeout_seconds:
        yield Expired(
            "totalTimeoutSeconds",
            task.first_scheduled_at_ms + given.total_timeout_seconds * 1000,
            f"all attempts together took longer than totalTimeoutSeconds ({given.total_timeout_seconds} s)",
            given.timeout_policy,
            is_total=True,
        )


def _limits_of_the_worker(given: Timeouts, task: TaskState) -> Iterator[Expired]:
    policy = given.timeout_policy
    waits_since = max(task.scheduled_at_ms, task.not_before_ms)
    if task.started_at_ms is None and given.poll_timeout_seconds:
        yield Expired(
            "pollTimeoutSeconds",
            waits_since + given.poll_timeout_seconds * 1000,
            f"the attempt did not start within pollTimeoutSeconds ({given.poll_timeout_seconds} s): "
            "its pod was not scheduled or its image not pulled",
            policy,
        )
    if task.started_at_ms is not None and given.timeout_seconds:
        yield Expired(
            "timeoutSeconds",
            task.started_at_ms + given.timeout_seconds * 1000,
            f"the attempt ran longer than timeoutSeconds ({given.timeout_seconds} s; "
            f"started {rfc3339(task.started_at_ms)})",
            policy,
        )
    if task.started_at_ms is not None and given.response_timeout_seconds:
        heard = task.progressed_at_ms or task.started_at_ms
        yield Expired(
            "responseTimeoutSeconds",
            heard + given.response_timeout_seconds * 1000,
            f"the worker said nothing for responseTimeoutSeconds ({given.response_timeout_seconds} s; "
            f"last heard of {rfc3339(heard)})",
            policy,
        )


def heeds_progress(state: State, seq: int) -> bool:
    """Whether a report of progress, on the attempt of a seq, changes when that attempt is too silent."""
    task = state.tasks.get(state.by_seq.get(seq, ""))
    given = timeouts_of(state, task) if task is not None else None
    return given is not None and given.response_timeout_seconds > 0


def next_limit(state: State, task: TaskState) -> Expired | None:
    """The limit that is reached first."""
    open_limits = (limit for limit in limits(state, task) if limit.kind not in task.alerted)
    return min(open_limits, key=lambda limit: limit.at_ms, default=None)
