"""From file names to findings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from openworld.cli.documents import UnreadableError, documents
from openworld.cli.files import files_in, read_text

from .objects import examine
from .problem import Object, Problem, Severity
from .references import References


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
    files = list(dict.fromkeys(file for path in paths for file in files_in(path)))
    objects: list[Object] = []
    problems: list[Problem] = []
    for file in files:
        text = read_text(file)
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
