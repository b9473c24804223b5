"""The manifests of Jobs and child executions: what a pod gets, and what it can never get."""

from __future__ import annotations

import json
from typing import Any

from openworld.api import Agent, Task, Tool
from openworld.api.toolcatalog import PullPolicy
from openworld.controller import names
from openworld.controller.jobs import (
    ANNOTATION_LIMIT_BYTES,
    Owner,
    build_child,
    build_input,
    build_job,
    spec_digest,
    task_document,
)
from openworld.controller.settings import Settings
from openworld.engine import builtin
from openworld.engine.outside import DesiredChild, DesiredJob

UID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
OWNER = Owner("run-1", "team", UID, "incident", 3, "alice@example.com", "runner")
SETTINGS = Settings(agent_image="example/agent:1", image_pull_policy=PullPolicy.NEVER)
DEADLINE = "2026-01-31T09:30:00.000Z"


def tool(**run: Any) -> Tool:
    return Tool.model_validate(
        {
            "name": "metrics",
            "inputSchema": {"type": "object"},
            "effect": "Read",
            "run": {"container": {"image": "example/metrics:1"}, **run},
        }
    )


def job(**more: Any) -> DesiredJob:
    given: dict[str, Any] = {
        "seq": 7,
        "ref": "metrics",
        "attempt": 1,
        "input": {"service": "checkout"},
        "idempotency_key": "key-1",
        "deadline_seconds": 300,
        "tool": tool(),
    }
    return DesiredJob(**(given | more))


def agent_job() -> DesiredJob:
    agent = Agent.model_validate({"model": {"provider": "scripted", "script": {"configMapName": "plan"}}})
    return job(tool=None, agent=agent, agent_name="oncall", turn=2, context={"goal": "find it"})


def built(desired: DesiredJob, *, suspend: bool = False) -> dict[str, Any]:
    document = task_document(OWNER, desired, DEADLINE)
    return build_job(OWNER, desired, SETTINGS, document=document, deadline=DEADLINE, suspend=suspend)


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return spec


