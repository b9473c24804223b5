"""What a task needs to know of the workflow and of the import that it is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from openworld.api.meta import JsonObject

from .catalog import Tools
from .fields import Fields
from .losses import Place
from .names import Refs, workflow_names


@dataclass
class Found:
    """What the tasks of a workflow turned out to need."""

    catalogs: bool = False
    #: Tools that no task definition of the import defines.
    missing: set[str] = field(default_factory=set)
    #: Tasks that run what comes from data or an inline definition: a policy judges that.
    judged: list[Place] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Within:
    """A workflow while its tasks are read, and the names of the whole import."""

    refs: Refs
    tools: Tools
    workflows: Mapping[str, str]
    #: Reads an inline workflow definition. Raises NotADefinition.
    inline: Callable[[JsonObject, Place], JsonObject]
    found: Found = field(default_factory=Found)

    def workflow_called(self, name: str, place: Place) -> str:
        """The name by which a workflow is started here."""
        if "${" in name:
            place.error(
                "is computed: a workflow is started by a fixed name here; use a SWITCH with a task for each"
            )
            return name
        new = self.workflows.get(name) or workflow_names([name])[name]
        if new != name:
            place.note(f"{name[:80]!r} is written as {new!r}: its characters are not allowed here")
        return new


@dataclass(frozen=True, slots=True)
class Here:
    """One task while it is read; `name` is the original's."""

    kind: str
    name: str
    fields: Fields
    within: Within

    @property
    def place(self) -> Place:
        """Where the task stands."""
        return self.fields.place
