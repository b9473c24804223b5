"""`make demo`: the on-call example on a real cluster, told as a story at the end."""

from __future__ import annotations

import argparse
import sys
import time

from tests.cluster.settings import REPOSITORY, ClusterError
from tests.cluster.shell import say

from .environment import Environment, environment, install

NAMESPACE = "oncall"
EXAMPLE = REPOSITORY / "examples" / "oncall"


def deploy(env: Environment) -> None:
    """The service in its good release, then the bad deploy: two real revisions."""
    kubectl = env.kubectl
    kubectl("-n", NAMESPACE, "apply", "-k", str(EXAMPLE))
    kubectl("-n", NAMESPACE, "rollout", "status", "deployment/checkout", "--timeout=120s")
    kubectl("-n", NAMESPACE, "apply", "-f", str(EXAMPLE / "checkout-slow.yaml"))
    kubectl("-n", NAMESPACE, "rollout", "status", "deployment/checkout", "--timeout=120s")


def start(env: Environment, name: str) -> None:
    """Alice starts a run."""
    env.openworld(
        "run", "incident-response", "-n", NAMESPACE, "--name", name, "-i", "service=checkout",
        "--service-account", "oncall-runner", "--as", "alice@example.com",
    )  # fmt: skip


def main() -> int:
    """Set up, run, approve as a second person, print the record."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.demo", description=__doc__)
    parser.add_argument("--name", default="openworld", help="name of the cluster")
    options = parser.parse_args()
    try:
        env = environment(options.name)
        install(env, [NAMESPACE])
        _story(env)
    except (ClusterError, AssertionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _story(env: Environment) -> None:
    kubectl = env.kubectl
    name = f"checkout-latency-{time.strftime('%m%d-%H%M%S')}"
    say("== a service, and a deploy that makes it slow")
    deploy(env)
    say(f"== alice@example.com starts {name}; an agent investigates")
    start(env, name)
    kubectl(
        "-n", NAMESPACE, "wait", f"execution/{name}", "--for=condition=AwaitingApproval", "--timeout=180s"
    )  # fmt: skip
    print(env.openworld("tree", name, "-n", NAMESPACE).stdout)
    say("== bob@example.com approves the rollback")
    approval = ["approve", name, "-n", NAMESPACE, "--as", "bob@example.com", "--yes"]
    print(env.openworld(*approval, "--reason", "p99 follows the deploy").stdout)
    kubectl("-n", NAMESPACE, "wait", f"execution/{name}", "--for=condition=Complete", "--timeout=180s")
    say("== the record, as a story")
    print(env.openworld("ledger", name, "-n", NAMESPACE).stdout)
    history = kubectl("-n", NAMESPACE, "rollout", "history", "deployment/checkout").stdout
    print(f"The rollback was real. {history}")
    print(
        f"""The cluster stays up. Look around:

  export KUBECONFIG={env.kubectl.kubeconfig}
  export PATH={REPOSITORY}/.venv/bin:$PATH
  kubectl get openworld -n {NAMESPACE}
  kubectl get execution {name} -n {NAMESPACE} -o yaml
  openworld tree {name} -n {NAMESPACE}
  openworld ledger {name} -n {NAMESPACE}

`make demo-down` removes it."""
    )


if __name__ == "__main__":
    sys.exit(main())
