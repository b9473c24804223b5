"""The order of things: how an execution begins, what starts next, and when it is over."""

from __future__ import annotations

from openworld.api import JsonObject, Task, TaskType, Tool, Workflow
from openworld.api.policy import Limits
from openworld.api.workflow import ConcurrencyPolicy, TimeoutPolicy
from openworld.governance.checks.limits import recorded, tightest
from openworld.language import secrets as secret_keys
from openworld.language.canonical import NotCanonical, canonical
from openworld.language.checks import check_workflow
from openworld.language.expressions import ExpressionError, resolve
from openworld.language.reading import told
from openworld.language.schemas import violations
from openworld.ledger import EventType, rfc3339

from . import budget, compensation, conditions, governed, overdraft, tasks
from .decide import Pass, resolved
from .endings import (
    INPUT_LIMIT_BYTES,
    fail_execution,
    fail_task,
    final_output,
    time_out,
    unrecordable,
)
from .needs import (
    Claim,
    Definition,
    DefinitionKind,
    Environment,
    NeedAccess,
    NeedClaim,
    NeedDefinition,
    NeedEnvironment,
)
from .scopes import origin_of, ready, unreachable
from .state import ROOT, Scope, State

#: How long a new execution waits for definitions that do not exist yet (applied in one go with it).
DEFINITION_GRACE_MS = 10_000
#: A definition, and the input of an execution, may have this size.
START_LIMIT_BYTES = 128 * 1024


def has_begun(p: Pass) -> bool:
    """Whether the execution has its first event; begins it when its definitions are at hand."""
    state = p.state
    if state.workflow is not None or (state.is_started and state.is_final):
        return True
    spec = state.spec
    workflow, digest, name, problem = _workflow(p)
    if p.needs or p.wake_at_ms:
        return False
    limits = Limits()
    run_input = spec.input
    if workflow is not None:
        run_input = workflow.input_template | spec.input
        for kind, wanted in _referenced(workflow):
            answer = _definition(p, kind, wanted)
            if answer is None:
                continue
            problem = problem or answer.problem
        binding = governed.policies(p, workflow=workflow)
        if p.needs or p.wake_at_ms or binding is None:
            return False
        limits = tightest(binding)
        problem = problem or _too_large(workflow, run_input)
        findings = check_workflow(workflow)
        if findings:
            problem = problem or told(findings)
        problem = problem or _broken(workflow.input_schema, run_input, "input")
    if workflow is None or problem:
        p.emit(EventType.EXECUTION_FAILED, reason=problem)
        return False
    env = _environment(p, workflow)
    if env is None:
        return False
    claim = _claimed(p, workflow, name, run_input)
    if claim is None:
        return False
    p.emit(
        EventType.EXECUTION_STARTED,
        claim=claim or None,
        workflow={"name": name, "version": workflow.version, "digest": digest, **_committed(p)},
        definition=workflow.wire(),
        input=run_input,
        requestedBy=spec.requested_by,
        generation=state.generation or None,
        serviceAccountName=spec.service_account_name,
        correlationId=spec.correlation_id or None,
        parent=spec.parent.wire() if spec.parent else None,
        limits=recorded(limits),
        env=env or None,
    )
    return True


def _committed(p: Pass) -> JsonObject:
    """Who has committed the Workflow that is run, where its annotation says so."""
    reference = p.state.spec.workflow_ref
    if reference is None:
        return {}
    answer = p.ask(NeedDefinition(DefinitionKind.WORKFLOW, reference.name, reference.version))
    return {"committer": answer.committer} if isinstance(answer, Definition) and answer.committer else {}


def _environment(p: Pass, workflow: Workflow) -> JsonObject | None:
    """What `${workflow.env…}` is, for a definition that speaks of it; None while it is looked up."""
    if b"workflow.env" not in canonical(workflow.wire()):
        return {}
    answer = p.ask(NeedEnvironment())
    return dict(answer.values) if isinstance(answer, Environment) else None


