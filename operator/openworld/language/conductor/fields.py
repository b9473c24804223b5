"""The fields of a definition, read one by one: what is left at the end was not carried over.

Reads as Conductor's server does: `"5"` and `5.0` are the number 5, null is the same as absent. A value of the
wrong kind is reported and left out; nothing here raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from openworld.api.meta import Json, JsonObject

from .losses import Place

_NOT_CARRIED = "is not carried over"


class Fields:
    """An object of a definition whose fields are taken out of it."""

    def __init__(self, data: JsonObject, place: Place) -> None:
        self.place = place
        self._left = {str(name): value for name, value in data.items()}

    def holds(self, name: str) -> bool:
        """Whether the field is there and says anything: not null, false, or empty."""
        return says_something(self._left.get(name))

    def peek_text(self, name: str) -> str | None:
        """Text that is to be taken later."""
        value = self._left.get(name)
        return value if isinstance(value, str) else None

    def take(self, name: str) -> Json:
        """The value as it is; None if there is none."""
        return self._left.pop(name, None)

    def skip(self, *names: str) -> None:
        """Fields that mean nothing here, whatever they hold."""
        for name in names:
            self._left.pop(name, None)

    def text(self, name: str, limit: int | None = None) -> str | None:
        """Text that is not empty, cut at the limit."""
        value = self.take(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            self._wrong(name, value, "text")
            return None
        if limit is not None and len(value) > limit:
            self.place.at(name).lose(f"is cut at {limit} characters, the most that is allowed")
            return value[:limit]
        return value

    def whole(self, name: str, least: int, most: int) -> int | None:
        """A whole number, moved into the bounds."""
        value = self.take(name)
        number = _whole(value)
        if number is None:
            if value is not None:
                self._wrong(name, value, "a whole number")
            return None
        bounded = min(max(number, least), most)
        if bounded != number:
            self.place.at(name).lose(
                f"is {_shown(number)}; written as {bounded}, the nearest that is allowed"
            )
        return bounded

    def flag(self, name: str) -> bool:
        """Whether the field is true."""
        value = self.take(name)
        if value is None or isinstance(value, bool):
            return value is True
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        self._wrong(name, value, "true or false")
        return False

    def mapping(self, name: str) -> JsonObject:
        """An object; empty if there is none."""
        value = self.take(name)
        if isinstance(value, Mapping):
            return {str(key): item for key, item in value.items()}
        if value is not None:
            self._wrong(name, value, "an object")
        return {}

    def items(self, name: str) -> list[Json]:
        """A list; empty if there is none."""
        value = self.take(name)
        if isinstance(value, list):
            return list(value)
        if value is not None:
            self._wrong(name, value, "a list")
        return []

    def choice(self, name: str, allowed: Iterable[str]) -> str | None:
        """One of some words."""
        value = self.text(name)
        allowed = list(allowed)
        if value is None or value in allowed:
            return value
        self.place.at(name).lose(f"is {_shown(value)}, which is none of {', '.join(allowed)}; left out")
        return None

    def report_rest(self, reasons: Mapping[str, str], otherwise: str = _NOT_CARRIED) -> None:
        """A loss for each field that was not taken and says something."""
        for name in list(self._left):
            if self.holds(name):
                self.place.at(name).lose(reasons.get(name, otherwise))

    def _wrong(self, name: str, value: Json, wanted: str) -> None:
        self.place.at(name).lose(f"must be {wanted}, and is {_shown(value)}; left out")


def says_something(value: Json) -> bool:
    """Whether a value is more than null, false, or empty."""
    return value is not None and value is not False and value not in ("", [], {})


def _whole(value: Json) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return None


def _shown(value: Json) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**20 else "a very large number"
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
