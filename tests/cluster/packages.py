"""Debian packages that the node and the image builds need. Installed only when missing."""

from __future__ import annotations

import os
import shutil

from .settings import ClusterError
from .shell import run, say

#: Program -> Debian package.
CONTROL_PLANE = {"openssl": "openssl", "kubectl": "kubernetes-client"}
NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "gcc": "gcc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/include/unistd.h": "libc6-dev",
}
IMAGES = {"buildah": "buildah", "mmdebstrap": "mmdebstrap", "ctr": "containerd"}


def missing(wanted: dict[str, str]) -> list[str]:
    """The packages whose program is not there."""
    there = {
        program: os.path.exists(program) if "/" in program else shutil.which(program) for program in wanted
    }
    return sorted({package for program, package in wanted.items() if not there[program]})


def ensure(wanted: dict[str, str]) -> None:
    """Install what is missing. Raises ClusterError where that is not possible."""
    names = missing(wanted)
    if not names:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise ClusterError(
            f"please install: {' '.join(names)} (Debian's names; as root on Debian it is done for you)"
        )
    say(f"== packages: {' '.join(names)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-q"], env=env)
    run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *names], env=env)
