"""The cluster's certificate authority, and certificates for components and people."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from .settings import ClusterError, Settings
from .shell import run


def create(s: Settings) -> None:
    """Every key and certificate of a new cluster; nothing where they exist."""
    if (s.pki / "done").exists():
        return
    s.pki.mkdir(parents=True, exist_ok=True)
    s.pki.chmod(0o700)
    ca: list[str | Path] = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "3650",
    ]
    run([*ca, "-subj", f"/CN=openworld-{s.name}", "-keyout", s.pki / "ca.key", "-out", s.pki / "ca.crt"])
    run(["openssl", "genrsa", "-out", s.pki / "sa.key", "2048"])
    run(["openssl", "rsa", "-in", s.pki / "sa.key", "-pubout", "-out", s.pki / "sa.pub"])
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
    addresses = ("127.0.0.1", s.kubernetes_service, s.host_ip)
    sans = ",".join([*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)])
    sign(s, "apiserver", "/CN=kube-apiserver", sans)
    sign(s, "admin", "/O=system:masters/CN=admin")
    sign(s, "controllers", "/CN=system:kube-controller-manager")
    sign(s, "scheduler", "/CN=system:kube-scheduler")
    sign(s, "proxy", "/CN=system:kube-proxy")
    sign(s, "kubelet", f"/O=system:nodes/CN=system:node:{s.node_name}", f"DNS:{s.node_name},IP:{s.node_ip}")
    for component in ("admin", "controllers", "scheduler", "proxy", "kubelet"):
        server = s.host_ip if component in ("proxy", "kubelet") else "127.0.0.1"
        write_kubeconfig(s, component, s.root / f"{component}.kubeconfig", server)
    (s.pki / "done").touch()


def sign(s: Settings, name: str, subject: str, sans: str = "") -> None:
    """A key and a certificate of the cluster's authority."""
    key, request, certificate = (s.pki / f"{name}.{end}" for end in ("key", "csr", "crt"))
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run([*new, "-subj", subject, "-keyout", key, "-out", request])
    extensions = s.pki / f"{name}.ext"
    extensions.write_text(
        "extendedKeyUsage=clientAuth,serverAuth\n" + (f"subjectAltName={sans}\n" if sans else "")
    )
    authority: list[str | Path] = ["-CA", s.pki / "ca.crt", "-CAkey", s.pki / "ca.key", "-days", "3650"]
    authority += ["-set_serial", f"0x{secrets.token_hex(16)}"]
    run(["openssl", "x509", "-req", "-in", request, *authority, "-out", certificate, "-extfile", extensions])


def write_kubeconfig(s: Settings, certificate: str, path: Path, server: str = "127.0.0.1") -> None:
    """A kubeconfig that names this cluster alone."""
    port = s.port("apiserver")
    path.touch(mode=0o600)
    path.write_text(
        f"""apiVersion: v1
kind: Config
clusters:
- name: {s.name}
  cluster: {{server: "https://{server}:{port}", certificate-authority: "{s.pki}/ca.crt"}}
users:
- name: {certificate}
  user: {{client-certificate: "{s.pki}/{certificate}.crt", client-key: "{s.pki}/{certificate}.key"}}
contexts:
- name: {s.name}
  context: {{cluster: {s.name}, user: {certificate}}}
current-context: {s.name}
"""
    )


def user_kubeconfig(s: Settings, user: str, groups: Sequence[str]) -> Path:
    """A kubeconfig for a person, with a client certificate of their own; the same one when asked again."""
    if not user or not all(groups):
        raise ClusterError("the names of users and groups must not be empty")
    digest = hashlib.sha256("\n".join([user, *groups]).encode()).hexdigest()[:8]
    file = "user-" + re.sub("[^A-Za-z0-9.-]", "-", user) + f"-{digest}"
    path = s.root / f"{file}.kubeconfig"
    if not path.exists():
        sign(s, file, subject(user, groups))
        write_kubeconfig(s, file, path)
    return path


def subject(user: str, groups: Sequence[str]) -> str:
    """The certificate subject that Kubernetes reads as this user in these groups."""
    parts = [*(("O", group) for group in groups), ("CN", user)]
    return "".join(f"/{key}=" + re.sub(r"([/+\\])", r"\\\1", value) for key, value in parts)
