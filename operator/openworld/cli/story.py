"""Each event of a ledger as a sentence for people. Pure: events in, lines out.

The sentences quote models, tools and people; every quoted text is made harmless and cropped here. Nothing
is judged: what a line says stands in the event, except how long something took, which two events say, and
the name of a failed attempt's Job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from openworld.api import JsonObject
from openworld.api.policy import usd
from openworld.language.askers import proposer
from openworld.ledger import EventType, epoch_ms

from .logs import logs_text
from .phrases import (
    CROP,
    REASON_CROP,
    begins_an_attempt,
    call_text,
    limit_text,
    proposed_items,
    verdict_text,
)
from .plain import arguments, counted, cropped, one_line, prose, value_text
from .questions import Askers, asking
from .times import duration_text


class Tone(Enum):
    """How a line is coloured."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    WAITING = "waiting"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Line:
    """One event: when (milliseconds after the first one), who or what, and what happened."""

    seq: int
    offset_ms: int
    who: str
    text: str
    tone: Tone = Tone.PLAIN
    details: tuple[str, ...] = ()


@dataclass(slots=True)
class Story:
    """Tells the events of one ledger in order; remembers what later sentences need of earlier events.

    `uid` and `namespace` are the execution's: with them a failure names the Job whose log tells more.
    """

    uid: str = ""
    namespace: str = ""
    began_ms: int = 0
    runs_as: dict[str, str] = field(default_factory=dict)
    started_ms: dict[str, int] = field(default_factory=dict)
    scheduled_ms: dict[str, int] = field(default_factory=dict)
    attempt_seq: dict[str, int] = field(default_factory=dict)
    had_pod: set[str] = field(default_factory=set)
    agents: dict[str, str] = field(default_factory=dict)
    askers: Askers = field(default_factory=Askers)

    def tell(self, event: JsonObject) -> Line:
        """The line of the next event."""
        kind = str(event.get("type"))
        at_ms = _at(event)
        if not self.began_ms:
            self.began_ms = at_ms
        teller = TELLERS.get(kind, _unknown)
        self._remember(kind, event, at_ms)
        told = teller(self, event)
        return Line(
            seq=int(event.get("seq", 0)),
            offset_ms=at_ms - self.began_ms,
            who=one_line(told.who or _subject(event), 40),
            text=told.text,
            tone=told.tone,
            details=told.details,
        )

    def tell_all(self, events: Iterable[JsonObject]) -> Iterator[Line]:
        """The lines of the events."""
        for event in events:
            yield self.tell(event)

    def name(self, event: JsonObject) -> str:
        """What the event's task runs: the tool, the agent, or its type; whose question it is, if proposed."""
        ref = str(event.get("ref", ""))
        asker = self.askers.of(ref)
        if asker:
            return asking(asker)
        return one_line(self.runs_as.get(ref) or ref, 80)

    def call(self, event: JsonObject, name: object, values: object) -> str:
        """What the event's task runs, with which input."""
        return call_text(name, values, asker=self.askers.of(str(event.get("ref", ""))))

    def lasted(self, event: JsonObject) -> str:
        """` in 4.1 s`: an attempt from its start to the event, an agent from its first turn's."""
        ref = str(event.get("ref", ""))
        began = self.scheduled_ms.get(ref) if ref in self.agents else self.started_ms.get(ref)
        return f" in {duration_text(_at(event) - began)}" if began is not None else ""

    def logs(self, event: JsonObject) -> str:
        """`logs: kubectl logs job/…` of the attempt that a failure ends; empty when there is no log to read.

        An agent's failure may have other reasons than its turn's pod: there an exit code has to say so.
        """
        ref = str(event.get("ref", ""))
        ran = event.get("type") == EventType.TASK_FAILED and ref not in self.agents
        return logs_text(
            event.get("reason"),
            uid=self.uid,
            namespace=self.namespace,
            seq=self.attempt_seq.get(ref),
            had_pod=ran and (ref in self.had_pod or bool(event.get("pod"))),
        )

    def _remember(self, kind: str, event: JsonObject, at_ms: int) -> None:
        ref = str(event.get("ref", ""))
        self.askers.read(event)
        if begins_an_attempt(event) and isinstance(event.get("seq"), int):
            self.attempt_seq[ref] = event["seq"]
            self.had_pod.discard(ref)
        if kind == EventType.TASK_SCHEDULED:
            self.runs_as[ref] = _run_name(event)
            self.started_ms[ref] = at_ms
            self.scheduled_ms.setdefault(ref, at_ms)
        elif kind == EventType.TASK_STARTED:
            self.started_ms[ref] = at_ms
            self.had_pod |= {ref} if event.get("pod") else set()
        elif kind == EventType.TURN_STARTED:
            agent = (event.get("agent") or {}).get("name")
            if isinstance(agent, str):
                self.agents[ref] = agent
        elif kind == EventType.APPROVAL_REQUESTED and "budget" not in event:
            self.runs_as[ref] = str(event.get("tool") or ref)


