"""How an event changes the state: bookkeeping without judgement. It never fails on a verified ledger.

Whatever was judged or computed stands in the event, so a replay needs no script, policy or model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from openworld.api import Agent, JsonObject, Phase, Task, TaskStatus, TaskType, Tool, Workflow
from openworld.api.policy import Limits
from openworld.language.canonical import canonical
from openworld.ledger import EventType, epoch_ms

from .generations import begin_again, start_over, take_back
from .scopes import close_if_done, iteration_of, open_scope, recount, suffixed
from .state import ROOT, Gate, Scope, State, TaskState, Turn

#: Types that are in progress as soon as they are scheduled: nothing outside has to start first.
WAITING = frozenset(
    {
        TaskType.AGENT,
        TaskType.DO_WHILE,
        TaskType.EXCLUSIVE_JOIN,
        TaskType.HUMAN,
        TaskType.JOIN,
        TaskType.WAIT,
    }
)
#: Who pauses and resumes when `spec.suspend` is set.
BY_SPEC = "spec.suspend"

Handler = Callable[[State, JsonObject, int], None]
_HANDLERS: dict[EventType, Handler] = {}


def evolve(state: State, event: JsonObject) -> State:
    """Apply one event in place and return the state."""
    kind = EventType(event["type"])
    at_ms = epoch_ms(event["at"])
    handler = _HANDLERS.get(kind)
    if handler is not None:
        handler(state, event, at_ms)
    for fact in event.get("facts", ()):
        state.facts.add(fact)
    state.head_seq, state.head_hash, state.last_at_ms = event["seq"], event["hash"], at_ms
    state.ledger_bytes += len(canonical(event))
    return state


def fold(state: State, events: Iterable[JsonObject]) -> State:
    """Apply events in order."""
    for event in events:
        evolve(state, event)
    return state


def _on(kind: EventType) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        _HANDLERS[kind] = handler
        return handler

    return register


def definition_of(state: State, ref: str, scope_id: str) -> Task:
    """The definition of a task in its scope."""
    return next(task for task in state.scopes[scope_id].tasks if task.task_reference_name == ref)


def _enter(state: State, event: JsonObject, status: TaskStatus) -> TaskState:
    """The task that an event is about; it comes into being with the first event that names it."""
    ref, scope_id = event["ref"], event.get("scope")
    task = state.tasks.get(ref)
    if task is None:
        if scope_id is None:
            raise KeyError(ref)
        task = TaskState(definition=definition_of(state, ref, scope_id), scope=scope_id, status=status)
        state.tasks[ref] = task
        state.active[ref] = None
        scope = state.scopes[scope_id]
        around = iteration_of(state, scope)
        if around is not None and not scope.feedback:
            around.entered.append(ref)
            state.latest[ref.removesuffix(scope.suffix)] = ref
        state.known_tasks += 1
        if scope.proposal_id:
            task.origin = {"proposal": scope.proposal_id, "item": scope.items[ref]}
        else:
            task.origin = {"definition": state.workflow_name or "inline"}
    return task


def _end(state: State, task: TaskState, status: TaskStatus, event: JsonObject, at_ms: int) -> None:
    task.status = status
    task.ended_at_ms, task.ended_seq = at_ms, event["seq"]
    task.wake_at_ms = None
    task.reason = event.get("reason", "")
    if task.type is TaskType.DO_WHILE:
        keep_iteration(state, task)
    else:
        task.output = event.get("output", task.output if status is TaskStatus.COMPLETED else {})
    if state.active.pop(task.ref, "absent") == "absent":
        return
    if status.is_success:
        state.completed += 1
    elif status is not TaskStatus.SKIPPED:
        state.failed += 1
    scope = state.scope_of(task)
    if not task.has_passed and scope.owner is not None and not scope.feedback:
        state.tasks[scope.owner].failed_inside = True
    scope.remaining -= 1
    close_if_done(state, scope)


@_on(EventType.EXECUTION_STARTED)
def _started(state: State, event: JsonObject, at_ms: int) -> None:
    state.phase = Phase.RUNNING
    state.workflow = Workflow.model_validate(event["definition"])
    identity = event["workflow"]
    state.workflow_name, state.workflow_version = identity["name"], identity["version"]
    state.workflow_digest = identity["digest"]
    state.started_at_ms = state.clock_from_ms = at_ms
    state.input = event["input"]
    state.claim = event.get("claim", "")
    state.limits = Limits.model_validate(event["limits"])
    state.variables = dict(state.workflow.variables)
    open_scope(state, Scope(id=ROOT, tasks=tuple(state.workflow.tasks)))


@_on(EventType.EXECUTION_PAUSED)
def _paused(state: State, event: JsonObject, at_ms: int) -> None:
    if not state.is_paused:
        state.phase, state.paused_at_ms = Phase.PAUSED, at_ms
    if event["by"] == BY_SPEC:
        state.suspended = True
    else:
        state.paused_by = event["by"]


@_on(EventType.EXECUTION_RESUMED)
def _resumed(state: State, event: JsonObject, at_ms: int) -> None:
    if event["by"] == BY_SPEC:
        state.suspended = False
    else:
        state.paused_by = ""
    if state.is_paused:
        return
    state.phase = Phase.RUNNING
    for task in state.active_tasks():  # what was held back is not late
        if task.started_at_ms is None:
            task.scheduled_at_ms = at_ms


def _ended_as(phase: Phase) -> Handler:
    def handler(state: State, event: JsonObject, at_ms: int) -> None:
        if event.get("cancelsAll"):
            for task in state.active_tasks():
                if task.seq >= 0:
                    state.stopped.add(task.seq)
                _end(state, task, TaskStatus.CANCELED, {"seq": event["seq"]}, at_ms)
        state.phase = phase
        state.ended_at_ms = at_ms
        state.reason = event.get("reason", "")
        state.output = event.get("output")
        state.failure_workflow = event.get("failureWorkflow")
        state.failure_workflow_seq = event["seq"]
        state.failed_task = event.get("failedTask", "")
        state.failure_workflow_started = ""

    return handler


_HANDLERS[EventType.EXECUTION_COMPLETED] = _ended_as(Phase.COMPLETED)
_HANDLERS[EventType.EXECUTION_FAILED] = _ended_as(Phase.FAILED)
_HANDLERS[EventType.EXECUTION_TIMED_OUT] = _ended_as(Phase.TIMED_OUT)
_HANDLERS[EventType.EXECUTION_TERMINATED] = _ended_as(Phase.TERMINATED)


@_on(EventType.EXECUTION_RETRIED)
def _retried(state: State, event: JsonObject, at_ms: int) -> None:
    begin_again(state, event, at_ms)
    take_back(state, event, at_ms)


@_on(EventType.EXECUTION_RERUN)
def _rerun(state: State, event: JsonObject, at_ms: int) -> None:
    begin_again(state, event, at_ms)
    state.input = event.get("input", state.input)
    if "ref" not in event:
        start_over(state)
        return
    take_back(state, event, at_ms)
    if "taskInput" in event:
        state.given_inputs[event["ref"]] = event["taskInput"]


@_on(EventType.EXECUTION_RESTARTED)
def _restarted(state: State, event: JsonObject, at_ms: int) -> None:
    begin_again(state, event, at_ms)
    if event.get("latest"):
        state.workflow = None
        state.phase = Phase.PENDING
    start_over(state)


@_on(EventType.FAILURE_WORKFLOW_STARTED)
def _failure_workflow_started(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    state.failure_workflow_started = event.get("execution") or "(none)"


@_on(EventType.TASK_SCHEDULED)
def _scheduled(state: State, event: JsonObject, at_ms: int) -> None:
    task = _enter(state, event, TaskStatus.SCHEDULED)
    state.given_inputs.pop(task.ref, None)
    if task.gate is not None:
        task.subject_digest = task.gate.subject_digest
    task.status, task.gate = TaskStatus.SCHEDULED, None
    task.seq, task.attempt = event["seq"], 0
    task.scheduled_at_ms = task.first_scheduled_at_ms = at_ms
    task.not_before_ms = epoch_ms(event["notBefore"]) if "notBefore" in event else 0
    task.input = event["input"]
    task.items = event.get("items")
    task.inline = event.get("definition")
    task.claims = event.get("claims", [])
    task.secrets = event.get("secrets", [])
    task.wake_at_ms = epoch_ms(event["dueAt"]) if "dueAt" in event else None
    if event["taskType"] != task.type.value:  # DYNAMIC: it runs as what its input names
        become = {"type": TaskType(event["taskType"]), "name": event["name"]}
        task.definition = task.definition.model_copy(update=become)
    state.by_seq[task.seq] = task.ref
    state.scheduled += 1
    tool = event.get("tool")
    if tool is not None:
        task.tool, task.tool_digest = tool["name"], tool["digest"]
        if "definition" in tool:
            state.tools[tool["digest"]] = Tool.model_validate(tool["definition"])
    scope = state.scope_of(task)
    if task.type is TaskType.FORK_JOIN:
        for index, branch in enumerate(task.definition.fork_tasks):
            if branch:
                _open_branch(state, task, scope, str(index), branch)
    if task.type in WAITING:
        task.status, task.started_at_ms = TaskStatus.IN_PROGRESS, at_ms


def _open_branch(state: State, task: TaskState, scope: Scope, name: str, tasks: list[Task]) -> None:
    open_scope(
        state,
        Scope(
            id=f"{task.ref}/{name}",
            tasks=tuple(tasks),
            parent=scope.id,
            owner=task.ref,
            proposed=scope.proposed,
            feedback=scope.feedback,
            agent_digest=scope.agent_digest,
            depth=scope.depth,
            suffix=scope.suffix,
        ),
    )


@_on(EventType.LOOP_ITERATED)
def _iterated(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task = state.tasks[event["ref"]]
    around = state.scope_of(task)
    keep_iteration(state, task)
    for number in event.get("dropped", ()):
        _drop_iteration(state, task, number)
    task.iteration = event["iteration"]
    task.output["iteration"] = task.iteration
    if "index" in event:
        task.output |= {"loopIndex": event["index"], "loopItem": event.get("item")}
    suffix = f"__{task.iteration}"
    open_scope(
        state,
        Scope(
            id=iteration_id(task.ref, task.iteration),
            tasks=tuple(suffixed(inner, suffix) for inner in task.definition.loop_over),
            parent=around.id,
            owner=task.ref,
            depth=around.depth,
            suffix=around.suffix + suffix,
            iteration=task.iteration,
        ),
    )


def iteration_id(ref: str, number: int) -> str:
    """The id of the scope of a loop's iteration."""
    return f"{ref}/{number}"


