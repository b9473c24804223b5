"""Retry, rerun, restart and skip: whether they may be done, and which tasks they concern.

Every operation is one event that names all that it takes away and sets going, so that a replay needs no
judgement. Source of the meaning: Conductor's operations; what does not apply is refused with the reason.
"""

from __future__ import annotations

from openworld.api import JsonObject, Phase, SignalType, TaskStatus, TaskType
from openworld.api.meta import Json
from openworld.language.canonical import NotCanonical
from openworld.language.expressions import ExpressionError
from openworld.language.reading import told
from openworld.language.schemas import violations
from openworld.ledger import EventType, rfc3339

from . import tasks
from .decide import Pass, resolved
from .endings import unrecordable
from .facts import Signaled
from .generations import below
from .needs import Child, NeedChild
from .state import Scope, State, TaskState

#: Types that go on where they were, instead of being run again.
_RESUMED = (TaskType.JOIN, TaskType.EXCLUSIVE_JOIN, TaskType.DO_WHILE)

_UNDONE = "tasks of it have been undone; rerun it from the beginning, or restart it"


def asks(p: Pass, fact: Signaled) -> None:
    """Ask what a signal needs to know: of a retry that resumes children, how these stand."""
    if fact.type is SignalType.RETRY and fact.payload.get("resumeSubworkflowTasks") is True:
        for task in p.state.tasks.values():
            if task.type is TaskType.SUB_WORKFLOW and _has_failed(task) and task.seq >= 0:
                p.ask(NeedChild(p.state.uid, task.seq))


def retry(p: Pass, fact: Signaled, source: JsonObject) -> str:
    """Run again what failed or was canceled; what was completed stays.

    A child that its parent has retried, and that cannot be, is restarted: its parent waits for it.
    """
    problem = _retry(p, fact, source)
    can_restart = p.state.is_final and p.state.phase is not Phase.COMPLETED
    if problem and can_restart and fact.payload.get("orRestart") is True:
        return restart(p, fact, source)
    return problem


def _retry(p: Pass, fact: Signaled, source: JsonObject) -> str:
    state = p.state
    if not state.is_final or state.phase is Phase.COMPLETED:
        return f"only an execution that did not complete can be retried; it is {state.phase.value}"
    if state.workflow is None:
        return "the execution has never started; create it anew"
    if _is_undone(state):
        return _UNDONE
    if not any(_has_failed(task) for task in state.tasks.values()):
        return "there is no task that failed or was canceled; rerun it from a task"
    resumes = fact.payload.get("resumeSubworkflowTasks") is True
    going = fact.payload.get("going")
    _go_on(p, EventType.EXECUTION_RETRIED, {}, resumes_children=resumes, going=going, **source)
    return ""


def rerun(p: Pass, fact: Signaled, source: JsonObject) -> str:
    """Run a task again, with all that came after it; without a ref, everything."""
    state = p.state
    if not state.is_final:
        return f"only an execution that has ended can be rerun; it is {state.phase.value}"
    if state.workflow is None:
        return "the execution has never started; create it anew"
    run_input, task_input = fact.payload.get("workflowInput"), fact.payload.get("input")
    problem = _unusable(run_input, "workflowInput") or _unusable(task_input, "input")
    if problem:
        return problem
    if run_input is not None:
        run_input = state.workflow.input_template | run_input
        schema = state.workflow.input_schema
        broken = violations(schema, run_input) if schema is not None else []
        if broken:
            return f"workflowInput: {told(broken)}"
    data: JsonObject = {"generation": state.generation + 1, "input": run_input}
    if fact.ref is None:
        p.emit(EventType.EXECUTION_RERUN, **data, **source)
        return ""
    if _is_undone(state):
        return _UNDONE
    task = state.tasks.get(fact.ref)
    if task is None:
        return f"there is no task {fact.ref!r}"
    taken = _from(state, task)
    if isinstance(taken, str):
        return taken
    if task_input is not None:
        data["taskInput"] = task_input
    _go_on(p, EventType.EXECUTION_RERUN, taken, ref=task.ref, **data, **source)
    return ""


def restart(p: Pass, fact: Signaled, source: JsonObject) -> str:
    """Begin anew, with the definition that it had or the one that stands there now."""
    state = p.state
    if not state.is_final:
        return f"only an execution that has ended can be restarted; it is {state.phase.value}"
    latest = fact.payload.get("useLatestDefinitions") is True or state.workflow is None
    p.emit(EventType.EXECUTION_RESTARTED, generation=state.generation + 1, latest=latest or None, **source)
    return ""


def skip(p: Pass, fact: Signaled, source: JsonObject) -> str:
    """Pass over a task that has not been scheduled yet; what is given becomes its output."""
    state = p.state
    ref = fact.ref or ""
    if ref in state.tasks:
        status = state.tasks[ref].status.value
        return f"task {ref} cannot be skipped any more; it is {status}"
    scope = next(
        (
            state.scopes[scope_id]
            for scope_id in state.open_scopes
            if any(task.task_reference_name == ref for task in state.scopes[scope_id].tasks)
        ),
        None,
    )
    if scope is None:
        return f"there is no task {ref!r} that is still to come where the execution stands now"
    if scope.proposed:
        return f"task {ref} was proposed by an agent; reject it or let it run"
    output = fact.payload.get("output")
    problem = _unusable(output, "output")
    if problem:
        return problem
    p.emit(EventType.TASK_SKIPPED, ref=ref, scope=scope.id, output=output, **source)
    return ""


