"""How an attempt says its end: a TaskResult, or a termination message and an exit code.

A report is durable before the pod ends. It must not be lost to an API server that is away for a while,
and must not be sent twice as two different things.
"""

from __future__ import annotations

import hashlib
import logging
import random
import string
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from .apiserver import ApiServer, RefusedError, UnreachableError
from .assignment import DISCOVERY, Identity
from .errors import ReportError
from .wire import JsonObject, clip, encode

API_VERSION = "openworld.dev/v1alpha1"
RESULT_LIMIT = 1_000_000
"""Bytes of a TaskResult's output and proposal, as the API server stores them."""
REASON_LIMIT = 4096
MESSAGE_LIMIT = 4096
"""Bytes of a termination message: Kubernetes' own limit."""
PROGRESS_LIMIT = 20
EXIT_FAILED, EXIT_TERMINAL = 1, 64

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0
_PROGRESS_TIMEOUT = 3.0
_LABEL_LIMIT, _EDGE = 63, string.ascii_letters + string.digits

log = logging.getLogger("openworld.worker")


class Status(StrEnum):
    """What a worker says of its attempt."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    FAILED_WITH_TERMINAL_ERROR = "FailedWithTerminalError"

    @property
    def exit_code(self) -> int:
        """What the process exits with, so that `kubectl get pods` tells the same story."""
        return {Status.COMPLETED: 0, Status.FAILED: EXIT_FAILED}.get(self, EXIT_TERMINAL)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of an attempt."""

    status: Status
    output: JsonObject | None = None
    reason: str = ""
    proposal: Any = None
    usage: JsonObject | None = None


def failed(reason: str, *, terminal: bool = False) -> Outcome:
    """A failure; `terminal` means that no retry can help."""
    status = Status.FAILED_WITH_TERMINAL_ERROR if terminal else Status.FAILED
    return Outcome(status=status, reason=clip(reason, REASON_LIMIT))


class Reporter(Protocol):
    """A channel to the operator."""

    def progress(self, percent: int | None, message: str) -> None:
        """Say how far the attempt is; never fails."""

    def finish(self, outcome: Outcome) -> int:
        """Say the end, and return the process's exit code.

        Raises:
            ReportError: The report could not be delivered.
        """


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(kw_only=True)
class TaskResultReporter:
    """Reports by creating TaskResults named after the pod."""

    server: ApiServer
    identity: Identity
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = _utc_now
    _sent_progress: int = field(default=0, init=False)

    def progress(self, percent: int | None, message: str) -> None:
        """Send one progress report; after the twentieth, and on any trouble, only the log has it."""
        if self._sent_progress >= PROGRESS_LIMIT:
            return
        self._sent_progress += 1
        progress: JsonObject = {"message": message[:1024]}
        if percent is not None:
            progress["percent"] = percent
        result = self._object(f".p{self._sent_progress}", {"status": "InProgress", "progress": progress})
        try:
            self.server.request("POST", self._path, result, timeout=_PROGRESS_TIMEOUT)
        except (RefusedError, UnreachableError) as error:
            log.warning("progress was not recorded: %s", error)

    def finish(self, outcome: Outcome) -> int:
        """Create the TaskResult, retrying until the deadline while the API server is away or overloaded.

        Raises:
            ReportError: The API server refused it, or the deadline passed.
        """
        outcome = _within_limit(outcome)
        self._create(self._object("", _spec(outcome)))
        return outcome.status.exit_code

    def _create(self, result: JsonObject) -> None:
        pause, maybe_created = _FIRST_PAUSE, False
        while True:
            wait: float | None = None
            try:
                self.server.request("POST", self._path, result)
            except RefusedError as error:
                if error.code == 409 and error.reason == "AlreadyExists":
                    if maybe_created or self._stands(result):
                        return
                    raise ReportError(f"another report of this pod exists already: {error}") from error
                if error.code < 500 and error.code not in (409, 429):
                    raise ReportError(f"the API server refused the report: {error}") from error
                trouble, wait = str(error), error.retry_after
            except UnreachableError as error:
                trouble, maybe_created = str(error), True
            else:
                return
            wait = wait if wait is not None else pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            left = (self.identity.deadline - self.now()).total_seconds()
            if wait >= left:
                raise ReportError(f"the deadline passed before the report was taken; last trouble: {trouble}")
            log.warning("the report was not taken, next try in %.1f s: %s", wait, trouble)
            self.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _stands(self, result: JsonObject) -> bool:
        """Whether the report that exists says the same; False too when it may not be read."""
        try:
            existing = self.server.request("GET", f"{self._path}/{result['metadata']['name']}")
        except (RefusedError, UnreachableError):
            return False
        return isinstance(existing, dict) and existing.get("spec") == result["spec"]

    @property
    def _path(self) -> str:
        return f"/apis/{API_VERSION}/namespaces/{self.identity.namespace}/taskresults"

    def _object(self, suffix: str, spec: JsonObject) -> JsonObject:
        me = self.identity
        return {
            "apiVersion": API_VERSION,
            "kind": "TaskResult",
            "metadata": {
                "name": me.pod_name + suffix,
                "namespace": me.namespace,
                "labels": {"openworld.dev/execution": label_value(me.execution), "openworld.dev/seq": me.seq},
                "ownerReferences": [_owner(me)],
            },
            "spec": {"execution": me.execution, "ref": me.ref, "attempt": me.attempt, "podUID": me.pod_uid}
            | spec,
        }


