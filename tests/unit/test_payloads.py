"""Large values stand apart from the events that name them, and nothing of the record is lost by that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openworld.api import JsonObject, Phase
from openworld.api.meta import Json
from openworld.controller import record
from openworld.controller.names import payload_name
from openworld.controller.stores import ObjectKey
from openworld.engine import snapshot
from openworld.engine.projection import MOST_SHOWN_OUTPUT_BYTES, project
from openworld.engine.recover import needed_payloads, recover
from openworld.kube import Unavailable
from openworld.kube.resources import EXECUTIONS, LEDGER_SEGMENTS, WORKFLOWS
from openworld.language.canonical import digest, stored_size
from openworld.ledger import INLINE_BYTES, LedgerCorruptError, apart, join, split, verify
from tests.support.reconciling import Bench, once
from tests.support.world import world

LARGE = {"text": "x" * 20_000}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def sized(value: Any, repeat: int) -> Any:
    """The value, larger than an event holds where `repeat` says so."""
    return {"of": value, "fill": ["abcdefgh"] * repeat}


@given(
    st.dictionaries(st.sampled_from(["input", "output", "definition", "facts", "ref"]), VALUES),
    st.integers(0, 2000),
)
def test_what_was_split_is_joined_again(data: dict[str, Any], repeat: int) -> None:
    data = {key: sized(value, repeat) for key, value in data.items()}
    kept, values = split(data)
    event = {"seq": 3, "at": "t", "type": "TaskCompleted", **kept, "prev": "p", "hash": "h"}
    frame = {"seq": 3, "at": "t", "type": "TaskCompleted", "prev": "p", "hash": "h"}
    assert join(event, values) == data | frame
    assert apart(join(event, values)) == (event, values)
    for known_as, value in values.items():
        assert digest(value) == known_as
    large = {key for key, value in data.items() if stored_size(value) > INLINE_BYTES}
    assert set(kept.get("payloads", ())) == large - {"definition", "facts"}


def test_an_event_names_a_large_value_by_digest_and_size_and_the_chain_vouches_for_it() -> None:
    w = world({"ref": "one", "type": "a"}).step().completes("one", LARGE)
    (event,) = [e for e in w.of_type("TaskCompleted") if e["ref"] == "one"]
    assert "output" not in event
    assert event["payloads"] == {"output": {"digest": digest(LARGE), "bytes": stored_size(LARGE)}}
    assert w.payloads == {digest(LARGE): LARGE}
    assert w.task("one").output == LARGE
    verify(w.events, first=0, prev=w.events[0]["prev"])
    assert len(json.dumps(w.events)) < 10_000


def test_a_record_is_not_read_without_its_values_or_with_others() -> None:
    w = world({"ref": "one", "type": "a"}).step().completes("one", LARGE)
    status = project(w.state, w.events)
    assert needed_payloads(status) == {digest(LARGE)}
    with pytest.raises(LedgerCorruptError, match=r"its output, the payload sha256:.* is missing"):
        recover(w.identity, status)
    with pytest.raises(LedgerCorruptError, match="holds another value"):
        recover(w.identity, status, payloads={digest(LARGE): {"text": "y"}})


def test_what_the_api_server_escapes_counts_as_it_is_stored() -> None:
    assert stored_size({"a": "<>&x"}) == len(b'{"a":"x"}') + 3 * 6
    w = world({"ref": "one", "type": "a"}).step().completes("one", {"v": "<" * 180_000})
    assert "OutputTooLarge: the report has 1080" in w.state.reason


def test_a_large_output_of_a_run_is_named_in_its_status() -> None:
    small = (
        world({"ref": "one", "type": "a"}).step().completes("one", {"v": "x" * (MOST_SHOWN_OUTPUT_BYTES - 8)})
    )
    assert project(small.state, small.events)["output"] == small.state.output
    large = world({"ref": "one", "type": "a"}).step().completes("one", {"v": "x" * MOST_SHOWN_OUTPUT_BYTES})
    status = project(large.state, large.events)
    assert "output" not in status
    assert status["outputRef"] == {"digest": digest(large.state.output), "bytes": MOST_SHOWN_OUTPUT_BYTES + 8}


def test_a_join_of_more_than_a_record_can_hold_fails_with_the_reason() -> None:
    branches = [[{"ref": f"b{n}", "type": "a"}] for n in range(2)]
    w = world({"ref": "f", "type": "FORK_JOIN", "forkTasks": branches}).step()
    for n in range(2):
        w.completes(f"b{n}", {"v": "x" * 600_000})
    assert w.phase is Phase.FAILED
    assert w.state.reason.startswith("task f_join failed: OutputTooLarge: what it joins has 1200")


@pytest.mark.parametrize(
    "value", [{"$payload": "sha256:00"}, {"$literal": {"$payload": "x"}}, {"$payload": 1, "b": 2}]
)
def test_a_value_that_looks_like_a_mark_of_a_snapshot_is_only_a_value(value: dict[str, Any]) -> None:
    w = world({"ref": "one", "type": "a"}, {"ref": "h", "type": "HUMAN"}).step().completes("one", value)
    taken, large = snapshot.take(w.state)
    assert large == {}
    assert snapshot.restore(w.identity, json.loads(json.dumps(taken)), {}) == w.state


def values_of(bench: Bench) -> list[Any]:
    """The values that stand in segments of their own."""
    found = (body["spec"].get("payload") for body in bench.api.all(LEDGER_SEGMENTS, "team"))
    return [payload["value"] for payload in found if payload is not None]


def reported(output: dict[str, Any], *more: dict[str, Any]) -> Bench:
    """A run whose only Job has reported, before the operator has read that."""
    bench = Bench()
    bench.workflow({"ref": "look", "type": "lookup", "input": {"service": "checkout"}}, *more)
    bench.execution().go()
    bench.result(bench.pod(bench.jobs[0]), output=output)
    return bench.watch()


def test_a_value_is_stored_before_the_event_that_names_it() -> None:
    bench = reported(LARGE)
    seen: list[list[Any]] = []
    bench.api.hooks.append(once("PUT", "/status", lambda _: seen.append(values_of(bench))))
    bench.reconcile()
    assert seen == [[LARGE]]
    assert values_of(bench) == [LARGE]
    assert bench.run["status"]["output"] == LARGE
    (owner,) = next(body["metadata"]["ownerReferences"] for body in bench.api.all(LEDGER_SEGMENTS, "team"))
    assert owner["uid"] == bench.uid


def test_a_crash_between_value_and_event_records_both_once() -> None:
    bench = reported(LARGE)

    def stall(_: Any) -> None:
        raise Unavailable("the API server did not answer")

    bench.api.hooks.append(once("PUT", "/status", stall))
    with pytest.raises(Unavailable):
        bench.reconcile()
    assert values_of(bench) == [LARGE]
    assert "TaskCompleted" not in bench.events
    bench.restart()
    bench.go()
    assert bench.events[-2:] == ["TaskCompleted", "ExecutionCompleted"]
    assert values_of(bench) == [LARGE]


def test_a_restart_reads_the_values_again_and_goes_on_with_them() -> None:
    then = {"ref": "then", "type": "lookup", "input": {"of": "${look.output.text}"}}
    bench = reported(LARGE, {"ref": "h", "type": "HUMAN"}, then).reconcile()
    bench.restart()
    bench.watch()
    bench.signal("Complete", ref="h")
    bench.go()
    assert sorted(map(str, values_of(bench))) == sorted([str({"of": LARGE["text"]}), str(LARGE)])
    assert len(bench.jobs) == 2


def test_a_value_that_is_gone_stops_the_run_and_says_which() -> None:
    bench = reported(LARGE, {"ref": "h", "type": "HUMAN"}).reconcile()
    (name,) = [body["metadata"]["name"] for body in bench.api.all(LEDGER_SEGMENTS, "team")]
    del bench.api.objects[LEDGER_SEGMENTS.path("team", name)]
    bench.restart()
    bench.go()
    (corrupt,) = [c for c in bench.run["status"]["conditions"] if c["type"] == "LedgerCorrupt"]
    assert f"the segment {name} is missing, which holds {digest(LARGE)}" in corrupt["message"]


def test_a_snapshot_names_large_values_and_recovery_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "SEAL_EVENTS", 2)
    bench = reported(LARGE, {"ref": "h", "type": "HUMAN"}).reconcile()
    (sealed,) = [b["spec"] for b in bench.api.all(LEDGER_SEGMENTS, "team") if "payload" not in b["spec"]]
    assert sealed["snapshotPayloads"] == [digest(LARGE)]
    assert LARGE["text"] not in json.dumps(sealed)
    bench.restart()
    bench.watch()
    bench.signal("Complete", ref="h")
    bench.go()
    assert bench.run["status"]["phase"] == "Completed"


HUGE = {"text": "x" * (MOST_SHOWN_OUTPUT_BYTES + 1)}


def parent_of_a_child_with(held: Json) -> JsonObject:
    """The status of a parent whose child had the output HUGE, when its record holds `held` in its place."""
    bench = reported(HUGE)
    parent = {"ref": "deep", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "main"}}
    bench.api.put(WORKFLOWS, "team", "around", spec={"tasks": [parent]})
    spec = {"workflowRef": {"name": "around"}, "requestedBy": "alice@example.com"}
    bench.api.put(EXECUTIONS, "team", "run-0", spec=spec)
    bench.watch().reconcile(ObjectKey("team", "run-0"))
    (child,) = [b for b in bench.api.all(EXECUTIONS, "team") if b["spec"].get("parent")]
    bench.api.put(
        EXECUTIONS,
        "team",
        child["metadata"]["name"],
        status={**bench.reconcile().run["status"], "ledger": None},
    )
    uid, name = child["metadata"]["uid"], child["metadata"]["name"]
    bench.api.put(
        LEDGER_SEGMENTS,
        "team",
        payload_name(name, uid, digest(HUGE)),
        spec={"execution": name, "executionUID": uid, "payload": {"digest": digest(HUGE), "value": held}},
    )
    bench.watch().reconcile(ObjectKey("team", "run-0"))
    status: JsonObject = bench.api.objects[EXECUTIONS.path("team", "run-0")]["status"]
    return status


def test_a_parent_reads_the_large_output_of_its_child() -> None:
    around = parent_of_a_child_with(HUGE)
    assert around["phase"] == "Completed"
    assert around["outputRef"]["digest"] == digest(HUGE)


@pytest.mark.parametrize("held", [HUGE | {"more": 1}, None, {"text": 1e-7}])
def test_another_value_in_place_of_a_child_s_output_fails_its_parent_s_task(held: Json) -> None:
    around = parent_of_a_child_with(held)
    assert around["phase"] == "Failed"
    assert f"its output is another value than {digest(HUGE)}" in around["reason"]
