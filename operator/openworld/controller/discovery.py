"""Asks MCP servers for their tools, by Jobs: the operator itself calls nobody.

Record, then act: a Job is created only once the catalog's status names it. What it reports is a TaskResult of
its pod, which admission ties to that pod; whose Job it is follows from uids. What it says is not believed.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from openworld.api import JsonObject, McpServerStatus, ReportStatus, ToolCatalog
from openworld.api.mcpserver import ACCEPT_DRIFT, DISCOVER, McpServer
from openworld.engine.discovered import Found, RefusedReport, read_report
from openworld.engine.discoveries import begun, due_ms, failed, is_outdated, is_too_much, succeeded, tool_for
from openworld.engine.facts import JobEnded
from openworld.engine.outside import DesiredJob
from openworld.engine.pins import accepted_in, with_accepted
from openworld.kube import AlreadyExists, Client, Conflict, Forbidden, Invalid, NotFound, TooLarge
from openworld.kube.resources import JOBS, PODS, TASK_RESULTS
from openworld.ledger import epoch_ms, rfc3339

from . import names
from .admission import AdmissionGuard
from .catalogs import known_servers
from .intake import Refusal, read_job, read_result
from .jobs import Owner, build_job, spec_digest, task_document
from .settings import Settings
from .stores import ObjectKey
from .world import World, uid_in

logger = logging.getLogger(__name__)

#: How soon a Job that is going on is looked at again, should no watch tell of it.
RECHECK_SECONDS = 5
#: A Job's pod has this long to start, and to report.
PENDING_SECONDS = 120
_ASKED = 253


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of a catalog's servers now; `again_ms` is when to look again (epoch, milliseconds)."""

    servers: tuple[McpServerStatus, ...]
    discoveries: int
    again_ms: int | None = None


