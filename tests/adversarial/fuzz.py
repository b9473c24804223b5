"""Hostile proposals by the million: mutations of valid and of hostile ones, judged by the validator and played.

`python -m tests.adversarial.fuzz --seconds 300 --seed 7` tries for so long and says what it found.
Everything follows from the seed. What may come out is said by `oracle`, which shares no code with the validator.
"""

from __future__ import annotations

import argparse
import copy
import json
import marshal
import sys
import time
from collections import Counter
from functools import cache
from random import Random
from typing import Any

from openworld.api import Agent, Policy, ReportStatus, SignalType, Task, ToolCatalog
from openworld.governance import (
    AgentSource,
    CatalogSource,
    ExecutionFacts,
    Failed,
    PolicySource,
    Question,
    Spent,
    Verdict,
    judge,
    judge_task,
)
from openworld.governance.question import Amounts
from openworld.ledger import genesis, verify
from openworld_worker.agent.dialects import normalise

from . import oracle
from .loading import environments, families
from .playing import Watched

ENVIRONMENT = "fuzz"
NOW_MS = 1_800_000_000_000
#: Longer than this for one verdict is a finding: it is the operator that waits.
SLOW_SECONDS = 5.0
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


@cache
def _base() -> Question:
    """A question on the environment `fuzz`, in which an agent proposes in its second turn."""
    environment = environments()[ENVIRONMENT]

    def catalog(name: str) -> CatalogSource:
        return CatalogSource(name, f"sha256:{name}", ToolCatalog.model_validate(environment.catalogs[name]))

    def policy(name: str) -> PolicySource:
        return PolicySource(name, f"sha256:{name}", Policy.model_validate(environment.policies[name]))

    return Question(
        execution=ExecutionFacts(
            "run", "team", "uid", environment.input, "alice@example.com", "runner", NOW_MS - 1000, "incident"
        ),
        now_ms=NOW_MS,
        proposer="triage",
        catalogs=(catalog("ops"),),
        policies=tuple(policy(name) for name in environment.policies),
        access={tool: tool not in environment.refused_tools for tool in oracle.EVERY_TOOL},
        visible=frozenset({"shown"}),
        taken=frozenset({"triage__2__c", "triage"}),
        own=frozenset({"triage__1__a", oracle.FAILED}),
        failed={
            oracle.FAILED: Failed(
                Task.model_validate({"name": "note", "taskReferenceName": oracle.FAILED}), oracle.RECORDED
            )
        },
        prefix="triage__2__",
        spent=Spent(used=Amounts(tasks=4), turn=2, depth=1),
        agent=AgentSource("triage", "sha256:agent", Agent.model_validate(environment.agents["triage"])),
    )


def tried(proposal: Any) -> tuple[Verdict, list[str]]:
    """The verdict on a proposal, and what the oracle has against it."""
    began = time.perf_counter()
    verdict = judge(_base(), proposal)
    took = time.perf_counter() - began
    found = oracle.against(proposal, verdict, used_tasks=4)
    if took > SLOW_SECONDS:
        found.append(f"the verdict took {took:.1f} s")
    return verdict, found


def tried_before_start(rnd: Random, verdict: Verdict) -> list[str]:
    """What the oracle has against the verdicts on accepted tasks whose input has become something else."""
    found = []
    for item in verdict.items:
        if item.task is not None:
            given = a_value(rnd)
            resolved = given if isinstance(given, dict) else mutated(rnd, item.task.input_parameters)
            if isinstance(resolved, dict):
                found += oracle.against_start(item.task, resolved, judge_task(_base(), item.task, resolved))
    return found


def a_start(rnd: Random) -> list[str]:
    """What the oracle has against the verdict on some tool with some input."""
    name = rnd.choice(oracle.EVERY_TOOL)
    task = Task.model_validate({"name": name, "taskReferenceName": "triage__2__x"})
    given = a_value(rnd)
    resolved = given if isinstance(given, dict) else {"service": given, "to": given, "text": given}
    return oracle.against_start(task, resolved, judge_task(_base(), task, resolved))


