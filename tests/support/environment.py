"""From a running cluster to an installed Openworld: images, and the chart. Used by tests and the demo."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.backends import Cluster, from_environment
from tests.cluster.settings import REPOSITORY
from tests.cluster.shell import say

from .kubectl import Kubectl

NAMESPACE = "openworld-system"
WORKER = "localhost/openworld-worker:dev"
ONCALL = "localhost/openworld-oncall:dev"
OPERATOR = "localhost/openworld-operator"


@dataclass(frozen=True)
class Environment:
    """A cluster with its tools."""

    name: str
    cluster: Cluster
    kubectl: Kubectl

    def helm(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Helm against this cluster."""
        from tests.cluster import binary

        command = [str(binary.helm()), *arguments]
        env = {**os.environ, "KUBECONFIG": self.kubectl.kubeconfig}
        done = subprocess.run(command, env=env, text=True, capture_output=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"helm {' '.join(arguments[:3])} failed:\n{done.stdout}\n{done.stderr}")
        return done

    def kill_operator(self) -> None:
        """Delete the operator's pod with no grace."""
        self.kubectl(
            "-n", NAMESPACE, "delete", "pod", "-l", "app.kubernetes.io/name=openworld",
            "--grace-period=0", "--force", "--wait=false",
        )  # fmt: skip

    def openworld(
        self, *arguments: str, check: bool = True, kubeconfig: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line as a person would."""
        command = [str(Path(sys.executable).parent / "openworld"), *arguments]
        env = {**os.environ, "KUBECONFIG": kubeconfig or self.kubectl.kubeconfig, "COLUMNS": "160"}
        done = subprocess.run(command, env=env, text=True, capture_output=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"openworld {' '.join(arguments[:3])} failed:\n{done.stdout}\n{done.stderr}")
        return done


def environment(name: str) -> Environment:
    """The cluster of this name; it must be up."""
    cluster = from_environment(name)
    return Environment(name, cluster, Kubectl(cluster.kubeconfig()))


def content_tag(folders: Sequence[str]) -> str:
    """A tag that changes with the files it is made of."""
    digest = hashlib.sha256()
    for folder in folders:
        top = REPOSITORY / folder
        files = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
        for path in files:
            if "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(REPOSITORY)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def load_images(env: Environment) -> str:
    """Build the images and put them into the cluster. Returns the tag of the operator's."""
    tag = content_tag(["operator"])
    env.cluster.build_image(f"{OPERATOR}:{tag}", "operator/Dockerfile", ".", {})
    env.cluster.build_image(WORKER, "workers/Dockerfile", ".", {})
    env.cluster.build_image(ONCALL, "examples/oncall/Dockerfile", ".", {"WORKER_IMAGE": WORKER})
    for image in (f"{OPERATOR}:{tag}", WORKER, ONCALL):
        env.cluster.load_image(image)
    return tag


def install(env: Environment, namespaces: Sequence[str], *values: str) -> None:
    """Install or upgrade the operator by Helm, and wait until it is ready."""
    tag = load_images(env)
    for namespace in namespaces:
        if env.kubectl("get", "namespace", namespace, check=False).returncode:
            env.kubectl("create", "namespace", namespace)
    say("== operator, by Helm")
    env.helm(
        "upgrade", "--install", "openworld", str(REPOSITORY / "charts" / "openworld"),
        "--namespace", NAMESPACE, "--create-namespace", "--set", f"image.tag={tag}",
        "--set", "namespaces={" + ",".join(namespaces) + "}",
        *(word for value in values for word in ("--set", value)),
    )  # fmt: skip
    env.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/openworld-operator", "--timeout=120s")
