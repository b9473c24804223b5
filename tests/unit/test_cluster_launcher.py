"""The local cluster's launcher: the parts that need no cluster."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cluster import backends, node, packages, processes
from tests.cluster.settings import ClusterError, settings


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def test_two_names_share_nothing() -> None:
    one, two = settings("one", create=True), settings("two", create=True)
    for attribute in ("root", "run", "netns", "veth", "host_ip", "node_ip", "pods", "services", "cgroup"):
        assert getattr(one, attribute) != getattr(two, attribute)
    ports = {s.port(c) for s in (one, two) for c in ("apiserver", "etcd", "etcd-peer", "controllers", "scheduler")}
    assert len(ports) == 10


def test_a_name_keeps_its_slot_and_a_removed_slot_is_taken_again() -> None:
    settings("one", create=True)
    two = settings("two", create=True)
    assert settings("two").slot == two.slot == 1
    (settings("one").root / "slot.json").unlink()
    assert settings("three", create=True).slot == 0


@pytest.mark.parametrize("name", ["", "Upper", "-a", "a-", "a" * 21, "a/b"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="no cluster name"):
        settings(name)


def test_a_pid_that_was_reused_is_not_taken_for_ours(tmp_path: Path) -> None:
    s = settings("one", create=True)
    (s.root / "etcd.pid").write_text(f"{os.getpid()} {processes.start_time(os.getpid())}")
    assert processes.alive(s, "etcd") == os.getpid()
    (s.root / "etcd.pid").write_text(f"{os.getpid()} 1")
    assert processes.alive(s, "etcd") is None


def test_healing_does_nothing_where_nothing_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    s = settings("fresh", create=True)
    monkeypatch.setattr(node, "down", lambda _: pytest.fail("nothing is there to remove"))
    node.heal(s)


def test_only_missing_packages_are_named() -> None:
    assert packages.missing({"sh": "dash", "no-such-program-here": "some-package"}) == ["some-package"]


def test_existing_needs_a_context_and_an_unknown_backend_is_named() -> None:
    with pytest.raises(ClusterError, match="needs CONTEXT"):
        backends.choose("x", {"CLUSTER": "existing"})
    with pytest.raises(ClusterError, match="CLUSTER=docker is unknown"):
        backends.choose("x", {"CLUSTER": "docker"})


def test_existing_uses_the_named_context_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def record(command: list[str]) -> str:
        asked.append(command)
        return "kubeconfig"

    monkeypatch.setattr(backends, "run", record)
    cluster = backends.choose("x", {"CLUSTER": "existing", "CONTEXT": "mine"})
    path = Path(cluster.kubeconfig())
    assert asked == [["kubectl", "config", "view", "--minify", "--flatten", "--context=mine"]]
    assert path.read_text() == "kubeconfig"
    cluster.down()
    assert len(asked) == 1


def test_kind_uses_its_own_kubeconfig_and_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def record(command: list[object]) -> str:
        asked.append([str(word) for word in command])
        return "other\n"

    monkeypatch.setattr(backends, "run", record)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    cluster = backends.choose("x", {"CLUSTER": "kind"})
    cluster.up()
    cluster.load_image("i:1")
    cluster.down()
    assert asked[1][:5] == ["/bin/kind", "create", "cluster", "--name", "x"]
    assert asked[2] == ["/bin/kind", "load", "docker-image", "i:1", "--name", "x"]
    assert asked[3] == ["/bin/kind", "delete", "cluster", "--name", "x"]


def test_docker_builds_from_the_same_dockerfile() -> None:
    assert backends.docker_build("t:1", "operator/Dockerfile", ".", {"BASE_IMAGE": "b"}) == [
        "docker", "build", "-t", "t:1", "-f", "operator/Dockerfile", "--build-arg", "BASE_IMAGE=b", ".",
    ]  # fmt: skip
