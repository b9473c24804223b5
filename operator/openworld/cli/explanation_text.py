"""An explanation for people: short sections, one after the other. Pure.

What models, tools and people have said is made harmless, cropped, and labelled as theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from openworld.api import JsonObject
from openworld.language.askers import proposer
from openworld.ledger import epoch_ms

from .phrases import CROP, call_text, proposed_items, ruling_text
from .plain import arguments, one_line, prose, value_text
from .questions import asking, question, untrusted
from .times import duration_text

_TEXT_CROP = 600


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what is below it."""

    title: str
    lines: tuple[str, ...]


def sections(told: JsonObject) -> Iterator[Section]:
    """The explanation, section by section; what there is nothing to say of is left out."""
    for title, lines in (
        ("why it exists", _why(told)),
        ("who allowed it", _allowed(told)),
        ("what it saw", _saw(told)),
        ("what it did", _did(told)),
        ("what it returned", _returned(told)),
        ("what undid it", _undone(told)),
    ):
        found = tuple(lines)
        if found:
            yield Section(title, found)


def headline(told: JsonObject) -> str:
    """What is explained, what it runs, and where it stands."""
    runs = told.get("runs") or {}
    name = runs.get("tool") or (f"agent {runs['agent']}" if runs.get("agent") else runs.get("type", ""))
    what = asking(told["asker"]) if told.get("asker") else one_line(name, 80)
    parts = (one_line(told["ref"], 130), what, one_line(told["status"], 40))
    return "  ".join(part for part in parts if part)


def record_line(told: JsonObject) -> str:
    """Whose ledger it was, and that its hashes hold."""
    run = told["execution"]
    of = (
        f"{one_line(run['namespace'])}/{one_line(run['name'])}" if run["namespace"] else one_line(run["name"])
    )
    return (
        f"from the ledger of {of}: {run['events']} events, hash chain verified, head {_digest(run['head'])}"
    )


def _why(told: JsonObject) -> Iterator[str]:
    origin = told["origin"]
    if "compensates" in origin:
        yield f"it undoes {one_line(origin['compensates'], 130)}, by the compensation of that task"
        return
    if "definition" in origin:
        within = f", within {one_line(origin['within'], 130)}" if origin.get("within") else ""
        digest = _digest(told["execution"]["workflowDigest"])
        workflow = f"{one_line(origin['definition'], 80)} v{origin['version']} ({digest})"
        yield f"it is written in the workflow {workflow}{within}"
        yield f"requested by {one_line(told['execution']['requestedBy'], 80)}"
        return
    item = f", item {origin['item']}" if "item" in origin else ""
    by = origin["by"]
    who = _proposer(by)
    which = f"proposal {one_line(origin['proposal'], 20)}{item}, turn {origin['turn']}"
    yield f"{who} proposed it: {which}, {origin['at']}"
    if "agentDigest" in by:
        yield f"Agent {_digest(by['agentDigest'])}, on the context {_digest(origin.get('contextDigest'))}"
    if "proposed" in origin:
        [proposed] = proposed_items({"tasks": [origin["proposed"]]}, proposer(by["ref"], by.get("agent")))
        yield f"as proposed: {proposed}"
    if "rationale" in origin:
        yield f"rationale (untrusted text of {who}): {prose(origin['rationale'], _TEXT_CROP)}"


def _proposer(by: JsonObject) -> str:
    return (
        f"agent {one_line(by['agent'], 80)}" if "agent" in by else f"the worker of {one_line(by['ref'], 130)}"
    )


def _allowed(told: JsonObject) -> Iterator[str]:
    if told.get("problem"):
        yield f"refused as a whole: {one_line(told['problem'], _TEXT_CROP)}"
    for verdict in told["verdicts"]:
        name = f"{one_line(verdict['ref'], 130)} " if told["kind"] == "Proposal" else ""
        when = " before its start, with its final input" if verdict["stage"] == "BeforeStart" else ""
        provisional = ", provisional: its input held expressions" if verdict.get("provisional") else ""
        decision = one_line(verdict["decision"], 40)
        yield f"{name}{decision}{when} by {ruling_text(verdict)}{provisional} ({verdict['at']})"
        yield from _rule(verdict)
        yield from _sources(verdict)
        yield from _access(verdict)
    for asked in told.get("approvals", ()):
        judged = [(v.get("ruleText"), v["policies"], v["catalogs"]) for v in told["verdicts"]]
        basis = (asked["ruleText"], asked.get("policies"), asked.get("catalogs"))
        yield from _approval(asked, told.get("asker", ""), is_known=basis in judged)
    if not told["verdicts"] and not told.get("approvals") and "definition" in told["origin"]:
        yield "it is authored: its verdict is recorded only if it is denied, or needs a person"


def _rule(verdict: JsonObject) -> Iterator[str]:
    text = verdict.get("ruleText")
    if isinstance(text, dict):
        yield f"  the rule as recorded: {value_text(text, _TEXT_CROP)}"


def _sources(verdict: JsonObject) -> Iterator[str]:
    for word, found in (("policy", verdict.get("policies")), ("catalog", verdict.get("catalogs"))):
        for source in found or ():
            yield f"  {word} {one_line(source['name'], 63)} {_digest(source['digest'])}"


