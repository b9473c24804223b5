"""Step 3: one conditional write of the status, and telling people what was recorded.

The write names the resourceVersion that the decision was made on; if it is refused, nothing has
happened. Telling (Kubernetes Events, the status of Signals) comes after and may be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from openworld.api import API_VERSION, JsonObject
from openworld.api.meta import Json
from openworld.engine import snapshot
from openworld.engine.decide import Pass
from openworld.engine.facts import Fact, Signaled
from openworld.engine.projection import project
from openworld.engine.state import State
from openworld.kube import AlreadyExists, ApiError, Client, Conflict, NotFound
from openworld.kube.resources import EVENTS, EXECUTIONS, LEDGER_SEGMENTS, SIGNALS
from openworld.language.canonical import digest, stored_size
from openworld.ledger import EventType, LedgerCorruptError

from . import names, payloads
from .executions import Loaded
from .intake import Refusal
from .milestones import Milestone, build_event, milestones
from .stores import key_of
from .world import World

logger = logging.getLogger(__name__)


#: What the status holds of the ledger before it is sealed: events, and their size.
SEAL_EVENTS = 400
SEAL_BYTES = 128 * 1024
#: A larger state is not kept in a segment: recovery then reads more segments.
MOST_SNAPSHOT_BYTES = 700 * 1024
MOST_SNAPSHOT_PAYLOADS = 200
_LEAST_TASK_BYTES = 200
#: Segments that the status points to; each is found by its name, too.
MOST_POINTERS = 16
#: Refused reports of one pass that get a Kubernetes Event; the others are in the log.
MOST_TOLD_REFUSALS = 5


class Recorder:
    """Writes ledgers, and tells of what was written."""

    def __init__(self, client: Client, world: World) -> None:
        self._client = client
        self._world = world

    async def record(self, loaded: Loaded, decision: Pass) -> Loaded:
        """Write what a decision has led to. Raises kube.Conflict when somebody wrote since."""
        await payloads.store(self._client, decision.state, decision.payloads)
        state, new = decision.state, decision.events
        events = [*loaded.events, *new]
        return await self._written(replace(loaded, state=state, events=events))

    async def _written(self, loaded: Loaded) -> Loaded:
        status = project(loaded.state, loaded.events, sealed=loaded.sealed, segments=loaded.segments)
        written = await self._client.replace_status(EXECUTIONS, {**loaded.body, "status": status})
        version = written["metadata"]["resourceVersion"]
        metadata = {**loaded.body["metadata"], "resourceVersion": version}
        return replace(loaded, body={**loaded.body, "metadata": metadata}, status=status)

    async def seal(self, loaded: Loaded) -> Loaded:
        """Move the events to a LedgerSegment when they have become many. Raises kube.Conflict.

        First the segment, then one conditional write that drops what stands in it: a crash between the two
        leaves a segment that the next sealing finds, and that holds a part of the same events.
        """
        size = loaded.state.ledger_bytes - loaded.sealed_bytes
        if len(loaded.events) <= SEAL_EVENTS and size <= SEAL_BYTES:
            return loaded
        body, apart = build_segment(loaded)
        await payloads.store(self._client, loaded.state, apart)
        segment, _ = await self._client.create_if_absent(LEDGER_SEGMENTS, loaded.state.namespace, body)
        spec = segment["spec"]
        last = next((event for event in loaded.events if event["seq"] == spec["last"]), None)
        if last is None or last["hash"] != spec["hash"] or spec["first"] != loaded.events[0]["seq"]:
            name = segment["metadata"]["name"]
            raise LedgerCorruptError(loaded.events[0]["seq"], f"{name} holds other events than these")
        pointer = {
            "segment": segment["metadata"]["name"],
            **{key: spec[key] for key in ("first", "last", "hash")},
            **({"snapshot": digest(spec["snapshot"])} if spec.get("snapshot") is not None else {}),
        }
        rest = [event for event in loaded.events if event["seq"] > spec["last"]]
        return await self._written(
            replace(
                loaded,
                events=rest,
                sealed=[*loaded.sealed, pointer][-MOST_POINTERS:],
                segments=loaded.segments + 1,
                sealed_bytes=loaded.state.ledger_bytes - sum(map(stored_size, rest)),
            )
        )

    async def record_problem(
        self, body: JsonObject, kind: str, reason: str, message: str, *, phase: str | None = None
    ) -> None:
        """Say on an Execution that cannot be worked on why that is so; its ledger is left as it is."""
        status = dict(body.get("status") or {})
        conditions = [c for c in status.get("conditions") or () if c.get("type") != kind]
        before: JsonObject = next((c for c in status.get("conditions") or () if c.get("type") == kind), {})
        if before.get("status") == "True" and before.get("message") == message:
            return
        condition = {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": _now(),
        }
        status["conditions"] = [*conditions, condition]
        if phase is not None:
            status |= {"phase": phase, "reason": message}
        await self._client.replace_status(EXECUTIONS, {**body, "status": status})
        milestone = Milestone(version_for(body), _now(), reason, message[:1024], warning=True)
        await self._post(body, milestone)

    async def tell(
        self,
        loaded: Loaded,
        new: Sequence[JsonObject],
        refused: Iterable[tuple[Fact, str]],
        refused_signals: Iterable[Refusal],
        refused_results: Iterable[Refusal],
    ) -> None:
        """Kubernetes Events of what is new, and an answer to every signal that took effect or did not."""
        for milestone in milestones(new):
            await self._post(loaded.body, milestone)
        refusals = list(refused_results)
        for refusal in refusals:
            logger.warning("TaskResult %s was refused: %s", refusal.name, refusal.reason)
        for refusal in refusals[:MOST_TOLD_REFUSALS]:
            text = f"TaskResult {refusal.name} was refused: {refusal.reason}"
            await self._post(loaded.body, Milestone(refusal.id, _now(), "ReportRefused", text, True))
        reasons = {refusal.id: refusal.reason for refusal in refused_signals}
        reasons |= {fact.id: why for fact, why in refused if isinstance(fact, Signaled)}
        for signal in self._world.signals.of(loaded.key):
            uid = signal.body["metadata"]["uid"]
            if uid in reasons:
                await self._answer(signal.body, accepted=False, message=reasons[uid])
            elif uid in loaded.state.facts:
                event = next((e for e in reversed(loaded.events) if uid in e.get("facts", ())), {})
                refusal_text = event.get("reason", "") if event.get("type") == EventType.FACT_REFUSED else ""
                recorded = f"recorded as {event['type']}, event {event['seq']}" if event else "recorded"
                message = refusal_text or recorded
                await self._answer(signal.body, accepted=not refusal_text, message=message)

    async def _answer(self, signal: JsonObject, *, accepted: bool, message: str) -> None:
        metadata = signal["metadata"]
        condition = {
            "type": "Accepted",
            "status": "True" if accepted else "False",
            "reason": "Recorded" if accepted else "Refused",
            "message": message,
            "lastTransitionTime": _now(),
        }
        try:
            await self._client.patch(
                SIGNALS,
                metadata["namespace"],
                metadata["name"],
                {"status": {"conditions": [condition]}},
                uid=metadata["uid"],
                resource_version=metadata["resourceVersion"],
                subresource="status",
            )
        except (NotFound, Conflict):
            logger.debug("the signal %s changed or went away before it was answered", metadata["name"])
            return
        self._world.signals.settle(key_of(signal))

    async def _post(self, execution: JsonObject, milestone: Milestone) -> None:
        namespace = execution["metadata"]["namespace"]
        try:
            await self._client.create(EVENTS, namespace, build_event(execution, milestone))
        except AlreadyExists:
            return
        except ApiError as error:
            logger.warning("a Kubernetes Event (%s) was not posted: %s", milestone.reason, error)


def carries_snapshot(index: int, state: State) -> bool:
    """Whether the segment with this index, from 0, carries a snapshot of the state.

    Folding events is cheap beside taking a snapshot, so only every twelfth does: the status points to the
    last 16 segments, and one of those should. A state that cannot fit is not even tried.
    """
    return index % 12 == 0 and len(state.tasks) * _LEAST_TASK_BYTES <= MOST_SNAPSHOT_BYTES


def build_segment(loaded: Loaded) -> tuple[JsonObject, dict[str, Json]]:
    """The LedgerSegment of all events that are not sealed yet, with the state that they led to.

    And the large values of that state, by digest.
    """
    state, events = loaded.state, loaded.events
    apart: dict[str, Json] = {}
    spec: JsonObject = {
        "execution": state.name,
        "executionUID": state.uid,
        "index": loaded.segments,
        "first": events[0]["seq"],
        "last": events[-1]["seq"],
        "prev": events[0]["prev"],
        "hash": events[-1]["hash"],
        "events": events,
    }
    if carries_snapshot(loaded.segments, state):
        taken, large = snapshot.take(state)
        if stored_size(taken) <= MOST_SNAPSHOT_BYTES and len(large) <= MOST_SNAPSHOT_PAYLOADS:
            spec["snapshot"], apart = taken, large
            if large:
                spec["snapshotPayloads"] = sorted(large)
    return {
        "apiVersion": API_VERSION,
        "kind": "LedgerSegment",
        "metadata": payloads.metadata(state, names.segment_name(state.name, state.uid, loaded.segments)),
        "spec": spec,
    }, apart


def version_for(body: JsonObject) -> int:
    """A number that names the state an unrecorded notice is about."""
    return int(body["metadata"]["resourceVersion"])


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
