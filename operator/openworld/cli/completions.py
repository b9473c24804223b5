"""Completion for kubectl, which asks its plugins in cobra's format: a value a line, a directive last."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

#: cobra's directives: the default lets the shell complete file names, the other forbids it.
_FILES, _NO_FILES = ":0", ":4"


def for_kubectl(words: Sequence[str]) -> list[str]:
    """What `kubectl openworld WORD … INCOMPLETE` may go on with."""
    from click.shell_completion import ShellComplete

    from .app import cli

    *before, incomplete = words or [""]
    completer = ShellComplete(cli, {}, "openworld", "_OPENWORLD_COMPLETE")
    items = completer.get_completions(list(before), incomplete)
    wants_files = any(item.type in ("file", "dir") for item in items)
    plain = [item for item in items if item.type == "plain"]
    lines = [f"{item.value}\t{item.help}" if item.help else str(item.value) for item in plain]
    return [*lines, _FILES if wants_files else _NO_FILES]


def print_for_kubectl() -> None:
    """Print the completions of the words that kubectl gives."""
    click.echo("\n".join(for_kubectl(sys.argv[1:])))
