"""`openworld tree`: what an execution has grown into."""

from __future__ import annotations

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from openworld.api import JsonObject
from openworld.cli.history import History
from openworld.cli.kinds import EXECUTIONS
from openworld.cli.outline import Node, fitted, outline
from openworld.cli.session import Session, connection_options, pass_session
from openworld.cli.styles import style_of, symbol_of
from openworld.cli.unserved import tell_unserved, watched

#: Refreshes a second of --live.
_RATE = 4
#: Columns of a level's guide, and between the parts of a line.
_GUIDE, _GAP = 4, "  "
#: Columns that a name, or what a task runs, keeps; and those that notes may take from the latter.
_LEAST, _NOTES = 12, 32
#: Columns below which cropped text says nothing.
_SENSE = 4
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
        execution = History(session.cluster).of(session.cluster.get(EXECUTIONS, name))
        session.console().print(rendered(outline(execution)))
        tell_unserved(session, [execution])
        return
    console = session.console(crop=True)
    if not console.is_terminal:
        raise click.UsageError("--live needs a terminal")
    _follow(session, console, name)


def _follow(session: Session, console: Console, name: str) -> None:
    from rich.live import Live

    history = History(session.cluster)
    latest: list[JsonObject] = []
    drawn: list[Tree | Text] = [Text("…")]

    def screen() -> Tree | Text:
        """Drawn at most at the refresh rate, and only when something has changed."""
        if latest:
            drawn[0] = on_screen(outline(history.of(latest.pop())), console)
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
    """The outline as a tree that rich prints, its lines as long as they are."""
    branch = Tree(_label(node), guide_style="bright_black")
    _grow(branch, node, None)
    return branch


def on_screen(root: Node, console: Console) -> Tree:
    """The outline as a tree that fits a screen.

    The first line, which says what the run waits for, takes as many lines as it needs. In the others the
    state comes first: what a task runs, then its notes, are cropped to make room for it.
    """
    head = _label(root)
    head.no_wrap, head.overflow = False, "fold"
    lines = len(head.wrap(console, console.width))
    branch = Tree(head, guide_style="bright_black")
    _grow(branch, fitted(root, max(1, console.height - lines)), console.width - _GUIDE)
    return branch


def _grow(branch: Tree, node: Node, width: int | None) -> None:
    for child in node.children:
        _grow(branch.add(_label(child, width)), child, None if width is None else width - _GUIDE)


def _label(node: Node, width: int | None = None) -> Text:
    style = style_of(node.status)
    symbol = Text(f"{symbol_of(node.status)} ", style)
    name, what = Text(node.name, "bold"), Text(node.what)
    state = Text(node.status if node.status != "Judged" else "", style)
    hidden = Text(f"… {node.hidden} more" if node.hidden else "", "bright_black")
    notes = Text("; ".join(node.notes), "bright_black")
    if width is not None:
        room = width - symbol.cell_len - sum(len(_GAP) + part.cell_len for part in (state, hidden) if part)
        name = _cropped(name, max(_LEAST, room))
        room -= name.cell_len + len(_GAP)
        reserved = min(len(_GAP) + notes.cell_len, _NOTES) if notes else 0
        what = _cropped(what, max(min(_LEAST, room), room - reserved))
        room -= what.cell_len + len(_GAP) if what else 0
        notes = _cropped(notes, room)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append_text(symbol)
    return text.append_text(Text(_GAP).join(part for part in (name, what, state, hidden, notes) if part))


def _cropped(text: Text, width: int) -> Text:
    """The text in so many columns; nothing where there is room for hardly a letter."""
    if text.cell_len > width < _SENSE:
        return Text("")
    text.truncate(width, overflow="ellipsis")
    return text
