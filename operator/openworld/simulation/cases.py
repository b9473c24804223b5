"""Written cases: a proposal that somebody made up, the facts it is judged by, and the verdict they expect.

Read strictly: a misspelt key is an error with its place. The state is made up of the facts; the question and
the verdict are the engine's.
"""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from openworld.api import (
    Agent,
    Execution,
    Json,
    JsonObject,
    Phase,
    Strict,
    Task,
    TaskStatus,
    TaskType,
    Workflow,
)
from openworld.api.meta import Seconds, TaskRef, ToolName, WorkflowName
from openworld.api.policy import Limits
from openworld.engine.decide import Pass
from openworld.engine.needs import Definition
from openworld.engine.scopes import open_scope
from openworld.engine.state import ROOT, Identity, Scope, State, TaskState, Turn
from openworld.governance import Decision, Verdict
from openworld.ledger import epoch_ms

from .namespace import START_MS
from .verdicts import Bench, Judged, Row, Stage


class Run(Strict):
    """What rules may know of the execution."""

    input: JsonObject = Field(default_factory=dict, description="Its input.")
    requested_by: str = Field(default="somebody@example.com", min_length=1, description="Who asked for it.")
    name: str = Field(default="case", description="Its name.")
    namespace: str = Field(default="default", description="Its namespace.")
    service_account: str = Field(default="default", description="Whose right to use tools is asked.")


class Used(Strict):
    """What the execution has used before this proposal."""

    tasks: int = Field(default=0, ge=0, description="Proposed tasks.")
    tokens: int = Field(default=0, ge=0, description="Tokens, those of this turn included.")
    seconds: Seconds = Field(default=0, description="Since its start.")
    turns: int = Field(default=0, ge=0, description="Turns of the proposing agent.")


class Expected(Strict):
    """The verdict on one item. What is not given does not matter."""

    ref: str = Field(default="", description="The item's ref, long or short; default: the next item.")
    decision: Decision = Field(description="Allowed, Denied or NeedsApproval.")
    check: str = Field(default="", description="The check that decides.")
    rule: str = Field(default="", description="The rule that decides.")
    reason: str = Field(default="", description="Text that the reason holds.")
    approvals: int | None = Field(default=None, ge=1, description="How many people must approve.")


class PolicyCase(Strict):
    """One proposal and what is expected of the verdict on it."""

    case: str = Field(min_length=1, max_length=200, description="What it shows, in a few words.")
    workflow: WorkflowName | None = Field(
        default=None, description="Default: the only Workflow of the files."
    )
    agent: str | None = Field(default=None, description="Who proposes. Default: the only Agent of the files.")
    worker: bool = Field(default=False, description="A worker proposes, and no agent: all of it, or nothing.")
    execution: Run = Field(default_factory=Run, description="The run.")
    used: Used = Field(default_factory=Used, description="What it has used so far.")
    now: str | None = Field(default=None, description="When it is judged (RFC 3339).")
    access: dict[ToolName, bool] = Field(
        default_factory=dict,
        description="Whether the account may use a tool; it may, unless this says otherwise.",
    )
    visible: list[TaskRef] = Field(
        default_factory=list, description="Tasks that have ended, whose output the proposal may name."
    )
    proposal: Json = Field(description="What is proposed, as a turn says it.")
    expect: list[Expected] = Field(default_factory=list, description="The verdict on each item.")
    problem: str | None = Field(
        default=None, description="The proposal as a whole is refused, for a reason that holds this text."
    )

    @field_validator("now")
    @classmethod
    def _is_a_time(cls, now: str | None) -> str | None:
        if now is not None:
            epoch_ms(now)
        return now

    @model_validator(mode="after")
    def _expects_something(self) -> PolicyCase:
        if bool(self.expect) == (self.problem is not None):
            raise ValueError("exactly one of expect and problem must say what the verdict is")
        if self.worker and self.agent is not None:
            raise ValueError("either an agent proposes or a worker, not both")
        return self


