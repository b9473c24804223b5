"""Background processes: started once, stopped exactly, never somebody else's.

A pid file holds the pid and the process's start time, so a pid that was given to another program
in the meantime is not taken for ours. Each process also carries its cluster and component in one
environment variable, which its children inherit: so are found those that no pid file tells of,
such as containerd's shims, or a process whose starter was killed before it wrote the file.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .settings import ClusterError, Settings
from .shell import wait_for

MARK = "OPENWORLD_CLUSTER_PROCESS"


def start(s: Settings, name: str, command: Sequence[str | Path]) -> None:
    """Start a component unless it runs."""
    if alive(s, name):
        return
    _kill_marked(s, name)
    s.logs.mkdir(parents=True, exist_ok=True)
    with (s.logs / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, MARK: _mark(s, name)},
            cwd="/",
        )
    (s.root / f"{name}.pid").write_text(f"{process.pid} {start_time(process.pid)}")


def stop(s: Settings, name: str, *, seconds: float = 10) -> None:
    """Stop a component and what it started: politely first, then not."""
    pid = alive(s, name)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(ClusterError):
            wait_for(f"the end of {name}", lambda: _gone(pid), seconds=seconds)
    _kill_marked(s, name)
    (s.root / f"{name}.pid").unlink(missing_ok=True)


def alive(s: Settings, name: str) -> int | None:
    """The pid of a component that runs."""
    try:
        pid, _, began = (s.root / f"{name}.pid").read_text().partition(" ")
        return int(pid) if start_time(int(pid)) == began else None
    except (OSError, ValueError):
        return None


def require(s: Settings, *names: str) -> bool:
    """True. Raises ClusterError with the end of its log where a component has died."""
    for name in names:
        if alive(s, name) is None:
            raise ClusterError(
                f"{name} of cluster {s.name} ended; its log {s.logs}/{name}.log ends with:\n"
                f"{log_tail(s, name)}\nIf starting it again does not help, `down` and `up` begin anew."
            )
    return True


def log_tail(s: Settings, name: str, lines: int = 15) -> str:
    """The end of a component's log, for error messages."""
    try:
        return "\n".join((s.logs / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return f"({name} has written no log)"


def start_time(pid: int) -> str | None:
    """Start time of a live process in clock ticks since boot; None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _mark(s: Settings, name: str) -> str:
    return f"{s.root}:{name}"


def marked(s: Settings, name: str) -> list[int]:
    """Live processes that this component is, or that it started."""
    wanted = f"{MARK}={_mark(s, name)}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or another user's
            continue
        if wanted in variables and start_time(int(entry.name)) is not None:
            found.append(int(entry.name))
    return found


def _kill_marked(s: Settings, name: str) -> None:
    def none_left() -> bool:
        pids = marked(s, name)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _gone(pid)
        return not pids

    wait_for(f"the end of all that {name} started", none_left, seconds=15)


def _gone(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # only where it is this process's child
    return start_time(pid) is None
