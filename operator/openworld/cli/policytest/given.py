"""From files to what is judged: the definitions that judge, and the written cases. Judges nothing itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from openworld.api import Policy, Workflow
from openworld.cli.documents import Dialect, Document
from openworld.cli.errors import CliError
from openworld.cli.files import define, documents_in, is_mandatory, notes_on
from openworld.engine.needs import Definition, DefinitionKind
from openworld.language.reading import InvalidResource, read, suggestion
from openworld.simulation import Bench, Definitions, MissingDefinitionError, PolicyCase
from openworld.simulation.cases import judge_case
from openworld.simulation.verdicts import Judged

_NAMED = re.compile(r"\bexecution\s*\.\s*(name|namespace)\b")


@dataclass(frozen=True, slots=True)
class Given:
    """The definitions of the files, by kind the names of their objects, and what is not known of them."""

    bench: Bench
    names: dict[DefinitionKind, list[str]]
    notes: tuple[str, ...] = ()

    def judge(self, case: PolicyCase, where: str) -> Judged:
        """The verdict on a written case. Raises CliError where the files lack what it needs."""
        workflow = self._workflow(case, where)
        model = workflow.model
        if not isinstance(model, Workflow):
            raise CliError(f"{where}: {workflow.problem}")
        agent = None if case.worker else self._agent(case, where)
        try:
            return judge_case(self.bench, case, model, workflow.name, agent)
        except MissingDefinitionError as error:
            raise CliError(f"{where}: {error}") from None

    def names_the_run(self) -> bool:
        """Whether a rule's condition asks for the execution's name or namespace."""
        found = [
            self.bench.definitions.find(DefinitionKind.POLICY, name).model
            for name in self.names[DefinitionKind.POLICY]
        ]
        rules = [rule for policy in found if isinstance(policy, Policy) for rule in policy.rules]
        return any(rule.when is not None and _NAMED.search(rule.when) for rule in rules)

    def _workflow(self, case: PolicyCase, where: str) -> Definition:
        kind, find = DefinitionKind.WORKFLOW, self.bench.definitions.find
        if case.workflow is not None:
            found = find(kind, case.workflow)
            return self._there(found, kind, where)
        names = self.names[kind]
        if len(names) > 1:
            raise CliError(f"{where}: workflow must name one of the files' Workflows: {', '.join(names)}")
        if names:
            return find(kind, **self.bench.definitions.reference_to(names[0]))
        return Definition("", self._stand_in(where))

    def _stand_in(self, where: str) -> Workflow:
        """Where the files have no Workflow: one that names every catalog, and the only policy."""
        named = [name for name in self.names[DefinitionKind.POLICY] if name not in self.bench.mandatory]
        if len(named) > 1:
            many = f"{len(named)} Policies and no Workflow that names one"
            raise CliError(f"{where}: the files have {many}: add the Workflow")
        catalogs = self.names[DefinitionKind.TOOL_CATALOG]
        reference = {"policyRef": {"name": named[0]}} if named else {}
        nothing = {"ref": "nothing", "type": "NOOP"}
        return read(Workflow, {"tasks": [nothing], "catalogs": catalogs, **reference})

    def _agent(self, case: PolicyCase, where: str) -> Definition | None:
        kind = DefinitionKind.AGENT
        if case.agent is not None:
            return self._there(self.bench.definitions.find(kind, case.agent), kind, where)
        names = self.names[kind]
        if len(names) > 1:
            raise CliError(f"{where}: agent must name one of the files' Agents: {', '.join(names)}")
        return self.bench.definitions.find(kind, names[0]) if names else None

    def _there(self, found: Definition, kind: DefinitionKind, where: str) -> Definition:
        if found.model is None:
            meant = suggestion(found.name, self.names[kind])
            raise CliError(f"{where}: {kind.value} {found.name!r} is not among the files{meant}")
        return found


def given(paths: Iterable[Path]) -> Given:
    """The definitions of files and folders. Raises CliError."""
    definitions = Definitions()
    names: dict[DefinitionKind, list[str]] = {kind: [] for kind in DefinitionKind}
    places: dict[tuple[str, str], str] = {}
    mandatory = []
    defined = []
    put = definitions.put

    for kind, name, document in define(
        lambda kind, name, spec, status: put(DefinitionKind(kind), name, spec, status), documents_in(paths)
    ):
        defined.append((kind, name, document))
        where = f"{document.file}:{document.line()}"
        first = places.setdefault((kind.value, name), where)
        if first != where:
            raise CliError(f"{where}: {kind.value} {name!r} is defined already, at {first}")
        names[kind].append(name)
        if is_mandatory(kind, document):
            mandatory.append(name)
    if not names[DefinitionKind.POLICY]:
        raise CliError("there is no Policy in the files")
    return Given(Bench(definitions, tuple(mandatory)), names, tuple(notes_on(defined)))


def written(paths: Iterable[Path]) -> Iterator[tuple[str, str, PolicyCase]]:
    """The written cases: file, where each stands, and the case. Raises CliError with every mistake."""
    found, mistakes = [], []
    for document in documents_in(paths, Dialect.PYTHON):
        try:
            case = read(PolicyCase, document.data, path="")
        except InvalidResource as error:
            mistakes += [_mistake(document, finding.path, finding.message) for finding in error.findings]
        else:
            found.append((document.file, f"{document.file}:{document.line()}", case))
    if mistakes:
        raise CliError("\n".join(mistakes))
    yield from found


def _mistake(document: Document, path: str, message: str) -> str:
    place = f"{document.file}:{document.line(path)}"
    return ": ".join(part for part in (place, path, message) if part)
