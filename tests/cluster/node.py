"""The node: a network namespace of its own with containerd, kubelet and kube-proxy in it.

Inside the namespace live the pods' bridge and kube-proxy's rules, so clusters stand side by side
and everything of a node's network goes when its namespace goes. Mounts and cgroups are found by
this cluster's own paths, whatever killed the processes that made them.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from . import images, processes
from .settings import Settings
from .shell import run, say, wait_for

COMPONENTS = ("containerd", "kubelet", "proxy")
_CGROUPS = Path("/sys/fs/cgroup")


def node_name(s: Settings) -> str:
    """Name of the one node."""
    return f"{s.name}-node"


def up(s: Settings, binary: Path) -> None:
    """Start what does not run and wait until the node is Ready."""
    _network(s)
    _files(s)
    for parent in _cgroup_parents(s):
        parent.mkdir(exist_ok=True)
        _inherit_cpuset(parent)
    inside = ["nsenter", f"--net=/run/netns/{s.netns}"]
    processes.start(s, "containerd", [*inside, "containerd", "-c", s.root / "containerd.toml"])
    wait_for(
        "containerd's start",
        lambda: s.containerd_socket.exists() and not _ctr_fails(s),
        seconds=30,
        explain=lambda: processes.log_tail(s, "containerd"),
    )
    images.load_pause(s)
    processes.start(
        s,
        "kubelet",
        [
            *inside,
            binary,
            "kubelet",
            f"--config={s.root}/kubelet.yaml",
            f"--kubeconfig={s.root}/kubelet.kubeconfig",
            f"--root-dir={s.root}/kubelet",
            f"--hostname-override={node_name(s)}",
            f"--node-ip={s.node_ip}",
        ],
    )
    processes.start(
        s,
        "proxy",
        [
            *inside,
            binary,
            "kube-proxy",
            f"--kubeconfig={s.root}/proxy.kubeconfig",
            f"--cluster-cidr={s.pods}",
            "--proxy-mode=iptables",
            f"--hostname-override={node_name(s)}",
            "--conntrack-max-per-core=0",
        ],
    )
    wait_for(
        "the node's readiness",
        lambda: _is_ready(s),
        seconds=90,
        explain=lambda: processes.log_tail(s, "kubelet"),
    )
    say(f"   node {node_name(s)} ready")


def _is_ready(s: Settings) -> bool:
    path = '{.status.conditions[?(@.type=="Ready")].status}'
    kubectl = ["kubectl", f"--kubeconfig={s.kubeconfig}"]
    status = run([*kubectl, "get", "node", node_name(s), f"-o=jsonpath={path}"], check=False)
    account = run([*kubectl, "get", "serviceaccount", "default", "-o=name"], check=False)
    return status == "True" and account != ""


def _ctr_fails(s: Settings) -> bool:
    return "Server" not in run(["ctr", "-a", s.containerd_socket, "version"], check=False)


def _network(s: Settings) -> None:
    here, there = s.veth
    if not Path(f"/run/netns/{s.netns}").exists():
        run(["ip", "netns", "add", s.netns])
    inside = ["ip", "-n", s.netns]
    if not Path(f"/sys/class/net/{here}").exists():
        run(["ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", s.netns])
        run(["ip", "addr", "add", f"{s.host_ip}/30", "dev", here])
        run([*inside, "addr", "add", f"{s.node_ip}/30", "dev", there])
    run(["ip", "link", "set", here, "up"])
    for device in ("lo", there):
        run([*inside, "link", "set", device, "up"])
    run([*inside, "route", "replace", "default", "via", s.host_ip])
    run(["nsenter", f"--net=/run/netns/{s.netns}", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])


def _files(s: Settings) -> None:
    s.run.mkdir(parents=True, exist_ok=True)
    cni = s.root / "cni"
    cni.mkdir(parents=True, exist_ok=True)
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(s.run / "ipam"),
            "ranges": [[{"subnet": s.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    (cni / "10-bridge.conflist").write_text(
        json.dumps(
            {
                "cniVersion": "1.0.0",
                "name": s.name,
                "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
            }
        )
    )
    (s.root / "containerd.toml").write_text(
        f"""version = 2
