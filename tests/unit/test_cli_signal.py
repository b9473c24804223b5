"""`openworld signal` and `terminate`: what is sent, and what is refused before that."""

from __future__ import annotations

import pytest

from openworld.api import SignalType
from openworld.cli.refs import MOST_SHOWN_TASKS
from openworld.cli.verbs.signal import _TYPES
from openworld.engine import projection
from tests.support.verbs import ACCEPTED, cluster, unserved
from tests.support.world import World
from tests.support.world import world as world_of
from tests.unit.cli_double import execution, invoke, oncall


def asking() -> World:
    """An agent whose second turn has proposed a question to a person; a task is still to come."""
    world = World(
        {
            "tasks": [
                {"ref": "writer", "type": "AGENT", "input": {"agent": "writer", "goal": "ask"}},
                {
                    "ref": "pick",
                    "type": "SWITCH",
                    "evaluatorType": "value-param",
                    "expression": "x",
                    "input": {"x": "a"},
                    "decisionCases": {"a": [{"ref": "publish", "type": "NOOP"}]},
                },
            ],
            "policyRef": {"name": "p"},
        }
    )
    world.define(
        "Policy", "p", {"rules": [{"name": "ask", "match": {"types": ["HUMAN"]}, "decision": "Allow"}]}
    )
    world.define("Agent", "writer", {"model": {"provider": "scripted", "script": {"configMapName": "s"}}})
    world.step().completes("writer", proposal={"tasks": [{"ref": "sure", "type": "HUMAN"}]})
    world.signal("Complete", ref="writer__1__sure")
    return world.completes("writer", proposal={"tasks": [{"ref": "ask", "type": "HUMAN"}]})


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("Complete", "ask"), "run-1 has no task 'ask'; did you mean 'writer__2__ask'?"),
        (("Fail", "writer__1__ask"), "run-1 has no task 'writer__1__ask'; did you mean 'writer__2__ask'?"),
        (("Rerun", "writr"), "run-1 has no task 'writr'; did you mean 'writer'?"),
        (("Rerun", "publish"), "run-1 has no task 'publish'; waiting: writer__2__ask"),
        (("Skip", "pubish"), "run-1 has no task 'pubish'; did you mean 'publish'?"),
        (("Complete", "zzz\x1b"), "run-1 has no task 'zzz\\x1b'; waiting: writer__2__ask"),
    ],
)
def test_a_task_that_does_not_exist_is_pointed_out_and_nothing_sent(
    args: tuple[str, ...], message: str
) -> None:
    c = cluster(execution(asking()), answer=ACCEPTED)
    result = invoke(c, "signal", "run-1", *args)
    assert (result.exit_code, result.stderr, c.created) == (1, f"Error: {message}\n", [])


@pytest.mark.parametrize(
    "args", [("Complete", "writer__2__ask"), ("Skip", "pick"), ("Skip", "publish"), ("Skip", "publish__2")]
)
def test_a_task_that_exists_or_may_still_come_is_sent(args: tuple[str, ...]) -> None:
    c = cluster(execution(asking()), answer=ACCEPTED)
    assert invoke(c, "signal", "run-1", *args).output == f"run-1: {args[0]} accepted\n"


@pytest.mark.parametrize("kind", ["Rerun", "Skip"])
def test_what_a_long_run_has_behind_it_is_left_to_the_operator(kind: str) -> None:
    sealed, many = execution(asking()), execution(asking())
    sealed["status"]["ledger"]["segments"] = 1
    many["status"]["tasks"] |= {f"t{number}": {"type": "NOOP", "status": "Completed"} for number in range(99)}
    assert MOST_SHOWN_TASKS == projection.MOST_SHOWN_TASKS
    for body in (sealed, many):
        c = cluster(body, answer=ACCEPTED)
        assert invoke(c, "signal", "run-1", kind, "gone").output == f"run-1: {kind} accepted\n"
        assert "did you mean 'writer__2__ask'?" in invoke(c, "signal", "run-1", "Fail", "ask").stderr


def test_what_has_not_begun_is_left_to_the_operator() -> None:
    c = cluster(unserved(), answer=ACCEPTED)
    assert invoke(c, "signal", "run-1", "Complete", "ask").output == "run-1: Complete accepted\n"


def test_signal_completes_a_task_and_pauses_a_run() -> None:
    c = cluster(execution(world_of({"ref": "ask", "type": "HUMAN"}).step()), answer=ACCEPTED)
    result = invoke(c, "signal", "run-1", "complete", "ask", "--payload", '{"ok": true}')
    assert (result.exit_code, result.output) == (0, "run-1: Complete accepted\n")
    assert invoke(c, "signal", "run-1", "PAUSE", "--reason", "lunch").output == "run-1: Pause accepted\n"
    assert [(s["spec"]["type"], s["spec"].get("ref"), s["spec"].get("payload")) for s in c.created] == [
        ("Complete", "ask", {"ok": True}),
        ("Pause", None, {"reason": "lunch"}),
    ]
    assert invoke(c, "signal", "run-1", "complete", "ask", "--group", "leads").exit_code == 0
    assert (c.created[-1]["spec"]["group"], "group" in c.created[0]["spec"]) == ("leads", False)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("skip",), "Skip is about one task: openworld signal run-1 Skip REF"),
        (("pause", "ask"), "Pause is about the whole execution and takes no REF"),
        (("pause", "--group", "leads"), "Pause is not said for a group: leave out --group"),
        (
            ("fail", "ask", "--payload", "{}"),
            "Fail takes --reason and no --payload",
        ),
        (
            ("complete", "ask", "--reason", "x"),
            "--reason does not go with Complete: the payload is the task's output",
        ),
        (
            ("complete", "ask", "--payload", "no"),
            "--payload is not JSON: Expecting value: line 1 column 1 (char 0)",
        ),
    ],
)
def test_signals_that_make_no_sense(args: tuple[str, ...], message: str) -> None:
    result = invoke(cluster(execution(oncall())), "signal", "run-1", *args)
    assert (result.exit_code, result.stderr) == (1, f"Error: {message}\n")


def test_signal_types_are_those_of_the_api_without_the_decisions() -> None:
    assert set(_TYPES) == {kind.value for kind in SignalType} - {"Approve", "Reject"}
    result = invoke(cluster(), "signal", "run-1", "approve", "x")
    assert result.exit_code == 2
    assert "use `openworld approve`, which shows what you decide on" in result.stderr
    assert "'sing' is not one of Complete, Fail, Rerun" in invoke(cluster(), "signal", "run-1", "sing").stderr


def test_terminate() -> None:
    c = cluster(execution(oncall()), answer=ACCEPTED)
    assert invoke(c, "terminate", "run-1", "--reason", "enough").output == "run-1 terminated\n"
    assert c.created[0]["spec"]["type"] == "Terminate"
    assert c.created[0]["spec"]["payload"] == {"reason": "enough"}
