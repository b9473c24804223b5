"""From file names to findings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from openworld.cli.documents import UnreadableError, documents
from openworld.cli.errors import CliError

from .objects import examine
from .problem import Object, Problem, Severity
from .references import References

_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Linted:
    """What was read, and what was found, in the order of files and lines."""

    files: int
    objects: int
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> int:
        """Findings that fail the lint."""
        return sum(problem.severity is Severity.ERROR for problem in self.problems)


def lint(paths: Iterable[Path], *, strict: bool = False) -> Linted:
    """Lint files and folders. Raises CliError when one cannot be read."""
    files = list(dict.fromkeys(file for path in paths for file in _files(path)))
    objects: list[Object] = []
    problems: list[Problem] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise CliError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        try:
            for document in documents(str(file), text):
                found, wrong = examine(document)
                problems += wrong
                if found is not None:
                    objects.append(found)
        except UnreadableError as error:
            problems.append(Problem(str(file), error.line, "", "", "", f"is not YAML: {error}"))
    problems += References(objects, strict=strict).problems()
    order = {str(file): index for index, file in enumerate(files)}
    problems.sort(key=lambda problem: (order[problem.file], problem.line))
    ours = sum(item.kind != "ConfigMap" for item in objects)
    return Linted(len(files), ours, tuple(dict.fromkeys(problems)))


def _files(path: Path) -> Iterator[Path]:
    """A file as it is; of a folder every YAML and JSON file, but hidden ones and Helm templates."""
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise CliError(f"{path} does not exist")
    for folder, below, names in os.walk(path):
        is_chart = "Chart.yaml" in names
        below[:] = sorted(
            name for name in below if not name.startswith(".") and not (is_chart and name == "templates")
        )
        yield from (
            Path(folder, name)
            for name in sorted(names)
            if name.endswith(_SUFFIXES) and not name.startswith(".")
        )
