"""Running other programs: output captured, failures told with what the program said."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .settings import ClusterError


def say(text: str) -> None:
    """Progress for people, on standard error: standard output is for answers."""
    print(text, file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    text_in: str | None = None,
    check: bool = True,
) -> str:
    """Run a program and return what it printed. Raises ClusterError with its last words."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, env=env, cwd=cwd, input=text_in, text=True, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not installed") from error
    if check and done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-15:]
        raise ClusterError(f"`{' '.join(words[:6])} …` failed ({done.returncode}):\n  " + "\n  ".join(said))
    return done.stdout


def wait_for(
    what: str, holds: Callable[[], bool], *, seconds: float, explain: Callable[[], str] | None = None
) -> None:
    """Look until a condition holds. Raises ClusterError naming what did not happen."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{what} did not happen within {seconds:g} s" + (f"\n{explain()}" if explain else "")
            )
        time.sleep(0.1)
