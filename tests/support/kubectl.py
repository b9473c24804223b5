"""kubectl as tests and the demo use it: one cluster, one person at a time."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Kubectl:
    """kubectl with a kubeconfig of its own; never another one. `user` and `groups` are impersonated throughout."""

    kubeconfig: str
    user: str | None = None
    groups: Sequence[str] = ()

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
        if as_user is None:
            as_user, as_groups = self.user, self.groups
        if as_user is not None:
            command.append(f"--as={as_user}")
            command += [f"--as-group={group}" for group in as_groups]
        done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)} failed:\n{done.stderr}")
        return done

    def with_token(self, token: str) -> Kubectl:
        """The same API server, known by a token alone."""
        config = self.json("config", "view", "--raw", "--flatten")
        for user in config["users"]:
            user["user"] = {"token": token}
        path = Path(self.kubeconfig).with_name(f"token-{sha256(token.encode()).hexdigest()[:8]}.kubeconfig")
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        return Kubectl(str(path))

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
