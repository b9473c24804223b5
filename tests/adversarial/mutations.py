"""Hostile values, proposals and models' messages, made by mutation of the corpus and of harmless ones.

Everything follows from the random numbers that are handed in.
"""

from __future__ import annotations

import copy
import json
import marshal
from functools import cache
from random import Random
from typing import Any

from .loading import families

DIALECTS = ("openai", "openai-responses", "anthropic", "gemini", "mcp")

_TEXTS = (
    *("look", "free", "note", "rollback", "delete_all", "locked", "admin_reset", "peek", "restore", "change"),
    *(
        "HTTP",
        "HUMAN",
        "WAIT",
        "AGENT",
        "SUB_WORKFLOW",
        "START_WORKFLOW",
        "COMPENSATE",
        "INLINE",
        "NOOP",
        "SIMPLE",
    ),
    *(
        "DYNAMIC",
        "SWITCH",
        "TERMINATE",
        "EVENT",
        "CALL_MCP_TOOL",
        "checkout",
        "vault",
        "deep-dive",
        "wipe",
        "30m",
    ),
    *(
        "${workflow.input.service}",
        "${workflow.input}",
        "${workflow.secrets.a.b}",
        "${workflow.env.A}",
        "${shown.output}",
    ),
    *(
        "${hidden.output.x}",
        "${a.output.v}",
        "${b.output}",
        "$${a}",
        "${",
        "}",
        "${a.${b.output}}",
        "${['x']}",
        "${..a}",
    ),
    *(
        "https://api.example.com/v1",
        "https://x.safe.example.com/",
        "https://vault.safe.example.com/",
        "http://evil.test/",
    ),
    *(
        "http://169.254.169.254/",
        "https://api.example.com@evil.test/",
        "http://0x7f.1/",
        "http://[::1]/",
        "https://api.example.com${a.output}/",
    ),
    *(
        "a",
        "b",
        "c",
        "shown",
        "hidden",
        "workflow",
        "triage__1__a",
        "triage__1__f",
        "item 0",
        "",
        " ",
        "\x00",
        "\n",
        "\u200b",
        "l\u043eok",
        "\uff4c",
        "\ud800",
    ),
    *(
        "__proto__",
        "constructor",
        "$ref",
        "$payload",
        "$literal",
        "payloads",
        "facts",
        "malformed",
        "callId",
        "raw",
    ),
    *(
        "image",
        "serviceAccountName",
        "namespace",
        "run",
        "when",
        "a__undo",
        "-",
        "0",
        "x" * 63,
        "x" * 64,
        "'",
        '"',
        "\\",
        "%",
    ),
)
_KEYS = (
    *(
        "type",
        "name",
        "ref",
        "input",
        "dependsOn",
        "optional",
        "retry",
        "compensation",
        "retryOf",
        "subWorkflowParam",
        "tasks",
    ),
    *(
        "taskReferenceName",
        "inputParameters",
        "intent",
        "rationale",
        "atomic",
        "output",
        "uri",
        "headers",
        "method",
        "http_request",
    ),
    *(
        "service",
        "window",
        "to",
        "text",
        "n",
        "tags",
        "agent",
        "scope",
        "tool",
        "count",
        "version",
        "workflowDefinition",
    ),
    *_TEXTS,
)
_NUMBERS = (
    0,
    1,
    -1,
    2,
    9,
    10,
    3.5,
    1e300,
    2**53 - 1,
    2**53,
    -(2**63),
    2**70,
    float("nan"),
    float("inf"),
    -0.0,
)


def seed_of(rnd: Random) -> Any:
    """What is mutated: a proposal that is allowed, or a hostile one of the corpus."""
    return rnd.choice(HARMLESS if rnd.random() < 0.5 else corpus())


HARMLESS: tuple[Any, ...] = (
    {"tasks": [{"ref": "a", "type": "look", "input": {"service": "checkout", "window": "30m"}}]},
    {
        "tasks": [
            {"ref": "a", "type": "free"},
            {"ref": "b", "type": "note", "input": {"text": "${a.output.v}"}},
        ]
    },
    {"intent": "SEQUENCE", "tasks": [{"type": "free"}, {"type": "change", "input": {"x": 1}}]},
    {"tasks": [{"type": "rollback", "input": {"service": "checkout", "to": 3}, "retry": {"count": 0}}]},
    {
        "tasks": [
            {
                "type": "HTTP",
                "input": {"uri": "https://api.example.com/v1", "method": "POST", "body": {"a": 1}},
            }
        ]
    },
    {
        "tasks": [
            {"type": "HUMAN", "input": {"question": "why?"}},
            {"type": "WAIT", "input": {"duration": "5s"}},
        ]
    },
    {"tasks": [{"type": "SUB_WORKFLOW", "input": {"name": "deep-dive", "service": "checkout"}}]},
    {"tasks": [{"type": "AGENT", "input": {"agent": "triage", "goal": "look"}}]},
    {
        "tasks": [
            {
                "type": "note",
                "input": {"text": "x"},
                "compensation": {"tool": "restore", "input": {"x": "${output.v}"}},
            }
        ]
    },
    {
        "tasks": [
            {"type": "free", "input": {"x": "${shown.output.result}", "y": "${workflow.input.service}"}}
        ],
        "atomic": True,
    },
    {"output": {"cause": "deploy"}, "rationale": "found it"},
    {"tasks": [{"type": "COMPENSATE", "input": {"scope": "triage__1__a"}}]},
)


@cache
def corpus() -> list[Any]:
    """The hostile proposals that are not too large."""
    steps = (step for family in families() for case in family.cases for step in case.course())
    return [s.turn for s in steps if isinstance(s.turn, dict) and len(marshal.dumps(s.turn)) < 4000]


