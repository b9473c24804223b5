"""What every custom resource shares: strict models, names, conditions.

A model here is the single source of its CRD schema (`openworld.api.crd`), of the checks that the
operator and `openworld lint` make, and of the reference documentation. It must not hold behaviour.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

GROUP = "openworld.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

Json = Any
JsonObject = dict[str, Any]

DnsName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)
]
ToolName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$")]
TaskRef = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_.-]{0,126}$")]
#: Conductor allows nearly anything in a workflow's name.
WorkflowName = Annotated[
    str, StringConstraints(max_length=253, pattern=r"^([^\s/${}]([^/${}]*[^\s/${}])?)?$")
]
Seconds = Annotated[int, Field(ge=0, le=31_536_000)]
#: A host as a URL has it, in lower case, or all hosts below a domain.
HostPattern = Annotated[
    str, StringConstraints(pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)
]
#: US dollars with up to nine decimals, as text so that nothing is rounded.
Dollars = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$")]
SomeSeconds = Annotated[int, Field(ge=1, le=31_536_000)]


class Strict(BaseModel):
    """Base of every model: camelCase on the wire, frozen, and an unknown field is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, alias_generator=to_camel, use_enum_values=False
    )

    def wire(self) -> JsonObject:
        """The object as it is written in YAML and JSON: camelCase, only what was set."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Strict):
    """One aspect of an object's state, in the form that `kubectl wait` and GitOps tools read."""

    type: str = Field(description="What is stated, for example Valid or Complete.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(default="", description="One CamelCase word for programs.")
    message: str = Field(default="", description="A sentence for people.")
    observed_generation: int | None = Field(
        default=None, description="The metadata.generation that this condition was computed from."
    )
    last_transition_time: str | None = Field(
        default=None, description="When the status last changed (RFC 3339)."
    )


class NamedReference(Strict):
    """A reference to an object of the same namespace; references never cross namespaces."""

    name: DnsName = Field(description="Name of the object.")
