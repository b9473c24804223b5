"""The node: a network namespace of its own with containerd, kubelet and kube-proxy in it.

Inside the namespace live the pods' bridge and kube-proxy's rules, so clusters stand side by side
and everything of a node's network goes when its namespace goes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from . import images, leftovers, processes, readiness
from .settings import Settings
from .shell import run, say, wait_for

COMPONENTS = ("containerd", "kubelet", "proxy")


def up(s: Settings, binary: Path) -> None:
    """Start what does not run and wait until the node is Ready."""
    _network(s)
    _files(s)
    for parent in leftovers.cgroups(s):
        parent.mkdir(exist_ok=True)
        _inherit_cpuset(parent)
    inside = ["nsenter", f"--net={s.netns_path}"]
    processes.start(s, "containerd", [*inside, "containerd", "-c", s.root / "containerd.toml"])
    wait_for(
        "containerd's start",
        lambda: processes.require(s, "containerd") and _containerd_answers(s),
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
            f"--hostname-override={s.node_name}",
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
            f"--hostname-override={s.node_name}",
            "--conntrack-max-per-core=0",
        ],
    )
    wait_for(
        "the node's readiness",
        lambda: processes.require(s, *COMPONENTS) and readiness.node(s),
        seconds=90,
        explain=lambda: processes.log_tail(s, "kubelet"),
    )
    wait_for(
        "an answer of the `kubernetes` Service to the node",
        lambda: processes.require(s, *COMPONENTS) and _service_answers(s, inside),
        seconds=60,
        explain=lambda: processes.log_tail(s, "proxy"),
    )
    say(f"   node {s.node_name} ready")


def _containerd_answers(s: Settings) -> bool:
    if not s.containerd_socket.exists():
        return False
    return "Server" in run(["ctr", "-a", s.containerd_socket, "version"], check=False)


def _service_answers(s: Settings, inside: list[str]) -> bool:
    """Whether kube-proxy's rules lead from the node to the API server."""
    connect = "import socket, sys; socket.create_connection((sys.argv[1], 443), 2); print('yes')"
    return "yes" in run([*inside, sys.executable, "-c", connect, s.kubernetes_service], check=False)


def _network(s: Settings) -> None:
    here, there = s.veth
    if not s.netns_path.exists():
        run(["ip", "netns", "add", s.netns])
    inside = ["ip", "-n", s.netns]
    if not s.link.exists():
        run(["ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", s.netns])
        run(["ip", "addr", "add", f"{s.host_ip}/30", "dev", here])
        run([*inside, "addr", "add", f"{s.node_ip}/30", "dev", there])
    run(["ip", "link", "set", here, "up"])
    for device in ("lo", there):
        run([*inside, "link", "set", device, "up"])
    run([*inside, "route", "replace", "default", "via", s.host_ip])
    # The API server runs outside of the node and calls webhooks by their Service's address. Goes with the link.
    run(["ip", "route", "replace", s.services, "via", s.node_ip, "dev", here])
    _kernel_settings(s, there)


def _kernel_settings(s: Settings, link: str) -> None:
    """Of the namespace alone: it forwards, and says at once when a Service has no endpoints.

    Without the last three a redirect goes out instead, and what follows is dropped by the limit of a second.
    """
    wanted = {
        "ip_forward": "1",
        "conf/all/send_redirects": "0",
        f"conf/{link}/send_redirects": "0",
        "icmp_ratelimit": "0",
    }
    script = "; ".join(f"echo {value} > /proc/sys/net/ipv4/{key}" for key, value in wanted.items())
    run(["nsenter", f"--net={s.netns_path}", "sh", "-ec", script])


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
                "name": s.netns,
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
  netns_mounts_under_state_dir = true
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
        "volumePluginDir": str(s.root / "volume-plugins"),
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "podLogsDir": str(s.root / "pod-logs"),
        "serializeImagePulls": False,
        "registerNode": True,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi"},
    }
    (s.root / "kubelet.yaml").write_text(json.dumps(kubelet, indent=1))


def _inherit_cpuset(folder: Path) -> None:
    """A new cpuset of version 1 is empty, and nothing can run in it until it is filled."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        if (folder / file).exists() and not (folder / file).read_text().strip():
            (folder / file).write_text((folder.parent / file).read_text())


def down(s: Settings) -> None:
    """Stop the node and remove what it left: containers, mounts, network, cgroups, sockets."""
    for name in ("kubelet", "proxy"):
        processes.stop(s, name)
    leftovers.kill_containers(s)
    processes.stop(s, "containerd")
    leftovers.remove(s)


def heal(s: Settings) -> None:
    """Remove what a killed node left behind, so that a new one can start."""
    lost = [name for name in COMPONENTS if not processes.alive(s, name)]
    if not lost or (len(lost) == len(COMPONENTS) and not leftovers.found(s)):
        return
    say(f"   healing: {', '.join(lost)} of the node ended; removing what was left")
    down(s)