def _claimed(p: Pass, workflow: Workflow, name: str, run_input: JsonObject) -> str | None:
    """The limit under which this run has a place, empty when there is none; None while it has to wait."""
    concurrency = workflow.concurrency
    if concurrency is None:
        return ""
    try:
        own = resolve(concurrency.key, {"workflow": {"input": run_input}})
    except ExpressionError as error:
        p.emit(EventType.EXECUTION_FAILED, reason=f"concurrency.key: {error}")
        return None
    text = own if isinstance(own, str) else canonical(own).decode()
    key = f"workflow/{name}/{text}"[:1024]
    answer = p.ask(NeedClaim(key, p.state.name, p.state.uid, most=concurrency.limit))
    if not isinstance(answer, Claim):
        return None
    if answer.granted:
        return key
    if concurrency.policy is ConcurrencyPolicy.REJECT:
        reason = f"Rejected: {concurrency.limit} runs of {name!r} with the key {text!r} are going on already"
        p.emit(EventType.EXECUTION_FAILED, reason=reason)
        return None
    p.wake_at(answer.again_ms)
    return None


def _has_place(p: Pass, ref: str, admission: JsonObject) -> list[str] | None:
    """The limits of the tool under which a task has a place; None while it has to wait for one."""
    tool = admission.get("tool")
    model = p.state.tools.get(tool["digest"]) if tool is not None else None
    if tool is not None and model is None:
        model = Tool.model_validate(tool["definition"])
    if model is None or not (model.concurrency_limit or model.rate_limit):
        return []
    rate = model.rate_limit
    key = f"tool/{model.name}"
    need = NeedClaim(
        key,
        p.state.name,
        p.state.uid,
        ref,
        model.concurrency_limit,
        rate.count if rate is not None else 0,
        rate.per_seconds if rate is not None else 0,
    )
    answer = p.ask(need)
    if not isinstance(answer, Claim):
        return None
    if not answer.granted:
        p.wake_at(answer.again_ms)
        return None
    return [key]


def _broken(schema: JsonObject | None, value: JsonObject, name: str) -> str:
    """How a value breaks its schema; empty when it does not."""
    broken = violations(schema, value) if schema is not None else []
    return f"{name}: {told(broken)}" if broken else ""


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
        return spec.workflow, governed.digest_of(spec.workflow), spec.workflow.name, ""
    name = spec.workflow_ref.name if spec.workflow_ref else ""
    version = spec.workflow_ref.version if spec.workflow_ref else None
    answer = _definition(p, DefinitionKind.WORKFLOW, name, version)
    if answer is None:
        return None, "", name, ""
    if not isinstance(answer.model, Workflow):
        return None, answer.digest, name, answer.problem
    problem = answer.problem
    if spec.parent is not None and spec.parent.workflow_digest not in (None, answer.digest):
        problem = f"Changed: Workflow {name!r} is not the one that was approved any more"
    return answer.model, answer.digest, name, problem


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
        for inner in task.inner_arrays():
            found.extend(_all_tasks(inner))
    return found


def _definition(p: Pass, kind: DefinitionKind, name: str, version: int | None = None) -> Definition | None:
    """A definition, or None while it is being looked up or may yet appear."""
    answer = p.ask(NeedDefinition(kind, name, version))
    if not isinstance(answer, Definition):
        return None
    appears_by = p.state.identity.created_at_ms + DEFINITION_GRACE_MS
    if answer.missing and p.now_ms < appears_by:
        p.wake_at(appears_by)
        return None
    return answer


def advance(p: Pass) -> None:
    """Whatever follows from the state, until nothing does."""
    if not has_begun(p):  # a restart looks its definition up anew
        return
    while not p.state.is_final and not p.is_full:
        before = len(p.events)
        for step in (compensation.register, _timers, _follow, _start_ready, budget.reserve, _finish):
            if not p.state.is_final:
                step(p)
        if len(p.events) == before:
            _break_deadlock(p)
            return


def _break_deadlock(p: Pass) -> None:
    """Nothing follows and nothing is waited for but JOINs: what they wait for can never start."""
    state = p.state
    active = state.active_tasks()
    waits_within = {TaskType.JOIN, TaskType.EXCLUSIVE_JOIN, TaskType.DO_WHILE}
    if p.needs or state.is_final or state.is_paused or p.wake_at_ms is not None:
        return
    if any(task.type not in waits_within for task in active):
        return
    if active:
        refs = ", ".join(task.ref for task in active)
        fail_execution(p, f"Deadlock: {refs} waits for tasks that cannot start before it")


