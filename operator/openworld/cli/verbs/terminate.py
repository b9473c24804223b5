"""`openworld terminate`."""

from __future__ import annotations

import click

from openworld.api import JsonObject
from openworld.cli.plain import one_line
from openworld.cli.sending import find_execution, send, timeout_option
from openworld.cli.session import Session, connection_options, pass_session


@click.command()
@click.argument("name")
@click.option("--reason", metavar="TEXT", help="Why; stands in the ledger.")
@click.option("--compensate", is_flag=True, help="Undo what its tasks have done, the last first.")
@timeout_option
@connection_options
@pass_session
def terminate(session: Session, name: str, reason: str | None, compensate: bool, timeout: float) -> None:
    """End execution NAME now: what runs is canceled, nothing new starts."""
    payload: JsonObject = {"reason": reason} if reason else {}
    if compensate:
        payload["compensate"] = True
    known = send(
        session, find_execution(session, name), "Terminate", payload=payload or None, timeout=timeout
    )
    click.echo(f"{one_line(name)}{' terminated' if known else ': Terminate sent'}")
