"""Objects as JSON or YAML, complete and uncropped: for programs, in any terminal harmless."""

from __future__ import annotations

import json
import math
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


def yaml_text(value: Any, *, folded: bool = True) -> str:
    """YAML that says exactly the value: non-ASCII text as it is, unless some of it cannot be printed.

    Unless `folded`, each text stands on one line, its line breaks escaped: none of it looks like a field.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        """Not the library's own: what is said of texts here is not said everywhere."""

    if not folded:
        Dumper.add_representer(str, _on_one_line)

    def dumped(*, as_it_is: bool) -> str:
        width = 110 if folded else math.inf
        text: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=as_it_is, width=width)
        return text

    text = dumped(as_it_is=True)
    return text if lines(text) == text else dumped(as_it_is=False)


def _on_one_line(dumper: Any, text: str) -> Any:
    style = '"' if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def without_managed_fields(body: Any) -> Any:
    """The object without the API server's book-keeping of who set what."""
    if not isinstance(body, dict) or "metadata" not in body:
        return body
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {**body, "metadata": metadata}
