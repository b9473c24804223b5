"""From calls and text to the one native shape of a proposal, which the operator judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from openworld_worker.wire import JsonObject, clip

from . import arguments
from .message import Call, Message, unknown

PROPOSE_TASKS = "propose_tasks"
"""The call whose arguments are a proposal in the native form."""
KEYS = ("intent", "rationale", "tasks", "output", "atomic")
"""What a model may say of a proposal; all else is the worker's to say, or nobody's."""
RATIONALE_BYTES = 4 * 1024
ANSWER_BYTES = 60 * 1024
_WORKERS_OWN = ("callId", "malformed")


def settled(message: Message) -> list[Call]:
    """The calls, once the message as a whole is known: those that it makes doubtful get a problem."""
    calls = list(message.calls)
    if message.cut:
        if not calls:
            return [unknown("message", message.cut)]
        last = max((place for place, call in enumerate(calls) if not call.stray), default=-1)
        calls[last] = _doubted(calls[last], message.cut)
    times = Counter(call.id for call in calls)
    calls = [_shared(call, times[call.id]) for call in calls]
    if len(calls) == 1:
        return calls
    alone = f"{PROPOSE_TASKS} must be the only call of a message: it says how its tasks belong together"
    return [_doubted(call, alone) if call.name == PROPOSE_TASKS else call for call in calls]


def proposal(calls: Sequence[Call], text: str, *, structured: bool) -> JsonObject:
    """What the calls propose, or else what the text says. `structured`: the agent has an outputSchema."""
    if not calls:
        return _said(text, structured=structured)
    if len(calls) == 1 and calls[0].name == PROPOSE_TASKS and calls[0].arguments is not None:
        said = _native(calls[0].arguments, calls[0].id)
    else:
        said = {"tasks": [_item(call) for call in calls]}
    why = clip(text.strip(), RATIONALE_BYTES)
    return {"rationale": why, **said} if why else said


def _doubted(call: Call, problem: str) -> Call:
    return call if call.problem else replace(call, arguments=None, problem=problem)


def _shared(call: Call, times: int) -> Call:
    if call.id is None or times == 1:
        return call
    return _doubted(call, f"{times} calls of the message have its id: which of them is meant is not known")


def _item(call: Call) -> JsonObject:
    item: JsonObject = {} if call.id is None else {"callId": call.id}
    if call.name:
        item["type"] = call.name
    if call.problem or call.arguments is None:
        return {**item, "malformed": call.problem or "the call has no arguments"}
    return {**item, "input": call.arguments}


def _native(said: JsonObject, call_id: str | None) -> JsonObject:
    """A proposal that the model wrote itself; what only the worker may say is not taken from it."""
    origin: JsonObject = {} if call_id is None else {"callId": call_id}
    if "raw" in said:
        return {"tasks": [{**origin, "type": PROPOSE_TASKS, "malformed": "a model cannot set raw"}]}
    tasks = said.get("tasks")
    if not isinstance(tasks, list):
        return said
    return {**said, "tasks": [_authored(task, origin) for task in tasks]}


def _authored(task: Any, origin: JsonObject) -> JsonObject:
    if not isinstance(task, dict):
        problem = f"an item is an object, and this is {arguments.kind_of(task)}"
        return {**origin, "malformed": problem}
    own = next((key for key in _WORKERS_OWN if key in task), None)
    if own is None:
        return {**origin, **task}
    named = {key: task[key] for key in ("ref", "type") if isinstance(task.get(key), str)}
    return {**origin, **named, "malformed": f"a model cannot set {own}"}


def _said(text: str, *, structured: bool) -> JsonObject:
    if not text.strip():
        return {}
    if not arguments.is_text(text):
        return {
            "tasks": [{"malformed": "the text holds half of a surrogate pair, which is not Unicode text"}]
        }
    value = arguments.parse(text, most_bytes=ANSWER_BYTES)
    if isinstance(value, dict) and _is_native(value):
        return _native(value, None)
    return {"output": value if structured and isinstance(value, dict) else {"text": text}}


def _is_native(value: JsonObject) -> bool:
    has_content = isinstance(value.get("tasks"), list) or isinstance(value.get("output"), dict)
    return has_content and set(value) <= set(KEYS)
