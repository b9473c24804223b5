"""What a node leaves on this machine when its processes are gone, and the removal of exactly that.

Everything is found by this cluster's own paths and names, so it does not matter what was killed,
or when. Nothing of another cluster's, or of the machine's, is touched.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from .settings import Settings
from .shell import run, wait_for

_CGROUPS = Path("/sys/fs/cgroup")
_CNI_RESULTS = Path("/var/lib/cni/results")
_CONTAINER_LOGS = Path("/var/log/containers")
_SHIM_SOCKETS = Path("/run/containerd/s")


def found(s: Settings) -> list[str]:
    """Traces of the node outside the state folder, and mounts in it."""
    paths = [s.run, s.netns_path, s.link, *cgroups(s)]
    return [*(str(path) for path in paths if path.exists()), *mounts_below(_mountinfo(), [s.root])]


def remove(s: Settings) -> None:
    """Remove all of it. The node's processes are gone or are containers, which are killed here."""
    unmount(s)
    if s.link.exists():
        run(["ip", "link", "delete", s.link.name])
    if s.netns_path.exists():
        run(["ip", "netns", "delete", s.netns])
    for folder in cgroups(s):
        wait_for(f"the removal of {folder}", partial(_cgroup_removed, folder), seconds=20)
    for file in _shim_sockets(s):
        file.unlink(missing_ok=True)
    if _CNI_RESULTS.is_dir():
        for name in cni_results(os.listdir(_CNI_RESULTS), s.netns):
            (_CNI_RESULTS / name).unlink(missing_ok=True)
    if _CONTAINER_LOGS.is_dir():
        for file in _CONTAINER_LOGS.iterdir():
            if file.is_symlink() and file.readlink().is_relative_to(s.root):
                file.unlink(missing_ok=True)
    run(["rm", "-rf", "--one-file-system", s.run])


def kill_containers(s: Settings) -> None:
    """Kill every process in this cluster's cgroups."""
    for folder in cgroups(s):
        _kill_below(folder)


def unmount(s: Settings) -> None:
    """Unmount everything below this cluster's folders, deepest first."""
    for point in mounts_below(_mountinfo(), [s.root, s.run]):
        run(["umount", "-l", point], check=False)  # a parent's lazy unmount may have taken it already


def mounts_below(mountinfo: str, folders: Iterable[Path]) -> list[str]:
    """Mount points in or below the folders, deepest first, from the text of /proc/self/mountinfo."""
    points = [_unescaped(line.split()[4]) for line in mountinfo.splitlines()]
    ours = [p for p in points if any(Path(p).is_relative_to(folder) for folder in folders)]
    return sorted(ours, key=lambda p: (-p.count("/"), p))


def cni_results(names: Iterable[str], network: str) -> list[str]:
    """The cached results of a network's sandboxes, and of their loopback devices."""
    listed = list(names)
    mine = re.compile(re.escape(network) + r"-([0-9a-f]{64})-eth0")
    sandboxes = [match.group(1) for match in map(mine.fullmatch, listed) if match]
    loopbacks = {f"cni-loopback-{sandbox}-lo" for sandbox in sandboxes}
    return [name for name in listed if mine.fullmatch(name) or name in loopbacks]


def cgroups(s: Settings) -> list[Path]:
    """This cluster's folder in each cgroup hierarchy (version 1), or in the one of version 2."""
    if (_CGROUPS / "cgroup.controllers").exists():
        hierarchies = [_CGROUPS]
    else:
        hierarchies = [d for d in _CGROUPS.iterdir() if not d.is_symlink() and (d / "cgroup.procs").exists()]
    return [hierarchy / s.cgroup.strip("/") for hierarchy in hierarchies]


def _shim_sockets(s: Settings) -> list[Path]:
    """The sockets of container shims: containerd puts them in a folder that all its instances share."""
    named = [file.read_text().strip() for file in (s.run / "containerd").rglob("address")]
    paths = [Path(text.removeprefix("unix://")) for text in named]
    return [path for path in paths if path.parent == _SHIM_SOCKETS]


def _mountinfo() -> str:
    return Path("/proc/self/mountinfo").read_text()


def _unescaped(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), point)


def _kill_below(folder: Path) -> None:
    for parent, _, _ in os.walk(folder):  # which passes over what goes while it walks; rglob does not
        file = Path(parent, "cgroup.procs")
        try:
            pids = [int(word) for word in file.read_text().split()]
        except OSError:  # the cgroup went meanwhile
            continue
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _cgroup_removed(folder: Path) -> bool:
    _kill_below(folder)
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(path)
        except OSError:  # still busy: looked at again
            continue
    return not folder.exists()
