"""The one kind of failure that a verb ends with: a sentence for the person, and exit code 1."""

from __future__ import annotations

from typing import IO, Any

import click

from .plain import lines


class CliError(click.ClickException):
    """What went wrong and what to do about it. Never shown as a traceback."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, its control characters made visible."""
        click.echo(f"Error: {lines(self.message)}", file=file, err=file is None)


class MissingError(CliError):
    """The object, or its kind, does not exist."""


class ExistsError(CliError):
    """An object of that name exists."""


class ForbiddenError(CliError):
    """The caller lacks a right."""


class UnusableError(CliError):
    """What was given cannot be used: for verbs whose exit code 1 says something else."""

    exit_code = 2