root = "{s.root}/containerd"
state = "{s.run}/containerd"
[grpc]
  address = "{s.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{images.PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
[plugins."io.containerd.internal.v1.opt"]
  path = "{s.root}/containerd-opt"
"""
    )
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{s.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": s.cgroup,
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{s.containerd_socket}",
        "tlsCertFile": f"{s.pki}/kubelet.crt",
        "tlsPrivateKeyFile": f"{s.pki}/kubelet.key",
        "resolvConf": "/etc/resolv.conf",
        "maxPods": 250,
        "podLogsDir": str(s.root / "pod-logs"),
        "serializeImagePulls": False,
        "registerNode": True,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi"},
    }
    (s.root / "kubelet.yaml").write_text(json.dumps(kubelet, indent=1))


def _cgroup_parents(s: Settings) -> list[Path]:
    """This cluster's folder in each cgroup hierarchy (version 1), or in the one of version 2."""
    hierarchies = [d for d in _CGROUPS.iterdir() if d.is_dir() and (d / "cgroup.procs").exists()]
    if (_CGROUPS / "cgroup.controllers").exists():
        hierarchies = [_CGROUPS]
    return [hierarchy / s.cgroup.strip("/") for hierarchy in hierarchies]


def _inherit_cpuset(folder: Path) -> None:
    """A new cpuset of version 1 is empty, and nothing can run in it until it is filled."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        if (folder / file).exists() and not (folder / file).read_text().strip():
            (folder / file).write_text((folder.parent / file).read_text())


def down(s: Settings) -> None:
    """Stop the node and remove what it left: containers, mounts, network, cgroups, sockets."""
    for name in ("kubelet", "proxy"):
        processes.stop(s, name)
    _kill_containers(s)
    processes.stop(s, "containerd")
    processes.kill_by_path(str(s.containerd_socket))
    unmount_below(s.root, s.run)
    if Path(f"/run/netns/{s.netns}").exists():
        run(["ip", "netns", "delete", s.netns], check=False)
    if Path(f"/sys/class/net/{s.veth[0]}").exists():
        run(["ip", "link", "delete", s.veth[0]], check=False)
    for parent in _cgroup_parents(s):
        _remove_cgroup(parent)
    run(["rm", "-rf", "--one-file-system", s.run])


def heal(s: Settings) -> None:
    """Remove what a killed node left behind, so that a new one can start."""
    if any(processes.alive(s, name) for name in COMPONENTS):
        if all(processes.alive(s, name) for name in COMPONENTS):
            return
        say("   healing: some of the node's processes are gone")
    elif not s.run.exists() and not Path(f"/run/netns/{s.netns}").exists():
        return
    else:
        say("   healing: the node was killed; removing what it left")
    down(s)


def _kill_containers(s: Settings) -> None:
    for parent in _cgroup_parents(s):
        for file in parent.rglob("cgroup.procs"):
            try:
                pids = [int(word) for word in file.read_text().split()]
            except OSError:
                continue
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue


def unmount_below(*folders: Path) -> None:
    """Unmount everything below these folders, deepest first, and the pods' network namespaces."""
    for _ in range(3):
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        ours = [p for p in points if any(p.startswith(f"{folder}/") for folder in folders)]
        if not ours:
            return
        for point in sorted(ours, key=len, reverse=True):
            run(["umount", "-l", point], check=False)


def _remove_cgroup(parent: Path) -> None:
    deadline = time.monotonic() + 10
    while parent.exists() and time.monotonic() < deadline:
        for folder in sorted(parent.rglob("*"), key=lambda p: len(p.parts), reverse=True):
            if folder.is_dir():
                _rmdir(folder)
        _rmdir(parent)
        time.sleep(0.05)


def _rmdir(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
