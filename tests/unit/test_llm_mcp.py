"""LLM_CHAT_COMPLETE and MCP tasks: what is refused beforehand, what their Jobs get, what they cost, who judges."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openworld.api import Phase, Policy, TaskType, Workflow
from openworld.engine.facts import Ending
from openworld.language.checks import check_workflow
from openworld.language.completions import completion_of, completion_problems
from openworld.language.mcp import call_of, call_problems, listing_of, listing_problems
from openworld.language.reading import read
from openworld.simulation import Actor, Namespace, Script
from tests.support.world import World, world

KEY = "${workflow.secrets.models.key}"
SERVER = "https://tracker.example/mcp"
TOOL = {"name": "look", "description": "Looks.", "inputSchema": {"type": "object"}}


def ask(ref: str = "ask", *, given: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    said = {
        "llmProvider": "openai",
        "model": "m",
        "apiKey": KEY,
        "messages": [{"role": "user", "message": "Hi"}],
        **(given or {}),
    }
    return {
        "ref": ref,
        "type": "LLM_CHAT_COMPLETE",
        "input": {key: value for key, value in said.items() if value is not ...},
        **more,
    }


def tools(ref: str = "tools", *, given: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"ref": ref, "type": "LIST_MCP_TOOLS", "input": {"mcpServer": SERVER, **(given or {})}, **more}


def call(ref: str = "call", *, given: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    said = {"mcpServer": SERVER, "method": "open_issue", **(given or {})}
    return {"ref": ref, "type": "CALL_MCP_TOOL", "input": said, **more}


def found(task: dict[str, Any]) -> list[tuple[str, str]]:
    workflow = read(Workflow, {"tasks": [{"ref": "first", "type": "NOOP"}, task]})
    return [
        (f.path.removeprefix("spec.tasks[1].").removeprefix("inputParameters."), f.message)
        for f in check_workflow(workflow)
    ]


# What is refused before a run.


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"llmProvider": "anthropic", "topK": 3, "thinkingTokenLimit": 2048},
        {"apiKey": ..., "baseURL": "http://models.local:8000/v1", "temperature": 0.2, "topP": 1, "maxTokens": 9},
        {"apiKey": ..., "baseURL": "${workflow.input.base}", "stopWords": ["END"], "jsonOutput": True},
        {"messages": "${first.output.history}", "tools": "${first.output.tools}", "temperature": None},
        {"messages": ["${first.output.one}", {"role": "${first.output.role}", "message": {"a": 1}}]},
        {"messages": ..., "userInput": "${workflow.input.q}", "instructions": "Be brief."},
        {"llmProvider": "${workflow.input.provider}", "model": "${workflow.input.model}", "topK": 1},
        {"tools": [TOOL, {**TOOL, "name": "b", "type": "CALL_MCP_TOOL", "configParams": {}}]},
        {"frequencyPenalty": -1, "presencePenalty": 1.5, "reasoningEffort": "low"},
        {
            "messages": [
                {"role": "user", "message": "Hi", "media": []},
                {"role": "tool_call", "toolCalls": [{"taskReferenceName": "c1", "name": "look", "inputParameters": {"x": 1}}]},
                {"role": "tool", "toolCalls": [{"taskReferenceName": "c1", "name": "look", "output": {"y": 2}}]},
            ]
        },
    ],
)  # fmt: skip
def test_a_sound_completion_has_no_findings(given: dict[str, Any]) -> None:
    assert found(ask(given=given)) == []


WRITTEN_OUT = "must be ${workflow.secrets.NAME.KEY} and nothing else: a key that is written out would stand in the record"


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ({"llmProvider": ...}, "llmProvider", "is required: one of openai, anthropic"),
        ({"llmProvider": "bedrock"}, "llmProvider", "'bedrock' is not known here: one of openai, anthropic. What speaks OpenAI's API is openai, with its own baseURL"),
        ({"llmProvider": ["openai"]}, "llmProvider", "\"['openai']\" is not known here: one of openai, anthropic. What speaks OpenAI's API is openai, with its own baseURL"),
        ({"model": ""}, "model", "is required: the model's name"),
        ({"baseURL": "ftp://x"}, "baseURL", "'ftp://x' must begin with http:// or https://"),
        ({"baseURL": "https://me:pw@x/"}, "baseURL", "must not hold a user or a password, which would stand in the record"),
        ({"baseURL": "https://x/?a=b"}, "baseURL", "must be the URL that paths are put behind, without ? and #"),
        ({"baseURL": 7}, "baseURL", "must be the URL of the model's API"),
        ({"apiKey": "sk-very-secret"}, "apiKey", WRITTEN_OUT),
        ({"apiKey": f"Bearer {KEY}"}, "apiKey", WRITTEN_OUT),
        ({"apiKey": "${workflow.input.key}"}, "apiKey", WRITTEN_OUT),
        ({"apiKey": {"a": 1}}, "apiKey", WRITTEN_OUT),
        ({"apiKey": ...}, "apiKey", "is required by https://api.openai.com/v1: ${workflow.secrets.NAME.KEY}"),
        ({"messages": []}, "messages", "is required: what the model is told, [{role, message}]"),
        ({"messages": "Hi"}, "messages", "must be a list of at most 1000 messages, each {role, message}"),
        ({"messages": [{"role": "system", "message": "x"}]}, "messages", "must hold more than what the system says: a message of the user's"),
        ({"messages": ["Hi"]}, "messages[0]", "must be an object: {role, message}"),
        ({"messages": [{"role": "bot", "message": "x"}]}, "messages[0].role", "'bot' is not allowed: one of user, assistant, system, tool_call, tool"),
        ({"messages": [{"role": "user"}]}, "messages[0].message", "is required: what the user says"),
        ({"messages": [{"role": "user", "message": "x", "text": "y"}]}, "messages[0].text", "means nothing in a message; it holds role, message, toolCalls"),
        ({"messages": [{"role": "user", "message": "x", "media": ["http://a/b.png"]}]}, "messages[0].media", "is not sent: a model is told text"),
        ({"messages": [{"role": "user", "message": "x", "toolCalls": [{}]}]}, "messages[0].toolCalls", "belongs to a message of the role tool_call or tool"),
        ({"messages": [{"role": "tool"}]}, "messages[0].toolCalls", "is required: the calls of a tool message, each with taskReferenceName and name"),
        ({"messages": [{"role": "tool", "toolCalls": [{"taskReferenceName": "a"}]}]}, "messages[0].toolCalls[0].name", "is required: text"),
        ({"messages": [{"role": "tool_call", "toolCalls": [{"taskReferenceName": "a", "name": "b", "inputParameters": 1}]}]}, "messages[0].toolCalls[0].inputParameters", "must be an object"),
        ({"userInput": "x"}, "userInput", "stands beside messages; say it there"),
        ({"instructions": {"a": 1}}, "instructions", "must be text"),
        ({"temperature": 2.5}, "temperature", "must be a number from 0 to 2"),
        ({"temperature": "hot"}, "temperature", "must be a number from 0 to 2"),
        ({"topP": True}, "topP", "must be a number from 0 to 1"),
        ({"maxTokens": 0}, "maxTokens", "must be a whole number from 1 to 10000000"),
        ({"stopWords": [""]}, "stopWords", "must be a list of at most 16 texts that end the answer"),
        ({"jsonOutput": "true"}, "jsonOutput", "must be true or false"),
        ({"reasoningEffort": "extreme"}, "reasoningEffort", "'extreme' is not allowed: one of minimal, low, medium, high"),
        ({"topK": 3}, "topK", "means nothing to openai, only to anthropic"),
        ({"llmProvider": "anthropic", "presencePenalty": 1}, "presencePenalty", "means nothing to anthropic, only to openai"),
        ({"tools": [{"name": "a b"}]}, "tools[0].name", "is required: up to 64 letters, digits, _ and -"),
        ({"tools": [TOOL, TOOL]}, "tools[1].name", "the tool 'look' is there already"),
        ({"tools": [{**TOOL, "inputSchema": []}]}, "tools[0].inputSchema", "must be an object: a JSON Schema"),
        ({"tools": [{**TOOL, "parameters": {}}]}, "tools[0].parameters", "means nothing in a tool; it holds name, type, description, inputSchema, outputSchema, configParams, integrationNames, selfDescribing"),
        ({"tools": {}}, "tools", "must be a list of at most 128 tools, each {name, description, inputSchema}"),
        ({"promptName": "x"}, "promptName", "belongs to a prompt template of a Conductor server: write its text into instructions or messages, with expressions"),
        ({"webSearch": True}, "webSearch", "is a tool of the provider's own, of whose work nothing would stand in the record"),
        ({"maxToken": 3}, "maxToken", "means nothing to an LLM_CHAT_COMPLETE task; did you mean 'maxTokens'?"),
    ],
)  # fmt: skip
def test_a_completion_that_makes_no_sense_is_refused_beforehand(
    given: dict[str, Any], path: str, message: str
) -> None:
    assert found(ask(given=given)) == [(path, message)]


def test_a_schema_of_a_tool_is_read() -> None:
    [(path, message)] = found(ask(given={"tools": [{**TOOL, "inputSchema": {"type": "thing"}}]}))
    assert path == "tools[0].inputSchema"
    assert "thing" in message


@pytest.mark.parametrize(
    ("task", "path", "message"),
    [
        (tools(given={"mcpServer": None}), "mcpServer", "is required: the URL of an MCP server that speaks streamable HTTP"),
        (tools(given={"mcpServer": "stdio://npx x"}), "mcpServer", "is a program to start; only servers that speak streamable HTTP are called"),
        (tools(given={"mcpServer": "https://me:pw@x/mcp"}), "mcpServer", "must not hold a user or a password, which would stand in the record"),
        (tools(given={"headers": {"Mcp-Session-Id": "1"}}), "headers.Mcp-Session-Id", "follows from the request; leave it out"),
        (tools(given={"headers": ["a"]}), "headers", "must be an object: a value for each name"),
        (tools(given={"header": {}}), "header", "means nothing to a LIST_MCP_TOOLS task; did you mean 'headers'?"),
        (tools(given={"method": "x"}), "method", "means nothing to a LIST_MCP_TOOLS task; it reads mcpServer, headers"),
        (call(given={"mcpServer": "tracker.example"}), "mcpServer", "'tracker.example' must begin with http:// or https://"),
        (call(given={"method": None}), "method", "is required: the name of the tool that is called"),
        (call(given={"method": "x" * 257}), "method", "must have at most 256 characters"),
        (call(given={"arguments": [1]}), "arguments", "must be an object: what the tool is given"),
        (call(given={"title": "x"}), "title", "means nothing to a CALL_MCP_TOOL task; what the tool is given stands under arguments"),
        (call(given={"argument": {}}), "argument", "means nothing to a CALL_MCP_TOOL task; did you mean 'arguments'?"),
    ],
)  # fmt: skip
def test_an_mcp_task_that_makes_no_sense_is_refused_beforehand(
    task: dict[str, Any], path: str, message: str
) -> None:
    assert found(task) == [(path, message)]


@pytest.mark.parametrize(
    "task",
    [
        tools(given={"headers": {"Authorization": f"Bearer {KEY}", "X": 1, "Y": None}}),
        call(given={"arguments": {"a": [1]}}),
        call(given={"method": "${first.output.method}", "arguments": "${first.output.arguments}"}),
        call(given={"mcpServer": "${workflow.input.server}", "headers": "${first.output.headers}"}),
        call(compensation={"tool": "close_issue", "input": {}}),
    ],
)
def test_a_sound_mcp_task_has_no_findings(task: dict[str, Any]) -> None:
    assert found(task) == []


def test_a_secret_reaches_their_inputs_and_no_place_beside() -> None:
    [(_, message)] = found({"ref": "w", "type": "WAIT", "input": {"duration": KEY}})
    assert "secrets reach only SIMPLE and HTTP and LLM_CHAT_COMPLETE" in message


@pytest.mark.parametrize("task", [ask(), tools(), call()])
def test_they_wait_for_no_signal(task: dict[str, Any]) -> None:
    assert [path for path, _ in found(task | {"asyncComplete": True})] == ["asyncComplete"]


# What runs.


def test_a_completion_is_a_job_of_the_built_in_tool_with_all_defaults() -> None:
    run = world(
        ask(given={"messages": [{"role": "user", "message": "${workflow.input.q}"}], "temperature": None}),
        spec={"input": {"q": {"n": 1}}},
    ).step()
    job = run.jobs["ask"]
    assert job.builtin
    assert job.tool is not None
    assert job.tool.run.container.command == ["python", "-m", "openworld_worker.builtin", "llm-chat-complete"]
    assert job.input == {
        "llmProvider": "openai",
        "baseURL": "https://api.openai.com/v1",
        "model": "m",
        "apiKey": "$(OPENWORLD_SECRET_0)",
        "messages": [{"role": "user", "message": '{"n":1}'}],
        "stopWords": [],
        "tools": [],
        "jsonOutput": False,
    }
    [secret] = job.secrets
    assert (secret["path"], secret["name"], secret["key"]) == (["apiKey"], "models", "key")
    run.completes("ask", {"result": "Hello"}, usage={"tokensIn": 4, "tokensOut": 1})
    assert (run.phase, run.state.output, run.state.tokens) == (Phase.COMPLETED, {"result": "Hello"}, 5)


def test_a_users_input_is_a_message() -> None:
    given = {"llmProvider": "anthropic", "model": "m", "baseURL": "http://x/v1/", "userInput": "Hi"}
    assert completion_of(given) == {
        "llmProvider": "anthropic",
        "model": "m",
        "baseURL": "http://x/v1",
        "messages": [{"role": "user", "message": "Hi"}],
        "stopWords": [],
        "tools": [],
        "jsonOutput": False,
    }


def test_mcp_tasks_are_jobs_with_what_they_ask() -> None:
    header = {"Authorization": f"Bearer {KEY}", "X-Team": 7, "Y": None}
    run = world(
        tools(given={"headers": header}, dependsOn=[]),
        call(given={"arguments": {"title": "${workflow.input.t}"}, "headers": header}, dependsOn=[]),
        spec={"input": {"t": "Broken"}},
    ).step()
    sent = {"Authorization": "Bearer $(OPENWORLD_SECRET_0)", "X-Team": "7"}
    assert run.jobs["tools"].input == {"mcpServer": SERVER, "headers": sent}
    assert run.jobs["call"].input == {
        "mcpServer": SERVER,
        "headers": sent,
        "method": "open_issue",
        "arguments": {"title": "Broken"},
    }
    for ref, name in (("tools", "list-mcp-tools"), ("call", "call-mcp-tool")):
        tool = run.jobs[ref].tool
        assert tool is not None
        assert (tool.name, tool.run.container.command[-1]) == (name, name)
        assert [secret["path"] for secret in run.jobs[ref].secrets] == [["headers", "Authorization"]]


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (ask(given={"model": "${workflow.input.none}"}), "InvalidInput: model: is required: the model's name"),
        (ask(given={"messages": "${workflow.input.text}"}), "InvalidInput: messages: must be a list of at most"),
        (ask(given={"messages": [{"role": "user", "message": "${workflow.input.none}"}]}), "InvalidInput: messages.0.message: is required: what the user says"),
        (ask(given={"baseURL": "${workflow.input.evil}"}), "InvalidInput: baseURL: 'file:///x' must begin with"),
        (ask(given={"tools": "${workflow.input.text}"}), "InvalidInput: tools: must be a list of at most"),
        (tools(given={"mcpServer": "${workflow.input.evil}"}), "InvalidInput: mcpServer: 'file:///x' must begin with"),
        (call(given={"method": "${workflow.input.none}"}), "InvalidInput: method: is required"),
        (call(given={"arguments": "${workflow.input.text}"}), "InvalidInput: arguments: must be an object"),
        (call(given={"headers": "${workflow.input.bad}"}), "InvalidInput: headers.X: holds a character that no header may have"),
    ],
)  # fmt: skip
def test_what_the_run_makes_of_it_is_checked_before_there_is_a_job(task: dict[str, Any], reason: str) -> None:
    given = {"evil": "file:///x", "text": "${x}", "bad": {"X": "a\nb"}}
    run = world(task, spec={"input": given}).step()
    assert run.task(task["ref"]).reason.startswith(reason)
    assert (run.phase, run.jobs) == (Phase.FAILED, {})


def test_a_key_that_came_as_data_is_refused_in_a_run_too() -> None:
    with pytest.raises(ValueError, match=r"apiKey: must be \$\{workflow\.secrets"):
        completion_of({**ask()["input"], "apiKey": "sk-very-secret"})


@pytest.mark.parametrize("task", [ask(), tools()])
def test_what_only_reads_is_made_again_when_it_was_lost(task: dict[str, Any]) -> None:
    run = world(task).step().started(task["ref"])
    assert run.job_ends(task["ref"], Ending.LOST).of_type("RetryScheduled")


def test_a_call_that_was_lost_is_not_made_again_unless_its_author_says_so() -> None:
    run = world(call()).step().started("call").job_ends("call", Ending.LOST, "the node is gone")
    assert run.task("call").reason.startswith("OutcomeUnknown: the node is gone")
    assert (run.phase, run.of_type("RetryScheduled")) == (Phase.FAILED, [])
    run = world(call(retryCount=1)).step().started("call")
    job = run.jobs["call"]
    assert job.tool is not None
    assert job.tool.run.container.args == ["--repeatable"]
    assert run.job_ends("call", Ending.LOST).of_type("RetryScheduled")


# What it costs.


def limited(*tasks: dict[str, Any], limit: int = 100) -> World:
    return world(*tasks, policyRef={"name": "p"}).define("Policy", "p", {"limits": {"tokens": limit}}).step()


def test_no_completion_starts_when_the_tokens_are_used_up() -> None:
    run = limited(ask("a"), ask("b")).completes("a", {}, usage={"tokensIn": 90, "tokensOut": 10})
    assert (run.phase, run.jobs) == (Phase.FAILED, {})
    assert run.task("b").reason == "BudgetExceeded: tokens used 100 of 100"
    [event] = run.of_type("BudgetExceeded")
    assert (event["ref"], event["limit"], event["used"], event["allowed"]) == ("b", "tokens", 100, 100)


def test_other_tasks_go_on_when_the_tokens_are_used_up() -> None:
    run = limited(ask("a"), call("b")).completes("a", {}, usage={"tokensIn": 200, "tokensOut": 0})
    assert list(run.jobs) == ["b"]
    assert run.of_type("BudgetExceeded") == []


def test_a_failed_completion_is_not_tried_again_beyond_its_tokens() -> None:
    run = limited(ask(retryCount=3))
    run.fails("ask", "no JSON", usage={"tokensIn": 60, "tokensOut": 0})
    assert run.of_type("RetryScheduled")
    run.advance(60).fails("ask", "no JSON", usage={"tokensIn": 50, "tokensOut": 0})
    assert (run.phase, run.state.tokens) == (Phase.FAILED, 110)
    assert run.task("ask").reason == "no JSON; BudgetExceeded: tokens used 110 of 100"
    assert (len(run.of_type("BudgetExceeded")), run.jobs) == (1, {})


def test_a_completion_that_waits_to_be_tried_again_ends_when_another_uses_the_tokens_up() -> None:
    run = limited(ask("a", retryCount=3, dependsOn=[]), ask("b", dependsOn=[]))
    run.fails("a", "busy").completes("b", {}, usage={"tokensIn": 100, "tokensOut": 0})
    assert run.task("a").reason == "busy; BudgetExceeded: tokens used 100 of 100"
    assert (run.phase, run.jobs) == (Phase.FAILED, {})


def test_a_completion_that_runs_ends_by_itself_though_another_uses_the_tokens_up() -> None:
    run = limited(ask("a", dependsOn=[]), ask("b", dependsOn=[])).advance(1)
    run.completes("b", {}, usage={"tokensIn": 100, "tokensOut": 0})
    assert list(run.jobs) == ["a"]
    assert run.completes("a", {}).phase is Phase.COMPLETED


def test_no_retry_by_hand_goes_beyond_the_tokens() -> None:
    run = limited(ask("a"), ask("b")).completes("a", {}, usage={"tokensIn": 90, "tokensOut": 10})
    run.signal("Retry").step()
    assert (run.phase, run.jobs) == (Phase.FAILED, {})
    assert len(run.of_type("BudgetExceeded")) == 2


# Who judges.


def judged(task: dict[str, Any], rules: list[dict[str, Any]], scope: str = "All") -> World:
    run = world(task, policyRef={"name": "p"})
    return run.define("Policy", "p", {"scope": scope, "rules": rules}).step()


@pytest.mark.parametrize(
    ("task", "when"),
    [
        (ask(), "item.input.model == 'm'"),
        (tools(), f"item.input.mcpServer == '{SERVER}'"),
        (call(), "item.input.method in ['open_issue']"),
    ],
)
def test_they_are_judged_where_rules_bind_by_what_they_ask(task: dict[str, Any], when: str) -> None:
    kind = task["type"]
    rule = {"name": "r", "match": {"types": [kind]}, "when": when, "decision": "Allow"}
    assert judged(task, [], scope="Proposed").jobs
    assert judged(task, [rule]).jobs
    assert judged(task, [{**rule, "when": f"!({when})"}]).phase is Phase.FAILED
    run = judged(task, [{"name": "tools", "decision": "Allow"}])
    assert f"allows task type {kind}; a rule may, with match.types: [{kind}]" in run.task(task["ref"]).reason
    assert Policy.model_validate({"rules": [rule]}).rules[0].match.types == [TaskType(kind)]


@pytest.mark.parametrize("task", [ask(), tools(), call()])
def test_they_are_not_proposed_yet_nor_named_by_data(task: dict[str, Any]) -> None:
    kind = task["type"]
    task["input"].pop("apiKey", None)
    given = {"dynamicTasks": [task], "dynamicTasksInput": {}}
    fork = {"ref": "f", "type": "FORK_JOIN_DYNAMIC", "input": given}
    run = judged(fork, [{"name": "r", "match": {"types": [kind]}, "decision": "Allow"}])
    assert f"tasks of type {kind} cannot be proposed" in run.state.reason
    run = world({"ref": "d", "type": "DYNAMIC", "input": {"taskToExecute": kind}}).step()
    assert f"a DYNAMIC task cannot become a {kind} task" in run.task("d").reason


def test_a_simulation_plays_the_model_and_the_server() -> None:
    namespace = Namespace(check=True)
    then = {"method": "${ask.output.result.method}", "arguments": "${ask.output.result.arguments}"}
    tasks = [tools(), ask(given={"jsonOutput": True}), call(given=then)]
    run = namespace.start({"tasks": tasks, "policyRef": {"name": "p"}})
    kinds = [task["type"] for task in tasks]
    rules = [{"name": "r", "match": {"types": kinds}, "decision": "Allow"}]
    namespace.define("Policy", "p", {"rules": rules})
    plan = {"method": "open_issue", "arguments": {"title": "Broken"}}
    script = {
        "tasks": {
            "list-mcp-tools": [{"output": {"tools": [TOOL]}}],
            "ask": [{"output": {"result": plan}, "usage": {"tokensIn": 7, "tokensOut": 2}}],
            "call-mcp-tool": [{"output": {"content": [], "isError": False}}],
        }
    }
    assert Actor(namespace, Script.model_validate(script)).run(run) == ""
    assert (run.state.phase, run.state.tokens) == (Phase.COMPLETED, 9)
    assert run.state.tasks["call"].input == {"mcpServer": SERVER, **plan}


@pytest.mark.parametrize("reads", [listing_of, call_of])
def test_what_a_run_resolves_to_null_is_told(reads: Any) -> None:
    with pytest.raises(ValueError, match="mcpServer: is required"):
        reads({"mcpServer": None})


WORDS = st.sampled_from(
    [
        "llmProvider", "openai", "anthropic", "model", "baseURL", "apiKey", "messages", "tools", "userInput", "role", "user",
        "tool", "tool_call", "message", "toolCalls", "name", "taskReferenceName", "inputSchema", "type", "stopWords",
        "maxTokens", "mcpServer", "headers", "method", "arguments", "http://x", "${a.b}", "$(OPENWORLD_SECRET_0)", "\ud800", "",
    ]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=25,
)


@given(given=st.dictionaries(WORDS, ANYTHING, max_size=8))
def test_whatever_is_given_is_read_or_refused(given: dict[str, Any]) -> None:
    for problems, reads in (
        (completion_problems, completion_of),
        (listing_problems, listing_of),
        (call_problems, call_of),
    ):
        for _, message in problems(given):
            assert message
        is_sound = next(problems(given, authored=False), None) is None
        try:
            reads(given)
        except ValueError:
            assert (
                not is_sound or "messages" in given
            )  # text that no JSON has is only noticed when it is written
        else:
            assert is_sound
