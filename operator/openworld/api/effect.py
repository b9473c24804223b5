"""What a tool does to the world, in one word."""

from __future__ import annotations

from enum import StrEnum


class Effect(StrEnum):
    """What a tool does to the world; policies match on it."""

    READ = "Read"
    WRITE = "Write"
    DESTRUCTIVE = "Destructive"
