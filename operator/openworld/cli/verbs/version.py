"""`openworld version`."""

from __future__ import annotations

import click

from openworld import __version__


@click.command()
def version() -> None:
    """Print the version of this command."""
    click.echo(f"openworld {__version__}")
