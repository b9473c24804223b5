"""The Helm chart on a real API server: rendered, installed, upgraded, removed, installed again."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from openworld.api.signal import SignalType
from openworld.controller.webhook import KINDS, PATIENCE_SECONDS, PORT
from tests.cluster import binary
from tests.cluster.local import LocalCluster
from tests.cluster.settings import REPOSITORY
from tests.cluster.shell import wait_for
from tests.support.kubectl import Kubectl
from tests.support.runs import definition

CHART = str(REPOSITORY / "charts" / "openworld")
POLICIES = ("openworld-executions", "openworld-ledger", "openworld-taskresults", "openworld-signals")
DEFINED = len(list((REPOSITORY / "crds").glob("*.yaml")))
PAGE = REPOSITORY / "docs" / "reference" / "rbac.md"
PEOPLE = {f"openworld-{who}" for who in ("viewer", "editor", "runner", "approver", "signaller")}
OWNED = (
    "deployments,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,"
    "validatingadmissionpolicies,validatingadmissionpolicybindings,"
    "services,secrets,validatingwebhookconfigurations"
)
OPERATOR = "system:serviceaccount:openworld-system:openworld-operator"


def helm(*arguments: str, kubeconfig: str = "") -> subprocess.CompletedProcess[str]:
    """Run Helm."""
    env = {**os.environ, "KUBECONFIG": kubeconfig}
    return subprocess.run(
        [str(binary.helm()), *arguments], env=env, text=True, capture_output=True, check=False
    )


def rendered(*values: str) -> list[dict[str, Any]]:
    """The objects that the chart renders to."""
    words = [word for value in values for word in ("--set", value)]
    done = helm("template", "openworld", CHART, "-n", "openworld-system", "--kube-version", "1.37.0", *words)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The objects of a kind."""
    return [o for o in objects if o["kind"] == kind]


