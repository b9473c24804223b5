"""Check 1: the shape of a proposal, and what each item would run as. Anything may arrive here.

What an item may set is a closed list; a model cannot name an image, an account or a secret, for
there is no field that would carry it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from openworld.api import JsonObject, Task, TaskType
from openworld.api.meta import Json
from openworld.api.policy import PROPOSABLE
from openworld.api.workflow import SubWorkflowParam
from openworld.governance.item import Item
from openworld.governance.question import Question
from openworld.governance.verdict import Check, Denial
from openworld.language.canonical import canonical, path_text
from openworld.language.expressions import ExpressionError, literal, references
from openworld.language.reading import kind_of, suggestion
from openworld.language.requests import request_problems
from openworld.language.runtime import proposal_problem, runtime_definition
from openworld.language.task_checks import can_be_undone

from . import origin

MOST_ITEMS = 1000
DEEPEST = 32
INTENTS = ("FORK_JOIN_DYNAMIC", "SEQUENCE")
#: What a proposal's author may say; a worker adds `origin.RAW` to it, and `origin.CALL_ID` to an item.
PROPOSAL_KEYS = ("intent", "rationale", "tasks", "output", "atomic")
ITEM_KEYS = (
    "ref",
    "type",
    "name",
    "input",
    "dependsOn",
    "optional",
    "retry",
    "subWorkflowParam",
    "compensation",
    "retryOf",
)
#: Conductor's long form, as dynamic forks carry it.
LONG_KEYS = {"taskReferenceName": "ref", "inputParameters": "input"}
_REF_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_LONGEST_REF = 63


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal that can be judged item by item. `denials` are items that make no sense, by index."""

    items: tuple[Item | None, ...] = ()
    refs: tuple[str, ...] = ()
    denials: dict[int, Denial] = field(default_factory=dict)
    answer: JsonObject | None = None
    rationale: str = ""
    atomic: bool = False


def read(question: Question, raw: Json) -> Proposal | str:
    """The proposal, or what is wrong with it as a whole."""
    problem = _unreadable(question, raw)
    if problem:
        return problem
    unknown = sorted(set(raw) - {*PROPOSAL_KEYS, origin.RAW})
    if unknown:
        hint = suggestion(unknown[0], PROPOSAL_KEYS)
        return f"a proposal has no field {unknown[0]!r}{hint}; it has {', '.join(PROPOSAL_KEYS)}"
    intent, tasks, output = raw.get("intent"), raw.get("tasks", []), raw.get("output")
    if intent is not None and intent not in INTENTS:
        return f"intent must be one of {', '.join(INTENTS)}, or left out"
    if not isinstance(tasks, list):
        return f"tasks must be a list, and is {kind_of(tasks)}"
    if "output" in raw and not isinstance(output, dict):
        return f"output must be an object, and is {kind_of(output)}"
    if not isinstance(raw.get("atomic", False), bool):
        return "atomic must be true or false"
    if not isinstance(raw.get("rationale", ""), str):
        return "rationale must be a string"
    misplaced = origin.raw_problem(raw[origin.RAW]) if origin.RAW in raw else ""
    if misplaced:
        return misplaced
    if not tasks and output is None:
        return "it proposes no task and gives no output"
    if len(tasks) > MOST_ITEMS:
        return f"it has {len(tasks)} items; no proposal may have more than {MOST_ITEMS}"
    return replace(
        _items(question, tasks, sequence=intent == "SEQUENCE"),
        answer=output,
        rationale=raw.get("rationale", ""),
        atomic=raw.get("atomic", False),
    )


def unreadable_input(value: Json) -> str:
    """Why a value cannot be recorded; empty when it can."""
    try:
        canonical(value)
    except ValueError as error:  # NotCanonical, and what Python itself says of monstrous numbers
        return f"it is not usable JSON: {error}"
    except RecursionError:
        return "it is nested too deeply"
    return ""


def _unreadable(question: Question, raw: Json) -> str:
    problem = unreadable_input(raw)
    if problem:
        return problem
    if not isinstance(raw, dict):
        return f"a proposal is an object, and this is {kind_of(raw)}"
    size = len(canonical(raw))
    if size > question.most_bytes:
        return f"it has {size} bytes, the limit is {question.most_bytes}"
    if _depth(raw) > DEEPEST:
        return f"it is nested more than {DEEPEST} levels deep"
    return ""


def _depth(value: Json) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return deepest


