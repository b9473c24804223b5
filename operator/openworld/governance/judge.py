"""The validator: a chain of checks over gathered inputs. Pure; fails closed; never raises.

`judge` gives the verdict on a proposal. `judge_task` asks all checks again about one task whose
input is resolved, right before it starts: authored and proposed tasks alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from openworld.api import JsonObject, Policy, Task, TaskType, Tool
from openworld.api.meta import Json
from openworld.api.policy import Limits
from openworld.language.canonical import digest
from openworld.language.reading import Finding

from . import cel
from .checks import access, catalog, limits, policy, shape
from .item import Item
from .question import Question
from .verdict import AUTHORED, AUTHORED_REASON, Check, Decision, Denial, ItemVerdict, Verdict

#: Characters of a reason or a problem; more is cut off.
LONGEST_REASON = 2000


def judge(question: Question, proposal: Json) -> Verdict:
    """The verdict on a proposal, item by item."""
    bounds = limits.tightest(question.policies)
    read = shape.read(question, proposal)
    base = _base(question, bounds)
    if isinstance(read, str):
        return replace(base, problem=_shortened(read))
    if len(read.items) > bounds.tasks_per_proposal:
        count = f"{len(read.items)} items, and {bounds.tasks_per_proposal} are allowed"
        denial = Denial(Check.LIMITS, "tasksPerProposal", f"the proposal has {count}")
        read = replace(read, denials=dict.fromkeys(range(len(read.items)), denial))
    items = [None if item is None else _with_tool(question, item) for item in read.items]
    counts = Counter(item.tool_name or item.task.type.value for item in items if item is not None)
    verdicts: list[ItemVerdict] = []
    needs: set[str] = set()
    rules: dict[str, JsonObject] = {}
    accepted = 0
    for index, item in enumerate(items):
        denial_or_none = read.denials.get(index)
        if item is None or denial_or_none is not None:
            denial = denial_or_none or Denial(Check.SHAPE, "item", "it makes no sense")
            short = read.refs[index]
            ref = short if shape.is_placeholder(short) else question.full_ref(short)
            verdicts.append(_denied(index, short, ref, denial, item))
            continue
        verdict = _checked(question, item, bounds, counts, accepted, needs, rules)
        accepted += limits.tasks_of(item.task) if verdict.decision is not Decision.DENIED else 0
        verdicts.append(verdict)
    verdicts = _with_dependency_denials(verdicts, items)
    if read.atomic or any(s.policy is not None and s.policy.require_atomic for s in question.policies):
        verdicts = _all_or_nothing(verdicts)
    return replace(
        base,
        items=tuple(verdicts),
        answer=read.answer,
        rationale=read.rationale,
        needs_access=frozenset(needs),
        rules=rules,
        counts=dict(counts),
    )


def judge_task(question: Question, task: Task, resolved_input: JsonObject, retry_of: str = "") -> Verdict:
    """The verdict on one task whose input is final. It has exactly one item."""
    ref = task.task_reference_name
    before = tuple(question.short_ref(other) for other in task.depends_on or ())
    item = Item(0, question.short_ref(ref), ref, task, resolved_input, depends_on=before, retry_of=retry_of)
    item = _with_tool(question, item)
    bounds = limits.tightest(question.policies)
    base = _base(question, bounds)
    unreadable = shape.unreadable_input(resolved_input)
    if unreadable:
        denial = Denial(Check.SHAPE, "input", unreadable)
        return replace(base, items=(_denied(0, item.short_ref, ref, denial, item),))
    needs: set[str] = set()
    rules: dict[str, JsonObject] = {}
    counts = Counter(question.counts or [item.tool_name or task.type.value])
    verdict = _checked(question, item, bounds, counts, 0, needs, rules)
    return replace(base, items=(verdict,), needs_access=frozenset(needs), rules=rules)


def _base(question: Question, bounds: Limits) -> Verdict:
    return Verdict(
        policies=tuple((source.name, source.digest) for source in question.policies),
        catalogs=tuple((source.name, source.digest) for source in question.catalogs),
        limits=bounds,
    )


def _with_tool(question: Question, item: Item) -> Item:
    if item.task.type is not TaskType.SIMPLE:
        return item
    tool = catalog.find_tool(question.catalogs, item.tool_name)
    return replace(item, tool=tool, tool_digest=tool_digest(tool)) if isinstance(tool, Tool) else item


def _checked(
    question: Question,
    item: Item,
    bounds: Limits,
    counts: Counter[str],
    accepted: int,
    needs: set[str],
    rules: dict[str, JsonObject],
) -> ItemVerdict:
    """Checks 2 to 5, in order; the first that denies decides."""
    denial = catalog.check(question, item)
    if denial is not None:
        return _denied(item.index, item.short_ref, item.ref, denial, item)
    ruling = None
    if policy.binding(question) or question.bind_policy:
        ruling = policy.rule_on(question, item, counts)
        rules |= ruling.rules or {}
        denial = policy.as_denial(ruling)
    if denial is None and question.proposed:
        denial = limits.check(question, bounds, item, accepted)
    if denial is None and access.is_unanswered(question, item):
        needs.add(item.tool_name)
    denial = denial or access.check(question, item) or _undoing(question, item, counts, needs, rules)
    if denial is not None:
        return _denied(item.index, item.short_ref, item.ref, denial, item)
    return ItemVerdict(
        item=item.index,
        ref=item.ref,
        short_ref=item.short_ref,
        decision=ruling.decision if ruling is not None else Decision.ALLOWED,
        check=Check.POLICY.value if ruling is not None else Check.ACCESS.value,
        rule=ruling.rule if ruling is not None else AUTHORED,
        reason=ruling.reason if ruling is not None else AUTHORED_REASON,
        task=item.task,
        tool=item.tool,
        tool_digest=item.tool_digest,
        approval=ruling.approval if ruling is not None else None,
        audited=ruling.audited if ruling is not None else "",
        policy=ruling.policy if ruling is not None else "",
        provisional=item.has_expressions or (ruling is not None and ruling.provisional),
        retry_of=item.retry_of,
    )


def _undoing(
    question: Question, item: Item, counts: Counter[str], needs: set[str], rules: dict[str, JsonObject]
) -> Denial | None:
    """Deny an item for what it brings to undo it: that is judged as an item of its own would be."""
    brought = item.task.compensation
    if brought is None or not question.proposed:
        return None
    task = Task(name=brought.tool, task_reference_name=f"{item.ref}__undo", input_parameters=brought.input)
    undo = _with_tool(question, Item(item.index, item.short_ref, item.ref, task, brought.input, True))
    denial = catalog.check(question, undo)
    if denial is None:
        ruling = policy.rule_on(question, undo, counts)
        rules |= ruling.rules or {}
        denial = policy.as_denial(ruling)
    if denial is None and access.is_unanswered(question, undo):
        needs.add(undo.tool_name)
    denial = denial or access.check(question, undo)
    return None if denial is None else replace(denial, reason=f"its compensation: {denial.reason}")


def _denied(index: int, short_ref: str, ref: str, denial: Denial, item: Item | None) -> ItemVerdict:
    return ItemVerdict(
        item=index,
        ref=ref,
        short_ref=short_ref,
        decision=Decision.DENIED,
        check=denial.check.value,
        rule=denial.rule,
        reason=_shortened(denial.reason),
        policy=denial.policy,
        tool=item.tool if item is not None else None,
        tool_digest=item.tool_digest if item is not None else "",
    )


def _shortened(reason: str) -> str:
    """A reason quotes what was proposed; it stands in the ledger and in the agent's next turn."""
    return reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 1] + "…"


