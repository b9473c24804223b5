"""From what a decision desires to the manifest of a Job or of a child execution. Pure builders.

Nothing of a task's input reaches the manifest outside `task.json`: image, command, environment,
account and secrets come from the tool's definition alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from openworld.api import API_VERSION, JsonObject
from openworld.api.toolcatalog import Container, EnvVar, ReportChannel, Resources
from openworld.engine.outside import DesiredChild, DesiredJob, spec_of_child
from openworld.engine.state import State
from openworld.language.canonical import digest
from openworld.language.versions import idempotent_name

from . import names
from .settings import Settings

#: Above this, the task's input travels in a ConfigMap instead of a pod annotation.
ANNOTATION_LIMIT_BYTES = 128 * 1024
CONTAINER = "task"
TASK_ACCOUNT = "openworld-task"
AGENT_ACCOUNT = "openworld-agent"
_TASK_FILE = "/openworld/task.json"
_SCRIPT_FOLDER = "/openworld/script"
_USER = 65532
_AGENT_COMMAND = ["python", "-m", "openworld_worker.agent"]


@dataclass(frozen=True, slots=True)
class Owner:
    """The Execution that an object is created for, or the ToolCatalog whose MCP server is asked.

    `object_name` is the name of the latter; `name` is then `names.DISCOVERY`.
    """

    name: str
    namespace: str
    uid: str
    workflow_name: str = ""
    workflow_version: int = 1
    requested_by: str = ""
    service_account_name: str = "default"
    object_name: str = ""

    @classmethod
    def of(cls, state: State) -> Owner:
        """The Execution that a state is of."""
        return cls(
            name=state.name,
            namespace=state.namespace,
            uid=state.uid,
            workflow_name=state.workflow_name,
            workflow_version=state.workflow_version,
            requested_by=state.spec.requested_by,
            service_account_name=state.spec.service_account_name,
        )

    def reference(self) -> JsonObject:
        """The owner reference to it: what it owns is deleted with it."""
        if self.object_name:
            return {
                "apiVersion": API_VERSION,
                "kind": "ToolCatalog",
                "name": self.object_name,
                "uid": self.uid,
                "controller": True,
            }
        return {
            "apiVersion": API_VERSION,
            "kind": "Execution",
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


def is_reporting(job: DesiredJob) -> bool:
    """Whether the attempt's worker creates a TaskResult (no report is then a failure)."""
    return job.tool is None or job.tool.run.report is ReportChannel.TASK_RESULT


def spec_digest(job: DesiredJob) -> str:
    """What makes two Jobs of the same name the same attempt; free of times and operator settings."""
    return digest(
        {
            "seq": job.seq,
            "ref": job.ref,
            "attempt": job.attempt,
            "input": job.input,
            "idempotencyKey": job.idempotency_key,
            "tool": job.tool.wire() if job.tool else None,
            "agent": job.agent.wire() if job.agent else None,
            "turn": job.turn,
            "context": job.context,
            "secrets": list(job.secrets),
        }
    )


def task_document(owner: Owner, job: DesiredJob, deadline: str) -> bytes:
    """The content of task.json: all that a worker is told of its task."""
    document: JsonObject = {
        "execution": {"name": owner.name, "namespace": owner.namespace, "uid": owner.uid},
        "workflow": {"name": owner.workflow_name, "version": owner.workflow_version},
        "ref": job.ref,
        "attempt": job.attempt,
        "idempotencyKey": job.idempotency_key,
        "deadline": deadline,
        "input": job.input,
    }
    if job.tool is not None:
        document["tool"] = job.tool.name
    if job.turn is not None:
        document["turn"] = job.turn
    if job.context is not None:
        document["context"] = job.context
    if job.secrets:
        document["secrets"] = [{"path": each["path"], "env": each["env"]} for each in job.secrets]
    return orjson.dumps(document)


def build_input(owner: Owner, job: DesiredJob, document: bytes) -> JsonObject | None:
    """The immutable ConfigMap for an input that is too large for an annotation; None when it is not."""
    if len(document) <= ANNOTATION_LIMIT_BYTES:
        return None
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(owner, job),
        "immutable": True,
        "data": {"task.json": document.decode()},
    }


