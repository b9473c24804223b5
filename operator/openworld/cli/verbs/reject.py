"""`openworld reject`."""

from __future__ import annotations

import click

from openworld.cli.deciding import decide, decision_options
from openworld.cli.session import Session, pass_session


@click.command()
@decision_options
@pass_session
def reject(
    session: Session, name: str, ref: str | None, reason: str | None, yes: bool, timeout: float
) -> None:
    """Reject the item of execution NAME that waits for a person; REF when several wait."""
    decide(session, "Reject", name, ref, reason, yes, timeout)
