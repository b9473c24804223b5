"""From objects of the cluster to facts: what a report, a pod, a Job, a signal or a child says. Pure.

Nothing is judged here but whether an object speaks for the attempt that it claims to speak for,
and how an ending is told to a person.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openworld.api import JsonObject, Phase, ReportStatus, Signal, TaskResult
from openworld.engine.facts import ChildEnded, Ending, Fact, JobEnded, JobStarted, Report, Signaled
from openworld.governance import Amounts
from openworld.language.reading import InvalidResource, read
from openworld.ledger import epoch_ms

from . import names
from .jobs import CONTAINER
from .stores import phase_of

MESSAGE_LIMIT_BYTES = 4096
TERMINAL_EXIT_CODE = 64
_IMAGE_AT_ONCE = frozenset({"ErrImageNeverPull", "InvalidImageName"})
_IMAGE_LATER = frozenset({"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable"})
_CONFIG_LATER = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError"}
)
_NOT_ADMITTED = frozenset({"UnexpectedAdmissionError", "NodeAffinity", "NodePorts", "SysctlForbidden"})
_LOST = frozenset({"Evicted", "NodeLost", "NodeShutdown", "Terminated", "Shutdown", "Preempting"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """An object that does not speak for the attempt it names; `reason` is a sentence for people."""

    id: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a Job and its pods say.

    `doubtful`: the Job is over and nothing reported; before that is believed, its TaskResults and
    pods must be read from the API server. `again_at_ms`: time alone may change the reading.
    """

    facts: tuple[Fact, ...] = ()
    doubtful: bool = False
    again_at_ms: int | None = None


def read_result(
    result: JsonObject, *, execution: str, execution_uid: str, pod: JsonObject | None, job: JsonObject | None
) -> Report | Refusal:
    """The report that a TaskResult makes.

    `pod` and `job` are those its name leads to, as far as they still exist.
    """
    metadata, spec = result["metadata"], result.get("spec") or {}

    def refuse(reason: str) -> Refusal:
        return Refusal(id=metadata["uid"], name=metadata["name"], reason=reason)

    pod_name, dot, _ = metadata["name"].partition(".")
    if dot and spec.get("status") != ReportStatus.IN_PROGRESS.value:
        return refuse("only a report of progress has a name with a dot in it; the result is named as its pod")
    seq = names.seq_of_pod(execution_uid, pod_name)
    if seq is None or spec.get("execution") != execution:
        return refuse(f"its name belongs to no pod of the execution {execution}")
    if pod is not None and pod["metadata"]["uid"] != spec.get("podUID"):
        return refuse(f"podUID is {spec.get('podUID')!r}, but the pod {pod_name} has another uid")
    if pod is not None and not _belongs(pod, job, names.job_name(execution_uid, seq)):
        return refuse(f"the pod {pod_name} does not belong to the Job of the attempt")
    labelled = names.labels_of(result).get(names.SEQ)
    if labelled is not None and labelled != str(seq):
        return refuse(f"its label {names.SEQ} is {labelled!r}, its pod belongs to {seq}")
    if job is not None:
        ref = names.annotations_of(job).get(names.REF)
        attempt = names.labels_of(job).get(names.ATTEMPT)
        if (spec.get("ref"), str(spec.get("attempt"))) != (ref, attempt):
            return refuse(
                f"it reports on {spec.get('ref')!r} attempt {spec.get('attempt')}, "
                f"its pod runs {ref!r} attempt {attempt}"
            )
    try:
        report = read(TaskResult, spec)
    except InvalidResource as error:
        return Report(
            id=metadata["uid"],
            seq=seq,
            status=ReportStatus.FAILED_WITH_TERMINAL_ERROR,
            reason=f"the report is not valid: {error}",
            pod=pod_name,
        )
    return Report(
        id=metadata["uid"],
        seq=seq,
        status=report.status,
        output=report.output,
        reason=report.reason or (report.progress.message if report.progress is not None else ""),
        proposal=report.proposal,
        usage=spec.get("usage"),
        pod=pod_name,
        callback_after_seconds=report.callback_after_seconds,
    )


