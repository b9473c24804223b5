"""A workflow definition as the spec of a Workflow."""

from __future__ import annotations

from collections.abc import Mapping

from openworld.api import TaskType, Workflow
from openworld.api.meta import JsonObject
from openworld.api.workflow import TimeoutPolicy
from openworld.language.canonical import path_text
from openworld.language.checks import check_workflow
from openworld.language.reading import InvalidResource, read, under

from . import settings
from .arrays import all_tasks
from .catalog import Tools
from .fields import Fields
from .losses import NotADefinition, Place, Severity
from .names import Refs, ref_names, workflow_names
from .tasks import imported_tasks
from .within import Within

_MAX_VERSION = 2**31 - 1
_SCHEMA_VERSION = 2
_POLICIES = (TimeoutPolicy.TIME_OUT_WF, TimeoutPolicy.ALERT_ONLY)
_NOTES = {
    "inputParameters": "names the inputs for people and is not carried over; inputSchema says it here",
    "metadata": "is not carried over; use labels and annotations",
}
_REASONS = {
    "rateLimitConfig": "has no counterpart: any number of runs may go on at once",
    "cacheConfig": "outputs are not cached",
    "workflowStatusListenerEnabled": "nobody is called when a run ends; watch the Execution",
    "workflowStatusListenerSink": "nobody is called when a run ends; watch the Execution",
    "maskedFields": "nothing is masked: who may read Executions sees inputs and outputs",
    "accessPolicy": "is not carried over: who may start a workflow is a matter of RBAC",
}
#: Conductor's book-keeping.
_SILENT = ("ownerApp", "createTime", "updateTime", "createdBy", "updatedBy")


def name_of(data: JsonObject, place: Place) -> str:
    """The name of a workflow definition. Raises NotADefinition where there is none."""
    name = data.get("name")
    if not isinstance(name, str) or not name:
        raise NotADefinition((*place.steps, "name"), "a workflow definition needs a name")
    if not isinstance(data.get("tasks"), list):
        raise NotADefinition((*place.steps, "tasks"), "a workflow definition needs a list of tasks")
    return name


def version_of(data: JsonObject) -> int:
    """The version of a workflow definition: 1 if it says none, or none that can be read."""
    return Fields({"version": data.get("version")}, Place()).whole("version", 1, _MAX_VERSION) or 1


def imported_workflow(
    data: JsonObject, place: Place, *, tools: Tools, names: Mapping[str, str]
) -> JsonObject:
    """The spec, without `name`; what was lost is reported at `place`. Raises NotADefinition."""
    name_of(data, place)
    within = Within(_refs(data, place), tools, names, lambda inner, at: _inline(inner, at, tools, names))
    fields = Fields(data, place)
    fields.skip("name", "ownerEmail", *_SILENT)
    spec = _head(fields, within)
    tasks = imported_tasks(fields.take("tasks"), place.at("tasks"), within)
    if not tasks:
        place.at("tasks").error("a workflow needs at least one task")
    if within.found.catalogs:
        spec["catalogs"] = list(tools.catalogs)
    if within.found.judged:
        within.found.judged[0].note(
            "what it runs is judged by a policy: name one in spec.policyRef; without one nothing is allowed"
        )
    spec["tasks"] = tasks
    output = within.refs.resolved(fields.mapping("outputParameters"))
    if output:
        spec["outputParameters"] = output
    _report(fields)
    return spec


def check_spec(spec: JsonObject, place: Place) -> None:
    """Report what makes the result one that is refused, unless that was reported at its place already."""
    known = {loss.path for loss in place.found if loss.severity is Severity.ERROR}
    try:
        findings = check_workflow(read(Workflow, {**spec, "tasks": _with_known_types(spec["tasks"])}))
    except InvalidResource as invalid:
        findings = list(invalid.findings)
    for finding in findings:
        if under(path_text(place.steps), finding.path.removeprefix("spec").removeprefix(".")) not in known:
            place.error(f"{finding.path}: {finding.message}")


def _with_known_types(tasks: list[JsonObject]) -> list[JsonObject]:
    """The tasks, with a NOOP in place of each whose type was reported already."""
    return [_with_known_type(task) for task in tasks]


