"""`openworld policy test`: proposals judged against policy files, offline, by the operator's validator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openworld.cli.errors import CliError, UnusableError
from openworld.cli.files import write_text
from openworld.cli.output import JSON, TABLE, output_option
from openworld.cli.session import Session, pass_session

if TYPE_CHECKING:
    from openworld.cli.policytest import Given, Report

_FILE = click.Path(path_type=Path)


@click.group()
def policy() -> None:
    """Ask what policies would say, without a cluster."""


@policy.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE|FOLDER…", type=_FILE)
@click.option("--cases", multiple=True, metavar="FILE|FOLDER", type=_FILE, help="Written cases; repeatable.")
@click.option(
    "--recorded",
    multiple=True,
    metavar="FILE",
    type=_FILE,
    help="A recorded run, as `kubectl get execution` or `openworld ledger -o json` prints it; repeatable.",
)
@click.option(
    "--allow-changes", is_flag=True, help="Recorded verdicts may change: show it, and do not fail for it."
)
@click.option("--junit", "xml", metavar="FILE", type=_FILE, help="Write a JUnit report too.")
@output_option(TABLE, JSON, default=TABLE)
@pass_session
def test(
    session: Session,
    paths: tuple[Path, ...],
    cases: tuple[Path, ...],
    recorded: tuple[Path, ...],
    allow_changes: bool,
    xml: Path | None,
    output: str,
) -> None:
    """Judge proposals against the Policies, ToolCatalogs, Agents and Workflows of the files.

    Written cases say what they expect; of a recorded run, each recorded verdict is expected again, on what
    was proposed and on the authored tasks that a policy binds. Exit code 0 when everything is as expected, 1
    when something differs, 2 when files cannot be used or hold nothing to judge.
    """
    if not cases and not recorded:
        raise click.UsageError("there is nothing to judge: give --cases or --recorded")
    try:
        report = _report(paths, cases, recorded)
        if xml is not None:
            write_text(xml, report.as_junit())
    except CliError as error:
        raise UnusableError(error.message) from None
    if output == JSON:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        _print(session, report)
    if report.differing("Written" if allow_changes else None):
        raise click.exceptions.Exit(1)


def _report(paths: tuple[Path, ...], cases: tuple[Path, ...], recorded: tuple[Path, ...]) -> Report:
    from openworld.cli.policytest import Report, Tested, given, written

    definitions = given(paths)
    report = Report()
    for file, where, case in written(cases):
        report.tested.append(Tested("Written", file, where, definitions.judge(case, where)))
    for path in recorded:
        _replay(report, definitions, path)
    if not report.tested:
        why = [*(("the files of --cases have no case",) if cases else ()), *report.notes]
        raise CliError("there is nothing to judge: " + "\n".join(why))
    report.notes += definitions.notes
    assumed = sorted({row.verdict["tool"] for row in report.rows() if row.assumed and row.verdict})
    if assumed:
        report.notes.append(
            f"access is assumed: whether the service account may use {', '.join(assumed)} is not known here"
        )
    return report


def _replay(report: Report, definitions: Given, file: Path) -> None:
    from openworld.cli.policytest import Tested, nothing_judged
    from openworld.cli.records import records
    from openworld.simulation import MissingDefinitionError, replay

    for record in records(file):
        try:
            found = replay(definitions.bench, record.identity, record.events)
        except MissingDefinitionError as error:
            raise CliError(f"{file}: {error}") from None
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise CliError(f"{file}: its events cannot be followed: {error!r}") from None
        name = record.identity.name
        report.tested += [Tested("Recorded", str(file), name, judged) for judged in found]
        if not found:
            report.notes.append(f"{file}: {nothing_judged(definitions.bench, record)}")
        if found and not record.is_named and definitions.names_the_run():
            report.notes.append(
                f"{file} holds events alone: rules ask for the run's name or namespace, which are not known; "
                "give what `kubectl get execution` prints"
            )


def _print(session: Session, report: Report) -> None:
    from rich.text import Text

    from openworld.cli.plain import one_line
    from openworld.cli.policytest.report import name_of, reason_of, rule_of
    from openworld.cli.policytest.words import wanted_text

    console = session.console()
    rows = list(report.rows())
    widths = [max((len(text(row)) for row in rows), default=0) for text in (name_of, rule_of)]
    for tested in report.tested:
        judged = tested.judged
        policies = ", ".join(one_line(policy, 63) for policy in judged.policies) or "none"
        console.print(
            Text.assemble(
                (one_line(judged.name, 200), "bold"),
                (f"  {one_line(tested.where)}  policies: {policies}", "bright_black"),
            )
        )
        if judged.problem:
            console.print(Text(f"    refused as a whole: {one_line(judged.problem, 400)}"))
        if judged.misfit:
            console.print(Text(f"  ✗ {one_line(judged.misfit, 400)}", "red"))
        for row in judged.rows:
            mark, style = ("✗", "red") if row.differs else ("✓", "")
            decision = row.verdict["decision"] if row.verdict else "(no item)"
            head = f"  {mark} {name_of(row):<{widths[0]}}  {decision:<13}  {rule_of(row):<{widths[1]}}  "
            console.print(Text((head + reason_of(row)).rstrip(), style))
            if row.differs:
                console.print(Text(f"      {wanted_text(row, tested.kind)}", "yellow"))
    for note in report.notes:
        console.print(Text(f"note: {one_line(note)}"))
    console.print(Text(report.summary()))
