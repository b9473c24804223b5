"""Step 4: make the cluster what the recorded state desires. Nothing here precedes its record.

A Job is created plainly only within a second of the conditional write that desired it; on any other
path it is created suspended and resumed after the record was read again (the fence).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from openworld.api import JsonObject
from openworld.engine.desire import desired, retry_of, stop_of
from openworld.engine.facts import ChildStarted, Ending, Fact, JobEnded
from openworld.engine.outside import Desired, DesiredChild, DesiredJob
from openworld.kube import AlreadyExists, ApiError, Client, Conflict, Forbidden, Invalid, NotFound, TooLarge
from openworld.kube.resources import CONFIG_MAPS, EXECUTIONS, JOBS, PODS
from openworld.ledger import rfc3339

from . import names
from .executions import Executions, Loaded
from .intake import has_an_old_end, is_finished, is_over, is_stuck
from .jobs import (
    Owner,
    build_child,
    build_input,
    build_job,
    holds_same_input,
    spec_digest,
    task_document,
)
from .settings import Fencing, Settings
from .stores import Held, ObjectKey, key_of, phase_of
from .world import World, uid_in

logger = logging.getLogger(__name__)

FAST_PATH_SECONDS = 1.0
UNAUTHORIZED = 401
#: How long a worker that has reported may take to end.
LINGER_SECONDS = 30
#: How soon an attempt that waits for the pods of the one before looks again, should an event be lost.
PREVIOUS_RECHECK_MS = 5_000
#: How soon a Job or child is tried again that a missing right or a quota has refused.
REFUSED_RECHECK_MS = 2_000
_RESUME_TRIES = 5


@contextmanager
def _put_off(failures: list[ApiError]) -> Iterator[None]:
    """A request that failed holds up nothing else; it is raised when the rest is done."""
    try:
        yield
    except Conflict:
        raise
    except ApiError as error:
        failures.append(error)


class OutrunError(Exception):
    """Somebody else has written the execution: start over from a fresh read."""


class Actor:
    """Creates, resumes and stops Jobs and child executions."""

    def __init__(
        self,
        client: Client,
        world: World,
        executions: Executions,
        settings: Settings,
        tell: Callable[[ObjectKey, Fact], None],
        wake: Callable[[ObjectKey], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tell` hands a fact to the next reconcile of an execution; `wake` asks for a reconcile."""
        self._client = client
        self._world = world
        self._executions = executions
        self._settings = settings
        self._tell = tell
        self._wake = wake
        self._monotonic = monotonic
        self._retire_at_ms: dict[str, int] = {}

    async def act(self, loaded: Loaded, want: Desired, written_at: float | None, now_ms: int) -> int | None:
        """Close the gap between `want` and the cluster. Returns when to look again (epoch ms).

        `written_at` is the monotonic time just before this state was written by us, if it was.
        Raises OutrunError when the record turns out to be newer than `loaded`.
        """
        wanted = {job.seq: job for job in want.jobs}
        held = {
            names.seq_of(job.body): job
            for job in self._world.jobs.of(ObjectKey(loaded.state.namespace, loaded.state.uid))
        }
        again: list[int] = []
        failures: list[ApiError] = []
        for seq, job in held.items():
            with _put_off(failures):
                again += await self._keep_or_stop(loaded, want, job, is_wanted=seq in wanted, now_ms=now_ms)
        for seq, missing in wanted.items():
            if seq not in held:
                with _put_off(failures), self._refusals(loaded, seq, now_ms, again):
                    again += await self._create(loaded, missing, written_at, now_ms)
        with _put_off(failures):
            again += await self._children(loaded, want, now_ms)
        if failures:
            raise failures[0]
        return min(again, default=None)

    @contextmanager
    def _refusals(self, loaded: Loaded, seq: int, now_ms: int, again: list[int]) -> Iterator[None]:
        """What the API server refuses to create ends that attempt alone, with the server's own words.

        A missing right or a full quota may be set right, so it has as long as an image has.
        """
        try:
            yield
        except (Invalid, TooLarge, Forbidden) as error:
            if error.status == UNAUTHORIZED:  # the operator's own credentials: nothing the attempt could mend
                raise
            logger.warning("%s", error.message)
            due = _scheduled_ms(loaded, seq) + self._settings.image_pull_grace_seconds * 1000
            if isinstance(error, Forbidden) and now_ms < due:
                again.append(min(due, now_ms + REFUSED_RECHECK_MS))
                return
            fact_id = f"{loaded.state.uid}/{seq}/refused"
            self._tell(loaded.key, JobEnded(id=fact_id, seq=seq, ending=Ending.REFUSED, reason=error.message))

    async def _keep_or_stop(
        self, loaded: Loaded, want: Desired, job: Held, *, is_wanted: bool, now_ms: int
    ) -> list[int]:
        body = job.body
        if is_wanted:
            if not job.gone and body["spec"].get("suspend"):
                await self._resume(loaded, body, now_ms)
            return []
        if job.gone:
            for finished in (True, False):
                self._retire_at_ms.pop(f"{body['metadata']['uid']}/{finished}", None)
            self._world.forget_job(body)
            return []
        if is_finished(body):
            return await self._retire(body, now_ms, self._settings.job_retention_seconds)
        pods = [
            pod.body for pod in self._world.pods.of(uid_in(body, body["metadata"]["uid"])) if not pod.gone
        ]
        if body["metadata"].get("deletionTimestamp"):
            return []
        if names.seq_of(body) in want.stop or body["spec"].get("suspend") or is_stuck(pods):
            await self._delete(body)
            return []
        return await self._retire(body, now_ms, LINGER_SECONDS)

    async def _retire(self, body: JsonObject, now_ms: int, seconds: int) -> list[int]:
        """A Job whose result is recorded stays for a time, and then goes: finished or lingering."""
        key = f"{body['metadata']['uid']}/{is_finished(body)}"
        due = self._retire_at_ms.setdefault(key, now_ms + seconds * 1000)
        if now_ms < due:
            return [due]
        del self._retire_at_ms[key]
        await self._delete(body)
        return []

    async def _delete(self, body: JsonObject) -> None:
        metadata = body["metadata"]
        try:
            await self._client.delete(JOBS, metadata["namespace"], metadata["name"], uid=metadata["uid"])
        except (NotFound, Conflict):
            logger.debug("the Job %s was gone already", metadata["name"])

    async def _create(
        self, loaded: Loaded, job: DesiredJob, written_at: float | None, now_ms: int
    ) -> list[int]:
        state = loaded.state
        if job.earlier and not await self._is_clear(loaded, job.earlier):
            return [now_ms + PREVIOUS_RECHECK_MS]
        owner = Owner.of(state)
        deadline = rfc3339(now_ms + job.deadline_seconds * 1000)
        document = task_document(owner, job, deadline)
        large = build_input(owner, job, document)
        if large is not None and not await self._has_input(large):
            reason = f"a ConfigMap {large['metadata']['name']} exists that is not this attempt's input"
            self._name_taken(loaded, job.seq, large["metadata"]["name"], reason)
            return []
        fast = (
            self._settings.fencing is Fencing.FAST
            and written_at is not None
            and self._monotonic() - written_at < FAST_PATH_SECONDS
        )
        body = build_job(owner, job, self._settings, document=document, deadline=deadline, suspend=not fast)
        try:
            created = await self._client.create(JOBS, state.namespace, body)
        except AlreadyExists:
            await self._adopt(loaded, job, now_ms)
            return []
        self._world.jobs.put(created)
        if not fast:
            await self._resume(loaded, created, now_ms)
        return []

    async def _is_clear(self, loaded: Loaded, earlier: tuple[int, ...]) -> bool:
        """Whether no attempt before has a pod that runs or may run. Asks the API server."""
        state = loaded.state
        seqs = ",".join(map(str, earlier))
        labels = f"{names.EXECUTION_UID}={state.uid},{names.SEQ} in ({seqs})"
        pods = (await self._client.list(PODS, state.namespace, labels=labels)).items
        if not all(map(is_over, pods)):
            return False
        have_run = {names.seq_of(pod) for pod in pods}
        jobs = (await self._client.list(JOBS, state.namespace, labels=labels)).items
        return all(is_finished(job) or names.seq_of(job) in have_run for job in jobs)

    async def _adopt(self, loaded: Loaded, job: DesiredJob, now_ms: int) -> None:
        """A Job of the name exists: ours to go on with, or somebody else's and the attempt's end."""
        state = loaded.state
        name = names.job_name(state.uid, job.seq)
        try:
            existing = await self._client.get(JOBS, state.namespace, name)
        except NotFound:
            raise OutrunError(f"the Job {name} went away while it was looked at") from None
        owner = names.controller_of(existing).get("uid")
        digest = names.annotations_of(existing).get(names.SPEC_DIGEST)
        if (owner, names.seq_of(existing), digest) != (state.uid, job.seq, spec_digest(job)):
            reason = (
                f"a Job {name} exists that is not this attempt's (its owner, {names.SEQ} or "
                f"{names.SPEC_DIGEST} differs); delete it and run the execution again"
            )
            self._name_taken(loaded, job.seq, existing["metadata"]["uid"], reason)
            return
        self._world.jobs.put(existing)
        if existing["spec"].get("suspend"):
            await self._resume(loaded, existing, now_ms)

    async def _has_input(self, wanted: JsonObject) -> bool:
        """Create the ConfigMap of a large input. False when one of its name holds anything else."""
        namespace = wanted["metadata"]["namespace"]
        found, created = await self._client.create_if_absent(CONFIG_MAPS, namespace, wanted)
        return created or (found.get("immutable") is True and holds_same_input(found, wanted))

    def _name_taken(self, loaded: Loaded, seq: int, by: str, reason: str) -> None:
        self._tell(loaded.key, JobEnded(id=f"{by}/taken", seq=seq, ending=Ending.NAME_TAKEN, reason=reason))

    async def _resume(self, loaded: Loaded, job: JsonObject, now_ms: int) -> None:
        """Let a suspended Job run, if the record, read again now, still wants it."""
        metadata, seq = job["metadata"], names.seq_of(job)
        for _ in range(_RESUME_TRIES):
            now = await self._executions.fresh(loaded.key)
            if now.version != loaded.version:
                raise OutrunError("the execution was written by somebody else")
            if seq not in {wanted.seq for wanted in desired(now.state, now_ms).jobs}:
                await self._delete(job)
                return
            try:
                resumed = await self._client.patch(
                    JOBS,
                    metadata["namespace"],
                    metadata["name"],
                    {"spec": {"suspend": False}},
                    uid=metadata["uid"],
                    resource_version=job["metadata"]["resourceVersion"],
                )
            except NotFound:
                raise OutrunError(f"the Job {metadata['name']} went away before it was resumed") from None
            except Conflict:
                job = await self._client.get(JOBS, metadata["namespace"], metadata["name"])
                if job["metadata"]["uid"] != metadata["uid"]:
                    raise OutrunError(f"the Job {metadata['name']} is another one now") from None
                continue
            self._world.jobs.put(resumed)
            return
        raise OutrunError(f"the Job {metadata['name']} keeps changing while it is resumed")

    async def _children(self, loaded: Loaded, want: Desired, now_ms: int) -> list[int]:
        again: list[int] = []
        children = self._world.executions.of(ObjectKey(loaded.state.namespace, loaded.state.uid))
        held = {child.body["spec"]["parent"]["seq"]: child for child in children}
        for child in want.children:
            if child.seq not in held or child.detached:
                with self._refusals(loaded, child.seq, now_ms, again):
                    await self._create_child(loaded, child)
            elif not held[child.seq].gone:
                self._go_on_with_child(loaded, child, held[child.seq].body)
        for seq, running in held.items():
            if seq in want.stop and not running.gone:
                self._stop_child(loaded, seq, running.body)
        return again

    async def _create_child(self, loaded: Loaded, child: DesiredChild) -> None:
        owner = Owner.of(loaded.state)
        body = build_child(owner, child)
        existing, created = await self._client.create_if_absent(EXECUTIONS, owner.namespace, body)
        if not created and child.idempotency_key and not _is_child(existing, body):
            self._has_key(loaded, child, existing)
            return
        if not created and not _is_child(existing, body):
            name = existing["metadata"]["name"]
            reason = f"an execution {name} exists that is not this task's; delete it and run again"
            self._name_taken(loaded, child.seq, existing["metadata"]["uid"], reason)
            return
        # Held from now on, so its watch event will be no news: it must be woken here.
        self._world.executions.put(existing)
        self._wake(key_of(existing))
        if child.detached:
            self._tell_started(loaded, child, existing)

    def _has_key(self, loaded: Loaded, child: DesiredChild, existing: JsonObject) -> None:
        """An execution with the idempotency key exists: it is the one, or the task has failed."""
        metadata, spec = existing["metadata"], existing["spec"]
        if (spec.get("workflowRef") or {}).get("name") != child.workflow_name:
            reason = f"an execution {metadata['name']} exists that is of another workflow"
            self._name_taken(loaded, child.seq, metadata["uid"], reason)
        elif child.returns_existing:
            self._tell_started(loaded, child, existing)
        else:
            reason = (
                f"the execution {metadata['name']} has the idempotency key {child.idempotency_key!r} already"
            )
            fact_id = f"{metadata['uid']}/{child.seq}/refused"
            fact = JobEnded(id=fact_id, seq=child.seq, ending=Ending.REFUSED, reason=reason)
            self._tell(loaded.key, fact)

    def _tell_started(self, loaded: Loaded, child: DesiredChild, existing: JsonObject) -> None:
        metadata = existing["metadata"]
        fact_id = f"{metadata['uid']}/{child.seq}/started"
        fact = ChildStarted(id=fact_id, seq=child.seq, uid=metadata["uid"], name=metadata["name"])
        self._tell(loaded.key, fact)

    def _go_on_with_child(self, loaded: Loaded, child: DesiredChild, body: JsonObject) -> None:
        """A child that ended before its parent was retried, and is waited for again, is retried too."""
        if has_an_old_end(body, child.revivals):
            self._tell(key_of(body), retry_of(loaded.state, child))

    def _stop_child(self, loaded: Loaded, seq: int, child: JsonObject) -> None:
        """A child goes the way of its parent's task: it is terminated, and keeps its own record."""
        if not phase_of(child).is_final:
            self._tell(key_of(child), stop_of(loaded.state, seq))


def _is_child(existing: JsonObject, wanted: JsonObject) -> bool:
    """Whether an execution that exists is the one that is wanted: only the operator may set `spec.parent`."""
    same = ("parent", "requestedBy", "serviceAccountName")
    return all(existing["spec"].get(key) == wanted["spec"].get(key) for key in same)


def _scheduled_ms(loaded: Loaded, seq: int) -> int:
    """When an attempt could first have been created."""
    task = loaded.state.tasks.get(loaded.state.by_seq.get(seq, ""))
    if task is None:  # a failure workflow
        return loaded.state.ended_at_ms or 0
    return max(task.scheduled_at_ms, task.not_before_ms)
