"""`pytest tests/conformance --cases DIR` runs another folder of cases; a summary says what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from .case import CASES, read_cases

PASSED = pytest.StashKey[dict[str, bool]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", type=Path, default=CASES, metavar="DIR", help="folder of conformance cases")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = read_cases(metafunc.config.getoption("--cases"))
        metafunc.parametrize("case", cases, ids=[case.name for case in cases])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    results = config.stash.get(PASSED, {})
    if not results:
        return
    cases = {case.name: case for case in read_cases(config.getoption("--cases"))}
    recorded = [name for name, passed in results.items() if passed and cases[name].is_normative]
    by_intent = [name for name, passed in results.items() if passed and not cases[name].is_normative]
    failing = [name for name, passed in results.items() if not passed]
    terminalreporter.section("conformance")
    line = terminalreporter.write_line
    line(
        f"{len(results)} cases: {len(recorded)} as recorded, {len(by_intent)} differ by intent, {len(failing)} fail"
    )
    for name in by_intent:
        line(f"  differs by intent: {name}: {cases[name].recorded['ours']}")
    for name in failing:
        line(f"  fails: {name}")
