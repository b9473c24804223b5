"""`@tool`: an ordinary function becomes a tool that a catalog can list and a Job can run.

The decorator changes nothing about the function: it stays callable and testable as it was.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints, overload

from .context import Context
from .errors import ToolDefinitionError
from .proposal import Proposal
from .schema import is_record, object_schema, schema_of
from .wire import JsonObject, to_json

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")
_MARK = "__openworld_tool__"
_SECTION = re.compile(r"(Args|Arguments|Returns|Raises|Yields|Examples?|Notes?):\s*$")
_PARAMETER = re.compile(r"(\w+)(?:\s*\([^)]*\))?:\s*(.*)")

F = TypeVar("F", bound=Callable[..., Any])


class Effect(StrEnum):
    """What a tool does to the world; policies match on it."""

    READ = "Read"
    WRITE = "Write"
    DESTRUCTIVE = "Destructive"


class Report(StrEnum):
    """How a tool's container says its result."""

    TASK_RESULT = "TaskResult"
    TERMINATION_MESSAGE = "TerminationMessage"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The arguments of `@tool`."""

    name: str | None = None
    description: str | None = None
    effect: Effect | None = None
    idempotent: bool = False
    timeout_seconds: int | None = None
    report: Report = Report.TASK_RESULT
    service_account_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A function and what a catalog says of it."""

    function: Callable[..., Any]
    name: str
    description: str
    options: Options
    fields: dict[str, Any]
    """Type hint of each input field, in the order of the signature."""
    required: frozenset[str]
    input_schema: JsonObject
    output_schema: JsonObject | None
    context_parameter: str | None
    """The parameter that receives the Context, if any."""


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect | Literal["Read", "Write", "Destructive"] | None = None,
    idempotent: bool = False,
    timeout_seconds: int | None = None,
    report: Report | Literal["TaskResult", "TerminationMessage"] = Report.TASK_RESULT,
    service_account_name: str | None = None,
) -> Callable[[F], F]: ...
def tool(function: F | None = None, /, **options: Any) -> F | Callable[[F], F]:
    """Mark a function as a tool.

    Args:
        function: The function, when used without arguments.
        **options: `name` (the function's name), `description` (its docstring), `effect` ("Read", "Write" or
            "Destructive"; a catalog needs it), `idempotent` (running twice does no harm), `timeout_seconds`
            (of an attempt), `report` ("TaskResult" or "TerminationMessage"), `service_account_name` (of its
            pod).

    Raises:
        ToolDefinitionError: The signature or an option does not make a tool.
    """
    if function is not None:
        setattr(function, _MARK, define(function, Options()))
        return function
    try:
        given = Options(
            **options
            | {"report": Report(options.get("report", Report.TASK_RESULT))}
            | ({"effect": Effect(options["effect"])} if options.get("effect") is not None else {})
        )
    except (TypeError, ValueError) as error:
        raise ToolDefinitionError(f"@tool: {error}") from error

    def mark(marked: F) -> F:
        setattr(marked, _MARK, define(marked, given))
        return marked

    return mark


def define(function: Callable[..., Any], options: Options) -> Tool:
    """Read a function's signature and docstring.

    Raises:
        ToolDefinitionError: A parameter has no hint, or a hint has no JSON Schema.
    """
    name = options.name or function.__name__
    if not NAME.fullmatch(name) or name.isupper():
        raise ToolDefinitionError(
            f"{name}: a tool's name is a letter or _, then letters, digits, _ and -, up to 64; "
            "names all in capitals are task types"
        )
    summary, documented = _docstring(inspect.getdoc(function) or "")
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    properties: dict[str, JsonObject] = {}
    required: list[str] = []
    context_parameter = None
    for parameter in inspect.signature(function).parameters.values():
        where = f"{name}({parameter.name})"
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolDefinitionError(
                f"{where}: a tool's parameters are passed by name; * and / have no schema"
            )
        if parameter.name not in hints:
            raise ToolDefinitionError(f"{where}: has no type hint")
        if hints[parameter.name] is Context:
            context_parameter = parameter.name
            continue
        fields[parameter.name] = hints[parameter.name]
        schema = schema_of(hints[parameter.name], where)
        if parameter.name in documented:
            schema.setdefault("description", documented[parameter.name])
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        elif parameter.default is not None:
            schema["default"] = to_json(parameter.default, where)
        properties[parameter.name] = schema
    return Tool(
        function=function,
        name=name,
        description=options.description or summary,
        options=options,
        fields=fields,
        required=frozenset(required),
        input_schema=object_schema(properties, required),
        output_schema=_output_schema(hints.get("return", Any), name),
        context_parameter=context_parameter,
    )


def load_tools(source: str) -> dict[str, Tool]:
    """The tools of a Python file (`my_tools.py`) or module (`my.tools`), by name.

    A file's folder is put on the import path, so that it may import its neighbours.

    Raises:
        ToolDefinitionError: There is no such module, it does not import, or it has no tools.
    """
    module = _load_file(Path(source)) if source.endswith(".py") else _load_module(source)
    found = [vars(value)[_MARK] for value in vars(module).values() if _MARK in getattr(value, "__dict__", {})]
    tools: dict[str, Tool] = {}
    for each in found:
        if tools.setdefault(each.name, each) is not each:
            raise ToolDefinitionError(f"{source}: two tools are named {each.name}")
    if not tools:
        raise ToolDefinitionError(f"{source} has no function marked with @tool")
    return tools


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise ToolDefinitionError(f"{path}: no such file")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = f"openworld_tools_{path.stem}"  # a file called json.py must not replace the json module
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ToolDefinitionError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


def _load_module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ToolDefinitionError(f"{name}: {error}") from error


def _output_schema(hint: Any, name: str) -> JsonObject | None:
    """The schema of what the task's output will be; a value that is no object is wrapped as `{result: …}`."""
    if hint in (Any, Proposal) or Proposal in get_args(hint):
        return None
    if hint is None or hint is type(None):
        return object_schema({}, [])
    schema = schema_of(hint, f"{name} -> return")
    if is_record(hint) or schema.get("type") == "object":
        return schema
    if "type" not in schema and "enum" not in schema:
        return None
    return object_schema({"result": schema}, ["result"])


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """The description before the first section, and each parameter's line in `Args:` (Google style)."""
    summary: list[str] = []
    parameters: dict[str, list[str]] = {}
    section, current = "", ""
    for line in text.splitlines():
        heading = _SECTION.match(line)
        if heading:
            section = heading.group(1)
        elif not section:
            summary.append(line)
        elif section in ("Args", "Arguments") and line.strip():
            match = _PARAMETER.match(line.strip())
            if match and len(line) - len(line.lstrip()) <= 4:
                current = match.group(1)
                parameters[current] = [match.group(2)]
            elif current:
                parameters[current].append(line.strip())
    description = "\n".join(summary).strip()
    return description, {name: " ".join(lines).strip() for name, lines in parameters.items()}