def _access(verdict: JsonObject) -> Iterator[str]:
    access = verdict["access"]
    account, answer = one_line(access["serviceAccountName"], 80), access["answer"]
    if answer == "NotAsked":
        return
    may = "may" if answer == "Granted" else "may not"
    yield f"  access: service account {account} {may} use tool {one_line(verdict.get('tool', ''), 80)}"


def _approval(asked: JsonObject, asker: str, *, is_known: bool) -> Iterator[str]:
    terms = asked["approval"]
    people = "1 person" if terms["count"] == 1 else f"{terms['count']} people"
    who = ", not the requester" if terms.get("notRequester") else ""
    rule = one_line(asked["rule"], 63)
    yield f"asked {people}{who} for consent at {asked['at']}, until {asked['expiresAt']} (rule {rule})"
    call = call_text(asked["tool"], asked.get("input"), _TEXT_CROP, asker)
    if "budget" in asked:
        call = f"more of a budget: {one_line(asked.get('reason', ''), _TEXT_CROP)}"
    yield f"  to exactly {call}, item {_digest(asked['itemDigest'])}"
    if not is_known:
        yield from _rule(asked)
        yield from _sources(asked)
    for answer in asked["answers"]:
        word = "approved" if answer["decision"] == "Approved" else "refused"
        why = f": {one_line(answer['reason'], _TEXT_CROP)}" if answer.get("reason") else ""
        item = f", item {_digest(answer['itemDigest'])}" if answer.get("itemDigest") else ""
        instead = ""
        if "input" in answer:
            instead = f", with another input: {arguments(answer['input'], _TEXT_CROP) or '(empty)'}"
        yield f"  {word} by {one_line(answer['by'], 80)} at {answer['at']}{item}{instead}{why}"
    for person in asked.get("approvedBy") or ():
        yield f"  consented to already by {one_line(person, 80)}, who made this of it"
    if "expired" in asked:
        yield f"  nobody consented by {asked['expired']}"


def _saw(told: JsonObject) -> Iterator[str]:
    saw = told.get("saw") or {}
    if "input" in saw and told.get("asker"):
        yield f"input ({untrusted(told['asker'])}): {question(saw['input']) or '(empty)'}"
    elif "input" in saw:
        yield f"input: {arguments(saw['input'], _TEXT_CROP) or '(empty)'}"
    for secret in saw.get("secrets") or ():
        name, key = one_line(secret.get("name"), 80), one_line(secret.get("key"), 80)
        yield f"secret {name}, key {key}: its value is not recorded"
    for context in saw.get("contexts") or ():
        yield f"turn {context['turn']}: context {_digest(context['contextDigest'])}"


def _did(told: JsonObject) -> Iterator[str]:
    for number, attempt in enumerate(told.get("attempts", ()), start=1):
        what = (
            f"turn {attempt['turn']}"
            if "turn" in attempt
            else f"attempt {attempt.get('attempt', number - 1) + 1}"
        )
        parts = [f"{what}: {one_line(attempt['result'], 40)}"]
        parts += [f"proposal {one_line(attempt['proposal'], 20)}"] if "proposal" in attempt else []
        parts += [f"Job {attempt['job']}"] if "job" in attempt else []
        parts += [f"execution {one_line(attempt['child'])}"] if "child" in attempt else []
        parts.append(f"scheduled {attempt['at']} (event {attempt['seq']})")
        began = attempt.get("startedAt", attempt["at"])
        if "endedAt" in attempt:
            parts.append(f"took {duration_text(epoch_ms(attempt['endedAt']) - epoch_ms(began))}")
        parts += _tokens(attempt)
        parts += [f"since {one_line(attempt['cause'], CROP)}"] if attempt.get("cause") else []
        parts += [one_line(attempt["reason"], _TEXT_CROP)] if attempt.get("reason") else []
        yield "; ".join(parts)


def _tokens(attempt: JsonObject) -> list[str]:
    usage = attempt.get("usage") or {}
    if not usage:
        return []
    return [f"{usage.get('tokensIn', 0)} tokens in, {usage.get('tokensOut', 0)} out"]


def _returned(told: JsonObject) -> Iterator[str]:
    if "answer" in told:
        who = _proposer(told["origin"]["by"])
        yield f"answer (untrusted text of {who}): {value_text(told['answer'], _TEXT_CROP)}"
    outcome = told.get("outcome") or {}
    if not outcome:
        return
    by = f" by {one_line(outcome['by'], 80)}" if outcome.get("by") else ""
    yield f"{one_line(outcome['status'], 40)}{by} at {outcome['at']}"
    if outcome.get("reason"):
        yield f"reason: {one_line(outcome['reason'], _TEXT_CROP)}"
    if outcome.get("output"):
        yield f"output: {value_text(outcome['output'], _TEXT_CROP)}"


def _undone(told: JsonObject) -> Iterator[str]:
    undo = told.get("undo") or {}
    if undo.get("problem"):
        yield f"it cannot be undone: {one_line(undo['problem'], _TEXT_CROP)}"
    elif "ref" in undo:
        asked = f", asked for by {one_line(undo['askedBy'], 130)}" if "askedBy" in undo else ""
        status = f": {one_line(undo['status'], 40)}" if "status" in undo else ""
        yield f"{one_line(undo['ref'], 130)}, scheduled at {undo['scheduledAt']}{asked}{status}"
    elif undo:
        yield f"nothing so far; {call_text(undo['tool'], undo.get('input'))} would undo it"


def _digest(value: object) -> str:
    return one_line(value or "(unknown)", 80)
