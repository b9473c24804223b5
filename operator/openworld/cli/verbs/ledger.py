"""`openworld ledger`: the record of an execution, told or raw."""

from __future__ import annotations

from collections.abc import Iterator

import click

from openworld.api import JsonObject
from openworld.cli.history import History
from openworld.cli.kinds import EXECUTIONS
from openworld.cli.output import JSON, TABLE, YAML, output_option, print_object
from openworld.cli.session import Session, connection_options, pass_session
from openworld.cli.story import Story
from openworld.cli.telling import print_line
from openworld.cli.unserved import tell_unserved, watched


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until the execution ends.")
@click.option(
    "--payloads", "whole", is_flag=True, help="With -o: large values in place of the digests that name them."
)
@output_option(TABLE, JSON, YAML, default=TABLE)
@connection_options
@pass_session
def ledger(session: Session, name: str, follow: bool, whole: bool, output: str) -> None:
    """Tell the story of execution NAME: who proposed, decided, approved and did what, and when.

    -o json and -o yaml print the events as recorded, hashes included; with --follow one JSON object a line.
    Values above 8 KiB are named by their digests there; --payloads writes them out.
    """
    if follow and output == YAML:
        raise click.UsageError("--follow prints events one by one: use -o table or -o json with it")
    history = History(session.cluster, whole=whole or output == TABLE)
    if output != TABLE and not follow:
        print_object(events_of(history.of(session.cluster.get(EXECUTIONS, name))), output)
        return
    states = watched(session, name) if follow else iter([_read(session, name)])
    seen = map(history.of, states)
    teller = Story()
    told = 0
    for event in new_events(_introduced(seen, teller)):
        told += 1
        if output == JSON:
            _print_json_line(event)
        else:
            print_line(session, teller.tell(event))
    if not told and output == TABLE:
        click.echo(f"{name} has not started", err=True)


def _introduced(states: Iterator[JsonObject], teller: Story) -> Iterator[JsonObject]:
    """The same states; the teller knows whose they are."""
    for execution in states:
        metadata = execution["metadata"]
        teller.uid, teller.namespace = str(metadata.get("uid", "")), str(metadata.get("namespace", ""))
        yield execution


def _read(session: Session, name: str) -> JsonObject:
    execution = session.cluster.get(EXECUTIONS, name)
    tell_unserved(session, [execution])
    return execution


def events_of(execution: JsonObject) -> list[JsonObject]:
    """The recorded events, oldest first."""
    return list(((execution.get("status") or {}).get("ledger") or {}).get("events") or ())


def new_events(states: Iterator[JsonObject]) -> Iterator[JsonObject]:
    """The events of successive states of an execution, each once, up to its end."""
    last = -1
    for execution in states:
        for event in events_of(execution):
            if event["seq"] > last:
                last = event["seq"]
                yield event
        if (execution.get("status") or {}).get("phase") in ("Completed", "Failed", "TimedOut", "Terminated"):
            return


def _print_json_line(event: JsonObject) -> None:
    import json

    click.echo(json.dumps(event, separators=(",", ":")))
