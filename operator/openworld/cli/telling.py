"""A line of the story on the terminal, for `ledger` and `simulate` alike."""

from __future__ import annotations

from .session import Session
from .story import Line
from .styles import style_of_tone
from .times import offset_text


def print_line(session: Session, line: Line) -> None:
    """Print when, who and what happened, and the details below it."""
    from rich.text import Text

    console = session.console()
    style = style_of_tone(line.tone)
    head = f"{offset_text(line.offset_ms):>10}  {line.who:<20}  "
    console.print(Text.assemble((head, "bold" if not style else f"bold {style}"), (line.text, style)))
    for detail in line.details:
        console.print(Text(f"{'':>10}  {'':<20}    - {detail}", style=style))