@dataclass(frozen=True, slots=True)
class _Told:
    text: str
    tone: Tone = Tone.PLAIN
    who: str = ""
    details: tuple[str, ...] = ()


Teller = Callable[[Story, JsonObject], _Told]
TELLERS: dict[str, Teller] = {}


def _on(kind: EventType) -> Callable[[Teller], Teller]:
    def register(teller: Teller) -> Teller:
        TELLERS[kind.value] = teller
        return teller

    return register


def _subject(event: JsonObject) -> str:
    return str(event.get("ref") or "execution")


def _at(event: JsonObject) -> int:
    try:
        return epoch_ms(str(event.get("at")))
    except ValueError:
        return 0


def _run_name(event: JsonObject) -> str:
    tool = event.get("tool")
    if isinstance(tool, dict) and tool.get("name"):
        return str(tool["name"])
    values = event.get("input") or {}
    if event.get("taskType") == "AGENT" and isinstance(values.get("agent"), str):
        return f"agent {values['agent']}"
    return str(event.get("taskType", ""))


def _because(event: JsonObject, key: str = "reason") -> str:
    reason = event.get(key)
    return f": {one_line(reason, REASON_CROP)}" if reason else ""


def _shown(event: JsonObject, key: str = "output") -> str:
    value = event.get(key)
    return f": {value_text(value, CROP)}" if value else ""


def _by(event: JsonObject) -> str:
    return one_line(event.get("by") or "", 80)


def _policies(event: JsonObject) -> str:
    names = [one_line(policy.get("name"), 63) for policy in event.get("policies") or ()]
    return f"policy {', '.join(names)}" if names else "policy"


def _unknown(story: Story, event: JsonObject) -> _Told:
    """An event of a newer operator: what it holds, unexplained."""
    del story
    known = ("seq", "at", "type", "ref", "prev", "hash", "facts")
    rest = {key: value for key, value in event.items() if key not in known}
    return _Told(f"{one_line(event.get('type'), 40)} {value_text(rest, CROP)}", Tone.QUIET)


@_on(EventType.EXECUTION_STARTED)
def _started(story: Story, event: JsonObject) -> _Told:
    del story
    workflow = event.get("workflow") or {}
    account = one_line(event.get("serviceAccountName") or "default", 80)
    name = f"{one_line(workflow.get('name'), 80)} v{workflow.get('version')}"
    values = f" with {arguments(event.get('input'), CROP)}" if event.get("input") else ""
    return _Told(f"started {name}{values}, as {account}", who=str(event.get("requestedBy") or ""))


@_on(EventType.EXECUTION_PAUSED)
def _paused(story: Story, event: JsonObject) -> _Told:
    del story
    return _Told(f"paused the execution{_because(event)}", Tone.WAITING, who=_by(event))


@_on(EventType.EXECUTION_RESUMED)
def _resumed(story: Story, event: JsonObject) -> _Told:
    del story
    return _Told(f"resumed the execution{_because(event)}", who=_by(event))


