"""The stores of everything that is watched, and how each object is tied to its execution.

One place says which kinds are watched, how they are indexed, and what of them is kept in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openworld.api import GROUP, JsonObject
from openworld.kube import Client, Resource
from openworld.kube.resources import (
    AGENTS,
    EXECUTIONS,
    JOBS,
    PODS,
    POLICIES,
    SIGNALS,
    TASK_RESULTS,
    TOOL_CATALOGS,
    WORKFLOWS,
)
from openworld.language.versions import name_of

from . import names
from .stores import ObjectKey, Store, key_of, phase_of

#: Jobs and pods are watched by this label alone.
OURS = names.EXECUTION_UID
DEFINITIONS = (WORKFLOWS, TOOL_CATALOGS, POLICIES, AGENTS)


def execution_key_of(resource: Resource, body: JsonObject) -> ObjectKey | None:
    """The execution that an object says something about; None when it is about none."""
    namespace = body["metadata"].get("namespace", "")
    if resource is EXECUTIONS:
        return key_of(body)
    if resource in (TASK_RESULTS, SIGNALS):
        name = (body.get("spec") or {}).get("execution")
    elif resource is JOBS:
        owner = names.controller_of(body)
        is_ours = owner.get("kind") == "Execution" and owner.get("apiVersion", "").startswith(f"{GROUP}/")
        name = owner.get("name") if is_ours else None
    else:
        name = names.annotations_of(body).get(names.EXECUTION)
    return ObjectKey(namespace, name) if name and name != names.DISCOVERY else None


def catalog_key_of(resource: Resource, body: JsonObject) -> ObjectKey | None:
    """The ToolCatalog that a Job asks an MCP server for; None of any other object."""
    owner = names.controller_of(body) if resource is JOBS else {}
    if owner.get("kind") != "ToolCatalog" or not owner.get("apiVersion", "").startswith(f"{GROUP}/"):
        return None
    return ObjectKey(body["metadata"].get("namespace", ""), owner["name"])


def parent_key_of(body: JsonObject) -> ObjectKey | None:
    """The parent of a child execution."""
    parent = (body.get("spec") or {}).get("parent")
    return ObjectKey(body["metadata"]["namespace"], parent["name"]) if parent else None


def _execution_of(resource: Resource) -> Callable[[JsonObject], ObjectKey | None]:
    return lambda body: execution_key_of(resource, body)


def _always(_: JsonObject) -> bool:
    return True


def _parent_uid(body: JsonObject) -> ObjectKey:
    return uid_in(body, str(((body.get("spec") or {}).get("parent") or {}).get("uid") or ""))


def _job_uid(body: JsonObject) -> ObjectKey | None:
    return _owner_uid(body, names.labels_of(body).get(names.JOB_UID))


def _execution_uid(body: JsonObject) -> ObjectKey | None:
    return _owner_uid(body, names.labels_of(body).get(names.EXECUTION_UID))


def _owner_uid(body: JsonObject, labelled: str | None) -> ObjectKey | None:
    """The owner by label, believed only where the controller reference says the same."""
    owner = names.controller_of(body).get("uid")
    return uid_in(body, owner) if owner and owner == labelled else None


def workflow_key(body: JsonObject) -> ObjectKey:
    """The name that others start a Workflow by, within its namespace."""
    metadata = body["metadata"]
    name = name_of(metadata["name"], body.get("spec") or {})
    return ObjectKey(metadata.get("namespace", ""), name)


def uid_in(body: JsonObject, uid: str) -> ObjectKey:
    """A uid within the namespace of an object: what stands in another namespace is never ours."""
    return ObjectKey(body["metadata"]["namespace"], uid)


def _short_execution(body: JsonObject) -> JsonObject:
    """An execution without its record: that is read from the API server when it is worked on."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    kept = ["phase", "failureWorkflow"]
    if spec.get("parent"):
        kept += ["output", "outputRef", "usage", "reason", "endedAt", "revivals"]
    return {
        "metadata": body["metadata"],
        "spec": {"parent": spec["parent"]} if spec.get("parent") else {},
        "status": {key: status[key] for key in kept if key in status},
    }


