"""A ledger that grows is sealed in segments: the status stays small, and the record whole."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest

from openworld.controller import record
from openworld.engine import snapshot
from openworld.kube import Unavailable
from openworld.kube.resources import EXECUTIONS, LEDGER_SEGMENTS, SIGNALS, WORKFLOWS
from openworld.ledger import genesis, verify
from tests.support.reconciling import KEY, Bench, once
from tests.support.world import world

EVENTS_A_TASK = 2


def chain(tasks: int) -> Bench:
    """An execution of that many NOOPs behind a person."""
    steps: list[dict[str, Any]] = [{"ref": "h", "type": "HUMAN"}]
    steps += [{"ref": f"n{number}", "type": "NOOP"} for number in range(tasks)]
    bench = Bench()
    bench.api.put(WORKFLOWS, "team", "main", spec={"tasks": [*steps, {"ref": "end", "type": "HUMAN"}]})
    return bench.execution().go()


def let_on(bench: Bench, ref: str = "h") -> Bench:
    """The person lets it go on."""
    spec = {
        "execution": "run-1",
        "executionUID": bench.uid,
        "type": "Complete",
        "by": "b@example.com",
        "ref": ref,
    }
    bench.api.put(SIGNALS, "team", f"go-on-{ref}", spec=spec)
    return bench.watch()


def segments(bench: Bench) -> list[dict[str, Any]]:
    """The specs of the segments, in order."""
    found = (body["spec"] for body in bench.api.all(LEDGER_SEGMENTS, "team"))
    return sorted((spec for spec in found if "payload" not in spec), key=lambda s: s["index"])


def ledger(bench: Bench) -> dict[str, Any]:
    """What stands in the status."""
    return dict(bench.run["status"]["ledger"])


@pytest.fixture(autouse=True)
def _soon() -> Any:
    with patch.object(record, "SEAL_EVENTS", 20):
        yield


def test_events_move_to_a_segment_and_the_status_points_there() -> None:
    bench = let_on(chain(15)).reconcile()
    (segment,) = segments(bench)
    assert (segment["index"], segment["first"], segment["last"]) == (0, 0, 2 + 15 * EVENTS_A_TASK + 1)
    (pointer,) = ledger(bench)["sealed"]
    assert (pointer["last"], pointer["hash"]) == (segment["last"], segment["hash"])
    assert ledger(bench)["events"] == []
    assert ledger(bench)["head"] == {"seq": segment["last"], "hash": segment["hash"]}
    (owner,) = bench.api.all(LEDGER_SEGMENTS, "team")[0]["metadata"]["ownerReferences"]
    assert owner["uid"] == bench.uid


def test_the_record_is_one_chain_through_all_segments_and_survives_a_restart() -> None:
    bench = let_on(chain(15)).reconcile()
    bench.restart()
    bench.watch().reconcile()
    let_on(bench, "end").reconcile()
    events = [event for segment in segments(bench) for event in segment["events"]]
    events += ledger(bench)["events"]
    spec = bench.run["spec"]
    verify(events, first=0, prev=genesis(bench.uid, events[0]["definition"], spec.get("input") or {}))
    assert events[-1]["type"] == "ExecutionCompleted"
    assert [e["ref"] for e in events if e["type"] == "TaskCompleted"] == [
        "h",
        *[f"n{number}" for number in range(15)],
        "end",
    ]


def test_a_crash_between_segment_and_status_loses_nothing() -> None:
    bench = let_on(chain(15))
    state = {"statuses": 0}

    def stall(request: Any) -> None:
        if request.method == "PUT" and request.path.endswith("/executions/run-1/status"):
            state["statuses"] += 1
            if state["statuses"] == 2:
                raise Unavailable("the API server did not answer")

    bench.api.hooks.append(stall)
    with pytest.raises(Unavailable):
        bench.reconcile()
    assert len(segments(bench)) == 1
    assert len(ledger(bench)["events"]) > 20
    bench.api.hooks.clear()
    bench.restart()
    bench.go()
    let_on(bench, "end").reconcile()
    assert len(segments(bench)) == 1
    assert ledger(bench)["sealed"][0]["last"] == segments(bench)[0]["last"]
    assert [event["type"] for event in ledger(bench)["events"]] == ["TaskCompleted", "ExecutionCompleted"]


def test_one_of_the_segments_that_the_status_points_to_carries_a_snapshot() -> None:
    state = world({"ref": "end", "type": "NOOP"}).step().state
    carries = [index for index in range(200) if record.carries_snapshot(index, state)]
    assert carries[0] == 0
    gaps = {later - earlier for earlier, later in pairwise(carries)}
    assert max(gaps) < record.MOST_POINTERS


def test_without_snapshots_recovery_reads_all_segments() -> None:
    with patch.object(record, "MOST_SNAPSHOT_BYTES", 10):
        bench = let_on(chain(15)).reconcile()
        assert "snapshot" not in segments(bench)[0]
        bench.restart()
        bench.watch().reconcile()
    assert bench.run["status"]["tasks"]["end"]["status"] == "InProgress"


@pytest.mark.parametrize("how", ["event", "snapshot", "pointer", "missing"])
def test_a_segment_that_was_tampered_with_is_reported_and_nothing_done(how: str) -> None:
    bench = let_on(chain(15)).reconcile()
    body = bench.api.all(LEDGER_SEGMENTS, "team")[0]
    spec = body["spec"]
    if how == "event":
        spec["events"][3]["output"] = {"forged": True}
    elif how == "snapshot":
        spec["snapshot"]["variables"] = {"forged": True}
    elif how == "pointer":
        spec["hash"] = "sha256:0"
    if how == "missing":
        bench.api.take(LEDGER_SEGMENTS, "team", body["metadata"]["name"])
    else:
        bench.api.put(LEDGER_SEGMENTS, "team", body["metadata"]["name"], spec=spec)
    bench.restart()
    let_on(bench, "end").reconcile()
    conditions = {c["type"]: c["status"] for c in bench.run["status"]["conditions"]}
    assert conditions["LedgerCorrupt"] == "True"
    assert bench.run["status"]["phase"] == "Running"


def test_a_conflict_while_sealing_is_started_over() -> None:
    bench = let_on(chain(15))

    def overtake(_: Any) -> None:
        bench.api.put(EXECUTIONS, "team", "run-1", metadata={"labels": {"touched": "true"}})

    bench.api.hooks.append(once("POST", "/ledgersegments", overtake))
    bench.reconcile()
    assert ledger(bench).get("segments") is None
    bench.watch()
    let_on(bench, "end").reconcile().reconcile()
    assert ledger(bench)["segments"] == 1
    assert len(segments(bench)) == 1


def test_a_snapshot_keeps_the_order_of_what_has_one() -> None:
    bench = let_on(chain(15)).reconcile()
    loaded = asyncio.run(bench.reconciler._executions.fresh(KEY))
    again = snapshot.restore(loaded.state.identity, segments(bench)[0]["snapshot"], {})
    assert list(again.tasks) == ["h", *[f"n{n}" for n in range(15)], "end"]
    assert again == loaded.state
