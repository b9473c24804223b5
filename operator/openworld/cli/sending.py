"""Signals: what a person says to an execution, and how the operator answers.

`by` and the execution's uid are looked up, never typed; the operator's answer is the Signal's condition.
"""

from __future__ import annotations

import json
from typing import Any

import click

from openworld.api import API_VERSION, GROUP, JsonObject

from .errors import CliError, ForbiddenError
from .kinds import EXECUTIONS, SIGNALS
from .plain import one_line
from .session import Session
from .unserved import where_to_look


def json_object(text: str, source: str) -> JsonObject:
    """The JSON object of a text that a person typed. Raises CliError."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise CliError(f"{source} is nested too deeply") from None
    except ValueError as error:
        raise CliError(f"{source} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise CliError(f'{source} must be a JSON object, such as {{"key": "value"}}')
    return value


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def send(
    session: Session,
    execution: JsonObject,
    kind: str,
    *,
    ref: str | None = None,
    payload: JsonObject | None = None,
    about: JsonObject | None = None,
    timeout: float = 30,
) -> bool:
    """Create the Signal and wait for the operator's answer. Raises CliError when it is refused.

    True when it was accepted; False when it was sent and the caller has no right to read the answer, which
    is said on standard error.
    """
    name = execution["metadata"]["name"]
    spec: JsonObject = {
        "execution": name,
        "executionUID": execution["metadata"]["uid"],
        "type": kind,
        "by": session.cluster.whoami(),
        **(about or {}),
    }
    if ref is not None:
        spec["ref"] = ref
    if payload:
        spec["payload"] = payload
    created = session.cluster.create(
        SIGNALS,
        {
            "apiVersion": API_VERSION,
            "kind": SIGNALS.kind,
            "metadata": {"generateName": f"{kind.lower()}-", "namespace": session.cluster.namespace},
            "spec": spec,
        },
    )
    signal = created["metadata"]["name"]
    try:
        _await_answer(session, signal, timeout)
    except ForbiddenError:
        click.echo(
            f"The signal {one_line(signal)} was sent. The operator's answer cannot be read: you lack the "
            f"verbs `get`, `list` and `watch` on signals.{GROUP} in the namespace "
            f"{session.cluster.namespace} (the role openworld-approver has them). "
            f"`openworld ledger {one_line(name)}` shows what came of it.",
            err=True,
        )
        return False
    return True


def _await_answer(session: Session, signal: str, timeout: float) -> None:
    for seen in session.cluster.watch(SIGNALS, signal, timeout):
        answer = accepted(seen)
        if answer is None:
            continue
        if answer["status"] == "True":
            return
        raise CliError(
            f"the operator refused it: {answer.get('message') or answer.get('reason')} (signal {signal})"
        )
    raise CliError(
        f"the operator has not answered within {timeout:g} s; the signal {signal} stays and is read when the "
        f"operator runs. {where_to_look(f'the namespace {session.cluster.namespace}')}"
    )


def accepted(signal: JsonObject) -> JsonObject | None:
    """The condition that says whether the signal took effect; None while the operator has not said."""
    for condition in (signal.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Accepted" and condition.get("status") in ("True", "False"):
            return dict(condition)
    return None


def find_execution(session: Session, name: str) -> JsonObject:
    """The Execution. Raises MissingError."""
    return session.cluster.get(EXECUTIONS, name)


timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the operator's answer.",
)
