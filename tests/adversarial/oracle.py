"""What may come out of the validator in the environment `fuzz`, said once more and in another way.

It imports no check of the validator and none of its readers: rules are written out by hand for the tools and
types of that one environment. It is one-sided: what it has nothing against may still be denied.
"""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs

from openworld.api import Task
from openworld.engine.outside import DesiredJob
from openworld.governance import Verdict

from .loading import environments

EVERY_TOOL = (
    "look",
    "free",
    "note",
    "rollback",
    "delete_all",
    "locked",
    "admin_reset",
    "peek",
    "restore",
    "change",
)
#: Tools that something allows, with whether a person is asked; the agent may name them and the account use them.
USABLE = {"look": False, "free": False, "note": False, "restore": False, "change": False, "rollback": True}
RETRIES = {"note": 2}
#: Task types that some rule allows; no other may come out.
TYPES = ("HTTP", "HUMAN", "SUB_WORKFLOW", "COMPENSATE")
NOT_TOOLS = (
    *(
        "HTTP",
        "HUMAN",
        "SUB_WORKFLOW",
        "COMPENSATE",
        "WAIT",
        "AGENT",
        "START_WORKFLOW",
        "INLINE",
        "NOOP",
        "SIMPLE",
    ),
    *(
        "JSON_JQ_TRANSFORM",
        "SET_VARIABLE",
        "DYNAMIC",
        "SWITCH",
        "DO_WHILE",
        "FORK_JOIN",
        "FORK_JOIN_DYNAMIC",
        "JOIN",
    ),
    *("EXCLUSIVE_JOIN", "TERMINATE", "EVENT", "LLM_CHAT_COMPLETE", "LIST_MCP_TOOLS", "CALL_MCP_TOOL"),
)
FIELDS = {
    "ref",
    "type",
    "name",
    "input",
    "dependsOn",
    "optional",
    "retry",
    "subWorkflowParam",
    "compensation",
}
FIELDS |= {"taskReferenceName", "inputParameters", "callId", "retryOf"}
#: The one task of the agent's that has failed, a `note`, and the input that it had.
FAILED, RECORDED = "triage__1__f", {"text": "as it was"}
MOST_TASKS, MOST_ITEMS, MOST_BYTES = 12, 8, 64 * 1024
_REF = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
_URL = re.compile(r"https?://([A-Za-z0-9._-]+)(:[0-9]*)?(?=[/?#]|$)", re.IGNORECASE)
_ROOT = re.compile(r"\$\{\s*([A-Za-z0-9_-]*)\s*(.*)", re.DOTALL)


def against(proposal: Any, verdict: Verdict, *, used_tasks: int) -> list[str]:
    """What is wrong with the verdict on a proposal; empty when nothing is."""
    found: list[str] = []
    if verdict.problem and (verdict.items or verdict.answer):
        found.append("a problem, and yet items or an answer")
    if verdict.answer is not None and not (
        isinstance(proposal, dict) and proposal.get("output") == verdict.answer
    ):
        found.append("an answer that was not given")
    accepted = [item for item in verdict.items if item.decision.value != "Denied"]
    denied = {item.short_ref for item in verdict.items if item.decision.value == "Denied"}
    siblings = {item.short_ref for item in verdict.items}
    if not isinstance(proposal, dict) or not isinstance(proposal.get("tasks", []), list):
        return found + (["items of what is no proposal"] if verdict.items else [])
    if accepted:
        found += _whole(proposal, len(verdict.items))
    spends = 0
    for item in verdict.items:
        if not item.reason.strip() or len(item.reason) > 2000 or not item.rule or not item.check:
            found.append(f"{item.ref} has no reason, or one without end")
        if (item.decision.value == "Denied") != (item.task is None):
            found.append(f"{item.ref} is denied and has a task, or the other way round")
    for item in accepted:
        raw = proposal["tasks"][item.item]
        what = [f"{item.ref}: {text}" for text in _item(raw, item, siblings, denied)]
        found += what
        spends += 2 if isinstance(raw, dict) and raw.get("compensation") is not None else 1
    if used_tasks + spends > MOST_TASKS and accepted:
        found.append(f"{spends} tasks beside {used_tasks} are more than {MOST_TASKS}")
    refs = [item.ref for item in accepted]
    if len(set(refs)) != len(refs):
        found.append("a ref that stands for two items")
    if proposal.get("atomic") is True and denied and accepted:
        found.append("half of an atomic proposal")
    return found + _order(accepted)


