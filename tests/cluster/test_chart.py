"""The Helm chart on a real API server: rendered, installed, upgraded, removed, installed again."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.cluster import binary
from tests.cluster.local import LocalCluster
from tests.cluster.settings import REPOSITORY
from tests.cluster.shell import wait_for
from tests.support.kubectl import Kubectl
from tests.support.runs import definition

CHART = str(REPOSITORY / "charts" / "openworld")
POLICIES = ("openworld-executions", "openworld-ledger", "openworld-taskresults", "openworld-signals")
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
    [("imagee.tag=x", "imagee"), ("fencing=Loose", "fencing"), ("jobRetentionSeconds=1", "jobRetentionSeconds"),
     ("image.tagg=x", "tagg"), ("namespaces={Bad_Name}", "namespaces")],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_name(value: str, named: str) -> None:
    done = helm("template", "openworld", CHART, "--set", value)
    assert done.returncode != 0
    assert named in done.stderr


def test_rights_are_bound_in_the_named_namespaces_alone() -> None:
    bindings = of_kind(rendered("namespaces={one,two}"), "RoleBinding")
    assert sorted((b["metadata"]["namespace"], b["metadata"]["name"]) for b in bindings) == [
        (namespace, name)
        for namespace in ("one", "two")
        for name in ("openworld-agent", "openworld-operator", "openworld-task")
    ]
    own = of_kind(rendered(), "RoleBinding")
    assert {b["metadata"]["namespace"] for b in own} == {"openworld-system"}


def test_parts_can_be_left_out() -> None:
    assert len(of_kind(rendered(), "CustomResourceDefinition")) == 7
    assert of_kind(rendered("crds.install=false"), "CustomResourceDefinition") == []
    people = {
        "openworld-viewer",
        "openworld-editor",
        "openworld-runner",
        "openworld-approver",
        "openworld-signaller",
    }
    assert people <= {r["metadata"]["name"] for r in of_kind(rendered(), "ClusterRole")}
    assert not people & {
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


def test_every_right_stands_on_the_reference_page_with_its_reason() -> None:
    page = (REPOSITORY / "docs" / "reference" / "rbac.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for role in of_kind(rendered(), "ClusterRole"):
        name = role["metadata"]["name"]
        if not name.startswith(("openworld-operator", "openworld-reporter")):
            assert f"`{name}`" in page
            continue
        for rule in role["rules"]:
            told = [r for r in rows if r.startswith(f"| {', '.join(rule['resources'])}")]
            row = next((r for r in told if r.split("|")[2].strip() == ", ".join(rule["verbs"])), None)
            assert row is not None, rule
            assert row.split("|")[3].strip()


@pytest.fixture(scope="module")
def kubectl() -> Iterator[Kubectl]:
    """An API server of its own: installing and removing must not disturb the other tests."""
    cluster = LocalCluster("openworld-helm")
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


def test_install_upgrade_uninstall_and_install_again(kubectl: Kubectl) -> None:
    install(kubectl)

    def established() -> bool:
        items = kubectl.json("get", "crd")["items"]
        conditions = [{c["type"]: c["status"] for c in i["status"].get("conditions", [])} for i in items]
        assert not any("NonStructuralSchema" in c for c in conditions)
        return len(items) == 7 and all(c.get("Established") == "True" for c in conditions)

    wait_for("the CRDs", established, seconds=30)
    for name in POLICIES:
        found: dict[str, Any] = {}

        def checked(name: str = name, found: dict[str, Any] = found) -> bool:
            found.update(kubectl.json("get", "validatingadmissionpolicy", name))
            status = found.get("status", {})
            return (
                "typeChecking" in status
                and status.get("observedGeneration") == found["metadata"]["generation"]
            )

        wait_for(f"the type check of {name}", checked, seconds=30)
        assert found["status"]["typeChecking"] == {}

    install(kubectl, "--set", "logLevel=DEBUG")
    env = kubectl.json("-n", "openworld-system", "get", "deployment", "openworld-operator")["spec"][
        "template"
    ]["spec"]
    levels = [e["value"] for e in env["containers"][0]["env"] if e["name"] == "OPENWORLD_LOG_LEVEL"]
    assert levels == ["DEBUG"]

    done = helm("uninstall", "openworld", "-n", "openworld-system", kubeconfig=kubectl.kubeconfig)
    assert done.returncode == 0, done.stderr
    assert len(kubectl.json("get", "crd")["items"]) == 7
    left = kubectl(
        "get", "clusterroles,validatingadmissionpolicies,validatingadmissionpolicybindings", "-o", "name"
    ).stdout
    assert not [line for line in left.splitlines() if "/openworld-" in line]
    install(kubectl)


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
        return "the operator alone writes it" in write(record, user=None).stderr

    wait_for("the admission policies", in_force, seconds=30)
    assert write(record).returncode == 0
    kept = kubectl.json("-n", "default", "get", "execution", name)["status"]["ledger"]["events"]
    assert kept == [{"seq": 0, "v": None}], "nulls of the record are kept"
    shorter = {"phase": "Running", "ledger": {"head": {"seq": 2, "hash": "h"}, "events": []}}
    for broken in (shorter, {"phase": "Running"}, {}):
        assert "the ledger cannot be shortened or removed" in write(broken).stderr
    assert write({**record, "ledger": {"head": {"seq": 4, "hash": "i"}, "events": []}}).returncode == 0

    for change in ({"input": {"deep": {"a": 2}}}, {"requestedBy": "bob"}, {"workflowRef": {"name": "x"}}):
        patch = json.dumps({"spec": change})
        done = kubectl("-n", "default", "patch", "execution", name, "--type=merge", "-p", patch, check=False)
        assert "cannot be changed" in done.stderr
    kubectl("-n", "default", "patch", "execution", name, "--type=merge", "-p", '{"spec": {"suspend": true}}')

    both = {**spec, "workflow": {"tasks": [{"ref": "x", "type": "a"}]}}
    neither = {"requestedBy": "admin"}
    for wrong in (both, neither):
        done = kubectl.create("default", definition("Execution", "wrong", wrong), check=False)
        assert "exactly one of spec.workflowRef and spec.workflow" in done.stderr
    done = kubectl.create("default", definition("Execution", "n" * 64, spec), check=False)
    assert "at most 63 characters" in done.stderr
