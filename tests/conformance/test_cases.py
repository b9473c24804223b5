"""Each recorded behaviour of the task language: as recorded, or as its `ours` says."""

from __future__ import annotations

import pytest

from .case import Case
from .conftest import PASSED
from .playing import Play

_MOST_SHOWN = 12


def test_a_recorded_behaviour_is_ours(case: Case, request: pytest.FixtureRequest) -> None:
    results = request.config.stash.setdefault(PASSED, {})
    results[case.name] = False
    found = list(Play(case).differences())
    if case.missing or found:
        pytest.fail(_told(case, found), pytrace=False)
    results[case.name] = True


def _told(case: Case, found: list[str]) -> str:
    lines = [f"{case.name}: {case.recorded['about']}", *([f"  {case.missing}"] if case.missing else [])]
    lines += [f"  {text}" for text in found[:_MOST_SHOWN]]
    if len(found) > _MOST_SHOWN:
        lines.append(f"  and {len(found) - _MOST_SHOWN} more")
    return "\n".join(lines)
