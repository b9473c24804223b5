"""kubectl as tests and the demo use it: one cluster, one person at a time."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kubectl:
    """kubectl with a kubeconfig of its own; never another one."""

    kubeconfig: str

    def __call__(
        self,
        *arguments: str,
        stdin: str | None = None,
        as_user: str | None = None,
        as_groups: Sequence[str] = (),
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run it. `as_user` impersonates. A failure that was not expected shows what kubectl said."""
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", *arguments]
        if as_user is not None:
            command.append(f"--as={as_user}")
            command += [f"--as-group={group}" for group in as_groups]
        done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)} failed:\n{done.stderr}")
        return done

    def json(self, *arguments: str) -> Any:
        """The answer as JSON."""
        return json.loads(self(*arguments, "-o", "json").stdout)

    def apply(self, namespace: str, *objects: Mapping[str, Any]) -> None:
        """Apply objects in a namespace."""
        self("-n", namespace, "apply", "-f", "-", stdin=_list(objects))

    def create(
        self, namespace: str, manifest: Mapping[str, Any], *, as_user: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Create one object."""
        return self(
            "-n", namespace, "create", "-f", "-", stdin=json.dumps(manifest), as_user=as_user, check=check
        )


def _list(objects: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
