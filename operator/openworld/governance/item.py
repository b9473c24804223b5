"""One item of a proposal on its way through the checks."""

from __future__ import annotations

from dataclasses import dataclass

from openworld.api import JsonObject, Task, TaskType, Tool


@dataclass(frozen=True, slots=True)
class Item:
    """A normalised item: what it would run as. `has_expressions` means its input is not final.

    `retry_of` is the ref of the failed task that it tries again.
    """

    index: int
    short_ref: str
    ref: str
    task: Task
    input: JsonObject
    has_expressions: bool = False
    depends_on: tuple[str, ...] = ()
    tool: Tool | None = None
    tool_digest: str = ""
    retry_of: str = ""

    @property
    def tool_name(self) -> str:
        """Name of the tool that it asks for; empty for other task types."""
        return self.task.name if self.task.type is TaskType.SIMPLE else ""
