"""The order of things: how an execution begins, what starts next, and when it is over."""

from __future__ import annotations

from openworld.api import JsonObject, Policy, Task, TaskType, Workflow
from openworld.api.policy import Limits
from openworld.language.canonical import NotCanonical, canonical
from openworld.language.checks import check_workflow
from openworld.language.expressions import ExpressionError
from openworld.language.schemas import violations
from openworld.ledger import EventType, rfc3339

from . import governed, tasks
from .decide import Pass, resolved
from .endings import (
    LEDGER_LIMIT_BYTES,
    PAYLOAD_LIMIT_BYTES,
    cancel_active,
    fail_execution,
    fail_task,
    time_out,
)
from .needs import Definition, DefinitionKind, NeedDefinition
from .scopes import ready, unreachable
from .state import ROOT, Scope, TaskState

#: How long a new execution waits for definitions that do not exist yet (applied in one go with it).
DEFINITION_GRACE_MS = 10_000
#: A definition, and the input of an execution, may have this size.
START_LIMIT_BYTES = 128 * 1024


def has_begun(p: Pass) -> bool:
    """Whether the execution has its first event; begins it when its definitions are at hand."""
    state = p.state
    if state.is_started:
        return True
    spec = state.spec
    workflow, digest, name, problem = _workflow(p)
    if p.needs or p.wake_at_ms:
        return False
    limits = Limits()
    if workflow is not None:
        for kind, wanted in _referenced(workflow):
            answer = _definition(p, kind, wanted)
            if answer is None:
                continue
            problem = problem or answer.problem
            if isinstance(answer.model, Policy):
                limits = answer.model.limits
        if p.needs or p.wake_at_ms:
            return False
        problem = problem or _too_large(workflow, spec.input)
        findings = check_workflow(workflow)
        if findings:
            problem = problem or "; ".join(f"{f.path}: {f.message}" for f in findings)
        broken = violations(workflow.input_schema, spec.input) if workflow.input_schema else []
        if broken:
            problem = problem or "input: " + "; ".join(f"{v.path}: {v.message}" for v in broken)
    if workflow is None or problem:
        p.emit(EventType.EXECUTION_FAILED, reason=problem)
        return False
    p.emit(
        EventType.EXECUTION_STARTED,
        workflow={"name": name, "version": workflow.version, "digest": digest},
        definition=workflow.wire(),
        input=spec.input,
        requestedBy=spec.requested_by,
        serviceAccountName=spec.service_account_name,
        correlationId=spec.correlation_id or None,
        parent=spec.parent.wire() if spec.parent else None,
        limits=limits.model_dump(mode="json", by_alias=True),
    )
    return True


def _too_large(workflow: Workflow, run_input: JsonObject) -> str:
    for name, value in (("the workflow's definition", workflow.wire()), ("the input", run_input)):
        try:
            size = len(canonical(value))
        except NotCanonical as error:
            return f"{name} cannot be recorded: {error}"
        if size > START_LIMIT_BYTES:
            return f"{name} has {size} bytes, the limit is {START_LIMIT_BYTES}"
    return ""


def _workflow(p: Pass) -> tuple[Workflow | None, str, str, str]:
    spec = p.state.spec
    if spec.workflow is not None:
        return spec.workflow, governed.digest_of(spec.workflow), "", ""
    name = spec.workflow_ref.name if spec.workflow_ref else ""
    answer = _definition(p, DefinitionKind.WORKFLOW, name)
    if answer is None:
        return None, "", name, ""
    if not isinstance(answer.model, Workflow):
        return None, answer.digest, name, answer.problem
    return answer.model, answer.digest, name, _other_than_asked(p, answer.model, answer.digest)


