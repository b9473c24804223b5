"""What a discovery of an MCP server has reported, read as what it is: data that nobody vouches for.

A tool that cannot be used is left out, with the reason. What makes the whole list doubtful (two tools of one
name, too many of them, too much together) refuses all of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import reduce

from openworld.api.mcpserver import Discovered, DiscoveredTool, Hints, LeftOut, McpServer
from openworld.api.meta import Json, JsonObject
from openworld.language.canonical import NotCanonical, canonical, digest, stored_size
from openworld.language.schemas import check_schema

MOST_TOOLS = 256
MOST_DESCRIPTION = 4096
#: Bytes of one server's tools, and of all that a catalog's status keeps of its servers.
MOST_BYTES = 256 * 1024
MOST_BYTES_OF_ALL = 768 * 1024
_MOST_LEFT_OUT = 64
_LONGEST_SHOWN = 80
#: A schema stands so deep in what is recorded at most, and must fit there.
_LEVELS_ABOVE = 8
_TOOL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")
#: Unicode's categories of what nobody sees; an emoji's joiner is harmless.
_UNSEEN = ("Cc", "Cf", "Co", "Cs")
_SEEN = "\n\r\t\u200d"


class RefusedReport(ValueError):
    """A report of which nothing is taken over."""


@dataclass(frozen=True, slots=True)
class Found:
    """The usable tools of a discovery, and the others."""

    tools: Discovered
    left_out: tuple[LeftOut, ...] = ()


def read_report(server: McpServer, output: JsonObject | None) -> Found:
    """The tools that a discovery of `server` has found. Raises RefusedReport."""
    listed = output.get("tools") if isinstance(output, dict) else None
    if not isinstance(listed, list):
        raise RefusedReport("the report holds no list of tools")
    named = [tool for tool in listed if isinstance(tool, dict) and isinstance(tool.get("name"), str)]
    if len(named) < len(listed):
        raise RefusedReport("it lists a tool without a name")
    wanted = [tool for tool in named if is_wanted(server, tool["name"])]
    twice = [name for name, count in Counter(tool["name"] for tool in wanted).items() if count > 1]
    if twice:
        shown = ", ".join(map(_shown, sorted(twice)[:3]))
        raise RefusedReport(f"it lists more than one tool named {shown}, so nobody knows which is meant")
    if len(wanted) > MOST_TOOLS:
        raise RefusedReport(
            f"it lists {len(wanted)} tools; at most {MOST_TOOLS} are taken: say which by allow and deny"
        )
    tools: list[DiscoveredTool] = []
    left_out: list[LeftOut] = []
    for tool in sorted(wanted, key=lambda each: str(each["name"])):
        read = _tool(server, tool)
        if isinstance(read, DiscoveredTool):
            tools.append(read)
        else:
            left_out.append(LeftOut(name=_shown(tool["name"]), reason=plain(read)))
    found = discovered(server.name, tools)
    size = size_of(tools)
    if size > MOST_BYTES:
        raise RefusedReport(
            f"its tools have {size:,} bytes; at most {MOST_BYTES:,} are kept: "
            "say which you need by allow and deny"
        )
    return Found(found, tuple(left_out[:_MOST_LEFT_OUT]))


def is_wanted(server: McpServer, name: str) -> bool:
    """Whether a tool belongs to the catalog, by its name as the server has it."""
    return any(fnmatchcase(name, glob) for glob in server.allow) and not any(
        fnmatchcase(name, glob) for glob in server.deny
    )


def plain(text: str) -> str:
    """What a server says, without what a terminal would act on or nobody sees."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def size_of(tools: Sequence[DiscoveredTool]) -> int:
    """Bytes of tools in the API server's store."""
    return sum(stored_size(tool.wire()) for tool in tools)


def discovered(server: str, tools: list[DiscoveredTool]) -> Discovered:
    """These tools, as one discovery found them."""
    ordered = sorted(tools, key=lambda tool: tool.name)
    known_as = digest({"server": server, "tools": [tool.digest for tool in ordered]})
    return Discovered(digest=known_as, tools=ordered)


def _tool(server: McpServer, tool: JsonObject) -> DiscoveredTool | str:
    """A tool, or why it cannot be used."""
    name = tool["name"]
    full = server.prefix + name
    if not _TOOL_NAME.fullmatch(full):
        return (
            f"{_shown(full)} is no name of a tool: letters a to z and A to Z, digits, _ and -, at most 64, "
            "and no digit or - first"
        )
    if full.isupper():
        return f"{_shown(full)} is spelt like a task type, whose approval is another right; give it a prefix"
    description = tool.get("description")
    if problem := _text_problem("" if description is None else description):
        return f"its description {problem}"
    schema = tool.get("inputSchema")
    if not isinstance(schema, dict):
        return "its inputSchema is no object"
    if problems := check_schema(schema):
        return f"its inputSchema cannot be used: {'; '.join(problems)[:600]}"
    said = tool.get("annotations")
    hints = _hints(said if isinstance(said, dict) else {})
    shape: JsonObject = {
        "name": name,
        "description": description or "",
        "inputSchema": schema,
        "hints": hints,
    }
    try:
        known_as = digest({"server": server.name, **shape})
        canonical(reduce(lambda inner, _: {"in": inner}, range(_LEVELS_ABOVE), schema))
    except NotCanonical as error:
        return f"it cannot be recorded: {error}"
    return DiscoveredTool(
        name=name,
        description=description or "",
        input_schema=schema,
        schema_digest=digest(schema),
        hints=Hints.model_validate(hints),
        digest=known_as,
    )


def _hints(said: JsonObject) -> JsonObject:
    found = {"readOnly": said.get("readOnlyHint"), "destructive": said.get("destructiveHint")}
    return {key: value for key, value in found.items() if isinstance(value, bool)}


def _text_problem(text: Json) -> str:
    if not isinstance(text, str):
        return "is no text"
    if len(text) > MOST_DESCRIPTION:
        return f"has {len(text)} characters; at most {MOST_DESCRIPTION} are allowed"
    unseen = next((c for c in text if c not in _SEEN and unicodedata.category(c) in _UNSEEN), None)
    return f"holds a character that nobody sees (U+{ord(unseen):04X})" if unseen is not None else ""


def _shown(text: str) -> str:
    """A name for people, in which a letter of another script cannot pass for one of ours."""
    return ascii(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…")
