"""The state of an execution: what `evolve` makes of its events. Holds no judgement and no I/O.

A state is owned by one decision at a time and changed in place by `evolve`: whoever hands it to a
decision has given it away. It is a cache of the ledger and can be dropped at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from openworld.api import Agent, Execution, JsonObject, Phase, Task, TaskStatus, TaskType, Tool, Workflow
from openworld.api.meta import Json
from openworld.api.policy import Limits, OnTimeout
from openworld.governance import Amounts

ROOT = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """The Execution object as its author wrote it."""

    uid: str
    name: str
    namespace: str
    created_at_ms: int
    spec: Execution


@dataclass(slots=True)
class Gate:
    """A person's consent that a task waits for; `subject_digest` is of the Agent or Workflow it is about.

    `budget` is there where an agent does not wait to start but for more of a limit: `Overdraft.wire`.
    """

    digest: str
    tool: str
    rule: str
    count: int
    not_requester: bool
    expires_at_ms: int
    subject_digest: str = ""
    approved_by: list[str] = field(default_factory=list)
    not_committer: bool = False
    on_timeout: OnTimeout = OnTimeout.DENY
    seconds: int = 0
    is_escalated: bool = False
    edited_by: str = ""
    budget: JsonObject | None = None

    @property
    def is_open(self) -> bool:
        """Whether consent is still missing."""
        return len(self.approved_by) < self.count


@dataclass(slots=True)
class Turn:
    """One proposal of a task and what became of it; for an agent, one turn."""

    number: int
    context: JsonObject | None = None
    proposal_id: str = ""
    content: Json = None
    output: JsonObject = field(default_factory=dict)
    received: bool = False
    judged: bool = False
    verdict: list[JsonObject] = field(default_factory=list)
    problem: str = ""
    answer: JsonObject | None = None
    refs: list[str] = field(default_factory=list)
    nothing_allowed: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    policies: list[JsonObject] = field(default_factory=list)

    @property
    def denial(self) -> str:
        """Why not all of it may run; empty when all may."""
        denied = [item for item in self.verdict if item["decision"] == "Denied"]
        return self.problem or "; ".join(f"{item['ref']}: {item['reason']}" for item in denied)


@dataclass(slots=True)
class TaskState:
    """One task; a ref means its last attempt. `earlier` are the attempts before it, by seq.

    `claims` are the limits of the namespace under which it has a place.
    `iteration` counts the iterations of a loop, `items` are what it goes over. `inline` is the definition
    that a SUB_WORKFLOW carries; its child's end counts once the child was revived `child_revivals` times.
    `awaits_signal`: its worker has succeeded, and a Signal completes it. `grant` is what the child that the
    attempt `granted_seq` starts may use, `used_by_child` what has been counted of that, `spent` what an
    agent's turns have used. `extended` is what people have granted it beyond the limits of its own, by limit.
    """

    definition: Task
    scope: str
    status: TaskStatus
    seq: int = -1
    attempt: int = 0
    earlier: tuple[int, ...] = ()
    scheduled_at_ms: int = 0
    not_before_ms: int = 0
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    ended_seq: int | None = None
    input: JsonObject = field(default_factory=dict)
    output: JsonObject = field(default_factory=dict)
    reason: str = ""
    pod: str = ""
    tool: str = ""
    tool_digest: str = ""
    agent_digest: str = ""
    subject_digest: str = ""
    origin: JsonObject = field(default_factory=dict)
    wake_at_ms: int | None = None
    gate: Gate | None = None
    turns: list[Turn] = field(default_factory=list)
    open_scopes: int = 0
    failed_inside: bool = False
    skipped_by: str = ""
    unmet: bool = False
    reminders: int = 0
    iteration: int = 0
    items: list[Json] | None = None
    inline: JsonObject | None = None
    progressed_at_ms: int | None = None
    progress_reports: int = 0
    awaits_signal: bool = False
    forgiven_turns: int = 0
    claims: list[str] = field(default_factory=list)
    escalated: bool = False
    secrets: list[JsonObject] = field(default_factory=list)
    first_scheduled_at_ms: int = 0
    alerted: set[str] = field(default_factory=set)
    branch_refs: list[str] = field(default_factory=list)
    child_revivals: int = 0
    grant: Amounts | None = None
    granted_seq: int = -1
    used_by_child: Amounts = field(default_factory=Amounts)
    is_settled: bool = False
    spent: Amounts = field(default_factory=Amounts)
    extended: dict[str, int] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        """Task reference name."""
        return self.definition.task_reference_name

    @property
    def type(self) -> TaskType:
        """Task type."""
        return self.definition.type

    @property
    def has_passed(self) -> bool:
        """Whether what waits for this task may go on: it succeeded, or a person or `when` skipped it."""
        return self.status.is_success or bool(self.skipped_by) or self.unmet

    @property
    def turn(self) -> Turn | None:
        """The newest turn."""
        return self.turns[-1] if self.turns else None


@dataclass(slots=True)
class Compensable:
    """A task that has completed and can be undone: by which tool, with which input.

    `proposed` and `agent_digest` say whose catalogs and policy it is judged by. `undo` is the ref of the task
    that undoes it, once there is one, and `by` the COMPENSATE task that asked for it.
    """

    ref: str
    tool: str
    input: JsonObject
    problem: str = ""
    proposed: bool = False
    agent_digest: str = ""
    undo: str = ""
    by: str = ""


@dataclass(slots=True)
class Scope:
    """An array of tasks that is being worked: the workflow's own, a branch, a case, a proposal, an iteration.

    `feedback` is true below an agent's proposal: a failure there is told to the agent and does not
    end the workflow. `aliases` maps the short refs of a proposal to the refs it was given.
    `suffix` is what its refs end in within loops (`__2__1`); `entered` are the tasks of an iteration, those
    of scopes within it included. `cursor` only remembers how far a sequence has been looked through.
    `compensates` is the ref of the task that the one task of this scope undoes; `retries` say which failed
    task an item tries again.
    """

    id: str
    tasks: tuple[Task, ...]
    parent: str | None = None
    owner: str | None = None
    is_graph: bool = False
    proposed: bool = False
    feedback: bool = False
    proposal_id: str = ""
    items: dict[str, int] = field(default_factory=dict)
    retries: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    agent_digest: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    depth: int = 0
    suffix: str = ""
    iteration: int = 0
    entered: list[str] = field(default_factory=list)
    compensates: str = ""
    cursor: int = field(default=0, compare=False)
    remaining: int = 0
    open_children: int = 0
    closed: bool = False

    @property
    def prefix(self) -> str:
        """What stands before the short refs of a proposal's items."""
        for short, ref in self.aliases.items():
            return ref.removesuffix(self.suffix).removesuffix(short)
        return ""


