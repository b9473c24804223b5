"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler, as processes of this machine."""

from __future__ import annotations

from pathlib import Path

from . import processes, readiness
from .settings import Settings
from .shell import say, wait_for

COMPONENTS = ("etcd", "apiserver", "controllers", "scheduler")
_QUICK = ("--kube-api-qps=200", "--kube-api-burst=400", "--bind-address=127.0.0.1", "--profiling=false")


def up(s: Settings, binary: Path) -> None:
    """Start what does not run and wait until the API server is ready."""
    etcd = f"http://127.0.0.1:{s.port('etcd')}"
    peer = f"http://127.0.0.1:{s.port('etcd-peer')}"
    pki = s.pki
    processes.start(
        s,
        "etcd",
        [
            binary,
            "etcd",
            "--data-dir",
            s.root / "etcd",
            "--unsafe-no-fsync",
            "--log-level",
            "warn",
            "--listen-client-urls",
            etcd,
            "--advertise-client-urls",
            etcd,
            "--listen-peer-urls",
            peer,
            "--initial-advertise-peer-urls",
            peer,
            "--initial-cluster",
            f"default={peer}",
        ],
    )
    processes.start(
        s,
        "apiserver",
        [
            binary,
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            f"--service-cluster-ip-range={s.services}",
            "--authorization-mode=Node,RBAC",
            "--anonymous-auth=true",
            "--event-ttl=1h",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            f"--kubelet-client-certificate={pki}/admin.crt",
            f"--kubelet-client-key={pki}/admin.key",
            f"--advertise-address={s.host_ip}",
            f"--secure-port={s.port('apiserver')}",
            "--allow-privileged=true",
            "--profiling=false",
            "--enable-admission-plugins=NodeRestriction",
            "--kubelet-preferred-address-types=InternalIP",
        ],
    )
    wait_for(
        "the API server's readiness",
        lambda: processes.require(s, "etcd", "apiserver") and readiness.api_server(s),
        seconds=120,
        explain=lambda: processes.log_tail(s, "apiserver"),
    )
    say(f"   API server ready on port {s.port('apiserver')}")
    processes.start(
        s,
        "controllers",
        [
            binary,
            "kube-controller-manager",
            f"--kubeconfig={s.root}/controllers.kubeconfig",
            f"--root-ca-file={pki}/ca.crt",
            f"--service-account-private-key-file={pki}/sa.key",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            "--use-service-account-credentials=true",
            f"--cluster-cidr={s.pods}",
            "--allocate-node-cidrs=true",
            "--node-cidr-mask-size=22",
            "--leader-elect=false",
            "--concurrent-job-syncs=20",
            *_QUICK,
            f"--secure-port={s.port('controllers')}",
        ],
    )
    processes.start(
        s,
        "scheduler",
        [
            binary,
            "kube-scheduler",
            f"--kubeconfig={s.root}/scheduler.kubeconfig",
            "--leader-elect=false",
            *_QUICK,
            f"--secure-port={s.port('scheduler')}",
        ],
    )
    wait_for(
        "the default namespace's service account",
        lambda: processes.require(s, *COMPONENTS) and readiness.default_namespace(s),
        seconds=60,
        explain=lambda: processes.log_tail(s, "controllers"),
    )


def down(s: Settings) -> None:
    """Stop the four, in reverse."""
    for name in reversed(COMPONENTS):
        processes.stop(s, name)
