"""Proposals: what a worker returns to make its execution grow.

A proposal executes nothing. The operator judges each item against catalog and policy and runs what is
allowed; see the guide "Write a worker".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .wire import JsonObject, to_json


@dataclass(frozen=True, kw_only=True)
class Item:
    """One proposed task."""

    type: str
    """A tool of the catalog, or a task type such as HUMAN or WAIT."""
    input: Mapping[str, Any] = field(default_factory=dict)
    """Its input; may hold `${ref.output.x}` of siblings and of refs in scope."""
    ref: str | None = None
    """Short name within the proposal; the tool's name when unset."""
    depends_on: Sequence[str] = ()
    """Short names of siblings that must be done first."""
    optional: bool = False
    """Whether the rest goes on when it fails."""

    def wire(self) -> JsonObject:
        """The item in the native form."""
        item: JsonObject = {"type": self.type, "input": to_json(self.input, f"{self.ref or self.type}.input")}
        if self.ref is not None:
            item["ref"] = self.ref
        if self.depends_on:
            item["dependsOn"] = list(self.depends_on)
        if self.optional:
            item["optional"] = True
        return item


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """The next tasks, the answer, or both."""

    tasks: Sequence[Item | Mapping[str, Any]] = ()
    """Items; a mapping is taken as it is, in the native form."""
    output: Mapping[str, Any] | None = None
    """The task's own output; for an agent: its answer, which ends it."""
    rationale: str = ""
    """Why, for the record."""
    atomic: bool = False
    """One denial denies all."""

    def wire(self) -> JsonObject:
        """The proposal in the native form: what goes into the TaskResult."""
        proposal: JsonObject = {}
        if self.rationale:
            proposal["rationale"] = self.rationale
        if self.atomic:
            proposal["atomic"] = True
        if self.tasks:
            proposal["tasks"] = [
                item.wire() if isinstance(item, Item) else to_json(item, f"tasks[{index}]")
                for index, item in enumerate(self.tasks)
            ]
        if self.output is not None:
            proposal["output"] = to_json(self.output)
        return proposal