def _other_than_asked(p: Pass, workflow: Workflow, digest: str) -> str:
    """What is wrong when the Workflow is not the one that was asked for, or approved for the parent."""
    spec = p.state.spec
    name = spec.workflow_ref.name if spec.workflow_ref else ""
    wanted = spec.workflow_ref.version if spec.workflow_ref else None
    if wanted is not None and workflow.version != wanted:
        return f"Workflow {name!r} has version {workflow.version}, not {wanted}"
    if spec.parent is not None and spec.parent.workflow_digest not in (None, digest):
        return f"Changed: Workflow {name!r} is not the one that was approved any more"
    return ""


def _referenced(workflow: Workflow) -> list[tuple[DefinitionKind, str]]:
    wanted = [(DefinitionKind.TOOL_CATALOG, name) for name in workflow.catalogs]
    if workflow.policy_ref is not None:
        wanted.append((DefinitionKind.POLICY, workflow.policy_ref.name))
    for task in _all_tasks(workflow.tasks):
        agent = task.input_parameters.get("agent") if task.type is TaskType.AGENT else None
        if isinstance(agent, str) and "${" not in agent:
            wanted.append((DefinitionKind.AGENT, agent))
    return wanted


def _all_tasks(array: list[Task]) -> list[Task]:
    found: list[Task] = []
    for task in array:
        found.append(task)
        for inner in (*task.decision_cases.values(), task.default_case, *task.fork_tasks):
            found.extend(_all_tasks(inner))
    return found


def _definition(p: Pass, kind: DefinitionKind, name: str) -> Definition | None:
    """A definition, or None while it is being looked up or may yet appear."""
    answer = p.ask(NeedDefinition(kind, name))
    if not isinstance(answer, Definition):
        return None
    appears_by = p.state.identity.created_at_ms + DEFINITION_GRACE_MS
    if answer.missing and p.now_ms < appears_by:
        p.wake_at(appears_by)
        return None
    return answer


def advance(p: Pass) -> None:
    """Whatever follows from the state, until nothing does."""
    while not p.state.is_final:
        before = len(p.events)
        for step in (_timers, _follow, _start_ready, _finish):
            if not p.state.is_final:
                step(p)
        if len(p.events) == before:
            _break_deadlock(p)
            return


def _break_deadlock(p: Pass) -> None:
    """Nothing follows and nothing is waited for but JOINs: what they wait for can never start."""
    state = p.state
    active = state.active_tasks()
    if p.needs or state.is_final or state.is_paused or any(t.type is not TaskType.JOIN for t in active):
        return
    if active:
        refs = ", ".join(task.ref for task in active)
        fail_execution(p, f"Deadlock: {refs} waits for tasks that cannot start before it")


def _timers(p: Pass) -> None:
    state = p.state
    workflow = state.workflow
    if workflow is not None and workflow.timeout_seconds:
        due = state.started_at_ms + workflow.timeout_seconds * 1000
        if p.now_ms >= due:
            cancel_active(p, "the execution timed out")
            p.emit(
                EventType.EXECUTION_TIMED_OUT,
                reason=f"timeoutSeconds of the workflow ({workflow.timeout_seconds} s) passed",
            )
            return
    if state.ledger_bytes > LEDGER_LIMIT_BYTES:
        fail_execution(
            p,
            f"LedgerFull: the record has {state.ledger_bytes} bytes, the limit is {LEDGER_LIMIT_BYTES}; "
            "return references to large data instead of the data",
        )
        return
    for task in state.active_tasks():
        if state.is_final:
            return
        if task.gate is not None and task.gate.is_open and p.now_ms >= task.gate.expires_at_ms:
            p.emit(EventType.APPROVAL_EXPIRED, ref=task.ref, itemDigest=task.gate.digest)
            expired = rfc3339(task.gate.expires_at_ms)
            governed.refuse(p, task, f"ApprovalExpired: nobody approved by {expired}")
            continue
        deadline = tasks.deadline_ms(state, task)
        if deadline is not None and p.now_ms >= deadline:
            time_out(p, task)


def _follow(p: Pass) -> None:
    for task in p.state.active_tasks():
        if p.state.is_final:
            return
        if task.ref in p.state.active and task.gate is None:
            if task.turn is not None and task.turn.received and not task.turn.judged:
                governed.judge_proposal(p, task)
            else:
                tasks.of(task.type).follow(p, task)