def _belongs(pod: JsonObject, job: JsonObject | None, job_name: str) -> bool:
    """Whether a pod is the Job's; of a Job that is gone, its name must do."""
    controller = names.controller_of(pod)
    if job is not None:
        return bool(controller.get("uid") == job["metadata"]["uid"])
    return (controller.get("kind"), controller.get("name")) == ("Job", job_name)


def read_signal(signal: JsonObject, *, execution_uid: str) -> Signaled | Refusal:
    """The fact that a Signal is."""
    metadata = signal["metadata"]
    try:
        spec = read(Signal, signal.get("spec") or {})
    except InvalidResource as error:
        return Refusal(metadata["uid"], metadata["name"], str(error))
    if spec.execution_uid != execution_uid:
        return Refusal(
            metadata["uid"],
            metadata["name"],
            f"executionUID is {spec.execution_uid!r}, but the execution {spec.execution} has another uid: "
            "it was deleted and created again since",
        )
    return Signaled(
        id=metadata["uid"],
        type=spec.type,
        by=spec.by,
        ref=spec.ref,
        tool=spec.tool,
        item_digest=spec.item_digest,
        group=spec.group,
        payload=spec.payload,
        name=metadata["name"],
        sent_at_ms=epoch_ms(metadata["creationTimestamp"]),
    )


def revivals_of(execution: JsonObject) -> int:
    """How often an execution was retried, rerun or restarted."""
    return int((execution.get("status") or {}).get("revivals") or 0)


def has_an_old_end(child: JsonObject, revivals: int) -> bool:
    """Whether a child ended before its parent was retried, which wants it revived so many times by now."""
    phase = phase_of(child)
    return phase.is_final and phase is not Phase.COMPLETED and revivals_of(child) < revivals


def read_child(child: JsonObject, *, seq: int, gone: bool, revivals: int = 0) -> ChildEnded | None:
    """The end of a child execution; None while it runs. One that was retried ends again, and that is news.

    An end from before its parent was retried is none.
    """
    metadata, status = child["metadata"], child.get("status") or {}
    phase = phase_of(child)
    if has_an_old_end(child, revivals) and not gone:
        return None
    if phase.is_final:
        return ChildEnded(
            id=f"{metadata['uid']}/{revivals_of(child)}/{status.get('endedAt') or ''}",
            seq=seq,
            phase=phase,
            output=status.get("output"),
            reason=status.get("reason") or "",
            used=Amounts.of(Amounts().wire() | (status.get("usage") or {})),
        )
    if gone:
        return ChildEnded(
            id=metadata["uid"],
            seq=seq,
            phase=Phase.TERMINATED,
            reason=f"the child execution {metadata['name']} was deleted",
        )
    return None


def read_job(
    job: JsonObject,
    pods: Sequence[JsonObject],
    *,
    seq: int,
    now_ms: int,
    image_grace_ms: int,
    certain: bool,
    gone: bool = False,
) -> Reading:
    """What a Job without a TaskResult says.

    `certain`: TaskResults and pods were just read from the API server. `gone`: the Job was deleted.
    """
    pod = max(pods, key=_age_order) if pods else None
    condition = _ended(job)
    if condition is not None and condition.get("reason") == "DeadlineExceeded":
        return _conclude(
            job, seq, Ending.TIMED_OUT, "the attempt ran past its Job's activeDeadlineSeconds", pod, certain
        )
    if pod is not None:
        reading = _read_pod(job, pod, seq=seq, now_ms=now_ms, grace_ms=image_grace_ms, certain=certain)
        if reading is not None:
            return reading
    if condition is None and not gone:
        return Reading()
    if pod is not None and not certain:
        return Reading(doubtful=True)
    name = job["metadata"]["name"]
    if gone:
        reason = f"the Job {name} was deleted while the attempt ran"
    else:
        said = condition.get("message") or condition.get("reason") if condition else ""
        reason = f"the Job {name} ended and its pod is gone, so how it ended is not known: {said}"
    return _conclude(job, seq, Ending.LOST, reason, pod, certain)


def is_stuck(pods: Sequence[JsonObject]) -> bool:
    """Whether the pods wait for something that a new attempt must not wait for (an image, a Secret)."""
    waiting = (_waiting(pod)[0] for pod in pods)
    return any(reason in _IMAGE_AT_ONCE | _IMAGE_LATER | _CONFIG_LATER for reason in waiting)


