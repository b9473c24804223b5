"""Approve and reject: find the item that waits, show it as the operator recorded it, ask, and say so.

What is shown comes from the ledger's ApprovalRequested event whose digest the Signal then names, never
from a model's text; an item that changed meanwhile is refused by the operator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from openworld.api import JsonObject
from openworld.ledger import EventType

from .errors import CliError
from .history import History
from .output import yaml_text
from .plain import one_line
from .questions import Askers, asked_by, asking, question, untrusted
from .sending import find_execution, send, timeout_option
from .session import Session, connection_options

F = TypeVar("F", bound=Callable[..., Any])
#: Characters of what a model wants to ask a person.
_QUESTION = 600


def decision_options(command: F) -> F:
    """What approve and reject take."""
    for decorate in reversed(
        (
            click.argument("name"),
            click.argument("ref", required=False),
            click.option("--reason", metavar="TEXT", help="Why; stands in the ledger."),
            click.option("-y", "--yes", is_flag=True, help="Do not ask; needed without a terminal."),
            timeout_option,
            connection_options,
        )
    ):
        command = decorate(command)
    return command


def decide(
    session: Session,
    verb: str,
    name: str,
    ref: str | None,
    reason: str | None,
    yes: bool,
    timeout: float,
    edited: JsonObject | None = None,
) -> None:
    """Send the decision (`Approve` or `Reject`) on one waiting item. Raises CliError.

    `edited` is the input that is approved in place of the one that was asked for.
    """
    execution = History(session.cluster).of(find_execution(session, name))
    ref = _chosen(execution, ref)
    gate = execution["status"]["tasks"][ref]["approval"]
    item = recorded_item(execution, ref, gate)
    click.echo(shown(ref, gate, item, _askers(execution).of(ref)))
    if edited is not None:
        lines = [f"    {line}" for line in yaml_text(edited, folded=False).splitlines()]
        click.echo("\n".join(["  input that you approve instead:", *lines]))
    if not yes and not session.has_terminal():
        raise CliError(
            f"nothing was sent: there is no terminal to ask on; look at the item and give --yes to "
            f"{verb.lower()} it"
        )
    if not yes and not click.confirm(f"{verb} this?"):
        raise CliError("nothing was sent")
    about = {"tool": gate["tool"], "itemDigest": gate["itemDigest"]}
    payload: JsonObject = {"reason": reason} if reason else {}
    if edited is not None:
        payload["input"] = edited
    known = send(session, execution, verb, ref=ref, payload=payload or None, about=about, timeout=timeout)
    done = {"Approve": "approved", "Reject": "rejected"}[verb] if known else f"{verb} sent"
    click.echo(f"{one_line(ref)} ({one_line(gate['tool'])}) {done}")


def waiting(execution: JsonObject) -> dict[str, JsonObject]:
    """The gates that wait for a person, by ref."""
    tasks = (execution.get("status") or {}).get("tasks") or {}
    return {
        ref: task["approval"]
        for ref, task in tasks.items()
        if task.get("status") == "AwaitingApproval" and task.get("approval")
    }


def recorded_item(execution: JsonObject, ref: str, gate: JsonObject) -> JsonObject:
    """The event that asked for this approval. Raises CliError when it is not in the ledger."""
    events = ((execution["status"].get("ledger")) or {}).get("events") or ()
    for event in reversed(events):
        if event.get("type") == EventType.APPROVAL_REQUESTED and event.get("ref") == ref:
            if event.get("itemDigest") == gate["itemDigest"]:
                return dict(event)
            break
    raise CliError(
        f"the ledger does not show the item that {ref} waits with (digest {gate['itemDigest']}); "
        "do not decide on what cannot be shown"
    )


def shown(ref: str, gate: JsonObject, item: JsonObject, asker: str = "") -> str:
    """The item in full, for the person who decides on it.

    A text that `asker` wants to put to a person is cropped, and says whose it is: nobody decides by it.
    """
    subject = item.get("subject") or {}
    version = f" version {subject['version']}" if "version" in subject else ""
    fields = {
        "task": ref,
        "tool": asking(asker) if asker else gate["tool"],
        "runs": f"{subject['kind']} {subject['name']}{version} ({subject['digest']})" if subject else "",
        "rule": item.get("rule") or "",
        "why": item.get("reason") or "",
        "approvals": f"{len(gate.get('approvedBy') or ())} of {gate.get('count', 1)}",
        "expires": gate.get("expiresAt") or "",
        "digest": gate["itemDigest"],
    }
    rows = [f"  {key + ':':<11}{one_line(value)}" for key, value in fields.items() if value]
    values = item.get("input") or {}
    if asker:
        inputs = [f"  input ({untrusted(asker)}): {question(values, _QUESTION)}"]
    else:
        inputs = ["  input:", *(f"    {line}" for line in yaml_text(values, folded=False).splitlines())]
    return "\n".join(["An item waits for a person:", *rows, *inputs])


def _askers(execution: JsonObject) -> Askers:
    return asked_by(((execution.get("status") or {}).get("ledger") or {}).get("events") or ())


def _chosen(execution: JsonObject, ref: str | None) -> str:
    gates = waiting(execution)
    name, listed = execution["metadata"]["name"], _listed(execution, gates)
    if ref is not None:
        if ref in gates:
            return ref
        task = ((execution.get("status") or {}).get("tasks") or {}).get(ref)
        stands = f"is {task.get('status')}" if task else "does not exist"
        raise CliError(f"task {ref!r} of {name} {stands}; {listed}")
    if len(gates) == 1:
        return next(iter(gates))
    if not gates:
        raise CliError(f"nothing in {name} waits for an approval")
    raise CliError(f"name one: {listed}")


def _listed(execution: JsonObject, gates: dict[str, JsonObject]) -> str:
    if not gates:
        return "nothing waits for an approval"
    askers = _askers(execution)
    what = {
        ref: asking(askers.of(ref)) if askers.of(ref) else f"({gate['tool']})" for ref, gate in gates.items()
    }
    return "waiting for an approval: " + ", ".join(f"{ref} {said}" for ref, said in what.items())
