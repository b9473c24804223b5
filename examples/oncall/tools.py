"""The tools of the on-call example: they read the metrics, the deploy history and the answers of a real
service, and roll it back.

Each is an ordinary function; `@tool` says what it does to the world. Configuration comes from the catalog's
environment and never from the input: ONCALL_SERVICES lists the services that these tools may touch.
"""

from __future__ import annotations

import os
import re
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Annotated, Any

import prometheus
import rollout

from openworld_worker import Context, TerminalError, tool
from openworld_worker.apiserver import ApiServer, RefusedError, UnreachableError, in_cluster

SERVICE_PORT = 8080
_WINDOW = re.compile(r"([1-9]\d{0,2})s")
_SLOWEST_POLL = 2.0

Service = Annotated[str, "Name of the service."]


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What a service's own metrics say of a stretch of time."""

    service: str
    release: str
    window: str
    requests: int
    error_rate: float
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, kw_only=True)
class Deploy:
    """One revision of a service."""

    revision: str
    change_cause: str
    created_at: str
    image: str
    replicas: int


@dataclass(frozen=True, kw_only=True)
class History:
    """The revisions of a service, newest first."""

    service: str
    current: str
    previous: str
    revisions: list[Deploy]


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Requests that were made just now, and how long they took."""

    service: str
    count: int
    failed: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """A finished rollback."""

    service: str
    to: str
    previous: str
    """The revision that ran before."""
    revision: str
    """The number that the restored template has now."""
    change_cause: str


@tool(effect="Read", idempotent=True, timeout_seconds=120)
def metrics_lookup(
    service: Service,
    context: Context,
    window: Annotated[str, "How long to watch, in seconds: 1s to 60s."] = "5s",
) -> Metrics:
    """Requests, error rate and latency quantiles of a service, from its own metrics over a time window."""
    seconds = _seconds(window)
    url = f"{_address(service)}/metrics"
    earlier = prometheus.parse(_get(url))
    context.cancelled.wait(seconds)
    seen = prometheus.between(earlier, prometheus.parse(_get(url)))
    return Metrics(
        service=service,
        release=seen.release,
        window=window,
        requests=round(seen.total),
        error_rate=round(prometheus.error_rate(seen), 4),
        p50_ms=_milliseconds(prometheus.quantile(seen, 0.5)),
        p99_ms=_milliseconds(prometheus.quantile(seen, 0.99)),
    )


@tool(effect="Read", idempotent=True, timeout_seconds=60, service_account_name="oncall-deploy-reader")
def deploy_history(service: Service, context: Context) -> History:
    """The deploys of a service: which revision runs, which ran before, and why each was made."""
    _allowed(service)
    _, known = _deployment(in_cluster(os.environ), context.namespace, service)
    return history(service, known)


@tool(effect="Read", idempotent=True, timeout_seconds=120)
def trace_sample(service: Service, count: Annotated[int, "Requests to make, 1 to 50."] = 10) -> Samples:
    """Make a few real requests to a service, one after the other, and measure how long they take."""
    if not 1 <= count <= 50:
        raise TerminalError(f"input.count: {count} is not between 1 and 50")
    url, times, failed = f"{_address(service)}/", [], 0
    for _ in range(count):
        started = time.monotonic()
        try:
            _get(url)
        except OSError:
            failed += 1
        times.append((time.monotonic() - started) * 1000)
    cuts = quantiles(times, n=100, method="inclusive") if count > 1 else [times[0]] * 99
    return Samples(
        service=service, count=count, failed=failed, p50_ms=round(cuts[49], 1), p99_ms=round(cuts[98], 1)
    )


@tool(effect="Destructive", idempotent=True, timeout_seconds=300, service_account_name="oncall-rollback")
def rollback(
    service: Service, to: Annotated[str, "The revision to go back to, from deploy_history."], context: Context
) -> Rollback:
    """Put an earlier revision of a service back and wait until it serves."""
    _allowed(service)
    server = in_cluster(os.environ)
    deployment, known = _deployment(server, context.namespace, service)
    target = rollout.find(known, to)
    if target is None:
        listed = ", ".join(each.revision for each in known) or "none"
        raise TerminalError(f"{service} has no revision {to!r}; it has {listed}")
    current = known[0].revision
    if not rollout.runs(deployment, target):
        context.progress(10, f"rolling {service} back from revision {current} to {to}")
        cause = f"rollback to revision {to} by execution {context.execution}"
        server.request(
            "PATCH",
            _deployment_path(context.namespace, service),
            rollout.rollback_patch(deployment, target, cause),
            content_type="application/json-patch+json",
        )
    deployment = _wait_for_rollout(server, context, service)
    restored = deployment["metadata"]["annotations"][rollout.REVISION]
    return Rollback(
        service=service,
        to=to,
        previous=_previous_of(known, target),
        revision=restored,
        change_cause=target.change_cause,
    )


@tool(effect="Destructive", timeout_seconds=60)
def delete_deployment(service: Service, context: Context) -> dict[str, str]:
    """Delete a service's Deployment and all its pods."""
    _allowed(service)
    in_cluster(os.environ).request("DELETE", _deployment_path(context.namespace, service))
    return {"deleted": service}


