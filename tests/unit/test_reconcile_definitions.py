"""The status of definitions, the admission guard, readiness, milestones and what kopf hands in."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from openworld.controller import names
from openworld.controller.admission import AdmissionGuard, faults
from openworld.controller.definitions import DefinitionKey, DefinitionReconciler
from openworld.controller.handlers import Watcher, build_settings
from openworld.controller.logs import JsonFormatter, of_execution
from openworld.controller.milestones import build_event, milestones
from openworld.controller.queue import Urgency, WorkQueue
from openworld.controller.readiness import serve_readiness
from openworld.controller.stores import ObjectKey
from openworld.controller.world import World, set_right
from openworld.kube import Unavailable
from openworld.kube.resources import (
    ADMISSION_BINDINGS,
    ADMISSION_POLICIES,
    EXECUTIONS,
    JOBS,
    PODS,
    POLICIES,
    SIGNALS,
    TOOL_CATALOGS,
    WORKFLOWS,
    Resource,
)
from openworld.ledger import epoch_ms
from tests.support.apiserver import ApiServerDouble
from tests.unit.test_queue_workqueue import FakeClock

AT = "2027-01-15T08:00:00Z"


def judged(resource: Resource, spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The status that the operator writes for a definition."""
    api, world = ApiServerDouble(), World()
    api.put(resource, "team", "x", spec=spec, **more)
    asyncio.run(set_right(api, world, ()))
    reconciler = DefinitionReconciler(api, world, now=lambda: datetime.fromisoformat(AT).astimezone(UTC))
    asyncio.run(reconciler.reconcile(DefinitionKey(resource, ObjectKey("team", "x"))))
    status: dict[str, Any] = api.objects[resource.path("team", "x")]["status"]
    writes = len(api.made("PUT", "/status"))
    asyncio.run(reconciler.reconcile(DefinitionKey(resource, ObjectKey("team", "x"))))
    assert len(api.made("PUT", "/status")) == writes, "a status that is right was written again"
    return status


def test_a_valid_definition_says_so_with_its_digest_and_generation() -> None:
    status = judged(WORKFLOWS, {"tasks": [{"ref": "ask", "type": "HUMAN"}]})
    said = {"reason": "Checked", "message": "", "observedGeneration": 1, "lastTransitionTime": AT}
    assert status["conditions"] == [
        {"type": "Valid", "status": "True", **said},
        {"type": "Ready", "status": "True", **said},
        {"type": "Stalled", "status": "False", **said},
    ]
    assert status["observedGeneration"] == 1
    assert status["digest"].startswith("sha256:")


def test_an_invalid_definition_says_where_it_is_wrong() -> None:
    status = judged(WORKFLOWS, {"tasks": [{"ref": "a", "type": "HUMAN", "input": {"x": "${b.output}"}}]})
    condition = status["conditions"][0]
    assert [c["status"] for c in status["conditions"]] == ["False", "False", "True"]
    assert (condition["status"], condition["reason"]) == ("False", "Invalid")
    assert condition["message"].startswith("spec.tasks[0].inputParameters.x: ${b.output} refers to task 'b'")


def test_a_misspelt_field_is_named() -> None:
    condition, *_ = judged(POLICIES, {"rulez": []})["conditions"]
    assert condition["message"] == "spec.rulez: unknown field 'rulez'; did you mean 'rules'?"


def test_a_condition_that_does_not_compile_makes_a_policy_invalid() -> None:
    rules = [{"name": "r", "when": "item.input.", "decision": "Allow"}]
    condition, *_ = judged(POLICIES, {"rules": rules})["conditions"]
    assert condition["status"] == "False"
    assert condition["message"].startswith("spec.rules[0].when: ")


def test_a_catalog_lists_its_tools_with_their_digests() -> None:
    tool = {
        "name": "lookup",
        "inputSchema": {"type": "object"},
        "effect": "Read",
        "run": {"container": {"image": "example/lookup:1"}},
    }
    (listed,) = judged(TOOL_CATALOGS, {"tools": [tool]})["tools"]
    assert listed["name"] == "lookup"
    assert listed["digest"].startswith("sha256:")