def _is_undone(state: State) -> bool:
    return any(each.undo for each in state.compensable)


def _unusable(value: object, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, dict):
        return f"{name} must be an object"
    problem = unrecordable(value)
    return f"{name} {problem}" if problem else ""


def _has_failed(task: TaskState) -> bool:
    return task.status.is_final and not task.has_passed and task.status is not TaskStatus.SKIPPED


def _from(state: State, task: TaskState) -> JsonObject | str:
    """What goes when a task is run again: itself, all that came after it, and later iterations around it."""
    dropped = [task.ref]
    iterations: dict[str, int] = {}
    inner: TaskState | None = task
    while inner is not None:
        scope = state.scope_of(inner)
        if scope.proposed:
            return f"task {task.ref} was proposed; rerun {scope.owner}, which proposed it"
        dropped += _after(state, scope, inner.ref)
        owner = state.tasks[scope.owner] if scope.owner is not None else None
        if owner is not None and owner.type is TaskType.DO_WHILE:
            iterations[owner.ref] = scope.iteration
            for other in state.scopes.values():
                if other.owner == owner.ref and other.iteration > scope.iteration:
                    dropped += [t.task_reference_name for t in other.tasks]
        inner = owner
    refs = [ref for ref in dropped if ref in state.tasks]
    inside, scopes = below(state, refs)
    scopes += [
        scope.id
        for scope in state.scopes.values()
        if scope.owner in iterations and scope.iteration > iterations[scope.owner]
    ]
    return {
        "dropped": list(dict.fromkeys([*refs, *inside])),
        "scopes": list(dict.fromkeys(scopes)),
        "iterations": iterations,
    }


def _after(state: State, scope: Scope, ref: str) -> list[str]:
    """The tasks of an array that come after one of it: in order, or by what they depend on."""
    refs = [task.task_reference_name for task in scope.tasks]
    if not scope.is_graph:
        return [later for later in refs[refs.index(ref) + 1 :] if later in state.tasks]
    reached = {ref}
    changed = True
    while changed:
        more = {
            task.task_reference_name for task in scope.tasks if not reached.isdisjoint(task.depends_on or ())
        }
        changed = not more <= reached
        reached |= more
    return [later for later in refs if later in reached and later != ref and later in state.tasks]


def _go_on(
    p: Pass,
    kind: EventType,
    taken: JsonObject,
    *,
    resumes_children: bool = False,
    going: Json = None,
    **data: object,
) -> None:
    """One event that takes away and resumes, and a new attempt of each task that failed or was canceled.

    `going` is the seq of a child that goes on already: its next end counts. That of any other child counts
    once it was revived once more.
    """
    state = p.state
    gone = set(taken.get("dropped", ()))
    again: list[str] = []
    resumed: list[str] = [ref for ref in taken.get("iterations", {}) if ref not in gone]
    revived: dict[str, int] = {}
    for task in state.tasks.values():
        if task.ref in gone or task.ref in resumed or task.has_passed or not task.status.is_final:
            continue
        if task.status is TaskStatus.SKIPPED or task.seq < 0 or task.subject_digest:
            gone.add(task.ref)  # it starts anew, and what a person had approved is asked for again
        elif task.type in _RESUMED or _goes_on_with_a_turn(task):
            resumed.append(task.ref)
        elif resumes_children and (child := _child(p, task)) is not None:
            resumed.append(task.ref)
            revived[task.ref] = child.revivals + (task.seq != going)
        else:
            again.append(task.ref)
    p.emit(
        kind,
        dropped=sorted(gone) or None,
        scopes=taken.get("scopes") or None,
        iterations=taken.get("iterations") or None,
        resumed=resumed or None,
        children=revived or None,
        **data,
    )
    for ref in again:
        _again(p, state.tasks[ref])


def _child(p: Pass, task: TaskState) -> Child | None:
    """The child of a SUB_WORKFLOW, which can go on; None when there is none."""
    if task.type is not TaskType.SUB_WORKFLOW:
        return None
    answer = p.ask(NeedChild(p.state.uid, task.seq))
    child = answer if isinstance(answer, Child) else Child(task.child_revivals)
    return None if child.is_gone else child


def _goes_on_with_a_turn(task: TaskState) -> bool:
    """Whether an agent's last turn was answered: then it goes on with the next."""
    return task.type is TaskType.AGENT and (task.turn is None or task.turn.received)


def _again(p: Pass, task: TaskState) -> None:
    """A new attempt, with its input resolved anew where that is what its author wrote."""
    scope = p.state.scope_of(task)
    task_input, more = task.input, {}
    try:
        if not scope.proposed and task.type not in tasks.WITH_JOB:
            task_input = resolved(task.definition.input_parameters, p.state, scope)
            more = tasks.of(task.type).schedule_data(p, scope, task.definition, task_input)
    except (ExpressionError, NotCanonical, ValueError):
        task_input, more = task.input, {}
    p.emit(
        EventType.RETRY_SCHEDULED,
        ref=task.ref,
        attempt=task.attempt + 1,
        turn=task.turn.number if task.turn and task.type is TaskType.AGENT else None,
        notBefore=rfc3339(p.now_ms),
        cause="retried by a person",
        input=task_input if task_input != task.input else None,
        **more,
    )
