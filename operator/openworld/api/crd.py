"""CRD manifests from the models (`make generate` writes them, one file a kind).

A structural schema cannot say everything: nested tasks are recursive, and a task's short form has
other fields than its long one. There the schema lets things through, and the operator refuses them
by name. Definitions (Workflow, ToolCatalog, Policy, Agent) preserve unknown fields for the same
reason: pruning would drop a misspelt field before anybody could tell its author.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import yaml

from .agent import Agent, AgentStatus
from .execution import Execution, ExecutionStatus
from .ledgersegment import LedgerSegment
from .limit import Limit
from .meta import GROUP, VERSION, JsonObject, Strict
from .policy import Policy, PolicyStatus
from .signal import Signal, SignalStatus
from .taskresult import TaskResult
from .toolcatalog import ToolCatalog, ToolCatalogStatus
from .workflow import Workflow, WorkflowStatus

PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
_KEPT = (
    "type", "description", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems",
    "maxItems", "required", "default",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A custom resource: its models, and what people see of it in `kubectl get`."""

    name: str
    plural: str
    short: str
    spec: type[Strict]
    status: type[Strict] | None
    columns: tuple[tuple[str, str, str, int], ...]
    is_definition: bool = False
    rules: tuple[tuple[str, str], ...] = ()
    is_immutable: bool = False
    selectable: tuple[str, ...] = ()


_VALID = (
    ("Valid", "string", '.status.conditions[?(@.type=="Valid")].status', 0),
    ("Message", "string", '.status.conditions[?(@.type=="Valid")].message', 1),
)
_AGE = ("Age", "date", ".metadata.creationTimestamp", 0)


def _unchanged(field: str) -> tuple[str, str]:
    was, now = f"oldSelf.spec.{field}", f"self.spec.{field}"
    rule = f"has({was}) == has({now}) && (!has({now}) || {now} == {was})"
    return rule, f"spec.{field} cannot be changed"


_EXECUTION_RULES = (
    ("self.metadata.name.size() <= 63", "the name of an Execution has at most 63 characters"),
    (
        "has(self.spec.workflowRef) != has(self.spec.workflow)",
        "exactly one of spec.workflowRef and spec.workflow must be given",
    ),
    (
        "!has(oldSelf.status) || !has(oldSelf.status.ledger) || (has(self.status) && has(self.status.ledger) "
        "&& self.status.ledger.head.seq >= oldSelf.status.ledger.head.seq)",
        "the ledger cannot be shortened or removed",
    ),
    (
        "!has(oldSelf.status) || !has(oldSelf.status.ledger) || !has(oldSelf.status.ledger.segments) || "
        "(has(self.status) && has(self.status.ledger) && has(self.status.ledger.segments) && "
        "self.status.ledger.segments >= oldSelf.status.ledger.segments)",
        "the sealed segments of the ledger cannot become fewer",
    ),
    *(
        _unchanged(field)
        for field in ("requestedBy", "serviceAccountName", "correlationId", "parent", "workflowRef")
    ),
)

KINDS = (
    Kind(
        "Workflow", "workflows", "owf", Workflow, WorkflowStatus,
        (("Version", "integer", ".spec.version", 0), *_VALID, _AGE), is_definition=True,
    ),
    Kind(
        "Execution", "executions", "oex", Execution, ExecutionStatus,
        (
            ("Workflow", "string", ".status.workflow.name", 0),
            ("Phase", "string", ".status.phase", 0),
            ("Active/Done/All", "string", ".status.progress", 0),
            ("Waiting-For", "string", ".status.waitingFor", 0),
            _AGE,
            ("Requested-By", "string", ".spec.requestedBy", 1),
            ("Reason", "string", ".status.reason", 1),
        ),
        rules=_EXECUTION_RULES,
    ),
    Kind(
        "ToolCatalog", "toolcatalogs", "otc", ToolCatalog, ToolCatalogStatus,
        (*_VALID, _AGE), is_definition=True,
    ),
    Kind(
        "Policy", "policies", "opol", Policy, PolicyStatus,
        (("Mode", "string", ".spec.mode", 0), *_VALID, _AGE), is_definition=True,
    ),
    Kind(
        "Agent", "agents", "oag", Agent, AgentStatus,
        (("Provider", "string", ".spec.model.provider", 0), *_VALID, _AGE), is_definition=True,
    ),
    Kind(
        "TaskResult", "taskresults", "otr", TaskResult, None,
        (
            ("Execution", "string", ".spec.execution", 0),
            ("Ref", "string", ".spec.ref", 0),
            ("Attempt", "integer", ".spec.attempt", 0),
            ("Status", "string", ".spec.status", 0),
            _AGE,
        ),
        is_immutable=True,
        selectable=(".spec.execution",),
    ),
    Kind(
        "Signal", "signals", "osig", Signal, SignalStatus,
        (
            ("Execution", "string", ".spec.execution", 0),
            ("Type", "string", ".spec.type", 0),
            ("Ref", "string", ".spec.ref", 0),
            ("By", "string", ".spec.by", 0),
            ("Accepted", "string", '.status.conditions[?(@.type=="Accepted")].status', 0),
            ("Message", "string", '.status.conditions[?(@.type=="Accepted")].message', 1),
            _AGE,
        ),
        is_immutable=True,
        selectable=(".spec.execution",),
    ),
    Kind(
        "LedgerSegment", "ledgersegments", "olseg", LedgerSegment, None,
        (
            ("Execution", "string", ".spec.execution", 0),
            ("Index", "integer", ".spec.index", 0),
            ("First", "integer", ".spec.first", 0),
            ("Last", "integer", ".spec.last", 0),
            _AGE,
        ),
        is_immutable=True,
        selectable=(".spec.execution",),
    ),
    Kind("Limit", "limits", "olim", Limit, None, (("Key", "string", ".spec.key", 0), _AGE)),
)  # fmt: skip