def holds_same_input(found: JsonObject, wanted: JsonObject) -> bool:
    """Whether an input ConfigMap says what another says, but for the deadline (which time has moved)."""
    try:
        documents = [orjson.loads(each["data"]["task.json"]) for each in (found, wanted)]
    except (KeyError, TypeError, orjson.JSONDecodeError):
        return False
    return all(isinstance(document, dict) for document in documents) and all(
        documents[0].get(key) == documents[1].get(key)
        for key in {*documents[0], *documents[1]} - {"deadline"}
    )


def build_job(
    owner: Owner, job: DesiredJob, settings: Settings, *, document: bytes, deadline: str, suspend: bool
) -> JsonObject:
    """The Job of one attempt. `deadline` is RFC 3339; `document` is the content of task.json."""
    in_annotation = len(document) <= ANNOTATION_LIMIT_BYTES
    template_metadata = _metadata(owner, job, named=False)
    if in_annotation:
        template_metadata["annotations"][names.TASK] = document.decode()
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(owner, job),
        "spec": {
            "suspend": suspend,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": job.deadline_seconds,
            "template": {
                "metadata": template_metadata,
                "spec": _pod(owner, job, settings, deadline, in_annotation=in_annotation),
            },
        },
    }


def build_child(owner: Owner, child: DesiredChild) -> JsonObject:
    """The child execution of a SUB_WORKFLOW task, under its parent's account and requester."""
    name = names.child_name(owner.name, owner.uid, child.seq)
    if child.idempotency_key:
        name = idempotent_name(child.workflow_name, child.idempotency_key)
    return {
        "apiVersion": API_VERSION,
        "kind": "Execution",
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": {
                names.EXECUTION: names.label_value(owner.name),
                names.EXECUTION_UID: owner.uid,
                names.REF: names.label_value(child.ref),
                names.SEQ: str(child.seq),
            },
            **({} if child.detached else {"ownerReferences": [owner.reference()]}),
        },
        "spec": spec_of_child(
            child,
            name=owner.name,
            uid=owner.uid,
            requested_by=owner.requested_by,
            service_account_name=owner.service_account_name,
        ),
    }


def _metadata(owner: Owner, job: DesiredJob, *, named: bool = True) -> JsonObject:
    labels = {
        names.EXECUTION: names.label_value(owner.name),
        names.EXECUTION_UID: owner.uid,
        names.REF: names.label_value(job.ref),
        names.ATTEMPT: str(job.attempt),
        names.SEQ: str(job.seq),
    }
    if is_reporting(job):
        labels[names.REPORTS] = "true"
    metadata: JsonObject = {
        "labels": labels,
        "annotations": {names.EXECUTION: owner.name, names.REF: job.ref},
    }
    if named:
        metadata |= {
            "name": names.job_name(owner.uid, job.seq),
            "namespace": owner.namespace,
            "ownerReferences": [owner.reference()],
        }
        metadata["annotations"][names.SPEC_DIGEST] = spec_digest(job)
    return metadata


