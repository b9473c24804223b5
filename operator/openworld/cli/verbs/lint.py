"""`openworld lint`: definitions checked offline, by the operator's own code."""

from __future__ import annotations

import json
from pathlib import Path

import click

from openworld.cli.output import JSON, TABLE, output_option
from openworld.cli.plain import counted, one_line


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE|FOLDER…", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="References to objects that are not among the files are errors.")
@output_option(TABLE, JSON, default=TABLE)
def lint(paths: tuple[Path, ...], strict: bool, output: str) -> None:
    """Check every Openworld object in the files, and what they say of each other.

    One line a finding: FILE:LINE: KIND/NAME: PATH: MESSAGE. Exit code 1 when there is an error.
    """
    from openworld.cli.linting import lint as run_lint

    found = run_lint(paths, strict=strict)
    if output == JSON:
        report = {
            "files": found.files,
            "objects": found.objects,
            "findings": [
                {
                    "file": problem.file,
                    "line": problem.line,
                    "kind": problem.kind,
                    "name": problem.name,
                    "path": problem.path,
                    "severity": problem.severity.value,
                    "message": problem.message,
                }
                for problem in found.problems
            ],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        for problem in found.problems:
            click.echo(one_line(problem.text()))
        click.echo(_summary(found.files, found.objects, found.errors, len(found.problems)))
    if found.errors:
        raise click.exceptions.Exit(1)


def _summary(files: int, objects: int, errors: int, problems: int) -> str:
    head = f"{counted(files, 'file')}, {counted(objects, 'object')}"
    if not problems:
        return f"{head}: no problems"
    parts = [counted(errors, "error")] if errors else []
    warnings = problems - errors
    parts += [counted(warnings, "warning")] if warnings else []
    return f"{head}: {', '.join(parts)}"