def judge_case(
    bench: Bench, case: PolicyCase, workflow: Workflow, name: str, agent: Definition | None
) -> Judged:
    """The verdict on a case beside what it expects. Raises MissingDefinitionError.

    `agent` proposes; None where a worker does.
    """
    now_ms = epoch_ms(case.now) if case.now is not None else START_MS
    state = _state(case, workflow, name, agent, now_ms)
    verdict = bench.on_proposal(Pass(state, now_ms), next(iter(state.tasks.values())), case.access)
    policies = tuple(policy for policy, _ in verdict.policies)
    if case.problem is not None:
        misfit = (
            ""
            if case.problem in verdict.problem and verdict.problem
            else f"a problem is expected: {case.problem}"
        )
        return Judged(case.case, _rows(bench, verdict, []), verdict.problem, misfit, policies)
    misfit = "no problem is expected with the proposal as a whole" if verdict.problem else ""
    return Judged(case.case, _rows(bench, verdict, case.expect), verdict.problem, misfit, policies)


def _state(case: PolicyCase, workflow: Workflow, name: str, agent: Definition | None, now_ms: int) -> State:
    """An execution in which somebody has just proposed."""
    began_ms = now_ms - case.used.seconds * 1000
    run = case.execution
    spec = Execution.model_validate(
        {
            "workflowRef": {"name": name or "files"},
            "input": run.input,
            "requestedBy": run.requested_by,
            "serviceAccountName": run.service_account,
        }
    )
    definition = _proposer(workflow, agent)
    state = State(
        identity=Identity("", run.name, run.namespace, began_ms, spec),
        phase=Phase.RUNNING,
        workflow=workflow,
        workflow_name=name,
        started_at_ms=began_ms,
        clock_from_ms=began_ms,
        limits=Limits(),
        input=run.input,
        tokens=case.used.tokens,
        proposed_tasks=case.used.tasks,
    )
    open_scope(state, Scope(id=ROOT, tasks=(definition,)))
    shown: JsonObject = {"state": {"tasks": {ref: {} for ref in case.visible}}}
    turn = Turn(case.used.turns + 1, shown, "p-1", case.proposal, received=True)
    task = TaskState(definition, ROOT, TaskStatus.IN_PROGRESS, turns=[turn])
    state.tasks[task.ref] = task
    if agent is not None and isinstance(agent.model, Agent):
        task.agent_digest = agent.digest
        state.agents[agent.digest] = (agent.name, agent.model)
    for ref in case.visible:
        ended = Task(name=ref, task_reference_name=ref, type=TaskType.NOOP)
        state.tasks[ref] = TaskState(ended, ROOT, TaskStatus.COMPLETED)
    return state


def _proposer(workflow: Workflow, agent: Definition | None) -> Task:
    """The task that proposes: the workflow's own for that agent where it stands in its array."""
    if agent is None:
        return Task(name="worker", task_reference_name="worker", type=TaskType.SIMPLE)
    for task in workflow.tasks:
        if task.type is TaskType.AGENT and task.input_parameters.get("agent") == agent.name:
            return task
    return Task(name=agent.name, task_reference_name="agent", type=TaskType.AGENT)


def _rows(bench: Bench, verdict: Verdict, expected: list[Expected]) -> tuple[Row, ...]:
    """Items and expectations side by side: by ref where one is given, else in order."""
    items = list(verdict.items)
    unnamed = [each for each in expected if not each.ref]
    named = {each.ref: each for each in expected if each.ref}
    rows = []
    for item in items:
        want = named.pop(item.short_ref, None) or named.pop(item.ref, None)
        if want is None and unnamed:
            want = unnamed.pop(0)
        record = item.record()
        assumed = bench.assumes(record)
        if want is None:
            missing = ("decision",) if expected else ()
            rows.append(Row(item.ref, Stage.PROPOSAL, record, None, missing, assumed))
            continue
        given = want.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"ref"})
        differs = tuple(key for key in given if _differs(key, given[key], record))
        rows.append(Row(item.ref, Stage.PROPOSAL, record, given, differs, assumed))
    for want in (*named.values(), *unnamed):
        given = want.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"ref"})
        rows.append(Row(want.ref or "(no such item)", Stage.PROPOSAL, None, given, ("decision",)))
    return tuple(rows)


def _differs(key: str, wanted: Json, record: JsonObject) -> bool:
    if key == "reason":
        return wanted not in record["reason"]
    if key == "approvals":
        return bool((record.get("approval") or {}).get("count") != wanted)
    return bool(record.get(key) != wanted)