def history(service: str, known: list[rollout.Revision]) -> History:
    """The revisions as the model is told of them.

    Raises:
        TerminalError: There is no revision.
    """
    if not known:
        raise TerminalError(f"{service} has no revisions yet")
    shown = [
        Deploy(**{name: value for name, value in asdict(each).items() if name in Deploy.__dataclass_fields__})
        for each in known
    ]
    previous = known[1].revision if len(known) > 1 else ""
    return History(service=service, current=known[0].revision, previous=previous, revisions=shown)


def _previous_of(known: list[rollout.Revision], target: rollout.Revision) -> str:
    return next((each.revision for each in known if each is not target), "")


def _wait_for_rollout(server: ApiServer, context: Context, service: str) -> dict[str, Any]:
    pause = 0.25
    while True:
        try:
            deployment = server.request("GET", _deployment_path(context.namespace, service))
        except UnreachableError as error:
            context.logger.warning("%s", error)
        else:
            if rollout.is_complete(deployment):
                return dict(deployment)
            if stuck := rollout.is_stuck(deployment):
                raise TerminalError(f"{service}: {stuck}")
        if context.cancelled.wait(pause):
            raise RuntimeError(f"stopped before the rollout of {service} was complete")
        pause = min(pause * 2, _SLOWEST_POLL)


def _deployment(
    server: ApiServer, namespace: str, service: str
) -> tuple[dict[str, Any], list[rollout.Revision]]:
    try:
        deployment = server.request("GET", _deployment_path(namespace, service))
    except RefusedError as error:
        if error.code == 404:
            raise TerminalError(f"there is no Deployment {service} in namespace {namespace}") from error
        raise
    path = f"/apis/apps/v1/namespaces/{namespace}/replicasets?{rollout.selector(deployment)}"
    return deployment, rollout.revisions(deployment, server.request("GET", path)["items"])


def _deployment_path(namespace: str, service: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{service}"


def _allowed(service: str) -> None:
    """Refuse a service that the catalog does not list: the model's input never widens the tools' reach."""
    listed = os.environ.get("ONCALL_SERVICES", "").split()
    if service not in listed:
        raise TerminalError(
            f"{service!r} is not one of the services of these tools: {', '.join(listed) or 'none'}"
        )


def _address(service: str) -> str:
    """The service's URL: from the variables that Kubernetes gives to every pod, else by DNS."""
    _allowed(service)
    host = os.environ.get(f"{service.upper().replace('-', '_')}_SERVICE_HOST", service)
    return f"http://{f'[{host}]' if ':' in host else host}:{SERVICE_PORT}"


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=15) as answer:  # noqa: S310 - a listed service's address
        return str(answer.read().decode())


def _seconds(window: str) -> int:
    match = _WINDOW.fullmatch(window)
    if not match or int(match[1]) > 60:
        raise TerminalError(f"input.window: {window!r} is not between 1s and 60s")
    return int(match[1])


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