def played(rnd: Random) -> list[str]:
    """What the oracle has against a whole run: some turns, some signals, whatever comes."""
    environment = environments()[ENVIRONMENT]
    namespace = Watched(environment)
    namespace.define_all(environment)
    run = namespace.start(
        environment.start, environment.input, requested_by="alice@example.com", service_account_name="runner"
    )
    namespace.settle()
    for _ in range(rnd.randrange(1, 6)):
        if run.state.is_final:
            break
        jobs = list(run.jobs(namespace.now_ms))
        kind = rnd.randrange(10)
        if jobs and kind < 7:
            _works(rnd, namespace, run, rnd.choice(jobs))
        elif kind < 9:
            _says(rnd, namespace, run)
        else:
            namespace.advance(rnd.choice((1, 60, 700)))
    for execution in namespace.executions:
        if execution.events:
            first = execution.events[0]
            prev = genesis(execution.uid, first.get("definition"), execution.identity.spec.input)
            verify(execution.events, first=0, prev=prev)
    return oracle.against_run(
        run, [job for _, job in namespace.jobs.values()], list(namespace.children.values())
    )


def _works(rnd: Random, namespace: Watched, run: Any, ref: str) -> None:
    usage = rnd.choice((None, {"tokensIn": rnd.randrange(9000)}))
    if rnd.random() < 0.3:
        namespace.report(run, ref, output=a_value(rnd) if rnd.random() < 0.5 else {"v": a_value(rnd)})
        return
    if rnd.random() < 0.1:
        namespace.report(run, ref, ReportStatus.FAILED, reason=str(a_scalar(rnd)))
        return
    proposal = a_proposal(rnd) if rnd.random() < 0.7 else normalise(*a_message(rnd))
    namespace.report(run, ref, proposal=proposal, usage=usage)


def _says(rnd: Random, namespace: Watched, run: Any) -> None:
    ref = rnd.choice([*run.state.tasks, "ghost"])
    gate = run.state.tasks[ref].gate if ref in run.state.tasks else None
    kind = rnd.choice(
        [SignalType.APPROVE, SignalType.APPROVE, SignalType.REJECT, SignalType.COMPLETE, SignalType.SKIP]
    )
    payload = rnd.choice(({}, {"input": a_value(rnd)}, {"input": {"service": "checkout", "to": 2}}))
    namespace.signal(
        run,
        kind,
        by=rnd.choice(("alice@example.com", "bob@example.com", "carol@example.com")),
        ref=ref,
        tool=gate.tool if gate and rnd.random() < 0.9 else None,
        item_digest=gate.digest if gate and rnd.random() < 0.9 else "sha256:0",
        payload=payload,
    )


def _shown(value: Any) -> str:
    try:
        return repr(value)[:3000]
    except (ValueError, RecursionError):  # a number without end, or no end of depth
        return "what cannot be shown"


class Found(Exception):
    """Something that must not be."""


def once(rnd: Random, counts: Counter[str]) -> None:
    """One example of one kind. Raises Found, or whatever the validator raised."""
    kind = rnd.randrange(40)
    if kind == 0:
        counts["runs"] += 1
        found = played(rnd)
        subject: Any = "a run"
    elif kind < 6:
        counts["starts"] += 1
        found, subject = a_start(rnd), "a start"
    else:
        subject = a_proposal(rnd)
        if kind < 16:
            counts["messages"] += 1
            dialect, says = a_message(rnd)
            subject = normalise(dialect, says, structured=rnd.random() < 0.5)
        counts["proposals"] += 1
        verdict, found = tried(subject)
        counts["items"] += len(verdict.items)
        counts["not denied"] += sum(item.task is not None for item in verdict.items)
        found += tried_before_start(rnd, verdict)
    if found:
        raise Found(f"{found} against {_shown(subject)}")


def main() -> int:
    """Try for some seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most-findings", type=int, default=5)
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    until, number, findings = time.monotonic() + given.seconds, 0, 0
    while time.monotonic() < until and findings < given.most_findings:
        number += 1
        try:
            once(Random(f"{given.seed}/{number}"), counts)  # noqa: S311  (a seed, no secret)
        except Exception as error:
            findings += 1
            print(
                f"example {number} of seed {given.seed}: {type(error).__name__}: {error}"[:4000], flush=True
            )
            if not isinstance(error, Found):
                import traceback

                traceback.print_exc()
    told = ", ".join(f"{amount} {what}" for what, amount in sorted(counts.items()))
    print(f"{number} examples of seed {given.seed}: {told}; {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