@dataclass(kw_only=True)
class TerminationMessageReporter:
    """Reports through the file that the kubelet reads when the container ends."""

    path: Path = Path("/dev/termination-log")

    def progress(self, percent: int | None, message: str) -> None:
        """This channel has no progress: the tool's log has it."""

    def finish(self, outcome: Outcome) -> int:
        """Write the output, or `{reason}`.

        Raises:
            ReportError: The file cannot be written.
        """
        outcome = _as_message(outcome)
        body = outcome.output or {} if outcome.status is Status.COMPLETED else {"reason": outcome.reason}
        try:
            self.path.write_bytes(encode(body))
        except OSError as error:
            raise ReportError(f"the termination message {self.path} cannot be written: {error}") from error
        return outcome.status.exit_code


def _owner(me: Identity) -> JsonObject:
    """With what a report is collected: its Execution, or its own pod when there is none."""
    if me.execution == DISCOVERY:
        return {"apiVersion": "v1", "kind": "Pod", "name": me.pod_name, "uid": me.pod_uid}
    return {"apiVersion": API_VERSION, "kind": "Execution", "name": me.execution, "uid": me.execution_uid}


def label_value(text: str) -> str:
    """A name as a label's value: what a label cannot hold is cut and gets a hash, as the operator does it."""
    inner = _EDGE + "-_."
    fits = len(text) <= _LABEL_LIMIT and all(c in inner for c in text)
    if fits and (not text or (text[0] in _EDGE and text[-1] in _EDGE)):
        return text
    head = "".join(c if c in inner else "-" for c in text[:50]).strip("-_.")
    return f"{head or 'x'}.{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def last_words(path: Path, reason: str) -> None:
    """Leave a reason in the termination message of a pod that could not report; best effort."""
    try:
        path.write_bytes(encode({"reason": clip(reason, MESSAGE_LIMIT // 2)}))
    except OSError as error:
        log.warning("no termination message either: %s", error)


def _spec(outcome: Outcome) -> JsonObject:
    spec: JsonObject = {"status": outcome.status.value}
    for name in ("output", "proposal", "usage"):
        value = getattr(outcome, name)
        if value is not None:
            spec[name] = value
    return spec | ({"reason": outcome.reason} if outcome.reason else {})


def _within_limit(outcome: Outcome) -> Outcome:
    sizes = {
        name: stored_size(value)
        for name, value in (("output", outcome.output), ("proposal", outcome.proposal))
        if value is not None
    }
    size = sum(sizes.values())
    if size <= RESULT_LIMIT:
        return outcome
    return failed(
        f"{' and '.join(sizes)}: {size:,} bytes; a TaskResult holds at most {RESULT_LIMIT:,}. "
        "Store it elsewhere and return a reference to it"
    )


def stored_size(value: Any) -> int:
    """Bytes of a value in the API server's store, which writes `<`, `>` and `&` as six."""
    text = encode(value)
    return len(text) + 5 * sum(map(text.count, (b"<", b">", b"&")))


def _as_message(outcome: Outcome) -> Outcome:
    if outcome.proposal is not None:
        return failed(
            "the tool returned a Proposal, which a termination message cannot carry; "
            "set `run.report: TaskResult` in its catalog entry",
            terminal=True,
        )
    if outcome.status is not Status.COMPLETED:
        room = MESSAGE_LIMIT - len(encode({"reason": ""}))
        reason = outcome.reason
        while len(encode(reason)) - 2 > room:  # quotes and escapes take room too
            reason = clip(reason, len(reason.encode()) * 3 // 4)
        return failed(reason, terminal=outcome.status is Status.FAILED_WITH_TERMINAL_ERROR)
    size = len(encode(outcome.output or {}))
    if size > MESSAGE_LIMIT:
        return failed(
            f"the output has {size:,} bytes; a termination message holds at most {MESSAGE_LIMIT:,}. "
            "Set `run.report: TaskResult` in the tool's catalog entry"
        )
    return outcome
