"""The demo's command: what it must not take away from a release that exists."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.demo import served


@pytest.mark.parametrize(
    ("code", "values", "kept"),
    [
        (1, "", []),
        (0, "null", ["openworld-system"]),
        (0, "{}", ["openworld-system"]),
        (0, '{"namespaces": ["oncall"]}', []),
        (0, '{"namespaces": ["team-a", "oncall", "team-b"], "image": {"tag": "x"}}', ["team-a", "team-b"]),
    ],
)
def test_the_namespaces_of_the_release_are_kept(code: int, values: str, kept: list[str]) -> None:
    def helm(*arguments: str, check: bool) -> subprocess.CompletedProcess[str]:
        assert not check
        assert arguments[:5] == ("get", "values", "openworld", "--namespace", "openworld-system")
        return subprocess.CompletedProcess(arguments, code, stdout=values, stderr="")

    assert served(helm) == kept