@dataclass(slots=True)
class World:
    """All stores. Executions are grouped by their parent's uid, pods by their Job's."""

    executions: Store[ObjectKey] = field(
        default_factory=lambda: Store(
            _parent_uid, trim=_short_execution, keep_gone=lambda body: bool(_parent_uid(body).name)
        )
    )
    results: Store[ObjectKey] = field(default_factory=lambda: Store(_execution_of(TASK_RESULTS)))
    signals: Store[ObjectKey] = field(default_factory=lambda: Store(_execution_of(SIGNALS)))
    jobs: Store[ObjectKey] = field(default_factory=lambda: Store(_execution_uid, keep_gone=_always))
    pods: Store[ObjectKey] = field(default_factory=lambda: Store(_job_uid, keep_gone=_always))
    workflows: Store[ObjectKey] = field(default_factory=lambda: Store(workflow_key))
    tool_catalogs: Store[str] = field(default_factory=lambda: Store(lambda _: ""))
    policies: Store[str] = field(default_factory=lambda: Store(lambda _: ""))
    agents: Store[str] = field(default_factory=lambda: Store(lambda _: ""))

    def forget_job(self, job: JsonObject) -> None:
        """Nothing more is asked of this Job: let go of it and its pods, as far as they are gone."""
        for pod in self.pods.of(uid_in(job, job["metadata"]["uid"])):
            self.pods.forget(key_of(pod.body))
        self.jobs.forget(key_of(job))

    def forget_execution(self, namespace: str, uid: str) -> None:
        """An execution is over or gone: let go of what was kept for it and is gone."""
        own = ObjectKey(namespace, uid)
        for job in self.jobs.of(own):
            self.forget_job(job.body)
        for child in self.executions.of(own):
            self.executions.forget(key_of(child.body))

    def forget_all_of(self, key: ObjectKey) -> None:
        """An execution is not there any more: let go of what was kept for it and is gone."""
        for store in (self.jobs, self.executions):
            for body in store.gone():
                owner = names.controller_of(body)
                if owner.get("name") == key.name and body["metadata"]["namespace"] == key.namespace:
                    self.forget_execution(key.namespace, owner["uid"])

    def store_of(self, resource: Resource) -> Store[Any]:
        """The store of a kind."""
        stores: dict[Resource, Store[Any]] = {
            EXECUTIONS: self.executions,
            TASK_RESULTS: self.results,
            SIGNALS: self.signals,
            JOBS: self.jobs,
            PODS: self.pods,
            WORKFLOWS: self.workflows,
            TOOL_CATALOGS: self.tool_catalogs,
            POLICIES: self.policies,
            AGENTS: self.agents,
        }
        return stores[resource]


WATCHED: tuple[Resource, ...] = (*DEFINITIONS, EXECUTIONS, TASK_RESULTS, SIGNALS, JOBS, PODS)


async def set_right(
    client: Client, world: World, namespaces: tuple[str, ...]
) -> list[tuple[Resource, JsonObject]]:
    """Read everything that is watched and set the stores right. Returns the objects with news."""
    news: list[tuple[Resource, JsonObject]] = []
    for resource in WATCHED:
        store = world.store_of(resource)
        items: list[JsonObject] = []
        versions: list[int] = []
        for namespace in namespaces or (None,):
            listing = await client.list(resource, namespace, labels=OURS if resource in (JOBS, PODS) else "")
            items.extend(listing.items)
            versions.append(int(listing.resource_version))
        news.extend((resource, body) for body in store.replace(items, min(versions)))
    return news


def affected_by(resource: Resource, body: JsonObject) -> set[ObjectKey]:
    """The executions that want work because of an object."""
    if resource in DEFINITIONS:
        return set()
    keys = {execution_key_of(resource, body)}
    if resource is EXECUTIONS:
        keys.add(parent_key_of(body))
    return {key for key in keys if key is not None}


def unfinished(world: World) -> list[ObjectKey]:
    """The executions that want work at the operator's start, those that run first."""
    running: list[ObjectKey] = []
    rest: list[ObjectKey] = []
    for key in world.executions.present():
        body = world.executions.get(key)
        if body is None:
            continue
        phase = phase_of(body)
        failure_workflow = (body.get("status") or {}).get("failureWorkflow") or {}
        if not phase.is_final:
            running.append(key)
        elif failure_workflow and not failure_workflow.get("execution"):
            rest.append(key)  # it is still to be started
        elif (
            world.jobs.of(own := uid_in(body, body["metadata"]["uid"]))
            or world.executions.of(own)
            or world.signals.of(key)
        ):
            rest.append(key)
    return running + rest
