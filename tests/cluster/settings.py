"""Where a cluster of a given name lives: folders, ports, networks. Every name has its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from .locks import held

KUBERNETES = "v1.37.2"
REPOSITORY = Path(__file__).resolve().parents[2]
DEFAULT_NAME = "openworld"
SLOTS = 60


class ClusterError(Exception):
    """Something a person can act on; shown without a traceback."""


def state_root() -> Path:
    """Where running clusters keep their files (XDG state folder)."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base).resolve() / "openworld" / "clusters"


def cache_root() -> Path:
    """Where built binaries and base images are kept between checkouts (XDG cache folder)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "openworld"


@dataclass(frozen=True)
class Settings:
    """Everything that tells one cluster from another. `slot` is a small number, one a cluster."""

    name: str
    slot: int

    @property
    def root(self) -> Path:
        """State of this cluster; `down` removes it."""
        return state_root() / self.name

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def logs(self) -> Path:
        """One log a component."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Sockets and containerd's state: short paths, for unix sockets are at most 107 bytes long."""
        return Path("/run") / f"openworld-{self.name}"

    @property
    def netns(self) -> str:
        """Network namespace of the node: its bridge and iptables rules go with it."""
        return f"openworld-{self.name}"

    @property
    def netns_path(self) -> Path:
        """Where `ip netns` keeps it."""
        return Path("/run/netns") / self.netns

    @property
    def veth(self) -> tuple[str, str]:
        """Names of the link between this machine and the node: by digest, for they are at most 15 bytes."""
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:8]
        return f"owh-{digest}", f"own-{digest}"

    @property
    def link(self) -> Path:
        """This machine's end of the link, while it exists."""
        return Path("/sys/class/net") / self.veth[0]

    @property
    def node_name(self) -> str:
        """Name of the one node."""
        return f"{self.name}-node"

    @property
    def host_ip(self) -> str:
        """This machine's end of the link: where the API server is advertised."""
        return f"10.{64 + self.slot}.255.1"

    @property
    def node_ip(self) -> str:
        """The node's end of the link."""
        return f"10.{64 + self.slot}.255.2"

    @property
    def pods(self) -> str:
        """Addresses of pods."""
        return f"10.{64 + self.slot}.0.0/20"

    @property
    def services(self) -> str:
        """Addresses of Services."""
        return f"10.{128 + self.slot}.0.0/20"

    @property
    def kubernetes_service(self) -> str:
        """Address of the `kubernetes` Service."""
        return f"10.{128 + self.slot}.0.1"

    @property
    def cgroup(self) -> str:
        """Parent of everything the node runs, in each cgroup hierarchy."""
        return f"/openworld-{self.name}"

    def port(self, component: str) -> int:
        """A port of this cluster."""
        order = ("apiserver", "etcd", "etcd-peer", "controllers", "scheduler")
        return 20100 + self.slot * 10 + order.index(component)

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the cluster's administrator."""
        return self.root / "admin.kubeconfig"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd listens."""
        return self.run / "containerd.sock"


def settings(name: str, *, create: bool = False) -> Settings:
    """The settings of a cluster. `create` takes a free slot for a name that has none."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", name):
        raise ClusterError(
            f"{name!r} is no cluster name: use up to 20 of a-z, 0-9 and -, with no - at either end"
        )
    mark = state_root() / name / "slot.json"
    with held(state_root() / ".slots.lock"):
        if mark.exists():
            return Settings(name, int(json.loads(mark.read_text())["slot"]))
        taken = {int(json.loads(path.read_text())["slot"]) for path in state_root().glob("*/slot.json")}
        slot = next((number for number in range(SLOTS) if number not in taken), None)
        if slot is None:
            raise ClusterError(f"{SLOTS} clusters exist already; remove some with `down`")
        if create:
            mark.parent.mkdir(parents=True, exist_ok=True)
            part = mark.with_suffix(".part")
            part.write_text(json.dumps({"slot": slot}))
            part.rename(mark)
    return Settings(name, slot)
