"""HTTP and EVENT tasks: what is refused beforehand, what their Jobs get, how they end, and who judges them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from openworld.api import Phase, Policy, TaskType, Workflow
from openworld.cli.story import Story
from openworld.engine import builtin
from openworld.engine.facts import Ending
from openworld.engine.projection import waiting_for
from openworld.engine.state import State
from openworld.language.checks import check_workflow
from openworld.language.reading import read
from openworld.language.requests import request_of
from openworld.simulation import Actor, Namespace, Script
from tests.support.world import World, world

URL = "https://shop.example/orders"
SINK = "https://broker.example/team/default"


def call(ref: str = "call", **more: Any) -> dict[str, Any]:
    return {
        "ref": ref,
        "type": "HTTP",
        "input": {"http_request": {"uri": URL, **more.pop("request", {})}},
        **more,
    }


def tell(ref: str = "tell", **more: Any) -> dict[str, Any]:
    return {"ref": ref, "name": "order.shipped", "type": "EVENT", "sink": SINK, **more}


def found(task: dict[str, Any]) -> list[tuple[str, str]]:
    workflow = read(Workflow, {"tasks": [{"ref": "first", "type": "NOOP"}, task]})
    return [(f.path.removeprefix("spec.tasks[1]."), f.message) for f in check_workflow(workflow)]


def ended(ref: str, *, by: World) -> tuple[str, str]:
    return by.statuses[ref], by.task(ref).reason


# What is refused before a run.


@pytest.mark.parametrize(
    "request_",
    [
        {
            "uri": "http://x:8080/a?b=c",
            "method": "post",
            "body": [1],
            "headers": {"A": 1, "B": True, "C": None},
        },
        {"uri": "${workflow.input.url}", "method": "${workflow.input.m}", "headers": "${first.output.h}"},
        {"uri": "https://${workflow.input.host}/a b", "body": "${first.output}", "contentType": "text/plain"},
        {"uri": "${first.output.base}/orders", "connectionTimeOut": 0, "readTimeOut": "500", "accept": None},
        {"uri": URL, "contentType": "application/merge-patch+json", "body": {"a": 1}},
        {"uri": URL, "connectionTimeOut": "${workflow.input.t}", "vipAddress": None},
    ],
)
def test_a_sound_request_has_no_findings_in_either_form(request_: dict[str, Any]) -> None:
    assert found({"ref": "a", "type": "HTTP", "input": {"http_request": request_}}) == []
    assert found({"ref": "a", "type": "HTTP", "input": request_}) == []


def test_a_request_that_is_computed_is_left_to_the_run() -> None:
    assert found({"ref": "a", "type": "HTTP", "input": {"http_request": "${first.output}"}}) == []


@pytest.mark.parametrize(
    ("request_", "key", "message"),
    [
        ({}, "uri", "is required: the URL that is called"),
        ({"uri": 7}, "uri", "is required: the URL that is called"),
        ({"uri": "ftp://x/y"}, "uri", "'ftp://x/y' must begin with http:// or https://"),
        ({"uri": "file:///etc/passwd"}, "uri", "'file:///etc/passwd' must begin with http:// or https://"),
        ({"uri": "shop.example/a"}, "uri", "'shop.example/a' must begin with http:// or https://"),
        ({"uri": "gopher://${workflow.input.x}"}, "uri", "'gopher://${workflow.input.x}' must begin with http:// or https://"),
        ({"uri": "https:///a"}, "uri", "'https:///a' names no host"),
        ({"uri": "https://[x/a"}, "uri", "is no URL: Invalid IPv6 URL"),
        ({"uri": "https://x:70000/"}, "uri", "is no URL: Port out of range 0-65535"),
        ({"uri": "https://x/a b"}, "uri", "holds a space or another character that no URL may have; write it percent-encoded"),
        ({"uri": "https://me:pw@x/"}, "uri", "must not hold a user or a password, which would stand in the record"),
        ({"uri": URL, "method": "TRACE"}, "method", "'TRACE' is not allowed: one of GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"),
        ({"uri": URL, "headers": ["a"]}, "headers", "must be an object: a value for each name"),
        ({"uri": URL, "headers": {"a b": "c"}}, 'headers["a b"]', "'a b' is no name of a header"),
        ({"uri": URL, "headers": {"X": {"a": 1}}}, "headers.X", "must be text"),
        ({"uri": URL, "headers": {"X": "a\nb: c"}}, "headers.X", "holds a character that no header may have"),
        ({"uri": URL, "headers": {"Content-Length": "1"}}, "headers.Content-Length", "follows from the request; leave it out"),
        ({"uri": URL, "accept": 1}, "accept", "must be text"),
        ({"uri": URL, "contentType": "a\r\nb"}, "contentType", "holds a character that no header may have"),
        ({"uri": URL, "readTimeOut": -1}, "readTimeOut", "must be milliseconds, from 0 (no limit of its own) to 3600000"),
        ({"uri": URL, "connectionTimeOut": "soon"}, "connectionTimeOut", "must be milliseconds, from 0 (no limit of its own) to 3600000"),
        ({"uri": URL, "contentType": "text/plain", "body": {}}, "body", "must be text, since contentType is 'text/plain'"),
        ({"uri": URL, "header": {}}, "header", "means nothing to an HTTP task; did you mean 'headers'?"),
        ({"uri": URL, "vipAddress": "x"}, "vipAddress", "means nothing to an HTTP task; it reads uri, method, headers, body, accept, contentType, connectionTimeOut, readTimeOut"),
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_refused_beforehand_and_in_a_run(
    request_: dict[str, Any], key: str, message: str
) -> None:
    assert found({"ref": "a", "type": "HTTP", "input": {"http_request": request_}}) == [
        (f"inputParameters.http_request.{key}", message)
    ]
    assert found({"ref": "a", "type": "HTTP", "input": request_}) == [(f"inputParameters.{key}", message)]
    with pytest.raises(ValueError, match="http_request"):
        request_of({"http_request": request_})


def test_a_request_stands_in_one_place() -> None:
    given = {"http_request": {"uri": URL}, "method": "POST"}
    assert found({"ref": "a", "type": "HTTP", "input": given}) == [
        ("inputParameters.method", "stands beside http_request; say it there")
    ]
    assert found({"ref": "a", "type": "HTTP", "input": {"http_request": []}}) == [
        ("inputParameters.http_request", "must be an object: the request")
    ]


@pytest.mark.parametrize(
    ("task", "path", "message"),
    [
        ({"name": "x"}, "sink", "is required: the URL that the event is sent to"),
        (
            {"name": "x", "sink": "kafka:orders"},
            "sink",
            "'kafka:orders' is a queue of a Conductor server, and there are none here: name the http or https URL "
            "of what takes CloudEvents, such as a broker's",
        ),
        ({"name": "x", "sink": "ftp://x"}, "sink", "'ftp://x' must begin with http:// or https://"),
        ({"name": "x", "sink": "${ghost.output.x}"}, "sink", "${ghost.output.x} refers to task 'ghost', which does not exist"),
        ({"sink": SINK}, "name", "is required, or inputParameters.type: the type of the event"),
        (
            {"name": "x", "sink": SINK, "input": {"sink": "y"}},
            "inputParameters.sink",
            "is the task's own field; write it beside inputParameters",
        ),
    ],
)  # fmt: skip
def test_an_event_that_makes_no_sense_is_refused_beforehand(
    task: dict[str, Any], path: str, message: str
) -> None:
    assert found({"ref": "a", "type": "EVENT", **task}) == [(path, message)]


@pytest.mark.parametrize(
    "sink",
    [
        "conductor",
        "conductor:x",
        "sqs:q",
        "nats:s",
        "nats_stream:s",
        "amqp_queue:q",
        "amqp_exchange:e",
        "amqp:q",
    ],
)
def test_every_sink_of_conductors_is_refused_with_a_sentence(sink: str) -> None:
    assert "is a queue of a Conductor server" in dict(found(tell(sink=sink)))["sink"]


def test_a_sound_event_has_no_findings() -> None:
    assert found(tell()) == []
    assert found(tell(sink="${workflow.input.broker}/in")) == []
    assert found({"ref": "a", "type": "EVENT", "sink": SINK, "input": {"type": "x"}}) == []


@pytest.mark.parametrize("kind", [kind for kind in TaskType if kind not in ("SIMPLE", "HTTP", "EVENT")])
def test_sink_and_async_complete_belong_to_their_types(kind: str) -> None:
    workflow = read(Workflow, {"tasks": [{"ref": "a", "type": kind, "sink": SINK, "asyncComplete": True}]})
    messages = {finding.path: finding.message for finding in check_workflow(workflow)}
    assert messages["spec.tasks[0].sink"] == f"does not belong to a {kind} task, only to EVENT"
    assert messages["spec.tasks[0].asyncComplete"] == (
        f"does not belong to a {kind} task, only to SIMPLE and HTTP and EVENT"
    )


# What runs.


def test_a_request_is_a_job_of_the_built_in_tool_with_all_defaults() -> None:
    run = world(
        call(request={"headers": {"A": True}, "body": {"order": "${workflow.input.o}"}, "method": "post"}),
        spec={"input": {"o": "A-1"}},
    ).step()
    job = run.jobs["call"]
    assert job.builtin
    assert job.tool is not None
    assert (job.tool.name, job.tool.run.container.image) == ("http", builtin.IMAGE)
    assert job.tool.run.container.command == ["python", "-m", "openworld_worker.builtin", "http"]
    assert job.input == {
        "uri": URL,
        "method": "POST",
        "headers": {"A": "true"},
        "body": {"order": "A-1"},
        "accept": "application/json",
        "contentType": "application/json",
        "connectionTimeOut": 3000,
        "readTimeOut": 3000,
    }
    run.completes("call", {"response": {"statusCode": 200, "body": {"id": 7}}})
    assert (run.phase, run.state.output) == (
        Phase.COMPLETED,
        {"response": {"statusCode": 200, "body": {"id": 7}}},
    )


def test_an_event_is_a_job_with_the_whole_cloud_event() -> None:
    run = world(
        tell(input={"order": "${workflow.input.o}", "type": "x"}, sink="${workflow.input.b}/in"),
        spec={"input": {"o": "A-1", "b": "http://b"}},
    ).step()
    job = run.jobs["tell"]
    assert job.tool is not None
    assert job.tool.run.container.command == ["python", "-m", "openworld_worker.builtin", "event"]
    assert job.input == {
        "sink": "http://b/in",
        "event": {
            "specversion": "1.0",
            "id": job.idempotency_key,
            "source": "openworld.dev/team/run-1",
            "type": "order.shipped",
            "subject": "tell",
            "time": "2027-01-15T08:00:00.000Z",
            "datacontenttype": "application/json",
            "data": {"order": "A-1", "type": "x"},
        },
    }
    assert run.task("tell").input["sink"] == "http://b/in"
    run.started("tell").fails("tell").advance(60)
    assert run.jobs["tell"].attempt == 1
    assert run.jobs["tell"].input == job.input


def test_an_event_without_a_name_has_the_type_that_its_input_gives() -> None:
    run = world({"ref": "tell", "type": "EVENT", "sink": SINK, "input": {"type": "a.b"}}).step()
    assert run.jobs["tell"].input["event"]["type"] == "a.b"


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (call(request={"uri": "${workflow.input.none}"}), "InvalidInput: http_request.uri: is required: the URL that is called"),
        (call(request={"uri": "${workflow.input.evil}"}), "InvalidInput: http_request.uri: 'file:///x' must begin with http:// or https://"),
        (call(request={"uri": "${workflow.input.text}"}), "InvalidInput: http_request.uri: '${x}' must begin with http:// or https://"),
        (tell(sink="${workflow.input.evil}"), "InvalidInput: sink 'file:///x' must begin with http:// or https://"),
        (tell(sink="${workflow.input.queue}"), "InvalidInput: sink 'kafka:x' is a queue of a Conductor server"),
    ],
)  # fmt: skip
def test_what_the_run_makes_of_it_is_checked_before_there_is_a_job(task: dict[str, Any], reason: str) -> None:
    run = world(task, spec={"input": {"evil": "file:///x", "text": "${x}", "queue": "kafka:x"}}).step()
    assert run.task(task["ref"]).reason.startswith(reason)
    assert (run.phase, run.jobs) == (Phase.FAILED, {})


def test_a_failed_attempt_is_retried_as_a_tool_is() -> None:
    run = world(call(), call("other", retryCount=0, optional=True)).step()
    run.fails("call", "HTTP 503")
    assert run.of_type("RetryScheduled")[0]["cause"] == "HTTP 503"
    for _ in range(3):
        assert run.advance(59).jobs == {}
        run.advance(1).fails("call")
    assert (run.phase, run.task("call").attempt) == (Phase.FAILED, 3)
    run = (
        world(call(taskDefinition={"retry": {"count": 1, "delaySeconds": 5}})).step().fails("call").advance(5)
    )
    assert run.fails("call").phase is Phase.FAILED


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_read_that_was_lost_is_made_again(method: str) -> None:
    run = world(call(request={"method": method})).step().started("call")
    assert run.job_ends("call", Ending.LOST).of_type("RetryScheduled")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("more", [{}, {"retryCount": 0}, {"taskDefinition": {"retry": {"delaySeconds": 1}}}])
def test_a_write_that_was_lost_is_not_made_again(method: str, more: dict[str, Any]) -> None:
    run = world(call(request={"method": method}, **more)).step().started("call")
    job = run.jobs["call"]
    run.job_ends("call", Ending.LOST, "the node is gone")
    assert run.phase is Phase.FAILED
    assert ended("call", by=run)[1].startswith("OutcomeUnknown: the node is gone; the tool is not idempotent")
    assert job.tool is not None
    assert job.tool.run.container.args == []


@pytest.mark.parametrize("more", [{"retryCount": 2}, {"taskDefinition": {"retry": {"count": 2}}}])
def test_a_write_whose_author_gives_a_number_of_retries_is_made_again(more: dict[str, Any]) -> None:
    run = world(call(request={"method": "POST"}, **more)).step().started("call")
    job = run.jobs["call"]
    assert job.tool is not None
    assert job.tool.run.container.args == [builtin.REPEATABLE]
    assert run.job_ends("call", Ending.LOST).of_type("RetryScheduled")


def test_an_event_that_was_lost_is_sent_again_under_the_same_id() -> None:
    run = world(tell()).step().started("tell")
    first = run.jobs["tell"].input
    run.job_ends("tell", Ending.LOST).advance(60)
    assert run.jobs["tell"].input == first


def test_requests_have_a_tools_timeouts_and_a_tasks_own() -> None:
    run = world(call(request={"method": "POST"})).step().started("call").advance(300)
    assert ended("call", by=run)[1].startswith(
        "OutcomeUnknown: the attempt ran longer than timeoutSeconds (300 s"
    )
    run = world(call(taskDefinition={"timeouts": {"timeoutSeconds": 5}})).step().started("call").advance(5)
    assert run.of_type("TaskTimedOut")


def test_requests_count_against_the_jobs_of_a_run() -> None:
    tasks = [call(f"c{n}", dependsOn=[]) for n in range(3)] + [tell(dependsOn=[])]
    run = world(*tasks, policyRef={"name": "p"})
    run.define("Policy", "p", {"limits": {"concurrentTasks": 2}})
    assert list(run.step().jobs) == ["c0", "c1"]
    assert list(run.completes("c0", {}).jobs) == ["c1", "c2"]


def test_a_start_delay_holds_a_request_back() -> None:
    run = world(call(startDelay=30)).step()
    assert run.jobs == {}
    assert list(run.advance(30).jobs) == ["call"]


def test_a_person_who_retries_has_the_recorded_request_made_again() -> None:
    run = world(
        {"ref": "v", "type": "SET_VARIABLE", "input": {"m": "GET"}},
        call(request={"method": "${workflow.variables.m}"}, retryCount=0),
    ).step()
    run.fails("call").signal("Retry")
    assert (run.jobs["call"].input["method"], run.jobs["call"].attempt) == ("GET", 1)


def test_one_definition_of_a_built_in_tool_is_recorded_once() -> None:
    run = world(call("a"), call("b"), call("c", request={"method": "POST"})).step()
    run.completes("a", {}).completes("b", {})
    recorded = [event["tool"] for event in run.of_type("TaskScheduled")]
    assert ["definition" in tool for tool in recorded] == [True, False, True]
    assert [tool["name"] for tool in recorded] == ["http"] * 3


# asyncComplete.


@pytest.mark.parametrize("task", [call(asyncComplete=True), tell("call", asyncComplete=True), {"ref": "call", "type": "a", "asyncComplete": True}])  # fmt: skip
def test_after_its_worker_the_task_waits_for_a_signal_that_completes_it(task: dict[str, Any]) -> None:
    run = world(task, {"ref": "next", "type": "NOOP"}).step()
    run.signal("Complete", ref="call")
    assert run.last_pass is not None
    assert run.last_pass.refused[0][1] == "task call does not wait; it is Scheduled"
    run.started("call").signal("Complete", ref="call")
    assert run.last_pass.refused[0][1] == "task call does not wait yet; its worker has not succeeded"
    run.completes("call", {"sent": 1, "answer": None})
    assert (run.statuses, run.jobs) == ({"call": "InProgress"}, {})
    assert run.advance(100_000).statuses == {"call": "InProgress"}
    assert waiting_for(run.state) == "signal: call"
    run.signal("Progress", ref="call", payload={"step": 2})
    run.signal("Complete", ref="call", payload={"answer": 42})
    assert run.task("call").output == {"sent": 1, "answer": 42, "step": 2}
    assert run.phase is Phase.COMPLETED


def test_a_worker_that_was_faster_than_the_news_of_its_start_leaves_the_task_in_progress() -> None:
    run = world(call(asyncComplete=True)).step().completes("call", {"sent": 1})
    assert run.statuses == {"call": "InProgress"}
    assert run.signal("Complete", ref="call").phase is Phase.COMPLETED


def test_what_comes_of_the_job_while_the_task_waits_changes_nothing() -> None:
    run = world(call(asyncComplete=True)).step().started("call").completes("call", {"sent": 1})
    before = list(run.types())
    run.job_ends("call", Ending.LOST).started("call")
    assert run.types() == before
    run.completes("call", {"sent": 2})
    assert run.types()[-1] == "FactRefused"
    assert run.task("call").output == {"sent": 1}


def test_a_signal_that_fails_it_goes_by_the_tasks_retries() -> None:
    run = world(call(asyncComplete=True, retryCount=1)).step().completes("call", {})
    run.signal("Fail", ref="call", payload={"reason": "not delivered"})
    assert run.of_type("RetryScheduled")[0]["cause"] == "failed by bob@example.com: not delivered"
    run.advance(60).started("call").completes("call", {})
    assert run.statuses == {"call": "InProgress"}
    run.signal("Fail", ref="call")
    assert (run.phase, ended("call", by=run)) == (Phase.FAILED, ("Failed", "failed by bob@example.com"))


def test_only_the_limit_of_all_attempts_goes_on_while_it_waits() -> None:
    limits = {"timeoutSeconds": 5, "responseTimeoutSeconds": 5, "totalTimeoutSeconds": 50}
    task = call(request={"method": "POST"}, asyncComplete=True, taskDefinition={"timeouts": limits})
    run = world(task).step().started("call").completes("call", {}).advance(49)
    assert run.statuses == {"call": "InProgress"}
    run.advance(1)
    assert ended("call", by=run) == (
        "TimedOut",
        "all attempts together took longer than totalTimeoutSeconds (50 s)",
    )
    assert run.of_type("OutcomeUnknown") == []


def test_a_task_that_waits_for_its_signal_takes_no_place_of_a_job() -> None:
    run = world(call("a", asyncComplete=True, dependsOn=[]), call("b", dependsOn=[]), policyRef={"name": "p"})
    run.define("Policy", "p", {"limits": {"concurrentTasks": 1}})
    assert list(run.step().jobs) == ["a"]
    assert list(run.completes("a", {}).jobs) == ["b"]


# Who judges.


def judged(task: dict[str, Any], rules: list[dict[str, Any]], scope: str = "All") -> World:
    run = world(task, policyRef={"name": "p"})
    return run.define("Policy", "p", {"scope": scope, "rules": rules}).step()


@pytest.mark.parametrize("task", [call(), tell()])
def test_authored_ones_are_judged_where_rules_bind(task: dict[str, Any]) -> None:
    kind = task["type"]
    assert judged(task, [], scope="Proposed").jobs
    run = judged(task, [{"name": "tools", "decision": "Allow"}])
    denied = (
        "allows an HTTP request to "
        if kind == "HTTP"
        else f"allows task type {kind}; a rule may, with match.types"
    )
    assert denied in run.task(task["ref"]).reason
    assert judged(task, [{"name": "r", "match": {"types": [kind]}, "decision": "Allow"}]).jobs


@pytest.mark.parametrize(
    ("task", "when"),
    [
        (call(), f"item.input.http_request.uri == '{URL}'"),
        (tell(), f"item.input.sink == '{SINK}'"),
    ],
)
def test_a_rule_sees_where_it_goes(task: dict[str, Any], when: str) -> None:
    match = {"types": [task["type"]]}
    assert judged(task, [{"name": "r", "match": match, "when": when, "decision": "Allow"}]).jobs
    other = when.replace("example", "evil")
    assert (
        judged(task, [{"name": "r", "match": match, "when": other, "decision": "Allow"}]).phase
        is Phase.FAILED
    )


def test_those_of_an_inline_definition_are_judged() -> None:
    run = World({"tasks": [call()]})
    spec = run.identity.spec.model_copy(
        update={"workflow_ref": None, "workflow": Workflow.model_validate({"tasks": [call()]})}
    )
    run.identity = replace(run.identity, spec=spec)
    run.state = State(identity=run.identity)
    run.step()
    assert "no policy binds this workflow" in run.task("call").reason


def test_a_person_approves_the_request_that_is_made() -> None:
    run = judged(
        call(request={"method": "DELETE"}),
        [{"name": "r", "match": {"types": ["HTTP"]}, "decision": "RequireApproval"}],
    )
    assert run.jobs == {}
    assert run.approve("call").jobs["call"].input["method"] == "DELETE"


def test_data_names_them_only_where_a_rule_names_their_host() -> None:
    fork = {
        "ref": "f",
        "type": "FORK_JOIN_DYNAMIC",
        "input": {"dynamicTasks": [call()], "dynamicTasksInput": {}},
    }
    run = judged(fork, [{"name": "r", "match": {"types": ["HTTP"]}, "decision": "Allow"}])
    assert "allows an HTTP request to " in run.state.reason
    run = world({"ref": "d", "type": "DYNAMIC", "input": {"taskToExecute": "EVENT"}}).step()
    assert "a DYNAMIC task cannot become a EVENT task" in run.task("d").reason


def test_a_rule_may_name_them() -> None:
    rules = [{"name": "r", "match": {"types": ["HTTP", "EVENT"]}, "decision": "Allow"}]
    assert Policy.model_validate({"rules": rules}).rules[0].match.types == [TaskType.HTTP, TaskType.EVENT]


def test_a_secret_stands_where_the_worker_looks_for_it() -> None:
    header = {"Authorization": "Bearer ${workflow.secrets.crm.token}"}
    tasks = [
        call("nested", request={"headers": header}),
        {"ref": "direct", "type": "HTTP", "input": {"uri": URL, "headers": header}},
        tell(sink="https://hooks.example/${workflow.secrets.crm.token}"),
    ]
    run = world(*[task | {"dependsOn": []} for task in tasks]).step()
    for ref, path in (
        ("nested", ["headers", "Authorization"]),
        ("direct", ["headers", "Authorization"]),
        ("tell", ["sink"]),
    ):
        job = run.jobs[ref]
        [secret] = job.secrets
        assert (secret["path"], secret["name"], secret["key"]) == (path, "crm", "token")
        value: Any = job.input
        for step in path:
            value = value[step]
        assert "$(OPENWORLD_SECRET_0)" in value


def test_a_simulation_plays_the_worker_and_the_signal() -> None:
    namespace = Namespace(check=True)
    run = namespace.start({"tasks": [tell(asyncComplete=True)], "policyRef": {"name": "p"}})
    rules = [{"name": "r", "match": {"types": ["EVENT"]}, "decision": "Allow"}]
    namespace.define("Policy", "p", {"rules": rules})
    script = {
        "tasks": {"event": [{"output": {"sink": SINK}}]},
        "signals": [{"after": "tell", "type": "Complete", "payload": {"taken": True}}],
    }
    assert Actor(namespace, Script.model_validate(script)).run(run) == ""
    assert run.state.output == {"sink": SINK, "taken": True}
    assert "event has been done and waits for a signal" in " ".join(
        line.text for line in Story().tell_all(run.events)
    )
