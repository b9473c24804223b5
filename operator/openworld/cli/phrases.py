"""What events speak of, in words that several views of a run share: calls, verdicts, amounts. Pure.

Text of models and workers is untrusted: it is escaped, on one line, and cropped.
"""

from __future__ import annotations

from openworld.api import JsonObject
from openworld.api.policy import amount_text, is_money
from openworld.ledger import EventType

from .plain import arguments, one_line, value_text
from .questions import HUMAN, question_text

#: Events after which the operator creates a Job for the task, which is named after the event; so does a
#: TaskProgressed that asks for another call.
_BEGINS_AN_ATTEMPT = (EventType.TASK_SCHEDULED, EventType.RETRY_SCHEDULED, EventType.TURN_STARTED)
#: Characters of a quoted value.
CROP = 160
REASON_CROP = 400


def begins_an_attempt(event: JsonObject) -> bool:
    """Whether the event makes the operator create a Job, which is named after it."""
    kind = event.get("type")
    return kind in _BEGINS_AN_ATTEMPT or (kind == EventType.TASK_PROGRESSED and bool(event.get("notBefore")))


def call_text(name: object, values: object, limit: int = CROP, asker: str = "") -> str:
    """`rollback(service=checkout, to=1)`; what `asker` wants to ask a person, as a question of theirs."""
    if asker:
        return question_text(asker, values)
    return f"{one_line(name, 80)}({arguments(values or {}, limit)})"


def verdict_text(item: JsonObject) -> str:
    """What was decided on one proposed item, by which rule, and why."""
    decision = str(item.get("decision"))
    said = {"Allowed": "allowed", "Denied": "denied", "NeedsApproval": "needs approval"}
    ruling = ruling_text(item)
    words = said.get(decision, one_line(decision, 40))
    return f"{words}: {ruling}" if ruling else words


def ruling_text(item: JsonObject) -> str:
    """The rule or the check that decided on one proposed item, and why."""
    rule, check = one_line(item.get("rule") or "", 63), one_line(item.get("check") or "", 40)
    source = f"rule {rule}" if check == "policy" else f"{check} check ({rule})" if rule else check
    why = one_line(item.get("reason") or "", REASON_CROP)
    audited = item.get("audited")
    without = f" [without audit mode: {one_line(audited, REASON_CROP)}]" if audited else ""
    return ": ".join(part for part in (source, why) if part) + without


def proposed_items(content: object, by: str) -> list[str]:
    """The items of a proposal, which may be anything at all, as calls; questions as those of `by`."""
    tasks = content.get("tasks") if isinstance(content, dict) else None
    if not isinstance(tasks, list):
        return []
    return [_proposed(item, by) for item in tasks]


def _proposed(item: object, by: str) -> str:
    if not isinstance(item, dict):
        return value_text(item, CROP)
    kind = item.get("type") or item.get("name") or "?"
    if "malformed" in item:
        return f"{one_line(kind, 80)} (unreadable)"
    values = item.get("input", item.get("inputParameters"))
    shown = values if isinstance(values, dict) else {}
    call = call_text(kind, shown, asker=by if kind == HUMAN else "")
    after = item.get("dependsOn")
    return call + (f" after {arguments(after, 80)}" if after else "")


def limit_text(limit: object, amount: int) -> str:
    """An amount of a budget: dollars with their sign."""
    name = str(limit)
    return ("$" if is_money(name) else "") + amount_text(name, amount)
