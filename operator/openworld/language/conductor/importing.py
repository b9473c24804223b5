"""An import: the definitions of both kinds together, as objects that can be applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from openworld.api import API_VERSION, Tool
from openworld.api.meta import Json, JsonObject
from openworld.language.canonical import MAX_DEPTH
from openworld.language.reading import InvalidResource, read

from .arrays import all_tasks, inline_definition
from .catalog import MAX_TOOLS, TaskDef, Tools, tool
from .losses import Loss, NotADefinition, Place
from .names import object_name, tool_names, unused, workflow_names
from .workflows import check_spec, imported_workflow, name_of, version_of

_OWNER = "openworld.dev/owner"


@dataclass(frozen=True, slots=True)
class Imported:
    """Complete objects, and what was not carried over as it was, by definition and in order."""

    workflows: list[JsonObject]
    catalogs: list[JsonObject]
    losses: list[Loss]


def import_definitions(
    workflows: Sequence[JsonObject], tasks: Sequence[JsonObject], *, image: str, catalog: str = "imported"
) -> Imported:
    """Workflows and catalogs made from Conductor's definitions. Raises NotADefinition.

    `image` is that of every tool; `catalog` is the catalogs' name. Steps of losses begin with `workflows` or
    `tasks` and the definition's index; those without steps are about the import as a whole.
    """
    place = Place()
    given = list(_checked(workflows, place.at("workflows")))
    names = [name_of(data, at) for data, at in given]
    definitions = _definitions(tasks, place.at("tasks"), given)
    called = [task["name"] for task, _ in _simple_tasks(given)]
    new_names = tool_names([*definitions, *called])
    titles = [catalog] + [f"{catalog}-{number}" for number in range(2, 1 + -(-len(definitions) // MAX_TOOLS))]
    known = Tools(new_names, definitions, titles)
    objects = list(_workflows(given, known, workflow_names(names)))
    catalogs = _catalogs(known, image)
    if catalogs:
        place.note(
            "every tool is written as effect: Write, since a task definition does not say; review them, "
            "as policies match on it"
        )
        place.note(
            "every tool is written as idempotent: true, since Conductor delivers a task at least once; "
            "set it to false where running twice does harm"
        )
    return Imported(objects, catalogs, list(dict.fromkeys(place.found)))


def _checked(definitions: Sequence[Json], place: Place) -> Iterator[tuple[JsonObject, Place]]:
    for index, data in enumerate(definitions):
        at = place.at(index)
        if not isinstance(data, Mapping):
            raise NotADefinition(at.steps, "a definition is an object")
        if _is_deeper(data, MAX_DEPTH):
            raise NotADefinition(at.steps, f"is nested deeper than {MAX_DEPTH} levels")
        yield dict(data), at


def _is_deeper(value: Json, levels: int) -> bool:
    layer: list[Json] = [value]
    for _ in range(levels + 1):
        layer = [
            inner
            for item in layer
            for inner in (
                item.values() if isinstance(item, Mapping) else item if isinstance(item, list) else ()
            )
            if isinstance(inner, Mapping | list)
        ]
        if not layer:
            return False
    return True


def _definitions(
    tasks: Sequence[Json], place: Place, workflows: Sequence[tuple[JsonObject, Place]]
) -> dict[str, TaskDef]:
    """Task definitions by name: those of the import, then those that only a task carries in itself."""
    found: dict[str, TaskDef] = {}
    for data, at in _checked(tasks, place):
        name = data.get("name")
        if not isinstance(name, str) or not name:
            raise NotADefinition((*at.steps, "name"), "a task definition needs a name")
        first = found.setdefault(name, TaskDef(data, at))
        if first.place.steps != at.steps:
            same = "the same again" if first.data == data else "another one, and left out"
            say = at.note if first.data == data else at.lose
            say(f"the task {name[:80]!r} is defined already; this is {same}")
    for task, at in _simple_tasks(workflows):
        embedded = task.get("taskDefinition")
        if isinstance(embedded, Mapping) and embedded and task["name"] not in found:
            carried = at.at("taskDefinition")
            found[task["name"]] = TaskDef({**embedded, "name": task["name"]}, carried)
            carried.note(f"the tool {task['name'][:80]!r} is made from it, as no other definition is there")
    return found


def _simple_tasks(workflows: Sequence[tuple[JsonObject, Place]]) -> Iterator[tuple[JsonObject, Place]]:
    """The tasks that need a tool, those of inline workflows too."""
    for data, at in workflows:
        for steps, task in all_tasks(data.get("tasks"), (*at.steps, "tasks")):
            here = Place(steps, at.found)
            name, kind = task.get("name"), task.get("type")
            if isinstance(name, str) and name and kind in (None, "", "SIMPLE"):
                yield task, here
            inner = inline_definition(task)
            if inner is not None:
                yield from _simple_tasks([(inner, here.at("subWorkflowParam", "workflowDefinition"))])


def _workflows(
    given: Sequence[tuple[JsonObject, Place]], tools: Tools, names: Mapping[str, str]
) -> Iterator[JsonObject]:
    distinct = list(_distinct(given))
    versions = Counter(name for name, _ in {(data["name"], version_of(data)) for data, _ in distinct})
    taken: set[str] = set()
    for data, at in distinct:
        name = data["name"]
        title = object_name(name)
        if versions[name] > 1:
            title += f"-v{version_of(data)}"
        title = unused(title, taken, "-")
        if names[name] != name:
            at.at("name").note(f"{name[:80]!r} is written as {names[name]!r}: its characters are not allowed")
        spec = imported_workflow(data, at, tools=tools, names=names)
        if names[name] != title:
            spec = {"name": names[name]} | spec
        check_spec(spec, at)
        yield _object("Workflow", title, spec, data.get("ownerEmail"))


def _distinct(given: Sequence[tuple[JsonObject, Place]]) -> Iterator[tuple[JsonObject, Place]]:
    """The definitions without exact repetitions; two that differ under one name and version are reported."""
    first: dict[tuple[str, int], JsonObject] = {}
    for data, at in given:
        name, version = data["name"], version_of(data)
        before = first.setdefault((name, version), data)
        if before is not data and before == data:
            at.note("the same definition is there already; written once")
            continue
        if before is not data:
            at.error(f"{name[:80]!r} version {version} is defined already, otherwise; remove one of the two")
        yield data, at


def _catalogs(tools: Tools, image: str) -> list[JsonObject]:
    made: list[JsonObject] = []
    for old, definition in tools.definitions.items():
        name, place = tools.names[old], definition.place
        if name != old:
            place.at("name").note(
                f"{old[:80]!r} is written as {name!r}; data that names it, as in dynamic forks, must follow"
            )
        made.append(tool(definition, name=name, image=image))
        try:
            read(Tool, made[-1], "")
        except InvalidResource as invalid:
            for finding in invalid.findings:
                place.error(f"{finding.path}: {finding.message}")
    chunks = [made[start : start + MAX_TOOLS] for start in range(0, len(made), MAX_TOOLS)]
    return [
        _object("ToolCatalog", title, {"tools": chunk})
        for title, chunk in zip(tools.catalogs, chunks, strict=False)
    ]


def _object(kind: str, name: str, spec: JsonObject, owner: Json = None) -> JsonObject:
    metadata: JsonObject = {"name": name}
    if isinstance(owner, str) and owner:
        metadata["annotations"] = {_OWNER: owner}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
