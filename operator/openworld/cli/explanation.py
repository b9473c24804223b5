"""What a ledger says of a task, a denied item or a proposal: why, who allowed it, what it saw and did.

Events in, one JSON object out; nothing is judged or left out for length. `explanation_text` tells it.
"""

from __future__ import annotations

from collections.abc import Iterator

from openworld.api import JsonObject, TaskType
from openworld.controller.names import child_name, job_name
from openworld.engine.evolve import fold
from openworld.engine.state import State, TaskState
from openworld.engine.tasks import WITH_JOB
from openworld.governance import passed_access
from openworld.ledger import EventType

from .errors import CliError
from .phrases import begins_an_attempt
from .plain import one_line
from .questions import asked_by
from .records import Record
from .refs import authored, like

_ANEW = (EventType.EXECUTION_RERUN, EventType.EXECUTION_RESTARTED, EventType.EXECUTION_RETRIED)
_ENDS = (EventType.TASK_COMPLETED, EventType.TASK_FAILED, EventType.TASK_TIMED_OUT)
_LATER_ENDS = (EventType.TASK_CANCELED, EventType.TASK_SKIPPED)
_ANSWERS = {EventType.APPROVAL_GIVEN: "Approved", EventType.APPROVAL_REFUSED: "Refused"}
_LISTED = 8
_LONGEST_REF = 130


def explain(record: Record, ref: str) -> JsonObject:
    """The explanation of a task, a denied item, `AGENT/TURN` or `AGENT/TURN/ITEM`. Raises CliError."""
    ledger = _Ledger(record)
    task, _, rest = ref.partition("/")
    turn, _, item = rest.partition("/")
    if rest and turn.isdecimal() and (not item or item.isdecimal()):
        return ledger.proposal(task, int(turn), int(item) if item else None)
    return ledger.item(ref)


