"""What a discovery of an MCP server has reported, read as what it is: data that nobody vouches for.

A tool that cannot be used is left out, with the reason. What makes the whole list doubtful (two tools of one
name, too many of them, too much together) refuses all of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import reduce

from openworld.api.mcpserver import Discovered, DiscoveredTool, Hints, LeftOut, McpServer
from openworld.api.meta import Json, JsonObject
from openworld.language.canonical import NotCanonical, canonical, digest, path_text, stored_size
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
#: What nobody sees: Unicode's categories, and what is blank or ignored by default in others.
_UNSEEN = ("Cc", "Cf", "Co", "Cs")
_UNSEEN_TOO = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
_SEEN = "\n\r\t"
#: How emoji are put together: harmless where each stands behind something, and useless to hide a text in.
_STYLES, _JOINER = "\ufe0e\ufe0f", "\u200d"


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


def name_problem(name: str) -> str:
    """Why a name in the catalog is none that a tool may have; empty if it is one."""
    if not _TOOL_NAME.fullmatch(name):
        return (
            f"{_shown(name)} is no name of a tool: letters a to z and A to Z, digits, _ and -, at most 64, "
            "and no digit or - first"
        )
    if name.isupper():
        return f"{_shown(name)} is spelt like a task type, whose approval is another right; give it a prefix"
    return ""


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
    if problem := name_problem(server.prefix + name):
        return problem
    description = tool.get("description")
    if problem := _text_problem("" if description is None else description):
        return f"its description {problem}"
    schema = tool.get("inputSchema")
    if not isinstance(schema, dict):
        return "its inputSchema is no object"
    if problems := check_schema(schema):
        return f"its inputSchema cannot be used: {'; '.join(problems)[:600]}"
    if unseen := next(_unseen_in(schema, ()), ""):
        return f"its inputSchema {unseen}"
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
    return _unseen(text)


def _unseen_in(value: Json, steps: tuple[str | int, ...]) -> Iterator[str]:
    """Where a schema, of which a model is told all, holds what nobody sees."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if problem := _unseen(key):
                yield f"{problem}, at {path_text(steps) or '(root)'}"
            yield from _unseen_in(inner, (*steps, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unseen_in(inner, (*steps, index))
    elif isinstance(value, str) and (problem := _unseen(value)):
        yield f"{problem}, at {path_text(steps) or '(root)'}"


def _unseen(text: str) -> str:
    if text.isascii() and text.isprintable():
        return ""
    before = ""
    for char in text:
        if not _is_seen(char, before):
            return f"holds a character that nobody sees (U+{ord(char):04X})"
        before = char
    return ""


def _is_seen(char: str, before: str) -> bool:
    if char == _JOINER:
        return before not in ("", _JOINER)
    if char in _STYLES:
        return before not in ("", _JOINER) and before not in _STYLES
    return char in _SEEN or not (_UNSEEN_TOO.match(char) or unicodedata.category(char) in _UNSEEN)


def _shown(text: str) -> str:
    """A name for people, in which a letter of another script cannot pass for one of ours."""
    return ascii(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…")
