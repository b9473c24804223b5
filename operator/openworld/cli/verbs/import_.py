"""`openworld import`: Conductor's definitions as objects, and what could not be carried over."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import yaml

from openworld.api.meta import NamedReference
from openworld.cli import plain_scalars
from openworld.cli.errors import CliError
from openworld.cli.plain import lines, one_line
from openworld.language.canonical import path_text
from openworld.language.conductor import (
    Loss,
    NotADefinition,
    Place,
    Severity,
    Shape,
    definitions_in,
    import_definitions,
)
from openworld.language.reading import InvalidResource, read

IMAGE = "example.invalid/worker:replace-me"
_LISTS = {Shape.WORKFLOW: "workflows", Shape.TASK: "tasks"}
_PLURALS = {Severity.ERROR: "errors", Severity.LOSS: "losses", Severity.NOTE: "notes"}
Steps = tuple[str | int, ...]


class NoDefinitionError(CliError):
    """A file holds something else than definitions."""

    exit_code = 2


@dataclass
class _Sources:
    """The definitions of all files, where each came from, and what else the files hold."""

    definitions: dict[Shape, list[dict[str, Any]]] = field(
        default_factory=lambda: {shape: [] for shape in Shape}
    )
    origins: dict[Steps, tuple[str, Steps]] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)

    def add(self, file: str, document: Any) -> None:
        """The definitions of one document. Raises NoDefinitionError."""
        place = Place((file,))
        self.origins[file,] = (file, ())
        try:
            found = definitions_in(document, place)
        except NotADefinition as error:
            raise NoDefinitionError(self.line((file, *error.steps), error.why)) from None
        for definition in found:
            known = self.definitions[definition.shape]
            self.origins[_LISTS[definition.shape], len(known)] = (file, definition.steps)
            known.append(definition.data)
        self.losses += place.found

    def line(self, steps: Steps, message: str) -> str:
        """FILE: PATH: MESSAGE; without file and path where the import as a whole is meant."""
        origin = self._origin(steps)
        if origin is None:
            return message
        file, path = origin
        return f"{file}: {path}: {message}" if path else f"{file}: {message}"

    def in_order(self, losses: Iterable[Loss]) -> list[Loss]:
        """By file, those about the import as a whole last."""
        files = [steps[0] for steps in self.origins if len(steps) == 1]

        def position(loss: Loss) -> int:
            origin = self._origin(loss.steps)
            return files.index(origin[0]) if origin else len(files)

        return sorted(losses, key=position)

    def _origin(self, steps: Steps) -> tuple[str, str] | None:
        for length in (1, 2):
            if steps[:length] in self.origins:
                file, base = self.origins[steps[:length]]
                return file, path_text((*base, *steps[length:]))
        return None


@click.command("import")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE…",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
)
@click.option("--image", default=IMAGE, show_default=True, help="Image of every tool.")
@click.option("--catalog", default="imported", show_default=True, help="Name of the ToolCatalog.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for a file for each object; without it everything is printed.",
)
@click.option("--strict", is_flag=True, help="Exit code 1 when anything was lost.")
def import_(files: tuple[str, ...], image: str, catalog: str, folder: Path | None, strict: bool) -> None:
    """Make Workflows and a ToolCatalog of Conductor's workflow and task definitions (JSON).

    All FILEs are one import: tasks find their definitions in any of them; - is standard input. What could not
    be carried over as it was is listed on standard error: FILE: PATH: MESSAGE.
    """
    _check_catalog(catalog)
    sources = _Sources()
    for file in files:
        sources.add(file, _document(file))
    try:
        imported = import_definitions(
            sources.definitions[Shape.WORKFLOW], sources.definitions[Shape.TASK], image=image, catalog=catalog
        )
    except NotADefinition as error:
        raise NoDefinitionError(sources.line(error.steps, error.why)) from None
    objects = [*imported.catalogs, *imported.workflows]
    if folder is None:
        click.echo("---\n".join(map(manifest, objects)), nl=False)
    else:
        _write(folder, objects)
    losses = sources.in_order([*sources.losses, *imported.losses])
    if imported.catalogs and image == IMAGE:
        losses.append(Loss((), f"the image of the tools is {IMAGE}; give yours with --image", Severity.NOTE))
    for loss in losses:
        said = "" if loss.severity is Severity.LOSS else f"{loss.severity}: "
        click.echo(one_line(sources.line(loss.steps, said + loss.message)), err=True)
    click.echo(_summary(objects, losses), err=True)
    if strict and any(loss.severity is not Severity.NOTE for loss in losses):
        raise click.exceptions.Exit(1)


class _Manifests(yaml.SafeDumper):
    """YAML whose words kubectl reads as they were meant: `y` and `1e3` in quotes, scripts as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out, however often it occurs."""
        del data
        return True


def _text_node(dumper: _Manifests, text: str) -> yaml.ScalarNode:
    style = None
    if "\n" in text and not text[0].isspace():
        style = "|"
    elif plain_scalars.tag_of(text) != plain_scalars.STR:
        style = "'"
    return dumper.represent_scalar(plain_scalars.STR, text, style=style)


_Manifests.add_representer(str, _text_node)


def manifest(value: Any) -> str:
    """An object as YAML; non-ASCII text as it is, unless some of it cannot be printed."""
    text = _dumped(value, as_it_is=True)
    return text if lines(text) == text else _dumped(value, as_it_is=False)


def _dumped(value: Any, *, as_it_is: bool) -> str:
    text: str = yaml.dump(value, Dumper=_Manifests, sort_keys=False, allow_unicode=as_it_is, width=110)
    return text


def _check_catalog(name: str) -> None:
    try:
        read(NamedReference, {"name": name})
    except InvalidResource:
        raise click.BadParameter(
            f"{one_line(name, 80)!r} is no name of an object: small letters, digits, - and .",
            param_hint="--catalog",
        ) from None


def _document(file: str) -> Any:
    try:
        with click.open_file(file, encoding="utf-8-sig") as opened:
            return json.loads(opened.read(), parse_constant=_no_constant)
    except RecursionError:
        raise NoDefinitionError(f"{file}: is nested too deeply") from None
    except ValueError as error:
        raise NoDefinitionError(f"{file}: is not JSON: {error}") from None
    except OSError as error:
        raise CliError(f"{file} cannot be read: {error.strerror or error}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that JSON has")


def _write(folder: Path, objects: Sequence[dict[str, Any]]) -> None:
    """A file for each object; none is written if one is there already."""
    files = {
        folder / f"{body['kind'].lower()}-{body['metadata']['name']}.yaml": manifest(body) for body in objects
    }
    for file in files:
        if file.exists():
            raise CliError(f"{file} exists already; choose another folder, or move it away")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            file.write_text(text, encoding="utf-8")
            click.echo(str(file))
    except OSError as error:
        raise CliError(f"{folder} cannot be written to: {error.strerror or error}") from None


def _summary(objects: Sequence[dict[str, Any]], losses: Sequence[Loss]) -> str:
    workflows = sum(body["kind"] == "Workflow" for body in objects)
    tools = sum(len(body["spec"].get("tools", ())) for body in objects)
    counts = Counter(loss.severity for loss in losses)
    parts = [
        _counted(counts[severity], severity, _PLURALS[severity]) for severity in Severity if counts[severity]
    ]
    made = f"{_counted(workflows, 'workflow', 'workflows')}, {_counted(tools, 'tool', 'tools')}"
    return f"{made}: {', '.join(parts) or 'nothing was lost'}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
