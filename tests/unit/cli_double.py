"""A cluster in memory for the command line, and executions to look at, made by the real engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from click.testing import CliRunner, Result

from openworld.cli.app import cli
from openworld.cli.errors import ExistsError, ForbiddenError, MissingError
from openworld.cli.kinds import Kind
from openworld.cli.session import Connection, Session
from openworld.engine.projection import project
from openworld.ledger import rfc3339
from tests.support.world import START_MS, World, tool

NOW = datetime.fromtimestamp(START_MS / 1000 + 90, UTC)
POLICY: dict[str, Any] = {
    "rules": [
        {"name": "reads", "match": {"effects": ["Read"]}, "decision": "Allow", "message": "Reading is free."},
        {
            "name": "own-service",
            "match": {"tools": ["rollback"]},
            "when": "item.input.service == execution.input.service",
            "decision": "RequireApproval",
            "approval": {"count": 1, "timeoutSeconds": 900},
            "message": "one person",
        },
        {
            "name": "no-deletes",
            "match": {"tools": ["delete"]},
            "decision": "Deny",
            "message": "nobody deletes",
        },
    ]
}


def oncall() -> World:
    """An agent with three tools, whose first turn runs."""
    world = World(
        {
            "tasks": [
                {"ref": "triage", "type": "AGENT", "input": {"agent": "oncall", "goal": "find it"}},
                {"ref": "report", "type": "look", "input": {"cause": "${triage.output.cause}"}},
            ],
            "catalogs": ["tools"],
            "policyRef": {"name": "p"},
        },
        input={"service": "checkout"},
        serviceAccountName="runner",
    )
    world.define("Policy", "p", POLICY)
    tools = [tool("look"), tool("rollback", "Destructive"), tool("delete", "Destructive")]
    world.define("ToolCatalog", "tools", {"tools": tools})
    agent = {"model": {"provider": "scripted", "script": {"configMapName": "s"}}, "catalogs": ["tools"]}
    world.define("Agent", "oncall", agent)
    return world.step()


def oncall_waiting() -> World:
    """The same after two turns: a rollback waits for a person, a deletion was denied."""
    world = oncall().advance(1)
    look = {"ref": "metrics", "type": "look", "input": {"service": "checkout"}}
    world.completes("triage", proposal={"rationale": "look first", "tasks": [look]})
    world.advance(1).completes("triage__1__metrics", {"p99": 900})
    world.advance(1).completes(
        "triage",
        proposal={
            "rationale": "go back",
            "tasks": [
                {"type": "rollback", "input": {"service": "checkout", "to": "1"}},
                {"type": "delete", "input": {"service": "checkout"}},
            ],
        },
    )
    return world


def oncall_done() -> World:
    """The same to its end, approved by bob@example.com."""
    world = oncall_waiting().advance(10)
    world.approve("triage__2__rollback")
    world.advance(1).started("triage__2__rollback")
    world.advance(4.1).completes("triage__2__rollback", {"to": "1"})
    world.advance(1).completes("triage", proposal={"output": {"cause": "deploy"}})
    world.advance(1).completes("report", {"id": "INC-1"})
    return world


def execution(world: World, name: str = "run-1") -> dict[str, Any]:
    """The Execution as the API server would return it."""
    spec = {
        "workflowRef": {"name": "main"},
        "input": world.identity.spec.input,
        "requestedBy": world.identity.spec.requested_by,
    }
    metadata = {
        "name": name,
        "namespace": "team",
        "uid": "uid-1",
        "creationTimestamp": rfc3339(START_MS),
        "resourceVersion": str(len(world.events)),
    }
    status = json.loads(json.dumps(project(world.state, world.events))) if world.events else {}
    return {
        "apiVersion": "openworld.dev/v1alpha1",
        "kind": "Execution",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


@dataclass
class FakeCluster:
    """Objects by kind and name; `changes` are what a watch shows after the first state."""

    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    changes: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    answer: dict[str, str] | None = None
    namespace: str = "team"
    watched: list[tuple[str, str, float | None]] = field(default_factory=list)
    #: Kinds that the caller may create and not read.
    unreadable: tuple[str, ...] = ()

    def put(self, body: dict[str, Any]) -> FakeCluster:
        self.objects[(body["kind"], body["metadata"]["name"])] = body
        return self

    def get(self, kind: Kind, name: str) -> dict[str, Any]:
        try:
            return self.objects[(kind.kind, name)]
        except KeyError:
            message = f"{kind.kind} {name!r} does not exist in namespace {self.namespace!r}"
            raise MissingError(message) from None

    def list(self, kind: Kind, *, everywhere: bool = False) -> list[dict[str, Any]]:
        del everywhere
        return [body for (stored, _), body in self.objects.items() if stored == kind.kind]

    def create(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
        if (kind.kind, body["metadata"].get("name")) in self.objects:
            raise ExistsError(f"refused: {kind.plural} {body['metadata']['name']!r} already exists")
        self.created.append(body)
        metadata = dict(body["metadata"])
        metadata.setdefault("name", metadata.get("generateName", "") + "x1")
        stored = {**body, "metadata": metadata}
        if kind.kind == "Signal" and self.answer is not None:
            stored["status"] = {"conditions": [{"type": "Accepted", **self.answer}]}
        self.put(stored)
        return stored

    def watch(self, kind: Kind, name: str, seconds: float | None = None) -> Iterator[dict[str, Any]]:
        self.watched.append((kind.kind, name, seconds))
        if kind.kind in self.unreadable:
            raise ForbiddenError(f'forbidden: User "bob" cannot get resource "{kind.plural}"')
        yield self.get(kind, name)
        yield from self.changes.get((kind.kind, name), [])

    def whoami(self) -> str:
        return "bob@example.com"


def invoke(cluster: FakeCluster, *args: str, terminal: bool = False, typed: str = "") -> Result:
    """Run the command line against a cluster."""
    seen: list[Connection] = []

    def connect(connection: Connection) -> FakeCluster:
        seen.append(connection)
        cluster.namespace = connection.namespace or cluster.namespace
        return cluster

    session = Session(connect=connect, now=lambda: NOW, has_terminal=lambda: terminal)
    result = CliRunner().invoke(cli, list(args), obj=session, input=typed, prog_name="openworld")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