def _items(question: Question, tasks: list[Json], *, sequence: bool) -> Proposal:
    items: list[Item | None] = []
    refs: list[str] = []
    denials: dict[int, Denial] = {}
    for index, raw in enumerate(tasks):
        built = _item(question, index, raw, refs)
        if isinstance(built, Denial):
            denials[index] = built
            refs.append(_stated_ref(question, index, raw, refs))
            items.append(None)
        else:
            refs.append(built.short_ref)
            items.append(built)
    for item in [item for item in items if item is not None]:
        before = (refs[item.index - 1],) if sequence and item.index else ()
        wired = _wired(question, item, tasks[item.index], refs, before)
        if isinstance(wired, Denial):
            denials[item.index] = wired
        else:
            items[item.index] = wired
    for index in _in_cycles([item for item in items if item is not None and item.index not in denials]):
        denials[index] = Denial(Check.SHAPE, "cycle", "it depends on itself by way of other items")
    return Proposal(tuple(items), tuple(refs), denials)


def _item(question: Question, index: int, raw: Json, refs: list[str]) -> Item | Denial:
    if not isinstance(raw, dict):
        return _no("item", f"an item is an object, and this is {kind_of(raw)}")
    if origin.MALFORMED in raw:  # before all else: nothing beside it can make such an item run
        return _no("arguments", origin.malformed_reason(raw[origin.MALFORMED]))
    fields = dict(raw)
    for long, short in LONG_KEYS.items():
        if long in fields:
            if short in fields:
                return _no("item", f"both {long} and {short} are given")
            fields[short] = fields.pop(long)
    unknown = sorted(set(fields) - {*ITEM_KEYS, origin.CALL_ID})
    if unknown:
        return _no("item", f"an item may not set {unknown[0]!r}; it may set {', '.join(ITEM_KEYS)}")
    misplaced = origin.call_id_problem(fields[origin.CALL_ID]) if origin.CALL_ID in fields else ""
    if misplaced:
        return _no(origin.CALL_ID, misplaced)
    if "retryOf" in fields:
        retried = _as_before(question, fields)
        if isinstance(retried, Denial):
            return retried
        fields = retried
    kind, name = fields.get("type", "SIMPLE"), fields.get("name")
    if not isinstance(kind, str) or not isinstance(name if name is not None else "", str):
        return _no("type", "type and name must be strings")
    task_type = TaskType(kind) if kind in TaskType.__members__ else TaskType.SIMPLE
    if task_type is TaskType.SIMPLE and kind != "SIMPLE":
        if name not in (None, kind):
            return _no("type", f"type {kind!r} is a tool's name, and name says {name!r}")
        name = kind
    if task_type is TaskType.SIMPLE and not name:
        return _no("type", "it names no tool: set type to the tool's name")
    if task_type is not TaskType.SIMPLE and task_type not in PROPOSABLE:
        return _no("type", f"tasks of type {kind} cannot be proposed; tools and {', '.join(PROPOSABLE)} can")
    given = fields.get("input", {})
    if not isinstance(given, dict):
        return _no("input", f"input must be an object, and is {kind_of(given)}")
    optional = fields.get("optional", False)
    if not isinstance(optional, bool):
        return _no("optional", "optional must be true or false")
    retry = _retry_count(fields.get("retry"))
    if isinstance(retry, Denial):
        return retry
    if retry is not None and task_type is not TaskType.SIMPLE:
        return _no("retry", "only a tool's retry can be set, up to the catalog's")
    short_ref = fields.get("ref", _default_ref(name or kind.lower(), refs))
    problem = _ref_problem(question, short_ref, refs)
    if problem:
        return _no("ref", problem)
    if "subWorkflowParam" in fields and task_type is not TaskType.SUB_WORKFLOW:
        return _no("subWorkflowParam", "only a SUB_WORKFLOW item has a subWorkflowParam")
    if task_type is TaskType.COMPENSATE:
        problem = _undoing_problem(question, given)
        if problem:
            return _no("input", problem)
    undone_by = _compensation(fields.get("compensation"), task_type)
    if isinstance(undone_by, Denial):
        return undone_by
    more: dict[str, object] = {"optional": True} if optional else {}
    if "subWorkflowParam" in fields:
        more["subWorkflowParam"] = fields["subWorkflowParam"]
    if retry is not None:
        more["retryCount"] = retry
    if undone_by is not None:
        more["compensation"] = undone_by
    built = _built(question, index, short_ref, task_type, name or kind.lower(), given, more)
    return built if isinstance(built, Denial) else replace(built, retry_of=fields.get("retryOf", ""))


