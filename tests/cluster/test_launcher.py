"""The launcher on the real machine: clusters side by side, idempotence, healing, and nothing left.

Uses clusters of names of its own; one that is up already is not touched.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import leftovers
from tests.cluster.control_plane import COMPONENTS as CONTROL_PLANE
from tests.cluster.node import COMPONENTS as NODE
from tests.cluster.processes import marked
from tests.cluster.settings import REPOSITORY, Settings, settings

_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "waiting"},
    "spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": "localhost/pause:1", "imagePullPolicy": "Never"}],
    },
}
Up = Callable[..., Settings]


@pytest.fixture
def up() -> Iterator[Up]:
    """Starts clusters, and removes them whatever the test did."""
    names: list[str] = []

    def start(name: str, *options: str) -> Settings:
        names.append(name)
        _launch("up", "--name", name, *options)
        return settings(name)

    yield start
    for name in names:
        _launch("down", "--name", name)


def _launch(*words: str) -> str:
    command = [sys.executable, "-m", "tests.cluster", *words]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _kubectl(s: Settings, *words: str, text_in: str | None = None) -> str:
    command = ["kubectl", f"--kubeconfig={s.kubeconfig}", *words]
    return subprocess.run(command, input=text_in, capture_output=True, text=True, check=True).stdout


def _components(s: Settings) -> dict[str, int]:
    status: dict[str, Any] = json.loads(_launch("status", "--name", s.name, "-o", "json"))
    return {name: pid for name, pid in status["components"].items() if pid}


def _traces(s: Settings) -> list[str]:
    """Everything of a cluster that can be seen on this machine from outside."""
    processes = [f"process {pid}" for name in (*CONTROL_PLANE, *NODE) for pid in marked(s, name)]
    logs = [str(f) for f in _files("/var/log/containers") if f.is_symlink() and s.name in str(f.readlink())]
    results = leftovers.cni_results([f.name for f in _files("/var/lib/cni/results")], s.netns)
    state = [str(s.root)] if s.root.exists() else []
    return [*leftovers.found(s), *processes, *logs, *results, *state]


def _files(folder: str) -> list[Path]:
    return list(Path(folder).iterdir()) if Path(folder).is_dir() else []


def _machine() -> tuple[str, str, list[Path], list[str]]:
    """What nodes of any name could leave on the machine: firewall rules, routes, sockets, network namespaces."""
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    lines = "\n".join(line for line in rules.splitlines() if not line.startswith(("#", ":")))
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    return (
        lines,
        routes,
        sorted(_files("/run/containerd/s")),
        sorted(file.name for file in _files("/run/netns")),
    )


def test_two_control_planes_stand_side_by_side_and_leave_nothing(up: Up) -> None:
    one = up("launch-one", "--control-plane-only")
    two = up("launch-two", "--control-plane-only")
    first = _components(one)
    assert set(first) == set(_components(two)) == set(CONTROL_PLANE)
    _kubectl(one, "create", "namespace", "only-here")
    assert "only-here" in _kubectl(one, "get", "namespaces", "-o=name")
    assert "only-here" not in _kubectl(two, "get", "namespaces", "-o=name")

    up("launch-one", "--control-plane-only")
    assert _components(one) == first

    _launch("down", "--name", "launch-one")
    assert _traces(one) == []
    assert set(_components(two)) == set(CONTROL_PLANE)
    _launch("down", "--name", "launch-two")
    assert _traces(two) == []


def test_a_person_has_a_certificate_of_their_own(up: Up) -> None:
    s = up("launch-one", "--control-plane-only")
    path = _launch("user-kubeconfig", "alice@example.com", "--group", "sre", "--name", s.name).strip()
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    ask = ["kubectl", f"--kubeconfig={path}", "create", "-f", "-"]
    ask += ["--raw", "/apis/authentication.k8s.io/v1/selfsubjectreviews"]
    who = subprocess.run(ask, input=json.dumps(review), capture_output=True, text=True, check=True)
    user = json.loads(who.stdout)["status"]["userInfo"]
    assert (user["username"], user["groups"]) == ("alice@example.com", ["sre", "system:authenticated"])


@pytest.mark.parametrize("killed", [(*CONTROL_PLANE, *NODE), ("containerd",), ("kubelet",), ("etcd",)])
def test_a_node_cluster_that_was_killed_heals_and_leaves_nothing(up: Up, killed: tuple[str, ...]) -> None:
    s = up("launch-node")
    _kubectl(s, "create", "-f", "-", text_in=json.dumps(_POD))
    _kubectl(s, "wait", "--for=condition=Ready", "pod/waiting", "--timeout=60s")
    before = _components(s)
    for name in killed:
        os.kill(before[name], signal.SIGKILL)

    up("launch-node")
    assert set(_components(s)) == {*CONTROL_PLANE, *NODE}
    socket.create_connection((s.kubernetes_service, 443), timeout=5).close()
    _kubectl(s, "delete", "pod", "waiting", "--wait", "--timeout=60s")
    _kubectl(s, "create", "-f", "-", text_in=json.dumps(_POD))
    _kubectl(s, "wait", "--for=condition=Ready", "pod/waiting", "--timeout=60s")

    _launch("down", "--name", s.name)
    assert _traces(s) == []


def test_down_removes_what_a_killed_cluster_left(up: Up) -> None:
    before = _machine()
    s = up("launch-node")
    _kubectl(s, "create", "-f", "-", text_in=json.dumps(_POD))
    _kubectl(s, "wait", "--for=condition=Ready", "pod/waiting", "--timeout=60s")
    for pid in _components(s).values():
        os.kill(pid, signal.SIGKILL)
    _launch("down", "--name", s.name)
    assert _traces(s) == []
    assert _machine() == before