def workflow_timeout_ms(state: State) -> int | None:
    """When the workflow's timeout is reached, if it has one that has not been told yet."""
    workflow = state.workflow
    if workflow is None or not workflow.timeout_seconds or "timeoutSeconds" in state.alerted:
        return None
    if state.ending is not None:  # it has ended badly already, and is being undone
        return None
    return state.clock_from_ms + workflow.timeout_seconds * 1000


def _timers(p: Pass) -> None:
    state = p.state
    workflow = state.workflow
    due = workflow_timeout_ms(state)
    if workflow is not None and due is not None and p.now_ms >= due:
        reason = f"timeoutSeconds of the workflow ({workflow.timeout_seconds} s) passed"
        if workflow.timeout_policy is not TimeoutPolicy.ALERT_ONLY:
            fail_execution(p, reason, kind=EventType.EXECUTION_TIMED_OUT)
            return
        p.emit(EventType.BUDGET_EXCEEDED, limit="timeoutSeconds", reason=reason, alertOnly=True)
    for task in state.active_tasks():
        if task.ref not in state.active:
            continue
        if task.gate is not None and task.gate.is_open and p.now_ms >= task.gate.expires_at_ms:
            governed.out_of_time(p, task, task.gate)
            continue
        limit = tasks.limit(state, task)
        if limit is not None and p.now_ms >= limit.at_ms:
            time_out(p, task, limit)


def _follow(p: Pass) -> None:
    for task in p.state.active_tasks():
        if p.state.is_final or p.is_full:
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
        if scope_id not in state.open_scopes or state.is_final:
            continue
        scope = state.scopes[scope_id]
        for definition, blame in list(unreachable(state, scope)):
            p.emit(
                EventType.TASK_SKIPPED,
                ref=definition.task_reference_name,
                scope=scope.id,
                reason=f"it depends on {blame}, which ended as {state.tasks[blame].status.value}",
            )
        for definition in list(ready(state, scope)):
            if state.is_final or p.is_full:
                return
            if scope_id in state.open_scopes:
                start(p, scope, definition)
    for task in state.active_tasks():
        if state.is_final or p.is_full:
            return
        if task.ref not in state.active or task.gate is None or task.gate.is_open:
            continue
        if task.gate.budget is not None:
            overdraft.extend(p, task, task.gate.budget)
        else:
            start(p, state.scope_of(task), task.definition)


def start(p: Pass, scope: Scope, definition: Task) -> None:
    """Start one task: resolve its input, have it judged, record it, and let its type go on."""
    ref = definition.task_reference_name
    try:
        task_input, secrets = final_input(p.state, scope, definition)
    except (ExpressionError, NotCanonical) as error:
        fail_task(p, ref, scope, f"InvalidInput: {error}", terminal=True)
        return
    problem = unrecordable(task_input, INPUT_LIMIT_BYTES)
    if problem:
        fail_task(p, ref, scope, f"InvalidInput: the input {problem}", terminal=True)
        return
    if secrets and not _may_use_secrets(p, scope, ref, secrets):
        return
    named_by_data = definition.type is TaskType.DYNAMIC
    if named_by_data:
        becomes = named(definition, task_input)
        if isinstance(becomes, str):
            fail_task(p, ref, scope, f"InvalidInput: {becomes}", terminal=True)
            return
        definition = becomes
    if ref not in p.state.tasks and definition.when:
        if definition.type in tasks.WITH_JOB and not governed.has_capacity(p):
            return
        if not conditions.is_met(p, scope, definition, task_input):
            return
    admission = governed.admit(p, scope, definition, task_input, named_by_data=named_by_data, secrets=secrets)
    if admission is None:
        return
    if definition.type in tasks.WITH_JOB and not governed.has_capacity(p):
        return
    claims = _has_place(p, ref, admission)
    if claims is None:
        return
    kind = tasks.of(definition.type)
    data: JsonObject = {
        "claims": claims or None,
        "secrets": secrets or None,
        "ref": ref,
        "scope": scope.id,
        "taskType": definition.type.value,
        "name": definition.name if named_by_data else None,
        "input": task_input,
        "origin": origin_of(p.state, scope, ref),
        **admission,
    }
    delay = definition.start_delay
    if delay:
        data["notBefore"] = rfc3339(p.now_ms + delay * 1000)
    try:
        data |= kind.schedule_data(p, scope, definition, task_input)
    except ValueError as error:
        reason = f"InvalidInput: {error}"
        if kind.enters_when_refused or definition.optional or definition.permissive or scope.feedback:
            fail_task(p, ref, scope, reason)
        else:
            fail_execution(p, f"task {ref} failed: {reason}", task=ref)
        return
    p.emit(EventType.TASK_SCHEDULED, **data)
    kind.follow(p, p.state.tasks[ref])


