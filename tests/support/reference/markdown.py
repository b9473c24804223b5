"""Tables and code in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GENERATED = "<!-- Written by `make generate`. Do not edit. -->"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells are Markdown. Line ends within a cell become blanks."""
    lines = [_row(head), "|" + "---|" * len(head)]
    return "\n".join([*lines, *(_row(row) for row in rows)]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def code(text: str) -> str:
    """Text in the type of code."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def codes(texts: Iterable[str]) -> str:
    """Several, with commas."""
    return ", ".join(code(text) for text in texts)


def block(text: str) -> str:
    """A block of code."""
    return "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())


def anchor(heading: str) -> str:
    """Where a heading is reached: as GitHub makes it."""
    kept = "".join(char for char in heading.lower() if char.isalnum() or char in " -_")
    return "#" + kept.replace(" ", "-")
