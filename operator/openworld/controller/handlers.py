"""What kopf calls: every watch event goes into its store and wakes its key. Nothing is decided here.

The key is all that travels on. A handler returns None (a value would be written into the object's
status) and must not raise (kopf would log it and forget it).
"""

from __future__ import annotations

import logging
from typing import Any

import kopf

from openworld.api import JsonObject
from openworld.kube import Access, Resource
from openworld.kube.resources import JOBS, PODS, SIGNALS, TOOL_CATALOGS

from . import names, webhook
from .definitions import DefinitionKey
from .queue import Urgency, WorkQueue
from .stores import ObjectKey, key_of
from .world import DEFINITIONS, OURS, WATCHED, World, affected_by, catalog_key_of

logger = logging.getLogger(__name__)

JOB_NAME = "batch.kubernetes.io/job-name"


class Watcher:
    """Puts events into the stores, and the keys they are about into the queues."""

    def __init__(
        self, world: World, executions: WorkQueue[ObjectKey], definitions: WorkQueue[DefinitionKey]
    ) -> None:
        self._world = world
        self._executions = executions
        self._definitions = definitions

    def saw(self, resource: Resource, kind: str | None, body: JsonObject) -> None:
        """One watch event: `kind` is ADDED, MODIFIED, DELETED or None (from kopf's first list)."""
        store = self._world.store_of(resource)
        deleted = kind == "DELETED"
        is_news = store.remove(body) if deleted else store.put(body)
        if resource is PODS and deleted:
            self._forget_orphan(body)
        if is_news:
            self.wake(resource, body)

    def wake(self, resource: Resource, body: JsonObject) -> None:
        """Whoever an object is about wants work."""
        if resource in DEFINITIONS:
            self._definitions.add(DefinitionKey(resource, key_of(body)))
            return
        catalog = catalog_key_of(resource, body)
        if catalog is not None:
            self._definitions.add(DefinitionKey(TOOL_CATALOGS, catalog))
            return
        urgency = Urgency.PERSON if resource is SIGNALS else Urgency.NORMAL
        for key in affected_by(resource, body):
            self._executions.add(key, urgency)

    def _forget_orphan(self, pod: JsonObject) -> None:
        """A pod whose Job is gone and forgotten is asked about by nobody."""
        job = names.labels_of(pod).get(JOB_NAME, "")
        if not self._world.jobs.holds(ObjectKey(pod["metadata"]["namespace"], job)):
            self._world.pods.forget(key_of(pod))


def build_registry(watcher: Watcher, access: Access, *, with_webhook: bool = False) -> kopf.OperatorRegistry:
    """kopf's registry: one event handler for each watched kind, our own way to log in, and the webhook."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(
            server=access.server,
            ca_data=access.ca.encode() or None,
            insecure=access.insecure,
            token=access.bearer() or None,
            certificate_data=access.certificate.encode() or None,
            private_key_data=access.key.encode() or None,
        )

    for resource in WATCHED:
        _watch(registry, watcher, resource)
    if with_webhook:
        webhook.register(registry)
    return registry


def _watch(registry: kopf.OperatorRegistry, watcher: Watcher, resource: Resource) -> None:
    @kopf.on.event(
        resource.group,
        resource.version,
        resource.plural,
        id=f"saw-{resource.plural}",
        registry=registry,
    )
    async def saw(event: kopf.RawEvent, **_: Any) -> None:
        try:
            watcher.saw(resource, event["type"], dict(event["object"]))
        except Exception:
            logger.exception("an event of %s could not be taken in", resource.plural)


class _NoDiffBase(kopf.DiffBaseStorage):
    """Nothing is compared: there are no change handlers, and copies of large objects cost time."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """Nothing is kept in objects: kopf's handlers here have no progress."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: Any) -> Any:
        return essence


def build_settings(server: kopf.WebhookServer | None = None) -> kopf.OperatorSettings:
    """kopf's settings: it watches, writes nothing into any object, and serves the webhook where there is one.

    `admission.managed` stays unset: the chart owns the ValidatingWebhookConfiguration.
    """
    settings = kopf.OperatorSettings()
    settings.admission.server = server
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.watching.chunk_size = 500
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    for resource in (JOBS, PODS):
        settings.watching.label_selectors[resource.group, resource.version, resource.plural] = OURS
    return settings
