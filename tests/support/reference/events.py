"""events.md: every type of event, what it holds, and one of each, from runs of the engine."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import yaml

from openworld.api import JsonObject
from openworld.ledger import INLINE_BYTES, EventType
from openworld.ledger.events import FINAL

from . import runs
from .markdown import GENERATED, block, code, codes, table

#: What each field is that stands in every event.
ALWAYS: dict[str, str] = {
    "seq": "sequence number, from 0",
    "at": "when it was recorded (RFC 3339, UTC)",
    "type": "the type",
    "prev": "hash of the event before; of the first, the digest of the execution's uid, definition and input",
    "hash": "SHA-256 of the event's canonical JSON (RFC 8785) without `hash`",
}
#: What each type says.
MEANINGS: dict[EventType, str] = {
    EventType.EXECUTION_STARTED: "A run begins: with this definition and this input.",
    EventType.EXECUTION_PAUSED: "Nothing new starts any more; what runs may finish.",
    EventType.EXECUTION_RESUMED: "One of the pauses is over.",
    EventType.EXECUTION_COMPLETED: "The run ended well.",
    EventType.EXECUTION_FAILED: "The run failed.",
    EventType.EXECUTION_TIMED_OUT: "The run took too long, or a task whose policy is `TIME_OUT_WF` did.",
    EventType.EXECUTION_TERMINATED: "A person, a TERMINATE task or the end of a parent ended the run.",
    EventType.TASK_SCHEDULED: "A task may run: its input is resolved and it was admitted.",
    EventType.TASK_STARTED: "An attempt runs: its container started, or its child execution is to be created.",
    EventType.TASK_COMPLETED: "A task ended well.",
    EventType.TASK_FAILED: "An attempt failed; with `willRetry` another follows, otherwise the task has.",
    EventType.TASK_TIMED_OUT: "An attempt took too long. With `alert` it goes on.",
    EventType.TASK_CANCELED: "A task was ended because of something else: the run's end, a refusal, a child that was terminated.",
    EventType.TASK_SKIPPED: "A task does not run: a person passed it over, or what it depends on did not complete.",
    EventType.RETRY_SCHEDULED: "Another attempt follows, not before a time.",
    EventType.OUTCOME_UNKNOWN: "Nobody knows whether an attempt did its work; it is not repeated. TaskFailed or TaskTimedOut follows.",
    EventType.BRANCH_TAKEN: "A SWITCH chose.",
    EventType.LOOP_ITERATED: "An iteration of a DO_WHILE begins.",
    EventType.TASK_REMINDED: "A HUMAN task still waits for an answer.",
    EventType.TASK_ESCALATED: "A HUMAN task is overdue: more people may answer it.",
    EventType.TASK_PROGRESSED: "A worker or a person reported progress, or a worker wants to be called again.",
    EventType.FAILURE_WORKFLOW_STARTED: "The failure workflow was started, or could not be (`problem`).",
    EventType.EXECUTION_RETRIED: "A person has what failed run again. A new attempt of each follows.",
    EventType.EXECUTION_RERUN: "A person has the run go on again from a task, or from the beginning.",
    EventType.EXECUTION_RESTARTED: "A person has the run begin anew.",
    EventType.VARIABLE_SET: "Workflow variables were set.",
    EventType.TURN_STARTED: "A turn of an agent begins: this is all that the model is shown.",
    EventType.PROPOSAL_RECEIVED: "A proposal came, and is recorded before it is judged.",
    EventType.PROPOSAL_JUDGED: "The verdict, item by item: on a proposal, or (`stage: BeforeStart`) on a task that was about to start and was denied.",
    EventType.TASKS_MATERIALIZED: "What was allowed of a proposal has become tasks.",
    EventType.APPROVAL_REQUESTED: "A task waits for people's consent to exactly this item.",
    EventType.APPROVAL_GIVEN: "A person consented.",
    EventType.APPROVAL_REFUSED: "A person refused.",
    EventType.APPROVAL_EXPIRED: "Nobody consented in time.",
    EventType.APPROVAL_ESCALATED: "Nobody has decided in time: the item waits once more.",
    EventType.BUDGET_RESERVED: "A child execution is lent a part of what remains of the budgets.",
    EventType.BUDGET_EXTENDED: "People have consented that an agent, or its run, uses more than a limit says: the limit is larger by `more`.",
    EventType.BUDGET_RETURNED: "A child has ended: what it has used counts here, the rest is free again.",
    EventType.BUDGET_EXCEEDED: "A budget is used up, or a timeout that only alerts has passed.",
    EventType.COMPENSATION_REGISTERED: "A task has completed that can be undone: by this tool, with this input.",
    EventType.COMPENSATION_SCHEDULED: "A task is to be undone now; TaskScheduled of `ref` follows.",
    EventType.EXECUTION_COMPENSATING: "The run is to end as `ending` says; before, what it has done is undone.",
    EventType.FACT_REFUSED: "A report or a Signal came late or did not fit. It changed nothing.",
}
#: What each field is, wherever it stands.
FIELDS: dict[str, str] = {
    "agent": "the Agent: `name`, `digest`, and its `definition` when the ledger does not hold it yet",
    "alert": "the timeout that has passed without consequence",
    "alertOnly": "true: nothing follows from it",
    "aliases": "short refs of the items, and the refs of their tasks",
    "allowed": "the budget",
    "answer": "the agent's answer, when the proposal gave one that can be used",
    "approval": "how many people, how long, and whether the requester may",
    "attempt": "the attempt, from 0",
    "awaitsSignal": "true: the worker has succeeded, and a Signal completes the task",
    "budget": "where an agent asks for more of a limit: `limit`, `used`, `allowed`, and what consent grants (`more`)",
    "by": "who: a user, `execution NAME`, `task REF` or `spec.suspend`",
    "cancelsAll": "true: every task that had not ended was canceled, without events of its own",
    "case": "the value of the expression, as text",
    "catalogs": "the ToolCatalogs that were asked, with their digests",
    "cause": "why there is another attempt",
    "children": "refs whose child executions go on, and how often each has to be revived before its end counts",
    "claim": "the limit under which the run has a place",
    "claims": "the limits under which the task has a place",
    "secrets": "where in the input keys of Secrets are to stand: path, variable, Secret and key",
    "to": "who may answer too, from now on",
    "compensates": "the task that is undone",
    "compensation": "what was undone and what could not be: `result`, `compensated`, `failed`",
    "content": "the proposal as it came; `raw` in it is the model's message, `callId` of an item the provider's id",
    "context": "what the model is shown",
    "contextDigest": "SHA-256 of the context",
    "correlationId": "of the Execution",
    "counts": "how often the proposal names each tool or type",
    "env": "what `${workflow.env…}` is in this run",
    "group": "the group for which a person answered",
    "reminder": "which reminder, from 1",
    "unmet": "true: its condition `when` does not hold, and what follows goes on",
    "definition": "the workflow's definition; of a SUB_WORKFLOW, the inline one",
    "dropped": "refs that are taken away, to run anew; of a loop, the iterations that are no longer kept",
    "dueAt": "when a WAIT ends",
    "ending": "the type of the event that ends the run, once it is undone",
    "execution": "name of the Execution that was started",
    "expiresAt": "without consent by then: refused",
    "fact": "what was refused: `Report` or `Signaled`",
    "facts": "identities of what caused the event, so that nothing counts twice",
    "failedTask": "ref of the task that ended the run",
    "failureWorkflow": "the Workflow to start",
    "generation": "how often the run has been rerun or restarted",
    "index": "index of the item, from 0",
    "input": "the input, resolved; of a run, over the workflow's `inputTemplate`",
    "item": "the item of this iteration",
    "itemDigest": "SHA-256 of what is approved: item, input, tool, policy, execution",
    "items": "of a verdict: the decision, check, rule and reason of each item; of a loop: its items; of tasks: their places in the proposal",
    "iteration": "number of the iteration, from 1",
    "iterations": "how many there were; of a rerun, which iteration each loop goes back to",
    "latest": "true: with the definition as it stands now",
    "limit": "which budget",
    "limits": "the budgets that bind",
    "matched": "whether a case has that name; otherwise it is the default",
    "more": "what is added to the limit; money in billionths of a US dollar",
    "name": "what a DYNAMIC task became",
    "notBefore": "not before this time",
    "nothingAllowed": "whether nothing of the proposal is of use",
    "origin": "where the task comes from: the `definition`, the `proposal` and its `item`, or the task that it `compensates`",
    "output": "the output; of an attempt, what it has reported",
    "parent": "the execution that started this one",
    "permissive": "true: the run fails when what runs beside the task has ended",
    "pod": "name of the pod",
    "policy": "the Policy whose rule it is",
    "verdict": "by which rule the task starts, where no verdict on a proposal has said that with finality",
    "policies": "the Policies that were asked, with their digests",
    "problem": "what is wrong with it as a whole",
    "proposal": "id of the proposal in this ledger",
    "reason": "a sentence for people; [errors.md](errors.md) explains its first word",
    "ref": "the task",
    "requestedBy": "who asked for the run",
    "resumed": "refs that go on where they were",
    "rule": "the rule that wants consent",
    "rules": "the text of the rules that decided, by `POLICY/RULE`",
    "retries": "of the items that try a failed task again, which",
    "scope": "the array that the task stands in: empty for the workflow's own, else `REF/…`",
    "scopes": "arrays that are taken away",
    "serviceAccountName": "whose right to use tools is asked",
    "signal": "name of the Signal",
    "signalType": "type of the Signal",
    "stage": "`BeforeStart`: the verdict on one task, with its input resolved",
    "status": "how the task ended, where the type of the event does not say",
    "subject": "the Workflow or Agent that would run, with its digest",
    "task": "the COMPENSATE task that asks for it",
    "taskInput": "the input that a rerun gives the task",
    "taskType": "what it runs as",
    "tasks": "the tasks, in the long form; of a budget, how many may be proposed",
    "tool": "the tool: its `digest`, and its `definition` when the ledger does not hold it yet; of an approval, its name or the task type",
    "turn": "the turn of the agent, from 1",
    "uid": "uid of the Execution that was started",
    "usage": "what a turn or an attempt consumed",
    "used": "how much is used; of a child, of each budget",
    "returned": "what a child has not used of what it was lent",
    "costNanoUSD": "cost in billionths of a US dollar",
    "tokens": "tokens of agents",
    "approvedBy": "who has consented already: who has edited the input",
    "variables": "the variables that were set",
    "willRetry": "true: another attempt follows",
    "workflow": "name, version and digest of the Workflow; of a failure workflow, its name",
}

_INTRO = f"""# Events of the ledger

