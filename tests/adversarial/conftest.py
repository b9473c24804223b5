"""Every case is a test; a summary counts them by family."""

from __future__ import annotations

import pytest

from .loading import Case, families

PASSED = pytest.StashKey[dict[str, int]]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        found = [(family.family, case) for family in families() for case in family.cases]
        metafunc.parametrize(("family", "case"), found, ids=[f"{name}/{case.case}" for name, case in found])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    results = config.stash.get(PASSED, {})
    if not results:
        return
    terminalreporter.section("adversarial corpus")
    terminalreporter.write_line(f"{sum(results.values())} hostile cases held off, by family:")
    for name, number in sorted(results.items()):
        terminalreporter.write_line(f"  {number:4} {name}")


__all__ = ["PASSED", "Case"]
