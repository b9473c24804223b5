"""`openworld get`: where executions stand."""

from __future__ import annotations

from datetime import datetime

import click

from openworld.api import JsonObject
from openworld.cli.kinds import EXECUTIONS
from openworld.cli.output import JSON, TABLE, YAML, output_option, print_object, without_managed_fields
from openworld.cli.plain import one_line
from openworld.cli.session import Session, connection_options, pass_session
from openworld.cli.styles import style_of
from openworld.cli.times import age_text
from openworld.cli.unserved import tell_unserved


@click.command()
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Of all namespaces.")
@output_option(TABLE, JSON, YAML, default=TABLE)
@connection_options
@pass_session
def get(session: Session, name: str | None, everywhere: bool, output: str) -> None:
    """List the executions, newest first, or show execution NAME."""
    if name is not None and everywhere:
        raise click.UsageError("a NAME is looked for in one namespace; leave out -A")
    if name is not None:
        found = [session.cluster.get(EXECUTIONS, name)]
    else:
        found = session.cluster.list(EXECUTIONS, everywhere=everywhere)
        found.sort(key=lambda item: item["metadata"].get("creationTimestamp") or "", reverse=True)
    if output != TABLE:
        shown = [without_managed_fields(item) for item in found]
        listing = {"apiVersion": "v1", "kind": "List", "items": shown}
        print_object(shown[0] if name is not None else listing, output)
    elif not found:
        click.echo(
            f"no executions in {'any namespace' if everywhere else session.cluster.namespace}", err=True
        )
    else:
        _print_table(session, found, everywhere)
        tell_unserved(session, found)


def row(execution: JsonObject, now: datetime) -> list[str]:
    """Name, workflow, phase, active/completed/all tasks, what it waits for, age."""
    metadata, spec, status = execution["metadata"], execution["spec"], execution.get("status") or {}
    counts = status.get("counts") or {}
    workflow = (status.get("workflow") or {}).get("name") or (spec.get("workflowRef") or {}).get("name")
    return [
        one_line(metadata["name"]),
        one_line(workflow or "(inline)", 63),
        one_line(status.get("phase") or "Pending", 20),
        "/".join(str(counts.get(key, 0)) for key in ("active", "completed", "tasks")),
        one_line(status.get("waitingFor") or "", 80),
        age_text(metadata.get("creationTimestamp"), now),
    ]


def _print_table(session: Session, found: list[JsonObject], everywhere: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="")
    heads = ("NAME", "WORKFLOW", "PHASE", "ACTIVE/DONE/ALL", "WAITING-FOR", "AGE")
    for head in (*(("NAMESPACE",) if everywhere else ()), *heads):
        table.add_column(head, no_wrap=True)
    now = session.now()
    for item in found:
        cells = [Text(cell) for cell in row(item, now)]
        cells[2].stylize(style_of(cells[2].plain))
        where = [Text(one_line(item["metadata"].get("namespace", "")))] if everywhere else []
        table.add_row(*where, *cells)
    session.console().print(table)