def container_of(manifest: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = pod_of(manifest)["containers"][0]
    return container


def env_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return {
        entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container_of(manifest)["env"]
    }


def test_a_job_is_named_after_uid_and_seq_and_owned_by_its_execution() -> None:
    metadata = built(job())["metadata"]
    assert metadata["name"] == names.job_name(UID, 7) == f"ow-{names.short_hash(UID)}-7"
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "openworld.dev/v1alpha1",
            "kind": "Execution",
            "name": "run-1",
            "uid": UID,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_a_job_name_of_the_largest_sequence_number_has_at_most_52_characters() -> None:
    assert len(names.job_name(UID, 2**63 - 1)) <= 52


def test_job_and_pod_carry_the_same_labels() -> None:
    manifest = built(job())
    expected = {
        "openworld.dev/execution": "run-1",
        "openworld.dev/execution-uid": UID,
        "openworld.dev/ref": "metrics",
        "openworld.dev/attempt": "1",
        "openworld.dev/seq": "7",
    }
    assert manifest["metadata"]["labels"] == expected
    assert manifest["spec"]["template"]["metadata"]["labels"] == expected


def test_what_a_label_cannot_hold_is_shortened_there_and_whole_in_the_annotation() -> None:
    ref = "_" + "r" * 100
    metadata = built(job(ref=ref))["metadata"]
    label = metadata["labels"]["openworld.dev/ref"]
    assert label == f"{'r' * 49}.{names.short_hash(ref)}"
    assert metadata["annotations"]["openworld.dev/ref"] == ref


def test_a_job_never_restarts_by_itself_and_has_a_deadline() -> None:
    spec = built(job())["spec"]
    assert (spec["backoffLimit"], spec["podReplacementPolicy"], spec["activeDeadlineSeconds"]) == (
        0,
        "Failed",
        300,
    )
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["suspend"] is False
    assert built(job(), suspend=True)["spec"]["suspend"] is True


def test_the_container_has_no_privileges_and_a_read_only_root() -> None:
    manifest = built(job())
    assert pod_of(manifest)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container_of(manifest)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_only_a_pod_that_reports_or_names_an_account_gets_a_token() -> None:
    plain, reporting = built(job()), built(job(tool=tool(report="TaskResult")))
    named = built(job(tool=tool(serviceAccountName="deployer")))
    accounts = [
        (pod_of(m)["serviceAccountName"], pod_of(m)["automountServiceAccountToken"])
        for m in (plain, reporting, named, built(agent_job()))
    ]
    assert accounts == [
        ("openworld-task", False),
        ("openworld-task", True),
        ("deployer", True),
        ("openworld-agent", True),
    ]


def test_reporting_workers_are_labelled_and_told_so() -> None:
    reporting, plain = built(job(tool=tool(report="TaskResult"))), built(job())
    assert reporting["metadata"]["labels"]["openworld.dev/reports"] == "true"
    assert env_of(reporting)["OPENWORLD_REPORT"] == "TaskResult"
    assert "openworld.dev/reports" not in plain["metadata"]["labels"]
    assert env_of(plain)["OPENWORLD_REPORT"] == "TerminationMessage"


def test_the_environment_says_which_attempt_this_is() -> None:
    assert env_of(built(agent_job())) == {
        "OPENWORLD_EXECUTION": "run-1",
        "OPENWORLD_EXECUTION_UID": UID,
        "OPENWORLD_NAMESPACE": "team",
        "OPENWORLD_REF": "metrics",
        "OPENWORLD_ATTEMPT": "1",
        "OPENWORLD_SEQ": "7",
        "OPENWORLD_DEADLINE": DEADLINE,
        "OPENWORLD_IDEMPOTENCY_KEY": "key-1",
        "OPENWORLD_REPORT": "TaskResult",
        "OPENWORLD_TASK_FILE": "/openworld/task.json",
        "OPENWORLD_TURN": "2",
        "OPENWORLD_POD_NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
        "OPENWORLD_POD_UID": {"fieldRef": {"fieldPath": "metadata.uid"}},
    }


def test_a_tools_own_variables_come_with_their_sources_and_never_replace_ours() -> None:
    container = {
        "image": "example/metrics:1",
        "env": [
            {"name": "REGION", "value": "north"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}},
            {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "level"}}},
            {"name": "OPENWORLD_REF", "value": "forged"},
        ],
    }
    env = env_of(built(job(tool=tool(container=container))))
    assert env["REGION"] == "north"
    assert env["TOKEN"] == {"secretKeyRef": {"name": "api", "key": "token"}}
    assert env["LEVEL"] == {"configMapKeyRef": {"name": "conf", "key": "level"}}
    assert env["OPENWORLD_REF"] == "metrics"


def test_image_command_and_resources_are_the_tools() -> None:
    container = {
        "image": "example/metrics:1",
        "imagePullPolicy": "Never",
        "command": ["/bin/run"],
        "args": ["--fast"],
        "resources": {"limits": {"memory": "64Mi"}},
    }
    manifest = container_of(built(job(tool=tool(container=container))))
    assert (manifest["image"], manifest["imagePullPolicy"]) == ("example/metrics:1", "Never")
    assert (manifest["command"], manifest["args"]) == (["/bin/run"], ["--fast"])
    assert manifest["resources"] == {"limits": {"memory": "64Mi"}}


