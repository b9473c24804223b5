"""The example's manifests: valid for the models, consistent with each other and with the code."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from openworld.api import Agent, Execution, Policy, Strict, ToolCatalog, Workflow
from openworld.language import checks
from openworld.language.schemas import violations
from openworld_worker.agent.scripted import Scripted
from openworld_worker.catalog import catalog
from openworld_worker.tool import load_tools

FOLDER = Path(__file__).parents[2] / "examples" / "oncall"
IMAGE = "localhost/openworld-oncall:dev"


def load(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")) if each]


def spec(name: str) -> Any:
    (found,) = load(name)
    return found["spec"]


def tools() -> dict[str, Any]:
    return {tool["name"]: tool for tool in spec("catalog.yaml")["tools"]}


def turns(tmp_path: Path) -> list[Any]:
    (script,) = load("script.yaml")
    for key, text in script["data"].items():
        (tmp_path / key).write_text(text, encoding="utf-8")
    return [Scripted(tmp_path).propose({"turn": n}).proposal for n in range(1, len(script["data"]) + 1)]


@pytest.mark.parametrize(
    ("file", "kind", "model"),
    [
        ("workflow.yaml", "Workflow", Workflow),
        ("execution.yaml", "Execution", Execution),
        ("catalog.yaml", "ToolCatalog", ToolCatalog),
        ("policy.yaml", "Policy", Policy),
        ("agent.yaml", "Agent", Agent),
    ],
)
def test_each_resource_is_valid(file: str, kind: str, model: type[Strict]) -> None:
    (found,) = load(file)
    assert (found["apiVersion"], found["kind"]) == ("openworld.dev/v1alpha1", kind)
    model.model_validate(found["spec"])


def test_what_the_operator_would_complain_about_is_not_there() -> None:
    assert checks.check_workflow(Workflow.model_validate(spec("workflow.yaml"))) == []
    assert checks.check_catalog(ToolCatalog.model_validate(spec("catalog.yaml"))) == []
    assert checks.check_policy(Policy.model_validate(spec("policy.yaml"))) == []
    assert checks.check_agent(Agent.model_validate(spec("agent.yaml"))) == []


def test_no_manifest_names_a_namespace() -> None:
    for file in FOLDER.glob("*.yaml"):
        for each in load(file.name):
            assert "namespace" not in each.get("metadata", {}), file.name
            for subject in each.get("subjects", []):
                assert "namespace" not in subject, file.name


def test_references_between_the_resources_hold() -> None:
    names = {
        file: load(file)[0]["metadata"]["name"] for file in ("catalog.yaml", "policy.yaml", "script.yaml")
    }
    workflow, agent, run = spec("workflow.yaml"), spec("agent.yaml"), spec("execution.yaml")
    assert workflow["catalogs"] == agent["catalogs"] == [names["catalog.yaml"]]
    assert workflow["policyRef"]["name"] == names["policy.yaml"]
    assert workflow["tasks"][0]["inputParameters"]["agent"] == load("agent.yaml")[0]["metadata"]["name"]
    assert workflow["tasks"][1]["name"] in tools()
    assert agent["model"]["script"]["configMapName"] == names["script.yaml"]
    assert run["workflowRef"]["name"] == load("workflow.yaml")[0]["metadata"]["name"]
    assert violations(workflow["inputSchema"], run["input"]) == []


def test_accounts_and_rights_cover_the_tools() -> None:
    objects = {(each["kind"], each["metadata"]["name"]): each for each in load("rbac.yaml")}
    accounts = {name for kind, name in objects if kind == "ServiceAccount"}
    used = {tool["run"].get("serviceAccountName") for tool in tools().values()} - {None}
    assert used | {spec("execution.yaml")["serviceAccountName"]} == accounts
    (use,) = objects["Role", "oncall-tools-user"]["rules"]
    assert sorted(use["resourceNames"]) == sorted(tools())
    for account in used:
        report = {"apiGroups": ["openworld.dev"], "resources": ["taskresults"], "verbs": ["create"]}
        assert report in objects["Role", account]["rules"]
        assert not any("delete" in rule["verbs"] for rule in objects["Role", account]["rules"])


def test_the_catalog_is_what_the_code_prints_plus_configuration() -> None:
    loaded = load_tools(str(FOLDER / "tools.py")).values()
    printed = catalog("oncall", "/opt/oncall/tools.py", IMAGE, loaded)["spec"]["tools"]
    written = tools()
    configured = []
    for entry in written.values():
        bare = json.loads(json.dumps(entry))
        bare.pop("retry")
        if bare["run"]["container"].pop("env", None) is not None:
            configured.append(bare)
    assert configured == printed
    assert set(written) - {entry["name"] for entry in printed} == {"open_incident"}


def test_the_script_proposes_what_the_story_tells(tmp_path: Path) -> None:
    first, second, third = turns(tmp_path)
    assert [(item["ref"], item["type"]) for item in first["tasks"]] == [
        ("metrics", "metrics_lookup"),
        ("history", "deploy_history"),
        ("traces", "trace_sample"),
    ]
    assert [item["type"] for item in second["tasks"]] == ["rollback", "delete_deployment"]
    assert second["tasks"][0]["input"]["to"] == "${triage__1__history.output.previous}"
    for item in first["tasks"] + second["tasks"]:
        assert violations(tools()[item["type"]]["inputSchema"], item["input"]) == []
    assert violations(spec("agent.yaml")["outputSchema"], third["output"]) == []


def test_the_policy_reads_freely_asks_for_a_rollback_and_denies_deletion() -> None:
    rules = {rule["name"]: rule for rule in spec("policy.yaml")["rules"]}
    assert {name: rule["decision"] for name, rule in rules.items()} == {
        "reads": "Allow",
        "own-service": "RequireApproval",
        "incidents": "Allow",
        "no-deletes": "Deny",
    }
    assert rules["own-service"]["approval"] == {"count": 1, "timeoutSeconds": 900, "notRequester": True}
    assert rules["own-service"]["match"] == {"tools": ["rollback"]}


def test_the_bad_deploy_is_another_revision_of_the_same_deployment() -> None:
    _, good = load("checkout.yaml")
    (bad,) = load("checkout-slow.yaml")
    cause = "kubernetes.io/change-cause"
    assert bad["metadata"]["annotations"][cause] == "deploy 14:02: new pricing client"
    assert [env["value"] for env in good["spec"]["template"]["spec"]["containers"][0]["env"]] == ["v1", "5"]
    assert [env["value"] for env in bad["spec"]["template"]["spec"]["containers"][0]["env"]] == ["v2", "400"]
    for each in (good, bad):
        del each["metadata"]["annotations"][cause]
        del each["spec"]["template"]["spec"]["containers"][0]["env"]
    assert good == bad


def test_an_incident_is_opened_without_the_sdk_and_twice_is_once(tmp_path: Path) -> None:
    command = tools()["open_incident"]["run"]["container"]["command"]
    message, task = tmp_path / "termination-log", tmp_path / "task.json"
    task.write_text('{"input": {"summary": "s"}}', encoding="utf-8")
    environ = {
        "OPENWORLD_TASK_FILE": str(task),
        "OPENWORLD_IDEMPOTENCY_KEY": "key-1",
        "PATH": "/usr/bin:/bin",
    }
    here = [part.replace("/dev/termination-log", str(message)) for part in command]
    found = set()
    for _ in range(2):
        ran = subprocess.run(here, env=environ, capture_output=True, check=True, timeout=10)
        assert json.loads(ran.stdout) == {"input": {"summary": "s"}}
        found.add(json.loads(message.read_text(encoding="utf-8"))["id"])
    assert found == {"INC-be297454"}


def test_every_image_is_in_reach_of_the_one_override() -> None:
    (kustomization,) = load("kustomization.yaml")
    (override,) = kustomization["images"]
    assert f"{override['newName']}:{override['newTag']}" == IMAGE
    images = {tool["run"]["container"]["image"] for tool in tools().values()}
    images |= {load("checkout.yaml")[1]["spec"]["template"]["spec"]["containers"][0]["image"]}
    assert images == {IMAGE}
    assert set(kustomization["resources"]) | {
        "kustomization.yaml",
        "images-in-catalogs.yaml",
        "checkout-slow.yaml",
        "execution.yaml",
        "policy-cases.yaml",
        "mock.yaml",
    } == {file.name for file in FOLDER.glob("*.yaml")}