def keep_iteration(state: State, task: TaskState) -> None:
    """Put what the present iteration of a loop has given into the loop's output, by the refs of its body."""
    task.output.setdefault("iteration", task.iteration)
    scope = state.scopes.get(iteration_id(task.ref, task.iteration))
    if scope is not None:
        task.output[str(task.iteration)] = {
            ref.removesuffix(scope.suffix): state.tasks[ref].output for ref in scope.entered
        }


def _drop_iteration(state: State, task: TaskState, number: int) -> None:
    """Let go of an iteration that the loop does not keep: its tasks and scopes, not its events."""
    task.output.pop(str(number), None)
    gone = iteration_id(task.ref, number)
    for scope_id in [each.id for each in state.scopes.values() if _is_within(state, each, gone)]:
        scope = state.scopes[scope_id]
        for definition in scope.tasks:
            dropped = state.tasks.pop(definition.task_reference_name, None)
            if dropped is not None:
                for seq in (*dropped.earlier, dropped.seq):
                    state.by_seq.pop(seq, None)
    for scope_id in [each.id for each in state.scopes.values() if _is_within(state, each, gone)]:
        del state.scopes[scope_id]


def _is_within(state: State, scope: Scope, outer: str) -> bool:
    inner: Scope | None = scope
    while inner is not None:
        if inner.id == outer:
            return True
        inner = state.scopes.get(inner.parent) if inner.parent is not None else None
    return False


