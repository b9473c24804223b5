"""A Deployment's history and its rollback, as `kubectl rollout` understands them. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

REVISION = "deployment.kubernetes.io/revision"
EARLIER_REVISIONS = "deployment.kubernetes.io/revision-history"
CHANGE_CAUSE = "kubernetes.io/change-cause"

Object = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One ReplicaSet of a Deployment."""

    revision: str
    change_cause: str
    created_at: str
    image: str
    replicas: int
    earlier: tuple[str, ...]
    """Revisions that this same template had before: a rollback gives it a new number."""
    template: Object


def revisions(deployment: Object, replica_sets: Iterable[Object]) -> list[Revision]:
    """The Deployment's own ReplicaSets, newest revision first."""
    uid = deployment["metadata"]["uid"]
    own = [_revision(each) for each in replica_sets if _owned_by(each, uid)]
    return sorted(own, key=lambda each: int(each.revision), reverse=True)


def find(known: Sequence[Revision], number: str) -> Revision | None:
    """The revision of that number, also under a number that it had before a rollback."""
    exact = next((each for each in known if each.revision == number), None)
    return exact or next((each for each in known if number in each.earlier), None)


def rollback_patch(deployment: Object, target: Revision, cause: str) -> list[dict[str, Any]]:
    """The JSON Patch that puts the target's pod template back, unless somebody changed the spec since."""
    template = _without_hash(target.template)
    patch: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/generation", "value": deployment["metadata"]["generation"]},
        {"op": "replace", "path": "/spec/template", "value": template},
    ]
    if deployment["metadata"].get("annotations") is None:
        return [*patch, {"op": "add", "path": "/metadata/annotations", "value": {CHANGE_CAUSE: cause}}]
    key = CHANGE_CAUSE.replace("~", "~0").replace("/", "~1")
    return [*patch, {"op": "add", "path": f"/metadata/annotations/{key}", "value": cause}]


def runs(deployment: Object, target: Revision) -> bool:
    """Whether the Deployment's template is the target's already."""
    current: dict[str, Any] = deployment["spec"]["template"]
    return current == _without_hash(target.template)


def is_complete(deployment: Object) -> bool:
    """Whether every replica is of the newest template and available, and none of an older one is left."""
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return False
    counts = ("updatedReplicas", "availableReplicas", "replicas")
    return all(status.get(count, 0) == wanted for count in counts)


def is_stuck(deployment: Object) -> str:
    """Why the rollout will not complete by itself; empty while it may."""
    for condition in deployment.get("status", {}).get("conditions", []):
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return str(condition.get("message", "the rollout makes no progress"))
    return ""


def selector(deployment: Object) -> str:
    """The query parameter that selects the Deployment's ReplicaSets."""
    labels = deployment["spec"]["selector"].get("matchLabels", {})
    return "labelSelector=" + quote(",".join(f"{key}={value}" for key, value in sorted(labels.items())))


def _revision(replica_set: Object) -> Revision:
    metadata, spec = replica_set["metadata"], replica_set["spec"]
    annotations = metadata.get("annotations", {})
    return Revision(
        revision=annotations.get(REVISION, "0"),
        change_cause=annotations.get(CHANGE_CAUSE, ""),
        created_at=metadata.get("creationTimestamp", ""),
        image=spec["template"]["spec"]["containers"][0]["image"],
        replicas=replica_set.get("status", {}).get("replicas", 0),
        earlier=tuple(part for part in annotations.get(EARLIER_REVISIONS, "").split(",") if part),
        template=spec["template"],
    )


def _owned_by(replica_set: Object, uid: str) -> bool:
    owners = replica_set["metadata"].get("ownerReferences", [])
    return any(owner.get("controller") and owner["uid"] == uid for owner in owners)


def _without_hash(template: Object) -> dict[str, Any]:
    metadata = dict(template.get("metadata", {}))
    metadata["labels"] = {k: v for k, v in metadata.get("labels", {}).items() if k != "pod-template-hash"}
    return dict(template) | {"metadata": metadata}
