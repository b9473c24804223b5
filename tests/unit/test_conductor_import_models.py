"""What becomes of Conductor's tasks that ask a model or an MCP server: carried over, moved, or told."""

from __future__ import annotations

from typing import Any

from openworld.language.conductor.losses import Severity
from tests.support.conductor import imported, task, told, workflow

KEY = "${workflow.secrets.models.key}"


def of(kind: str, **given: Any) -> tuple[dict[str, Any], list[str]]:
    """The input that is written for a task of this kind, and what is told of it."""
    result = imported([workflow(task(kind, "a", inputParameters=given))])
    [made] = result.workflows[0]["spec"]["tasks"]
    shown = [line.removeprefix("workflows[0].tasks[0].inputParameters.") for line in told(result)]
    return made.get("inputParameters", {}), shown


def test_a_completion_is_carried_over_as_it_is() -> None:
    given = {
        "llmProvider": "openai",
        "model": "m",
        "apiKey": KEY,
        "messages": [{"role": "user", "message": "${workflow.input.q}"}],
        "temperature": 0.2,
        "jsonOutput": True,
        "maxTokens": 5,
    }
    assert of("LLM_CHAT_COMPLETE", **given) == (given, [])


def test_older_names_and_javas_defaults_are_written_as_they_are_here() -> None:
    made, shown = of(
        "LLM_CHAT_COMPLETE",
        llmProvider="openai", model="m", baseUrl="http://x/v1", stopSequences=["END"], userInput="Hi",
        thinkingTokenLimit=0, maxResults=1, googleSearchRetrieval=False, tools=[], messages=[],
    )  # fmt: skip
    assert made == {
        "llmProvider": "openai",
        "model": "m",
        "baseURL": "http://x/v1",
        "stopWords": ["END"],
        "userInput": "Hi",
    }
    assert shown == []


def test_what_is_held_by_a_conductor_server_is_told() -> None:
    made, shown = of(
        "LLM_CHAT_COMPLETE",
        llmProvider="openai", model="m", baseURL="http://x/v1", userInput="Hi", integrationName="ours",
        participants={"b": "user"}, webSearch=True, outputSchema={"name": "s"}, topK=3,
    )  # fmt: skip
    assert set(made) == {"llmProvider", "model", "baseURL", "userInput"}
    assert shown == [
        "integrationName: names an integration of a Conductor server, and there are none here: llmProvider, baseURL and "
        "apiKey say where the model is",
        "participants: is not read: the model sees the messages that the input says, nothing of other tasks",
        "webSearch: is a tool of the provider's own, of whose work nothing would stand in the record",
        "outputSchema: is not enforced here: jsonOutput gives JSON; what it must hold is for a task behind this one",
        "topK: means nothing to openai, only to anthropic; left out",
    ]


def errors(kind: str, **given: Any) -> list[str]:
    result = imported([workflow(task(kind, "a", inputParameters=given))])
    return told(result, Severity.ERROR)


def test_what_must_be_added_is_an_error() -> None:
    place = "workflows[0]: spec.tasks[0].inputParameters."
    assert errors("LLM_CHAT_COMPLETE", llmProvider="openai", model="m", userInput="Hi") == [
        f"{place}apiKey: is required by https://api.openai.com/v1: ${{workflow.secrets.NAME.KEY}}"
    ]
    [line] = errors("LLM_CHAT_COMPLETE", llmProvider="bedrock", model="m", userInput="Hi")
    assert line.startswith(f"{place}llmProvider: 'bedrock' is not known here")
    [line] = errors(
        "LLM_CHAT_COMPLETE", llmProvider="openai", model="m", apiKey=KEY, userInput="Hi", promptName="greet"
    )
    assert line.startswith(f"{place}promptName: belongs to a prompt template of a Conductor server")


def test_a_completion_in_a_loop_is_not_told_its_earlier_answers() -> None:
    given = {"llmProvider": "openai", "model": "m", "apiKey": KEY, "userInput": "Hi"}
    inner = task("LLM_CHAT_COMPLETE", "a", inputParameters=given)
    loop = task("DO_WHILE", "l", loopOver=[inner], loopCondition="$.a.finishReason != 'STOP'")
    assert told(imported([workflow(loop)]), Severity.LOSS) == [
        "workflows[0].tasks[0].loopOver[0].inputParameters: in a loop Conductor tells the model its earlier answers too; "
        "here it is told what messages say: collect the conversation with SET_VARIABLE"
    ]


def test_mcp_tasks_are_carried_over_and_what_stands_beside_goes_under_arguments() -> None:
    server = {"mcpServer": "https://x/mcp", "headers": {"Authorization": f"Bearer {KEY}"}}
    assert of("LIST_MCP_TOOLS", **server, integrationName="") == (server, [])
    call = {**server, "method": "open_issue", "arguments": {"title": "${workflow.input.t}"}}
    assert of("CALL_MCP_TOOL", **call) == (call, [])
    made, shown = of("CALL_MCP_TOOL", **server, methodName="open_issue", title="x", team=7)
    assert made == {**server, "method": "open_issue", "arguments": {"title": "x", "team": 7}}
    moved = "is written under arguments: what the tool is given"
    assert shown == [f"title: {moved}", f"team: {moved}"]


def test_they_take_retries_from_the_definition_of_their_name() -> None:
    given = {"mcpServer": "https://x/mcp", "method": "m"}
    kinds = [
        task("CALL_MCP_TOOL", "a", name="track", inputParameters=given, retryCount=2, asyncComplete=True)
    ]
    result = imported([workflow(*kinds)], [{"name": "track", "retryCount": 7, "retryDelaySeconds": 3}])
    [made] = result.workflows[0]["spec"]["tasks"]
    assert made["taskDefinition"] == {"retry": {"count": 7, "delaySeconds": 3}}
    assert (made["retryCount"], "asyncComplete" in made) == (2, False)


def test_tasks_of_vector_stores_are_told() -> None:
    [line] = errors("LLM_SEARCH_INDEX", vectorDB="x")
    assert "there is no task type 'LLM_SEARCH_INDEX' here" in line
