"""The stores: what watches show, set right by lists, and let go of when nobody asks any more."""

from __future__ import annotations

import asyncio
from typing import Any

from openworld.controller import names
from openworld.controller.stores import ObjectKey, Store
from openworld.controller.world import World, affected_by, set_right, unfinished
from openworld.kube.resources import EXECUTIONS, JOBS, PODS, SIGNALS, TASK_RESULTS, WORKFLOWS
from tests.support.apiserver import ApiServerDouble


def thing(name: str, version: int, group: str = "g", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "team", "name": name, "uid": name, "resourceVersion": str(version)},
        "group": group,
        **more,
    }


def store(*, keep_gone: bool = False) -> Store[str]:
    return Store(lambda body: body.get("group"), keep_gone=lambda _: keep_gone)


def named(found: Store[str], group: str = "g") -> list[str]:
    return [held.body["metadata"]["name"] for held in found.of(group)]


def test_an_older_event_never_replaces_a_newer_object() -> None:
    found = store()
    assert found.put(thing("a", 5, note="new"))
    assert not found.put(thing("a", 4, note="old"))
    assert found.of("g")[0].body["note"] == "new"


def test_an_object_that_changes_its_group_leaves_the_old_one() -> None:
    found = store()
    found.put(thing("a", 1, "g"))
    found.put(thing("a", 2, "h"))
    assert (named(found, "g"), named(found, "h")) == ([], ["a"])


def test_a_late_event_of_a_deleted_object_does_not_bring_it_back() -> None:
    found = store()
    found.put(thing("a", 5))
    assert found.remove(thing("a", 7))
    assert not found.put(thing("a", 6))
    assert found.put(thing("a", 8))


def test_a_list_heals_a_deletion_that_no_event_told() -> None:
    found = store()
    found.put(thing("a", 5))
    found.put(thing("b", 6))
    news = found.replace([thing("b", 6)], listed_at=10)
    assert [body["metadata"]["name"] for body in news] == ["a"]
    assert named(found) == ["b"]


def test_a_list_does_not_undo_what_an_event_told_since() -> None:
    found = store()
    found.put(thing("new", 12))
    found.put(thing("a", 5))
    found.remove(thing("a", 11))
    assert found.replace([thing("a", 5)], listed_at=10) == []
    assert named(found) == ["new"]


def test_a_deleted_object_that_is_kept_is_marked_until_it_is_forgotten() -> None:
    found = store(keep_gone=True)
    found.put(thing("a", 5))
    found.remove(thing("a", 6))
    assert [held.gone for held in found.of("g")] == [True]
    assert found.get(ObjectKey("team", "a")) is None
    found.forget(ObjectKey("team", "a"))
    assert found.of("g") == []


def test_what_is_settled_is_known_but_not_told_again() -> None:
    found = store()
    found.put(thing("a", 5))
    found.settle(ObjectKey("team", "a"))
    assert found.of("g") == []
    assert not found.put(thing("a", 5))
    assert found.holds(ObjectKey("team", "a"))


def test_managed_fields_are_not_kept() -> None:
    found = store()
    body = thing("a", 5)
    body["metadata"]["managedFields"] = [{"manager": "x"}]
    found.put(body)
    assert "managedFields" not in found.of("g")[0].body["metadata"]


def test_every_watched_object_leads_to_its_execution() -> None:
    metadata = {"namespace": "team", "name": "x"}
    owner = {"apiVersion": "openworld.dev/v1alpha1", "kind": "Execution", "name": "run", "controller": True}
    run = ObjectKey("team", "run")
    assert affected_by(TASK_RESULTS, {"metadata": metadata, "spec": {"execution": "run"}}) == {run}
    assert affected_by(SIGNALS, {"metadata": metadata, "spec": {"execution": "run"}}) == {run}
    assert affected_by(JOBS, {"metadata": {**metadata, "ownerReferences": [owner]}}) == {run}
    assert affected_by(PODS, {"metadata": {**metadata, "annotations": {names.EXECUTION: "run"}}}) == {run}
    child = {"metadata": metadata, "spec": {"parent": {"name": "run"}}}
    assert affected_by(EXECUTIONS, child) == {run, ObjectKey("team", "x")}
    assert affected_by(WORKFLOWS, {"metadata": metadata}) == set()


def test_the_first_read_fills_the_stores_and_finds_what_wants_work() -> None:
    api, world = ApiServerDouble(), World()
    api.put(EXECUTIONS, "team", "running", status={"phase": "Running"})
    api.put(EXECUTIONS, "team", "done", status={"phase": "Completed"})
    told = api.put(EXECUTIONS, "team", "told", status={"phase": "Failed"})
    api.put(SIGNALS, "team", "late", spec={"execution": "told", "executionUID": told["metadata"]["uid"]})
    news = asyncio.run(set_right(api, world, ()))
    assert [body["metadata"]["name"] for _, body in news] == ["running", "done", "told", "late"]
    assert unfinished(world) == [ObjectKey("team", "running"), ObjectKey("team", "told")]


def test_only_the_served_namespaces_are_read() -> None:
    api, world = ApiServerDouble(), World()
    api.put(EXECUTIONS, "team", "mine")
    api.put(EXECUTIONS, "other", "theirs")
    news = asyncio.run(set_right(api, world, ("team",)))
    assert [body["metadata"]["name"] for _, body in news] == ["mine"]


def test_the_record_of_an_execution_is_not_kept_in_the_store() -> None:
    api, world = ApiServerDouble(), World()
    api.put(
        EXECUTIONS,
        "team",
        "run",
        spec={"input": {"a": 1}},
        status={"phase": "Running", "ledger": {"events": []}},
    )
    asyncio.run(set_right(api, world, ()))
    held = world.executions.get(ObjectKey("team", "run"))
    assert held is not None
    assert (held["spec"], held["status"]) == ({}, {"phase": "Running"})
