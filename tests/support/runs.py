"""Runs on a real cluster: start one, wait for what it becomes, look at its record."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from openworld.api import Execution
from openworld.engine.recover import recover
from openworld.engine.state import Identity, State
from openworld.ledger import epoch_ms
from tests.cluster.shell import wait_for

from .kubectl import Kubectl

API = "openworld.dev/v1alpha1"


def definition(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object of ours."""
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


class Run:
    """One Execution on the cluster."""

    def __init__(self, kubectl: Kubectl, namespace: str, name: str) -> None:
        self.kubectl = kubectl
        self.namespace = namespace
        self.name = name

    @classmethod
    def start(cls, kubectl: Kubectl, namespace: str, name: str, spec: dict[str, Any]) -> Run:
        """Create it as the administrator."""
        kubectl.create(namespace, definition("Execution", name, {"requestedBy": "admin", **spec}))
        return cls(kubectl, namespace, name)

    @property
    def object(self) -> dict[str, Any]:
        """The Execution as it stands now."""
        found: dict[str, Any] = self.kubectl.json("-n", self.namespace, "get", "execution", self.name)
        return found

    @property
    def status(self) -> dict[str, Any]:
        """Its status."""
        return dict(self.object.get("status", {}))

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its ledger."""
        return list(self.status.get("ledger", {}).get("events", []))

    def types(self) -> Counter[str]:
        """How many events of each type."""
        return Counter(event["type"] for event in self.events)

    def until(
        self, what: str, holds: Callable[[dict[str, Any]], bool], *, seconds: float = 90
    ) -> dict[str, Any]:
        """Wait for a condition of the status and return it."""
        seen: dict[str, Any] = {}

        def look() -> bool:
            seen.clear()
            seen.update(self.status)
            return holds(seen)

        wait_for(f"{what} of {self.name}", look, seconds=seconds, explain=lambda: json.dumps(seen)[-3000:])
        return dict(seen)

    def until_event(self, kind: str, *, seconds: float = 90, **fields: Any) -> dict[str, Any]:
        """Wait for an event of a type with these fields and return it."""
        found: list[dict[str, Any]] = []

        def look(status: dict[str, Any]) -> bool:
            events = status.get("ledger", {}).get("events", [])
            found[:] = [
                e for e in events if e["type"] == kind and all(e.get(k) == v for k, v in fields.items())
            ]
            return bool(found)

        self.until(f"{kind} {fields}", look, seconds=seconds)
        return found[0]

    def until_final(self, *, seconds: float = 120) -> dict[str, Any]:
        """Wait for the end and return the status."""
        final = ("Completed", "Failed", "TimedOut", "Terminated")
        return self.until("the end", lambda status: status.get("phase") in final, seconds=seconds)

    def jobs(self) -> list[dict[str, Any]]:
        """The Jobs of this run, whoever made them."""
        selector = f"openworld.dev/execution={self.name}"
        listed: list[dict[str, Any]] = self.kubectl.json("-n", self.namespace, "get", "jobs", "-l", selector)[
            "items"
        ]
        return listed

    def recovered(self) -> State:
        """The state as the operator would recover it: raises when the chain is broken."""
        found = self.object
        meta = found["metadata"]
        identity = Identity(
            meta["uid"],
            meta["name"],
            meta["namespace"],
            epoch_ms(meta["creationTimestamp"]),
            Execution.model_validate(found["spec"]),
        )
        return recover(identity, found["status"])
