"""The programs that are built here from Go modules, once a machine: the cluster itself, Helm, kind."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from pathlib import Path

from .locks import held
from .settings import KUBERNETES, ClusterError, cache_root
from .shell import say

_HERE = Path(__file__).parent
_VERSION = "k8s.io/component-base/version"


def cluster() -> Path:
    """etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet and kube-proxy in one."""
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    values = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(["-s -w", *(f"-X {_VERSION}.{key}={value}" for key, value in values.items())])
    return _build("cluster", _HERE / "binary", ".", flags, "about 15 minutes the first time")


def helm() -> Path:
    """The Helm command."""
    module = _HERE / "tools"
    pinned = re.search(r"helm\.sh/helm/v4 (v\S+)", (module / "go.mod").read_text())
    assert pinned is not None
    flags = f"-s -w -X helm.sh/helm/v4/internal/version.version={pinned.group(1)}"
    return _build("helm", module, "helm.sh/helm/v4/cmd/helm", flags, "about 3 minutes the first time")


def kind() -> Path:
    """The kind command."""
    return _build("kind", _HERE / "tools", "sigs.k8s.io/kind", "-s -w", "about a minute the first time")


def _build(name: str, module: Path, package: str, flags: str, expectation: str) -> Path:
    key = hashlib.sha256(f"{package} {flags}".encode())
    for file in sorted(module.glob("*")):
        key.update(file.read_bytes())
    folder = cache_root() / "bin" / f"{name}-{key.hexdigest()[:16]}"
    target = folder / name
    if target.exists():
        return target
    with held(folder / "lock"):
        if not target.exists():
            _compile(name, module, package, flags, expectation, target)
    return target


def _compile(name: str, module: Path, package: str, flags: str, expectation: str, target: Path) -> None:
    say(f"== building {name} ({expectation})")
    began = time.monotonic()
    part = target.with_suffix(".part")
    command = ["go", "build", "-trimpath", "-ldflags", flags, "-v", "-o", str(part), package]
    env = {**os.environ, "CGO_ENABLED": "0"}
    last: list[str] = []
    try:
        process = subprocess.Popen(command, cwd=module, env=env, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError as error:
        raise ClusterError(
            "Go is not installed; it is needed to build the local cluster (go.dev/doc/install)"
        ) from error
    assert process.stderr is not None
    for number, line in enumerate(process.stderr, start=1):
        last = [*last[-14:], line.rstrip()]
        if number % 200 == 0:
            say(f"   {name}: {number} packages, {time.monotonic() - began:.0f} s")
    if process.wait():
        raise ClusterError(f"building {name} failed:\n  " + "\n  ".join(last))
    part.rename(target)
    say(f"   {name}: built in {time.monotonic() - began:.0f} s")
