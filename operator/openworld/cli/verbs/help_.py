"""`openworld help`: the same as `--help`, for fingers that type a word."""

from __future__ import annotations

import click

from openworld.cli.plain import one_line


@click.command()
@click.argument("verb", required=False)
@click.pass_context
def help_(context: click.Context, verb: str | None) -> None:
    """Print what `openworld --help` prints, or `openworld VERB --help`."""
    outer = context.find_root()
    command = outer.command
    if verb is not None and isinstance(command, click.Group):
        found = command.get_command(outer, verb)
        if found is None:
            command.resolve_command(outer, [verb])  # fails, with the verb that was probably meant
            raise click.UsageError(f"there is no verb {one_line(verb, 80)!r}")
        outer, command = click.Context(found, info_name=verb, parent=outer), found
    click.echo(command.get_help(outer))
