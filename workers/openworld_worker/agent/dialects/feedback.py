"""What became of each call, told in the model's own dialect: the inverse of reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openworld_worker.wire import JsonObject, encode

from .message import Answer, Call
from .table import DIALECTS, Dialect

_DONE = ("Completed", "CompletedWithErrors")


def results(dialect: str, history: Sequence[Any]) -> list[JsonObject]:
    """The messages that answer a context's `history`, turn by turn: every call of a turn exactly once.

    A call is told its verdict, with the reason where it is a denial, and what its task returned. What has no
    call that could be answered (a native proposal, a text, a turn in another dialect) is told as a note from
    the user.

    Raises:
        KeyError: There is no such dialect.
    """
    speaks = DIALECTS[dialect]
    return [
        message for turn in history if isinstance(turn, dict) for message in answers(dialect, speaks, turn)
    ]


def answers(name: str, dialect: Dialect, turn: JsonObject) -> list[JsonObject]:
    """The messages that answer one turn; a provider puts them behind the model's own message of that turn."""
    proposal = _object(turn.get("proposal"))
    raw = _object(proposal.get("raw"))
    entries = _list(raw.get("calls")) if raw.get("dialect") == name else []
    calls = [Call(name=_text(e.get("name")), id=_text(e.get("id")) or None) for e in map(_object, entries)]
    bodies = _bodies(turn, len(_list(proposal.get("tasks"))))
    refused: JsonObject = {"decision": "Denied", "reason": _text(turn.get("problem"))}
    shares = [bodies] if len(calls) == 1 else [bodies[place : place + 1] for place in range(len(calls))]
    told: dict[str | int, tuple[Call, list[JsonObject]]] = {}
    rest: list[JsonObject] = [] if calls else bodies
    for place, (call, share) in enumerate(zip(calls, shares, strict=True)):
        if call.id is not None or (dialect.answers_by_name and call.name):
            key = place if call.id is None else call.id  # calls with one id share one answer
            told.setdefault(key, (call, []))[1].extend(share)
        else:
            rest += share
    made = [_answer(call, share or [refused if refused["reason"] else {}]) for call, share in told.values()]
    is_told = any(not share for _, share in told.values())
    return dialect.tell(made, _notes(turn, rest, "" if is_told else refused["reason"]))


def _answer(call: Call, bodies: list[JsonObject]) -> Answer:
    ok = all(body.get("decision") != "Denied" and body.get("status", _DONE[0]) in _DONE for body in bodies)
    return Answer(call=call, bodies=bodies, ok=ok)


def _notes(turn: JsonObject, items: list[JsonObject], problem: str) -> list[str]:
    if not items and not problem:
        return []
    note: JsonObject = {"turn": turn.get("turn")}
    if problem:
        note["problem"] = problem
    if items:
        note["items"] = items
    return [encode(note).decode()]


def _bodies(turn: JsonObject, count: int) -> list[JsonObject]:
    """What each item of the proposal is told; nothing where the proposal was refused as a whole."""
    verdicts = {
        v.get("item"): v for v in map(_object, _list(turn.get("verdict"))) if _is_place(v.get("item"))
    }
    outcomes = {r.get("ref"): r for r in map(_object, _list(turn.get("results"))) if _text(r.get("ref"))}
    if not verdicts:
        return []
    return [_body(verdicts.get(place, {}), outcomes) for place in range(count)]


def _body(verdict: JsonObject, outcomes: dict[Any, JsonObject]) -> JsonObject:
    ref, decision = _text(verdict.get("ref")), verdict.get("decision")
    body: JsonObject = {key: verdict[key] for key in ("ref", "decision") if key in verdict}
    if decision == "Denied":
        return body | {key: verdict[key] for key in ("check", "rule", "reason") if key in verdict}
    outcome = outcomes.get(ref, {})
    return body | {key: outcome[key] for key in ("status", "output", "reason") if key in outcome}


def _is_place(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
