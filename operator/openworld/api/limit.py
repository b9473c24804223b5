"""The Limit resource: who has a place under a limit of the namespace. Written by the operator alone."""

from __future__ import annotations

from pydantic import Field

from .meta import DnsName, Strict


class LimitHolder(Strict):
    """A task, or a run, that has a place."""

    execution: DnsName = Field(description="Name of the Execution.")
    uid: str = Field(min_length=1, description="Its uid.")
    ref: str = Field(default="", max_length=253, description="Its task; empty for the run itself.")
    at: int = Field(ge=0, description="Since when (epoch, milliseconds).")


class Limit(Strict):
    """The places of one limit: a tool's concurrencyLimit and rateLimit, or a workflow's concurrency."""

    key: str = Field(max_length=1024, description="What is limited: tool/<name>, or workflow/<name>/<key>.")
    holders: list[LimitHolder] = Field(default_factory=list, max_length=10_000, description="Who runs now.")
    starts: list[LimitHolder] = Field(
        default_factory=list, max_length=10_000, description="Who started within the rate's time."
    )
