"""Step 3: one conditional write of the status, and telling people what was recorded.

The write names the resourceVersion that the decision was made on; if it is refused, nothing has
happened. Telling (Kubernetes Events, the status of Signals) comes after and may be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from openworld.api import JsonObject
from openworld.engine.facts import Fact, Signaled
from openworld.engine.projection import project
from openworld.engine.state import State
from openworld.kube import AlreadyExists, ApiError, Client, Conflict, NotFound
from openworld.kube.resources import EVENTS, EXECUTIONS, SIGNALS
from openworld.ledger import EventType

from .executions import Loaded
from .intake import Refusal
from .milestones import Milestone, build_event, milestones
from .stores import key_of
from .world import World

logger = logging.getLogger(__name__)


#: Refused reports of one pass that get a Kubernetes Event; the others are in the log.
MOST_TOLD_REFUSALS = 5


class Recorder:
    """Writes ledgers, and tells of what was written."""

    def __init__(self, client: Client, world: World) -> None:
        self._client = client
        self._world = world

    async def record(self, loaded: Loaded, state: State, new: Sequence[JsonObject]) -> Loaded:
        """Write new events and what follows from them. Raises kube.Conflict when somebody wrote since."""
        events = [*loaded.events, *new]
        status = project(state, events)
        written = await self._client.replace_status(EXECUTIONS, {**loaded.body, "status": status})
        version = written["metadata"]["resourceVersion"]
        metadata = {**loaded.body["metadata"], "resourceVersion": version}
        return Loaded({**loaded.body, "metadata": metadata}, status, state, events)

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
                message = refusal_text or f"recorded as {event.get('type')}, event {event.get('seq')}"
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


def version_for(body: JsonObject) -> int:
    """A number that names the state an unrecorded notice is about."""
    return int(body["metadata"]["resourceVersion"])


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