def _as_before(question: Question, fields: JsonObject) -> JsonObject | Denial:
    """An item that tries a failed one again: as that one was, but for what it says itself."""
    ref = fields["retryOf"]
    problem = _stranger(question, ref, "retry")
    if problem:
        return _no("retryOf", problem)
    if ref not in question.failed:
        return _no("retryOf", f"{ref!r} has not failed; only what did not succeed can be tried again")
    before = question.failed[ref]
    if before.is_unknown:
        return _no(
            "retryOf", f"nobody knows whether {ref!r} has done its work; ask a person before it is done again"
        )
    task = before.task
    kind = task.name if task.type is TaskType.SIMPLE else task.type.value
    was: JsonObject = {"type": kind, "input": literal(before.input)}
    if task.sub_workflow_param is not None:
        was["subWorkflowParam"] = task.sub_workflow_param.wire()
    if task.compensation is not None:
        was["compensation"] = task.compensation.wire()
    same = (None, kind, task.type.value)
    if any(fields.get(key) not in same for key in ("type", "name")) or "subWorkflowParam" in fields:
        return _no("retryOf", f"{ref!r} was of type {kind}, and a retry runs the same")
    return was | {key: value for key, value in fields.items() if key not in ("type", "name")}


def _undoing_problem(question: Question, given: JsonObject) -> str:
    """What is wrong with the input of a COMPENSATE item: a proposer undoes what came of its own proposals."""
    ref = given.get("scope")
    if set(given) != {"scope"} or not isinstance(ref, str):
        return "a COMPENSATE item has the input {scope: REF}, and nothing else"
    return _stranger(question, ref, "undo")


def _stranger(question: Question, ref: Json, verb: str) -> str:
    """Why a proposer may not do something to a task: it has not come of its own proposals."""
    if isinstance(ref, str) and ref in question.own:
        return ""
    meant = suggestion(ref, question.own) if isinstance(ref, str) else ""
    return f"it may {verb} only what it has proposed itself, and {ref!r} is none of that{meant}"[:500]


def _compensation(raw: Json, task_type: TaskType) -> JsonObject | Denial | None:
    """What an item brings to undo it: a tool, and an input made from what the item was given and gave."""
    if raw is None:
        return None
    if not can_be_undone(task_type):
        return _no("compensation", f"a {task_type} item has nothing that could be undone")
    if not isinstance(raw, dict):
        return _no("compensation", f"compensation must be an object, and is {kind_of(raw)}")
    fields = {"tool" if key == "type" else key: value for key, value in raw.items()}
    if len(fields) != len(raw) or not set(fields) <= {"tool", "input"}:
        return _no("compensation", "compensation is {tool: NAME, input: {…}}")
    if not isinstance(fields.get("tool"), str) or not isinstance(fields.get("input", {}), dict):
        return _no("compensation", "compensation names a tool, and its input is an object")
    try:
        found = references(fields.get("input", {}))
    except ExpressionError as error:
        return _no("expression", f"compensation: {error}")
    for reference in found:
        if reference.root not in ("input", "output") and not reference.names_run_input:
            seen = "${input…}, ${output…} and ${workflow.input…}"
            return _no("expression", f"compensation: {reference.text}: it sees only {seen}")
    return fields


def _built(
    question: Question,
    index: int,
    short_ref: str,
    task_type: TaskType,
    name: str,
    given: JsonObject,
    more: dict[str, object],
) -> Item | Denial:
    ref = question.full_ref(short_ref)
    values: dict[str, object] = {
        "name": name,
        "taskReferenceName": ref,
        "type": task_type.value,
        "inputParameters": given,
        "dependsOn": [],
        **more,
    }
    if task_type is TaskType.SUB_WORKFLOW:
        started = _started(given, more)
        if isinstance(started, Denial):
            return started
        values |= started
    if task_type is TaskType.HTTP:
        for where, message in request_problems(given):
            return _no("input", f"input.{path_text(where)}: {message}")
    if task_type is TaskType.AGENT and (not isinstance(given.get("agent"), str) or "${" in given["agent"]):
        return _no("input", "an AGENT item's input.agent must be the name of an Agent")
    try:
        task = Task.model_validate(values)
    except ValidationError as error:
        return _no("item", error.errors()[0]["msg"])
    return Item(index, short_ref, ref, task, dict(task.input_parameters))


def _started(given: JsonObject, more: Mapping[str, object]) -> JsonObject | Denial:
    """What a SUB_WORKFLOW item starts, with which input: in Conductor's form, or name beside the input."""
    if "subWorkflowParam" in more:
        param, rest = more["subWorkflowParam"], given
    else:
        param = {key: given[key] for key in ("name", "version") if key in given}
        rest = {key: value for key, value in given.items() if key not in ("name", "version")}
    try:
        read = SubWorkflowParam.model_validate(param)
    except ValidationError:
        read = SubWorkflowParam()
    if read.workflow_definition is not None:
        found = runtime_definition(read.workflow_definition)
        problem = found if isinstance(found, str) else proposal_problem(found[0])
        if problem:
            return _no("definition", problem)
    elif not read.name:
        return _no(
            "input",
            "a SUB_WORKFLOW item must name a Workflow, in input.name or subWorkflowParam.name, and may give "
            "its version; or bring one, in subWorkflowParam.workflowDefinition",
        )
    return {"subWorkflowParam": param, "inputParameters": rest}


