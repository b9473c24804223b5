"""The command itself: its verbs, loaded when one is used, and what happens when something goes wrong."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from openworld import __version__

from .errors import CliError
from .plain import one_line
from .session import connection_options

#: Verb -> (module, one line of help). The help stands here so that listing verbs imports none of them.
VERBS = {
    "run": ("run", "Start a workflow."),
    "get": ("get", "List executions, or show one."),
    "tree": ("tree", "Show an execution's tasks by where they came from."),
    "ledger": ("ledger", "Tell an execution's story, event by event."),
    "explain": ("explain", "Tell why a task exists, who allowed it, and what it did."),
    "approve": ("approve", "Approve an item that waits for a person."),
    "reject": ("reject", "Reject an item that waits for a person."),
    "signal": ("signal", "Complete or fail what waits, skip, pause, retry, rerun."),
    "terminate": ("terminate", "End an execution now."),
    "lint": ("lint", "Check definitions offline."),
    "import": ("import_", "Turn Conductor's definitions into objects."),
    "simulate": ("simulate", "Run a workflow offline, with scripted results."),
    "policy": ("policy", "Judge proposals against policy files, offline: policy test."),
    "completion": ("completion", "Print the shell's completion script."),
    "version": ("version", "Print the version."),
    "help": ("help_", "Print this, or the help of a verb."),
}


class Verbs(click.Group):
    """A group whose commands are imported only when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order in which a person meets them."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        del ctx
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"openworld.cli.verbs.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, VERBS[cmd_name][0])
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the verb that was probably meant."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], VERBS, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else f". Verbs: {', '.join(VERBS)}"
            ctx.fail(f"there is no verb {one_line(args[0], 80)!r}{meant}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete verbs without importing them, and our own options."""
        verbs = [CompletionItem(name, help=text) for name, (_, text) in VERBS.items()]
        fitting = [item for item in verbs if item.value.startswith(incomplete)]
        return fitting + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="`openworld VERB --help` tells more. Reference: docs/reference/cli.md.",
)
@click.version_option(__version__, prog_name="openworld", message="%(prog)s %(version)s")
@connection_options
def cli() -> None:
    """Durable, governed, open-world execution of workflows and agents on Kubernetes."""


def program_name() -> str:
    """`kubectl openworld` when kubectl runs us as its plugin, else `openworld`."""
    return "kubectl openworld" if Path(sys.argv[0]).name.startswith("kubectl-") else "openworld"


def run() -> None:
    """Run and exit. Whatever goes wrong is one line; OPENWORLD_DEBUG=1 shows the traceback of a bug."""
    try:
        cli.main(prog_name=program_name(), standalone_mode=True)
    except Exception as error:
        if os.environ.get("OPENWORLD_DEBUG"):
            raise
        text = one_line(f"{type(error).__name__}: {error}", 500)
        CliError(f"{text} (a bug in openworld: OPENWORLD_DEBUG=1 shows where)").show()
        sys.exit(1)
