"""A recorded behaviour, read from its file, and what is expected of Openworld where that differs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CASES = HERE / "cases"
OURS = HERE / "ours"


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `missing` says that nobody has written down what to expect of it."""

    name: str
    recorded: dict[str, Any]
    ours: dict[str, Any] | None
    missing: str = ""

    @property
    def is_normative(self) -> bool:
        """Whether it must pass as recorded."""
        return bool(self.recorded["normative"])

    def of(self, key: str) -> Any:
        """`steps`, `expect` or `final`: ours where it differs, else as recorded."""
        return (self.ours or {}).get(key, self.recorded[key])

    @property
    def texts(self) -> list[str]:
        """The texts that are looked for in the reasons of unsuccessful ends."""
        given = [step.get("result", step).get("reason") for step in self.of("steps")]
        mentions = (*self.recorded.get("mention", ()), *(self.ours or {}).get("mention", ()))
        texts = [text for text in (*given, *mentions) if text]
        return list(dict.fromkeys(texts))


def read_cases(folder: Path) -> list[Case]:
    """All cases of a folder, by name."""
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def _read(path: Path) -> Case:
    recorded = json.loads(path.read_text())
    found = [folder / path.name for folder in (path.parent.parent / "ours", OURS)]
    ours = next((json.loads(file.read_text()) for file in found if file.exists()), None)
    missing = ""
    if len(recorded["expect"]) != len(recorded["steps"]) + 1:
        raise ValueError(f"{path}: expect needs one entry for the start and one for each step")
    if recorded["normative"]:
        ours = None
    elif ours is None:
        missing = f"not normative, and no ours/{path.name} says what to expect instead: {recorded['ours']}"
    return Case(recorded["name"], recorded, ours, missing)
