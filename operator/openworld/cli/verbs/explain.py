"""`openworld explain`: why a task exists, who allowed it, what it saw, did and returned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from openworld.cli.errors import CliError
from openworld.cli.kinds import EXECUTIONS
from openworld.cli.output import JSON, TABLE, YAML, output_option, print_object
from openworld.cli.session import Session, connection_options, pass_session

if TYPE_CHECKING:
    from openworld.cli.records import Record


@click.command()
@click.argument("name", metavar="EXECUTION")
@click.argument("ref")
@click.option(
    "-f",
    "--file",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A recorded run in place of the cluster: what `kubectl get execution` or `openworld ledger` prints.",
)
@output_option(TABLE, JSON, YAML, default=TABLE)
@connection_options
@pass_session
def explain(session: Session, name: str, ref: str, file: Path | None, output: str) -> None:
    """Explain the task or proposed item REF of an EXECUTION, from its ledger alone.

    REF is the ref of a task or of a denied item; AGENT/TURN is the proposal of a turn, AGENT/TURN/ITEM one of
    its items, counted from 0. The hash chain is verified first.
    """
    from openworld.cli.explanation import explain as explained

    told = explained(_record(session, name, file), ref)
    if output == TABLE:
        _print(session, told)
    else:
        print_object(told, output)


def _record(session: Session, name: str, file: Path | None) -> Record:
    from openworld.cli.history import History
    from openworld.cli.records import recorded, records

    if file is None:
        body = History(session.cluster).of(session.cluster.get(EXECUTIONS, name))
        return recorded("the cluster", body)
    found = records(file)
    for record in found:
        if record.identity.name == name or not record.is_named:
            return record
    there = ", ".join(record.identity.name for record in found)
    raise CliError(f"{file} records no run {name!r}; it records {there}")


def _print(session: Session, told: dict[str, object]) -> None:
    from rich.text import Text

    from openworld.cli.explanation_text import headline, record_line, sections
    from openworld.cli.styles import style_of

    console = session.console()
    console.print(Text(headline(told), f"bold {style_of(str(told['status']))}".strip()))
    for section in sections(told):
        console.print(Text(section.title, "bold"))
        for line in section.lines:
            console.print(Text(f"  {line}"))
    console.print(Text(record_line(told), "bright_black"))
