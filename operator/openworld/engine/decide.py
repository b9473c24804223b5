"""One decision: from facts to events, repeated until nothing follows.

A `Pass` owns a state. Facts are taken first; then whatever follows from the state follows, in a
fixed order, until there is nothing more or something must be looked up (`needs`). Looked-up answers
are handed in and the pass goes on. The events of a pass are recorded by one conditional write.

Judgement is here and in the modules this one calls; `evolve` only keeps the books.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from openworld.api import JsonObject
from openworld.api.meta import Json
from openworld.language.canonical import normalise, stored_size
from openworld.language.expressions import resolve
from openworld.ledger import EventType, genesis, seal, split

from .evolve import evolve
from .facts import CannotGoOn, Fact
from .needs import Answer, Need
from .state import Scope, State

#: A pass ends when its events are larger than this: it is recorded, and the next one goes on.
PASS_LIMIT_BYTES = 128 * 1024
#: Refusals that are recorded; whoever sends more is told, but cannot fill the record.
MOST_REFUSALS = 100


class Pass:
    """One decision over one state. `events` are new and sealed; `state` includes them.

    `payloads` are the large values of the events, by digest: they are stored before the events are.
    """

    def __init__(self, state: State, now_ms: int) -> None:
        self.state = state
        self.now_ms = max(now_ms, state.last_at_ms)
        self.events: list[JsonObject] = []
        self.payloads: dict[str, Json] = {}
        self.accepted: list[str] = []
        self.refused: list[tuple[Fact, str]] = []
        self.answers: Mapping[Need, Answer] = {}
        self.needs: dict[Need, None] = {}
        self.wake_at_ms: int | None = None
        self._began_with_bytes = state.ledger_bytes
        self._payload_bytes = 0
        self._waiting: list[Fact] = []

    @property
    def is_full(self) -> bool:
        """Whether what there is must be recorded before anything else follows."""
        return self.state.ledger_bytes - self._began_with_bytes + self._payload_bytes > PASS_LIMIT_BYTES

    def take(self, facts: Iterable[Fact]) -> None:
        """Hand in what the world said; `run` consumes it."""
        self._waiting.extend(facts)

    def run(self, answers: Mapping[Need, Answer]) -> AbstractSet[Need]:
        """Go as far as the answers reach. Returns what must be looked up before going on, in order."""
        from . import facts_in, flow
        from .endings import fail_execution

        self.answers, self.needs = answers, {}
        self.wake_at_ms = None
        for fact in self._waiting:
            if isinstance(fact, CannotGoOn) and not self.state.is_final:
                self._waiting = []
                if fact.in_one_event:
                    self.emit(EventType.EXECUTION_FAILED, reason=fact.reason, cancelsAll=True)
                else:
                    fail_execution(self, fact.reason)
                return self.needs.keys()
        if flow.has_begun(self):
            for fact in self._waiting:
                facts_in.asks(self, fact)
            if self.needs:
                return self.needs.keys()
            waiting, self._waiting = self._waiting, []
            for fact in waiting:
                facts_in.consume(self, fact)
            flow.advance(self)
        if self.is_full:
            self.needs.clear()
            self.wake_at(self.now_ms)
        return self.needs.keys()

    def emit(self, kind: EventType, **data: Any) -> JsonObject:
        """Record one event and evolve the state by it. Nulls are left out."""
        state = self.state
        for key in ("reason", "cause", "problem"):  # people's and programs' text, quoted
            if isinstance(data.get(key), str):
                data[key] = data[key].encode("utf-8", "replace").decode()
        body = normalise({key: value for key, value in data.items() if value is not None})
        prev = state.head_hash or genesis(state.uid, body.get("definition"), state.spec.input)
        body, apart = split(body)
        self._payload_bytes += sum(map(stored_size, apart.values()))
        self.payloads |= apart
        event = seal(kind, body, seq=state.head_seq + 1, at_ms=self.now_ms, prev=prev)
        evolve(state, event, self.payloads)
        self.events.append(event)
        return event

    def ask(self, need: Need) -> Answer | None:
        """The answer to a need, or None after noting that it must be looked up."""
        answer = self.answers.get(need)
        if answer is None:
            self.needs[need] = None
        return answer

    def refuse(self, fact: Fact, reason: str, **data: Any) -> None:
        """Record that a fact came late or does not apply. It changes nothing else."""
        fact_id = getattr(fact, "id", "")
        self.refused.append((fact, reason))
        if self.state.refused_facts >= MOST_REFUSALS:
            return
        self.emit(EventType.FACT_REFUSED, fact=type(fact).__name__, facts=[fact_id], reason=reason, **data)

    def wake_at(self, at_ms: int) -> None:
        """Ask to be run again at a time (epoch, milliseconds) even if nothing happens."""
        self.wake_at_ms = at_ms if self.wake_at_ms is None else min(self.wake_at_ms, at_ms)


def resolved(value: Json, state: State, scope: Scope, secrets: JsonObject | None = None) -> Json:
    """The value with its expressions resolved in a scope, in canonical form. `secrets` are marks of secrets.

    Raises `ExpressionError` or `NotCanonical` with a reason for people.
    """
    from .views import ExpressionScope

    return normalise(resolve(value, ExpressionScope(state, scope, secrets)))


def decide(
    state: State, facts: Iterable[Fact], answers: Mapping[Need, Answer], now_ms: int
) -> tuple[list[JsonObject], State, AbstractSet[Need]]:
    """The decider as one function: events, the state they lead to, and what is still to be asked."""
    decision = Pass(state, now_ms)
    decision.take(facts)
    needs = decision.run(answers)
    return decision.events, decision.state, needs
