"""How long and until when: the texts of a WAIT task, as numbers.

Accepts what Conductor accepts and ISO 8601. The clock is handed in; the time zone database is data.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

MAX_AHEAD_MS = 3650 * 86_400_000
_DURATION_FORMS = "write for example '30s', '1h 30m', '2 days 3 hours' or 'PT5M', at most 3650 days"
_UNTIL_FORMS = (
    "write for example '2026-01-31 10:00', '2026-01-31 10:00 Europe/Berlin', '2026-01-31 10:00 GMT+2' "
    "or '2026-01-31T10:00:00Z'; without a zone it is UTC"
)
_UNITS = {
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_NAMES = {
    "week": "w", "weeks": "w", "w": "w",
    "day": "d", "days": "d", "d": "d",
    "hour": "h", "hours": "h", "hr": "h", "hrs": "h", "h": "h",
    "minute": "m", "minutes": "m", "min": "m", "mins": "m", "m": "m",
    "second": "s", "seconds": "s", "sec": "s", "secs": "s", "s": "s",
    "millisecond": "ms", "milliseconds": "ms", "ms": "ms",
}  # fmt: skip


class InvalidTime(ValueError):
    """A text that is not a duration or a point in time; the message says what is accepted."""


def parse_duration(text: str) -> int:
    """A duration in milliseconds: `2 days 3 hours`, `30s`, `1h 30m`, `PT5M`. Raises InvalidTime."""
    words = text.strip().lower()
    in_iso = words.startswith("p")
    parts = _iso_parts(words) if in_iso else _parts(words)
    units = [unit for _, unit in parts or ()]
    if not parts or len(set(units)) != len(units):
        raise InvalidTime(f"{text[:60]!r} is not a duration; {_DURATION_FORMS}")
    total = sum(number * _UNITS[unit] for number, unit in parts)
    if total > MAX_AHEAD_MS or total != int(total):
        raise InvalidTime(f"{text[:60]!r} is too long or finer than a millisecond; {_DURATION_FORMS}")
    return int(total)


def parse_until(text: str, now_ms: int) -> int:
    """A point in time in milliseconds since 1970; one in the past has simply come. Raises InvalidTime.

    A date, a time (midnight if absent) and a zone by name or offset (UTC if absent), or RFC 3339.
    """
    moment = _rfc3339(text.strip()) or _date_time_zone(text.split())
    if moment is None:
        raise InvalidTime(f"{text[:60]!r} is not a point in time; {_UNTIL_FORMS}")
    at_ms = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if at_ms - now_ms > MAX_AHEAD_MS:
        raise InvalidTime(f"{text[:60]!r} is more than 3650 days ahead; {_UNTIL_FORMS}")
    return at_ms


def _parts(words: str) -> list[tuple[Decimal, str]] | None:
    """`1h 30 minutes` as numbers and units; None if it is anything else."""
    parts: list[tuple[Decimal, str]] = []
    at = 0
    while at < len(words):
        number, at = _take(words, at, "0123456789.")
        _, at = _take(words, at, " \t")
        unit, at = _take(words, at, "abcdefghijklmnopqrstuvwxyz")
        _, at = _take(words, at, " \t,")
        value = _number(number)
        if value is None or unit not in _NAMES:
            return None
        parts.append((value, _NAMES[unit]))
    return parts


def _iso_parts(words: str) -> list[tuple[Decimal, str]] | None:
    """`p1dt2h` as numbers and units. Months and years, whose length varies, are not accepted."""
    date, marker, time = words[1:].partition("t")
    if marker and not time:
        return None
    parts: list[tuple[Decimal, str]] = []
    for section, allowed in ((date, "wd"), (time, "hms")):
        at = 0
        while at < len(section):
            number, at = _take(section, at, "0123456789.")
            unit, value = section[at : at + 1], _number(number)
            if value is None or not unit or unit not in allowed:
                return None
            parts.append((value, unit))
            at += 1
    return parts


def _take(text: str, at: int, chars: str) -> tuple[str, int]:
    end = at
    while end < len(text) and text[end] in chars:
        end += 1
    return text[at:end], end


def _number(text: str) -> Decimal | None:
    whole, point, fraction = text.partition(".")
    is_number = whole.isdigit() and (fraction.isdigit() if point else True) and len(text) <= 15
    return Decimal(text) if is_number else None


def _rfc3339(text: str) -> datetime | None:
    if len(text) < 11 or text[10] not in "Tt":
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _date_time_zone(words: list[str]) -> datetime | None:
    if not 1 <= len(words) <= 3 or len(words[0]) != 10:
        return None
    has_time = len(words) > 1 and ":" in words[1] and words[1][:1].isdigit()
    clock, zones = (words[1], words[2:]) if has_time else ("00:00", words[1:])
    zone = _zone(zones[0]) if zones else UTC
    if len(zones) > 1 or zone is None or len(clock) not in (5, 8):
        return None
    try:
        return datetime.fromisoformat(f"{words[0]}T{clock}").replace(tzinfo=zone)
    except ValueError:
        return None


def _zone(name: str) -> tzinfo | None:
    """A zone by name (`Europe/Berlin`) or offset (`GMT+2`, `+02:00`)."""
    offset = name.upper().removeprefix("GMT").removeprefix("UTC")
    if offset in ("", "Z"):
        return UTC
    if offset[0] in "+-":
        hours, _, minutes = offset[1:].partition(":")
        if len(hours) == 4 and not minutes:
            hours, minutes = hours[:2], hours[2:]
        is_offset = hours.isdigit() and len(hours) <= 2 and (minutes or "0").isdigit() and len(minutes) <= 2
        if not is_offset or int(hours) > 23 or int(minutes or "0") > 59:
            return None
        east = timedelta(hours=int(hours), minutes=int(minutes or "0"))
        return timezone(east if offset[0] == "+" else -east)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