class _Ledger:
    """The events, and the state that they lead to."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._events, self._started = record.events, record.events[0]
        self._account = str(self._started.get("serviceAccountName") or "default")
        try:
            self._state = fold(State(identity=record.identity), record.events)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise CliError(f"{record.source}: its events cannot be followed: {error!r}") from None

    def item(self, ref: str) -> JsonObject:
        """The explanation of a task, or of an item that never became one."""
        verdicts = list(self._verdicts(ref))
        task = self._state.tasks.get(ref)
        definition = next(
            (t for s in self._state.scopes.values() for t in s.tasks if t.task_reference_name == ref), None
        )
        if task is None and definition is None and not verdicts:
            raise CliError(self._unknown(ref))
        asker = asked_by(self._events).of(ref)
        return {
            "execution": self._execution(),
            "ref": ref,
            **({"asker": asker} if asker else {}),
            "kind": "Task" if task is not None or definition is not None else "DeniedItem",
            "runs": self._runs(ref, task, verdicts),
            "status": task.status.value
            if task is not None
            else "Pending"
            if definition is not None
            else "Denied",
            "origin": self._origin(ref, task),
            "verdicts": verdicts,
            "approvals": list(self._approvals(ref)),
            "saw": self._saw(ref, task),
            "attempts": list(self._attempts(ref, task)),
            "outcome": self._outcome(ref),
            "undo": self._undo(ref),
        }

    def proposal(self, ref: str, turn: int, item: int | None) -> JsonObject:
        """The explanation of a turn's proposal, or of one of its items."""
        received = self._received(ref, turn)
        if received is None:
            turns = [str(e["turn"]) for e in self._of(EventType.PROPOSAL_RECEIVED) if e["ref"] == ref]
            there = f"it has {', '.join(dict.fromkeys(turns))}" if turns else "it has made none"
            close = "" if turns else self._meant(ref)
            raise CliError(f"{one_line(ref, _LONGEST_REF)} has no proposal of turn {turn}: {there}{close}")
        judged = self._judged(ref, turn)
        items = judged["items"] if judged is not None else []
        if item is not None:
            found = next((each for each in items if each["item"] == item), None)
            if found is None:
                raise CliError(f"the proposal has no item {item}: it has {len(items)}, counted from 0")
            return self.item(found["ref"])
        return {
            "execution": self._execution(),
            "ref": f"{ref}/{turn}",
            "kind": "Proposal",
            "status": "Judged" if judged is not None else "Received",
            "origin": self._proposer(ref, turn),
            "verdicts": [self._verdict(judged, each) for each in items] if judged is not None else [],
            **{key: judged[key] for key in ("problem", "answer") if judged is not None and key in judged},
        }

    def _of(self, *kinds: EventType) -> Iterator[JsonObject]:
        return (event for event in self._events if event["type"] in kinds)

    def _about(self, ref: str, *kinds: EventType) -> Iterator[JsonObject]:
        return (event for event in self._of(*kinds) if event.get("ref") == ref)

    def _execution(self) -> JsonObject:
        identity, state = self._record.identity, self._state
        return {
            "name": identity.name,
            "namespace": identity.namespace,
            "uid": identity.uid,
            "workflow": state.workflow_name,
            "workflowDigest": state.workflow_digest,
            "requestedBy": self._started.get("requestedBy", ""),
            "serviceAccountName": self._account,
            "events": len(self._events),
            "head": state.head_hash,
        }

    # Why it exists.

    def _origin(self, ref: str, task: TaskState | None) -> JsonObject:
        if task is not None and "compensates" in task.origin:
            return {"compensates": task.origin["compensates"]}
        for event in reversed(list(self._of(EventType.PROPOSAL_JUDGED))):
            item = next((each for each in event["items"] if each["ref"] == ref), None)
            if item is not None and "turn" in event:
                return {**self._proposer(event["ref"], event["turn"]), "item": item["item"]} | self._proposed(
                    event, item
                )
        state = self._state
        origin: JsonObject = {
            "definition": state.workflow_name or "inline",
            "version": state.workflow_version,
        }
        scope = state.scopes.get(task.scope) if task is not None else None
        return {**origin, "within": scope.owner} if scope is not None and scope.owner else origin

    def _proposed(self, judged: JsonObject, item: JsonObject) -> JsonObject:
        """The item as it was proposed, if the proposal can be read that far."""
        received = self._received(judged["ref"], judged["turn"]) or {}
        content = received.get("content")
        tasks = content.get("tasks") if isinstance(content, dict) else None
        index = item["item"]
        return {"proposed": tasks[index]} if isinstance(tasks, list) and index < len(tasks) else {}

    def _proposer(self, ref: str, turn: int) -> JsonObject:
        received = self._received(ref, turn) or {}
        turns = [e for e in self._about(ref, EventType.TURN_STARTED) if e["turn"] == turn]
        started = turns[-1] if turns else None
        content = received.get("content")
        rationale = content.get("rationale") if isinstance(content, dict) else None
        by: JsonObject = {"ref": ref}
        if started is not None:
            by |= {"agent": started["agent"]["name"], "agentDigest": started["agent"]["digest"]}
        found: JsonObject = {
            "by": by,
            "turn": turn,
            "proposal": received.get("proposal"),
            "at": received.get("at"),
        }
        if isinstance(rationale, str) and rationale:
            found["rationale"] = rationale
        if started is not None:
            found["contextDigest"] = started["contextDigest"]
        if received.get("usage"):
            found["usage"] = received["usage"]
        return found

    def _received(self, ref: str, turn: int) -> JsonObject | None:
        found = [e for e in self._about(ref, EventType.PROPOSAL_RECEIVED) if e["turn"] == turn]
        return found[-1] if found else None

    def _judged(self, ref: str, turn: int) -> JsonObject | None:
        found = [e for e in self._about(ref, EventType.PROPOSAL_JUDGED) if e.get("turn") == turn]
        return found[-1] if found else None

    # Who allowed it.

    def _verdicts(self, ref: str) -> Iterator[JsonObject]:
        for event in self._of(EventType.PROPOSAL_JUDGED):
            yield from (self._verdict(event, item) for item in event["items"] if item["ref"] == ref)

    def _verdict(self, event: JsonObject, item: JsonObject) -> JsonObject:
        verdict: JsonObject = {
            **item,
            "seq": event["seq"],
            "at": event["at"],
            "stage": event.get("stage", "Proposal"),
            "policies": event.get("policies", []),
            "catalogs": event.get("catalogs", []),
            "access": self._access(item),
        }
        text = _rule_text(event, item)
        return verdict if text is None else {**verdict, "ruleText": text}

    def _access(self, item: JsonObject) -> JsonObject:
        """What was asked of the API server's authorizer, as the verdict shows it."""
        answer = {True: "Granted", False: "Refused", None: "NotAsked"}[passed_access(item)]
        return {"serviceAccountName": self._account, "answer": answer}

    def _approvals(self, ref: str) -> Iterator[JsonObject]:
        """Each time that people were asked, and what they said."""
        asked: JsonObject | None = None
        kinds = (*_ANSWERS, EventType.APPROVAL_REQUESTED, EventType.APPROVAL_EXPIRED)
        for event in self._about(ref, *kinds):
            if event["type"] == EventType.APPROVAL_REQUESTED:
                if asked is not None:
                    yield asked
                keys = (
                    "at",
                    "itemDigest",
                    "tool",
                    "rule",
                    "reason",
                    "approval",
                    "input",
                    "subject",
                    "expiresAt",
                    "approvedBy",
                    "budget",
                )
                asked = {key: event[key] for key in (*keys, "policies", "catalogs") if key in event}
                asked |= {"ruleText": _rule_text(event, event), "answers": []}
            elif asked is not None and event["type"] == EventType.APPROVAL_EXPIRED:
                asked["expired"] = event["at"]
            elif asked is not None:
                answer = {"decision": _ANSWERS[EventType(event["type"])]}
                said = ("by", "at", "reason", "itemDigest", "signal", "input")
                asked["answers"].append(answer | {key: event[key] for key in said if key in event})
        if asked is not None:
            yield asked

    # What it saw, did, and came to.

    def _runs(self, ref: str, task: TaskState | None, verdicts: list[JsonObject]) -> JsonObject:
        if task is not None:
            runs: JsonObject = {"type": task.type.value}
            if task.tool:
                runs |= {"tool": task.tool, "toolDigest": task.tool_digest}
            agent = task.input.get("agent")
            return (
                {**runs, "agent": agent} if task.type is TaskType.AGENT and isinstance(agent, str) else runs
            )
        tool = next((v["tool"] for v in verdicts if "tool" in v), None)
        definition = next(
            (t for s in self._state.scopes.values() for t in s.tasks if t.task_reference_name == ref), None
        )
        if definition is not None:
            tool = tool or (definition.name if definition.type is TaskType.SIMPLE else None)
            return {"type": definition.type.value, **({"tool": tool} if tool else {})}
        return {"tool": tool} if tool else {}

    def _saw(self, ref: str, task: TaskState | None) -> JsonObject:
        saw: JsonObject = {}
        for event in self._about(ref, EventType.TASK_SCHEDULED, EventType.APPROVAL_REQUESTED):
            saw = {key: event[key] for key in ("input", "secrets") if key in event}
        if task is not None and task.turns:
            contexts = self._about(ref, EventType.TURN_STARTED)
            saw["contexts"] = [{"turn": e["turn"], "contextDigest": e["contextDigest"]} for e in contexts]
        return saw

    def _attempts(self, ref: str, task: TaskState | None) -> Iterator[JsonObject]:
        attempt: JsonObject | None = None
        anew = ""
        for event in self._events:
            if event["type"] in _ANEW:
                anew = f"{event['type']} by {event.get('by', 'somebody')}"
            if event.get("ref") != ref:
                continue
            if begins_an_attempt(event) and self._is_attempt(event, task):
                if attempt is not None:
                    yield attempt
                attempt = self._attempt(event, task, anew)
                anew = ""
            elif attempt is not None:
                self._went_on(attempt, event)
        if attempt is not None:
            yield attempt

    @staticmethod
    def _is_attempt(event: JsonObject, task: TaskState | None) -> bool:
        """An agent attempts nothing before its first turn."""
        return task is None or task.type is not TaskType.AGENT or event["type"] != EventType.TASK_SCHEDULED

    def _attempt(self, event: JsonObject, task: TaskState | None, anew: str) -> JsonObject:
        began: JsonObject = {"seq": event["seq"], "at": event["at"], "result": "Running"}
        began |= {
            key: event[key]
            for key in ("attempt", "turn", "notBefore", "cause", "contextDigest")
            if key in event
        }
        if anew and "cause" not in began:
            began["cause"] = anew
        identity = self._record.identity
        if task is None or not identity.uid:
            return began
        if task.type in WITH_JOB or task.type is TaskType.AGENT:
            began["job"] = job_name(identity.uid, event["seq"])
        elif task.type is TaskType.SUB_WORKFLOW:
            began["child"] = child_name(identity.name, identity.uid, event["seq"])
        return began

    @staticmethod
    def _went_on(attempt: JsonObject, event: JsonObject) -> None:
        kind = event["type"]
        if "usage" in event:
            attempt["usage"] = event["usage"]
        if kind == EventType.TASK_STARTED:
            attempt["startedAt"] = event["at"]
        elif kind == EventType.PROPOSAL_RECEIVED:
            attempt |= {"endedAt": event["at"], "result": "Proposed", "proposal": event["proposal"]}
        elif kind == EventType.OUTCOME_UNKNOWN:
            attempt |= {"result": "OutcomeUnknown", "reason": event.get("reason", "")}
        elif kind in (*_ENDS, *_LATER_ENDS) and "alert" not in event and "endedAt" not in attempt:
            attempt |= {"endedAt": event["at"], "result": event.get("status") or kind.removeprefix("Task")}
            attempt |= {key: event[key] for key in ("reason", "execution") if key in event}
        if event.get("pod"):
            attempt["pod"] = event["pod"]

    def _outcome(self, ref: str) -> JsonObject:
        found: JsonObject = {}
        task = self._state.tasks.get(ref)
        if task is None or not task.status.is_final:
            return found
        for event in self._about(ref, *_ENDS, *_LATER_ENDS):
            if event.get("willRetry") or "alert" in event:
                continue
            found = {"status": task.status.value, "at": event["at"]}
            found |= {key: event[key] for key in ("by", "reason", "output") if key in event}
        return found

    def _undo(self, ref: str) -> JsonObject:
        found: JsonObject = {}
        for event in self._of(EventType.COMPENSATION_REGISTERED, EventType.COMPENSATION_SCHEDULED):
            if event["type"] == EventType.COMPENSATION_REGISTERED and event["ref"] == ref:
                keys = ("tool", "input", "problem")
                found = {"registeredAt": event["at"], **{key: event[key] for key in keys if key in event}}
            elif event.get("compensates") == ref:
                undo = self._state.tasks.get(event["ref"])
                found |= {"ref": event["ref"], "scheduledAt": event["at"]}
                found |= {"askedBy": event["task"]} if event.get("task") else {}
                found |= {"status": undo.status.value} if undo is not None else {}
        return found

    # What is not there.

    def _refs(self) -> list[str]:
        """Every ref that can be explained, the latest last."""
        refs = [task.task_reference_name for scope in self._state.scopes.values() for task in scope.tasks]
        refs += [item["ref"] for event in self._of(EventType.PROPOSAL_JUDGED) for item in event["items"]]
        return list(dict.fromkeys([*authored(self._record.execution), *refs]))

    def _meant(self, ref: str) -> str:
        close = like(ref, self._refs())
        return f"; did you mean {one_line(close, 253)!r}?" if close else ""

    def _unknown(self, ref: str) -> str:
        name, refs = one_line(self._record.identity.name), self._refs()
        listed = ", ".join(one_line(each, 253) for each in refs[:_LISTED])
        more = f" and {len(refs) - _LISTED} more" if len(refs) > _LISTED else ""
        meant = self._meant(ref) or f"; it has {listed}{more}"
        return f"{name} has no task and no proposed item {ref[:_LONGEST_REF]!r}{meant}"


def _rule_text(event: JsonObject, said: JsonObject) -> JsonObject | None:
    """The rule that decided, as the event has recorded it."""
    text: JsonObject | None = (event.get("rules") or {}).get(f"{said.get('policy', '')}/{said['rule']}")
    return text
