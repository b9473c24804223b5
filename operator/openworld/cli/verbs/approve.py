"""`openworld approve`."""

from __future__ import annotations

import click

from openworld.cli.deciding import decide, decision_options
from openworld.cli.sending import json_object
from openworld.cli.session import Session, pass_session


@click.command()
@click.option(
    "--input", "edited", metavar="JSON", help="Approve it with this input instead; it is judged again."
)
@decision_options
@pass_session
def approve(
    session: Session,
    edited: str | None,
    name: str,
    ref: str | None,
    reason: str | None,
    yes: bool,
    timeout: float,
) -> None:
    """Approve the item of execution NAME that waits for a person; REF when several wait."""
    values = json_object(edited, "--input") if edited is not None else None
    decide(session, "Approve", name, ref, reason, yes, timeout, values)
