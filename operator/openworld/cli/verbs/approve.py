"""`openworld approve`."""

from __future__ import annotations

import click

from openworld.cli.deciding import decide, decision_options
from openworld.cli.session import Session, pass_session


@click.command()
@decision_options
@pass_session
def approve(
    session: Session, name: str, ref: str | None, reason: str | None, yes: bool, timeout: float
) -> None:
    """Approve the item of execution NAME that waits for a person; REF when several wait."""
    decide(session, "Approve", name, ref, reason, yes, timeout)
