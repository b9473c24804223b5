"""The ConfigMap of a scripted agent: every turn parses and has a proposal's shape, judged by governance.

Whether policy would allow it is not asked: a script may show a refusal on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openworld.cli.documents import Dialect, UnreadableError, parse
from openworld.governance import ExecutionFacts, Question
from openworld.governance.checks import shape
from openworld.language.expressions import ExpressionError, references
from openworld.language.reading import Finding, joined

DIALECTS = ("openai", "openai-responses", "anthropic", "gemini", "mcp")
"""Those that the agent's image can read; the operator itself reads none."""

_NOBODY = ExecutionFacts(
    name="",
    namespace="",
    uid="",
    input={},
    requested_by="",
    service_account="",
    started_at_ms=0,
    workflow_name="",
)


def script_findings(config_map: dict[str, Any], authored: frozenset[str] | None) -> Iterator[Finding]:
    """What is wrong with the script that a ConfigMap holds.

    `authored` are the refs of the workflows that it may run in; None when these are not known.
    """
    data = config_map.get("data")
    if not isinstance(data, dict) or not data:
        yield Finding("data", "the script is empty: it needs a key for each turn")
        return
    for key, text in data.items():
        path = joined("data", [str(key)])
        if not isinstance(text, str):
            yield Finding(path, "must be text: put a | behind the key")
            continue
        try:
            proposal = parse(text, Dialect.PYTHON)
        except UnreadableError as error:
            yield Finding(path, f"is not YAML: line {error.line} of it: {error}")
            continue
        if proposal is None:
            yield Finding(path, "is empty; a turn is a proposal")
            continue
        problems = _recorded(proposal) if is_recorded(proposal) else _problems(proposal, authored)
        yield from (Finding(path, message) for message in problems)


def is_recorded(turn: Any) -> bool:
    """Whether a turn of a script is the recorded message of a model, which the agent's image reads."""
    return isinstance(turn, dict) and "dialect" in turn


def _recorded(turn: dict[str, Any]) -> Iterator[str]:
    if turn["dialect"] not in DIALECTS:
        yield f"dialect must be one of {', '.join(DIALECTS)}"
    if set(turn) != {"dialect", "message"}:
        yield "a recorded message has the fields dialect and message, and no other"


def _problems(proposal: Any, authored: frozenset[str] | None) -> Iterator[str]:
    question = Question(
        execution=_NOBODY,
        now_ms=0,
        proposer="",
        catalogs=(),
        policies=(),
        access={},
        visible=_visible(proposal, authored),
    )
    read = shape.read(question, proposal)
    if isinstance(read, str):
        yield read
        return
    for index, denial in sorted(read.denials.items()):
        yield f"tasks[{index}]: {denial.reason}"


def _visible(proposal: Any, authored: frozenset[str] | None) -> frozenset[str]:
    """The refs that the proposal may name beside its own: authored ones, and those of earlier turns."""
    named = _named(proposal)
    if authored is None:
        return named
    return authored | frozenset(ref for ref in named if "__" in ref)


def _named(proposal: Any) -> frozenset[str]:
    tasks = proposal.get("tasks") if isinstance(proposal, dict) else None
    try:
        roots = {reference.root for reference in references(tasks)}
    except ExpressionError:
        roots = set()
    for item in tasks if isinstance(tasks, list) else ():
        after = item.get("dependsOn") if isinstance(item, dict) else None
        roots |= {ref for ref in after if isinstance(ref, str)} if isinstance(after, list) else set()
    return frozenset(roots)
