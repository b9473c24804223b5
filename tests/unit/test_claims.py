"""Limits that bind a whole namespace: tools at a time, starts in a time, runs at a time."""

from __future__ import annotations

from typing import Any

import pytest

from openworld.api import Phase
from openworld.controller import names
from openworld.controller.stores import ObjectKey
from openworld.engine.claims import Place, Places, grant, read, release, written
from openworld.engine.needs import NeedClaim
from openworld.kube.resources import EXECUTIONS, LIMITS
from openworld.simulation import Namespace
from tests.support.reconciling import Bench
from tests.support.world import tool, world

NEED = NeedClaim("tool/a", "run-1", "uid-1", "x", most=1)
OTHER = Place("run-2", "uid-2", "y", 0)


def alive(_: Place) -> bool:
    """Nobody has left."""
    return True


def test_a_place_is_granted_once_and_again_to_the_same() -> None:
    places, answer = grant(Places(), NEED, 1000, alive)
    assert (answer.granted, [held.uid for held in places.holders]) == (True, ["uid-1"])
    again, answer = grant(places, NEED, 2000, alive)
    assert (answer.granted, again) == (True, places)


def test_without_a_place_one_waits_and_whoever_is_gone_loses_theirs() -> None:
    full = Places((OTHER,))
    same, answer = grant(full, NEED, 1000, alive)
    assert (answer.granted, answer.again_ms, same) == (False, 6000, full)
    taken, answer = grant(full, NEED, 1000, lambda _: False)
    assert (answer.granted, [held.uid for held in taken.holders]) == (True, ["uid-1"])
    assert release(taken, "uid-1", "x").holders == ()


def test_a_rate_counts_starts_in_its_time() -> None:
    need = NeedClaim("tool/a", "run-1", "uid-1", "x", rate=2, per_seconds=10)
    places = Places()
    for number, at in enumerate((1000, 4000)):
        places, answer = grant(
            places, NeedClaim("tool/a", "r", f"u{number}", rate=2, per_seconds=10), at, alive
        )
        assert answer.granted
    places, answer = grant(places, need, 5000, alive)
    assert (answer.granted, answer.again_ms) == (False, 11_000)
    places, answer = grant(places, need, 11_001, alive)
    assert answer.granted
    assert read(written(places)) == places


def test_a_tool_s_limit_holds_back_its_tasks_and_nothing_else() -> None:
    fork = [[{"ref": "x", "type": "a"}], [{"ref": "y", "type": "a"}], [{"ref": "z", "type": "b"}]]
    w = world(
        {"ref": "f", "type": "FORK_JOIN", "forkTasks": fork},
        {"ref": "j", "type": "JOIN", "joinOn": ["x", "y"]},
    )
    w.define("ToolCatalog", "tools", {"tools": [tool("a", concurrencyLimit=1), tool("b")]})
    w.others.add("uid-1")
    w.step()
    assert w.jobs.keys() == {"x", "z"}
    assert w.task("x").claims == ["tool/a"]
    assert w.last_pass is not None
    assert w.last_pass.wake_at_ms == w.now_ms + 5000
    w.completes("z", {})
    assert w.phase is Phase.RUNNING
    w.others.clear()
    w.completes("x", {})
    assert w.jobs.keys() == {"y"}


def two(concurrency: dict[str, Any]) -> tuple[Namespace, Any, Any]:
    """Two runs of a workflow, for the same customer, in one namespace."""
    made = Namespace(check=True)
    made.define("Workflow", "main", {"tasks": [{"ref": "h", "type": "HUMAN"}], "concurrency": concurrency})
    first, second = (made.start("main", {"customer": "c"}) for _ in range(2))
    made.settle()
    return made, first, second


def test_runs_with_the_same_key_queue() -> None:
    made, first, second = two({"limit": 1, "key": "${workflow.input.customer}"})
    other = made.start("main", {"customer": "d"})
    made.settle()
    assert [run.state.phase for run in (first, second, other)] == [
        Phase.RUNNING,
        Phase.PENDING,
        Phase.RUNNING,
    ]
    made.signal(first, "Complete", ref="h")
    made.settle()
    assert (first.state.phase, second.state.phase) == (Phase.COMPLETED, Phase.RUNNING)


def test_runs_without_a_place_are_rejected_where_the_workflow_says_so() -> None:
    _, first, second = two({"limit": 1, "policy": "REJECT"})
    assert (first.state.phase, second.state.phase) == (Phase.RUNNING, Phase.FAILED)
    assert second.state.reason.startswith("Rejected: 1 runs of 'main' with the key ''")


def bench() -> Bench:
    """Two runs of a tool that may run once at a time."""
    made = Bench().workflow(concurrencyLimit=1).execution().execution("run-2").watch()
    made.reconcile().reconcile(ObjectKey("team", "run-2"))
    return made


def holders(made: Bench) -> list[str]:
    """Who holds the tool's place."""
    limit = made.api.objects[LIMITS.path("team", names.limit_name("tool/lookup"))]
    return [held["execution"] for held in limit["spec"]["holders"]]


def test_the_cluster_s_limit_is_one_object_and_the_next_is_woken() -> None:
    made = bench()
    assert (holders(made), len(made.jobs)) == (["run-1"], 1)
    made.pod(made.jobs[0], phase="Succeeded", exitCode=0, message="{}", reason="Completed")
    made.go()
    assert holders(made) == []
    assert len(made.reconciler.queue) == 1
    made.watch().reconcile(ObjectKey("team", "run-2"))
    assert (holders(made), len(made.jobs)) == (["run-2"], 2)


@pytest.mark.parametrize("how", ["deleted", "ended"])
def test_a_place_of_a_run_that_is_over_is_found_free_after_a_restart(how: str) -> None:
    made = bench()
    if how == "deleted":
        made.api.take(EXECUTIONS, "team", "run-1")
    else:
        made.api.put(EXECUTIONS, "team", "run-1", status={"phase": "Failed"})
    made.restart()
    made.watch().reconcile(ObjectKey("team", "run-2"))
    assert holders(made) == ["run-2"]


def test_a_limit_that_somebody_else_wrote_is_read_again() -> None:
    made = Bench().workflow(concurrencyLimit=2).execution().watch()
    made.reconcile()
    name = names.limit_name("tool/lookup")

    def overtake(request: Any) -> None:
        if request.method == "PUT" and "/limits/" in request.path and made.api.hooks:
            made.api.hooks.clear()
            made.api.put(LIMITS, "team", name, metadata={"labels": {"touched": "true"}})

    made.execution("run-2").watch()
    made.api.hooks.append(overtake)
    made.reconcile(ObjectKey("team", "run-2"))
    assert holders(made) == ["run-1", "run-2"]
