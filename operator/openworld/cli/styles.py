"""Colours of phases, statuses and the story's tones."""

from __future__ import annotations

from .story import Tone

_STYLES = {
    "Completed": "green",
    "CompletedWithErrors": "yellow",
    "Failed": "red",
    "FailedWithTerminalError": "red",
    "TimedOut": "red",
    "Terminated": "red",
    "Denied": "red",
    "Canceled": "bright_black",
    "Skipped": "bright_black",
    "Pending": "bright_black",
    "AwaitingApproval": "yellow",
    "Paused": "yellow",
    "Compensating": "yellow",
    "Scheduled": "cyan",
    "InProgress": "cyan",
    "Running": "cyan",
}
_SYMBOLS = {
    "Completed": "✓",
    "CompletedWithErrors": "✓",
    "Failed": "✗",
    "FailedWithTerminalError": "✗",
    "TimedOut": "✗",
    "Terminated": "✗",
    "Denied": "⊘",
    "Canceled": "–",
    "Skipped": "–",
    "Pending": "·",
    "AwaitingApproval": "?",
    "Paused": "‖",
    "Compensating": "↺",
    "Scheduled": "○",
    "InProgress": "▸",
    "Running": "▸",
}
_TONES = {
    Tone.PLAIN: "",
    Tone.GOOD: "green",
    Tone.BAD: "red",
    Tone.WAITING: "yellow",
    Tone.QUIET: "bright_black",
}


def style_of(status: str) -> str:
    """The style of a phase or a task's status."""
    return _STYLES.get(status, "")


def symbol_of(status: str) -> str:
    """One character for a phase or a task's status."""
    return _SYMBOLS.get(status, "•")


def style_of_tone(tone: Tone) -> str:
    """The style of a line of the story."""
    return _TONES[tone]
