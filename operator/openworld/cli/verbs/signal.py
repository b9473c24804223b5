"""`openworld signal`: what one says to a run that is not an approval."""

from __future__ import annotations

import click

from openworld.cli.errors import CliError
from openworld.cli.plain import one_line
from openworld.cli.refs import check_ref
from openworld.cli.sending import find_execution, json_object, send, timeout_option
from openworld.cli.session import Session, connection_options, pass_session

#: The types that name a task, and those that may.
_ABOUT_A_TASK = ("Progress", "Skip")
_MAY_NAME_A_TASK = ("Complete", "Fail", "Rerun")
_ABOUT_THE_RUN = ("Pause", "Resume", "Terminate", "Retry", "Restart")
_TYPES = (*_MAY_NAME_A_TASK, *_ABOUT_A_TASK, *_ABOUT_THE_RUN)
#: What --payload is of a type; the others take --reason.
_PAYLOADS = {
    "Complete": "the task's output",
    "Progress": "the task's output so far",
    "Skip": "{output}",
    "Rerun": "{input, workflowInput}",
    "Retry": "{resumeSubworkflowTasks}",
    "Restart": "{useLatestDefinitions}",
}


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
@click.option(
    "--payload",
    metavar="JSON",
    help="An object. " + " ".join(f"{kind}: {what}." for kind, what in _PAYLOADS.items()),
)
@click.option(
    "--group", metavar="GROUP", help="Complete, Fail, Progress: answer a HUMAN task for this group."
)
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
    group: str | None,
    reason: str | None,
    timeout: float,
) -> None:
    """Say something to execution NAME, or to its task REF.

    Complete, Fail and Progress are for HUMAN and WAIT tasks (without REF: the first WAIT that waits); Skip
    passes over a task that is still to come; Rerun begins again from a task that has run, or with no REF
    from the beginning; Retry runs again what failed; Restart begins anew.
    """
    if kind in _ABOUT_A_TASK and ref is None:
        raise CliError(f"{kind} is about one task: openworld signal {one_line(name, 253)} {kind} REF")
    if kind in _ABOUT_THE_RUN and ref is not None:
        raise CliError(f"{kind} is about the whole execution and takes no REF")
    if payload is not None and kind not in _PAYLOADS:
        raise CliError(f"{kind} takes --reason and no --payload")
    values = json_object(payload, "--payload") if payload is not None else {}
    if reason:
        if kind in ("Complete", "Progress"):
            raise CliError(f"--reason does not go with {kind}: the payload is the task's output")
        values["reason"] = reason
    if group is not None and kind not in ("Complete", "Fail", "Progress"):
        raise CliError(f"{kind} is not said for a group: leave out --group")
    execution = find_execution(session, name)
    if ref is not None:
        check_ref(execution, ref, kind)
    known = send(
        session,
        execution,
        kind,
        ref=ref,
        payload=values,
        about={"group": group} if group else None,
        timeout=timeout,
    )
    click.echo(f"{one_line(name)}: {kind} {'accepted' if known else 'sent'}")
