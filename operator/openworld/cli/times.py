"""Durations and ages as people say them."""

from __future__ import annotations

from datetime import datetime


def duration_text(ms: int) -> str:
    """`4.1 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    ms = max(0, ms)
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    return _two(ms // 1000, (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)))


def offset_text(ms: int) -> str:
    """Time since the start, of even width: `+00:04.1`, `+1:02:03.4`."""
    tenths = max(0, ms) // 100
    minutes, seconds = divmod(tenths // 10, 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{minutes:02}:{seconds:02}.{tenths % 10}"
    return f"+{hours}:{clock}" if hours else f"+{clock}"


def age_text(since: str | None, now: datetime) -> str:
    """How long ago an RFC 3339 time is, in kubectl's way: `45s`, `12m`, `3h`, `6d`."""
    if not since:
        return ""
    try:
        seconds = int((now - datetime.fromisoformat(since)).total_seconds())
    except (ValueError, TypeError):
        return "?"
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size or (unit == "d" and seconds >= size):
            return f"{seconds // size}{unit}"
    return f"{max(0, seconds)}s"


def _two(seconds: int, units: tuple[tuple[str, int], ...]) -> str:
    parts: list[str] = []
    for unit, size in units:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count} {unit}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0 "))
