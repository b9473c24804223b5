"""Verdicts asked offline: the engine's own question and judge over definitions that somebody holds in files.

Nothing is decided here: what the engine looks up is answered, and its verdict is set beside another one, item
by item. Who may use which tool (RBAC) is known only as far as somebody says so; the rest is assumed to be
allowed, and every item that rests on it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from openworld.api import JsonObject, Task
from openworld.engine.decide import Pass
from openworld.engine.governed import must_judge, verdict_before_start, verdict_on_proposal
from openworld.engine.needs import (
    Answer,
    Definition,
    DefinitionKind,
    Mandatory,
    Need,
    NeedAccess,
    NeedDefinition,
    NeedMandatory,
)
from openworld.engine.state import Scope, TaskState
from openworld.governance import Verdict, passed_access

from .definitions import Definitions

T = TypeVar("T")


class MissingDefinitionError(Exception):
    """A verdict needs a definition that nobody has given."""

    def __init__(self, kind: DefinitionKind, name: str) -> None:
        super().__init__(f"{kind.value} {name!r} is needed, and is not among the files")
        self.kind, self.name = kind, name


class Stage(StrEnum):
    """When an item is judged: with its proposal, and once more before it starts, with its final input."""

    PROPOSAL = "Proposal"
    BEFORE_START = "BeforeStart"


@dataclass(frozen=True, slots=True)
class Row:
    """One item: its verdict as the ledger would record it, and what is wanted of it.

    `verdict` is None where something was wanted of an item that there is not. `wanted` has the keys that
    count; None where nothing was. `differs` names those that are otherwise.
    """

    ref: str
    stage: Stage
    verdict: JsonObject | None
    wanted: JsonObject | None
    differs: tuple[str, ...] = ()
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """What was judged together: a written case, a proposal of a recorded run and what came of it, or the
    authored tasks of that run.

    `problem` is what is wrong with the proposal as a whole, `misfit` how that differs from what is wanted.
    """

    name: str
    rows: tuple[Row, ...] = ()
    problem: str = ""
    misfit: str = ""
    policies: tuple[str, ...] = ()
    is_authored: bool = False

    @property
    def is_as_wanted(self) -> bool:
        """Whether nothing differs."""
        return not self.misfit and not any(row.differs for row in self.rows)


@dataclass(slots=True)
class Bench:
    """Asks the engine for verdicts. `mandatory` policies bind beside those that a workflow names."""

    definitions: Definitions
    mandatory: tuple[str, ...] = ()
    _assumed: set[str] = field(default_factory=set)

    def on_proposal(self, p: Pass, task: TaskState, access: Mapping[str, bool]) -> Verdict:
        """The verdict on the newest proposal of a task. Raises MissingDefinitionError."""
        return self._settled(p, access, lambda: verdict_on_proposal(p, task))

    def before_start(
        self,
        p: Pass,
        scope: Scope,
        definition: Task,
        task_input: JsonObject,
        access: Mapping[str, bool],
        *,
        named_by_data: bool,
    ) -> Verdict | None:
        """The verdict on a task with its final input; None if it is not judged. Raises as `on_proposal`."""
        is_judged = self._settled(
            p, access, lambda: must_judge(p, scope, definition, named_by_data=named_by_data)
        )
        if not is_judged:
            return None
        verdict, _ = self._settled(
            p,
            access,
            lambda: verdict_before_start(p, scope, definition, task_input, named_by_data=named_by_data),
        )
        return verdict

    def assumes(self, item: JsonObject) -> bool:
        """Whether a verdict on an item rests on an access review that nobody has answered."""
        return passed_access(item) is True and item["tool"] in self._assumed

    def _settled(self, p: Pass, access: Mapping[str, bool], ask: Callable[[], T | None]) -> T:
        """The answer to a question, once everything has been looked up that it needs."""
        self._assumed = set()
        answers: dict[Need, Answer] = {}
        while True:
            p.answers, p.needs = answers, {}
            result = ask()
            if result is not None and not p.needs:
                return result
            if not p.needs:
                raise ValueError("a verdict on an execution that has not begun")
            answers = answers | {need: self._answer(need, access) for need in p.needs}

    def _answer(self, need: Need, access: Mapping[str, bool]) -> Answer:
        if isinstance(need, NeedDefinition):
            return self._find(need)
        if isinstance(need, NeedAccess):
            if need.tool not in access:
                self._assumed.add(need.tool)
            return access.get(need.tool, True)
        if isinstance(need, NeedMandatory):
            found = (self.definitions.find(DefinitionKind.POLICY, name) for name in self.mandatory)
            return Mandatory(tuple(found))
        raise TypeError(f"a verdict does not ask for {need}")

    def _find(self, need: NeedDefinition) -> Definition:
        found = self.definitions.find(need.kind, need.name, need.version)
        if found.missing:
            raise MissingDefinitionError(need.kind, need.name)
        return found