def _start_ready(p: Pass) -> None:
    state = p.state
    if state.is_paused:
        return
    for scope_id in list(state.open_scopes):
        if state.is_final:
            return
        scope = state.scopes[scope_id]
        for definition, blame in list(unreachable(state, scope)):
            p.emit(
                EventType.TASK_SKIPPED,
                ref=definition.task_reference_name,
                scope=scope.id,
                reason=f"it depends on {blame}, which ended as {state.tasks[blame].status.value}",
            )
        for definition in list(ready(state, scope)):
            if state.is_final:
                return
            start(p, scope, definition)
    for task in state.active_tasks():
        if state.is_final:
            return
        if task.gate is not None and not task.gate.is_open:
            start(p, state.scope_of(task), task.definition)


def start(p: Pass, scope: Scope, definition: Task) -> None:
    """Start one task: resolve its input, have it judged, record it, and let its type go on."""
    ref = definition.task_reference_name
    existing = p.state.tasks.get(ref)
    try:
        if existing is not None and existing.gate is not None:
            task_input = existing.input
        else:
            task_input = resolved(definition.input_parameters, p.state, scope)
    except (ExpressionError, NotCanonical) as error:
        fail_task(p, ref, scope, f"InvalidInput: {error}", terminal=True)
        return
    size = len(canonical(task_input))
    if size > PAYLOAD_LIMIT_BYTES:
        reason = f"InvalidInput: the input has {size} bytes, the limit is {PAYLOAD_LIMIT_BYTES}"
        fail_task(p, ref, scope, reason, terminal=True)
        return
    admission = governed.admit(p, scope, definition, task_input)
    if admission is None:
        return
    if definition.type in tasks.WITH_JOB and not governed.has_capacity(p):
        return
    kind = tasks.of(definition.type)
    data: JsonObject = {
        "ref": ref,
        "scope": scope.id,
        "taskType": definition.type.value,
        "input": task_input,
        "origin": _origin(p, scope, ref),
        **admission,
    }
    delay = definition.start_delay
    if delay:
        data["notBefore"] = rfc3339(p.now_ms + delay * 1000)
    try:
        data |= kind.schedule_data(task_input, p.now_ms)
    except ValueError as error:
        fail_task(p, ref, scope, f"InvalidInput: {error}", terminal=True)
        return
    p.emit(EventType.TASK_SCHEDULED, **data)
    kind.follow(p, p.state.tasks[ref])


def _origin(p: Pass, scope: Scope, ref: str) -> JsonObject:
    if scope.proposal_id:
        return {"proposal": scope.proposal_id, "item": scope.items[ref]}
    return {"definition": p.state.workflow_name or "inline"}


def _finish(p: Pass) -> None:
    state = p.state
    if state.is_final or not state.scopes[ROOT].closed or state.active or state.open_scopes:
        return
    if state.permissive_failure:
        task = state.tasks[state.permissive_failure]
        fail_execution(p, f"task {task.ref} failed: {task.reason}", task=task.ref)
        return
    complete(p)


def complete(p: Pass) -> None:
    """End the execution with its output: outputParameters, else the last task's output."""
    state = p.state
    workflow = state.workflow
    if workflow is not None and workflow.output_parameters is not None:
        try:
            output = resolved(workflow.output_parameters, state, state.scopes[ROOT])
        except (ExpressionError, NotCanonical) as error:
            fail_execution(p, f"outputParameters: {error}")
            return
    else:
        last: TaskState | None = state.tasks.get(state.last_ended)
        output = last.output if last is not None else {}
    size = len(canonical(output))
    if size > PAYLOAD_LIMIT_BYTES:
        fail_execution(p, f"the output has {size} bytes, the limit is {PAYLOAD_LIMIT_BYTES}")
        return
    p.emit(EventType.EXECUTION_COMPLETED, output=output)
