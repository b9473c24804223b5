"""Discoveries of a catalog's MCP servers against an API server in memory: order of writes, crashes, forgeries."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from openworld.controller import names
from openworld.controller.definitions import DefinitionKey, DefinitionReconciler
from openworld.controller.discovery import Discoverer
from openworld.controller.handlers import Watcher
from openworld.controller.queue import WorkQueue
from openworld.controller.settings import Settings
from openworld.controller.stores import ObjectKey
from openworld.controller.world import World, set_right
from openworld.kube import Forbidden, Unavailable
from openworld.kube.resources import JOBS, PODS, TASK_RESULTS, TOOL_CATALOGS
from openworld.ledger import epoch_ms
from tests.support.apiserver import BORN, ApiServerDouble, Request
from tests.support.reconciling import Bench as Runs
from tests.support.reconciling import Guard
from tests.unit.test_queue_workqueue import FakeClock

KEY = DefinitionKey(TOOL_CATALOGS, ObjectKey("team", "tools"))
SERVER: dict[str, Any] = {
    "name": "docs",
    "url": "https://docs.example/mcp",
    "headersFrom": [{"name": "X-Key", "secretRef": {"name": "docs", "key": "token"}}],
}
OWN = {
    "name": "own",
    "inputSchema": {"type": "object"},
    "effect": "Read",
    "run": {"container": {"image": "example/tool:1"}},
}


class Bench:
    """An operator with a catalog, and an API server in memory. Time moves only when the test says so."""

    def __init__(self, *servers: dict[str, Any]) -> None:
        self.api = ApiServerDouble()
        self.now_ms = epoch_ms(BORN) + 1000
        self.guard = Guard()
        self.write(*(servers or (SERVER,)))
        self.restart()

    def restart(self) -> None:
        """A new process: every cache is empty."""
        self.world, self.clock = World(), FakeClock()
        settings = Settings(agent_image="example/worker:1")
        discoverer = Discoverer(self.api, self.world, settings, cast("Any", self.guard))
        self.reconciler = DefinitionReconciler(
            self.api,
            self.world,
            discoverer,
            is_closed=lambda: self.guard.is_closed,
            now=lambda: datetime.fromtimestamp(self.now_ms / 1000, UTC),
        )
        self.reconciler.queue = WorkQueue(self.reconciler.reconcile, concurrency=1, clock=self.clock)

    def write(self, *servers: dict[str, Any], **annotations: str) -> None:
        """The catalog as a person applies it."""
        spec = {"tools": [OWN], "mcpServers": list(servers)}
        metadata = {
            "annotations": {f"openworld.dev/{k.replace('_', '-')}": v for k, v in annotations.items()}
        }
        self.api.put(TOOL_CATALOGS, "team", "tools", spec=spec, metadata=metadata)

    def go(self) -> Bench:
        """Watches catch up, then one reconcile."""
        asyncio.run(set_right(self.api, self.world, ()))
        asyncio.run(self.reconciler.reconcile(KEY))
        return self

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.api.objects[TOOL_CATALOGS.path("team", "tools")].get("status") or {})

    @property
    def condition(self) -> tuple[str, str, str]:
        (found,) = [each for each in self.status["conditions"] if each["type"] == "Discovered"]
        return found["status"], found["reason"], found["message"]

    @property
    def tools(self) -> list[tuple[str, str]]:
        return [(each["name"], each["source"]) for each in self.status["tools"]]

    @property
    def jobs(self) -> list[dict[str, Any]]:
        return self.api.all(JOBS, "team")

    def pod(self, job: dict[str, Any], suffix: str = "abcde", **more: Any) -> dict[str, Any]:
        """The pod of a Job."""
        metadata = {
            "labels": {**job["metadata"]["labels"], names.JOB_UID: job["metadata"]["uid"]},
            "ownerReferences": [{"kind": "Job", "uid": job["metadata"]["uid"], "controller": True}],
        }
        return self.api.put(
            PODS,
            "team",
            f"{job['metadata']['name']}-{suffix}",
            metadata=metadata | more.pop("metadata", {}),
            **more,
        )

    def reports(self, *tools: dict[str, Any], pod: dict[str, Any] | None = None, **spec: Any) -> Bench:
        """The pod of the one Job reports."""
        pod = pod or self.pod(self.jobs[0])
        given = {
            "execution": names.DISCOVERY,
            "ref": "docs",
            "attempt": 0,
            "podUID": pod["metadata"]["uid"],
            "status": "Completed",
            "output": {"tools": list(tools)},
        }
        self.api.put(TASK_RESULTS, "team", pod["metadata"]["name"], spec=given | spec)
        return self


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": "", "inputSchema": {"type": "object", "default": None}, **more}


def test_a_discovery_is_recorded_before_its_job_is_created() -> None:
    bench = Bench()

    def check(request: Request) -> None:
        if request.method == "POST" and request.path.endswith("/jobs"):
            (server,) = bench.status["mcpServers"]
            assert server["discovering"]["job"] == (request.body or {})["metadata"]["name"]

    bench.api.hooks.append(check)
    bench.go()
    (job,) = bench.jobs
    assert bench.condition[:2] == ("Unknown", "Discovering")
    assert job["metadata"]["name"] in bench.condition[2]
    assert bench.tools == [("own", "spec")]


def test_the_job_is_the_catalogs_and_only_it_has_the_secret() -> None:
    (job,) = Bench().go().jobs
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], "blockOwnerDeletion" in owner) == ("ToolCatalog", "tools", False)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (container["image"], pod["serviceAccountName"]) == ("example/worker:1", "openworld-task")
    assert container["command"] == ["python", "-m", "openworld_worker.builtin", "discover-mcp-tools"]
    assert {
        "name": "MCP_SECRET_0",
        "valueFrom": {"secretKeyRef": {"name": "docs", "key": "token"}},
    } in container["env"]
    said = {each["name"]: each.get("value") for each in container["env"]}
    assert (said["OPENWORLD_EXECUTION"], said["OPENWORLD_REF"]) == (names.DISCOVERY, "docs")
    assert job["spec"]["activeDeadlineSeconds"] == 420


def test_what_is_reported_is_pinned_the_job_goes_and_nothing_is_written_again() -> None:
    bench = Bench().go().reports(tool("search")).go()
    assert bench.condition == ("True", "Discovered", "docs: 1 tools pinned")
    assert bench.tools == [("own", "spec"), ("search", "docs")]
    (server,) = bench.status["mcpServers"]
    assert server["tools"][0]["inputSchema"] == {"type": "object", "default": None}
    assert (server["discoveredAt"], "discovering" in server) == ("2027-01-15T08:00:01Z", False)
    assert bench.jobs == []
    writes = len(bench.api.made("PUT", "/status"))
    bench.go().go()
    assert len(bench.api.made("PUT", "/status")) == writes


def test_a_crash_between_record_and_act_is_repaired() -> None:
    bench = Bench()

    def away(request: Request) -> None:
        if request.method == "POST":
            raise Unavailable("away")

    bench.api.hooks.append(away)
    with pytest.raises(Unavailable):
        bench.go()
    assert bench.jobs == []
    bench.api.hooks.clear()
    bench.restart()
    bench.go()
    assert (len(bench.jobs), bench.status["discoveries"]) == (1, 1)
    bench.restart()
    bench.go()
    assert len(bench.jobs) == 1


def test_a_write_that_somebody_overtook_creates_no_job() -> None:
    bench = Bench()

    def overtake(request: Request) -> None:
        if request.method == "PUT":
            bench.api.hooks.clear()
            bench.write(SERVER, discover="x")

    bench.api.hooks.append(overtake)
    bench.go()
    assert bench.jobs == []
    assert len(bench.go().jobs) == 1


def test_drift_is_listed_and_only_the_annotation_with_its_digest_moves_the_pin() -> None:
    every = {**SERVER, "refresh": {"mode": "Interval", "seconds": 60}}
    bench = Bench(every).go().reports(tool("search")).go()
    before = bench.status
    bench.now_ms += 61_000
    bench.go().reports(tool("search", description="Other.")).go()
    assert bench.condition[:2] == ("False", "Drifted")
    assert bench.tools == [("own", "spec")]
    (drifted,) = bench.status["drifted"]
    assert (drifted["name"], drifted["server"], drifted["differs"]) == ("search", "docs", ["description"])
    assert bench.status["mcpServers"][0]["tools"] == before["mcpServers"][0]["tools"]
    bench.write(every, accept_drift="sha256:" + "1" * 64)
    assert bench.go().condition[1] == "Drifted"
    bench.write(every, accept_drift=drifted["accept"])
    assert bench.go().condition[:2] == ("True", "Discovered")
    assert bench.tools == [("own", "spec"), ("search", "docs")]
    assert "drifted" not in bench.status
    assert bench.status["digest"] != before["digest"]


def test_what_has_failed_is_tried_again_after_a_pause_and_the_rest_stays_as_it_was() -> None:
    bench = Bench().go().reports(tool("search")).go()
    bench.write(SERVER, discover="again")
    bench.go().reports(status="FailedWithTerminalError", output=None, reason="nobody is there").go()
    assert bench.condition[:2] == ("False", "DiscoveryFailed")
    assert "discovery 2 failed: nobody is there" in bench.condition[2]
    assert (bench.tools, bench.jobs) == ([("own", "spec"), ("search", "docs")], [])
    assert bench.clock.pending[0] - bench.clock.now <= 10
    bench.now_ms += 9_000
    assert bench.go().jobs == []
    bench.now_ms += 1_000
    assert len(bench.go().jobs) == 1


def test_a_job_that_is_refused_is_told_and_tried_again_later() -> None:
    bench = Bench()

    def refuse(request: Request) -> None:
        if request.method == "POST" and request.path.endswith("/jobs"):
            raise Forbidden("exceeded quota", status=403)

    bench.api.hooks.append(refuse)
    bench.go().go()
    assert bench.condition[:2] == ("False", "DiscoveryFailed")
    assert "its Job was refused: exceeded quota" in bench.condition[2]


def test_a_worker_that_ended_without_a_report_has_failed() -> None:
    bench = Bench().go()
    state = {"terminated": {"exitCode": 1, "message": json.dumps({"reason": "refused"})}}
    status = {"phase": "Failed", "containerStatuses": [{"name": "task", "state": state}]}
    bench.pod(bench.jobs[0], status=status)
    assert "ended with exit code 1 and without a report" in bench.go().condition[2]


# Who may speak


def test_a_pod_of_somebody_else_is_not_heard() -> None:
    bench = Bench().go()
    theirs = {"ownerReferences": [{"kind": "Job", "uid": "another", "controller": True}]}
    pod = bench.pod(bench.jobs[0], metadata=theirs)
    bench.reports(tool("search"), pod=pod).go()
    assert (bench.tools, bench.condition[1]) == ([("own", "spec")], "Discovering")


def test_a_report_with_another_pods_uid_is_refused() -> None:
    bench = Bench().go().reports(tool("search"), podUID="another").go()
    assert "the report was refused: podUID is 'another'" in bench.condition[2]
    assert bench.tools == [("own", "spec")]


def test_a_report_from_before_the_admission_policies_is_not_believed() -> None:
    bench = Bench().go().reports(tool("search"))
    bench.guard.since_ms = epoch_ms(BORN) + 5000
    assert "nobody has vouched" in bench.go().condition[2]


def test_while_an_admission_policy_is_missing_nothing_is_asked_and_nothing_believed() -> None:
    bench = Bench()
    bench.guard.is_closed = False
    assert bench.go().jobs == []
    bench.guard.is_closed = True
    bench.go().reports(tool("search"))
    bench.guard.is_closed = False
    assert bench.go().tools == [("own", "spec")]
    bench.guard.is_closed = True
    assert bench.go().tools == [("own", "spec"), ("search", "docs")]


def test_a_job_of_somebody_else_under_the_name_is_not_adopted() -> None:
    bench = Bench()
    uid = bench.api.objects[TOOL_CATALOGS.path("team", "tools")]["metadata"]["uid"]
    bench.api.put(JOBS, "team", names.job_name(uid, 1), spec={})
    bench.go().go()
    assert "exists that is not this discovery's" in bench.condition[2]


def test_a_result_under_the_reserved_name_is_kept_for_no_execution() -> None:
    bench, world = Bench().go().reports(tool("search")), World()
    executions: WorkQueue[ObjectKey] = WorkQueue(cast("Any", None), concurrency=1, clock=FakeClock())
    definitions: WorkQueue[DefinitionKey] = WorkQueue(cast("Any", None), concurrency=1, clock=FakeClock())
    watcher = Watcher(world, executions, definitions)
    for resource in (JOBS, PODS, TASK_RESULTS):
        watcher.saw(resource, "ADDED", bench.api.all(resource, "team")[0])
    assert executions.waiting() == {}
    assert list(definitions.waiting()) == [KEY]
    assert world.results.present() == []


# The catalog changes


def test_another_url_gives_up_the_discovery_that_goes_on() -> None:
    bench = Bench().go()
    (first,) = bench.jobs
    bench.write({**SERVER, "url": "https://other.example/mcp"})
    bench.go()
    (second,) = bench.jobs
    assert first["metadata"]["name"] != second["metadata"]["name"]


def test_a_server_that_is_taken_out_takes_its_tools_and_jobs_with_it() -> None:
    bench = Bench().go().reports(tool("search")).go()
    bench.write(SERVER, {**SERVER, "name": "wiki"})
    bench.go()
    assert len(bench.jobs) == 1
    bench.write()
    bench.go()
    assert (bench.jobs, bench.tools, "mcpServers" in bench.status) == ([], [("own", "spec")], False)
    assert [each["type"] for each in bench.status["conditions"]] == ["Valid", "Ready", "Stalled"]


def test_a_spec_that_cannot_be_read_keeps_what_is_pinned() -> None:
    bench = Bench().go().reports(tool("search")).go()
    pinned = bench.status["mcpServers"]
    bench.write({**SERVER, "urll": "x"})
    bench.go()
    assert (bench.status["tools"], bench.status["mcpServers"]) == ([], pinned)
    bench.write(SERVER)
    assert bench.go().tools == [("own", "spec"), ("search", "docs")]


def test_a_tool_with_the_name_of_another_makes_the_catalog_invalid() -> None:
    bench = Bench().go().reports(tool("own")).go()
    (valid,) = [each for each in bench.status["conditions"] if each["type"] == "Valid"]
    assert valid["status"] == "False"
    assert "its tool 'own' has the name of one of spec.tools" in valid["message"]


def test_a_catalog_that_is_gone_leaves_nothing_in_memory() -> None:
    bench = Bench().go()
    asyncio.run(set_right(bench.api, bench.world, ()))
    (job,) = bench.jobs
    bench.world.tool_catalogs.remove(bench.api.take(TOOL_CATALOGS, "team", "tools"))
    bench.world.jobs.remove(bench.api.take(JOBS, "team", job["metadata"]["name"]))
    asyncio.run(bench.reconciler.reconcile(KEY))
    assert bench.world.jobs.gone() == []


# A run


def test_a_run_uses_what_is_pinned_with_the_operators_image_and_the_catalogs_server() -> None:
    status = Bench().go().reports(tool("search")).go().status
    bench = Runs().workflow(
        {"ref": "look", "type": "search", "input": {"q": "x", "url": "http://evil.example/"}}
    )
    bench.api.put(TOOL_CATALOGS, "team", "tools", spec={"mcpServers": [SERVER]}, status=status)
    (job,) = bench.execution().go().jobs
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "example/agent:1"
    assert container["command"] == ["python", "-m", "openworld_worker.builtin", "mcp"]
    assert container["args"][0].startswith('--server={"url":"https://docs.example/mcp"')
    assert "evil" not in json.dumps(container)
    document = json.loads(job["spec"]["template"]["metadata"]["annotations"][names.TASK])
    assert document["input"] == {"q": "x", "url": "http://evil.example/"}


def test_a_run_finds_nothing_where_nothing_is_pinned_yet() -> None:
    bench = Runs().workflow({"ref": "look", "type": "search", "input": {}})
    bench.api.put(TOOL_CATALOGS, "team", "tools", spec={"mcpServers": [SERVER]}, status=Bench().go().status)
    bench.execution().go()
    assert bench.jobs == []
    assert "there is no tool 'search'" in bench.run["status"]["reason"]
