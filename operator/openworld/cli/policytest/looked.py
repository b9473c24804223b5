"""Why no policy has anything to say of a recorded run: what was looked at, and what to do. Judges nothing."""

from __future__ import annotations

from collections.abc import Iterable

from openworld.api import TaskType
from openworld.api.policy import JUDGED
from openworld.cli.plain import counted, one_line
from openworld.cli.records import Record
from openworld.engine.evolve import fold
from openworld.engine.governed import policy_names
from openworld.engine.state import State
from openworld.simulation import Bench, given_workflow

_CROP = 160


def nothing_judged(bench: Bench, record: Record) -> str:
    """Why a run in which nothing was proposed has nothing to judge, and what to do."""
    state = fold(State(identity=record.identity), record.events)
    run = f"{one_line(record.identity.name, 63)} has no judged proposal"
    tasks = list(state.tasks.values())
    if not tasks:
        return f"{run}, and none of its tasks has begun: record it when it has gone further"
    judged = [task.ref for task in tasks if task.type is TaskType.SIMPLE or task.type in JUDGED]
    if not judged:
        types = _listed(sorted({task.type.value for task in tasks}))
        return f"{run}, and no policy is asked about its {counted(len(tasks), 'authored task')} ({types})"
    unbound = f"{run}, and no policy binds its {counted(len(judged), 'authored task')} ({_listed(judged)})"
    named = policy_names(state, workflow=given_workflow(bench, state))
    policies = list(dict.fromkeys([*named, *bench.mandatory]))
    if not policies:
        return f"{unbound}: its workflow names none by policyRef, and none of the files is mandatory"
    binds, they = ("binds", "it") if len(policies) == 1 else ("bind", "they")
    return (
        f"{unbound}: {_listed(policies)} {binds} proposals alone; with `scope: All` "
        f"{they} would bind authored tasks too"
    )


def _listed(names: Iterable[str]) -> str:
    return one_line(", ".join(names), _CROP)