def test_an_agent_runs_the_operators_image_with_its_script_mounted() -> None:
    manifest = built(agent_job())
    container = container_of(manifest)
    assert (container["image"], container["imagePullPolicy"]) == ("example/agent:1", "Never")
    assert container["command"] == ["python", "-m", "openworld_worker.agent"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {
        "/openworld/task.json",
        "/openworld/script",
        "/tmp",
    }
    assert {"name": "script", "configMap": {"name": "plan", "optional": True}} in pod_of(manifest)["volumes"]


def test_the_task_file_tells_the_worker_its_task() -> None:
    annotation = built(agent_job())["spec"]["template"]["metadata"]["annotations"]["openworld.dev/task"]
    assert json.loads(annotation) == {
        "execution": {"name": "run-1", "namespace": "team", "uid": UID},
        "workflow": {"name": "incident", "version": 3},
        "ref": "metrics",
        "attempt": 1,
        "idempotencyKey": "key-1",
        "deadline": DEADLINE,
        "input": {"service": "checkout"},
        "turn": 2,
        "context": {"goal": "find it"},
    }


def test_an_input_above_the_annotation_limit_travels_in_an_immutable_config_map() -> None:
    large = job(input={"text": "x" * ANNOTATION_LIMIT_BYTES})
    document = task_document(OWNER, large, DEADLINE)
    config_map = build_input(OWNER, large, document)
    assert config_map is not None
    assert config_map["immutable"] is True
    assert config_map["data"] == {"task.json": document.decode()}
    assert config_map["metadata"]["ownerReferences"][0]["uid"] == UID
    manifest = built(large)
    assert "openworld.dev/task" not in manifest["spec"]["template"]["metadata"]["annotations"]
    assert pod_of(manifest)["volumes"][0]["projected"]["sources"] == [
        {"configMap": {"name": names.job_name(UID, 7)}}
    ]


def test_a_small_input_needs_no_config_map() -> None:
    small = job()
    assert build_input(OWNER, small, task_document(OWNER, small, DEADLINE)) is None


def test_the_digest_tells_attempts_apart_and_ignores_times_and_settings() -> None:
    assert spec_digest(job()) == spec_digest(job(deadline_seconds=999))
    others = [job(seq=8), job(attempt=2), job(input={}), job(tool=tool(report="TaskResult")), agent_job()]
    assert len({spec_digest(job()), *map(spec_digest, others)}) == 6


def test_a_child_carries_its_parents_requester_and_account() -> None:
    child = build_child(
        OWNER, DesiredChild(seq=9, ref="deep", workflow_name="deep-dive", input={"a": 1}, depth=1)
    )
    assert child["metadata"]["name"] == f"run-1-{names.short_hash(UID)}-9"
    assert child["spec"] == {
        "workflowRef": {"name": "deep-dive"},
        "input": {"a": 1},
        "requestedBy": "alice@example.com",
        "serviceAccountName": "runner",
        "parent": {"name": "run-1", "uid": UID, "ref": "deep", "seq": 9, "depth": 1},
    }


def test_the_name_of_a_child_of_a_long_named_parent_is_still_a_label() -> None:
    name = names.child_name("a" * 39 + "." + "b" * 60, UID, 10**9)
    assert name == f"{'a' * 39}-{names.short_hash(UID)}-1000000000"
    assert len(name) <= 63


def test_a_pods_name_leads_to_the_event_that_scheduled_it() -> None:
    prefix = f"ow-{names.short_hash(UID)}"
    assert names.seq_of_pod(UID, f"{prefix}-7-x2k9p") == 7
    for other in (
        f"{prefix}-7",
        f"{prefix}-07-x2k9p",
        f"{prefix}-7-a-b",
        f"{prefix}-x-y",
        "ow-0000000000-7-x2k9p",
    ):
        assert names.seq_of_pod(UID, other) is None


def test_a_built_in_tool_runs_in_the_operators_worker_image_and_gets_its_input_in_the_task_file_alone() -> (
    None
):
    definition = Task.model_validate({"ref": "call", "type": "HTTP"})
    given = {"uri": "https://shop.example/never-in-the-manifest", "method": "POST"}
    desired = job(tool=builtin.tool_for(definition, given), builtin=True, input=given)
    manifest = built(desired)
    container = container_of(manifest)
    assert (container["image"], container["imagePullPolicy"]) == ("example/agent:1", "Never")
    assert container["command"] == ["python", "-m", "openworld_worker.builtin", "http"]
    assert "args" not in container
    assert pod_of(manifest)["serviceAccountName"] == "openworld-task"
    assert env_of(manifest)["OPENWORLD_REPORT"] == "TaskResult"
    document = manifest["spec"]["template"]["metadata"]["annotations"].pop("openworld.dev/task")
    assert json.loads(document)["input"] == given
    assert "never-in-the-manifest" not in json.dumps(manifest)


def test_no_catalog_gets_the_operators_image_by_naming_the_placeholder() -> None:
    assert container_of(built(job(tool=tool(container={"image": builtin.IMAGE}))))["image"] == builtin.IMAGE
