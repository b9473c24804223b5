"""Task definitions as the tools of a catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openworld.api.meta import JsonObject

from . import settings
from .fields import Fields
from .losses import Place

MAX_TOOLS = 256
_REASONS = {
    "isolationGroupId": "has no counterpart: every attempt is a Job of its own",
    "executionNameSpace": "has no counterpart: every attempt is a Job of its own",
    "accessPolicy": "is not carried over: who may use a tool is a matter of RBAC",
}
#: What informs people or Conductor's own book-keeping, and changes nothing.
SILENT = (
    "ownerEmail",
    "ownerApp",
    "createTime",
    "updateTime",
    "createdBy",
    "updatedBy",
    "inputKeys",
    "outputKeys",
    "baseType",
)


@dataclass(frozen=True, slots=True)
class TaskDef:
    """A task definition, and where it stood."""

    data: JsonObject
    place: Place


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of an import: what tasks are called here, and the definitions that there are."""

    names: Mapping[str, str]
    definitions: Mapping[str, TaskDef]
    catalogs: Sequence[str]


def tool(definition: TaskDef, *, name: str, image: str) -> JsonObject:
    """The tool that a task definition becomes."""
    place = definition.place
    fields = Fields(definition.data, place)
    fields.skip("name", *SILENT)
    if fields.take("enforceSchema") is False and (
        fields.holds("inputSchema") or fields.holds("outputSchema")
    ):
        place.at("enforceSchema").lose("false has no counterpart: the schemas of a tool are enforced")
    found: JsonObject = {"name": name}
    described = fields.text("description", settings.MAX_DESCRIPTION)
    if described is not None:
        found["description"] = described
    found["inputSchema"] = settings.schema(fields, "inputSchema") or {"type": "object"}
    output = settings.schema(fields, "outputSchema")
    if output is not None:
        found["outputSchema"] = output
    template = fields.mapping("inputTemplate")
    if template:
        found["inputTemplate"] = template
    found["effect"] = "Write"
    found["idempotent"] = True
    retry = settings.retry(fields)
    if retry:
        found["retry"] = retry
    # Without the field a tool has a timeout, and a task definition has none.
    found |= {"timeoutSeconds": 0} | settings.timeouts(fields)
    found |= _limits(fields)
    found["run"] = {"container": {"image": image}, "report": "TaskResult"}
    fields.report_rest(_REASONS)
    return found


def _limits(fields: Fields) -> JsonObject:
    found: JsonObject = {}
    concurrency = fields.whole("concurrentExecLimit", 0, 1_000_000)
    if concurrency:
        found["concurrencyLimit"] = concurrency
    count = fields.whole("rateLimitPerFrequency", 0, 1_000_000)
    seconds = fields.whole("rateLimitFrequencyInSeconds", 1, settings.MAX_SECONDS)
    if count:
        found["rateLimit"] = {"count": count, "perSeconds": seconds or 1}
    return found
