"""The on-call example, as the demo and the tests set it up and run it."""

from __future__ import annotations

from tests.cluster.settings import REPOSITORY

from .environment import Environment

EXAMPLE = REPOSITORY / "examples" / "oncall"


def deploy(env: Environment, namespace: str) -> None:
    """The service in its good release, then the bad deploy: two real revisions."""
    kubectl = env.kubectl
    kubectl("-n", namespace, "apply", "-k", str(EXAMPLE))
    kubectl("-n", namespace, "rollout", "status", "deployment/checkout", "--timeout=120s")
    kubectl("-n", namespace, "apply", "-f", str(EXAMPLE / "checkout-slow.yaml"))
    kubectl("-n", namespace, "rollout", "status", "deployment/checkout", "--timeout=120s")


def start(env: Environment, namespace: str, name: str) -> None:
    """Alice starts a run."""
    env.openworld(
        "run", "incident-response", "-n", namespace, "--name", name, "-i", "service=checkout",
        "--service-account", "oncall-runner", "--as", "alice@example.com",
    )  # fmt: skip


def approve(env: Environment, namespace: str, name: str, reason: str) -> str:
    """Bob approves what waits. Returns what the command line said."""
    words = ["approve", name, "-n", namespace, "--as", "bob@example.com", "--yes", "--reason", reason]
    return env.openworld(*words).stdout
