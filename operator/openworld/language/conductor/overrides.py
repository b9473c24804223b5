"""What a task overrides of its tool's settings: the task definition that it carries in itself."""

from __future__ import annotations

from openworld.api import TaskType
from openworld.api.meta import JsonObject

from . import settings
from .catalog import SILENT
from .fields import Fields
from .within import Here

#: Types that are no tools of the import, and follow the task definition of their name all the same.
_CALLING = ("HTTP", "LLM_CHAT_COMPLETE", "LIST_MCP_TOOLS", "CALL_MCP_TOOL")
_SINGLE = "is not carried over: a single task overrides retries and timeouts, the rest is its tool's"


def overrides_of(here: Here, task: JsonObject) -> JsonObject:
    """`taskDefinition`, and the task's input with the definition's template under it."""
    fields = _definition(here)
    if fields is None:
        return {}
    overrides = {"retry": settings.retry(fields), "timeouts": settings.timeouts(fields)}
    found: JsonObject = {"taskDefinition": {key: value for key, value in overrides.items() if value}}
    template = fields.mapping("inputTemplate")
    if template:
        fields.place.at("inputTemplate").note("is merged into the task's inputParameters")
        found["inputParameters"] = here.within.refs.resolved(template) | task.get("inputParameters", {})
    fields.skip("name", "description", *SILENT)
    fields.report_rest({}, _SINGLE)
    return {key: value for key, value in found.items() if value}


def _definition(here: Here) -> Fields | None:
    """The definition that is not the tool itself: the embedded one, or of a caller the registered one."""
    embedded = here.fields.mapping("taskDefinition")
    registered = here.within.tools.definitions.get(here.name)
    is_simple = here.kind == TaskType.SIMPLE
    if embedded:
        place = here.place.at("taskDefinition")
        if is_simple and registered is not None:
            if registered.data == {**embedded, "name": here.name}:
                return None
            place.note("what it leaves out is the tool's setting here, and Conductor's default there")
        return Fields(embedded, place)
    if here.kind in _CALLING and registered is not None:
        here.place.note(f"its retries and timeouts are those of the task definition {here.name[:80]!r}")
        wanted = {key: registered.data.get(key) for key in (*settings.KEYS, "inputTemplate")}
        return Fields(wanted, registered.place)
    return None
