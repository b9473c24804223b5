"""Background processes with a pid file each: started once, stopped exactly, never somebody else's.

A pid file holds the pid and the process's start time, so a pid that was given to another program
in the meantime is not taken for ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .settings import Settings
from .shell import wait_for


def start_time(pid: int) -> str | None:
    """Start time of a live process in clock ticks since boot; None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def alive(s: Settings, name: str) -> int | None:
    """The pid of a component that runs."""
    try:
        pid, _, began = (s.root / f"{name}.pid").read_text().partition(" ")
        return int(pid) if start_time(int(pid)) == began else None
    except (OSError, ValueError):
        return None


def start(
    s: Settings, name: str, command: Sequence[str | Path], *, env: dict[str, str] | None = None
) -> None:
    """Start a component unless it runs."""
    if alive(s, name):
        return
    s.logs.mkdir(parents=True, exist_ok=True)
    with (s.logs / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **(env or {})},
            cwd="/",
        )
    (s.root / f"{name}.pid").write_text(f"{process.pid} {start_time(process.pid)}")


def stop(s: Settings, name: str, *, seconds: float = 10) -> None:
    """Stop a component: politely first, then not."""
    pid = alive(s, name)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        try:
            wait_for(f"the end of {name}", lambda: _reaped(pid), seconds=seconds)
        except Exception:  # whatever went wrong, it must not stay
            os.kill(pid, signal.SIGKILL)
            wait_for(f"the end of {name}", lambda: _reaped(pid), seconds=5)
    (s.root / f"{name}.pid").unlink(missing_ok=True)


def _reaped(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return start_time(pid) is None


def kill_by_path(fragment: str) -> None:
    """Kill processes whose command line names a path of this cluster (containers' shims)."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"containerd-shim-runc-v2") and any(fragment.encode() in word for word in words):
            try:
                os.kill(int(entry.name), signal.SIGKILL)
            except ProcessLookupError:
                continue


def log_tail(s: Settings, name: str, lines: int = 15) -> str:
    """The end of a component's log, for error messages."""
    try:
        return "\n".join((s.logs / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return f"({name} has written no log)"
