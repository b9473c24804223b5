"""Check 2: the tool exists, the proposer may name it, and the input fits its schema."""

from __future__ import annotations

from fnmatch import fnmatchcase

from openworld.api import JsonObject, TaskType, Tool
from openworld.governance.item import Item
from openworld.governance.question import CatalogSource, Question
from openworld.governance.verdict import Check, Denial
from openworld.language.reading import suggestion, told
from openworld.language.runtime import runtime_definition, tools_of
from openworld.language.schemas import violations


def find_tool(catalogs: tuple[CatalogSource, ...], name: str) -> Tool | str:
    """The tool of that name, or why there is none that can be used."""
    found = [
        (source.name, tool)
        for source in catalogs
        if source.catalog is not None
        for tool in source.catalog.tools
        if tool.name == name
    ]
    withheld = [(source.name, source.withheld[name]) for source in catalogs if name in source.withheld]
    owners = [catalog for catalog, _ in found] + [catalog for catalog, why in withheld if why.was_usable]
    if len(owners) > 1:
        return f"tool {name!r} is in more than one catalog: {', '.join(owners)}"
    if found:
        return found[0][1]
    if withheld:
        return withheld[0][1].reason
    problems = [source.problem for source in catalogs if source.catalog is None]
    if problems:
        return f"tool {name!r} cannot be looked up: {'; '.join(problems)}"
    known = [tool.name for source in catalogs if source.catalog is not None for tool in source.catalog.tools]
    names = ", ".join(source.name for source in catalogs) or "(none)"
    return f"there is no tool {name!r} in catalogs {names}{suggestion(name, known)}"


def check(question: Question, item: Item) -> Denial | None:
    """Deny what is not a usable tool of the catalogs, or whose input does not fit."""
    if item.task.type is TaskType.SUB_WORKFLOW:
        return _brings_usable_tools(question, item)
    if item.task.type is not TaskType.SIMPLE:
        return None
    name = item.tool_name
    agent = question.agent
    if agent is not None and not any(fnmatchcase(name, pattern) for pattern in agent.agent.tools):
        return Denial(Check.CATALOG, "agent-tools", f"agent {agent.name!r} may not use tool {name!r}")
    if item.tool is None:
        rule = "drifted" if any(name in source.withheld for source in question.catalogs) else "exists"
        return Denial(Check.CATALOG, rule, str(find_tool(question.catalogs, name)))
    wanted, allowed = item.task.retry_count, item.tool.retry.count
    if question.proposed and wanted is not None and wanted > allowed:
        reason = f"retry.count is {wanted}, and the catalog allows at most {allowed} for {name!r}"
        return Denial(Check.CATALOG, "retry", reason)
    return _fits(item.tool, item.input, provisional=item.has_expressions)


def _brings_usable_tools(question: Question, item: Item) -> Denial | None:
    """Deny a proposed definition for a tool that an item could not name, or a catalog of its own."""
    parameter = item.task.sub_workflow_param
    given = parameter.workflow_definition if parameter is not None else None
    found = runtime_definition(given) if given is not None and question.proposed else ""
    if isinstance(found, str):
        return None
    workflow, agent = found[0], question.agent
    others = sorted(set(workflow.catalogs) - {source.name for source in question.catalogs})
    if others:
        reason = f"workflowDefinition.catalogs: {others[0]!r} is none of the proposer's catalogs"
        return Denial(Check.CATALOG, "exists", reason)
    for name in tools_of(workflow):
        tool = find_tool(question.catalogs, name)
        if isinstance(tool, str):
            return Denial(Check.CATALOG, "exists", f"workflowDefinition: {tool}")
        if agent is not None and not any(fnmatchcase(name, pattern) for pattern in agent.agent.tools):
            reason = f"workflowDefinition: agent {agent.name!r} may not use tool {name!r}"
            return Denial(Check.CATALOG, "agent-tools", reason)
    return None


def _fits(tool: Tool, value: JsonObject, *, provisional: bool) -> Denial | None:
    if provisional:
        schema = tool.input_schema
        properties = schema.get("properties")
        is_closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
        if is_closed and isinstance(properties, dict):
            unknown = sorted(set(value) - set(properties))
            if unknown:
                reason = f"input of {tool.name!r}: unknown properties {', '.join(unknown)}"
                return Denial(Check.CATALOG, "input-schema", reason)
        return None
    broken = violations(tool.input_schema, value)
    if not broken:
        return None
    reason = f"input of {tool.name!r} does not fit its schema: {told(broken)}"
    return Denial(Check.CATALOG, "input-schema", reason)