def a_scalar(rnd: Random) -> Any:
    """Some JSON scalar, or nearly one."""
    kind = rnd.randrange(8)
    if kind == 0:
        return rnd.choice((None, True, False))
    if kind == 1:
        return rnd.choice(_NUMBERS)
    if kind == 2:
        return "".join(
            chr(rnd.choice((rnd.randrange(32, 127), rnd.randrange(0x2FFF)))) for _ in range(rnd.randrange(6))
        )
    return rnd.choice(_TEXTS)


def a_value(rnd: Random, depth: int = 0) -> Any:
    """Some JSON of any shape."""
    if depth > 3 or rnd.random() < 0.6:
        return a_scalar(rnd)
    if rnd.random() < 0.5:
        return [a_value(rnd, depth + 1) for _ in range(rnd.randrange(4))]
    return {rnd.choice(_KEYS): a_value(rnd, depth + 1) for _ in range(rnd.randrange(4))}


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key in value:
            found += _places(value[key], (*path, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            found += _places(value[index], (*path, index))
    return found


def mutated(rnd: Random, value: Any) -> Any:
    """The value with one thing changed: replaced, taken away, doubled, renamed, wrapped or grown."""
    value = copy.deepcopy(value)
    places = _places(value)
    path = rnd.choice(places)
    if not path:
        return a_value(rnd) if rnd.random() < 0.1 else value
    parent = value
    for step in path[:-1]:
        parent = parent[step]
    last, held = path[-1], parent[path[-1]]
    kind = rnd.randrange(11)
    if kind <= 2:
        parent[last] = a_value(rnd)
    elif kind == 3:
        parent[last] = copy.deepcopy(_at(value, rnd.choice(places)))
    elif kind == 4:
        del parent[last]
    elif kind == 5 and isinstance(parent, dict):
        parent[rnd.choice(_KEYS)] = parent.pop(last)
    elif kind == 6 and isinstance(parent, dict):
        parent[rnd.choice(_KEYS)] = a_value(rnd)
    elif kind == 7 and isinstance(held, str):
        at = rnd.randrange(len(held) + 1)
        parent[last] = held[:at] + str(rnd.choice(_TEXTS)) + held[at:]
    elif kind == 8:
        parent[last] = rnd.choice(([held], {"x": held}, json.dumps(held, default=str)))
    elif kind == 9 and isinstance(held, list):
        held.insert(rnd.randrange(len(held) + 1), copy.deepcopy(rnd.choice(held)) if held else a_value(rnd))
    elif kind == 10:
        parent[last] = _grown(rnd, held)
    return value


def _grown(rnd: Random, held: Any) -> Any:
    times = rnd.choice((2, 20, 200))
    if isinstance(held, str):
        return held * times
    if isinstance(held, list):
        return held * times
    for _ in range(rnd.choice((3, 35, 70))):
        held = rnd.choice(([held], {"a": held}))
    return held


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def a_proposal(rnd: Random) -> Any:
    """A hostile proposal, or now and then a harmless one."""
    kind = rnd.randrange(20)
    if kind == 0:
        return a_value(rnd)
    value = seed_of(rnd)
    if kind < 4 and isinstance(value, dict):  # items of two, side by side
        other = seed_of(rnd)
        both = [each.get("tasks") for each in (value, other) if isinstance(each, dict)]
        value = {**value, "tasks": [item for tasks in both if isinstance(tasks, list) for item in tasks]}
    for _ in range(rnd.choice((0, 1, 1, 1, 2, 3, 6))):
        value = mutated(rnd, value)
    return value


def a_message(rnd: Random) -> tuple[str, Any]:
    """A model's message in one of the dialects, broken in some way."""
    dialect = rnd.choice(DIALECTS)
    proposal = a_proposal(rnd)
    tasks = proposal.get("tasks") if isinstance(proposal, dict) else None
    items = tasks if isinstance(tasks, list) else [proposal]
    parts = []
    for index, item in enumerate(items[:4]):
        fields = item if isinstance(item, dict) else {"type": item}
        name, given = fields.get("type"), fields.get("input")
        ident: Any = rnd.choice((f"call_{index}", "call_0", a_scalar(rnd)))
        text = rnd.choice((_text(given), _text(given)[: rnd.randrange(9)], given))
        if rnd.random() < 0.2:
            name, text, given = "propose_tasks", _text(proposal), proposal
        parts.append(
            {
                "openai": {"id": ident, "type": "function", "function": {"name": name, "arguments": text}},
                "openai-responses": {
                    "type": "function_call",
                    "call_id": ident,
                    "name": name,
                    "arguments": text,
                },
                "anthropic": {"type": "tool_use", "id": ident, "name": name, "input": given},
                "gemini": {"functionCall": {"name": name, "args": given}},
                "mcp": {
                    "jsonrpc": "2.0",
                    "id": ident,
                    "method": "tools/call",
                    "params": {"name": name, "arguments": given},
                },
            }[dialect]
        )
    says: Any = {
        "openai": {
            "choices": [{"finish_reason": "tool_calls", "message": {"content": None, "tool_calls": parts}}]
        },
        "openai-responses": {"status": "completed", "output": parts},
        "anthropic": {"stop_reason": "tool_use", "content": parts},
        "gemini": {"candidates": [{"finishReason": "STOP", "content": {"parts": parts}}]},
        "mcp": parts[0] if len(parts) == 1 else parts,
    }[dialect]
    if rnd.random() < 0.5:
        says = mutated(rnd, says)
    return dialect, _text(says) if rnd.random() < 0.3 else says


def _text(value: Any) -> str:
    return json.dumps(value, default=str)
