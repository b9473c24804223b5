"""What the API server refuses: forged reports, borrowed names, rights that were not given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.environment import ONCALL, Environment
from tests.support.runs import Run, definition

NAMESPACE = "demo-b"
#: Reports as another pod, in another namespace, with another uid; then what the operator wrote over.
FORGER = """
import json, os, ssl, urllib.error, urllib.request
base = "/var/run/secrets/kubernetes.io/serviceaccount/"
token = open(base + "token").read()
context = ssl.create_default_context(cafile=base + "ca.crt")
host = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
pod, uid = os.environ["OPENWORLD_POD_NAME"], os.environ["OPENWORLD_POD_UID"]
def call(name, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
    request = urllib.request.Request(host + path, data, headers, method=method)
    try:
        urllib.request.urlopen(request, context=context, timeout=10)
        codes[name] = 201
    except urllib.error.HTTPError as error:
        codes[name] = error.code
def report(name, namespace, pod_name, pod_uid):
    path = f"/apis/openworld.dev/v1alpha1/namespaces/{namespace}/taskresults"
    call(name, "POST", path, {"apiVersion": "openworld.dev/v1alpha1", "kind": "TaskResult",
        "metadata": {"name": pod_name, "labels": {"openworld.dev/execution": "victim"}},
        "spec": {"execution": "victim", "ref": "x", "attempt": 0, "podUID": pod_uid, "status": "Completed"}})
codes = {}
report("other-name", "demo-b", "another-pod", uid)
report("other-prefix", "demo-b", pod + "x", uid)
report("other-uid", "demo-b", pod, "another-uid")
report("other-namespace", "demo-a", pod, uid)
call("read-results", "GET", "/apis/openworld.dev/v1alpha1/namespaces/demo-b/taskresults")
call("read-secrets", "GET", "/api/v1/namespaces/demo-b/secrets")
call("read-executions", "GET", "/apis/openworld.dev/v1alpha1/namespaces/demo-b/executions")
report("own", "demo-b", pod + ".p1", uid)
open("/dev/termination-log", "w").write(json.dumps(codes))
"""


@pytest.fixture(scope="module")
def tenant(env: Environment) -> Environment:
    """A catalog with a forging tool, a person who may signal but not approve, one who may run."""
    tool = {
        "name": "forge",
        "inputSchema": {"type": "object"},
        "effect": "Read",
        "retry": {"count": 0},
        "run": {
            "container": {"image": ONCALL, "command": ["python", "-c", FORGER]},
            "serviceAccountName": "openworld-task",
        },
    }
    gated = {"name": "noop", "inputSchema": {"type": "object"}, "effect": "Write", "retry": {"count": 0}}
    gated["run"] = {"container": {"image": ONCALL, "command": ["true"]}}
    policy = {
        "scope": "All",
        "rules": [{"name": "ask", "decision": "RequireApproval", "match": {"tools": ["noop"]}}],
    }
    role = "rbac.authorization.k8s.io"
    env.kubectl.apply(
        NAMESPACE,
        definition("ToolCatalog", "adversary", {"tools": [tool, gated]}),
        definition("Policy", "ask", policy),
        definition(
            "Workflow", "forging", {"catalogs": ["adversary"], "tasks": [{"ref": "f", "type": "forge"}]}
        ),
        definition(
            "Workflow",
            "gated",
            {
                "catalogs": ["adversary"],
                "policyRef": {"name": "ask"},
                "tasks": [{"ref": "g", "type": "noop"}],
            },
        ),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "powerful"}},
        {
            "apiVersion": f"{role}/v1",
            "kind": "Role",
            "metadata": {"name": "limited"},
            "rules": [
                {
                    "apiGroups": ["openworld.dev"],
                    "resources": ["signals"],
                    "verbs": ["create", "get", "list", "watch"],
                },
                {"apiGroups": ["openworld.dev"], "resources": ["taskresults"], "verbs": ["create"]},
                {
                    "apiGroups": ["openworld.dev"],
                    "resources": ["executions"],
                    "verbs": ["create", "get", "pause"],
                },
                {
                    "apiGroups": [""],
                    "resources": ["serviceaccounts"],
                    "resourceNames": ["default"],
                    "verbs": ["runas"],
                },
            ],
        },
        {
            "apiVersion": f"{role}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "limited"},
            "roleRef": {"apiGroup": role, "kind": "Role", "name": "limited"},
            "subjects": [
                {"apiGroup": role, "kind": "User", "name": "mallory@example.com"},
                {"kind": "ServiceAccount", "name": "powerful", "namespace": NAMESPACE},
            ],
        },
        {
            "apiVersion": f"{role}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "use"},
            "roleRef": {"apiGroup": role, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}],
        },
    )
    return env


def refused(
    env: Environment, manifest: dict[str, Any], user: str | None, *, namespace: str = NAMESPACE
) -> str:
    """What the API server says when it refuses."""
    done = env.kubectl.create(namespace, manifest, as_user=user, check=False)
    assert done.returncode != 0, "it was accepted"
    return done.stderr


def test_a_pod_reports_for_itself_and_can_do_nothing_else(tenant: Environment) -> None:
    run = Run.start(tenant.kubectl, NAMESPACE, "forgery", {"workflowRef": {"name": "forging"}})
    status = run.until_final()
    assert status["phase"] == "Completed", status["reason"]
    assert status["output"] == {
        "other-name": 403,
        "other-prefix": 403,
        "other-uid": 403,
        "other-namespace": 403,
        "read-results": 403,
        "read-secrets": 403,
        "read-executions": 403,
        "own": 201,
    }


def test_an_ordinary_user_cannot_report(tenant: Environment) -> None:
    spec = {"execution": "x", "ref": "x", "attempt": 0, "podUID": "u", "status": "Completed"}
    report = definition("TaskResult", "some-pod", spec)
    report["metadata"]["labels"] = {"openworld.dev/execution": "x"}
    assert "only a pod may report" in refused(tenant, report, "mallory@example.com")
    assert "only a pod may report" in refused(tenant, report, None)


def _signal(**spec: Any) -> dict[str, Any]:
    return definition(
        "Signal", "s", {"execution": "x", "executionUID": "u", "by": "mallory@example.com", **spec}
    )


def test_a_signal_is_sent_in_ones_own_name_and_with_ones_own_rights(tenant: Environment) -> None:
    mallory = "mallory@example.com"
    decision = {"type": "Approve", "ref": "g", "tool": "noop", "itemDigest": "sha256:0"}
    assert "spec.by must be the caller, mallory@example.com" in refused(
        tenant, _signal(type="Pause", by="bob@example.com"), mallory
    )
    assert (
        "mallory@example.com may not decide on noop: grant verb approve on tools.openworld.dev/noop"
        in refused(tenant, _signal(**decision), mallory)
    )
    assert "grant verb approve on tasktypes.openworld.dev/HUMAN" in refused(
        tenant, _signal(**{**decision, "tool": "HUMAN"}), mallory
    )
    assert "may not send Terminate: grant verb terminate on executions.openworld.dev/x" in refused(
        tenant, _signal(type="Terminate"), mallory
    )
    assert "ref, tool and itemDigest are required" in refused(tenant, _signal(type="Reject"), mallory)
    account = f"system:serviceaccount:{NAMESPACE}:powerful"
    assert "a service account cannot approve or reject" in refused(
        tenant, _signal(**decision, by=account), account
    )
    accepted = tenant.kubectl.create(NAMESPACE, _signal(type="Pause"), as_user=mallory)
    assert "created" in accepted.stdout


def test_a_run_has_an_honest_requester_and_an_account_that_they_may_use(tenant: Environment) -> None:
    mallory = "mallory@example.com"
    spec = {"workflowRef": {"name": "forging"}, "requestedBy": mallory}
    assert "spec.requestedBy must be the caller, mallory@example.com" in refused(
        tenant, definition("Execution", "e", {**spec, "requestedBy": "alice@example.com"}), mallory
    )
    assert "grant verb runas on serviceaccounts/powerful" in refused(
        tenant, definition("Execution", "e", {**spec, "serviceAccountName": "powerful"}), mallory
    )
    parent = {"name": "p", "uid": "u", "ref": "r", "seq": 1, "depth": 1}
    assert "spec.parent is set by the operator alone" in refused(
        tenant, definition("Execution", "e", {**spec, "parent": parent}), mallory
    )


def test_nobody_but_the_operator_writes_the_record(tenant: Environment) -> None:
    run = Run.start(tenant.kubectl, NAMESPACE, "record", {"workflowRef": {"name": "gated"}})
    run.until_event("ApprovalRequested")
    patch = json.dumps({"status": {"phase": "Completed"}})
    for user in ("admin", f"system:serviceaccount:{NAMESPACE}:default"):
        done = tenant.kubectl(
            "-n", NAMESPACE, "patch", "execution", "record", "--subresource=status", "--type=merge", "-p", patch,
            as_user=user, as_groups=["system:masters"], check=False,
        )  # fmt: skip
        assert done.returncode != 0
        assert "the operator alone writes it" in done.stderr
    for field, value in (("input", {"a": 1}), ("requestedBy", "bob"), ("workflowRef", {"name": "forging"})):
        done = tenant.kubectl(
            "-n", NAMESPACE, "patch", "execution", "record", "--type=merge",
            "-p", json.dumps({"spec": {field: value}}), check=False,
        )  # fmt: skip
        assert done.returncode != 0
        assert "cannot be changed" in done.stderr


def test_an_approval_names_the_item_that_was_shown(tenant: Environment) -> None:
    run = Run.start(tenant.kubectl, NAMESPACE, "digest", {"workflowRef": {"name": "gated"}})
    shown = run.until_event("ApprovalRequested")
    uid = run.object["metadata"]["uid"]
    signal = {
        "execution": "digest",
        "executionUID": uid,
        "type": "Approve",
        "ref": "g",
        "tool": "noop",
        "by": "admin",
    }
    for name, digest in (("wrong-item", "sha256:0"), ("by-the-requester", shown["itemDigest"])):
        tenant.kubectl.create(NAMESPACE, definition("Signal", name, {**signal, "itemDigest": digest}))
    wrong = run.until_event("FactRefused", signal="wrong-item")
    assert "another item" in wrong["reason"]
    own = run.until_event("FactRefused", signal="by-the-requester")
    assert "requested this execution" in own["reason"]
    other = {**signal, "by": "carol@example.com", "itemDigest": shown["itemDigest"]}
    tenant.kubectl(
        "-n", NAMESPACE, "create", "-f", "-", stdin=json.dumps(definition("Signal", "fine", other)),
        as_user="carol@example.com", as_groups=["system:masters"],
    )  # fmt: skip
    assert run.until_final()["phase"] == "Completed"
    assert len(run.jobs()) == 1