def _ended(word: str, tone: Tone) -> Teller:
    def teller(story: Story, event: JsonObject) -> _Told:
        took = f" after {duration_text(_at(event) - story.began_ms)}"
        by = f" by {_by(event)}" if event.get("by") and "reason" not in event else ""
        return _Told(
            f"{word}{took}{by}{_because(event)}{_undone(event)}{_shown(event)}", tone, who="execution"
        )

    return teller


def _undone(event: JsonObject) -> str:
    undone = event.get("compensation") or {}
    if not undone:
        return ""
    done, failed = undone.get("compensated") or [], undone.get("failed") or []
    parts = [f"undone: {one_line(', '.join(done), CROP)}"] if done else []
    parts += [f"not undone: {one_line(', '.join(failed), CROP)}"] if failed else []
    return "; " + "; ".join(parts) if parts else ""


@_on(EventType.COMPENSATION_REGISTERED)
def _registered(story: Story, event: JsonObject) -> _Told:
    name = story.name(event)
    if event.get("problem"):
        return _Told(f"{name} cannot be undone: {one_line(event['problem'], CROP)}", Tone.BAD)
    how = call_text(one_line(event.get("tool") or "?", CROP), event.get("input") or {})
    return _Told(f"{name} would be undone by {how}", Tone.QUIET)


@_on(EventType.COMPENSATION_SCHEDULED)
def _to_be_undone(story: Story, event: JsonObject) -> _Told:
    del story
    what, tool = one_line(event.get("compensates") or "?", CROP), one_line(event.get("tool") or "?", CROP)
    return _Told(f"{what} is undone now, by {tool}", Tone.WAITING, who="execution")


@_on(EventType.EXECUTION_COMPENSATING)
def _compensating(story: Story, event: JsonObject) -> _Told:
    del story
    return _Told(f"what has been done is undone{_because(event)}", Tone.WAITING, who="execution")


_on(EventType.EXECUTION_COMPLETED)(_ended("completed", Tone.GOOD))
_on(EventType.EXECUTION_FAILED)(_ended("failed", Tone.BAD))
_on(EventType.EXECUTION_TIMED_OUT)(_ended("timed out", Tone.BAD))
_on(EventType.EXECUTION_TERMINATED)(_ended("terminated", Tone.BAD))


@_on(EventType.TASK_SCHEDULED)
def _scheduled(story: Story, event: JsonObject) -> _Told:
    origin = event.get("origin") or {}
    source = ""
    if "proposal" in origin:
        source = f" (proposal {one_line(origin['proposal'], 20)}, item {origin.get('item')})"
    values = {key: value for key, value in (event.get("input") or {}).items() if key != "agent"}
    later = f", not before {one_line(event['notBefore'], 40)}" if event.get("notBefore") else ""
    call = story.call(event, story.name(event), values)
    return _Told(f"scheduled {call}{source}{later}", Tone.QUIET)


@_on(EventType.TASK_STARTED)
def _task_started(story: Story, event: JsonObject) -> _Told:
    pod = f" in pod {one_line(event['pod'], 80)}" if event.get("pod") else ""
    return _Told(f"{story.name(event)} started{pod}{_attempt(event)}", Tone.QUIET)


@_on(EventType.TASK_COMPLETED)
def _completed(story: Story, event: JsonObject) -> _Told:
    if event.get("by"):
        return _Told(f"completed {one_line(_subject(event))}{_shown(event)}", Tone.GOOD, who=_by(event))
    return _Told(f"{story.name(event)} completed{story.lasted(event)}{_shown(event)}", Tone.GOOD)


def _attempt(event: JsonObject) -> str:
    attempt = event.get("attempt")
    return f" (attempt {attempt + 1})" if isinstance(attempt, int) and attempt else ""


def _failure(word: str) -> Teller:
    def teller(story: Story, event: JsonObject) -> _Told:
        retried = "; it will be tried again" if event.get("willRetry") else ""
        logs = story.logs(event)
        more = f"; {logs}" if logs else ""
        text = f"{story.name(event)} {word}{_attempt(event)}{_because(event)}{retried}{more}"
        return _Told(text, Tone.WAITING if retried else Tone.BAD)

    return teller


