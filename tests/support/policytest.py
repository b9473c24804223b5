"""Files, cases and records for `openworld policy test`, and what it says of them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from openworld.cli.app import cli
from tests.support.world import World, tool
from tests.unit.cli_double import POLICY, execution

REPOSITORY = Path(__file__).parents[2]
ONCALL = REPOSITORY / "examples/oncall"
Definitions = dict[tuple[str, str], dict[str, Any]]
AGENT: dict[str, Any] = {
    "model": {"provider": "scripted", "script": {"configMapName": "s"}},
    "catalogs": ["tools"],
}
WORKFLOW: dict[str, Any] = {
    "tasks": [{"ref": "triage", "type": "AGENT", "input": {"agent": "oncall"}}],
    "catalogs": ["tools"],
    "policyRef": {"name": "p"},
}
LOOK = {"ref": "m", "type": "look", "input": {"service": "checkout"}}


def base() -> Definitions:
    """An agent, its workflow, its tools and its policy."""
    tools = [tool("look"), tool("rollback", "Destructive"), tool("delete", "Destructive")]
    return {
        ("Workflow", "main"): copy.deepcopy(WORKFLOW),
        ("Policy", "p"): copy.deepcopy(POLICY),
        ("ToolCatalog", "tools"): {"tools": tools},
        ("Agent", "oncall"): copy.deepcopy(AGENT),
    }


def write(folder: Path, definitions: Definitions, labels: dict[str, dict[str, str]] | None = None) -> Path:
    """The definitions as a file; `labels` by the name of the object."""
    documents = [
        {
            "apiVersion": "openworld.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "labels": (labels or {}).get(name, {})},
            "spec": spec,
        }
        for (kind, name), spec in definitions.items()
    ]
    file = folder / "definitions.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return file


def run(*arguments: Any) -> Result:
    """`openworld policy test`."""
    return CliRunner().invoke(cli, ["policy", "test", *map(str, arguments)])


def judged(*arguments: Any) -> tuple[int, Any]:
    """Its exit code and its report, which there must be."""
    result = run(*arguments, "-o", "json")
    assert result.exit_code in (0, 1), result.output
    return result.exit_code, json.loads(result.output)


def cases(folder: Path, *found: Any) -> Path:
    """Written cases as a file."""
    file = folder / "cases.yaml"
    file.write_text(yaml.safe_dump_all(found))
    return file


def case(expect: list[dict[str, Any]] | None = None, *tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A written case."""
    found: dict[str, Any] = {"case": "c", "proposal": {"tasks": list(tasks or (LOOK,))}, **more}
    return found if expect is None else {**found, "expect": expect}


def recorded(folder: Path, world: World) -> Path:
    """A run as a file, as `kubectl get execution -o json` prints it."""
    file = folder / "run.json"
    file.write_text(json.dumps(execution(world)))
    return file


def verdicts(report: Any) -> list[tuple[str, str, str, str, list[str]]]:
    """Ref, stage, decision, rule and what differs, of every item."""
    return [
        (
            row["ref"],
            row["stage"],
            row["verdict"]["decision"],
            row["verdict"]["rule"],
            row["differs"],
        )
        for each in report["tested"]
        for row in each["items"]
    ]


def rule_of(definitions: Definitions, index: int) -> dict[str, Any]:
    found: dict[str, Any] = definitions["Policy", "p"]["rules"][index]
    return found
