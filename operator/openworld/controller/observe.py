"""Step 1: what the world has said about an execution and the ledger does not hold yet, as facts.

The stores may lag. So an ending without a report is believed only after TaskResults and pods were
read from the API server; everything else is judged by the engine against the ledger, and a fact
that comes again is known by its id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from openworld.api import JsonObject, Phase, ReportStatus, SignalType
from openworld.engine.desire import desired
from openworld.engine.facts import ChildEnded, Ending, Fact, JobEnded, Signaled, SuspendSet
from openworld.engine.state import State
from openworld.engine.tasks import limit
from openworld.engine.timeouts import heeds_progress
from openworld.kube import Client, NotFound
from openworld.kube.resources import JOBS, PODS, TASK_RESULTS
from openworld.language.canonical import has_digest
from openworld.ledger import LedgerCorruptError, epoch_ms

from . import names, payloads
from .executions import Loaded
from .intake import (
    Reading,
    Refusal,
    has_said_its_end,
    read_child,
    read_job,
    read_result,
    read_signal,
    revivals_of,
)
from .settings import Settings
from .stores import Held, ObjectKey, key_of, phase_of, version_of
from .world import World, uid_in

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Observation:
    """Facts in the order in which they are to be consumed, and what was no fact at all.

    `again_at_ms` is when time alone may change what a Job says.
    """

    facts: list[Fact] = field(default_factory=list)
    refused_signals: list[Refusal] = field(default_factory=list)
    refused_results: list[Refusal] = field(default_factory=list)
    again_at_ms: int | None = None

    def read(self, reading: Reading) -> None:
        """Add what a Job says."""
        self.facts.extend(reading.facts)
        if reading.again_at_ms is not None:
            due = reading.again_at_ms
            self.again_at_ms = due if self.again_at_ms is None else min(self.again_at_ms, due)


class Observer:
    """Gathers the facts of one execution at a time."""

    def __init__(
        self, client: Client, world: World, settings: Settings, since_ms: Callable[[], int] = lambda: 0
    ) -> None:
        """`since_ms` is since when admission has vouched for what is created (epoch, milliseconds)."""
        self._since_ms = since_ms
        self._client = client
        self._world = world
        self._settings = settings

    async def observe(self, loaded: Loaded, told: list[Fact], now_ms: int) -> Observation:
        """Everything that is news to the ledger of `loaded`. `told` are facts that acting has found."""
        state = loaded.state
        seen = Observation(facts=[SuspendSet(state.spec.suspend), *told])
        self._signals(loaded, seen)
        await self._results(loaded, seen)
        if state.is_started and not state.is_final:
            reported = {getattr(fact, "seq", None) for fact in seen.facts if _is_an_end(fact)}
            want = desired(state, now_ms)
            for job in want.jobs:
                if job.seq not in reported:
                    await self._job(loaded, job.seq, seen, now_ms)
            await self._children(state, {child.seq: child.revivals for child in want.children}, seen)
        elif state.is_final:
            self._revived_children(state, seen)
        return seen

    def _signals(self, loaded: Loaded, seen: Observation) -> None:
        for signal in sorted(self._world.signals.of(loaded.key), key=_sending_order):
            if is_answered(signal.body):
                self._world.signals.settle(key_of(signal.body))
                continue
            if signal.body["metadata"]["uid"] in loaded.state.facts:
                continue
            if self._is_unvouched(signal.body):
                seen.refused_signals.append(_unvouched(signal.body))
                continue
            fact = read_signal(signal.body, execution_uid=loaded.state.uid)
            if isinstance(fact, Signaled):
                seen.facts.append(fact)
            else:
                seen.refused_signals.append(fact)

    async def _results(self, loaded: Loaded, seen: Observation) -> None:
        state = loaded.state
        for result in sorted(self._world.results.of(loaded.key), key=_sending_order):
            metadata = result.body["metadata"]
            is_older = epoch_ms(metadata["creationTimestamp"]) < state.identity.created_at_ms
            if state.is_final or is_older or metadata["uid"] in state.facts:
                self._world.results.settle(key_of(result.body))
                continue
            await self._result(loaded, result.body, seen)

    def _is_unvouched(self, body: JsonObject) -> bool:
        return epoch_ms(body["metadata"]["creationTimestamp"]) < self._since_ms()

    async def _result(self, loaded: Loaded, result: JsonObject, seen: Observation) -> bool:
        state = loaded.state
        if self._is_unvouched(result):
            seen.refused_results.append(_unvouched(result))
            self._world.results.settle(key_of(result))
            return False
        pod_key = ObjectKey(state.namespace, result["metadata"]["name"].partition(".")[0])
        seq = names.seq_of_pod(state.uid, pod_key.name)
        job = pod = None
        if seq is not None:
            job = self._world.jobs.get(ObjectKey(state.namespace, names.job_name(state.uid, seq)))
            pod = self._world.pods.get(pod_key) or await self._pod(pod_key)
        report = read_result(result, execution=state.name, execution_uid=state.uid, pod=pod, job=job)
        if isinstance(report, Refusal):
            seen.refused_results.append(report)
            self._world.results.settle(key_of(result))
            return False
        is_progress = report.status is ReportStatus.IN_PROGRESS
        if is_progress and report.callback_after_seconds is None and not heeds_progress(state, report.seq):
            self._world.results.settle(key_of(result))
            return False
        seen.facts.append(report)
        return not is_progress

    async def _pod(self, key: ObjectKey) -> JsonObject | None:
        try:
            return await self._client.get(PODS, key.namespace, key.name)
        except NotFound:
            return None

    async def _job(self, loaded: Loaded, seq: int, seen: Observation, now_ms: int) -> None:
        state = loaded.state
        key = ObjectKey(state.namespace, names.job_name(state.uid, seq))
        held = next(
            (
                job
                for job in self._world.jobs.of(ObjectKey(state.namespace, state.uid))
                if key_of(job.body) == key
            ),
            None,
        )
        if held is None:
            if _has_started(state, seq):
                await self._vanished(state, key, seq, seen)
            return
        pods = [
            pod.body
            for pod in self._world.pods.of(uid_in(held.body, held.body["metadata"]["uid"]))
            if not pod.gone or has_said_its_end(pod.body)
        ]
        reading = self._read(state, held, pods, seq, now_ms, certain=False)
        if reading.doubtful:
            if await self._late_report(loaded, held.body, pods, seen):
                return
            fresh = await self._fresh_pods(held.body, pods)
            reading = self._read(state, held, fresh, seq, now_ms, certain=True)
        seen.read(reading)

    def _read(
        self, state: State, held: Held, pods: list[JsonObject], seq: int, now_ms: int, *, certain: bool
    ) -> Reading:
        task = state.tasks[state.by_seq[seq]]
        first = limit(state, task)
        is_due = (
            first is not None and now_ms >= first.at_ms
        )  # what it waits for says more than that it came too late
        return read_job(
            held.body,
            pods,
            seq=seq,
            now_ms=now_ms,
            image_grace_ms=0 if is_due else self._settings.image_pull_grace_seconds * 1000,
            certain=certain,
            gone=held.gone,
        )

    async def _vanished(self, state: State, key: ObjectKey, seq: int, seen: Observation) -> None:
        """A Job whose container has run is not to be seen: it is made again only if it never was."""
        try:
            self._world.jobs.put(await self._client.get(JOBS, key.namespace, key.name))
        except NotFound:
            reason = f"the Job {key.name} was deleted while the attempt ran"
            fact_id = f"{state.uid}/{key.name}/gone"
            seen.facts.append(JobEnded(id=fact_id, seq=seq, ending=Ending.LOST, reason=reason))

    async def _late_report(
        self, loaded: Loaded, job: JsonObject, pods: list[JsonObject], seen: Observation
    ) -> bool:
        """Whether a report of this Job exists that no watch has shown yet."""
        namespace = loaded.state.namespace
        found: list[JsonObject] = []
        for pod in pods:
            try:
                found.append(await self._client.get(TASK_RESULTS, namespace, pod["metadata"]["name"]))
            except NotFound:
                continue
        if not pods:
            labels = (
                f"{names.EXECUTION}={names.label_value(loaded.state.name)},{names.SEQ}={names.seq_of(job)}"
            )
            found = (await self._client.list(TASK_RESULTS, namespace, labels=labels)).items
        reported = False
        for result in found:
            if result["metadata"]["uid"] not in loaded.state.facts:
                self._world.results.put(result)
                reported = await self._result(loaded, result, seen) or reported
        return reported

    async def _fresh_pods(self, job: JsonObject, known: list[JsonObject]) -> list[JsonObject]:
        """The pods of a Job as they are now, and as they last were where they are gone."""
        uid, namespace = job["metadata"]["uid"], job["metadata"]["namespace"]
        listing = await self._client.list(PODS, namespace, labels=f"{names.JOB_UID}={uid}")
        fresh = {item["metadata"]["uid"]: item for item in listing.items}
        for pod in listing.items:
            self._world.pods.put(pod)
        gone = [pod for pod in known if pod["metadata"]["uid"] not in fresh and has_said_its_end(pod)]
        return [*fresh.values(), *gone]

    async def _children(self, state: State, wanted: dict[int, int], seen: Observation) -> None:
        for child in self._world.executions.of(ObjectKey(state.namespace, state.uid)):
            seq = child.body["spec"]["parent"]["seq"]
            expected = names.child_name(state.name, state.uid, seq)
            if seq in wanted and child.body["metadata"]["name"] == expected:
                fact = read_child(child.body, seq=seq, gone=child.gone, revivals=wanted[seq])
                if fact is not None:
                    seen.facts.append(await self._with_output(child.body, fact))

    async def _with_output(self, child: JsonObject, fact: ChildEnded) -> ChildEnded:
        """The end of a child with its output, where that is too large for the child's status."""
        reference = (child.get("status") or {}).get("outputRef")
        if reference is None:
            return fact
        metadata, known_as = child["metadata"], reference["digest"]
        try:
            values = await payloads.fetch(self._client, key_of(child), metadata["uid"], [known_as])
        except LedgerCorruptError as error:
            return replace(fact, phase=Phase.FAILED, reason=f"its output cannot be read: {error.why}")
        if not has_digest(values[known_as], known_as):
            return replace(fact, phase=Phase.FAILED, reason=f"its output is another value than {known_as}")
        return replace(fact, output=values[known_as])

    def _revived_children(self, state: State, seen: Observation) -> None:
        """A child goes on, because a person had it retried: so does its parent, whose task it failed.

        One that has not heard yet that its parent has ended was revived no more often than that asked.
        """
        for child in self._world.executions.of(ObjectKey(state.namespace, state.uid)):
            body, parent = child.body, child.body["spec"]["parent"]
            uid = body["metadata"]["uid"]
            task = state.tasks.get(state.by_seq.get(parent["seq"], ""))
            is_its = task is not None and task.seq == parent["seq"] and not parent.get("detached")
            if child.gone or phase_of(body).is_final or task is None or not is_its:
                continue
            if revivals_of(body) > task.child_revivals:
                seen.facts.append(
                    Signaled(
                        id=f"{uid}/{version_of(body)}/goes-on",
                        type=SignalType.RETRY,
                        by=f"execution {body['metadata']['name']}",
                        payload={"resumeSubworkflowTasks": True, "going": parent["seq"]},
                    )
                )


def is_answered(signal: JsonObject) -> bool:
    """Whether the sender of a signal has been told what became of it."""
    conditions = (signal.get("status") or {}).get("conditions") or ()
    return any(condition.get("type") == "Accepted" for condition in conditions)


def _unvouched(body: JsonObject) -> Refusal:
    reason = "it was created before the admission policies stood, so nobody has vouched for who sent it"
    return Refusal(body["metadata"]["uid"], body["metadata"]["name"], reason)


def _is_an_end(fact: Fact) -> bool:
    """Whether a fact says how an attempt ended, so that its Job need not be asked."""
    return getattr(fact, "status", None) is not ReportStatus.IN_PROGRESS


def _sending_order(held: Held) -> tuple[str, int, str]:
    metadata = held.body["metadata"]
    return metadata.get("creationTimestamp") or "", version_of(held.body), metadata["name"]


def _has_started(state: State, seq: int) -> bool:
    ref = state.by_seq.get(seq)
    task = state.tasks.get(ref) if ref is not None else None
    return task is not None and task.seq == seq and bool(task.pod)
