"""A ToolCatalog printed from a module's tools: signature and catalog cannot drift apart.

It prints YAML with a writer of its own, since the SDK has no dependencies: maps, lists, and JSON scalars,
which YAML 1.2 contains.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from .errors import ToolDefinitionError
from .report import API_VERSION
from .tool import Tool
from .wire import JsonObject

PYTHON = "python"
_PLAIN = re.compile(r"[A-Za-z_/$][A-Za-z0-9_/$.-]*")
_NOT_TEXT = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def catalog(name: str, source: str, image: str, tools: Iterable[Tool]) -> JsonObject:
    """The ToolCatalog of some tools.

    Args:
        name: metadata.name.
        source: Path or module of the tools inside the image.
        image: Image that has the tools and this package.
        tools: The tools.

    Raises:
        ToolDefinitionError: A tool does not say its effect.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": "ToolCatalog",
        "metadata": {"name": name},
        "spec": {"tools": [_entry(tool, source, image) for tool in tools]},
    }


def _entry(tool: Tool, source: str, image: str) -> JsonObject:
    options = tool.options
    if options.effect is None:
        raise ToolDefinitionError(
            f"{tool.name}: say what it does to the world, so that policies can tell: "
            '@tool(effect="Read"), "Write" or "Destructive"'
        )
    entry: JsonObject = {"name": tool.name}
    if tool.description:
        entry["description"] = tool.description
    entry["inputSchema"] = tool.input_schema
    if tool.output_schema is not None:
        entry["outputSchema"] = tool.output_schema
    entry["effect"] = options.effect.value
    if options.idempotent:
        entry["idempotent"] = True
    if options.timeout_seconds is not None:
        entry["timeoutSeconds"] = options.timeout_seconds
    command = [PYTHON, "-m", "openworld_worker", "run", source, tool.name]
    run: JsonObject = {"container": {"image": image, "command": command}, "report": options.report.value}
    if options.service_account_name is not None:
        run["serviceAccountName"] = options.service_account_name
    return entry | {"run": run}


def to_yaml(value: Any) -> str:
    """A JSON value as a YAML document in block style."""
    return "\n".join(_block(value, 0)) + "\n"


def _block(value: Any, indent: int) -> list[str]:
    pad = " " * indent
    if isinstance(value, dict) and value:
        lines: list[str] = []
        for key, item in value.items():
            lines += _under(f"{pad}{_scalar(key)}:", item, indent + (0 if isinstance(item, list) else 2))
        return lines
    if isinstance(value, list) and value:
        lines = []
        for item in value:
            first, *rest = _block(item, indent + 2)
            lines += [f"{pad}- {first.lstrip()}", *rest]
        return lines
    return [pad + _scalar(value)]


def _under(head: str, item: Any, indent: int) -> list[str]:
    flat = isinstance(item, list) and not any(isinstance(each, dict | list) for each in item)
    if flat or not isinstance(item, dict | list) or not item:
        inline = f"[{', '.join(_scalar(each) for each in item)}]" if flat else _scalar(item)
        return [f"{head} {inline}"]
    return [head, *_block(item, indent)]


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    return json.dumps(value, ensure_ascii=False)