def _with_dependency_denials(verdicts: list[ItemVerdict], items: Sequence[Item | None]) -> list[ItemVerdict]:
    """Deny what depends on a denied item, however far down."""
    denied = {v.short_ref for v in verdicts if v.decision is Decision.DENIED}
    changed = True
    while changed:
        changed = False
        for index, (verdict, item) in enumerate(zip(verdicts, items, strict=True)):
            if item is None or verdict.decision is Decision.DENIED:
                continue
            blame = next((ref for ref in item.depends_on if ref in denied), None)
            if blame is not None:
                why = Denial(
                    Check.DEPENDENCY, "DependencyDenied", f"it depends on {blame!r}, which is denied"
                )
                verdicts[index] = _denied(index, item.short_ref, item.ref, why, item)
                denied.add(item.short_ref)
                changed = True
    return verdicts


def _all_or_nothing(verdicts: list[ItemVerdict]) -> list[ItemVerdict]:
    culprit = next((v for v in verdicts if v.decision is Decision.DENIED), None)
    if culprit is None:
        return verdicts
    why = Denial(Check.ATOMIC, "atomic", f"the proposal is atomic, and {culprit.ref} is denied")
    return [
        v
        if v.decision is Decision.DENIED
        else replace(_denied(v.item, v.short_ref, v.ref, why, None), tool=v.tool, tool_digest=v.tool_digest)
        for v in verdicts
    ]


def tool_digest(tool: Tool) -> str:
    """SHA-256 of a tool's canonical definition, as its catalog states it."""
    return digest(tool.wire())


def item_digest(
    *,
    execution_uid: str,
    ref: str,
    generation: int,
    resolved_input: JsonObject,
    tool_digest: str,
    policy_digests: Iterable[str],
) -> str:
    """What an approval approves: exactly this item, input, tool and policy of this execution."""
    return digest(
        {
            "execution": execution_uid,
            "ref": ref,
            "generation": generation,
            "input": resolved_input,
            "tool": tool_digest,
            "policies": list(policy_digests),
        }
    )


def compile_problems(rules_of: Policy, path: str = "spec") -> list[Finding]:
    """Conditions that do not compile or are no conditions."""
    return [
        Finding(f"{path}.rules[{index}].when", problem)
        for index, rule in enumerate(rules_of.rules)
        if rule.when is not None and (problem := cel.check(rule.when))
    ]
