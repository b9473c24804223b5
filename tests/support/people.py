"""People of a cluster, each known by a client certificate of their own; where none can be signed, by impersonation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from openworld.api import JsonObject
from tests.cluster.settings import ClusterError
from tests.cluster.shell import wait_for

from .environment import Environment
from .kubectl import Kubectl
from .runs import definition

_RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Person:
    """Who somebody is, and kubectl in their hands."""

    name: str
    kubectl: Kubectl


def person(env: Environment, name: str, *groups: str) -> Person:
    """A person in these groups."""
    try:
        return Person(name, Kubectl(env.cluster.user_kubeconfig(name, list(groups))))
    except ClusterError:  # kind and existing clusters keep their authority to themselves
        return Person(name, replace(env.kubectl, user=name, groups=groups))


def rule(resources: str, verbs: str, *names: str, group: str = "openworld.dev") -> JsonObject:
    """A rule of a Role; resources and verbs as words."""
    only = {"resourceNames": list(names)} if names else {}
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split(), **only}


def granted(name: str, subjects: Sequence[str], *rules: JsonObject) -> tuple[JsonObject, JsonObject]:
    """A Role and its binding. A subject is a user, `group:NAME`, or `account:NAMESPACE/NAME`."""
    about = {"apiVersion": f"{_RBAC}/v1", "metadata": {"name": name}}
    reference = {"apiGroup": _RBAC, "kind": "Role", "name": name}
    bound = {"roleRef": reference, "subjects": [_subject(each) for each in subjects]}
    return {**about, "kind": "Role", "rules": list(rules)}, {**about, "kind": "RoleBinding", **bound}


def _subject(text: str) -> JsonObject:
    kind, colon, name = text.partition(":")
    if colon and kind == "account":
        namespace, _, name = name.partition("/")
        return {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    if colon and kind == "group":
        return {"apiGroup": _RBAC, "kind": "Group", "name": name}
    return {"apiGroup": _RBAC, "kind": "User", "name": text}


def signal(name: str, execution: JsonObject, kind: str, by: str, **more: Any) -> JsonObject:
    """A Signal to an execution (as it was read)."""
    about = execution["metadata"]
    spec = {"execution": about["name"], "executionUID": about["uid"], "type": kind, "by": by}
    return definition("Signal", name, {**spec, **more})


def answer_to(kubectl: Kubectl, namespace: str, name: str, *, seconds: float = 30) -> tuple[str, str]:
    """What the operator says became of a Signal: whether it was accepted, and the message."""
    found: list[tuple[str, str]] = []

    def look() -> bool:
        status = kubectl.json("-n", namespace, "get", "signal", name).get("status") or {}
        found[:] = [
            (c["status"], c["message"]) for c in status.get("conditions", []) if c["type"] == "Accepted"
        ]
        return bool(found)

    wait_for(f"an answer to the signal {name}", look, seconds=seconds)
    return found[0]
