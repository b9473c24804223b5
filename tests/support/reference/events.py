"""events.md: every type of event, what it holds, and one of each, from runs of the engine."""

from __future__ import annotations

from collections import Counter, defaultdict

import yaml

from openworld.api import Json, JsonObject
from openworld.ledger import EventType

from . import runs
from .markdown import GENERATED, block, code, codes, table

#: Stands in every event.
ALWAYS = ("seq", "at", "type", "prev", "hash")


def fields_of_types() -> dict[str, tuple[list[str], list[str]]]:
    """By type of event: the fields that each one of it holds, and those that some do."""
    counts: Counter[str] = Counter()
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for event in (event for ledger in runs.ledgers() for event in ledger):
        counts[event["type"]] += 1
        seen[event["type"]].update(key for key in event if key not in ALWAYS)
    return {
        kind: (
            [key for key, number in fields.items() if number == counts[kind]],
            sorted(key for key, number in fields.items() if number < counts[kind]),
        )
        for kind, fields in seen.items()
    }

def page() -> str: return ""
