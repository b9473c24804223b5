"""HUMAN: waits for a person's Signal; its payload is the output."""

from __future__ import annotations

from .kind import TaskKind


class HumanTask(TaskKind):
    """Everything that happens to it is a Signal (`openworld.engine.signals`)."""
