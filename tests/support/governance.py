"""A question for the validator, with defaults that allow: a test states only what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openworld.api import Agent, Policy, Task, ToolCatalog
from openworld.governance import (
    AgentSource,
    CatalogSource,
    ExecutionFacts,
    ItemVerdict,
    PolicySource,
    Question,
    Verdict,
    judge,
    judge_task,
)
from tests.support.world import tool

NOW_MS = 1_800_000_000_000  # Friday, 2027-01-15 08:00:00 UTC

ROLLBACK_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["service"],
    "additionalProperties": False,
    "properties": {"service": {"type": "string", "maxLength": 63}, "to": {"type": "integer", "minimum": 1}},
}
TOOLS: list[dict[str, Any]] = [
    tool("look"),
    tool("note", "Write", idempotent=True),
    tool("rollback", "Destructive", inputSchema=ROLLBACK_SCHEMA),
]
ALLOW_ALL: dict[str, Any] = {"rules": [{"name": "all", "decision": "Allow"}]}
#: An item that any policy here allows.
LOOK: dict[str, Any] = {"type": "look", "input": {}}
#: What the shape check says of a key that an item may not have.
MAY_SET = (
    "it may set ref, type, name, input, dependsOn, optional, retry, subWorkflowParam, compensation, retryOf"
)


def rule(name: str = "r", decision: str = "Allow", **more: Any) -> dict[str, Any]:
    """A rule of a policy."""
    return {"name": name, "decision": decision, **more}


def catalog(*tools: dict[str, Any], name: str = "tools") -> CatalogSource:
    """A catalog that can be used."""
    return CatalogSource(name, f"sha256:{name}", ToolCatalog.model_validate({"tools": list(tools)}))


def policy(spec: dict[str, Any], name: str = "p") -> PolicySource:
    """A policy that can be used."""
    return PolicySource(name, f"sha256:{name}", Policy.model_validate(spec))


def agent(**spec: Any) -> AgentSource:
    """An agent called oncall."""
    base = {"model": {"provider": "scripted", "script": {"configMapName": "s"}}, "catalogs": ["tools"]}
    return AgentSource("oncall", "sha256:agent", Agent.model_validate({**base, **spec}))


def question(*policies: dict[str, Any], **changes: Any) -> Question:
    """A question on these policies; without any, one that allows every tool."""
    values: dict[str, Any] = {
        "execution": facts(),
        "now_ms": NOW_MS,
        "proposer": "triage",
        "catalogs": (catalog(*TOOLS),),
        "policies": tuple(policy(spec, name) for spec, name in zip(policies or (ALLOW_ALL,), "pqrs")),  # noqa: B905
        "access": yes_to_all(),
        "prefix": "triage__1__",
    }
    return Question(**{**values, **changes})


def facts(**changes: Any) -> ExecutionFacts:
    """The execution that is asked about, a minute old."""
    values: dict[str, Any] = {
        "name": "run-1",
        "namespace": "team",
        "uid": "uid-1",
        "input": {"service": "checkout"},
        "requested_by": "alice@example.com",
        "service_account": "runner",
        "started_at_ms": NOW_MS - 60_000,
        "workflow_name": "incident",
    }
    return ExecutionFacts(**{**values, **changes})


def yes_to_all() -> Mapping[str, bool]:
    """Access reviews that say yes to the tools of the catalog and were not asked about others."""
    return dict.fromkeys((spec["name"] for spec in TOOLS), True)


def items(asked: Question, *tasks: Any, **more: Any) -> tuple[ItemVerdict, ...]:
    """The verdicts on the items of a proposal that can be read."""
    verdict = judge(asked, {"tasks": list(tasks), **more})
    assert verdict.problem == ""
    assert len(verdict.items) == len(tasks)
    return verdict.items


def only(asked: Question, item: Any) -> ItemVerdict:
    """The verdict on the one item of a proposal."""
    return items(asked, item)[0]


def started(asked: Question, resolved: dict[str, Any] | None = None, **task: Any) -> Verdict:
    """The verdict on a task right before it starts."""
    definition = {"taskReferenceName": "triage__1__x", "name": "look", "type": "SIMPLE", **task}
    return judge_task(asked, Task.model_validate(definition), resolved or {})


def summary(verdicts: tuple[ItemVerdict, ...]) -> list[tuple[str, str, str]]:
    """Ref, decision and rule of each item."""
    return [(v.short_ref, v.decision.value, v.rule) for v in verdicts]
