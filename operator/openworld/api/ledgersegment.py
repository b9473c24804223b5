"""The LedgerSegment resource: a sealed, immutable stretch of an execution's ledger, by the operator alone."""

from __future__ import annotations

from pydantic import Field

from .meta import DnsName, Json, JsonObject, Strict


class Payload(Strict):
    """A value that events, or a snapshot, name by its digest."""

    digest: str = Field(description="`sha256:` and the SHA-256 of the value's canonical JSON.")
    value: Json = Field(description="The value.")


class LedgerSegment(Strict):
    """Events of an execution that were moved out of its status, or a large value that they name."""

    execution: DnsName = Field(description="Name of the Execution.")
    execution_uid: str = Field(alias="executionUID", min_length=1, description="uid of the Execution.")
    payload: Payload | None = Field(
        default=None,
        description="One large value of the record, instead of events; then nothing else is said.",
    )
    index: int | None = Field(default=None, ge=0, description="Which of the execution's segments, from 0.")
    first: int | None = Field(default=None, ge=0, description="Sequence number of its first event.")
    last: int | None = Field(default=None, ge=0, description="Sequence number of its last event.")
    prev: str | None = Field(default=None, description="Hash before its first event.")
    hash: str | None = Field(default=None, description="Hash of its last event.")
    events: list[JsonObject] | None = Field(default=None, description="The events, oldest first.")
    snapshot: JsonObject | None = Field(
        default=None,
        description="The state after its last event, so that recovery need not read the segments before. "
        "Absent where it would be too large.",
    )
    snapshot_payloads: list[str] | None = Field(
        default=None, description="Digests of the large values that the snapshot names."
    )
