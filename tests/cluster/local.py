"""The cluster that is made of processes of this machine: `up`, `down`, `status`."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from . import binary, control_plane, images, leftovers, node, packages, pki, processes
from .locks import held
from .settings import ClusterError, Settings, settings, state_root
from .shell import run, say


class LocalCluster:
    """etcd, the control plane and (unless told otherwise) one node."""

    def __init__(self, name: str) -> None:
        self.name = name

    def up(self, *, control_plane_only: bool = False) -> None:
        """Bring the cluster up; what runs already stays as it is, what was killed is healed."""
        if not control_plane_only and os.geteuid() != 0:
            raise ClusterError("a node needs root; use --control-plane-only, or CLUSTER=kind with Docker")
        packages.ensure(packages.CONTROL_PLANE | ({} if control_plane_only else packages.NODE))
        program = binary.cluster()
        with self._alone():
            s = settings(self.name, create=True)
            say(f"== cluster {s.name}")
            s.root.chmod(0o711)
            pki.create(s)
            if not control_plane_only:
                node.heal(s)
            control_plane.up(s, program)
            if not control_plane_only:
                node.up(s, program)

    def down(self) -> None:
        """Stop exactly what `up` started and leave nothing but the caches."""
        with self._alone():
            s = settings(self.name)
            if not s.root.exists() and not leftovers.found(s):
                say(f"   cluster {s.name} does not exist")
                return
            if os.geteuid() == 0:
                node.down(s)
            control_plane.down(s)
            run(["rm", "-rf", "--one-file-system", s.root])
            say(f"   cluster {s.name} removed")

    def status(self) -> dict[str, object]:
        """Which components run, and where."""
        s = settings(self.name)
        names = (*control_plane.COMPONENTS, *node.COMPONENTS)
        return {
            "name": s.name,
            "exists": s.root.exists(),
            "kubeconfig": str(s.kubeconfig),
            "components": {name: processes.alive(s, name) for name in names},
        }

    def kubeconfig(self) -> str:
        """Path of the administrator's kubeconfig."""
        s = self._existing()
        return str(s.kubeconfig)

    def user_kubeconfig(self, user: str, groups: list[str]) -> str:
        """Path of a kubeconfig with a client certificate for a person."""
        return str(pki.user_kubeconfig(self._existing(), user, groups))

    def load_image(self, tag: str) -> None:
        """Put an image of this machine's into the node."""
        s = self._existing()
        if not processes.alive(s, "containerd"):
            raise ClusterError(f"cluster {s.name} has no node; `python -m tests.cluster up` adds one")
        images.load(s, tag)

    def build_image(self, tag: str, dockerfile: str, context: str, arguments: dict[str, str]) -> None:
        """Build an image with buildah."""
        images.build(tag, images.in_repository(dockerfile), images.in_repository(context), arguments)

    def _alone(self) -> AbstractContextManager[None]:
        return held(state_root() / f".{self.name}.lock")

    def _existing(self) -> Settings:
        s = settings(self.name)
        if not s.kubeconfig.exists():
            raise ClusterError(
                f"cluster {self.name} is not up; `python -m tests.cluster up --name {self.name}` starts it"
            )
        return s
