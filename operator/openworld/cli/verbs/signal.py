"""`openworld signal`: what one says to a run that is not an approval."""

from __future__ import annotations

import click

from openworld.cli.errors import CliError
from openworld.cli.plain import one_line
from openworld.cli.sending import find_execution, json_object, send, timeout_option
from openworld.cli.session import Session, connection_options, pass_session

#: The types that name a task.
_ABOUT_A_TASK = ("Complete", "Fail")
_TYPES = (*_ABOUT_A_TASK, "Pause", "Resume", "Terminate")


class _SignalType(click.ParamType[str]):
    """A type of signal in any case; decisions have verbs of their own, which show what is decided on."""

    name = "type"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        by_lower = {kind.lower(): kind for kind in _TYPES}
        if value.lower() in ("approve", "reject"):
            self.fail(f"use `openworld {value.lower()}`, which shows what you decide on", param, ctx)
        if value.lower() not in by_lower:
            self.fail(f"{one_line(value, 40)!r} is not one of {', '.join(_TYPES)}", param, ctx)
        return by_lower[value.lower()]

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        del param, ctx
        return f"[{'|'.join(_TYPES)}]"


@click.command()
@click.argument("name")
@click.argument("kind", type=_SignalType())
@click.argument("ref", required=False)
@click.option("--payload", metavar="JSON", help="Complete: the task's output, an object.")
@click.option("--reason", metavar="TEXT", help="Why; stands in the ledger.")
@timeout_option
@connection_options
@pass_session
def signal(
    session: Session,
    name: str,
    kind: str,
    ref: str | None,
    payload: str | None,
    reason: str | None,
    timeout: float,
) -> None:
    """Complete or fail the HUMAN or WAIT task REF of execution NAME; pause, resume or terminate the run."""
    if kind in _ABOUT_A_TASK and ref is None:
        raise CliError(f"{kind} is about one task: openworld signal {one_line(name, 253)} {kind} REF")
    if kind not in _ABOUT_A_TASK and ref is not None:
        raise CliError(f"{kind} is about the whole execution and takes no REF")
    if payload is not None and kind != "Complete":
        raise CliError(f"--payload is the output of a task that is completed; {kind} takes --reason")
    values = json_object(payload, "--payload") if payload is not None else {}
    if reason:
        if kind == "Complete":
            raise CliError("--reason does not go with Complete: the payload is the task's output")
        values["reason"] = reason
    known = send(session, find_execution(session, name), kind, ref=ref, payload=values, timeout=timeout)
    click.echo(f"{one_line(name)}: {kind} {'accepted' if known else 'sent'}")
