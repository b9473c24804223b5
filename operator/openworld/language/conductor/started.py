"""Other workflows that a task starts: by their name, or with a definition that the task carries."""

from __future__ import annotations

from collections.abc import Mapping

from openworld.api.meta import Json, JsonObject

from .fields import Fields, says_something
from .losses import NotADefinition, Place
from .within import Here, Within

_MAX_VERSION = 2**31 - 1
_REASONS = {
    "taskToDomain": "task domains have no counterpart: a tool's run says where it runs",
    "priority": "executions have no priority",
    "idempotencyKey": "has no counterpart: the child is started once in any case",
    "idempotencyStrategy": "has no counterpart: the child is started once in any case",
}
#: What the input of a START_WORKFLOW may hold here.
_STARTED = ("name", "version", "input", "correlationId")
_STARTED_REASONS = _REASONS | {
    "idempotencyKey": "has no counterpart",
    "idempotencyStrategy": "has no counterpart",
    "workflowDef": "has no counterpart: START_WORKFLOW starts a workflow by its name",
}


def sub_workflow(here: Here, name: str) -> Json:
    """What a SUB_WORKFLOW starts."""
    place, within = here.place.at(name), here.within
    fields = Fields(here.fields.mapping(name), place)
    found: JsonObject = {}
    called = fields.text("name")
    if called is not None:
        found["name"] = within.workflow_called(called, place.at("name"))
    version = _version(fields)
    if version is not None:
        found["version"] = version
    definition = fields.take("workflowDefinition")
    if says_something(definition):
        carried = _definition(definition, place.at("workflowDefinition"), within)
        if carried is not None:
            found["workflowDefinition"] = carried
            within.found.judged.append(here.place)
    fields.report_rest(_REASONS)
    return found


def start_workflow(given: JsonObject, place: Place, within: Within) -> JsonObject:
    """The input of a START_WORKFLOW, whose `startWorkflow` says what is started."""
    start = given.get("startWorkflow")
    if not isinstance(start, Mapping):
        return given
    asked = place.at("startWorkflow")
    kept = {key: value for key, value in start.items() if key in _STARTED and value is not None}
    if isinstance(kept.get("name"), str):
        kept["name"] = _started_name(kept["name"], asked.at("name"), within)
    rest = {key: value for key, value in start.items() if key not in _STARTED}
    Fields(rest, asked).report_rest(_STARTED_REASONS)
    return {**given, "startWorkflow": kept}


def _started_name(name: str, place: Place, within: Within) -> str:
    """It is read from the input when the task runs, so it may be computed."""
    return name if "${" in name else within.workflow_called(name, place)


def _version(fields: Fields) -> int | None:
    version = fields.take("version")
    if isinstance(version, str) and "${" in version:
        fields.place.at("version").lose("is computed, which it cannot be here; the latest version is started")
        return None
    return Fields({"version": version}, fields.place).whole("version", 1, _MAX_VERSION)


def _definition(definition: Json, place: Place, within: Within) -> Json:
    if isinstance(definition, str):
        return within.refs.resolved(definition)
    if not isinstance(definition, Mapping):
        place.error("must be a workflow definition, or an expression that gives one; left out")
        return None
    try:
        return within.inline(dict(definition), place)
    except NotADefinition as error:
        place.error(f"{error.why}; left out")
        return None