_on(EventType.TASK_FAILED)(_failure("failed"))
_on(EventType.TASK_TIMED_OUT)(_failure("timed out"))
_on(EventType.TASK_CANCELED)(_failure("canceled"))
_on(EventType.TASK_SKIPPED)(_failure("skipped"))
_on(EventType.OUTCOME_UNKNOWN)(_failure("ended with an unknown outcome"))


@_on(EventType.RETRY_SCHEDULED)
def _retry(story: Story, event: JsonObject) -> _Told:
    turn = f" of turn {event['turn']}" if event.get("turn") else ""
    due = ""
    if event.get("notBefore"):
        due = f" in {duration_text(_at({'at': event['notBefore']}) - _at(event))}"
    attempt = int(event.get("attempt") or 0) + 1
    return _Told(f"attempt {attempt}{turn} of {story.name(event)} is due{due}{_because(event, 'cause')}")


@_on(EventType.BRANCH_TAKEN)
def _branch(story: Story, event: JsonObject) -> _Told:
    del story
    case = value_text(event.get("case"), 80)
    if event.get("matched") is False:
        return _Told(f"no case for {case}: takes the default case")
    return _Told(f"takes the case {case}")


@_on(EventType.LOOP_ITERATED)
def _iterated(story: Story, event: JsonObject) -> _Told:
    del story
    item = f" with {value_text(event['item'], 80)}" if "item" in event else ""
    return _Told(f"iteration {event.get('iteration')}{item}")


@_on(EventType.TASK_PROGRESSED)
def _progressed(story: Story, event: JsonObject) -> _Told:
    again = ""
    if event.get("notBefore"):
        again = f", to be called again in {duration_text(_at({'at': event['notBefore']}) - _at(event))}"
    if event.get("awaitsSignal"):
        return _Told(f"{story.name(event)} has been done and waits for a signal{_shown(event)}", Tone.WAITING)
    text = f"{story.name(event)} reports progress{again}{_because(event)}{_shown(event)}"
    return _Told(text, Tone.QUIET, who=_by(event))


@_on(EventType.TASK_REMINDED)
def _reminded(story: Story, event: JsonObject) -> _Told:
    return _Told(
        f"{story.name(event)} still waits for an answer (reminder {event.get('reminder')})", Tone.WAITING
    )


@_on(EventType.TASK_ESCALATED)
def _escalated(story: Story, event: JsonObject) -> _Told:
    people = ", ".join(one_line(name, 80) for name in event.get("to") or ()) or "nobody else"
    return _Told(f"{story.name(event)} is overdue: now for {people} too", Tone.WAITING)


@_on(EventType.FAILURE_WORKFLOW_STARTED)
def _failure_workflow(story: Story, event: JsonObject) -> _Told:
    del story
    name, execution = one_line(event.get("workflow"), 80), one_line(event.get("execution"), 253)
    if event.get("problem"):
        problem = _because(event, "problem")
        return _Told(f"could not start the failure workflow {name}{problem}", Tone.BAD, who="execution")
    return _Told(f"started the failure workflow {name} as execution {execution}", who="execution")


@_on(EventType.EXECUTION_RETRIED)
def _retried(story: Story, event: JsonObject) -> _Told:
    del story
    return _Told(f"retried the execution{_because(event)}", Tone.WAITING, who=_by(event))


@_on(EventType.EXECUTION_RERUN)
def _rerun(story: Story, event: JsonObject) -> _Told:
    del story
    start = f"from {one_line(event['ref'], 130)}" if event.get("ref") else "from the beginning"
    values = f" with {arguments(event['taskInput'], CROP)}" if event.get("taskInput") else ""
    return _Told(f"rerun {start}{values}{_because(event)}", Tone.WAITING, who=_by(event))