@dataclass(slots=True)
class State:
    """Everything that follows from the events so far.

    `latest` maps a ref without its iteration to the last task that had it. `clock_from_ms` is when the
    present generation began: timeouts and budgets of time count from there; `revivals` is how often one did
    anew. `given_inputs` are what a person has given a task to run with, in place of its inputParameters.
    `unregistered` are tasks that have
    completed and whose compensation is not recorded yet, `compensable` those where it is. `ending` is how a
    run will end whose tasks are being undone; `compensation` is what became of that. `extended` is what
    people have granted beyond the limits of the run, by limit.
    """

    identity: Identity
    head_seq: int = -1
    head_hash: str = ""
    last_at_ms: int = 0
    phase: Phase = Phase.PENDING
    reason: str = ""
    workflow: Workflow | None = None
    workflow_name: str = ""
    workflow_version: int = 1
    workflow_digest: str = ""
    committer: str = ""
    started_at_ms: int = 0
    clock_from_ms: int = 0
    generation: int = 0
    revivals: int = 0
    ended_at_ms: int | None = None
    limits: Limits = field(default_factory=Limits)
    extended: dict[str, int] = field(default_factory=dict)
    suspended: bool = False
    paused_by: str = ""
    paused_at_ms: int = 0
    claim: str = ""
    variables: JsonObject = field(default_factory=dict)
    output: JsonObject | None = None
    input: JsonObject = field(default_factory=dict)
    env: JsonObject = field(default_factory=dict)
    given_inputs: dict[str, JsonObject] = field(default_factory=dict)
    tasks: dict[str, TaskState] = field(default_factory=dict)
    latest: dict[str, str] = field(default_factory=dict)
    active: dict[str, None] = field(default_factory=dict)
    scopes: dict[str, Scope] = field(default_factory=dict)
    open_scopes: dict[str, None] = field(default_factory=dict)
    by_seq: dict[int, str] = field(default_factory=dict)
    stopped: set[int] = field(default_factory=set)
    facts: set[str] = field(default_factory=set)
    tools: dict[str, Tool] = field(default_factory=dict)
    agents: dict[str, tuple[str, Agent]] = field(default_factory=dict)
    permissive_failure: str = ""
    failure_workflow: JsonObject | None = None
    failure_workflow_seq: int = -1
    failed_task: str = ""
    unregistered: list[str] = field(default_factory=list)
    compensable: list[Compensable] = field(default_factory=list)
    ending: JsonObject | None = None
    compensation: JsonObject | None = None
    failure_workflow_started: str = ""
    known_tasks: int = 0
    alerted: set[str] = field(default_factory=set)
    scheduled: int = 0
    completed: int = 0
    failed: int = 0
    proposals: int = 0
    proposed_tasks: int = 0
    denied: int = 0
    refused_facts: int = 0
    tokens: int = 0
    cost_nano_usd: int = 0
    started: dict[str, int] = field(default_factory=dict)
    ledger_bytes: int = 0

    @property
    def uid(self) -> str:
        """The Execution's uid."""
        return self.identity.uid

    @property
    def name(self) -> str:
        """The Execution's name."""
        return self.identity.name

    @property
    def namespace(self) -> str:
        """The Execution's namespace."""
        return self.identity.namespace

    @property
    def spec(self) -> Execution:
        """The Execution's spec."""
        return self.identity.spec

    @property
    def is_proposed(self) -> bool:
        """Whether the definition that runs came with a proposal: each of its tasks is judged as an item."""
        return self.spec.workflow is not None and self.spec.parent is not None and self.spec.parent.proposed

    @property
    def spent(self) -> Amounts:
        """What this run and its children that have ended have used of its budgets."""
        return Amounts(self.proposed_tasks, self.tokens, self.cost_nano_usd)

    @property
    def is_started(self) -> bool:
        """Whether there is any event."""
        return self.head_seq >= 0

    @property
    def is_final(self) -> bool:
        """Whether nothing follows any more."""
        return self.phase.is_final

    @property
    def is_paused(self) -> bool:
        """Whether nothing new may start, by a person's word or by `spec.suspend`."""
        return self.suspended or bool(self.paused_by)

    @property
    def depth(self) -> int:
        """How many executions are above this one."""
        return self.spec.parent.depth if self.spec.parent else 0

    def active_tasks(self) -> list[TaskState]:
        """The tasks that have not ended, in the order of their start."""
        return [self.tasks[ref] for ref in self.active]

    def scope_of(self, task: TaskState) -> Scope:
        """The scope that a task belongs to."""
        return self.scopes[task.scope]