def _pod(
    owner: Owner, job: DesiredJob, settings: Settings, deadline: str, *, in_annotation: bool
) -> JsonObject:
    if job.tool is not None:
        run = job.tool.run
        container = _of_the_operator(run.container, settings) if job.builtin else run.container
        account = run.service_account_name or TASK_ACCOUNT
        has_token = is_reporting(job) or run.service_account_name is not None
    else:
        container = Container(
            image=settings.agent_image,
            image_pull_policy=settings.image_pull_policy,
            command=_AGENT_COMMAND,
            resources=job.agent.resources if job.agent else Resources(),
        )
        account, has_token = AGENT_ACCOUNT, True
    mounts: list[JsonObject] = [
        {"name": "openworld", "mountPath": _TASK_FILE, "subPath": "task.json", "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (a path inside the container)
    ]
    volumes: list[JsonObject] = [
        {"name": "openworld", "projected": {"sources": [_input_source(owner, job, in_annotation)]}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if job.agent is not None:
        script = job.agent.model.script.config_map_name
        mounts.append({"name": "script", "mountPath": _SCRIPT_FOLDER, "readOnly": True})
        volumes.append({"name": "script", "configMap": {"name": script, "optional": True}})
    return {
        "restartPolicy": "Never",
        "serviceAccountName": account,
        "automountServiceAccountToken": has_token,
        "enableServiceLinks": True,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(owner, job, container, deadline, mounts)],
        "volumes": volumes,
    }


def _of_the_operator(container: Container, settings: Settings) -> Container:
    """The container of a built-in tool, with the worker image that the operator is set to."""
    image = {"image": settings.agent_image, "image_pull_policy": settings.image_pull_policy}
    return container.model_copy(update=image)


def _container(
    owner: Owner, job: DesiredJob, container: Container, deadline: str, mounts: list[JsonObject]
) -> JsonObject:
    manifest: JsonObject = {
        "name": CONTAINER,
        "image": container.image,
        "imagePullPolicy": container.image_pull_policy.value,
        "env": [
            *_environment(owner, job, deadline),
            *map(_variable, _own(container.env)),
            *_secret_variables(job),
        ],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": mounts,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if container.command:
        manifest["command"] = list(container.command)
    if container.args:
        manifest["args"] = list(container.args)
    resources = container.resources.model_dump(exclude_defaults=True)
    if resources:
        manifest["resources"] = resources
    return manifest


def _environment(owner: Owner, job: DesiredJob, deadline: str) -> list[JsonObject]:
    channel = ReportChannel.TASK_RESULT if is_reporting(job) else ReportChannel.TERMINATION_MESSAGE
    values: dict[str, Any] = {
        "OPENWORLD_EXECUTION": owner.name,
        "OPENWORLD_EXECUTION_UID": owner.uid,
        "OPENWORLD_NAMESPACE": owner.namespace,
        "OPENWORLD_REF": job.ref,
        "OPENWORLD_ATTEMPT": str(job.attempt),
        "OPENWORLD_SEQ": str(job.seq),
        "OPENWORLD_DEADLINE": deadline,
        "OPENWORLD_IDEMPOTENCY_KEY": job.idempotency_key,
        "OPENWORLD_REPORT": channel.value,
        "OPENWORLD_TASK_FILE": _TASK_FILE,
    }
    if job.turn is not None:
        values["OPENWORLD_TURN"] = str(job.turn)
    fields = {"OPENWORLD_POD_NAME": "metadata.name", "OPENWORLD_POD_UID": "metadata.uid"}
    return [
        *({"name": name, "value": value} for name, value in values.items()),
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()),
    ]


def _secret_variables(job: DesiredJob) -> list[JsonObject]:
    """The keys of Secrets that the input names, as variables; the worker puts them in their places."""
    keys = {each["env"]: {"name": each["name"], "key": each["key"]} for each in job.secrets}
    return [{"name": env, "valueFrom": {"secretKeyRef": key}} for env, key in keys.items()]


def _own(variables: list[EnvVar]) -> list[EnvVar]:
    """A tool's own variables; the OPENWORLD_ names are ours, whatever a catalog says."""
    return [variable for variable in variables if not variable.name.startswith("OPENWORLD_")]


def _variable(variable: EnvVar) -> JsonObject:
    source = variable.value_from
    if source is None:
        return {"name": variable.name, "value": variable.value or ""}
    if source.secret_key_ref is not None:
        return {"name": variable.name, "valueFrom": {"secretKeyRef": source.secret_key_ref.model_dump()}}
    if source.config_map_key_ref is not None:
        reference = source.config_map_key_ref.model_dump()
        return {"name": variable.name, "valueFrom": {"configMapKeyRef": reference}}
    return {"name": variable.name, "value": ""}


def _input_source(owner: Owner, job: DesiredJob, in_annotation: bool) -> JsonObject:
    if in_annotation:
        field_path = f"metadata.annotations['{names.TASK}']"
        return {"downwardAPI": {"items": [{"path": "task.json", "fieldRef": {"fieldPath": field_path}}]}}
    return {"configMap": {"name": names.job_name(owner.uid, job.seq)}}