@_on(EventType.EXECUTION_RESTARTED)
def _restarted(story: Story, event: JsonObject) -> _Told:
    del story
    latest = " with the definitions of now" if event.get("latest") else ""
    return _Told(f"restarted the execution{latest}{_because(event)}", Tone.WAITING, who=_by(event))


@_on(EventType.VARIABLE_SET)
def _variables(story: Story, event: JsonObject) -> _Told:
    del story
    return _Told(f"sets {arguments(event.get('variables'), CROP)}")


@_on(EventType.TURN_STARTED)
def _turn(story: Story, event: JsonObject) -> _Told:
    return _Told(f"turn {event.get('turn')}: asks {_proposer(story, event)}", Tone.QUIET)


def _proposer(story: Story, event: JsonObject) -> str:
    ref = str(event.get("ref", ""))
    agent = story.agents.get(ref)
    return f"agent {one_line(agent, 80)}" if agent else story.name(event)


@_on(EventType.PROPOSAL_RECEIVED)
def _proposal(story: Story, event: JsonObject) -> _Told:
    content = event.get("content")
    turn = f"turn {event.get('turn')}: {_proposer(story, event)}"
    why = ""
    if isinstance(content, dict) and content.get("rationale"):
        why = f": {prose(content['rationale'], REASON_CROP)}"
    ref = str(event.get("ref", ""))
    items = proposed_items(content, proposer(ref, story.agents.get(ref)))
    answer = content.get("output") if isinstance(content, dict) else None
    if answer is not None and not items:
        return _Told(f"{turn} answered {value_text(answer, CROP)}{why}")
    if len(items) == 1:
        return _Told(f"{turn} proposed {items[0]}{why}")
    if items:
        return _Told(f"{turn} proposed {len(items)} tasks{why}", details=tuple(items))
    return _Told(f"{turn} proposed something that holds no task: {value_text(content, CROP)}")


@_on(EventType.PROPOSAL_JUDGED)
def _judged(story: Story, event: JsonObject) -> _Told:
    del story
    items = event.get("items") or []
    policies = _policies(event)
    who = policies if event.get("policies") else "verdict"
    tone = Tone.PLAIN
    if event.get("problem"):
        return _Told(f"refused the proposal: {one_line(event['problem'], REASON_CROP)}", Tone.BAD, who=who)
    if not items:
        return _Told("accepted the answer", who=who)
    decisions = [item.get("decision") for item in items]
    if "Denied" in decisions:
        tone = Tone.BAD
    elif "NeedsApproval" in decisions:
        tone = Tone.WAITING
    told = tuple(f"{one_line(item.get('ref'), 130)} {verdict_text(item)}" for item in items)
    if len(told) == 1:
        return _Told(told[0], tone, who=who)
    counts = {
        "allowed": decisions.count("Allowed"),
        "needing approval": decisions.count("NeedsApproval"),
        "denied": decisions.count("Denied"),
    }
    summary = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return _Told(f"proposal {one_line(event.get('proposal'), 20)}: {summary}", tone, who, told)


@_on(EventType.TASKS_MATERIALIZED)
def _materialized(story: Story, event: JsonObject) -> _Told:
    del story
    refs = [task.get("taskReferenceName") for task in event.get("tasks") or ()]
    listed = cropped(", ".join(one_line(ref, 130) for ref in refs), 300)
    return _Told(f"{counted(len(refs), 'task')} joined the execution: {listed}", Tone.QUIET)


