"""`openworld run`: start a workflow, and follow it if asked to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from openworld.api import API_VERSION, JsonObject
from openworld.cli.errors import CliError, ExistsError
from openworld.cli.history import History
from openworld.cli.kinds import EXECUTIONS
from openworld.cli.output import JSON, YAML, output_option, print_object, without_managed_fields
from openworld.cli.plain import one_line, value_text
from openworld.cli.sending import json_object
from openworld.cli.session import Session, connection_options, pass_session
from openworld.cli.unserved import watched
from openworld.language.versions import idempotent_name, object_name

_FINAL = ("Completed", "Failed", "TimedOut", "Terminated")


@click.command()
@click.argument("workflow")
@click.option(
    "-i",
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="One input; repeatable. A VALUE that is JSON is taken as such (3, true, [1]), any other is text.",
)
@click.option("--input", "text", metavar="JSON", help="The whole input, an object.")
@click.option(
    "--input-file",
    "file",
    metavar="FILE",
    type=click.Path(allow_dash=True, path_type=Path),
    help="The whole input from a JSON or YAML file; - is standard input.",
)
@click.option("--name", metavar="NAME", help="Name of the execution; default: WORKFLOW and a random suffix.")
@click.option("--service-account", metavar="SA", help="Whose right to use tools is asked.")
@click.option(
    "--workflow-version", type=click.IntRange(min=1), help="Exactly this version; default: the latest."
)
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="At most one execution of WORKFLOW with this key, for as long as it is kept.",
)
@click.option(
    "--return-existing",
    is_flag=True,
    help="With --idempotency-key: an execution that has the key is no error; its name is printed.",
)
@click.option("--correlation-id", metavar="ID", help="Your own id of the run.")
@click.option("--wait", is_flag=True, help="Follow it; exit code 0 only when it completes.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="With --wait: stop waiting after this long.",
)
@output_option(JSON, YAML)
@connection_options
@pass_session
def run(
    session: Session,
    workflow: str,
    pairs: tuple[str, ...],
    text: str | None,
    file: Path | None,
    name: str | None,
    service_account: str | None,
    workflow_version: int | None,
    idempotency_key: str | None,
    return_existing: bool,
    correlation_id: str | None,
    wait: bool,
    timeout: float | None,
    output: str | None,
) -> None:
    """Start WORKFLOW: creates an Execution and prints its name."""
    if sum(map(bool, (pairs, text is not None, file is not None))) > 1:
        raise click.UsageError("give the input once: -i, --input or --input-file")
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")
    if name and idempotency_key:
        raise click.UsageError("--idempotency-key gives the execution its name: leave --name away")
    if return_existing and not idempotency_key:
        raise click.UsageError("--return-existing goes with --idempotency-key")
    values = _input(pairs, text, file)
    spec: JsonObject = {
        "workflowRef": {"name": workflow},
        "input": values,
        "requestedBy": session.cluster.whoami(),
    }
    if service_account:
        spec["serviceAccountName"] = service_account
    if correlation_id:
        spec["correlationId"] = correlation_id
    if workflow_version is not None:
        spec["workflowRef"]["version"] = workflow_version
    if idempotency_key:
        name = idempotent_name(workflow, idempotency_key)
    body = {
        "apiVersion": API_VERSION,
        "kind": EXECUTIONS.kind,
        "metadata": {
            **({"name": name} if name else {"generateName": f"{object_name(workflow)[:57]}-"}),
            "namespace": session.cluster.namespace,
        },
        "spec": spec,
    }
    try:
        created = session.cluster.create(EXECUTIONS, body)
    except ExistsError:
        if not return_existing or name is None:
            raise
        created = session.cluster.get(EXECUTIONS, name)
    started = created["metadata"]["name"]
    if output is None:
        click.echo(started)
    ended = _wait(session, started, timeout) if wait else created
    if output is not None:
        print_object(without_managed_fields(ended), output)
    if wait:
        _tell_end(session, ended, quiet=output is not None)


def _input(pairs: tuple[str, ...], text: str | None, file: Path | None) -> JsonObject:
    if text is not None:
        return json_object(text, "--input")
    if file is not None:
        return _from_file(file)
    values: JsonObject = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CliError(f"-i takes KEY=VALUE, not {pair!r}")
        if key in values:
            raise CliError(f"-i {key} is given twice")
        values[key] = _value(value)
    return values


def _value(text: str) -> Any:
    """JSON where it is JSON; NaN and Infinity are words, as in JSON they are nothing."""
    try:
        return json.loads(text, parse_constant=_as_text)
    except (ValueError, RecursionError):
        return text


def _as_text(constant: str) -> Any:
    return constant


def _from_file(file: Path) -> JsonObject:
    from openworld.cli.documents import Dialect, UnreadableError, parse

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CliError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        value = parse(text, Dialect.PYTHON)
    except UnreadableError as error:
        raise CliError(f"{file}:{error.line} is neither JSON nor YAML: {one_line(error, 300)}") from None
    if not isinstance(value, dict):
        raise CliError(f"{file} must hold an object")
    return value


def _wait(session: Session, name: str, timeout: float | None) -> JsonObject:
    told = ""
    status: JsonObject = {}
    for execution in watched(session, name, timeout):
        status = execution.get("status") or {}
        if status.get("phase") in _FINAL:
            return execution
        waits = status.get("waitingFor") or ""
        if waits != told and waits:
            click.echo(f"{name} waits for {one_line(waits, 300)}", err=True)
        told = waits
    waits = f", waits for {one_line(told, 300)}" if told else ""
    raise CliError(
        f"{name} is still {status.get('phase') or 'Pending'} after {timeout:g} s{waits}; it goes on"
    )


def _tell_end(session: Session, execution: JsonObject, *, quiet: bool) -> None:
    status = execution["status"]
    phase, name = status["phase"], execution["metadata"]["name"]
    if phase != "Completed":
        reason = status.get("reason")
        raise CliError(f"{name} {phase}" + (f": {one_line(reason, 1000)}" if reason else ""))
    if not quiet:
        output = History(session.cluster).output_of(execution)
        click.echo("Completed" + (f": {value_text(output, 2000)}" if output else ""))
