"""The command line over a ledger that is sealed in segments: nothing of the story is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openworld.controller.names import payload_name, segment_name
from openworld.language.canonical import digest
from openworld.ledger import apart
from tests.support.world import world as world_of
from tests.unit.cli_double import FakeCluster, execution, invoke, oncall_done, oncall_waiting


def sealed(body: dict[str, Any], *ends: int) -> FakeCluster:
    """A cluster where the events up to each of `ends` stand in a segment of their own."""
    ledger = body["status"]["ledger"]
    events, cluster, first = ledger["events"], FakeCluster(), 0
    for index, end in enumerate(ends):
        name = segment_name("run-1", "uid-1", index)
        spec = {"events": events[first:end]}
        cluster.put({"kind": "LedgerSegment", "metadata": {"name": name}, "spec": spec})
        first = end
    return cluster.put(
        {
            **body,
            "status": {
                **body["status"],
                "ledger": {**ledger, "segments": len(ends), "events": events[first:]},
            },
        }
    )


@pytest.mark.parametrize("verb", [("ledger",), ("tree",), ("ledger", "-o", "json"), ("ledger", "--follow")])
def test_what_is_sealed_is_told_like_the_rest(verb: tuple[str, ...]) -> None:
    whole = execution(oncall_done())
    verb_name, *options = verb
    plain = invoke(FakeCluster().put(whole), verb_name, "run-1", *options).output
    assert "rollback" in plain
    assert invoke(sealed(whole, 3, 9), verb_name, "run-1", *options).output == plain


def test_an_item_that_waits_is_shown_from_its_segment() -> None:
    body = execution(oncall_waiting())
    count = len(body["status"]["ledger"]["events"])
    result = invoke(sealed(body, count), "approve", "run-1", "--yes")
    assert "service: checkout" in result.output


def test_a_segment_that_is_missing_is_named() -> None:
    cluster = sealed(execution(oncall_done()), 3)
    name = segment_name("run-1", "uid-1", 0)
    del cluster.objects[("LedgerSegment", name)]
    result = invoke(cluster, "ledger", "run-1")
    assert result.exit_code == 1
    assert f"the ledger is not whole: its segment {name} is missing" in result.stderr


def test_a_large_value_is_told_and_written_out_and_named_by_its_digest_otherwise() -> None:
    large = {"text": "y" * 9_000}
    world = world_of({"ref": "one", "type": "a"}).step().completes("one", large)
    body = execution(world)
    name = payload_name("run-1", "uid-1", digest(large))
    spec = {"payload": {"digest": digest(large), "value": large}}
    segment = {"kind": "LedgerSegment", "metadata": {"name": name}, "spec": spec}
    cluster = FakeCluster().put(body).put(segment)
    assert "yyyy" in invoke(cluster, "ledger", "run-1").output
    recorded = json.loads(invoke(cluster, "ledger", "run-1", "-o", "json").output)
    assert recorded == world.events
    written = json.loads(invoke(cluster, "ledger", "run-1", "-o", "json", "--payloads").output)
    assert [event["output"] for event in written if event["type"] == "TaskCompleted"] == [large]
    assert [apart(event)[0] for event in written] == world.events
    spec["payload"]["value"] = {"text": "z"}
    result = invoke(FakeCluster().put(body).put(segment), "ledger", "run-1")
    assert f"its segment {name} holds another value than {digest(large)}" in result.stderr
    result = invoke(FakeCluster().put(body), "ledger", "run-1")
    assert f"its segment {name} is missing" in result.stderr
