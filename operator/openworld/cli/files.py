"""Files and folders as a person names them; what cannot be read or written is an error for that person."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from openworld.api import API_VERSION, JsonObject, ToolCatalog
from openworld.api.policy import MANDATORY
from openworld.engine.needs import Definition, DefinitionKind
from openworld.language.reading import read

from .documents import Dialect, Document, UnreadableError, documents
from .errors import CliError
from .pinned import server_notes, status_findings, status_of

_SUFFIXES = (".yaml", ".yml", ".json")
#: What is told of an object to whatever keeps definitions: kind, name, spec, and of a ToolCatalog its status.
Put = Callable[[str, str, JsonObject, JsonObject | None], Definition]


def files_in(path: Path) -> Iterator[Path]:
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


def read_text(file: Path) -> str:
    """The text of a file. Raises CliError."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CliError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def write_text(file: Path, text: str) -> None:
    """Write a file. Raises CliError."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"{file} cannot be written: {error.strerror or error}") from None


def documents_in(paths: Iterable[Path], dialect: Dialect = Dialect.KUBERNETES) -> Iterator[Document]:
    """The documents of files and folders, each file once. Raises CliError."""
    for file in dict.fromkeys(file for path in paths for file in files_in(path)):
        try:
            yield from documents(str(file), read_text(file), dialect)
        except UnreadableError as error:
            raise CliError(f"{file}:{error.line}: is not YAML: {error}") from None


def define(put: Put, found: Iterable[Document]) -> Iterator[tuple[DefinitionKind, str, Document]]:
    """Hand over every Workflow, ToolCatalog, Policy and Agent; what each was called. Raises CliError."""
    for document in found:
        if not isinstance(document.data, dict) or document.data.get("apiVersion") != API_VERSION:
            continue
        kind, name = document.data.get("kind"), document.at("metadata.name")
        if kind not in tuple(DefinitionKind) or not isinstance(name, str):
            continue
        spec, status = document.data.get("spec"), None
        if kind == DefinitionKind.TOOL_CATALOG:
            _refuse_status(document)
            status = status_of(document.data)
        problem = put(kind, name, spec if isinstance(spec, dict) else {}, status).problem
        if problem:
            raise CliError(f"{document.file}:{document.line()}: {problem}")
        yield DefinitionKind(kind), name, document


def notes_on(defined: Iterable[tuple[DefinitionKind, str, Document]]) -> list[str]:
    """What a reader must know of verdicts on what was defined: which tools are not known from the files."""
    notes: list[str] = []
    for kind, name, document in defined:
        if kind is DefinitionKind.TOOL_CATALOG:
            servers = read(ToolCatalog, document.data.get("spec") or {}).mcp_servers
            notes += server_notes(name, servers, status_of(document.data))
    return notes


def _refuse_status(document: Document) -> None:
    findings = list(status_findings(document.data))
    if findings:
        places = (
            f"{document.file}:{document.line(each.path)}: {each.path}: {each.message}" for each in findings
        )
        raise CliError("\n".join(places))


def is_mandatory(kind: DefinitionKind, document: Document) -> bool:
    """Whether a definition is a Policy that binds every run, by its label."""
    labels = document.at("metadata.labels")
    return kind is DefinitionKind.POLICY and isinstance(labels, dict) and MANDATORY in labels