def test_a_condition_keeps_the_time_of_its_last_change() -> None:
    before = {
        "conditions": [{"type": "Valid", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    }
    status = judged(WORKFLOWS, {"tasks": [{"ref": "ask", "type": "HUMAN"}]}, status=before)
    assert status["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"


# The admission guard


def policy(name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "creationTimestamp": "2027-01-15T08:00:01Z"}
    return {"metadata": metadata, "spec": {"failurePolicy": "Fail", **spec}}


def binding(name: str, *actions: str) -> dict[str, Any]:
    metadata = {"name": name, "creationTimestamp": "2027-01-15T08:00:02Z"}
    return {"metadata": metadata, "spec": {"policyName": name, "validationActions": list(actions)}}


def test_every_policy_must_exist_fail_closed_and_be_bound_to_deny() -> None:
    found = faults(
        [policy("a"), policy("b", failurePolicy="Ignore"), policy("c")],
        [binding("a", "Deny", "Audit"), binding("b", "Deny"), binding("c", "Warn")],
        ("a", "b", "c", "d"),
    )
    assert found == [
        "ValidatingAdmissionPolicy b has failurePolicy Ignore",
        "no ValidatingAdmissionPolicyBinding denies by c",
        "ValidatingAdmissionPolicy d does not exist",
        "no ValidatingAdmissionPolicyBinding denies by d",
    ]


def test_the_guard_opens_its_eyes_at_every_check() -> None:
    api = ApiServerDouble()
    guard = AdmissionGuard(api, ("a",))
    assert guard.faults == ["the admission policies have not been checked yet"]
    api.objects[ADMISSION_POLICIES.path(None, "a")] = policy("a")
    api.objects[ADMISSION_BINDINGS.path(None, "a")] = binding("a", "Deny")
    asyncio.run(guard.check())
    assert guard.is_closed
    assert guard.since_ms == epoch_ms("2027-01-15T08:00:02Z"), "the younger of the two"
    del api.objects[ADMISSION_BINDINGS.path(None, "a")]
    asyncio.run(guard.check())
    assert not guard.is_closed


def test_policies_that_cannot_be_read_are_as_good_as_missing() -> None:
    api = ApiServerDouble()
    guard = AdmissionGuard(api, ())
    asyncio.run(guard.check())
    assert guard.is_closed

    def away(_: object) -> None:
        raise Unavailable("away")

    api.hooks.append(away)
    asyncio.run(guard.check())
    assert guard.faults == ["the admission policies cannot be read: away"]


@pytest.mark.parametrize(("problems", "status", "text"), [([], 200, "ok\n"), (["a", "b"], 503, "a\nb\n")])
def test_readiness_names_what_is_missing(problems: list[str], status: int, text: str) -> None:
    async def story() -> tuple[int, str]:
        async with (
            serve_readiness(lambda: problems, host="127.0.0.1", port=0) as port,
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/readyz") as response,
        ):
            return response.status, await response.text()

    assert asyncio.run(story()) == (status, text)


# Events in, events out


def watcher(world: World) -> tuple[Watcher, WorkQueue[ObjectKey], WorkQueue[DefinitionKey]]:
    async def work(_: object) -> None:
        return None

    executions: WorkQueue[ObjectKey] = WorkQueue(work, concurrency=1, clock=FakeClock())
    definitions: WorkQueue[DefinitionKey] = WorkQueue(work, concurrency=1, clock=FakeClock())
    return Watcher(world, executions, definitions), executions, definitions


def test_an_event_wakes_the_execution_it_is_about_and_an_echo_wakes_nobody() -> None:
    api, world = ApiServerDouble(), World()
    seen, executions, _ = watcher(world)
    body = api.put(EXECUTIONS, "team", "run")
    seen.saw(EXECUTIONS, None, body)
    seen.saw(EXECUTIONS, "MODIFIED", body)
    assert executions.waiting() == {ObjectKey("team", "run"): Urgency.NORMAL}


def test_a_signal_is_urgent() -> None:
    api, world = ApiServerDouble(), World()
    seen, executions, _ = watcher(world)
    seen.saw(SIGNALS, "ADDED", api.put(SIGNALS, "team", "s", spec={"execution": "run"}))
    assert executions.waiting() == {ObjectKey("team", "run"): Urgency.PERSON}


def test_a_definition_wakes_its_own_queue() -> None:
    api, world = ApiServerDouble(), World()
    seen, executions, definitions = watcher(world)
    seen.saw(WORKFLOWS, "ADDED", api.put(WORKFLOWS, "team", "main", spec={}))
    assert (len(executions), len(definitions)) == (0, 1)


def test_a_pod_that_goes_after_its_job_was_forgotten_leaves_nothing_behind() -> None:
    api, world = ApiServerDouble(), World()
    seen, _, _ = watcher(world)
    labels = {names.JOB_UID: "job-uid", "batch.kubernetes.io/job-name": "job"}
    metadata = {"labels": labels, "annotations": {names.EXECUTION: "run"}}
    seen.saw(PODS, "ADDED", api.put(PODS, "team", "p", metadata=metadata))
    seen.saw(PODS, "DELETED", api.take(PODS, "team", "p"))
    assert not world.pods.holds(ObjectKey("team", "p"))


def test_kopf_watches_only_our_jobs_and_pods_and_writes_nothing() -> None:
    settings = build_settings()
    assert len(settings.watching.label_selectors) == 2
    assert settings.watching.label_selectors["batch", "v1", "jobs"] == names.EXECUTION_UID
    assert (JOBS.plural, settings.posting.enabled, settings.scanning.disabled) == ("jobs", False, True)


def test_milestones_tell_the_story_and_leave_the_rest_out() -> None:
    common = {"at": "2027-01-15T08:00:00.123Z"}
    told = milestones(
        [
            {"seq": 0, "type": "ExecutionStarted", "workflow": {"name": "main", "version": 2}, **common},
            {"seq": 1, "type": "TaskScheduled", "ref": "a", **common},
            {
                "seq": 2,
                "type": "ProposalJudged",
                "ref": "a",
                "items": [{"decision": d} for d in ("Allowed", "Denied", "NeedsApproval", "Allowed")],
                **common,
            },
            {"seq": 3, "type": "ApprovalGiven", "ref": "b", "tool": "rollback", "by": "bob", **common},
            {
                "seq": 4,
                "type": "TaskFailed",
                "ref": "b",
                "attempt": 1,
                "reason": "boom",
                "willRetry": True,
                **common,
            },
        ]
    )
    assert [(m.reason, m.message, m.warning) for m in told] == [
        ("ExecutionStarted", "Started main version 2", False),
        ("ProposalJudged", "a: 2 allowed, 1 denied, 1 need approval", False),
        ("ApprovalGiven", "b: rollback was approved by bob", False),
        ("TaskFailed", "b attempt 1: boom; it is tried again", True),
    ]
    event = build_event({"metadata": {"name": "run", "namespace": "team", "uid": "u"}}, told[3])
    assert event["metadata"] == {"name": f"run.{names.short_hash('u')}.4", "namespace": "team"}
    assert (event["type"], event["firstTimestamp"]) == ("Warning", "2027-01-15T08:00:00Z")


def test_a_log_line_is_json_and_names_its_execution() -> None:
    record = logging.LogRecord("openworld.x", logging.INFO, "", 0, "recorded %s", ("TaskScheduled",), None)
    record.ref = "a"
    with of_execution(ObjectKey("team", "run")):
        line = json.loads(JsonFormatter().format(record))
    del line["time"]
    assert line == {
        "level": "INFO",
        "logger": "openworld.x",
        "message": "recorded TaskScheduled",
        "namespace": "team",
        "execution": "run",
        "ref": "a",
    }
