"""The LedgerSegment resource: a sealed, immutable stretch of an execution's ledger, by the operator alone."""

from __future__ import annotations

from pydantic import Field

from .meta import DnsName, JsonObject, Strict


class LedgerSegment(Strict):
    """Events of an execution that were moved out of its status, and the state that they had led to."""

    execution: DnsName = Field(description="Name of the Execution.")
    execution_uid: str = Field(alias="executionUID", min_length=1, description="uid of the Execution.")
    index: int = Field(ge=0, description="Which of the execution's segments, from 0.")
    first: int = Field(ge=0, description="Sequence number of its first event.")
    last: int = Field(ge=0, description="Sequence number of its last event.")
    prev: str = Field(description="Hash before its first event.")
    hash: str = Field(description="Hash of its last event.")
    events: list[JsonObject] = Field(description="The events, oldest first.")
    snapshot: JsonObject | None = Field(
        default=None,
        description="The state after its last event, so that recovery need not read the segments before. "
        "Absent where it would be too large.",
    )