def _whole(proposal: dict[str, Any], items: int) -> list[str]:
    found = []
    if set(proposal) - {"intent", "rationale", "tasks", "output", "atomic", "raw"}:
        found.append("items of a proposal with fields that nobody knows")
    if len(json.dumps(proposal, ensure_ascii=False).encode("utf-8", "replace")) > 2 * MOST_BYTES:
        found.append("items of a proposal without end")
    if items > MOST_ITEMS:
        found.append(f"{items} items where {MOST_ITEMS} are allowed")
    return found


def _item(raw: Any, item: Any, siblings: set[str], denied: set[str]) -> list[str]:
    if not isinstance(raw, dict):
        return ["it is no object"]
    found = [f"it sets {key}" for key in set(raw) - FIELDS]
    if "retryOf" in raw:
        if raw["retryOf"] != FAILED or "subWorkflowParam" in raw:
            found.append(f"it tries {raw['retryOf']!r} again")
        raw = {"type": "note", **raw}
        raw = raw if {"input", "inputParameters"} & raw.keys() else {**raw, "input": RECORDED}
        if raw["type"] in ("SIMPLE", None):
            raw["type"] = raw.get("name", "note")
        if raw["type"] != "note":
            found.append("it tries something else again")
    kind, name = raw.get("type", "SIMPLE"), raw.get("name")
    kind, name = ("SIMPLE", kind) if kind not in NOT_TOOLS else (kind, name)
    given = raw.get("input", raw.get("inputParameters", {}))
    ref = raw.get("ref", raw.get("taskReferenceName"))
    if ref is not None and not (
        isinstance(ref, str) and _REF.fullmatch(ref) and "__" not in ref and ref != "workflow"
    ):
        found.append(f"the ref {ref!r}")
    if item.ref != f"triage__2__{item.short_ref}" or item.ref in ("triage__2__c", "triage"):
        found.append("a ref outside its place")
    if not isinstance(given, dict):
        return [*found, "an input that is no object"]
    before = raw.get("dependsOn", [])
    others = before if isinstance(before, list) else ["?"]
    strangers = [other for other in others if other in denied or other not in siblings | {"shown"}]
    found += [f"it depends on {other!r}" for other in strangers]
    found += _expressions(given, siblings | {"shown"}, denied)
    if kind == "SIMPLE":
        found += _tool(name, given, item.decision.value, is_open=_is_open(given))
        if isinstance(raw.get("retry"), dict) and raw["retry"].get("count", 0) > RETRIES.get(str(name), 3):
            found.append("more retries than the catalog has")
    elif kind not in TYPES:
        found.append(f"a task of type {kind!r}")
    elif kind == "HTTP":
        found += _request(given)
    elif kind == "COMPENSATE" and given not in ({"scope": "triage__1__a"}, {"scope": FAILED}):
        found.append("it undoes what is not its own")
    elif kind == "SUB_WORKFLOW":
        param = raw.get("subWorkflowParam", {"name": given.get("name")})
        brings = not isinstance(param, dict) or param.get("workflowDefinition") is not None
        is_named = isinstance(param, dict) and param.get("name") == "deep-dive"
        # a rule on an item whose input is open is asked once more when it starts: see against_start
        if brings or not (is_named or (_is_open(given) and item.provisional)):
            found.append("a Workflow that no rule names")
    undo = raw.get("compensation")
    if undo is not None:
        tool = undo.get("tool", undo.get("type")) if isinstance(undo, dict) else None
        if tool not in USABLE:
            found.append(f"it would be undone by {tool!r}")
        found += _expressions(
            undo.get("input", {}) if isinstance(undo, dict) else {}, {"input", "output"}, set()
        )
    return found


def _tool(name: Any, given: dict[str, Any], decision: str, *, is_open: bool) -> list[str]:
    if name not in USABLE:
        return [f"the tool {name!r}"]
    found = []
    if USABLE[name] and decision != "NeedsApproval":
        found.append("nobody is asked")
    if not is_open:
        if not _validator(name).is_valid(given):
            found.append(f"an input that breaks its schema: {given!r}"[:300])
        if name in ("look", "free") and given.get("service") == "vault":
            found.append("the vault")
    return found


