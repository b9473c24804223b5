"""A recorded run's proposals, judged again under other definitions, and the recorded verdicts beside the new.

Every proposal is judged by its own facts: the events before its verdict are folded by the engine, so time,
input, budgets, turn and visible refs are those of then. Of the ledger only events count, never the status.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from openworld.api import JsonObject, Task, TaskType, Workflow
from openworld.engine import flow
from openworld.engine.decide import Pass
from openworld.engine.evolve import definition_of, evolve
from openworld.engine.governed import policy_source
from openworld.engine.needs import DefinitionKind
from openworld.engine.state import Identity, Scope, State
from openworld.governance import Check, Decision, Verdict, passed_access
from openworld.governance.checks.policy import binds_authored
from openworld.governance.verdict import AUTHORED, AUTHORED_REASON
from openworld.ledger import EventType, epoch_ms

from .verdicts import Bench, Judged, Row, Stage

#: What a change of policy may alter of an item.
_COMPARED = ("decision", "check", "rule", "approval", "audited")


@dataclass(slots=True)
class _Told:
    """What the events have said so far of what was judged, by ref."""

    settled: set[str] = field(default_factory=set)
    differing: set[str] = field(default_factory=set)
    rules: dict[str, JsonObject] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Start:
    """A verdict before a start, of which proposal (empty: authored), and the policies that bind."""

    proposal: str
    row: Row
    policies: tuple[str, ...]


def replay(bench: Bench, identity: Identity, events: Sequence[JsonObject]) -> list[Judged]:
    """Each proposal of a run and what it started, judged again; last the authored tasks.

    Of these, each that a policy binds, and each whose verdict is another now. Raises MissingDefinitionError,
    and ValueError or LookupError where the events are no ledger of ours.
    """
    proposals: list[Judged] = []
    starts: list[_Start] = []
    told = _Told()
    state = State(identity=identity)
    for event in events:
        kind = event["type"]
        if kind == EventType.PROPOSAL_JUDGED and "stage" not in event:
            proposals.append(_proposal(bench, state, event, told))
        elif kind in (EventType.TASK_SCHEDULED, EventType.APPROVAL_REQUESTED, EventType.PROPOSAL_JUDGED):
            found = _start(bench, state, event, told)
            if found is not None:
                starts.append(found)
        evolve(state, event)
    return list(_with_starts(proposals, starts))


def _with_starts(proposals: list[Judged], starts: list[_Start]) -> Iterator[Judged]:
    """Each start goes to the proposal that it came of."""
    for judged in proposals:
        own = tuple(start.row for start in starts if start.proposal == judged.name)
        yield replace(judged, rows=judged.rows + own)
    authored = [start for start in starts if not start.proposal]
    if authored:
        policies = dict.fromkeys(name for start in authored for name in start.policies)
        rows = tuple(start.row for start in authored)
        yield Judged("authored tasks", rows, policies=tuple(policies), is_authored=True)


def given_workflow(bench: Bench, state: State) -> Workflow | None:
    """The workflow of a run as the files have it, else as it was recorded."""
    workflow = state.workflow
    if state.workflow_name and workflow is not None:
        given = bench.definitions.find(DefinitionKind.WORKFLOW, state.workflow_name).model
        workflow = given if isinstance(given, Workflow) else workflow
    return workflow


def _as_given(bench: Bench, state: State) -> State:
    """The state, with the Workflow and the Agents of the files in place of those that were recorded."""
    agents = {}
    for digest, (name, agent) in state.agents.items():
        found = bench.definitions.find(DefinitionKind.AGENT, name).model
        agents[digest] = (name, found if isinstance(found, type(agent)) else agent)
    return replace(state, workflow=given_workflow(bench, state), agents=agents)


def _proposal(bench: Bench, state: State, event: JsonObject, told: _Told) -> Judged:
    task = state.tasks[event["ref"]]
    p = Pass(_as_given(bench, state), epoch_ms(event["at"]))
    verdict = bench.on_proposal(p, task, _access(event["items"]))
    now = {item.item: item.record() for item in verdict.items}
    then = {item["item"]: item for item in event["items"]}
    rows = []
    for index in sorted(now.keys() | then.keys()):
        row = _compared(bench, Stage.PROPOSAL, now.get(index), then.get(index))
        rows.append(row)
        if row.differs:
            told.differing.add(row.ref)
        elif not _is_provisional(row):
            told.settled.add(row.ref)
        if index in then:
            told.rules[row.ref] = then[index]
    was = event.get("problem", "")
    misfit = ""
    if bool(was) != bool(verdict.problem):
        misfit = f"the proposal as a whole was {'refused: ' + was if was else 'in order'}"
    name = f"{event['proposal']} of {event['ref']}, turn {event['turn']}"
    return Judged(name, tuple(rows), verdict.problem, misfit, _names(verdict))


def _start(bench: Bench, state: State, event: JsonObject, told: _Told) -> _Start | None:
    """The verdict before a task starts; None where nothing is to tell."""
    if "budget" in event:
        return None  # it has started, and asks for more
    is_denial = event["type"] == EventType.PROPOSAL_JUDGED
    ref = event["items"][0]["ref"] if is_denial else event["ref"]
    existing = state.tasks.get(ref)
    if event["type"] == EventType.TASK_SCHEDULED and existing is not None and existing.gate is not None:
        return None  # it was judged when people were asked
    if ref in told.differing:
        return None  # it would not have come to this
    scope = _scope_with(state, ref) if is_denial else state.scopes[event["scope"]]
    definition = definition_of(state, ref, scope.id)
    task_input = flow.final_input(state, scope, definition)[0] if is_denial else event["input"]
    named_by_data = definition.type is TaskType.DYNAMIC
    if named_by_data:
        became = flow.named(definition, task_input)
        definition = became if isinstance(became, Task) else definition
    then = _recorded_start(event, told.rules.get(ref))
    verdict = bench.before_start(
        Pass(_as_given(bench, state), epoch_ms(event["at"])),
        scope,
        definition,
        task_input,
        _access([then]),
        named_by_data=named_by_data,
    )
    if verdict is None:
        row = _compared(bench, Stage.BEFORE_START, _unbound(ref), then)
        return _Start("", row, ()) if row.differs else None
    item = verdict.items[0]
    row = _compared(bench, Stage.BEFORE_START, item.record(), then)
    is_known = ref in told.settled if scope.proposed else not item.policy
    if not row.differs and not is_denial and is_known:
        return None
    whatever_scope = named_by_data or state.spec.workflow is not None
    bound = _names(verdict) if whatever_scope else _binding(bench, _names(verdict))
    return _Start(_proposal_of(state, scope), row, bound)


def _unbound(ref: str) -> JsonObject:
    """What is said of an authored task that no policy binds, in the words of the validator."""
    said = {"item": 0, "ref": ref, "decision": Decision.ALLOWED.value, "check": Check.ACCESS.value}
    return {**said, "rule": AUTHORED, "reason": AUTHORED_REASON}


def _binding(bench: Bench, policies: Iterable[str]) -> tuple[str, ...]:
    """Those of some policies that bind authored tasks too."""
    find = bench.definitions.find
    return tuple(p for p in policies if binds_authored(policy_source(find(DefinitionKind.POLICY, p))))


def _recorded_start(event: JsonObject, proposed: JsonObject | None) -> JsonObject:
    """What was decided before a start, as far as the events say.

    An allowed start names its rule, unless a final verdict on its proposal has done so.
    """
    if event["type"] == EventType.PROPOSAL_JUDGED:
        item: JsonObject = event["items"][0]
        return item
    if event["type"] == EventType.APPROVAL_REQUESTED:
        asked: JsonObject = {"decision": Decision.NEEDS_APPROVAL.value, "rule": event["rule"]}
        return {**asked, "ref": event["ref"], "approval": event["approval"], "tool": event["tool"]}
    allowed: JsonObject = {"decision": Decision.ALLOWED.value, "ref": event["ref"]}
    if "tool" in event:
        allowed["tool"] = event["tool"]["name"]
    if proposed is not None and not proposed.get("provisional") and proposed["decision"] == Decision.ALLOWED:
        allowed |= {key: proposed[key] for key in _COMPARED if key in proposed}
    if event.get("verdict"):
        allowed["rule"] = event["verdict"]["rule"]
    return allowed


def _scope_with(state: State, ref: str) -> Scope:
    """The open scope that has a task."""
    for scope_id in state.open_scopes:
        scope = state.scopes[scope_id]
        if any(task.task_reference_name == ref for task in scope.tasks):
            return scope
    raise LookupError(f"no open scope has the task {ref}")


def _proposal_of(state: State, scope: Scope) -> str:
    """The name of the proposal that a scope comes of; empty for authored tasks."""
    if not scope.proposed or scope.owner is None:
        return ""
    turn = next((t for t in state.tasks[scope.owner].turns if t.proposal_id == scope.proposal_id), None)
    return f"{scope.proposal_id} of {scope.owner}, turn {turn.number}" if turn is not None else ""


def _access(items: Iterable[JsonObject]) -> dict[str, bool]:
    """What the recorded verdicts say of access reviews: an item that passed them, or that they denied."""
    answers = ((item.get("tool"), passed_access(item)) for item in items)
    return {tool: answer for tool, answer in answers if tool is not None and answer is not None}


def _compared(bench: Bench, stage: Stage, now: JsonObject | None, then: JsonObject | None) -> Row:
    known = now or then or {}
    if now is None or then is None:
        return Row(known["ref"], stage, now, then, ("decision",))
    differs = tuple(key for key in _COMPARED if _differs(key, now, then, stage))
    return Row(known["ref"], stage, now, then, differs, bench.assumes(now))


def _differs(key: str, now: JsonObject, then: JsonObject, stage: Stage) -> bool:
    if stage is Stage.BEFORE_START and key not in then:
        return False  # the record does not say
    if key == "approval" and now["decision"] != then["decision"]:
        return False  # that says it already
    if key == "audited":
        return _audited(now) != _audited(then)
    return bool(now.get(key) != then.get(key))


def _audited(item: JsonObject) -> list[list[str]]:
    """What an audit would have said, without the reasons: policy, rule and decision."""
    return [said.split(": ")[:2] for said in item.get("audited", "").split("; ")]


def _is_provisional(row: Row) -> bool:
    return any(item is not None and item.get("provisional") for item in (row.verdict, row.wanted))


def _names(verdict: Verdict) -> tuple[str, ...]:
    return tuple(name for name, _ in verdict.policies)
