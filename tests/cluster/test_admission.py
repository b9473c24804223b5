"""What the API server refuses: forged reports, borrowed names, rights that were not given."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from openworld.api.signal import SignalType
from tests.cluster.shell import wait_for
from tests.support.environment import ONCALL, Environment
from tests.support.kubectl import Kubectl
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
                    "apiGroups": ["openworld.dev"],
                    "resources": ["groups"],
                    "resourceNames": ["leads"],
                    "verbs": ["answer"],
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


@dataclass(frozen=True)
class Pod:
    """A pod that never runs, and the API server as its own token sees it."""

    name: str
    uid: str
    bound: Kubectl
    unbound: Kubectl

    def report(self, name: str, **changes: Any) -> dict[str, Any]:
        """A report under a name; right but for the changes."""
        spec = {"execution": "e", "ref": "r", "attempt": 0, "podUID": self.uid, "status": "Completed"}
        report = definition("TaskResult", name, {**spec, **changes})
        report["metadata"]["labels"] = {"openworld.dev/execution": "e"}
        return report


@pytest.fixture(scope="module")
def pod(env: Environment) -> Iterator[Pod]:
    """A pod that no node takes, its bound token, and a token of the same account that is bound to nothing."""
    name = "ow-0123456789-7-abcde"
    spec = {
        "serviceAccountName": "openworld-task",
        "nodeSelector": {"example.com/none": "here"},
        "containers": [{"name": "task", "image": ONCALL}],
    }
    env.kubectl("-n", NAMESPACE, "delete", "taskresults", "-l", "openworld.dev/execution=e")
    env.kubectl.apply(
        NAMESPACE, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    )
    uid = env.kubectl.json("-n", NAMESPACE, "get", "pod", name)["metadata"]["uid"]

    def token(*more: str) -> str:
        return env.kubectl("-n", NAMESPACE, "create", "token", "openworld-task", *more).stdout.strip()

    bound = token("--bound-object-kind=Pod", f"--bound-object-name={name}", f"--bound-object-uid={uid}")
    yield Pod(name, uid, env.kubectl.with_token(bound), env.kubectl.with_token(token()))
    env.kubectl("-n", NAMESPACE, "delete", "pod", name, "--now")


def _reported(
    by: Kubectl, report: dict[str, Any], namespace: str = NAMESPACE
) -> subprocess.CompletedProcess[str]:
    return by.create(namespace, report, check=False)


def test_a_forged_report_is_refused_with_its_reason(env: Environment, pod: Pod) -> None:
    for name in (pod.name, f"{pod.name}.p1"):
        accepted = _reported(pod.bound, pod.report(name))
        assert accepted.returncode == 0, accepted.stderr

    reports_for_itself = (
        f"a pod reports for itself only: the name must be {pod.name} or begin with {pod.name}."
    )
    for name in (f"{pod.name}x", f"{pod.name}-p1", pod.name[:-1], "another-pod"):
        assert reports_for_itself in _reported(pod.bound, pod.report(name)).stderr
    own = f"{pod.name}.p2"
    other_uid = _reported(pod.bound, pod.report(own, podUID="another-uid"))
    assert "spec.podUID must be the uid of the reporting pod" in other_uid.stderr
    other_execution = _reported(pod.bound, pod.report(own, execution="another"))
    assert "the label openworld.dev/execution must be spec.execution" in other_execution.stderr
    unlabelled = pod.report(own)
    del unlabelled["metadata"]["labels"]
    assert "the label openworld.dev/execution must be" in _reported(pod.bound, unlabelled).stderr
    not_a_pod = "only a pod may report: the caller's token is not bound to one"
    assert not_a_pod in _reported(pod.unbound, pod.report(own)).stderr
    assert "cannot create resource" in _reported(pod.bound, pod.report(pod.name), "demo-a").stderr

    binding = definition("RoleBinding", "reports-elsewhere", {})
    binding |= {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "openworld-reporter",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "openworld-task", "namespace": NAMESPACE}],
    }
    del binding["spec"]
    env.kubectl.apply("demo-a", binding)
    wait_for(
        "the right to report elsewhere",
        lambda: "cannot create" not in _reported(pod.bound, pod.report(pod.name), "demo-a").stderr,
        seconds=30,
    )
    elsewhere = _reported(pod.bound, pod.report(pod.name), "demo-a").stderr
    env.kubectl("-n", "demo-a", "delete", "rolebinding", "reports-elsewhere")
    assert "a pod reports in its own namespace only" in elsewhere


def test_a_report_cannot_be_changed_by_anybody(env: Environment, pod: Pod) -> None:
    name = f"{pod.name}.fixed"
    pod.bound.create(NAMESPACE, pod.report(name, output={"a": 1, "nothing": None}))

    def change(spec: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        text = json.dumps({"spec": spec})
        return env.kubectl(
            "-n", NAMESPACE, "patch", "taskresult", name, "--type=merge", "-p", text, check=False
        )

    renamed = {"output": {"a": None, "b": 1}}
    for spec in ({"status": "Failed"}, {"reason": "x"}, {"output": {"a": 2}}, renamed, {"output": None}):
        assert "a TaskResult cannot be changed" in change(spec).stderr, spec
    found = env.kubectl.json("-n", NAMESPACE, "get", "taskresult", name)["spec"]
    assert found["output"] == {"a": 1, "nothing": None}
    routed = env.kubectl(
        "-n", NAMESPACE, "label", "--overwrite", "taskresult", name, "openworld.dev/execution=x", check=False
    )
    assert "the label openworld.dev/execution must be spec.execution" in routed.stderr


def _signal(**spec: Any) -> dict[str, Any]:
    said = {"execution": "x", "executionUID": "u", "by": "mallory@example.com", "payload": {"reason": "x"}}
    return definition("Signal", "s", {**said, **spec})


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
    assert "may not answer for admins: grant verb answer on groups.openworld.dev/admins" in refused(
        tenant, _signal(type="Pause", group="admins"), mallory
    )
    assert _tried(tenant, _signal(type="Pause", group="leads"), mallory).returncode == 0
    accepted = tenant.kubectl.create(NAMESPACE, _signal(type="Pause"), as_user=mallory)
    assert "created" in accepted.stdout
    renamed = {"payload": {"reason": None, "other": "x"}}
    for spec in ({"type": "Resume"}, {"by": "admin"}, {"ref": "x"}, {"payload": {"reason": "y"}}, renamed):
        text = json.dumps({"spec": spec})
        done = tenant.kubectl(
            "-n", NAMESPACE, "patch", "signal", "s", "--type=merge", "-p", text, check=False
        )
        assert "a Signal cannot be changed" in done.stderr, spec


def _tried(env: Environment, manifest: dict[str, Any], user: str) -> subprocess.CompletedProcess[str]:
    """What the API server would answer; nothing is created."""
    return env.kubectl(
        "-n", NAMESPACE, "create", "-f", "-", "--dry-run=server",
        stdin=json.dumps(manifest), as_user=user, check=False,
    )  # fmt: skip


def _wait_for_rights(env: Environment, manifest: dict[str, Any], user: str) -> None:
    """The authorizer learns of a binding a moment after it was written."""
    wait_for(
        f"the rights of {user}",
        lambda: "cannot create" not in _tried(env, manifest, user).stderr,
        seconds=30,
    )


def test_who_has_the_roles_of_the_chart_may_send_what_they_are_for(tenant: Environment) -> None:
    role = "rbac.authorization.k8s.io"
    decides, signals = "bob@example.com", "carol@example.com"
    for user, granted in ((decides, "openworld-approver"), (signals, "openworld-signaller")):
        binding = {
            "apiVersion": f"{role}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": granted},
            "roleRef": {"apiGroup": role, "kind": "ClusterRole", "name": granted},
            "subjects": [{"apiGroup": role, "kind": "User", "name": user}],
        }
        tenant.kubectl.apply(NAMESPACE, binding)
    sent = [
        _signal(type=kind, ref="g", itemDigest="sha256:0", tool=tool)
        for kind in SignalType
        for tool in ("noop", "SUB_WORKFLOW")
    ]
    for signal in sent:
        signal["metadata"]["name"] = "tried"
    for user in (decides, signals):
        _wait_for_rights(tenant, sent[0], user)
    for signal in sent:
        kind = signal["spec"]["type"]
        is_decision = kind in (SignalType.APPROVE, SignalType.REJECT)
        for user, may in ((decides, is_decision), (signals, not is_decision)):
            signal["spec"]["by"] = user
            answer = _tried(tenant, signal, user)
            assert (answer.returncode == 0) == may, (user, signal["spec"], answer.stderr)
            assert may or f"{user} may not" in answer.stderr


def test_the_operator_starts_child_runs_for_whoever_asked_for_the_parent(tenant: Environment) -> None:
    parent = {"name": "p", "uid": "u", "ref": "r", "seq": 1, "depth": 1}
    spec = {"workflowRef": {"name": "forging"}, "requestedBy": "alice@example.com", "parent": parent}
    child = definition("Execution", "child", {**spec, "serviceAccountName": "powerful"})
    operator = "system:serviceaccount:openworld-system:openworld-operator"
    assert _tried(tenant, child, operator).returncode == 0
    namesake = f"system:serviceaccount:{NAMESPACE}:openworld-operator"
    tenant.kubectl(
        "-n", NAMESPACE, "create", "rolebinding", "namesake", "--clusterrole=openworld-runner",
        f"--serviceaccount={NAMESPACE}:openworld-operator", check=False,
    )  # fmt: skip
    _wait_for_rights(tenant, child, namesake)
    assert "spec.requestedBy must be the caller" in _tried(tenant, child, namesake).stderr


def test_a_run_has_an_honest_requester_and_an_account_that_they_may_use(tenant: Environment) -> None:
    mallory = "mallory@example.com"
    spec = {"workflowRef": {"name": "forging"}, "requestedBy": mallory}
    assert "spec.requestedBy must be the caller, mallory@example.com" in refused(
        tenant, definition("Execution", "e", {**spec, "requestedBy": "alice@example.com"}), mallory
    )
    assert "grant verb runas on serviceaccounts/powerful" in refused(
        tenant, definition("Execution", "e", {**spec, "serviceAccountName": "powerful"}), mallory
    )
    assert _tried(tenant, definition("Execution", "e", spec), mallory).returncode == 0
    parent = {"name": "p", "uid": "u", "ref": "r", "seq": 1, "depth": 1}
    assert "spec.parent is set by the operator alone" in refused(
        tenant, definition("Execution", "e", {**spec, "parent": parent}), mallory
    )


def test_nobody_but_the_operator_says_what_became_of_a_definition_or_a_signal(tenant: Environment) -> None:
    signal = _signal(type="Pause", by="admin")
    signal["metadata"]["name"] = "told"
    tenant.kubectl.create(NAMESPACE, signal)
    tenant.kubectl.apply(
        NAMESPACE,
        definition("Agent", "told", {"model": {"provider": "scripted", "script": {"configMapName": "none"}}}),
    )
    said = json.dumps({"status": {"conditions": [{"type": "Valid", "status": "True"}]}})
    for resource in ("workflow/gated", "toolcatalog/adversary", "policy/ask", "agent/told", "signal/told"):
        done = tenant.kubectl(
            "-n", NAMESPACE, "patch", resource, "--subresource=status", "--type=merge", "-p", said, check=False
        )  # fmt: skip
        assert "the operator alone writes them" in done.stderr, resource


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
        assert "the operator alone writes them" in done.stderr
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
