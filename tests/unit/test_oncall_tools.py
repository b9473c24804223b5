"""The example's tools: what they read from a service and a Deployment, and what a rollback sends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from openworld_worker import Context
from openworld_worker.report import Outcome, Status
from openworld_worker.runner import call
from openworld_worker.tool import load_tools
from tests.unit.api_double import Answer, ApiDouble, Asked

FOLDER = Path(__file__).parents[2] / "examples" / "oncall"
TOOLS = load_tools(str(FOLDER / "tools.py"))
MODULE = sys.modules["openworld_tools_tools"]
sys.path.insert(0, str(FOLDER))

import prometheus  # noqa: E402
import rollout  # noqa: E402

DEPLOYMENT_PATH = "/apis/apps/v1/namespaces/shop/deployments/checkout"
SETS_PATH = "/apis/apps/v1/namespaces/shop/replicasets?labelSelector=app%3Dcheckout"


class Impatient(threading.Event):
    """A cancellation that nobody asks for, and that nobody waits for."""

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - the base class's signature
        return self.is_set()


def context() -> Context:
    return Context(
        execution="run-1",
        namespace="shop",
        ref="triage__2__rollback",
        attempt=0,
        deadline=datetime(2026, 4, 12, tzinfo=UTC),
        idempotency_key="key-1",
        cancelled=Impatient(),
    )


def template(release: str, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "checkout"} | labels},
        "spec": {"containers": [{"name": "checkout", "image": f"checkout:{release}"}]},
    }


def replica_set(
    revision: str, release: str, cause: str, earlier: str = "", owner: str = "d-1"
) -> dict[str, Any]:
    annotations = {rollout.REVISION: revision, rollout.CHANGE_CAUSE: cause}
    return {
        "metadata": {
            "annotations": annotations | ({rollout.EARLIER_REVISIONS: earlier} if earlier else {}),
            "creationTimestamp": "2026-04-12T14:02:00Z",
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "spec": {"template": template(release, **{"pod-template-hash": revision})},
        "status": {"replicas": 1},
    }


def deployment(release: str, *, revision: str = "2", generation: int = 2, updated: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"uid": "d-1", "generation": generation, "annotations": {rollout.REVISION: revision}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "checkout"}},
            "template": template(release),
        },
        "status": {
            "observedGeneration": generation,
            "replicas": 1,
            "updatedReplicas": updated,
            "availableReplicas": 1,
        },
    }


FAST = replica_set("1", "fast", "first release")
SLOW = replica_set("2", "slow", "deploy 14:02: new pricing client")
FOREIGN = replica_set("9", "other", "not ours", owner="d-2")


def run(
    name: str,
    values: dict[str, Any],
    tmp_path: Path,
    patch: pytest.MonkeyPatch,
    respond: Callable[[Asked], Answer],
) -> tuple[Outcome, list[Asked]]:
    patch.setenv("ONCALL_SERVICES", "checkout cart")
    with ApiDouble(tmp_path, respond) as double:
        patch.setattr(MODULE, "in_cluster", lambda _environ: double.server)
        return call(TOOLS[name], values, context()), double.asked


def test_the_history_is_the_deployments_own_revisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def respond(asked: Asked) -> Answer:
        found = deployment("slow") if asked.path == DEPLOYMENT_PATH else {"items": [FAST, FOREIGN, SLOW]}
        return Answer(200, found)

    outcome, asked = run("deploy_history", {"service": "checkout"}, tmp_path, monkeypatch, respond)
    assert [each.path for each in asked] == [DEPLOYMENT_PATH, SETS_PATH]
    assert outcome.output is not None
    assert (outcome.output["current"], outcome.output["previous"]) == ("2", "1")
    assert outcome.output["revisions"][0] == {
        "revision": "2",
        "change_cause": "deploy 14:02: new pricing client",
        "created_at": "2026-04-12T14:02:00Z",
        "image": "checkout:slow",
        "replicas": 1,
    }
    assert len(outcome.output["revisions"]) == 2


def test_a_rollback_restores_the_template_and_waits_until_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = iter(
        [
            deployment("fast", revision="2", generation=3, updated=0),
            deployment("fast", revision="3", generation=3),
        ]
    )
    patched: list[Asked] = []

    def respond(asked: Asked) -> Answer:
        if asked.method == "PATCH":
            patched.append(asked)
            return Answer(200, {})
        if asked.path == SETS_PATH:
            return Answer(200, {"items": [FAST, SLOW]})
        return Answer(200, next(after) if patched else deployment("slow"))

    outcome, _ = run("rollback", {"service": "checkout", "to": "1"}, tmp_path, monkeypatch, respond)
    (patch,) = patched
    assert patch.headers["Content-Type"] == "application/json-patch+json"
    assert patch.body == [
        {"op": "test", "path": "/metadata/generation", "value": 2},
        {"op": "replace", "path": "/spec/template", "value": template("fast")},
        {
            "op": "add",
            "path": "/metadata/annotations/kubernetes.io~1change-cause",
            "value": "rollback to revision 1 by execution run-1",
        },
    ]
    assert outcome.output == {
        "service": "checkout",
        "to": "1",
        "previous": "2",
        "revision": "3",
        "change_cause": "first release",
    }


def test_a_rollback_that_was_done_already_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored = replica_set("3", "fast", "first release", earlier="1")

    def respond(asked: Asked) -> Answer:
        found = {"items": [SLOW, restored]} if asked.path == SETS_PATH else deployment("fast", revision="3")
        return Answer(200, found)

    outcome, asked = run("rollback", {"service": "checkout", "to": "1"}, tmp_path, monkeypatch, respond)
    assert {each.method for each in asked} == {"GET"}
    assert outcome.output is not None
    assert (outcome.output["previous"], outcome.output["revision"]) == ("2", "3")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"service": "checkout", "to": "7"}, "checkout has no revision '7'; it has 2, 1"),
        (
            {"service": "kube-dns", "to": "1"},
            "'kube-dns' is not one of the services of these tools: checkout, cart",
        ),
    ],
)
def test_a_rollback_to_nowhere_or_of_another_service_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], reason: str
) -> None:
    def respond(asked: Asked) -> Answer:
        return Answer(200, {"items": [FAST, SLOW]} if asked.path == SETS_PATH else deployment("slow"))

    outcome, asked = run("rollback", values, tmp_path, monkeypatch, respond)
    assert outcome == Outcome(status=Status.FAILED_WITH_TERMINAL_ERROR, reason=reason)
    assert "PATCH" not in {each.method for each in asked}


def test_a_rollout_that_is_stuck_ends_the_rollback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = deployment("slow", updated=0)
    stuck["status"]["conditions"] = [
        {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "timed out progressing"}
    ]

    def respond(asked: Asked) -> Answer:
        return Answer(200, {"items": [FAST, SLOW]} if asked.path == SETS_PATH else stuck)

    outcome, _ = run("rollback", {"service": "checkout", "to": "2"}, tmp_path, monkeypatch, respond)
    assert outcome.reason == "checkout: timed out progressing"


def test_a_deployment_that_does_not_exist_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, _ = run(
        "deploy_history",
        {"service": "cart"},
        tmp_path,
        monkeypatch,
        lambda _: Answer(404, {"message": "not found"}),
    )
    assert outcome.reason == "there is no Deployment cart in namespace shop"


def test_a_service_is_found_by_its_variables_or_by_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    address = MODULE._address
    monkeypatch.setenv("ONCALL_SERVICES", "checkout")
    monkeypatch.delenv("CHECKOUT_SERVICE_HOST", raising=False)
    assert address("checkout") == "http://checkout:8080"
    monkeypatch.setenv("CHECKOUT_SERVICE_HOST", "10.96.3.4")
    assert address("checkout") == "http://10.96.3.4:8080"
    monkeypatch.setenv("CHECKOUT_SERVICE_HOST", "fd00::4")
    assert address("checkout") == "http://[fd00::4]:8080"


def test_without_a_list_of_services_nothing_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONCALL_SERVICES", raising=False)
    outcome = call(TOOLS["trace_sample"], {"service": "checkout"}, context())
    assert outcome.reason == "'checkout' is not one of the services of these tools: none"


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("metrics_lookup", {"window": "2h"}, "input.window: '2h' is not between 1s and 60s"),
        ("metrics_lookup", {"window": "61s"}, "input.window: '61s' is not between 1s and 60s"),
        ("trace_sample", {"count": 51}, "input.count: 51 is not between 1 and 50"),
    ],
)
def test_a_tool_refuses_what_would_take_too_long(name: str, values: dict[str, Any], reason: str) -> None:
    assert call(TOOLS[name], {"service": "checkout"} | values, context()).reason == reason


EARLIER = """# TYPE app_info gauge
app_info{release="v1"} 1
http_requests_total{code="200"} 10
http_requests_total{code="500"} 0
http_request_duration_seconds_bucket{le="0.1"} 10
http_request_duration_seconds_bucket{le="0.5"} 10
http_request_duration_seconds_bucket{le="+Inf"} 10
"""
LATER = (
    EARLIER.replace('"200"} 10', '"200"} 18')
    .replace('"500"} 0', '"500"} 2')
    .replace('"0.1"} 10', '"0.1"} 14')
    .replace('"0.5"} 10', '"0.5"} 18')
    .replace('"+Inf"} 10', '"+Inf"} 20')
)


def test_metrics_are_of_the_window_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    scrapes = iter([EARLIER, LATER])
    monkeypatch.setenv("ONCALL_SERVICES", "checkout")
    monkeypatch.setattr(MODULE, "_get", lambda _url: next(scrapes))
    outcome = call(TOOLS["metrics_lookup"], {"service": "checkout", "window": "1s"}, context())
    assert outcome.output == {
        "service": "checkout",
        "release": "v1",
        "window": "1s",
        "requests": 10,
        "error_rate": 0.2,
        "p50_ms": 200.0,
        "p99_ms": 500.0,
    }


def test_a_restart_between_two_scrapes_counts_the_new_process_alone() -> None:
    earlier, later = prometheus.parse(LATER), prometheus.parse(EARLIER)
    assert prometheus.between(earlier, later) == later
    other = prometheus.parse(LATER.replace("v1", "v2"))
    assert prometheus.between(later, other) == other


def test_nothing_observed_has_no_quantile() -> None:
    empty = prometheus.parse("")
    assert prometheus.quantile(empty, 0.5) is None
    assert prometheus.error_rate(empty) == 0.0


def test_samples_measure_requests_and_count_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[str | OSError] = iter(["ok", OSError("refused"), "ok"])

    def get(_url: str) -> str:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setenv("ONCALL_SERVICES", "checkout")
    monkeypatch.setattr(MODULE, "_get", get)
    outcome = call(TOOLS["trace_sample"], {"service": "checkout", "count": 3}, context())
    assert outcome.output is not None
    assert (outcome.output["count"], outcome.output["failed"]) == (3, 1)


def test_deleting_deletes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, asked = run(
        "delete_deployment", {"service": "checkout"}, tmp_path, monkeypatch, lambda _: Answer(200, {})
    )
    assert [(each.method, each.path) for each in asked] == [("DELETE", DEPLOYMENT_PATH)]
    assert outcome.output == {"deleted": "checkout"}
