"""`openworld simulate`: a workflow run here and now, with scripted results, by the operator's own engine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openworld.api import JsonObject
from openworld.cli.documents import Dialect, Document, UnreadableError, parse
from openworld.cli.errors import CliError
from openworld.cli.files import define, documents_in, is_mandatory, notes_on, read_text, write_text
from openworld.cli.output import JSON, TABLE, output_option
from openworld.cli.plain import one_line
from openworld.cli.sending import json_object
from openworld.cli.session import Session, pass_session
from openworld.engine.needs import DefinitionKind

if TYPE_CHECKING:
    from openworld.simulation import Namespace, Script, SimulatedExecution


def _pairs(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    for text in given:
        if "=" not in text or text.startswith("="):
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", ctx, param)
    return dict(text.split("=", 1) for text in given)


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE|FOLDER…", type=click.Path(path_type=Path))
@click.option(
    "--workflow", "name", metavar="NAME", help="Which Workflow; default: the first one in the files."
)
@click.option("--input", "given", metavar="JSON|@FILE", default="{}", help="Input of the run, an object.")
@click.option(
    "--mock",
    "mock",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What workers, agents and people do: YAML with tasks, signals and approvals.",
)
@click.option(
    "--env",
    "env",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_pairs,
    help="What ${workflow.env.NAME} is; may be repeated.",
)
@click.option(
    "--requested-by",
    default="somebody@example.com",
    show_default=True,
    metavar="NAME",
    help="Who asks for the run.",
)
@click.option(
    "--junit", "report", metavar="FILE", type=click.Path(path_type=Path), help="Write a JUnit report too."
)
@output_option(TABLE, JSON, default=TABLE)
@pass_session
def simulate(
    session: Session,
    paths: tuple[Path, ...],
    name: str | None,
    given: str,
    mock: Path | None,
    env: dict[str, str],
    requested_by: str,
    report: Path | None,
    output: str,
) -> None:
    """Run a Workflow of the files in memory: no cluster, no containers, no waiting.

    Decisions, verdicts and the ledger are those of the operator; what workers, agents and people do comes
    from --mock, or for a scripted agent from its ConfigMap. A WAIT of days takes none.
    Exit code 0 only when the run completes.
    """
    from openworld.simulation import Actor, Namespace, NoOutcomeError, junit

    found = list(documents_in(paths))
    namespace = Namespace(env=env)
    defined = list(define(namespace.define, found))
    workflows = [name for kind, name, _ in defined if kind is DefinitionKind.WORKFLOW]
    namespace.mandatory += [name for kind, name, document in defined if is_mandatory(kind, document)]
    script = _with_agents_scripts(_script(mock), found)
    if not workflows:
        raise CliError("there is no Workflow in the files")
    if name is not None and name not in workflows:
        raise CliError(f"there is no Workflow {name!r} in the files; there is {', '.join(workflows)}")
    for note in notes_on(defined):
        click.echo(f"note: {one_line(note)}", err=True)
    run = namespace.start(name or workflows[0], _input(given), requested_by=requested_by)
    try:
        waits = Actor(namespace, script).run(run)
    except NoOutcomeError as error:
        _show(session, namespace, run, output)
        raise CliError(str(error)) from None
    _show(session, namespace, run, output)
    if report is not None:
        write_text(report, junit(namespace.executions, namespace.now_ms))
    if waits:
        raise CliError(f"the run does not end: it waits for {waits}")
    if run.state.phase.value != "Completed":
        raise click.exceptions.Exit(1)


def _input(given: str) -> JsonObject:
    if not given.startswith("@"):
        return json_object(given, "--input")
    file = Path(given[1:])
    value = _yaml(file)
    if not isinstance(value, dict):
        raise CliError(f"{file} must hold an object")
    return value


def _yaml(file: Path) -> Any:
    try:
        return parse(read_text(file), Dialect.PYTHON)
    except UnreadableError as error:
        raise CliError(f"{file}:{error.line}: is not YAML: {error}") from None


def _script(file: Path | None) -> Script:
    from openworld.language.reading import InvalidResource, read
    from openworld.simulation import Script

    if file is None:
        return Script()
    value = _yaml(file)
    try:
        return read(Script, {} if value is None else value, path="")
    except InvalidResource as error:
        raise CliError("\n".join(f"{file}: {each.path}: {each.message}" for each in error.findings)) from None


def _with_agents_scripts(script: Script, found: list[Document]) -> Script:
    """The script, where an agent that it says nothing of takes the turns of its ConfigMap."""
    from openworld.cli.linting.scripts import is_recorded
    from openworld.simulation import Outcome

    turns = {
        document.at("metadata.name"): document.data.get("data") or {}
        for document in found
        if isinstance(document.data, dict) and document.data.get("kind") == "ConfigMap"
    }
    added = {}
    for document in found:
        if not isinstance(document.data, dict) or document.data.get("kind") != "Agent":
            continue
        name, source = document.at("metadata.name"), document.at("spec.model.script.configMapName")
        if name in script.tasks or source not in turns:
            continue
        try:
            texts = [turns[source][key] for key in sorted(turns[source], key=_by_number)]
            proposals = [parse(text, Dialect.PYTHON) for text in texts]
        except UnreadableError as error:
            raise CliError(f"ConfigMap {source}: is not YAML: {error}") from None
        if any(map(is_recorded, proposals)):
            raise CliError(
                f"ConfigMap {source}: holds a recorded message of a model, which the agent's image reads "
                f"and a simulation cannot: say in --mock what {name} proposes"
            )
        outcomes = [Outcome(proposal=proposal) for proposal in proposals]
        ended = Outcome(terminal=f"the script's ConfigMap has {len(outcomes)} turns, and needs one for each")
        added[name] = [*outcomes, ended]
    return script.model_copy(update={"tasks": {**added, **script.tasks}})


def _by_number(key: str) -> list[tuple[int, str]]:
    """`turn-2` before `turn-10`."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", key)]


def _show(session: Session, namespace: Namespace, run: SimulatedExecution, output: str) -> None:
    if output == JSON:
        click.echo(json.dumps(_document(namespace, run), indent=2))
        return
    for execution in namespace.executions:
        if execution is not run:
            origin = execution.origin
            by = f", started by {origin.ref or 'the end'} of {origin.execution.name}" if origin else ""
            click.echo(f"\n{execution.name}{by}")
        _tell(session, execution)


def _tell(session: Session, execution: SimulatedExecution) -> None:
    from openworld.cli.story import Story
    from openworld.cli.telling import print_line

    # Without the uid: there are no Jobs whose logs a failure could point to.
    for line in Story().tell_all(execution.whole_events):
        print_line(session, line)


def _document(namespace: Namespace, run: SimulatedExecution) -> JsonObject:
    state = run.state
    return {
        "phase": state.phase.value,
        "reason": state.reason,
        "output": state.output,
        "executions": [
            {
                "name": execution.name,
                "startedBy": execution.origin.execution.name if execution.origin else None,
                "phase": execution.state.phase.value,
                "events": execution.whole_events,
            }
            for execution in namespace.executions
        ],
    }
