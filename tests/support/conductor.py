"""Conductor's definitions to import, and what an import says of them."""

from __future__ import annotations

from typing import Any

from openworld.language.conductor import (
    Imported,
    Severity,
    import_definitions,
)

JSON = dict[str, Any]
JUDGED = "what it runs is judged by a policy: name one in spec.policyRef; without one nothing is allowed"


def simple(name: str = "pack", ref: str | None = None, **fields: Any) -> JSON:
    """A SIMPLE task of Conductor."""
    return {"name": name, "taskReferenceName": ref or name, "type": "SIMPLE", "inputParameters": {}} | fields


def inline(ref: str, **inputs: Any) -> JSON:
    """An INLINE task of Conductor."""
    given = {"evaluatorType": "javascript", "expression": "1"} | inputs
    return {"name": ref, "taskReferenceName": ref, "type": "INLINE", "inputParameters": given}


def task(kind: str, ref: str = "t", **fields: Any) -> JSON:
    """A task of Conductor."""
    return {"name": ref, "taskReferenceName": ref, "type": kind} | fields


def workflow(*tasks: JSON, name: str = "orders", **fields: Any) -> JSON:
    """A workflow definition of Conductor's."""
    return {"name": name, "version": 1, "schemaVersion": 2, "tasks": list(tasks)} | fields


def imported(workflows: list[JSON], tasks: list[JSON] | None = None) -> Imported:
    """What an import makes of definitions."""
    return import_definitions(workflows, tasks or [], image="registry.example/worker:1")


def spec(*tasks: JSON, **fields: Any) -> JSON:
    """The spec of the Workflow with these tasks."""
    [made] = imported([workflow(*tasks, **fields)]).workflows
    found: JSON = made["spec"]
    return found


def one_task(given: JSON, *more: JSON) -> JSON:
    """What a task becomes."""
    found: JSON = spec(given, *more)["tasks"][0]
    return found


def tool(**fields: Any) -> JSON:
    """The tool that a task definition becomes."""
    [catalog] = imported([], [{"name": "pack"} | fields]).catalogs
    [found] = catalog["spec"]["tools"]
    made: JSON = found
    return made


def told(result: Imported, *severities: Severity) -> list[str]:
    """The losses that have a place, as lines."""
    wanted = severities or tuple(Severity)
    return [
        f"{loss.path}: {loss.message}" for loss in result.losses if loss.steps and loss.severity in wanted
    ]


def losses(*tasks: JSON, **fields: Any) -> list[str]:
    """What is told of a workflow whose tools all have a definition."""
    names = {item["name"] for item in tasks if item.get("type") == "SIMPLE"}
    return told(imported([workflow(*tasks, **fields)], [{"name": name} for name in sorted(names)]))