def _with_known_type(task: JsonObject) -> JsonObject:
    if task["type"] not in TaskType.__members__:
        return {
            "taskReferenceName": task["taskReferenceName"],
            "type": TaskType.NOOP.value,
            "inputParameters": task.get("inputParameters", {}),
        }
    known = dict(task)
    for name in ("defaultCase", "loopOver"):
        if name in task:
            known[name] = _with_known_types(task[name])
    if "decisionCases" in task:
        known["decisionCases"] = {
            case: _with_known_types(array) for case, array in task["decisionCases"].items()
        }
    if "forkTasks" in task:
        known["forkTasks"] = [_with_known_types(branch) for branch in task["forkTasks"]]
    return known


def _inline(data: JsonObject, place: Place, tools: Tools, names: Mapping[str, str]) -> JsonObject:
    name = name_of(data, place)
    new = names.get(name) or workflow_names([name])[name]
    return {"name": new} | imported_workflow(data, place, tools=tools, names=names)


def _refs(data: JsonObject, place: Place) -> Refs:
    """The refs of the workflow under the names that they have here; a change is a note at its task."""
    found = [
        (steps, task["taskReferenceName"])
        for steps, task in all_tasks(data["tasks"], (*place.steps, "tasks"))
        if isinstance(task.get("taskReferenceName"), str) and task["taskReferenceName"]
    ]
    refs = Refs(ref_names(ref for _, ref in found))
    changed = dict(refs.changed())
    for steps, ref in found:
        if ref in changed:
            at = Place((*steps, "taskReferenceName"), place.found)
            at.note(f"{ref[:80]!r} is written as {changed[ref][:80]!r}, in expressions too")
            if ref == "workflow":
                at.lose("${workflow.…} was left as it is: it means the run here, never a task")
    return refs


def _head(fields: Fields, within: Within) -> JsonObject:
    """All of the spec that does not depend on its tasks."""
    schemas = {name: settings.schema(fields, name) for name in ("inputSchema", "outputSchema")}
    spec: JsonObject = {
        "version": fields.whole("version", 1, _MAX_VERSION),
        "description": fields.text("description", settings.MAX_DESCRIPTION),
        **schemas,
        "inputTemplate": fields.mapping("inputTemplate"),
        "variables": fields.mapping("variables"),
        **_timeout(fields),
    }
    failure = fields.text("failureWorkflow")
    if failure is not None:
        spec["failureWorkflow"] = within.workflow_called(failure, fields.place.at("failureWorkflow"))
    is_enforced = fields.take("enforceSchema") is not False
    if any(schema is not None for schema in schemas.values()):
        _say_enforced(is_enforced, fields.place)
    return {name: value for name, value in spec.items() if value is not None and value != {}}


def _timeout(fields: Fields) -> JsonObject:
    """The timeout of a run. Conductor's default policy is not the one here, so it is always written."""
    seconds = fields.whole("timeoutSeconds", 0, settings.MAX_SECONDS)
    policy = fields.choice("timeoutPolicy", _POLICIES) or TimeoutPolicy.ALERT_ONLY.value
    return {"timeoutSeconds": seconds, "timeoutPolicy": policy} if seconds else {}


def _say_enforced(is_enforced: bool, place: Place) -> None:
    if is_enforced:
        place.note("the schemas are enforced here; Conductor OSS records them, and accepts what breaks them")
    else:
        place.at("enforceSchema").lose("false has no counterpart: the schemas of a workflow are enforced")


def _report(fields: Fields) -> None:
    """Everything of a definition that was not carried over."""
    place = fields.place
    schema_version = fields.take("schemaVersion")
    if schema_version not in (None, _SCHEMA_VERSION, str(_SCHEMA_VERSION)):
        place.at("schemaVersion").lose(f"only {_SCHEMA_VERSION} is known; the definition was read as such")
    if fields.take("restartable") is False:
        place.at("restartable").lose("false has no counterpart: any run may be restarted")
    for name, message in _NOTES.items():
        if fields.holds(name):
            place.at(name).note(message)
        fields.skip(name)
    fields.report_rest(_REASONS)
