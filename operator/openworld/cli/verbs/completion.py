"""`openworld completion`: the script that a shell loads."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL; for bash: `source <(openworld completion bash)`.

    `kubectl openworld` completes by itself when `kubectl_complete-openworld` is on the PATH.
    """
    from click.shell_completion import get_completion_class

    from openworld.cli.app import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(found(cli, {}, "openworld", "_OPENWORLD_COMPLETE").source())