@_on(EventType.APPROVAL_REQUESTED)
def _approval_requested(story: Story, event: JsonObject) -> _Told:
    people = counted(int((event.get("approval") or {}).get("count") or 1), "person")
    people = people.replace("persons", "people")
    until = f" until {one_line(event['expiresAt'], 40)}" if event.get("expiresAt") else ""
    rule = f" (rule {one_line(event['rule'], 63)})" if event.get("rule") else ""
    if event.get("budget"):
        offer = one_line(event.get("reason"), 200)
        return _Told(
            f"has used up a budget, and waits for {people} to grant more: {offer}{rule}{until}", Tone.WAITING
        )
    call = story.call(event, event.get("tool"), event.get("input"))
    subject = event.get("subject") or {}
    runs = (
        f" running {one_line(subject.get('kind'), 40)} {one_line(subject.get('name'), 80)}" if subject else ""
    )
    by = ", ".join(one_line(name, 80) for name in event.get("approvedBy") or ())
    if by and int((event.get("approval") or {}).get("count") or 1) == 1:
        return _Told(f"is judged again as {by} has approved it: {call}{runs}{rule}", Tone.QUIET)
    consent = f", {by} has consented" if by else ""
    text = f"waits for {people} to approve {call}{runs}{rule}{until}{consent}{_because(event)}"
    return _Told(text, Tone.WAITING)


@_on(EventType.APPROVAL_GIVEN)
def _approved(story: Story, event: JsonObject) -> _Told:
    del story
    edited = f" with another input{_shown(event, 'input')}" if "input" in event else ""
    return _Told(f"approved {_gated(event)}{edited}{_because(event)}", Tone.GOOD, who=_by(event))


@_on(EventType.APPROVAL_REFUSED)
def _rejected(story: Story, event: JsonObject) -> _Told:
    del story
    return _Told(f"rejected {_gated(event)}{_because(event)}", Tone.BAD, who=_by(event))


def _gated(event: JsonObject) -> str:
    return f"{one_line(event.get('tool'), 80)} ({one_line(event.get('ref'), 130)})"


@_on(EventType.APPROVAL_ESCALATED)
def _approval_escalated(story: Story, event: JsonObject) -> _Told:
    until = one_line(event.get("expiresAt"), 40)
    return _Told(f"nobody has decided on {story.name(event)}; it waits until {until}", Tone.WAITING)


@_on(EventType.APPROVAL_EXPIRED)
def _approval_expired(story: Story, event: JsonObject) -> _Told:
    return _Told(f"nobody approved {story.name(event)} in time", Tone.BAD)


@_on(EventType.BUDGET_RESERVED)
def _lent(story: Story, event: JsonObject) -> _Told:
    del story
    return _Told(f"is lent {_amounts(event)}", Tone.QUIET)


@_on(EventType.BUDGET_RETURNED)
def _returned(story: Story, event: JsonObject) -> _Told:
    del story
    used = event.get("used") or {}
    return _Told(f"has used {_amounts(used)} of what it was lent", Tone.QUIET)


def _amounts(of: JsonObject) -> str:
    dollars = usd(of.get("costNanoUSD") or 0)
    return f"{of.get('tasks')} proposed tasks, {of.get('tokens')} tokens, ${dollars}"


@_on(EventType.BUDGET_EXTENDED)
def _extended(story: Story, event: JsonObject) -> _Told:
    del story
    amount = limit_text(event.get("limit"), event.get("more") or 0)
    return _Told(f"may use {amount} more of {one_line(event.get('limit'), 40)}, and goes on", Tone.GOOD)


@_on(EventType.BUDGET_EXCEEDED)
def _budget(story: Story, event: JsonObject) -> _Told:
    del story
    if event.get("alertOnly"):
        return _Told(f"goes on beyond its time{_because(event)}", Tone.WAITING)
    limit = str(event.get("limit"))
    used, allowed = (limit_text(limit, event.get(key) or 0) for key in ("used", "allowed"))
    return _Told(
        f"exceeded its budget: {one_line(limit, 40)} used {used} of {allowed}{_because(event)}", Tone.BAD
    )


@_on(EventType.FACT_REFUSED)
def _refused(story: Story, event: JsonObject) -> _Told:
    del story
    kind = str(event.get("fact"))
    what = (
        f"signal {one_line(event.get('signalType'), 40)}" if kind == "Signaled" else f"a {one_line(kind, 40)}"
    )
    about = f" about {one_line(event['ref'], 130)}" if event.get("ref") else ""
    sender = f" of {_by(event)}" if event.get("by") else ""
    return _Told(f"refused {what}{sender}{about}{_because(event)}", Tone.QUIET, who="operator")
