"""HTTP and EVENT tasks on the real cluster: a real service, a key of a Secret that nothing shows, CloudEvents."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.support.environment import ONCALL, Environment
from tests.support.runs import Run, definition

NAMESPACE = "demo-b"
SECRET = "s3cr3t-of-the-crm"
SERVER = """
import hashlib, json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

events, failures = [], {}

class Handler(BaseHTTPRequestHandler):
    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/healthz":
            return self.answer(200, {})
        if self.path.startswith("/flaky"):
            failures[self.path] = failures.get(self.path, 0) + 1
            return self.answer(503 if failures[self.path] == 1 else 200, {"calls": failures[self.path]})
        self.answer(200, events) if self.path == "/events" else self.answer(404, {"no": self.path})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/events":
            events.append({"type": self.headers["Content-Type"], "event": body})
            return self.answer(202, {})
        token = self.headers.get("Authorization", "")
        self.answer(201, {"got": body, "token": hashlib.sha256(token.encode()).hexdigest()})

ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def service(env: Environment) -> Environment:
    """A small service, the Secret that it wants, and the right to use it."""
    role = "rbac.authorization.k8s.io"
    labels = {"app": "crm"}
    container = {
        "name": "crm",
        "image": ONCALL,
        "command": ["python", "-c", SERVER],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
    }
    env.kubectl.apply(
        NAMESPACE,
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "crm"}, "stringData": {"token": SECRET}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "crm"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "crm"},
            "spec": {"selector": labels, "ports": [{"port": 8080}]},
        },
        {
            "apiVersion": f"{role}/v1",
            "kind": "Role",
            "metadata": {"name": "crm-secret"},
            "rules": [
                {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["crm"], "verbs": ["use"]}
            ],
        },
        {
            "apiVersion": f"{role}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "crm-secret"},
            "roleRef": {"apiGroup": role, "kind": "Role", "name": "crm-secret"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}],
        },
    )
    env.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/crm", "--timeout=60s")
    return env


def address(env: Environment, path: str) -> str:
    """A URL of the service, by its address: the small cluster has no DNS."""
    found = env.kubectl.json("-n", NAMESPACE, "get", "service", "crm")
    return f"http://{found['spec']['clusterIP']}:8080{path}"


def http(env: Environment, ref: str, path: str, method: str = "GET", **more: object) -> dict[str, object]:
    """One request to the service."""
    request = {"uri": address(env, path), "method": method, **more}
    return {"ref": ref, "type": "HTTP", "retryCount": 0, "input": {"http_request": request}}


def test_a_request_with_a_secret_and_an_event_reach_the_service(service: Environment) -> None:
    token = {"Authorization": "Bearer ${workflow.secrets.crm.token}"}
    tasks = [
        http(service, "order", "/orders", "POST", headers=token, body={"item": "${workflow.input.item}"}),
        {"ref": "tell", "type": "EVENT", "name": "order.placed", "sink": address(service, "/events"),
         "input": {"item": "${order.output.response.body.got.item}"}},
        http(service, "seen", "/events"),
    ]  # fmt: skip
    service.kubectl.apply(NAMESPACE, definition("Workflow", "crm", {"tasks": tasks}))
    run = Run.start(
        service.kubectl, NAMESPACE, "crm", {"workflowRef": {"name": "crm"}, "input": {"item": "pen"}}
    )
    status = run.until_final()
    assert status["phase"] == "Completed", status.get("reason")
    outputs = {e["ref"]: e["output"] for e in run.events if e["type"] == "TaskCompleted"}
    response = outputs["order"]["response"]
    assert response["statusCode"] == 201
    assert response["body"]["got"] == {"item": "pen"}
    assert response["body"]["token"] == hashlib.sha256(f"Bearer {SECRET}".encode()).hexdigest()
    [seen] = outputs["seen"]["response"]["body"]
    event = seen["event"]
    assert seen["type"].startswith("application/cloudevents+json")
    assert (event["specversion"], event["type"], event["subject"]) == ("1.0", "order.placed", "tell")
    assert (event["source"], event["data"]) == (f"openworld.dev/{NAMESPACE}/crm", {"item": "pen"})
    assert sorted(job["metadata"]["labels"]["openworld.dev/ref"] for job in run.jobs()) == [
        "order",
        "seen",
        "tell",
    ]
    kinds = "executions,jobs,pods,configmaps,taskresults,events"
    assert SECRET not in service.kubectl("-n", NAMESPACE, "get", kinds, "-o", "yaml").stdout
    logs = service.kubectl("-n", "openworld-system", "logs", "deployment/openworld-operator", "--tail=-1")
    assert SECRET not in logs.stdout


def test_what_is_no_answer_of_success_fails_the_task_with_the_status(service: Environment) -> None:
    service.kubectl.apply(
        NAMESPACE, definition("Workflow", "crm-missing", {"tasks": [http(service, "get", "/nowhere")]})
    )
    run = Run.start(service.kubectl, NAMESPACE, "crm-missing", {"workflowRef": {"name": "crm-missing"}})
    status = run.until_final()
    assert status["phase"] == "Failed"
    assert "404" in status["reason"]
    failed = next(e for e in run.events if e["type"] == "TaskFailed")
    assert failed["output"]["response"]["body"] == {"no": "/nowhere"}


def test_a_request_that_failed_is_made_again(service: Environment) -> None:
    again = http(service, "get", "/flaky/once")
    again["taskDefinition"] = {"retry": {"count": 2, "delaySeconds": 1}}
    del again["retryCount"]
    service.kubectl.apply(NAMESPACE, definition("Workflow", "crm-flaky", {"tasks": [again]}))
    run = Run.start(service.kubectl, NAMESPACE, "crm-flaky", {"workflowRef": {"name": "crm-flaky"}})
    status = run.until_final()
    assert status["phase"] == "Completed", json.dumps(status.get("reason"))
    assert status["output"]["response"]["body"] == {"calls": 2}
    assert (len(run.jobs()), run.types()["RetryScheduled"]) == (2, 1)


def test_a_secret_that_the_account_may_not_use_is_refused_before_any_job(service: Environment) -> None:
    token = {"Authorization": "${workflow.secrets.other.token}"}
    tasks = [http(service, "get", "/events", headers=token)]
    service.kubectl.apply(NAMESPACE, definition("Workflow", "crm-denied", {"tasks": tasks}))
    run = Run.start(
        service.kubectl,
        NAMESPACE,
        "crm-denied",
        {"workflowRef": {"name": "crm-denied"}, "serviceAccountName": "nobody"},
    )
    status = run.until_final()
    assert status["phase"] == "Failed"
    assert "grant it verb 'use' on secrets/other" in status["reason"]
    assert run.jobs() == []
