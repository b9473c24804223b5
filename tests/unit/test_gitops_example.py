"""The GitOps example: its pipeline does what it says, its health checks read what the operator writes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from openworld.controller.definitions import status_of
from openworld.engine.validity import assess
from openworld.governance import cel
from openworld.kube.resources import POLICIES

FOLDER = Path(__file__).parents[2] / "examples/gitops"
KINDS = ("Workflow", "ToolCatalog", "Policy", "Agent")


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy, as somebody's repository."""
    return shutil.copytree(FOLDER, tmp_path / "repository")


def check(example: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the pipeline's script."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "ci/check.sh", *arguments],
        cwd=example,
        env={"PATH": path, "REPORTS": str(example)},
        capture_output=True,
        text=True,
    )


def change(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert text.count(before) == 1, f"{before!r} is not once in {file.name}"
    file.write_text(text.replace(before, after))


def rendered(example: Path) -> str:
    """The overlay as Kustomize renders it, as far as it uses Kustomize: replacements at JSON pointers."""
    objects = [
        found
        for name in yaml.safe_load((example / "base/kustomization.yaml").read_text())["resources"]
        for found in yaml.safe_load_all((example / "base" / name).read_text())
    ]
    overlay = yaml.safe_load((example / "overlays/production/kustomization.yaml").read_text())
    assert set(overlay) == {"apiVersion", "kind", "namespace", "resources", "patches"}
    for found in objects:
        found["metadata"]["namespace"] = overlay["namespace"]
        for patch in overlay["patches"]:
            if patch["target"] == {"kind": found["kind"], "name": found["metadata"]["name"]}:
                for operation in yaml.safe_load(patch["patch"]):
                    replace(found, operation)
    return yaml.safe_dump_all(objects, sort_keys=False)


def replace(target: Any, operation: dict[str, Any]) -> None:
    assert operation["op"] == "replace"
    *steps, last = [int(step) if step.isdecimal() else step for step in operation["path"].split("/")[1:]]
    for step in steps:
        target = target[step]
    assert target[last] is not None
    target[last] = operation["value"]


def produce(example: Path) -> tuple[str, str]:
    (example / "rendered.yaml").write_text(rendered(example))
    return "rendered.yaml", "overlays/production/policy-cases.yaml"


def test_the_pipeline_passes_what_is_there(example: Path) -> None:
    done = check(example, "base")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "== lint\n5 files, 4 objects: no problems\n" in done.stdout
    assert "7 cases, 8 verdicts: all as expected" in done.stdout
    assert "completed after 5.0 s: {answer:" in done.stdout
    done = check(example, *produce(example))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 cases, 10 verdicts: all as expected" in done.stdout
    assert "waits for 2 people to approve refund(invoice=INV-7, amount=120)" in done.stdout
    suites = ElementTree.parse(example / "policy.xml").getroot()  # noqa: S314  (our own report)
    assert sum(int(suite.get("tests", "0")) for suite in suites) == 9
    assert (example / "simulate.xml").exists()


def test_git_ignores_exactly_what_the_pipeline_leaves(example: Path) -> None:
    before = {file.relative_to(example) for file in example.rglob("*")}
    assert check(example, "base").returncode == 0
    assert check(example, *produce(example)).returncode == 0
    left = {f"/{file.relative_to(example)}" for file in example.rglob("*")} - {f"/{file}" for file in before}
    ignored = (example / ".gitignore").read_text().splitlines()
    assert left == {line for line in ignored if not line.startswith("#")}
    assert "kubectl kustomize overlays/production > rendered.yaml" in (example / "README.md").read_text()


@pytest.mark.parametrize(
    ("before", "after", "case"),
    [
        ("item.input.amount > 50", "item.input.amount > 5000", "more needs a person"),
        (
            "decision: Deny\n    message: Accounts",
            "decision: Allow\n    message: Accounts",
            "no agent closes",
        ),
        (
            "item.input.invoice == execution.input.invoice && item.input.amount <= 50",
            "item.input.amount <= 50",
            "nothing is paid back on another invoice",
        ),
        ('proposal.count("refund") > 1', 'proposal.count("refund") > 2', "a large refund in small parts"),
    ],
)
def test_a_bad_change_of_the_policy_makes_the_policy_test_fail(
    before: str, after: str, case: str, example: Path
) -> None:
    change(example / "base/policy.yaml", before, after)
    done = check(example, "base")
    assert done.returncode == 1
    assert "✗" in done.stdout
    assert "otherwise than expected" in done.stdout
    assert "== simulate" not in done.stdout
    suites = ElementTree.parse(example / "policy.xml").getroot()  # noqa: S314  (our own report)
    failed = [found.get("name", "") for found in suites.iter("testcase") if found.find("failure") is not None]
    assert any(name.startswith(case) for name in failed)


def test_a_bad_change_of_the_overlay_is_found_by_its_own_cases(example: Path) -> None:
    change(example / "overlays/production/kustomization.yaml", "count, value: 2}", "count, value: 1}")
    assert check(example, "base").returncode == 0
    done = check(example, *produce(example))
    assert done.returncode == 1
    assert "by 2 people" in done.stdout


def test_the_other_two_commands_fail_the_pipeline_too(example: Path) -> None:
    change(example / "base/workflow.yaml", "catalogs: [billing]", "catalogs: [biling]")
    done = check(example, "base")
    assert (done.returncode, "== policy test" in done.stdout) == (1, False)
    assert "did you mean 'billing'?" in done.stdout
    change(example / "base/workflow.yaml", "catalogs: [biling]", "catalogs: [billing]")
    change(example / "tests/mock.yaml", "  refund:\n  - output: {}\n", "")
    done = check(example, "base")
    assert (done.returncode, "== simulate" in done.stdout) == (1, True)
    assert "task ticket__2__back runs the tool refund, and the script has no outcome" in done.stderr


def test_the_workflow_of_github_runs_the_script_on_both() -> None:
    job = yaml.safe_load((FOLDER / "ci/github.yaml").read_text())["jobs"]["check"]
    scripts = "\n".join(step.get("run", "") for step in job["steps"])
    assert "ci/check.sh base" in scripts
    assert 'ci/check.sh "$RUNNER_TEMP/production.yaml" overlays/production/policy-cases.yaml' in scripts
    assert "kubectl kustomize overlays/production" in scripts
    assert os.access(FOLDER / "ci/check.sh", os.X_OK)


def test_argo_cd_reads_the_condition_of_every_kind() -> None:
    data = yaml.safe_load((FOLDER / "argocd/health.yaml").read_text())["data"]
    assert set(data) == {f"resource.customizations.health.openworld.dev_{kind}" for kind in KINDS}
    [script] = set(data.values())
    assert 'condition.type == "Valid"' in script
    assert "condition.observedGeneration == obj.metadata.generation" in script


def flux() -> dict[str, Any]:
    _, kustomization = yaml.safe_load_all((FOLDER / "flux/kustomization.yaml").read_text())
    spec: dict[str, Any] = kustomization["spec"]
    return spec


def holds(expression: str, status: Any, metadata: Any) -> bool:
    """What Flux makes of an expression, whose variables are the fields of the object: here those of `item`."""
    expression = re.sub(r"(?<![.\w])(?=(status|metadata)\.)", "item.", expression)
    item = {"status": status, "metadata": metadata}
    return cel.holds(expression, now_ms=0, item=item, tool={}, execution={}, proposal={})


@pytest.mark.parametrize(
    ("rule", "observed", "expected"),
    [
        ({"name": "a", "decision": "Allow"}, 3, {"current": True, "failed": False}),
        ({"name": "a", "decision": "Allow", "when": "nonsense("}, 3, {"current": False, "failed": True}),
        ({"name": "a", "decision": "Allow"}, 2, {"current": False, "failed": False}),
    ],
)
def test_flux_reads_what_the_operator_writes(
    rule: dict[str, Any], observed: int, expected: dict[str, bool]
) -> None:
    metadata = {"name": "p", "namespace": "n", "generation": observed}
    body = {"metadata": metadata, "spec": {"rules": [rule]}}
    status = status_of(POLICIES, body, assess("Policy", body["spec"]), "2026-01-01T00:00:00Z")
    checks = flux()["healthCheckExprs"]
    assert [each["kind"] for each in checks] == list(KINDS)
    for each in checks:
        found = {key: holds(each[key], status, {**metadata, "generation": 3}) for key in expected}
        assert found == expected


def test_what_is_synced_is_the_overlay() -> None:
    application = yaml.safe_load((FOLDER / "argocd/application.yaml").read_text())["spec"]
    assert application["source"]["path"] == "overlays/production"
    assert (flux()["path"], flux()["wait"]) == ("./overlays/production", True)
    overlay = yaml.safe_load((FOLDER / "overlays/production/kustomization.yaml").read_text())
    assert application["destination"]["namespace"] == overlay["namespace"]