def manifest(kind: Kind) -> JsonObject:
    """The CustomResourceDefinition of a kind."""
    properties: JsonObject = {"spec": _schema(kind.spec, lenient=kind.is_definition)}
    if kind.is_immutable:
        # Not enough alone: CEL does not see a key that is renamed in free JSON. Admission compares again.
        unchanged = {"rule": "self == oldSelf", "message": f"a {kind.name} cannot be changed"}
        properties["spec"]["x-kubernetes-validations"] = [unchanged]
    version: JsonObject = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [
            {"name": name, "type": of, "jsonPath": path, "priority": priority}
            for name, of, path, priority in kind.columns
        ],
    }
    if kind.status is not None:
        properties["status"] = _schema(kind.status, lenient=False)
        version["subresources"] = {"status": {}}
    if kind.name == "Execution":
        properties["status"]["x-kubernetes-map-type"] = "atomic"
    root: JsonObject = {
        "type": "object",
        "description": (kind.spec.__doc__ or "").strip().splitlines()[0],
        "required": ["spec"],
        "properties": properties,
    }
    if kind.rules:
        root["x-kubernetes-validations"] = [
            {"rule": rule, "message": message} for rule, message in kind.rules
        ]
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    version["schema"] = {"openAPIV3Schema": root}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{GROUP}",
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short],
                "categories": ["openworld"],
            },
            "versions": [version],
        },
    }


def _schema(model: type[Strict], *, lenient: bool) -> JsonObject:
    source = model.model_json_schema(by_alias=True)
    return _structural(source, source.get("$defs", {}), (), lenient=lenient)


def _structural(node: Any, defs: JsonObject, seen: tuple[str, ...], *, lenient: bool) -> JsonObject:
    if not isinstance(node, dict):
        return {PRESERVE: True}
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        description = {"description": node["description"]} if "description" in node else {}
        if name in seen:
            return {"type": "object", PRESERVE: True, **description}
        inner = {**defs[name], **description}
        return _structural(inner, defs, (*seen, name), lenient=lenient or name in ("Workflow", "Task"))
    for key in ("anyOf", "allOf"):
        if key in node:
            options = [option for option in node[key] if option.get("type") != "null"]
            if len(options) > 1:
                types = {option.get("type") for option in options}
                free = {INT_OR_STRING: True} if types == {"string", "integer"} else {PRESERVE: True}
                return free | ({"description": node["description"]} if "description" in node else {})
            return _structural({**options[0], **_described(node)}, defs, seen, lenient=lenient)
    # Copied, for what stands in two places would be written as a YAML anchor.
    result: JsonObject = {key: deepcopy(node[key]) for key in _KEPT if key in node}
    if lenient or isinstance(result.get("default"), dict | list) or result.get("default", 0) is None:
        result.pop("default", None)
    if "description" in result:
        result["description"] = " ".join(str(result["description"]).split())
    if node.get("type") == "array":
        result["items"] = _structural(node.get("items", {}), defs, seen, lenient=lenient)
    elif node.get("type") == "object" and "properties" in node:
        result["properties"] = {
            name: _structural(inner, defs, seen, lenient=lenient)
            for name, inner in node["properties"].items()
        }
        if lenient:
            result[PRESERVE] = True
        if seen[-1:] == ("Task",):
            result.pop("required", None)
            result["properties"]["type"].pop("enum", None)
    elif node.get("type") == "object":
        values = node.get("additionalProperties", True)
        if values is True:
            result[PRESERVE] = True
        else:
            inner = _structural(values, defs, seen, lenient=lenient)
            result["additionalProperties"] = inner
    elif "type" not in node:
        result[PRESERVE] = True
    return result


def _described(node: JsonObject) -> JsonObject:
    return {key: node[key] for key in ("description", "default") if key in node}


def files() -> dict[str, str]:
    """Each manifest by file name."""
    return {
        f"{GROUP}_{kind.plural}.yaml": yaml.safe_dump(
            manifest(kind), sort_keys=False, width=120, allow_unicode=True
        )
        for kind in KINDS
    }
