"""`make demo`: the on-call example on a real cluster, told as a story at the end."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable

from tests.cluster.settings import DEFAULT_NAME, REPOSITORY, ClusterError
from tests.cluster.shell import say

from .environment import NAMESPACE as RELEASE_NAMESPACE
from .environment import Environment, environment, install
from .oncall import approve, deploy, start

NAMESPACE = "oncall"
RELEASE = "openworld"


def main() -> int:
    """Set up, run, approve as a second person, print the record."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.demo", description=__doc__)
    parser.add_argument("--name", default="openworld", help="name of the cluster")
    options = parser.parse_args()
    try:
        env = environment(options.name)
        install(env, [*served(env.helm), NAMESPACE])
        _story(env)
    except (ClusterError, AssertionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def served(helm: Callable[..., subprocess.CompletedProcess[str]]) -> list[str]:
    """The namespaces that the release serves already, beside the demo's; none when there is no release.

    The list replaces the release's, so what is left out would not be served any more.
    """
    found = helm("get", "values", RELEASE, "--namespace", RELEASE_NAMESPACE, "--output", "json", check=False)
    if found.returncode:
        return []
    values = json.loads(found.stdout) or {}
    return [name for name in values.get("namespaces") or [RELEASE_NAMESPACE] if name != NAMESPACE]


def _story(env: Environment) -> None:
    kubectl = env.kubectl
    name = f"checkout-latency-{time.strftime('%m%d-%H%M%S')}"
    say("== a service, and a deploy that makes it slow")
    deploy(env, NAMESPACE)
    say(f"== alice@example.com starts {name}; an agent investigates")
    start(env, NAMESPACE, name)
    kubectl(
        "-n", NAMESPACE, "wait", f"execution/{name}", "--for=condition=AwaitingApproval", "--timeout=180s"
    )  # fmt: skip
    print(env.openworld("tree", name, "-n", NAMESPACE).stdout)
    say("== bob@example.com approves the rollback")
    print(approve(env, NAMESPACE, name, "p99 follows the deploy"))
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

`make demo-down{"" if env.name == DEFAULT_NAME else f" CLUSTER_NAME={env.name}"}` removes it."""
    )


if __name__ == "__main__":
    sys.exit(main())