@_on(EventType.TASK_STARTED)
def _task_started(state: State, event: JsonObject, at_ms: int) -> None:
    task = state.tasks[event["ref"]]
    task.status, task.started_at_ms, task.pod = TaskStatus.IN_PROGRESS, at_ms, event.get("pod", "")


@_on(EventType.TASK_PROGRESSED)
def _progressed(state: State, event: JsonObject, at_ms: int) -> None:
    task = state.tasks[event["ref"]]
    task.progressed_at_ms = at_ms
    task.output = event.get("output", task.output)
    task.progress_reports += 1
    if event.get("awaitsSignal"):
        task.awaits_signal, task.status = True, TaskStatus.IN_PROGRESS
        task.started_at_ms = task.started_at_ms or at_ms
    _count(state, event)
    if "notBefore" in event:  # the worker wants to be called again: another Job of the same attempt
        task.earlier, task.seq = (*task.earlier, task.seq), event["seq"]
        state.by_seq[task.seq] = task.ref
        task.status, task.started_at_ms, task.pod = TaskStatus.SCHEDULED, None, ""
        task.scheduled_at_ms, task.not_before_ms = at_ms, epoch_ms(event["notBefore"])


@_on(EventType.TASK_ESCALATED)
def _escalated(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task = state.tasks[event["ref"]]
    task.escalated, task.wake_at_ms = True, None


@_on(EventType.TASK_COMPLETED)
def _completed(state: State, event: JsonObject, at_ms: int) -> None:
    _count(state, event)
    status = TaskStatus(event.get("status", TaskStatus.COMPLETED))
    _end(state, state.tasks[event["ref"]], status, event, at_ms)


def _count(state: State, event: JsonObject) -> None:
    usage = event.get("usage", {})
    state.tokens += usage.get("tokensIn", 0) + usage.get("tokensOut", 0)


@_on(EventType.TASK_FAILED)
def _failed(state: State, event: JsonObject, at_ms: int) -> None:
    task = _enter(state, event, TaskStatus.FAILED)
    _count(state, event)
    if event.get("willRetry"):
        task.reason = event["reason"]
        return
    _end(state, task, TaskStatus(event["status"]), event, at_ms)
    if event.get("permissive"):
        state.permissive_failure = task.ref


@_on(EventType.TASK_TIMED_OUT)
def _timed_out(state: State, event: JsonObject, at_ms: int) -> None:
    task = state.tasks[event["ref"]]
    if "alert" in event:
        task.alerted.add(event["alert"])
        return
    state.stopped.add(task.seq)
    _failed(state, event, at_ms)


@_on(EventType.TASK_CANCELED)
def _canceled(state: State, event: JsonObject, at_ms: int) -> None:
    task = _enter(state, event, TaskStatus.CANCELED)
    if task.seq >= 0:
        state.stopped.add(task.seq)
    _end(state, task, TaskStatus.CANCELED, event, at_ms)


@_on(EventType.TASK_SKIPPED)
def _skipped(state: State, event: JsonObject, at_ms: int) -> None:
    task = _enter(state, event, TaskStatus.SKIPPED)
    task.skipped_by = event.get("by", "")
    _end(state, task, TaskStatus.SKIPPED, event, at_ms)


@_on(EventType.RETRY_SCHEDULED)
def _retry(state: State, event: JsonObject, at_ms: int) -> None:
    task = state.tasks[event["ref"]]
    task.earlier, task.seq = (*task.earlier, task.seq), event["seq"]
    state.by_seq[task.seq] = task.ref
    task.attempt = event["attempt"]
    task.scheduled_at_ms, task.not_before_ms = at_ms, epoch_ms(event["notBefore"])
    task.input = event.get("input", task.input)
    task.items = event.get("items", task.items)
    task.inline = event.get("definition", task.inline)
    task.wake_at_ms = epoch_ms(event["dueAt"]) if "dueAt" in event else None
    if task.type is not TaskType.AGENT:
        task.turns, task.branch_refs = [], []
    if task.status.is_final:  # a person has it run again
        task.ended_at_ms = task.ended_seq = None
        task.reason, task.output = "", {}
        task.status = TaskStatus.SCHEDULED
        recount(state)
    task.started_at_ms, task.pod, task.progressed_at_ms = None, "", None
    task.alerted, task.awaits_signal = set(), False
    task.status = TaskStatus.SCHEDULED
    if task.type in WAITING:
        task.status, task.started_at_ms = (
            TaskStatus.IN_PROGRESS,
            None if task.type is TaskType.AGENT else at_ms,
        )


@_on(EventType.BRANCH_TAKEN)
def _branch(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task = state.tasks[event["ref"]]
    cases = task.definition.decision_cases
    tasks = cases[event["case"]] if event["matched"] else task.definition.default_case
    if tasks:
        _open_branch(state, task, state.scope_of(task), event["case"] or "default", tasks)


@_on(EventType.VARIABLE_SET)
def _variables(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    state.variables = state.variables | event["variables"]


@_on(EventType.TURN_STARTED)
def _turn(state: State, event: JsonObject, at_ms: int) -> None:
    task = state.tasks[event["ref"]]
    agent = event["agent"]
    task.agent_digest = agent["digest"]
    if "definition" in agent:
        state.agents[agent["digest"]] = (agent["name"], Agent.model_validate(agent["definition"]))
    task.earlier, task.seq = (), event["seq"]
    state.by_seq[task.seq] = task.ref
    task.attempt, task.scheduled_at_ms, task.not_before_ms = 0, at_ms, 0
    task.started_at_ms, task.pod = None, ""
    task.turns.append(Turn(number=event["turn"], context=event["context"]))


@_on(EventType.PROPOSAL_RECEIVED)
def _proposal(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task = state.tasks[event["ref"]]
    if task.turn is None or task.turn.received:
        task.turns.append(Turn(number=event["turn"]))
    turn = task.turns[-1]
    turn.received, turn.proposal_id, turn.content = True, event["proposal"], event["content"]
    turn.output = event.get("output", {})
    _count(state, event)
    state.proposals += 1


@_on(EventType.PROPOSAL_JUDGED)
def _judged(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    state.denied += sum(item["decision"] == "Denied" for item in event["items"])
    if "stage" in event:
        return
    turn = state.tasks[event["ref"]].turns[-1]
    turn.judged, turn.verdict = True, event["items"]
    turn.problem, turn.answer = event.get("problem", ""), event.get("answer")
    turn.nothing_allowed = event["nothingAllowed"]
    turn.counts = event.get("counts", {})
    state.limits = Limits.model_validate(event["limits"])


@_on(EventType.TASKS_MATERIALIZED)
def _materialized(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    owner = state.tasks[event["ref"]]
    around = state.scope_of(owner)
    tasks = tuple(Task.model_validate(task) for task in event["tasks"])
    refs = [task.task_reference_name for task in tasks]
    owner.turns[-1].refs = refs
    owner.branch_refs = owner.branch_refs + refs
    state.proposed_tasks += len(tasks)
    open_scope(
        state,
        Scope(
            id=event["scope"],
            tasks=tasks,
            parent=around.id,
            owner=owner.ref,
            is_graph=True,
            proposed=True,
            feedback=around.feedback or owner.type is TaskType.AGENT,
            proposal_id=event["proposal"],
            items=dict(zip(refs, event["items"], strict=True)),
            aliases=event["aliases"],
            counts=owner.turns[-1].counts,
            agent_digest=owner.agent_digest or around.agent_digest,
            depth=around.depth + 1,
            suffix=around.suffix if owner.type is TaskType.FORK_JOIN_DYNAMIC else "",
        ),
    )


@_on(EventType.APPROVAL_REQUESTED)
def _requested(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    task = _enter(state, event, TaskStatus.AWAITING_APPROVAL)
    task.status, task.input = TaskStatus.AWAITING_APPROVAL, event["input"]
    approval = event["approval"]
    task.gate = Gate(
        digest=event["itemDigest"],
        tool=event["tool"],
        rule=event["rule"],
        count=approval["count"],
        not_requester=approval["notRequester"],
        expires_at_ms=epoch_ms(event["expiresAt"]),
        subject_digest=event.get("subject", {}).get("digest", ""),
    )


@_on(EventType.APPROVAL_GIVEN)
def _approved(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    gate = state.tasks[event["ref"]].gate
    if gate is not None:
        gate.approved_by.append(event["by"])


@_on(EventType.BUDGET_EXCEEDED)
def _exceeded(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    if event.get("alertOnly"):
        state.alerted.add(event["limit"])


@_on(EventType.FACT_REFUSED)
def _refused(state: State, event: JsonObject, at_ms: int) -> None:  # noqa: ARG001
    state.refused_facts += 1