def _wired(
    question: Question, item: Item, raw: JsonObject, refs: list[str], before: tuple[str, ...]
) -> Item | Denial:
    """The item with its dependencies: those it states, those its expressions imply, and the order."""
    stated = raw.get("dependsOn", [])
    if not isinstance(stated, list) or not all(isinstance(ref, str) for ref in stated):
        return _no("dependsOn", "dependsOn must be a list of refs")
    depends_on = [*before]
    for ref in stated:
        if ref in refs:
            depends_on.append(ref)
        elif ref not in question.visible:
            return _no(
                "dependsOn",
                f"it depends on {ref!r}, which is no item of this proposal{suggestion(ref, refs)}",
            )
    try:
        found = references(item.input)
    except ExpressionError as error:
        return _no("expression", str(error))
    for reference in found:
        if reference.root == "workflow":
            if not reference.names_run_input:
                return _no("expression", f"{reference.text}: of the workflow, only its input may be named")
        elif reference.root in refs:
            depends_on.append(reference.root)
        elif reference.root not in question.visible:
            return _no(
                "expression", f"{reference.text}: there is no ended task {reference.root!r} that it was shown"
            )
    unique = tuple(dict.fromkeys(depends_on))
    full = [question.full_ref(ref) for ref in unique if not is_placeholder(ref)]
    try:
        task = Task.model_validate({**item.task.wire(), "dependsOn": full})
    except ValidationError as error:
        return _no("dependsOn", error.errors()[0]["msg"])
    return replace(item, task=task, depends_on=unique, has_expressions=bool(found))


def _retry_count(retry: Json) -> int | Denial | None:
    if retry is None:
        return None
    count = retry.get("count") if isinstance(retry, dict) and set(retry) == {"count"} else None
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= 100:
        return _no("retry", "retry must be {count: N} with N from 0 to 100")
    return count


def _default_ref(name: str, refs: list[str]) -> str:
    base = "".join(c if c in _REF_CHARACTERS and c != "-" else "_" for c in name)[: _LONGEST_REF - 5]
    while "__" in base:
        base = base.replace("__", "_")
    candidate, number = base, 2
    while candidate in refs:
        candidate, number = f"{base.rstrip('_')}_{number}", number + 1
    return candidate


def _stated_ref(question: Question, index: int, raw: Json, refs: list[str]) -> str:
    """What a malformed item is called: by its own ref if that can be used, so that dependents find it.

    A call that a worker could not read is called as it would have been.
    """
    ref = raw.get("ref", raw.get("taskReferenceName")) if isinstance(raw, dict) else None
    if ref is None and isinstance(raw, dict) and origin.MALFORMED in raw and isinstance(raw.get("type"), str):
        ref = _default_ref(raw["type"], refs)
    return f"item {index}" if ref is None or _ref_problem(question, ref, refs) else str(ref)


def is_placeholder(ref: str) -> bool:
    """Whether a malformed item has no ref of its own and is called by its place."""
    return " " in ref


def _ref_problem(question: Question, ref: Json, refs: list[str]) -> str:
    if not isinstance(ref, str) or not 1 <= len(ref) <= _LONGEST_REF or set(ref) - _REF_CHARACTERS:
        return f"ref must be 1 to {_LONGEST_REF} of a-z, A-Z, 0-9, _ and -"
    if ref[0].isdigit() or ref[0] == "-" or "__" in ref or ref == "workflow":
        return f"ref {ref!r} must not begin with a digit or '-', hold '__' or be 'workflow'"
    if ref in refs:
        return f"ref {ref!r} is used twice in this proposal"
    if question.full_ref(ref) in question.taken:
        return f"ref {ref!r} is used by a task that exists"
    return ""


def _in_cycles(items: list[Item]) -> set[int]:
    """The items on a cycle: what is left when those before and those behind all cycles are taken away."""
    left = {item.short_ref: item for item in items}
    while True:
        needed = {ref for item in left.values() for ref in item.depends_on}
        free = [
            ref
            for ref, item in left.items()
            if ref not in needed or not any(before in left for before in item.depends_on)
        ]
        if not free:
            return {item.index for item in left.values()}
        for ref in free:
            del left[ref]


def _no(rule: str, reason: str) -> Denial:
    return Denial(Check.SHAPE, rule, reason)
