"""The same commands on a cluster that is not made here: kind (needs Docker), or one that exists.

`CLUSTER=kind` uses kind. `CLUSTER=existing CONTEXT=name` uses that context of your kubeconfig and
never another one: its kubeconfig is cut out and pinned.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from . import binary
from .local import LocalCluster
from .settings import ClusterError, state_root
from .shell import run, say


class Cluster(Protocol):
    """What every backend offers."""

    def up(self, *, control_plane_only: bool = False) -> None: ...
    def down(self) -> None: ...
    def status(self) -> dict[str, object]: ...
    def kubeconfig(self) -> str: ...
    def user_kubeconfig(self, user: str, groups: list[str]) -> str: ...
    def load_image(self, tag: str) -> None: ...
    def build_image(self, tag: str, dockerfile: str, context: str, arguments: dict[str, str]) -> None: ...


def choose(name: str, env: Mapping[str, str]) -> Cluster:
    """The backend that the environment asks for."""
    wanted = env.get("CLUSTER", "local")
    if wanted == "local":
        return LocalCluster(name)
    if wanted == "kind":
        return KindCluster(name)
    if wanted == "existing":
        context = env.get("CONTEXT")
        if not context:
            raise ClusterError("CLUSTER=existing needs CONTEXT=<name of a context in your kubeconfig>")
        return ExistingCluster(name, context)
    raise ClusterError(f"CLUSTER={wanted} is unknown; use local, kind or existing")


class _DockerImages:
    def build_image(self, tag: str, dockerfile: str, context: str, arguments: dict[str, str]) -> None:
        """Build an image with Docker."""
        run(docker_build(tag, dockerfile, context, arguments))

    def user_kubeconfig(self, user: str, groups: list[str]) -> str:
        """People's certificates are signed only by clusters that are made here."""
        raise ClusterError(
            f"only the local cluster signs certificates for people ({user}, {groups}); impersonate with --as"
        )


class KindCluster(_DockerImages):
    """A cluster in Docker containers, by kind."""

    def __init__(self, name: str) -> None:
        self.name = name

    def _kind(self) -> str:
        return shutil.which("kind") or str(binary.kind())

    def _path(self) -> Path:
        path = state_root() / f"kind-{self.name}.kubeconfig"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def up(self, *, control_plane_only: bool = False) -> None:  # noqa: ARG002 (kind always has a node)
        """Create the cluster unless it exists."""
        if self.name in run([self._kind(), "get", "clusters"]).split():
            run([self._kind(), "export", "kubeconfig", "--name", self.name, "--kubeconfig", self._path()])
            return
        say(f"== kind cluster {self.name}")
        run(
            [
                self._kind(),
                "create",
                "cluster",
                "--name",
                self.name,
                "--kubeconfig",
                self._path(),
                "--wait",
                "120s",
            ]
        )

    def down(self) -> None:
        """Delete the cluster."""
        run([self._kind(), "delete", "cluster", "--name", self.name])
        self._path().unlink(missing_ok=True)

    def status(self) -> dict[str, object]:
        """Whether it exists."""
        return {"name": self.name, "exists": self.name in run([self._kind(), "get", "clusters"]).split()}

    def kubeconfig(self) -> str:
        """Path of its kubeconfig."""
        if not self._path().exists():
            raise ClusterError(f"kind cluster {self.name} is not up; `CLUSTER=kind … up` starts it")
        return str(self._path())

    def load_image(self, tag: str) -> None:
        """Put an image into its nodes."""
        run([self._kind(), "load", "docker-image", tag, "--name", self.name])


class ExistingCluster(_DockerImages):
    """A cluster of yours, by the context you named. Nothing is started or stopped."""

    def __init__(self, name: str, context: str) -> None:
        self.name = name
        self.context = context

    def up(self, *, control_plane_only: bool = False) -> None:  # noqa: ARG002 (it is what it is)
        """Check that it answers."""
        run(["kubectl", f"--kubeconfig={self.kubeconfig()}", "version"])

    def down(self) -> None:
        """Leave it alone."""
        self._path().unlink(missing_ok=True)
        say(f"   context {self.context} is yours; nothing was started, nothing is stopped")

    def status(self) -> dict[str, object]:
        """Which context is used."""
        return {"name": self.name, "context": self.context, "exists": True}

    def _path(self) -> Path:
        digest = hashlib.sha256(self.context.encode()).hexdigest()[:12]
        return state_root() / f"existing-{self.name}-{digest}.kubeconfig"

    def kubeconfig(self) -> str:
        """A kubeconfig with this one context."""
        text = run(["kubectl", "config", "view", "--minify", "--flatten", f"--context={self.context}"])
        path = self._path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        return str(path)

    def load_image(self, tag: str) -> None:
        """Push to your registry yourself: it is not known here."""
        raise ClusterError(
            f"push {tag} to a registry that the cluster of context {self.context} can pull from"
        )


def docker_build(tag: str, dockerfile: str, context: str, arguments: Mapping[str, str]) -> list[str]:
    """The command that builds an image with Docker."""
    words = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
    return ["docker", "build", "-t", tag, "-f", dockerfile, *words, context]


def from_environment(name: str) -> Cluster:
    """The backend for this process's environment."""
    return choose(name, os.environ)
