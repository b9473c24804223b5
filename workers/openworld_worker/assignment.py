"""What the operator tells a Job: the pod's environment and the task file.

It must not reach out: everything here is read from the process's environment and one file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import ContractError
from .wire import JsonObject

DEFAULT_TASK_FILE = "/openworld/task.json"
#: What stands in the place of an execution when a catalog's MCP server is asked for its tools.
DISCOVERY = "catalog..discovery"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who this pod is: one attempt of one task of one execution."""

    execution: str
    execution_uid: str
    namespace: str
    ref: str
    attempt: int
    seq: str
    pod_name: str
    pod_uid: str
    deadline: datetime
    """When the attempt is over (aware, UTC)."""
    idempotency_key: str
    """The same for every attempt of the task: hand it to systems that can recognise a repetition."""
    task_file: Path
    report: str
    """TaskResult or TerminationMessage: the channel that the catalog chose."""


def identity(environ: Mapping[str, str]) -> Identity:
    """The pod's identity from its environment.

    Raises:
        ContractError: A variable is missing or malformed.
    """

    def need(name: str) -> str:
        value = environ.get(f"OPENWORLD_{name}", "")
        if not value:
            raise ContractError(
                f"OPENWORLD_{name} is not set. This command runs in a Job that the operator made; "
                "to try a tool by hand, call its function from Python"
            )
        return value

    attempt = need("ATTEMPT")
    if not attempt.isdecimal():
        raise ContractError(f"OPENWORLD_ATTEMPT is {attempt!r}, not a number")
    return Identity(
        execution=need("EXECUTION"),
        execution_uid=need("EXECUTION_UID"),
        namespace=need("NAMESPACE"),
        ref=need("REF"),
        attempt=int(attempt),
        seq=need("SEQ"),
        pod_name=need("POD_NAME"),
        pod_uid=need("POD_UID"),
        deadline=_instant(need("DEADLINE")),
        idempotency_key=need("IDEMPOTENCY_KEY"),
        task_file=Path(environ.get("OPENWORLD_TASK_FILE") or DEFAULT_TASK_FILE),
        report=environ.get("OPENWORLD_REPORT") or "TerminationMessage",
    )


def read_task(path: Path) -> JsonObject:
    """The task file.

    Raises:
        ContractError: It is missing, not JSON, or not an object with an `input` object.
    """
    try:
        task = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ContractError(f"the task file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ContractError(f"the task file {path} is not JSON: {error}") from error
    if not isinstance(task, dict) or not isinstance(task.get("input"), dict):
        raise ContractError(f"the task file {path} must be an object with an `input` object")
    for place in task.pop("secrets", ()):
        _put_secret(task["input"], place)
    return task


def _put_secret(values: Any, place: JsonObject) -> None:
    """Put a secret's value where the input has a mark for it."""
    *way, last = place["path"]
    name = place["env"]
    for step in way:
        values = values[step]
    try:
        secret = os.environ[name]
    except KeyError:
        raise ContractError(f"the variable {name} of a secret is not set") from None
    values[last] = values[last].replace(f"$({name})", secret)


def _instant(text: str) -> datetime:
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise ContractError(f"OPENWORLD_DEADLINE is {text!r}, not an RFC 3339 time") from error
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