def test_the_chart_is_clean() -> None:
    done = helm("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("value", "named"),
    [("imagee.tag=x", "imagee"), ("fencing=Loose", "fencing"), ("workflowEnv.A=1", "workflowEnv"), ("jobRetentionSeconds=1", "jobRetentionSeconds"),
     ("image.tagg=x", "tagg"), ("namespaces={Bad_Name}", "namespaces"), ("webhook.failurePolicy=Open", "failurePolicy"),
     ("webhook.certmanager.enabled=true", "certmanager")],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_name(value: str, named: str) -> None:
    done = helm("template", "openworld", CHART, "--set", value)
    assert done.returncode != 0
    assert named in done.stderr


def test_rights_are_bound_in_the_named_namespaces_alone() -> None:
    bindings = of_kind(rendered("namespaces={one,two}"), "RoleBinding")
    assert sorted((b["metadata"]["namespace"], b["metadata"]["name"]) for b in bindings) == [
        *(("one", name) for name in ("openworld-agent", "openworld-operator", "openworld-task")),
        ("openworld-system", "openworld-mandatory"),
        *(("two", name) for name in ("openworld-agent", "openworld-operator", "openworld-task")),
    ]
    (mandatory,) = [r for r in of_kind(rendered(), "Role") if r["metadata"]["name"] == "openworld-mandatory"]
    assert mandatory["rules"] == [
        {"apiGroups": ["openworld.dev"], "resources": ["policies"], "verbs": ["list"]}
    ]
    own = of_kind(rendered(), "RoleBinding")
    assert {b["metadata"]["namespace"] for b in own} == {"openworld-system"}


def test_what_workflows_see_of_the_environment_reaches_the_operator() -> None:
    (operator,) = of_kind(rendered("workflowEnv.STAGE=test"), "Deployment")
    env = operator["spec"]["template"]["spec"]["containers"][0]["env"]
    (given,) = [each["value"] for each in env if each["name"] == "OPENWORLD_WORKFLOW_ENV"]
    assert json.loads(given) == {"STAGE": "test"}


def test_parts_can_be_left_out() -> None:
    assert len(of_kind(rendered(), "CustomResourceDefinition")) == DEFINED
    assert of_kind(rendered("crds.install=false"), "CustomResourceDefinition") == []
    assert {r["metadata"]["name"] for r in of_kind(rendered(), "ClusterRole")} >= PEOPLE
    assert not PEOPLE & {
        r["metadata"]["name"] for r in of_kind(rendered("roles.create=false"), "ClusterRole")
    }


def test_the_operator_runs_with_as_little_as_possible() -> None:
    deployment = of_kind(rendered(), "Deployment")[0]
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def webhooks(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the API server is told to ask the operator about."""
    (configuration,) = of_kind(objects, "ValidatingWebhookConfiguration")
    return list(configuration["webhooks"])


def pod_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """The operator's pod."""
    (deployment,) = of_kind(objects, "Deployment")
    return dict(deployment["spec"]["template"]["spec"])


def test_the_webhook_asks_the_operator_about_definitions_in_the_served_namespaces() -> None:
    asked = webhooks(rendered("namespaces={one,007}"))
    assert [hook["name"] for hook in asked] == [f"{kind.plural}.openworld.dev" for kind in KINDS]
    for kind, hook in zip(KINDS, asked, strict=True):
        assert hook["clientConfig"]["service"] == {
            "name": "openworld-webhook", "namespace": "openworld-system", "path": f"/{kind.plural}", "port": 443,
        }  # fmt: skip
        assert hook["rules"] == [
            {"apiGroups": [kind.group], "apiVersions": [kind.version], "resources": [kind.plural],
             "operations": ["CREATE", "UPDATE"], "scope": "Namespaced"}
        ]  # fmt: skip
        assert hook["namespaceSelector"]["matchExpressions"] == [
            {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["one", "007"]}
        ]
        assert (hook["failurePolicy"], hook["matchPolicy"], hook["sideEffects"]) == (
            "Ignore", "Equivalent", "None",
        )  # fmt: skip
        assert hook["timeoutSeconds"] > PATIENCE_SECONDS
    own = webhooks(rendered("webhook.failurePolicy=Fail"))
    assert {hook["failurePolicy"] for hook in own} == {"Fail"}
    (selected,) = own[0]["namespaceSelector"]["matchExpressions"]
    assert selected["values"] == ["openworld-system"]


def test_the_webhook_is_served_with_a_certificate_of_the_charts_making(tmp_path: Path) -> None:
    objects = rendered()
    (secret,) = of_kind(objects, "Secret")
    assert (secret["metadata"]["name"], secret["type"]) == ("openworld-webhook", "kubernetes.io/tls")
    assert {hook["clientConfig"]["caBundle"] for hook in webhooks(objects)} == {secret["data"]["ca.crt"]}
    for name, data in secret["data"].items():
        (tmp_path / name).write_bytes(base64.b64decode(data))
    host = ["-verify_hostname", "openworld-webhook.openworld-system.svc"]
    done = subprocess.run(
        ["openssl", "verify", *host, "-CAfile", str(tmp_path / "ca.crt"), str(tmp_path / "tls.crt")],
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    pod = pod_of(objects)
    container = pod["containers"][0]
    assert {"name": "webhook", "containerPort": PORT} in container["ports"]
    (folder,) = (e["value"] for e in container["env"] if e["name"] == "OPENWORLD_WEBHOOK_CERTIFICATES")
    assert {"name": "webhook", "mountPath": folder, "readOnly": True} in container["volumeMounts"]
    (volume,) = (v for v in pod["volumes"] if v["name"] == "webhook")
    assert volume["secret"]["secretName"] == "openworld-webhook"
    assert [item["path"] for item in volume["secret"]["items"]] == ["tls.crt", "tls.key"]


def test_the_webhooks_certificate_can_be_left_to_cert_manager() -> None:
    objects = rendered("webhook.certManager.enabled=true")
    assert of_kind(objects, "Secret") == []
    (certificate,) = of_kind(objects, "Certificate")
    (issuer,) = of_kind(objects, "Issuer")
    (configuration,) = of_kind(objects, "ValidatingWebhookConfiguration")
    name = certificate["metadata"]["name"]
    assert configuration["metadata"]["annotations"] == {
        "cert-manager.io/inject-ca-from": f"openworld-system/{name}"
    }
    assert all("caBundle" not in hook["clientConfig"] for hook in configuration["webhooks"])
    assert certificate["spec"] == {
        "secretName": "openworld-webhook-issued",
        "dnsNames": ["openworld-webhook.openworld-system.svc"],
        "issuerRef": {"kind": "Issuer", "name": issuer["metadata"]["name"]},
    }
    (volume,) = (v for v in pod_of(objects)["volumes"] if v["name"] == "webhook")
    assert volume["secret"]["secretName"] == "openworld-webhook-issued"


def test_the_webhook_can_be_left_out() -> None:
    objects = rendered("webhook.enabled=false")
    for kind in ("ValidatingWebhookConfiguration", "Service", "Secret"):
        assert of_kind(objects, kind) == []
    assert "webhook" not in json.dumps(pod_of(objects)).lower()


def page_rows(page: str, heading: str) -> list[list[str]]:
    """The rows of a section's tables, cell by cell."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def as_row(rule: dict[str, Any]) -> tuple[str, str]:
    """A rule as the page writes it; the API group is named where it is neither ours nor the core's."""
    group = rule["apiGroups"][0]
    suffix = f" ({group})" if group not in ("", "openworld.dev") else ""
    return ", ".join(rule["resources"]) + suffix, ", ".join(rule["verbs"])


@pytest.mark.parametrize(
    ("heading", "roles"),
    [
        ("The operator", ["openworld-operator-cluster", "openworld-operator", "openworld-mandatory"]),
        ("A task's pod", ["openworld-reporter"]),
    ],
)
def test_the_page_has_each_right_with_its_reason_and_no_other(heading: str, roles: list[str]) -> None:
    rows = [row for row in page_rows(PAGE.read_text(), heading) if len(row) == 3 and row[0] != "resource"]
    objects = rendered()
    all_roles = [*of_kind(objects, "ClusterRole"), *of_kind(objects, "Role")]
    granted = {role["metadata"]["name"]: role["rules"] for role in all_roles}
    assert [(row[0], row[1]) for row in rows] == [as_row(rule) for name in roles for rule in granted[name]]
    assert all(reason for _, _, reason in rows)


def test_the_page_has_each_right_of_people_and_no_other() -> None:
    rows = page_rows(PAGE.read_text(), "People")
    told = [tuple(row[:3]) for row in rows if row[0].startswith("`openworld-")]
    assert told == [
        (f"`{role['metadata']['name']}`", *as_row(rule))
        for role in of_kind(rendered(), "ClusterRole")
        if role["metadata"]["name"] in PEOPLE
        for rule in role["rules"]
    ]
    assert {name.strip("`") for name, _, _ in told} == PEOPLE


def test_the_page_tells_each_kind_of_signal_as_a_verb() -> None:
    page = PAGE.read_text()
    rows = page_rows(page, "Rights on what is no object")
    told = {row[0].strip("`") for row in rows if row[1] == "`executions.openworld.dev/<name>`"}
    assert told == {kind.value.lower() for kind in SignalType} - {"approve", "reject"}


@pytest.fixture(scope="module")
def kubectl() -> Iterator[Kubectl]:
    """An API server of its own: installing and removing must not disturb the other tests."""
    cluster = LocalCluster(f"helm-{os.getpid()}")
    try:
        cluster.up(control_plane_only=True)
        yield Kubectl(cluster.kubeconfig())
    finally:
        cluster.down()


def install(kubectl: Kubectl, *more: str) -> None:
    """Install or upgrade; no pod runs here, so nothing is waited for."""
    done = helm(
        "upgrade", "--install", "openworld", CHART, "-n", "openworld-system", "--create-namespace", *more,
        kubeconfig=kubectl.kubeconfig,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def warnings(kubectl: Kubectl, policy: dict[str, Any]) -> list[str]:
    """The expressions that the API server's type checker finds fault with."""
    kubectl("apply", "-f", "-", stdin=json.dumps(policy))
    found: dict[str, Any] = {}

    def checked() -> bool:
        found.update(kubectl.json("get", "validatingadmissionpolicy", policy["metadata"]["name"]))
        return bool(found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"])

    wait_for("the type check", checked, seconds=30)
    listed = found["status"].get("typeChecking", {}).get("expressionWarnings", [])
    return [warning["fieldRef"] for warning in listed]


def typed(policy: dict[str, Any], attempt: int) -> dict[str, Any]:
    """A copy that is type-checked, with one mistake. Nothing is bound to it.

    The checker passes over wildcards and subresources in silence: without this the check would be
    passed by any expression. The mistake shows that the checker looked.
    """
    copied: dict[str, Any] = json.loads(json.dumps(policy))
    copied["metadata"] = {"name": f"typed-{policy['metadata']['name']}"}
    for rule in copied["spec"]["matchConstraints"]["resourceRules"]:
        rule["apiVersions"] = ["v1alpha1"]
        rule["resources"] = [resource.removesuffix("/status") for resource in rule["resources"]]
    mistake = {"expression": "object.misspelt == 'x'", "message": f"attempt {attempt}"}
    copied["spec"]["validations"].append(mistake)
    return copied


@pytest.mark.parametrize("name", POLICIES)
def test_the_expressions_of_a_policy_fit_the_types_they_speak_of(kubectl: Kubectl, name: str) -> None:
    install(kubectl)
    policy = next(
        p for p in of_kind(rendered(), "ValidatingAdmissionPolicy") if p["metadata"]["name"] == name
    )
    attempts = itertools.count()
    found: list[str] = []

    def warned() -> bool:
        found[:] = warnings(kubectl, typed(policy, next(attempts)))
        return bool(found)

    # The checker learns of new kinds within half a minute, and looks again only at a policy that changed.
    wait_for(f"the planted mistake in {name}", warned, seconds=90)
    planted = len(policy["spec"]["validations"])
    assert found == [f"spec.validations[{planted}].expression"]
    kubectl("delete", "validatingadmissionpolicy", f"typed-{name}")


def test_each_policy_is_in_force_and_fails_closed() -> None:
    objects = rendered()
    policies = of_kind(objects, "ValidatingAdmissionPolicy")
    assert tuple(p["metadata"]["name"] for p in policies) == POLICIES
    assert {p["spec"]["failurePolicy"] for p in policies} == {"Fail"}
    bindings = of_kind(objects, "ValidatingAdmissionPolicyBinding")
    assert [b["spec"] for b in bindings] == [
        {"policyName": name, "validationActions": ["Deny"]} for name in POLICIES
    ]


def test_install_upgrade_uninstall_and_install_again(kubectl: Kubectl) -> None:
    install(kubectl)

    def established() -> bool:
        items = kubectl.json("get", "crd")["items"]
        conditions = [{c["type"]: c["status"] for c in i["status"].get("conditions", [])} for i in items]
        assert not any("NonStructuralSchema" in c for c in conditions)
        return len(items) == DEFINED and all(c.get("Established") == "True" for c in conditions)

    wait_for("the CRDs", established, seconds=30)
    install(kubectl, "--set", "logLevel=DEBUG")
    env = kubectl.json("-n", "openworld-system", "get", "deployment", "openworld-operator")["spec"][
        "template"
    ]["spec"]
    levels = [e["value"] for e in env["containers"][0]["env"] if e["name"] == "OPENWORLD_LOG_LEVEL"]
    assert levels == ["DEBUG"]

    install(kubectl, "--set", "crds.install=false")
    assert len(kubectl.json("get", "crd")["items"]) == DEFINED

    done = helm("uninstall", "openworld", "-n", "openworld-system", kubeconfig=kubectl.kubeconfig)
    assert done.returncode == 0, done.stderr
    assert len(kubectl.json("get", "crd")["items"]) == DEFINED
    left = kubectl("get", OWNED, "--all-namespaces", "-l", "app.kubernetes.io/name=openworld", "-o", "name")
    assert left.stdout == ""
    install(kubectl)


def test_an_upgrade_keeps_the_webhooks_certificate_and_a_deleted_one_is_made_anew(kubectl: Kubectl) -> None:
    def held() -> tuple[str, set[str]]:
        install(kubectl)
        secret = kubectl.json("-n", "openworld-system", "get", "secret", "openworld-webhook")
        hooks = kubectl.json("get", "validatingwebhookconfiguration", "openworld")["webhooks"]
        return secret["data"]["ca.crt"], {hook["clientConfig"]["caBundle"] for hook in hooks}

    authority, trusted = held()
    assert trusted == {authority}
    assert held() == (authority, trusted)
    kubectl("-n", "openworld-system", "delete", "secret", "openworld-webhook")
    renewed, trusted = held()
    assert trusted == {renewed} != {authority}


def test_kept_definitions_are_taken_over_only_when_that_is_asked_for(kubectl: Kubectl) -> None:
    def other(*arguments: str) -> subprocess.CompletedProcess[str]:
        return helm(*arguments, "-n", "elsewhere", kubeconfig=kubectl.kubeconfig)

    install(kubectl)
    helm("uninstall", "openworld", "-n", "openworld-system", kubeconfig=kubectl.kubeconfig)
    refused = other("install", "other", CHART, "--create-namespace")
    assert refused.returncode != 0
    assert "invalid ownership metadata" in refused.stderr
    taken = other("install", "other", CHART, "--create-namespace", "--take-ownership")
    assert taken.returncode == 0, taken.stderr
    second = helm("install", "openworld", CHART, "-n", "openworld-system", kubeconfig=kubectl.kubeconfig)
    assert second.returncode != 0, "two releases would share the admission policies"
    assert other("uninstall", "other").returncode == 0
    install(kubectl, "--take-ownership")


def patch(kubectl: Kubectl, name: str, change: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Change the spec of an Execution as the administrator."""
    text = json.dumps({"spec": change})
    return kubectl("-n", "default", "patch", "execution", name, "--type=merge", "-p", text, check=False)


def test_the_record_cannot_be_shortened_nor_the_spec_changed(kubectl: Kubectl) -> None:
    install(kubectl)
    name = "e"
    spec = {"workflowRef": {"name": "w"}, "requestedBy": "admin", "input": {"deep": {"a": 1}}}
    wait_for(
        "the kind",
        lambda: kubectl("-n", "default", "create", "-f", "-", stdin=json.dumps(definition("Execution", name, spec)), check=False).returncode == 0,
        seconds=30,
    )  # fmt: skip

    def write(status: dict[str, Any], *, user: str | None = OPERATOR) -> subprocess.CompletedProcess[str]:
        found = kubectl.json("-n", "default", "get", "execution", name)
        return kubectl(
            "replace", "--raw", f"/apis/openworld.dev/v1alpha1/namespaces/default/executions/{name}/status",
            "-f", "-", stdin=json.dumps({**found, "status": status}), as_user=user,
            as_groups=["system:masters"] if user else [], check=False,
        )  # fmt: skip

    record = {
        "phase": "Running",
        "ledger": {"head": {"seq": 3, "hash": "h"}, "events": [{"seq": 0, "v": None}]},
    }

    def in_force() -> bool:
        return "the operator alone writes them" in write(record, user=None).stderr

    wait_for("the admission policies", in_force, seconds=30)
    assert write(record).returncode == 0
    kept = kubectl.json("-n", "default", "get", "execution", name)["status"]["ledger"]["events"]
    assert kept == [{"seq": 0, "v": None}], "nulls of the record are kept"
    shorter = {"phase": "Running", "ledger": {"head": {"seq": 2, "hash": "h"}, "events": []}}
    for broken in (shorter, {"phase": "Running"}, {}):
        assert "the ledger cannot be shortened or removed" in write(broken).stderr
    assert write({**record, "ledger": {"head": {"seq": 4, "hash": "i"}, "events": []}}).returncode == 0

    changes: dict[str, dict[str, Any]] = {
        "input": {"input": {"deep": {"a": 2}}},
        "requestedBy": {"requestedBy": "bob@example.com"},
        "workflowRef": {"workflowRef": {"name": "x"}},
        "serviceAccountName": {"serviceAccountName": "x"},
        "correlationId": {"correlationId": "x"},
        "parent": {"parent": {"name": "p", "uid": "u", "ref": "r", "seq": 0, "depth": 1}},
    }
    for field, change in changes.items():
        assert f"spec.{field} cannot be changed" in patch(kubectl, name, change).stderr
    assert "spec.input cannot be changed" in patch(kubectl, name, {"input": None}).stderr
    for suspend in (True, False):
        assert patch(kubectl, name, {"suspend": suspend}).returncode == 0
        assert kubectl.json("-n", "default", "get", "execution", name)["spec"]["suspend"] is suspend

    task = {"ref": "x", "type": "a"}
    inline = {"requestedBy": "admin", "workflow": {"tasks": [task]}}
    kubectl.create("default", definition("Execution", "inline", inline))
    changed = patch(kubectl, "inline", {"workflow": {"tasks": [{**task, "type": "b"}]}})
    assert "spec.workflow cannot be changed" in changed.stderr

    both = {**spec, "workflow": {"tasks": [{"ref": "x", "type": "a"}]}}
    neither = {"requestedBy": "admin"}
    for wrong in (both, neither):
        done = kubectl.create("default", definition("Execution", "wrong", wrong), check=False)
        assert "exactly one of spec.workflowRef and spec.workflow" in done.stderr
    done = kubectl.create("default", definition("Execution", "n" * 64, spec), check=False)
    assert "at most 63 characters" in done.stderr


def test_the_narrowed_rights_of_the_page_are_enough_and_no_more(kubectl: Kubectl) -> None:
    install(kubectl)
    example = PAGE.read_text().partition("\n## Narrowing\n")[2]
    text = "\n".join(line[4:] for line in example.splitlines() if line.startswith("    "))
    kubectl("create", "namespace", "narrow")
    kubectl("-n", "narrow", "apply", "-f", "-", stdin=text)
    runner = "system:serviceaccount:narrow:oncall-runner"

    def may(user: str, verb: str, resource: str, of: str) -> bool:
        attributes = {"namespace": "narrow", "group": "openworld.dev", "resource": resource, "name": of}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": {**attributes, "verb": verb}},
        }
        answer = kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed}", stdin=json.dumps(review))
        return answer.stdout == "true"

    wait_for("the rights", lambda: may("bob@example.com", "approve", "tools", "rollback"), seconds=30)
    assert may(runner, "use", "tools", "metrics_lookup")
    assert not may(runner, "use", "tools", "delete_deployment")
    assert not may("bob@example.com", "approve", "tools", "metrics_lookup")
    assert not may("bob@example.com", "pause", "executions", "mine")

    spec = {"requestedBy": "alice@example.com", "workflowRef": {"name": "w"}}
    mine = definition("Execution", "mine", {**spec, "serviceAccountName": "oncall-runner"})
    kubectl.create("narrow", mine, as_user="alice@example.com")
    other = kubectl.create(
        "narrow", definition("Execution", "other", spec), as_user="alice@example.com", check=False
    )
    assert "alice@example.com may not run executions as service account default" in other.stderr
    uid = kubectl.json("-n", "narrow", "get", "execution", "mine")["metadata"]["uid"]

    def decide(name: str, tool: str, by: str) -> subprocess.CompletedProcess[str]:
        said = {"execution": "mine", "executionUID": uid, "type": "Approve", "ref": "r", "tool": tool}
        signal = definition("Signal", name, {**said, "itemDigest": "d", "by": by})
        return kubectl.create("narrow", signal, as_user=by, check=False)

    assert decide("one", "rollback", "bob@example.com").returncode == 0
    refused = decide("two", "metrics_lookup", "bob@example.com").stderr
    assert "bob@example.com may not decide on metrics_lookup: grant verb approve" in refused
