"""No hostile proposal executes anything it should not, and each is told precisely why."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import PASSED
from .loading import Case, families
from .playing import Play


def test_an_attack_is_held_off(family: str, case: Case, request: pytest.FixtureRequest) -> None:
    found = Play(case).differences()
    if found:
        pytest.fail("\n  ".join([f"{family}/{case.case}: {case.about}", *found]), pytrace=False)
    results = request.config.stash.setdefault(PASSED, {})
    results[family] = results.get(family, 0) + 1


def test_the_corpus_is_large_enough() -> None:
    assert sum(len(family.cases) for family in families()) >= 500
    assert len(families()) >= 20


def test_the_page_of_threats_counts_as_the_corpus_does() -> None:
    page = (Path(__file__).parents[2] / "docs/architecture/threats.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| ([^|]+) \|$", page, re.MULTILINE)
    expected = {(family.family, str(len(family.cases)), family.about) for family in families()}
    assert set(rows) == expected
