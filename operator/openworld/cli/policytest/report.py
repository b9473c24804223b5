"""What came out of a policy test: lines for people, JSON for programs, JUnit for continuous integration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree import ElementTree

from openworld.api import Json, JsonObject
from openworld.cli.plain import counted, one_line
from openworld.simulation.junit import document, text_of, with_counts
from openworld.simulation.verdicts import Judged, Row, Stage

from .words import wanted_text

_REASON_CROP = 160


@dataclass(frozen=True, slots=True)
class Tested:
    """One case or proposal: from which file, where, and the verdicts. `kind` is `Written` or `Recorded`."""

    kind: str
    file: str
    where: str
    judged: Judged


@dataclass(slots=True)
class Report:
    """Everything that was judged. `notes` are what a reader must know to believe it."""

    tested: list[Tested] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def differing(self, kind: str | None = None) -> int:
        """How many cases and proposals are otherwise than wanted."""
        found = [each for each in self.tested if kind is None or each.kind == kind]
        return sum(not each.judged.is_as_wanted for each in found)

    def rows(self) -> Iterator[Row]:
        """Every item."""
        for each in self.tested:
            yield from each.judged.rows

    def summary(self) -> str:
        """One line: what was judged, and how much of it differs."""
        written = sum(each.kind == "Written" for each in self.tested)
        authored = [each.judged for each in self.tested if each.judged.is_authored]
        proposals = len(self.tested) - written - len(authored)
        tasks = sum(len(judged.rows) for judged in authored)
        counts = ((written, "case"), (proposals, "recorded proposal"), (tasks, "authored task"))
        parts = [counted(count, word) for count, word in counts if count]
        items = counted(sum(1 for _ in self.rows()), "verdict")
        differing = sum(bool(row.differs) for row in self.rows())
        differing += sum(bool(each.judged.misfit) for each in self.tested)
        said = "all as expected" if not differing else f"{differing} otherwise than expected"
        return f"{', '.join(parts)}, {items}: {said}"

    def as_json(self) -> JsonObject:
        """The report for programs."""
        return {
            "summary": {
                "tested": len(self.tested),
                "verdicts": sum(1 for _ in self.rows()),
                "differing": self.differing(),
            },
            "notes": self.notes,
            "tested": [_as_json(each) for each in self.tested],
        }

    def as_junit(self) -> str:
        """The report as XML: a suite for each file, a case for each case or proposal."""
        root = ElementTree.Element("testsuites", name="openworld policy test")
        suites: dict[str, ElementTree.Element] = {}
        for each in self.tested:
            suite = suites.get(each.file)
            if suite is None:
                suite = suites[each.file] = ElementTree.SubElement(root, "testsuite", name=text_of(each.file))
            name = text_of(each.judged.name)
            case = ElementTree.SubElement(suite, "testcase", name=name, classname=text_of(each.file))
            if not each.judged.is_as_wanted:
                told = "; ".join(_differences(each))
                ElementTree.SubElement(case, "failure", type="Verdict", message=text_of(told))
        for suite in suites.values():
            with_counts(suite)
        return document(root)


def _differences(tested: Tested) -> Iterator[str]:
    judged = tested.judged
    if judged.misfit:
        yield judged.misfit
    for row in judged.rows:
        if row.differs:
            said = row.verdict or {}
            now = (
                f"{said['decision']} ({said['check']}, {said['rule']}: {said['reason']})"
                if said
                else "no item"
            )
            yield f"{row.ref}: {now}; {wanted_text(row, tested.kind)}"


def _as_json(tested: Tested) -> JsonObject:
    judged = tested.judged
    shown: JsonObject = {
        "kind": tested.kind,
        "name": judged.name,
        "file": tested.file,
        "where": tested.where,
        "policies": list(judged.policies),
        "asWanted": judged.is_as_wanted,
        "items": [_row(row) for row in judged.rows],
    }
    optional: dict[str, Json] = {"problem": judged.problem, "misfit": judged.misfit}
    return shown | {key: value for key, value in optional.items() if value}


def _row(row: Row) -> JsonObject:
    return {
        "ref": row.ref,
        "stage": row.stage.value,
        "verdict": row.verdict,
        "wanted": row.wanted,
        "differs": list(row.differs),
        "accessAssumed": row.assumed,
    }


def name_of(row: Row) -> str:
    """An item's ref; one that is judged before its start says so."""
    ref = one_line(row.ref, 130)
    return f"{ref} (start)" if row.stage is Stage.BEFORE_START else ref


def rule_of(row: Row) -> str:
    """The rule that decided; of a check other than policy, the check too."""
    said = row.verdict or {}
    rule, check = one_line(said.get("rule") or "", 63), one_line(said.get("check") or "", 40)
    return rule if check == "policy" else f"{check}: {rule}" if rule else check


def reason_of(row: Row) -> str:
    """Why, and what an audit would have said."""
    said = row.verdict or {}
    audited = f" [without audit mode: {said['audited']}]" if said.get("audited") else ""
    return one_line(f"{said.get('reason', '')}{audited}", _REASON_CROP)
