"""The local cluster's launcher: the parts that need no cluster."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cluster import backends, leftovers, node, packages, pki, processes
from tests.cluster.settings import ClusterError, settings
from tests.cluster.shell import wait_for


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def test_a_cgroup_that_goes_while_its_tree_is_walked_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods = {1: tmp_path / "one", 2: tmp_path / "two"}
    for pid, folder in pods.items():
        folder.mkdir()
        (folder / "cgroup.procs").write_text(f"{pid}\n")
    monkeypatch.setattr(leftovers, "cgroups", lambda _: [tmp_path])
    killed: list[int] = []

    def kill(pid: int, _signal: int) -> None:
        killed.append(pid)
        shutil.rmtree(pods[3 - pid])

    monkeypatch.setattr(leftovers.os, "kill", kill)
    leftovers.kill_containers(settings("one", create=True))
    assert len(killed) == 1


def test_two_names_share_nothing() -> None:
    one, two = settings("one", create=True), settings("two", create=True)
    for attribute in ("root", "run", "netns", "veth", "host_ip", "node_ip", "pods", "services", "cgroup"):
        assert getattr(one, attribute) != getattr(two, attribute)
    ports = {
        s.port(c) for s in (one, two) for c in ("apiserver", "etcd", "etcd-peer", "controllers", "scheduler")
    }
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


def test_a_pid_that_was_reused_is_not_taken_for_ours() -> None:
    s = settings("one", create=True)
    (s.root / "etcd.pid").write_text(f"{os.getpid()} {processes.start_time(os.getpid())}")
    assert processes.alive(s, "etcd") == os.getpid()
    (s.root / "etcd.pid").write_text(f"{os.getpid()} 1")
    assert processes.alive(s, "etcd") is None


def test_healing_does_nothing_where_nothing_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    s = settings("fresh", create=True)
    monkeypatch.setattr(leftovers, "found", lambda _: [])
    monkeypatch.setattr(node, "down", lambda _: pytest.fail("nothing is there to remove"))
    node.heal(s)


def test_healing_does_nothing_while_every_process_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    s = settings("fresh", create=True)
    monkeypatch.setattr(processes, "alive", lambda *_: 1)
    monkeypatch.setattr(node, "down", lambda _: pytest.fail("nothing died"))
    node.heal(s)


def test_a_node_that_lost_one_process_is_healed(monkeypatch: pytest.MonkeyPatch) -> None:
    s = settings("fresh", create=True)
    healed: list[str] = []
    monkeypatch.setattr(processes, "alive", lambda _, name: None if name == "containerd" else 1)
    monkeypatch.setattr(node, "down", lambda each: healed.append(each.name))
    node.heal(s)
    assert healed == ["fresh"]


def test_only_mounts_below_the_clusters_own_folders_are_taken_deepest_first() -> None:
    mountinfo = "\n".join(
        f"1 2 0:1 / {point} rw shared:1 - tmpfs tmpfs rw"
        for point in ("/", "/s/one", "/s/one/a/b", "/s/one/a", "/s/one-more/a", "/s/with\\040space/x", "/run")
    )
    assert leftovers.mounts_below(mountinfo, [Path("/s/one")]) == ["/s/one/a/b", "/s/one/a", "/s/one"]
    assert leftovers.mounts_below(mountinfo, [Path("/s/with space")]) == ["/s/with space/x"]


def test_only_the_clusters_own_network_results_are_taken() -> None:
    mine, other = "a" * 64, "b" * 64
    names = [
        f"openworld-x-{mine}-eth0",
        f"cni-loopback-{mine}-lo",
        f"openworld-x-y-{other}-eth0",
        f"cni-loopback-{other}-lo",
    ]
    assert leftovers.cni_results(names, "openworld-x") == names[:2]


def test_a_process_is_found_by_its_mark_and_only_in_its_own_cluster() -> None:
    one, two = settings("one", create=True), settings("two", create=True)
    processes.start(one, "etcd", ["sh", "-c", "sleep 60 & wait"])
    pid = processes.alive(one, "etcd")
    assert pid is not None
    (one.root / "etcd.pid").unlink()
    wait_for("the process's mark", lambda: pid in processes.marked(one, "etcd"), seconds=10)
    assert processes.marked(two, "etcd") == []
    assert processes.marked(one, "apiserver") == []
    processes.stop(one, "etcd")
    wait_for("the end of both processes", lambda: processes.marked(one, "etcd") == [], seconds=10)


def test_a_component_that_died_is_told_with_the_end_of_its_log() -> None:
    s = settings("one", create=True)
    s.logs.mkdir()
    (s.logs / "etcd.log").write_text("address already in use\n")
    with pytest.raises(ClusterError, match=r"(?s)etcd of cluster one ended.*address already in use"):
        processes.require(s, "etcd")


def test_a_persons_certificate_names_exactly_them() -> None:
    assert pki.subject("alice@example.com", ["sre", "a/b+c"]) == "/O=sre/O=a\\/b\\+c/CN=alice@example.com"


def test_people_without_a_name_are_refused() -> None:
    with pytest.raises(ClusterError, match="must not be empty"):
        pki.user_kubeconfig(settings("one", create=True), "", [])


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
    assert path.stat().st_mode & 0o777 == 0o600
    cluster.down()
    assert len(asked) == 1
    assert not path.exists()


def test_two_contexts_never_share_a_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "run", lambda command: command[-1])
    paths = [
        Path(backends.choose("x", {"CLUSTER": "existing", "CONTEXT": context}).kubeconfig())
        for context in ("mine", "yours")
    ]
    assert [path.read_text() for path in paths] == ["--context=mine", "--context=yours"]


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
