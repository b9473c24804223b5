"""Objects as JSON or YAML, complete and uncropped: for programs, in any terminal harmless."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from .plain import lines

TABLE, JSON, YAML = "table", "json", "yaml"


F = TypeVar("F", bound=Callable[..., Any])


def output_option(*formats: str, default: str | None = None) -> Callable[[F], F]:
    """-o, with the formats that a verb has."""
    return click.option(
        "-o",
        "--output",
        "output",
        type=click.Choice(formats),
        default=default,
        show_default=default is not None,
        help="Format.",
    )


def print_object(value: Any, form: str) -> None:
    """Print a value in a format."""
    if form == JSON:
        click.echo(json.dumps(value, indent=2))
        return
    click.echo(yaml_text(value), nl=False)


def yaml_text(value: Any) -> str:
    """YAML that says exactly the value: non-ASCII text as it is, unless some of it cannot be printed."""
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)
    if lines(text) == text:
        return text
    escaped: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=False, width=110)
    return escaped


def without_managed_fields(body: Any) -> Any:
    """The object without the API server's book-keeping of who set what."""
    if not isinstance(body, dict) or "metadata" not in body:
        return body
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {**body, "metadata": metadata}