def is_over(pod: JsonObject) -> bool:
    """Whether no container of the pod runs or can run any more."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def has_said_its_end(pod: JsonObject) -> bool:
    """Whether the pod shows how its container ended; otherwise its last state is no news once it is gone."""
    return is_over(pod) or "terminated" in _container_state(pod)


def is_finished(job: JsonObject) -> bool:
    """Whether the Job has reached Complete or Failed."""
    return any(
        condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True"
        for condition in (job.get("status") or {}).get("conditions") or ()
    )


def _ended(job: JsonObject) -> JsonObject | None:
    """The condition that says how the Job ends: the early ones stand before the pods are gone."""
    conditions = {
        condition["type"]: condition
        for condition in (job.get("status") or {}).get("conditions") or ()
        if condition.get("status") == "True"
    }
    for kind in ("Failed", "FailureTarget", "Complete", "SuccessCriteriaMet"):
        if kind in conditions:
            return dict(conditions[kind])
    return None


def _age_order(pod: JsonObject) -> tuple[str, str]:
    return pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"]


def _is_reporting(job: JsonObject) -> bool:
    return names.labels_of(job).get(names.REPORTS) == "true"


def _conclude(
    job: JsonObject, seq: int, ending: Ending, reason: str, pod: JsonObject | None, certain: bool
) -> Reading:
    """An end without a report: believed only once the API server has been asked."""
    if not certain:
        return Reading(doubtful=True)
    name = pod["metadata"]["name"] if pod else ""
    return Reading((JobEnded(id=job["metadata"]["uid"], seq=seq, ending=ending, reason=reason, pod=name),))


def _read_pod(
    job: JsonObject, pod: JsonObject, *, seq: int, now_ms: int, grace_ms: int, certain: bool
) -> Reading | None:
    status = pod.get("status") or {}
    name = pod["metadata"]["name"]
    lost = _lost(pod)
    if lost:
        return _conclude(job, seq, Ending.LOST, lost, pod, certain)
    if status.get("phase") == "Failed" and status.get("reason") in _NOT_ADMITTED | {
        "OutOfcpu",
        "OutOfmemory",
    }:
        reason = f"the node did not take the pod: {status['reason']}: {status.get('message') or ''}"
        return _conclude(job, seq, Ending.FAILED, reason, pod, certain)
    state = _container_state(pod)
    terminated = state.get("terminated")
    if terminated is not None:
        if terminated.get("exitCode") != 0 and pod["metadata"].get("deletionTimestamp"):
            # Killed while its pod was being deleted; the Job's condition will say on whose behalf.
            if not _ended(job):
                return Reading()
            text = f"the pod {name} was deleted while its container ran (exit code {terminated['exitCode']})"
            return _conclude(job, seq, Ending.LOST, text, pod, certain)
        return _read_exit(job, pod, terminated, seq=seq, certain=certain)
    if "running" in state:
        return Reading((JobStarted(seq=seq, pod=name),)) if not _ended(job) else None
    reason, message = _waiting(pod)
    image = _image(pod)
    if reason in _IMAGE_AT_ONCE:
        text = f"the image {image} cannot be used: {reason}{_detail(message)}"
        return _conclude(job, seq, Ending.IMAGE, text, pod, certain)
    if reason in _IMAGE_LATER | _CONFIG_LATER:
        since = epoch_ms(status.get("startTime") or pod["metadata"]["creationTimestamp"])
        if now_ms < since + grace_ms:
            return Reading(again_at_ms=since + grace_ms)
        if reason in _IMAGE_LATER:
            text = f"the image {image} cannot be pulled: {reason}{_detail(message)}"
            return _conclude(job, seq, Ending.IMAGE, text, pod, certain)
        text = f"the container of the image {image} cannot be started: {reason}{_detail(message)}"
        return _conclude(job, seq, Ending.FAILED, text, pod, certain)
    return None


def _read_exit(
    job: JsonObject, pod: JsonObject, terminated: JsonObject, *, seq: int, certain: bool
) -> Reading:
    code, reason = int(terminated.get("exitCode", 0)), terminated.get("reason") or ""
    message = terminated.get("message") or ""
    name = pod["metadata"]["name"]
    if reason == "OOMKilled":
        text = "the container used more memory than its limit allows and was killed (OOMKilled)"
        return _conclude(job, seq, Ending.FAILED, text, pod, certain)
    if reason in ("StartError", "ContainerCannotRun"):
        text = f"the container of the image {_image(pod)} cannot be started{_detail(message)}"
        return _conclude(job, seq, Ending.FAILED, text, pod, certain)
    if _is_reporting(job):
        ending = Ending.SUCCEEDED if code == 0 else Ending.FAILED
        if code == TERMINAL_EXIT_CODE:
            ending = Ending.TERMINAL_ERROR
        text = f"the worker ended with exit code {code} and without a report"
        return _conclude(job, seq, ending, text + _said(message), pod, certain)
    if code == 0:
        return Reading((_from_message(message, seq=seq, pod=name, report_id=pod["metadata"]["uid"]),))
    ending = Ending.TERMINAL_ERROR if code == TERMINAL_EXIT_CODE else Ending.FAILED
    text = _reason_in(message) or f"the container ended with exit code {code}{_said(message)}"
    # Final as it stands: the pod never restarts, and no TaskResult is expected of it.
    return _conclude(job, seq, ending, text, pod, certain=True)


def _from_message(message: str, *, seq: int, pod: str, report_id: str) -> Report:
    def fail(reason: str) -> Report:
        return Report(
            id=report_id,
            seq=seq,
            status=ReportStatus.FAILED_WITH_TERMINAL_ERROR,
            reason=f"{reason} (write the output as one JSON object to /dev/termination-log)",
            pod=pod,
        )

    if not message.strip():
        return Report(id=report_id, seq=seq, status=ReportStatus.COMPLETED, output={}, pod=pod)
    try:
        output: Any = json.loads(message, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        if len(message.encode()) >= MESSAGE_LIMIT_BYTES:
            return fail(
                f"termination message is longer than {MESSAGE_LIMIT_BYTES} bytes and was cut; "
                "a tool with larger outputs must report by TaskResult"
            )
        return fail(
            f"termination message is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        )
    except ValueError as error:
        return fail(f"termination message is not JSON: {error}")
    except RecursionError:
        return fail("termination message is not usable: it is nested too deeply")
    if not isinstance(output, dict):
        return fail(f"termination message is not a JSON object: it is {_kind(output)}")
    return Report(id=report_id, seq=seq, status=ReportStatus.COMPLETED, output=output, pod=pod)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, list):
        return "an array"
    return "a string" if isinstance(value, str) else "a number"


def _reason_in(message: str) -> str:
    """The reason that a failing container gives in its message, as `{"reason": "…"}`."""
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return ""
    reason = value.get("reason") if isinstance(value, dict) else None
    return reason if isinstance(reason, str) else ""


def _said(message: str) -> str:
    text = message.strip()
    return f"; it said: {text[:1000]}" if text else ""


def _detail(message: str) -> str:
    return f": {message}" if message else ""


def _lost(pod: JsonObject) -> str:
    """Why nobody knows what a failed pod did; empty when it is known."""
    status = pod.get("status") or {}
    if status.get("phase") not in ("Failed", "Unknown"):
        return ""
    reason = status.get("reason") or ""
    if reason in _LOST:
        detail = _detail(status.get("message") or "")
        return f"the pod {pod['metadata']['name']} was ended by its node: {reason}{detail}"
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            why = condition.get("message") or condition.get("reason") or "DisruptionTarget"
            return f"the pod {pod['metadata']['name']} was taken away: {why}"
    return ""


def _container_state(pod: JsonObject) -> JsonObject:
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if container.get("name") == CONTAINER:
            return dict(container.get("state") or {})
    return {}


def _waiting(pod: JsonObject) -> tuple[str, str]:
    waiting = _container_state(pod).get("waiting") or {}
    return waiting.get("reason") or "", waiting.get("message") or ""


def _image(pod: JsonObject) -> str:
    for container in (pod.get("spec") or {}).get("containers") or ():
        if container.get("name") == CONTAINER:
            return str(container.get("image"))
    return "of the task"