{GENERATED}

The ledger is the record of a run: `status.ledger.events` of an Execution, and the `events` of its LedgerSegments where older ones have been
sealed. Each event is an object. `openworld ledger NAME` tells it as a story; the operator recomputes all hashes whenever it reads a
record. The list of types is closed, and nothing is ever removed from it. A field that does not apply is absent.

A field whose value is an object or a list of more than {INLINE_BYTES // 1024} KiB is not in the event: `payloads` has it, with the `digest` (SHA-256 of its canonical
JSON) and the `bytes` of the value, which is the `payload` of a LedgerSegment. The event's hash covers the digest, and so the value.
`openworld ledger NAME -o json --payloads` writes values out. Below, every field stands where its value would.
"""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def page() -> str:
    """The page."""
    fields, examples = fields_of_types(), _examples()
    seen = sorted({field for names in fields.values() for field in names})
    parts = [
        _INTRO,
        "## In every event\n",
        table(("field", "meaning"), ((code(name), text) for name, text in ALWAYS.items())),
        "## Types\n",
        "Those with ● end a run; nothing follows but a retry, rerun or restart, and the start of a failure workflow.\n",
        table(
            ("type", "says", "fields"),
            (
                (
                    f"[{kind.value}](#{kind.value.lower()}){' ●' if kind in FINAL else ''}",
                    MEANINGS.get(kind, ""),
                    codes(fields.get(kind.value, ())),
                )
                for kind in EventType
            ),
        ),
        "## Fields\n",
        table(("field", "meaning"), ((code(name), FIELDS.get(name, "")) for name in seen)),
        "## Examples\n",
        "One of each, from runs of the engine; digests are cut short.\n",
    ]
    for kind in EventType:
        if kind.value in examples:
            parts += [f"### {kind.value}\n", block(_as_yaml(examples[kind.value]))]
    return "\n".join(parts)


def fields_of_types() -> dict[str, list[str]]:
    """By type of event: every field that one of it has in the runs, in the order in which they are written."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for event in _all_events():
        found[event["type"]].update({key: None for key in event if key not in ALWAYS})
    return {kind: list(names) for kind, names in found.items()}


def _all_events() -> list[JsonObject]:
    return [event for ledger in runs.ledgers() for event in ledger]


def _examples() -> dict[str, JsonObject]:
    """By type, the event that says most, and of these the shortest."""
    found: dict[str, JsonObject] = {}
    for event in sorted(_all_events(), key=lambda event: (-len(event), len(str(event)))):
        found.setdefault(event["type"], event)
    return found


def _as_yaml(event: JsonObject) -> str:
    """One field a line where it fits: what is nested without depth is written in braces."""
    lines = [
        yaml.safe_dump(
            {name: value},
            sort_keys=False,
            default_flow_style=None if isinstance(value, dict | list) else False,
            width=120,
            allow_unicode=True,
        )
        for name, value in _shortened(event).items()
    ]
    return "".join(lines)


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shortened(inner) for inner in value]
    return _DIGEST.sub("sha256:…", value) if isinstance(value, str) else value
