"""One finding of the linter, and the object that it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from openworld.api import JsonObject
from openworld.cli.documents import Document


class Severity(StrEnum):
    """Whether a finding fails the lint."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """Where and what; `path` is empty when the whole document is meant."""

    file: str
    line: int
    kind: str
    name: str
    path: str
    message: str
    severity: Severity = Severity.ERROR

    def text(self) -> str:
        """`file:line: kind/name: path: message`."""
        owner = f"{self.kind}/{self.name}" if self.kind else ""
        parts = (f"{self.file}:{self.line}", owner, self.path)
        said = self.message if self.severity is Severity.ERROR else f"warning: {self.message}"
        return ": ".join([*(part for part in parts if part), said])


@dataclass(frozen=True, slots=True)
class Object:
    """A document of a kind that the linter knows. `model` is None where its shape is wrong.

    Of a ToolCatalog it has the tools that are pinned of MCP servers too; `withheld` says why others are
    denied, `is_complete` whether all of them are known here.
    """

    document: Document
    kind: str
    namespace: str
    name: str
    body: JsonObject
    model: BaseModel | None = None
    withheld: Mapping[str, str] = field(default_factory=dict)
    is_complete: bool = True

    def problem(self, path: str, message: str, severity: Severity = Severity.ERROR) -> Problem:
        """A finding about this object."""
        line = self.document.line(path)
        return Problem(self.document.file, line, self.kind, self.name, path, message, severity)


def named(body: Any) -> tuple[str, str]:
    """Namespace and name that a document gives itself, as far as it does."""
    metadata = body.get("metadata") if isinstance(body, dict) else None
    if not isinstance(metadata, dict):
        return "", ""
    name = metadata.get("name") or metadata.get("generateName") or ""
    return str(metadata.get("namespace") or ""), str(name)