def _validator(name: str) -> Any:
    tools = environments()["fuzz"].catalogs["ops"]["tools"]
    return jsonschema_rs.Draft202012Validator(
        next(tool["inputSchema"] for tool in tools if tool["name"] == name)
    )


def _request(given: dict[str, Any]) -> list[str]:
    request = given.get("http_request", given)
    uri = request.get("uri") if isinstance(request, dict) else None
    match = _URL.match(uri) if isinstance(uri, str) else None
    if match is None:
        return [f"a request to {uri!r}"]
    host = match[1].lower().removesuffix(".")
    if host != "api.example.com" and not host.endswith(".safe.example.com"):
        return [f"a request to {host}"]
    if host == "vault.safe.example.com" or host.endswith(".in.safe.example.com"):
        return [f"a request to {host}, which a rule denies"]
    headers = request.get("headers") or {}
    if isinstance(headers, dict) and {"host", "content-length"} & {str(key).lower() for key in headers}:
        return ["a header that names another host, or another length"]
    return []


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inner for text in _strings(each)]


def _is_open(value: Any) -> bool:
    return any("${" in text for text in _strings(value))


def _expressions(value: Any, roots: set[str], denied: set[str]) -> list[str]:
    found = []
    for text in _strings(value):
        rest = _unescaped(text)
        for at in [match.start() for match in re.finditer(re.escape("${"), rest)]:
            match = _ROOT.match(rest[at:])
            root, path = (match[1], match[2]) if match else ("", "")
            if root == "workflow":
                if not re.match(r"\.\s*input\b|\[\s*['\"]input['\"]\s*\]", path):
                    found.append(f"it reads {rest[at : at + 60]!r}")
            elif root in denied or root not in roots:
                quoted = re.match(r"\$\{\s*\[\s*['\"]([A-Za-z0-9_-]+)['\"]\s*\]", rest[at:])
                if quoted is None or quoted[1] not in roots - denied:
                    found.append(f"it reads {rest[at : at + 60]!r}")
    return found


def _unescaped(text: str) -> str:
    """The text without its `$${`, which stand for themselves; read from left to right."""
    return re.sub(r"\$\$\{", "  ", text)


def _order(accepted: Any) -> list[str]:
    left = {item.ref: set(item.task.depends_on or ()) for item in accepted}
    missing = {ref for needs in left.values() for ref in needs} - left.keys()
    while left:
        free = [ref for ref, needs in left.items() if not needs & left.keys()]
        if not free:
            return [*(["a cycle"]), *([f"it waits for {missing}"] if missing else [])]
        for ref in free:
            del left[ref]
    return [f"it waits for {missing}"] if missing else []


def against_start(task: Task, resolved: dict[str, Any], verdict: Verdict) -> list[str]:
    """What is wrong with the verdict on a task whose input is final."""
    (item,) = verdict.items
    if item.decision.value == "Denied":
        return [] if item.reason.strip() else ["denied without a reason"]
    if task.type.value == "SIMPLE":
        return _tool(task.name, resolved, item.decision.value, is_open=False)
    if task.type.value == "HTTP":
        return _request(resolved)
    param = task.sub_workflow_param
    if task.type.value == "SUB_WORKFLOW" and (param is None or param.name != "deep-dive"):
        return ["a Workflow that no rule names"]
    return [] if task.type.value in TYPES else [f"a task of type {task.type.value}"]


def against_run(run: Any, jobs: list[DesiredJob], children: list[str]) -> list[str]:
    """What is wrong with what a run has wanted outside."""
    given = {event["ref"] for event in run.events if event["type"] == "ApprovalGiven"}
    found = []
    for job in jobs:
        if job.agent is not None:
            continue
        name = job.tool.name if job.tool is not None else "?"
        if name == "http":
            found += _request(job.input)
        else:
            decision = "NeedsApproval" if job.ref in given else "Allowed"
            found += [f"{job.ref}: {text}" for text in _tool(name, job.input, decision, is_open=False)]
        if job.secrets:
            found.append(f"{job.ref} is given secrets")
    found += [f"the child {child}" for child in children if not child.endswith(" deep-dive")]
    return found