def final_input(state: State, scope: Scope, definition: Task) -> tuple[JsonObject, list[JsonObject]]:
    """The input that a task starts with, and the places of secrets in it.

    Raises ExpressionError or NotCanonical where it has none.
    """
    ref = definition.task_reference_name
    existing = state.tasks.get(ref)
    authored = _authored_input(definition)
    secrets = secret_keys.named_in(authored) if not scope.proposed else []
    if existing is not None and existing.gate is not None:
        task_input = existing.input
    elif ref in state.given_inputs:
        task_input = state.given_inputs[ref]
    else:
        task_input = resolved(authored, state, scope, secret_keys.view(secrets))
    return task_input, secret_keys.places(authored, task_input, secrets)


def _authored_input(definition: Task) -> JsonObject:
    """The input as its author wrote it; where an EVENT goes is part of it, so that it is judged and shown."""
    return definition.input_parameters | ({"sink": definition.sink} if definition.sink else {})


def named(definition: Task, task_input: JsonObject) -> Task | str:
    """What a DYNAMIC task runs as, or why it cannot: a tool, or a type that its input says all of."""
    parameter = definition.dynamic_task_name_param
    name = task_input.get(parameter)
    if not isinstance(name, str) or not name:
        return f"inputParameters.{parameter} must name what is run, and is {name!r}"[:500]
    if name not in TaskType.__members__:
        return definition.model_copy(update={"type": TaskType.SIMPLE, "name": name})
    if TaskType(name) not in tasks.NAMEABLE:
        allowed = ", ".join(sorted(tasks.NAMEABLE))
        return f"a DYNAMIC task cannot become a {name} task; it can become a tool, {allowed}"
    return definition.model_copy(update={"type": TaskType(name)})


def _may_use_secrets(p: Pass, scope: Scope, ref: str, secrets: list[JsonObject]) -> bool:
    """Whether the execution's account may use the secrets; fails the task where it may not."""
    account = p.state.spec.service_account_name
    for name in sorted({secret["name"] for secret in secrets}):
        answer = p.ask(NeedAccess(account, name, is_secret=True))
        if answer is False:
            reason = (
                f"Denied (access, use): service account {account!r} may not use secret {name!r}; "
                f"grant it verb 'use' on secrets/{name}"
            )
            fail_task(p, ref, scope, reason, terminal=True)
            return False
        if answer is None:
            return False
    return True


def _finish(p: Pass) -> None:
    state = p.state
    if state.ending is not None:
        compensation.go_on(p)
        return
    if state.is_final or not state.scopes[ROOT].closed or state.active or state.open_scopes:
        return
    if state.permissive_failure:
        task = state.tasks[state.permissive_failure]
        fail_execution(p, f"task {task.ref} failed: {task.reason}", task=task.ref)
        return
    complete(p)


def complete(p: Pass) -> None:
    """End the execution with its output: outputParameters, else the last task's output."""
    workflow = p.state.workflow
    output, problem = final_output(p)
    if not problem and workflow is not None and output is not None:
        problem = _broken(workflow.output_schema, output, "output")
    if problem:
        fail_execution(p, problem)
        return
    p.emit(EventType.EXECUTION_COMPLETED, output=output or {})