class Discoverer:
    """Brings the discoveries of one catalog at a time forward."""

    def __init__(self, client: Client, world: World, settings: Settings, guard: AdmissionGuard) -> None:
        self._client = client
        self._world = world
        self._settings = settings
        self._guard = guard
        self._refused: dict[str, str] = {}

    async def observe(self, body: JsonObject, catalog: ToolCatalog, now_ms: int) -> Observed:
        """Take over what has been reported, and decide on what is due. Creates nothing."""
        at = second_of(now_ms)
        annotations = names.annotations_of(body)
        accepted = accepted_in(annotations.get(ACCEPT_DRIFT, ""))
        asked = annotations.get(DISCOVER, "")[:_ASKED]
        known = {status.name: status for status in known_servers(body)}
        count = int((body.get("status") or {}).get("discoveries") or 0)
        servers = {server.name: server for server in catalog.mcp_servers}
        now = {name: known.get(name) or McpServerStatus(name=name) for name in servers}
        again: list[int] = []
        for name, server in servers.items():
            status = now[name]
            if is_outdated(server, status):
                status = status.model_copy(update={"discovering": None})
            if status.discovering is not None:
                status = await self._looked_at(body, server, status, now, now_ms)
            status = with_accepted(server, status, accepted)
            due = due_ms(server, status, asked) if status.discovering is None else None
            if due is not None and due <= now_ms:
                count += 1
                job = names.job_name(body["metadata"]["uid"], count)
                status = begun(server, status, number=count, job=job, at=at, asked=asked)
            elif due is not None:
                again.append(due)
            if status.discovering is not None:
                again.append(now_ms + RECHECK_SECONDS * 1000)
            now[name] = status
        return Observed(tuple(now.values()), count, min(again, default=None))

    async def act(self, body: JsonObject, catalog: ToolCatalog, now_ms: int) -> bool:
        """Create the Jobs that the status names, and delete those that it does not name any more.

        Returns whether something was refused, which the next look records.
        """
        servers = {server.name: server for server in catalog.mcp_servers}
        going = [status for status in known_servers(body) if status.discovering and status.name in servers]
        named = {status.discovering.job for status in going if status.discovering}
        await self.clear(body, named)
        refused = False
        for status in going:
            refused = await self._create(body, servers[status.name], status, now_ms) or refused
        return refused

    async def clear(self, body: JsonObject, keep: set[str]) -> None:
        """Delete a catalog's Jobs but those of these names."""
        metadata = body["metadata"]
        for held in self._world.jobs.of(uid_in(body, metadata["uid"])):
            found = held.body["metadata"]
            if held.gone:
                self._world.forget_job(held.body)
            elif found["name"] not in keep and not found.get("deletionTimestamp"):
                try:
                    await self._client.delete(JOBS, found["namespace"], found["name"], uid=found["uid"])
                except (NotFound, Conflict):
                    logger.debug("the Job %s was gone already", found["name"])

    def forget(self, key: ObjectKey) -> None:
        """A catalog is gone: let go of its Jobs that are gone too."""
        for body in self._world.jobs.gone():
            owner = names.controller_of(body)
            is_its = (owner.get("kind"), owner.get("name")) == ("ToolCatalog", key.name)
            if is_its and body["metadata"]["namespace"] == key.namespace:
                self._world.forget_job(body)

    async def _looked_at(
        self,
        body: JsonObject,
        server: McpServer,
        status: McpServerStatus,
        others: dict[str, McpServerStatus],
        now_ms: int,
    ) -> McpServerStatus:
        """The status after a look at the Job that is going on."""
        at = second_of(now_ms)
        outcome = await self._outcome(body, server, status, now_ms)
        if outcome is None:
            return status
        if isinstance(outcome, Found):
            taken = succeeded(server, status, outcome, at)
            rest = [other for name, other in others.items() if name != server.name]
            if not is_too_much([*rest, taken]):
                return taken
            outcome = "with it, the catalog's servers have more tools than its status can hold"
        return failed(status, outcome, at)

    async def _outcome(
        self, body: JsonObject, server: McpServer, status: McpServerStatus, now_ms: int
    ) -> Found | str | None:
        """What a discovery has found, or why it found nothing; None while it goes on."""
        discovery = status.discovering
        if discovery is None:
            return None
        metadata = body["metadata"]
        refused = self._refused.pop(discovery.job, "")
        if refused:
            return refused
        try:
            job = await self._client.get(JOBS, metadata["namespace"], discovery.job)
        except NotFound:
            return None
        wanted = _job(server, discovery.number)
        is_ours = (
            names.controller_of(job).get("uid") == metadata["uid"]
            and names.annotations_of(job).get(names.SPEC_DIGEST) == spec_digest(wanted)
        )  # fmt: skip
        if not is_ours:
            return f"a Job {discovery.job} exists that is not this discovery's; delete it"
        labels = f"{names.JOB_UID}={job['metadata']['uid']}"
        listed = (await self._client.list(PODS, metadata["namespace"], labels=labels)).items
        pods = [pod for pod in listed if names.controller_of(pod).get("uid") == job["metadata"]["uid"]]
        for pod in pods:
            outcome = await self._reported(body, server, job, pod)
            if outcome is not None:
                return outcome
        reading = read_job(
            job,
            pods,
            seq=discovery.number,
            now_ms=now_ms,
            image_grace_ms=self._settings.image_pull_grace_seconds * 1000,
            certain=True,
        )
        ended = [fact for fact in reading.facts if isinstance(fact, JobEnded)]
        return ended[0].reason or ended[0].ending.value if ended else None

    async def _reported(
        self, body: JsonObject, server: McpServer, job: JsonObject, pod: JsonObject
    ) -> Found | str | None:
        """What the report of a pod comes to; None when there is none."""
        metadata = body["metadata"]
        try:
            result = await self._client.get(TASK_RESULTS, metadata["namespace"], pod["metadata"]["name"])
        except NotFound:
            return None
        if epoch_ms(result["metadata"]["creationTimestamp"]) < self._guard.since_ms:
            return "it was reported before the admission policies stood, so nobody has vouched for who did"
        report = read_result(
            result, execution=names.DISCOVERY, execution_uid=metadata["uid"], pod=pod, job=job
        )
        if isinstance(report, Refusal):
            return f"the report was refused: {report.reason}"
        if report.status is ReportStatus.IN_PROGRESS:
            return None
        if report.status is not ReportStatus.COMPLETED:
            return report.reason or report.status.value
        try:
            return await asyncio.to_thread(read_report, server, report.output)
        except RefusedReport as error:
            return str(error)

    async def _create(
        self, body: JsonObject, server: McpServer, status: McpServerStatus, now_ms: int
    ) -> bool:
        discovery, metadata = status.discovering, body["metadata"]
        if discovery is None or self._world.jobs.get(ObjectKey(metadata["namespace"], discovery.job)):
            return False
        owner = Owner(
            name=names.DISCOVERY,
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            workflow_name=metadata["name"],
            object_name=metadata["name"],
        )
        job = _job(server, discovery.number)
        deadline = rfc3339(now_ms + (job.deadline_seconds - PENDING_SECONDS // 2) * 1000)
        document = task_document(owner, job, deadline)
        manifest = build_job(owner, job, self._settings, document=document, deadline=deadline, suspend=False)
        try:
            created = await self._client.create(JOBS, metadata["namespace"], manifest)
        except AlreadyExists:
            created = await self._client.get(JOBS, metadata["namespace"], discovery.job)
        except (Invalid, TooLarge, Forbidden) as error:
            if error.status == 401:  # the operator's own credentials: nothing a pause could mend
                raise
            logger.warning("%s", error.message)
            self._refused[discovery.job] = f"its Job was refused: {error.message}"
            return True
        self._world.jobs.put(created)
        return False


def second_of(now_ms: int) -> str:
    """A time as a status has it, RFC 3339."""
    return datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _job(server: McpServer, number: int) -> DesiredJob:
    return DesiredJob(
        seq=number,
        ref=server.name,
        attempt=0,
        input={},
        idempotency_key=f"discovery-{number}",
        deadline_seconds=server.timeout_seconds + PENDING_SECONDS,
        tool=tool_for(server),
        builtin=True,
    )
