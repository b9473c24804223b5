"""How to reach an API server: from inside a pod, or from a kubeconfig that was named explicitly.

No default kubeconfig is ever read: the operator works in the cluster it runs in, or in the one
that `OPENWORLD_KUBECONFIG` (or `KUBECONFIG`) names.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class AccessError(Exception):
    """There is no usable way to an API server; the message says what is missing."""


class TokenFile:
    """A bearer token that the kubelet rotates: read again when the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._token = ""

    def read(self) -> str:
        """The token as it stands in the file now. Raises AccessError when it cannot be read."""
        try:
            stat = self._path.stat()
            if self._seen != (stat.st_mtime_ns, stat.st_ino):
                self._token = self._path.read_text(encoding="utf-8").strip()
                self._seen = (stat.st_mtime_ns, stat.st_ino)
        except OSError as error:
            raise AccessError(f"the service account token {self._path} cannot be read: {error}") from error
        return self._token


@dataclass(frozen=True, slots=True)
class Access:
    """One API server and one identity. PEM texts are given inline."""

    server: str
    ca: str = ""
    token: str = field(default="", repr=False)
    token_file: TokenFile | None = None
    certificate: str = ""
    key: str = field(default="", repr=False)
    insecure: bool = False

    def bearer(self) -> str:
        """The bearer token to send now; empty where a client certificate identifies."""
        return self.token_file.read() if self.token_file else self.token

    def tls(self) -> ssl.SSLContext:
        """The TLS settings: the server's authority and, where there is one, the client certificate."""
        context = ssl.create_default_context(cadata=self.ca or None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as pair:
                pair.write(f"{self.certificate.rstrip()}\n{self.key}")
                pair.flush()
                context.load_cert_chain(pair.name)
        return context


def from_environment(environment: Mapping[str, str] = os.environ) -> Access:
    """The way that the environment names: a kubeconfig, else the pod's own service account."""
    for variable in ("OPENWORLD_KUBECONFIG", "KUBECONFIG"):
        if environment.get(variable):
            return from_kubeconfig(Path(environment[variable]))
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise AccessError(
            "no API server: run in a cluster, or name a kubeconfig file in OPENWORLD_KUBECONFIG or KUBECONFIG"
        )
    return in_cluster(host, port)


def in_cluster(host: str, port: str, folder: Path = SERVICE_ACCOUNT) -> Access:
    """The API server as a pod sees it, with the pod's own service account."""
    try:
        ca = (folder / "ca.crt").read_text(encoding="utf-8")
    except OSError as error:
        raise AccessError(f"the cluster's certificate authority cannot be read: {error}") from error
    name = f"[{host}]" if ":" in host else host
    return Access(server=f"https://{name}:{port}", ca=ca, token_file=TokenFile(folder / "token"))


def from_kubeconfig(path: Path) -> Access:
    """The current context of a kubeconfig file: a client certificate or a token."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise AccessError(f"the kubeconfig {path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise AccessError(f"the kubeconfig {path} is not a kubeconfig: it holds no mapping")
    context = _named(config, "contexts", config.get("current-context"), path)["context"]
    cluster = _named(config, "clusters", context.get("cluster"), path)["cluster"]
    user = _named(config, "users", context.get("user"), path).get("user") or {}
    if not (user.get("token") or user.get("tokenFile") or _has(user, "client-certificate")):
        who = context.get("user")
        raise AccessError(f"the kubeconfig {path}: user {who!r} has neither a client certificate nor a token")
    return Access(
        server=str(cluster["server"]).rstrip("/"),
        ca=_pem(cluster, "certificate-authority", path),
        token=str(user.get("token") or ""),
        token_file=TokenFile(path.parent / user["tokenFile"]) if user.get("tokenFile") else None,
        certificate=_pem(user, "client-certificate", path),
        key=_pem(user, "client-key", path),
        insecure=bool(cluster.get("insecure-skip-tls-verify", False)),
    )


def _named(config: dict[str, Any], section: str, name: Any, path: Path) -> dict[str, Any]:
    for entry in config.get(section) or ():
        if entry.get("name") == name:
            return dict(entry)
    raise AccessError(f"the kubeconfig {path} has no entry {name!r} in {section}")


def _has(entry: dict[str, Any], key: str) -> bool:
    return bool(entry.get(key) or entry.get(f"{key}-data"))


def _pem(entry: dict[str, Any], key: str, path: Path) -> str:
    try:
        if entry.get(f"{key}-data"):
            return base64.b64decode(entry[f"{key}-data"], validate=True).decode("ascii")
        if entry.get(key):
            return (path.parent / str(entry[key])).read_text(encoding="ascii")
    except (OSError, ValueError, binascii.Error) as error:
        raise AccessError(f"the kubeconfig {path}: {key} cannot be read: {error}") from error
    return ""
