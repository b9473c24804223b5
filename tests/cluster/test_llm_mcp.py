"""LLM and MCP tasks on the real cluster: a service plays the model, beside it a real MCP server, both behind a key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.environment import ONCALL, Environment
from tests.support.runs import Run, definition

NAMESPACE = "demo-a"
SECRET = "s3cr3t-of-the-models"
KEY = "${workflow.secrets.models.key}"
SERVER = """
import json, os, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import uvicorn
from mcp.server import MCPServer

KEY = os.environ["KEY"]
asked, issues = [], []
tracker = MCPServer("tracker")

@tracker.tool()
def open_issue(title: str) -> str:
    issues.append(title)
    return json.dumps({"id": len(issues), "title": title})

@tracker.tool()
def print_issue() -> str:
    raise ValueError("out of paper")

@tracker.tool()
def wait() -> str:
    issues.append("waits")
    time.sleep(3600)
    return ""

class Model(BaseHTTPRequestHandler):
    def answer(self, status, value, **headers):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/healthz":
            return self.answer(200 if runner.started else 503, {})
        self.answer(200, {"asked": asked, "issues": issues})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers.get("x-api-key") or self.headers.get("Authorization", "").removeprefix("Bearer ")
        asked.append(self.path)
        if key != KEY:
            return self.answer(401, {"error": {"message": "who are you?"}})
        if self.path.startswith("/busy") and asked.count(self.path) == 1:
            return self.answer(529, {"error": {"message": "overloaded"}}, **{"Retry-After": "1"})
        if "anthropic-version" in self.headers:
            text = json.dumps({"told": body["messages"][-1]["content"]})
            content = [{"type": "text", "text": text}]
            usage = {"input_tokens": 30, "output_tokens": 12}
            return self.answer(200, {"model": "small", "content": content, "stop_reason": "end_turn", "usage": usage})
        usage = {"prompt_tokens": 20, "completion_tokens": 5}
        message = {"role": "assistant", "content": "Done: " + str(body["messages"][-1]["content"])}
        if body.get("tools") and body["messages"][-1]["role"] == "user":
            [tool] = [tool["function"] for tool in body["tools"] if tool["function"]["name"] == "open_issue"]
            arguments = json.dumps({name: "Broken" for name in tool["parameters"]["required"]})
            function = {"name": tool["name"], "arguments": arguments}
            message = {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
        self.answer(200, {"model": "large", "choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})

class Guarded:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and dict(scope["headers"]).get(b"x-key") != KEY.encode():
            await send({"type": "http.response.start", "status": 401, "headers": []})
            return await send({"type": "http.response.body", "body": b""})
        await self.app(scope, receive, send)

app = Guarded(tracker.streamable_http_app(host="0.0.0.0"))
runner = uvicorn.Server(uvicorn.Config(app, host="0.0.0.0", port=8081, log_level="warning"))
threading.Thread(target=runner.run, daemon=True).start()
ThreadingHTTPServer(("", 8080), Model).serve_forever()
"""


@pytest.fixture(scope="module")
def service(env: Environment) -> Environment:
    """The model and the MCP server, the Secret that they want, and the right to use it."""
    role = "rbac.authorization.k8s.io"
    labels = {"app": "models"}
    ports = [{"name": "model", "port": 8080}, {"name": "mcp", "port": 8081}]
    container = {
        "name": "models",
        "image": ONCALL,
        "command": ["python", "-c", SERVER],
        "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "models", "key": "key"}}}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
    }
    # in a cluster that was kept, an earlier one still counts what it was asked
    forget = ("--ignore-not-found", "--grace-period=0", "--force")
    env.kubectl("-n", NAMESPACE, "delete", "deployment", "models", *forget)
    env.kubectl("-n", NAMESPACE, "delete", "pods", "-l", "app=models", *forget)
    env.kubectl.apply(
        NAMESPACE,
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "models"}, "stringData": {"key": SECRET}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "models"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "models"},
            "spec": {"selector": labels, "ports": ports},
        },
        {
            "apiVersion": f"{role}/v1",
            "kind": "Role",
            "metadata": {"name": "models-secret"},
            "rules": [
                {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["models"], "verbs": ["use"]}
            ],
        },
        {
            "apiVersion": f"{role}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "models-secret"},
            "roleRef": {"apiGroup": role, "kind": "Role", "name": "models-secret"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}],
        },
    )
    env.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/models", "--timeout=60s")
    return env


def address(env: Environment, port: int, path: str = "") -> str:
    """A URL of the service, by its address: the small cluster has no DNS."""
    found = env.kubectl.json("-n", NAMESPACE, "get", "service", "models")
    return f"http://{found['spec']['clusterIP']}:{port}{path}"


def ask(env: Environment, ref: str, path: str = "", **given: Any) -> dict[str, Any]:
    """One completion."""
    said = {"llmProvider": "openai", "model": "large", "baseURL": address(env, 8080, path), "apiKey": KEY}
    return {"ref": ref, "type": "LLM_CHAT_COMPLETE", "input": said | given}


def tracker(env: Environment, ref: str, method: str = "", **given: Any) -> dict[str, Any]:
    """One call of the MCP server; without a method its tools are listed."""
    said = {"mcpServer": address(env, 8081, "/mcp"), "headers": {"X-Key": KEY}}
    if not method:
        return {"ref": ref, "type": "LIST_MCP_TOOLS", "input": said | given}
    return {"ref": ref, "type": "CALL_MCP_TOOL", "input": said | {"method": method} | given}


def seen(env: Environment) -> dict[str, list[str]]:
    """What the service was asked for."""
    command = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/').read().decode())"
    said = env.kubectl("-n", NAMESPACE, "exec", "deployment/models", "--", "python", "-c", command).stdout
    found: dict[str, list[str]] = json.loads(said)
    return found


def run_of(env: Environment, name: str, *tasks: dict[str, Any], **spec: Any) -> tuple[Run, dict[str, Any]]:
    """A run of these tasks, and the status in which it ended."""
    env.kubectl.apply(NAMESPACE, definition("Workflow", name, {"tasks": list(tasks), **spec}))
    run = Run.start(env.kubectl, NAMESPACE, name, {"workflowRef": {"name": name}})
    return run, run.until_final()


def test_a_model_asks_for_a_tool_that_is_called_and_told_what_came_of_it(service: Environment) -> None:
    user = {"role": "user", "message": "Open an issue."}
    called = {
        "taskReferenceName": "${plan.output.toolCalls[0].taskReferenceName}",
        "name": "${plan.output.toolCalls[0].name}",
        "inputParameters": "${plan.output.toolCalls[0].inputParameters}",
        "output": "${act.output.content[0].parsed}",
    }
    given = {"title": "${plan.output.toolCalls[0].inputParameters.title}"}
    run, status = run_of(
        service,
        "models-agent",
        tracker(service, "offered"),
        ask(service, "plan", messages=[user], tools="${offered.output.tools}"),
        tracker(service, "act", "${plan.output.toolCalls[0].inputParameters.method}", arguments=given),
        ask(service, "tell", messages=[
            user, {"role": "tool_call", "toolCalls": [called]}, {"role": "tool", "toolCalls": [called]},
        ]),
        ask(service, "sum_up", llmProvider="anthropic", userInput="${tell.output.result}", jsonOutput=True),
    )  # fmt: skip
    assert status["phase"] == "Completed", status.get("reason")
    outputs = {event["ref"]: event["output"] for event in run.events if event["type"] == "TaskCompleted"}
    assert [tool["name"] for tool in outputs["offered"]["tools"]] == ["open_issue", "print_issue", "wait"]
    assert outputs["plan"]["toolCalls"] == [
        {
            "taskReferenceName": "call_1",
            "name": "open_issue",
            "type": "SIMPLE",
            "inputParameters": {"title": "Broken", "method": "open_issue"},
        }
    ]
    assert outputs["act"]["content"][0]["parsed"] == {"id": 1, "title": "Broken"}
    assert outputs["tell"]["result"] == 'Done: {"id":1,"title":"Broken"}'
    assert outputs["sum_up"] == {
        "result": {"told": 'Done: {"id":1,"title":"Broken"}'},
        "finishReason": "STOP",
        "tokenUsed": 42,
        "promptTokens": 30,
        "completionTokens": 12,
    }
    assert sorted(job["metadata"]["labels"]["openworld.dev/ref"] for job in run.jobs()) == [
        "act",
        "offered",
        "plan",
        "sum_up",
        "tell",
    ]
    assert (run.types()["TaskCompleted"], run.recovered().tokens) == (5, 25 + 25 + 42)
    assert seen(service)["issues"] == ["Broken"]
    kinds = "executions,jobs,pods,configmaps,taskresults,events"
    assert SECRET not in service.kubectl("-n", NAMESPACE, "get", kinds, "-o", "yaml").stdout
    logs = service.kubectl("-n", "openworld-system", "logs", "deployment/openworld-operator", "--tail=-1")
    assert SECRET not in logs.stdout


def test_a_model_that_is_overloaded_is_asked_again_by_the_same_pod(service: Environment) -> None:
    run, status = run_of(service, "models-busy", ask(service, "ask", "/busy", userInput="Hi"))
    assert status["phase"] == "Completed", status.get("reason")
    assert status["output"]["result"] == "Done: Hi"
    assert (len(run.jobs()), run.types()["RetryScheduled"]) == (1, 0)
    assert seen(service)["asked"].count("/busy/chat/completions") == 2


def test_a_key_that_is_refused_ends_the_task_at_once(service: Environment) -> None:
    task = ask(service, "ask", "/denied", userInput="Hi")
    del task["input"]["apiKey"]
    run, status = run_of(service, "models-denied", task)
    assert status["phase"] == "Failed"
    assert "answered 401 Unauthorized" in status["reason"]
    assert (len(run.jobs()), run.types()["RetryScheduled"]) == (1, 0)
    assert seen(service)["asked"].count("/denied/chat/completions") == 1


def test_no_completion_starts_beyond_the_budget_of_tokens(service: Environment) -> None:
    service.kubectl.apply(NAMESPACE, definition("Policy", "frugal", {"limits": {"tokens": 25}}))
    run, status = run_of(
        service,
        "models-frugal",
        ask(service, "first", "/frugal", userInput="Hi"),
        ask(service, "second", "/frugal", userInput="Hi again"),
        policyRef={"name": "frugal"},
    )
    assert status["phase"] == "Failed"
    assert status["reason"] == "task second failed: BudgetExceeded: tokens used 25 of 25"
    assert (len(run.jobs()), run.types()["BudgetExceeded"]) == (1, 1)
    assert seen(service)["asked"].count("/frugal/chat/completions") == 1


def test_a_key_that_is_written_out_is_refused_before_any_job(service: Environment) -> None:
    run, status = run_of(
        service, "models-literal", ask(service, "ask", apiKey="sk-written-out", userInput="Hi")
    )
    assert status["phase"] == "Failed"
    assert "apiKey: must be ${workflow.secrets.NAME.KEY} and nothing else" in status["reason"]
    assert run.jobs() == []


def test_a_tool_that_fails_fails_the_task_with_its_words(service: Environment) -> None:
    task = tracker(service, "act", "print_issue")
    run, status = run_of(service, "models-paper", task | {"retryCount": 0})
    assert status["phase"] == "Failed"
    assert "the tool print_issue failed: " in status["reason"]
    failed = next(event for event in run.events if event["type"] == "TaskFailed")
    assert failed["output"]["isError"] is True
    assert len(run.jobs()) == 1


def test_a_call_that_is_never_answered_is_not_made_again(service: Environment) -> None:
    limits = {"timeouts": {"timeoutSeconds": 5}}
    run, status = run_of(service, "models-wait", tracker(service, "act", "wait") | {"taskDefinition": limits})
    assert status["phase"] == "TimedOut", status.get("reason")
    assert "OutcomeUnknown: the attempt ran longer than timeoutSeconds (5 s" in status["reason"]
    assert (run.types()["OutcomeUnknown"], run.types()["RetryScheduled"]) == (1, 0)
    assert seen(service)["issues"].count("waits") == 1
