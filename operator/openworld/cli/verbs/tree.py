"""`openworld tree`: what an execution has grown into."""

from __future__ import annotations

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from openworld.api import JsonObject
from openworld.cli.kinds import EXECUTIONS
from openworld.cli.outline import Node, fitted, outline
from openworld.cli.session import Session, connection_options, pass_session
from openworld.cli.styles import style_of, symbol_of
from openworld.cli.unserved import tell_unserved, watched

#: Refreshes a second of --live.
_RATE = 4
_FINAL = ("Completed", "Failed", "TimedOut", "Terminated")


@click.command()
@click.argument("name")
@click.option("--live", is_flag=True, help="Follow until the execution ends.")
@connection_options
@pass_session
def tree(session: Session, name: str, live: bool) -> None:
    """Show the tasks of execution NAME: authored ones, and below an agent's turns what it proposed.

    Denied items are shown too, with the rule that denied them.
    """
    if not live:
        execution = session.cluster.get(EXECUTIONS, name)
        session.console().print(rendered(outline(execution)))
        tell_unserved(session, [execution])
        return
    console = session.console(crop=True)
    if not console.is_terminal:
        raise click.UsageError("--live needs a terminal")
    _follow(session, console, name)


def _follow(session: Session, console: Console, name: str) -> None:
    from rich.live import Live

    latest: list[JsonObject] = []
    drawn: list[Tree | Text] = [Text("…")]

    def screen() -> Tree | Text:
        """Drawn at most at the refresh rate, and only when something has changed."""
        if latest:
            drawn[0] = rendered(fitted(outline(latest.pop()), console.height - 1))
        return drawn[0]

    with Live(
        get_renderable=screen, console=console, refresh_per_second=_RATE, vertical_overflow="crop"
    ) as view:
        for execution in watched(session, name, tell=console.print):
            latest[:] = [execution]
            if (execution.get("status") or {}).get("phase") in _FINAL:
                break
        view.refresh()


def rendered(node: Node) -> Tree:
    """The outline as a tree that rich prints."""
    branch = Tree(_label(node), guide_style="bright_black")
    _grow(branch, node)
    return branch


def _grow(branch: Tree, node: Node) -> None:
    for child in node.children:
        _grow(branch.add(_label(child)), child)


def _label(node: Node) -> Text:
    style = style_of(node.status)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{symbol_of(node.status)} ", style)
    text.append(node.name, "bold")
    if node.what:
        text.append(f"  {node.what}")
    if node.status and node.status != "Judged":
        text.append(f"  {node.status}", style)
    if node.hidden:
        text.append(f"  … {node.hidden} more", "bright_black")
    if node.notes:
        text.append("  " + "; ".join(node.notes), "bright_black")
    return text
