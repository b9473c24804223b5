"""Runs of the engine, played through in memory: between them they write every type of event.

The same code gives the same ledgers, so what is generated from them changes only when the engine does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from openworld.api import JsonObject, ReportStatus, SignalType
from openworld.engine.facts import CannotGoOn, Ending, Report, SuspendSet
from openworld.simulation import Namespace, SimulatedExecution

ALICE, BOB = "alice@example.com", "bob@example.com"
_CALL = {"ref": "call", "type": "lookup", "input": {"key": "k"}}


@lru_cache(maxsize=1)
def ledgers() -> list[list[JsonObject]]:
    """The ledger of every execution of every run."""
    namespaces = [
        _control_flow(),
        _attempts(),
        _operations(),
        _children(),
        _agent(),
        _gates(),
        _endings(),
        _compensations(),
        _proposals_from_data(),
    ]
    return [execution.whole_events for namespace in namespaces for execution in namespace.executions]


def _tool(name: str, effect: str = "Read", **more: Any) -> JsonObject:
    container = {"image": "registry.example/tools:1"}
    schema = {"type": "object"}
    retry = {"count": 2, "delaySeconds": 5}
    return {
        "name": name,
        "effect": effect,
        "inputSchema": schema,
        "retry": retry,
        "run": {"container": container},
    } | more


def _namespace() -> Namespace:
    made = Namespace(name="team", check=True, env={"STAGE": "test"})
    tools = [
        _tool("lookup"),
        _tool("repair", "Write"),
        _tool("drop", "Destructive"),
        _tool("slow", timeoutSeconds=60, timeoutPolicy="ALERT_ONLY"),
        _tool("scarce", concurrencyLimit=1),
    ]
    made.define("ToolCatalog", "tools", {"tools": tools})
    rules = [
        {"name": "reads", "match": {"effects": ["Read"]}, "decision": "Allow"},
        {
            "name": "changes",
            "match": {"effects": ["Write"]},
            "decision": "RequireApproval",
            "approval": {"timeoutSeconds": 600},
        },
        {"name": "no-drops", "match": {"effects": ["Destructive"]}, "decision": "Deny", "message": "Never."},
        {"name": "sub", "match": {"types": ["SUB_WORKFLOW"]}, "decision": "RequireApproval"},
    ]
    made.define("Policy", "careful", {"rules": rules, "limits": {"turns": 6}})
    model = {"provider": "scripted", "script": {"configMapName": "turns"}}
    made.define("Agent", "helper", {"model": model, "catalogs": ["tools"]})
    made.define("Workflow", "below", {"tasks": [_CALL], "catalogs": ["tools"]})
    return made


def _run(
    made: Namespace, *tasks: JsonObject, start: JsonObject | None = None, **spec: Any
) -> SimulatedExecution:
    made.define(
        "Workflow",
        "main",
        {"tasks": list(tasks), "catalogs": ["tools"], "policyRef": {"name": "careful"}} | spec,
    )
    execution = made.start("main", {"n": 2}, requested_by=ALICE, **(start or {}))
    made.settle()
    return execution


def _reports(made: Namespace, run: SimulatedExecution, ref: str, **more: Any) -> None:
    """A worker reports success, from a pod that is named."""
    seq = run.state.tasks[ref].seq
    made.tell(run, Report(made.fact_id(), seq, ReportStatus.COMPLETED, pod=f"pod-of-{ref}", **more))


def _starts(made: Namespace, run: SimulatedExecution, ref: str) -> None:
    made.starts_container(run, ref, pod=f"pod-of-{ref}")


def _control_flow() -> Namespace:
    made = _namespace()
    run = _run(
        made,
        {"ref": "note", "type": "SET_VARIABLE", "input": {"color": "red"}},
        {
            "ref": "each",
            "type": "DO_WHILE",
            "items": ["a", "b"],
            "input": {"keepLastN": 1},
            "loopOver": [
                {
                    "ref": "say",
                    "type": "INLINE",
                    "input": {"x": "${each.output.loopItem}"},
                    "evaluatorType": "javascript",
                    "expression": "$.x",
                }
            ],
        },
        {
            "ref": "pick",
            "type": "SWITCH",
            "expression": "color",
            "input": {"color": "${workflow.variables.color}"},
            "decisionCases": {"red": [{"ref": "pause", "type": "WAIT", "input": {"duration": "10s"}}]},
        },
        {
            "ref": "fan",
            "type": "FORK_JOIN",
            "forkTasks": [
                [{"ref": "left", "type": "lookup", "optional": True}],
                [{"ref": "right", "type": "HUMAN", "permissive": True}],
            ],
        },
        start={"correlation_id": "order-7"},
        outputParameters={"color": "${workflow.variables.color}"},
    )
    made.advance(15)
    made.report(
        run, "left", ReportStatus.FAILED_WITH_TERMINAL_ERROR, reason="no such key", output={"code": 404}
    )
    made.signal(run, SignalType.PROGRESS, by=BOB, ref="right", payload={"seen": True})
    made.signal(run, SignalType.FAIL, by=BOB, ref="right", payload={"reason": "not today"})
    branches = [[{"ref": "left", "type": "lookup", "optional": True}], [{"ref": "right", "type": "lookup"}]]
    joined = _run(made, {"ref": "fan", "type": "FORK_JOIN", "forkTasks": branches})
    made.report(joined, "left", ReportStatus.FAILED_WITH_TERMINAL_ERROR, reason="no such key")
    made.report(joined, "right", output={"n": 1})
    _run(
        made,
        {"ref": "a", "type": "lookup", "permissive": True},
        {"ref": "b", "type": "NOOP", "dependsOn": ["a"]},
    )
    made.report(made.executions[-1], "a", ReportStatus.FAILED_WITH_TERMINAL_ERROR, reason="no")
    _run(
        made,
        {
            "ref": "stop",
            "type": "TERMINATE",
            "input": {
                "terminationStatus": "COMPLETED",
                "terminationReason": "enough",
                "workflowOutput": {"n": 1},
            },
        },
    )
    _run(
        made,
        {
            "ref": "stop",
            "type": "TERMINATE",
            "input": {"terminationStatus": "TERMINATED", "terminationReason": "enough"},
        },
    )
    _run(made, {"ref": "become", "type": "DYNAMIC", "startDelay": 5, "input": {"taskToExecute": "lookup"}})
    return made


def _attempts() -> Namespace:
    made = _namespace()
    run = _run(made, _CALL, {"ref": "slow", "type": "slow"})
    _starts(made, run, "call")
    made.report(run, "call", ReportStatus.FAILED, reason="connection refused")
    made.advance(5)
    _starts(made, run, "call")
    half = Report(
        made.fact_id(),
        run.state.tasks["call"].seq,
        ReportStatus.IN_PROGRESS,
        output={"done": 1},
        reason="half of it",
        pod="pod-of-call",
        callback_after_seconds=30,
    )
    made.tell(run, half)
    made.advance(30)
    _starts(made, run, "call")
    _reports(made, run, "call", output={"found": True}, usage={"tokensIn": 3, "tokensOut": 1})
    _starts(made, run, "slow")
    made.advance(61)
    made.report(run, "call")
    _reports(made, run, "slow")
    lost = _run(made, {"ref": "fix", "type": "repair"})
    _starts(made, lost, "fix")
    made.ends_job(lost, "fix", Ending.LOST, "the node is gone")
    late = _run(made, {"ref": "fix", "type": "repair"})
    _starts(made, late, "fix")
    made.advance(301)
    never = _run(made, _CALL)
    made.advance(301)
    made.ends_job(never, "call", Ending.IMAGE, "the image cannot be pulled: ErrImagePull")
    sink = "https://broker.example/in"
    told = _run(
        made, {"ref": "tell", "type": "EVENT", "name": "order.shipped", "sink": sink, "asyncComplete": True}
    )
    _starts(made, told, "tell")
    _reports(made, told, "tell", output={"sink": sink})
    made.signal(told, SignalType.COMPLETE, by=BOB, ref="tell", payload={"taken": True})
    return made


def _operations() -> Namespace:
    made = _namespace()
    first, last = {"ref": "first", "type": "lookup"}, {"ref": "last", "type": "lookup"}
    run = _run(made, first, _CALL, last)
    made.signal(run, SignalType.PAUSE, by=BOB, payload={"reason": "a freeze"})
    made.signal(run, SignalType.RESUME, by=BOB, payload={"reason": "over"})
    made.signal(run, SignalType.SKIP, by=BOB, ref="call", payload={"output": {"found": False}})
    made.tell(run, SuspendSet(True))
    made.tell(run, SuspendSet(False))
    made.report(run, "first")
    made.report(run, "last", ReportStatus.FAILED_WITH_TERMINAL_ERROR, reason="no such key")
    made.signal(run, SignalType.RETRY, by=BOB)
    made.report(run, "last")
    made.signal(
        run,
        SignalType.RERUN,
        by=BOB,
        ref="first",
        payload={"input": {"key": "other"}, "workflowInput": {"n": 3}},
    )
    made.signal(run, SignalType.TERMINATE, by=BOB, payload={"reason": "enough"})
    made.signal(run, SignalType.RESTART, by=BOB, payload={"useLatestDefinitions": True})
    made.signal(run, SignalType.COMPLETE, by=BOB, ref="first")
    loop = _run(made, {"ref": "each", "type": "DO_WHILE", "items": [1, 2], "loopOver": [_CALL]})
    for ref in ("call__1", "call__2"):
        made.report(loop, ref)
    made.signal(loop, SignalType.RERUN, by=BOB, ref="call__1")
    ask = {"ref": "ask", "type": "HUMAN", "input": {"color": "${workflow.variables.color}"}}
    note = {"ref": "note", "type": "SET_VARIABLE", "input": {"color": "red"}}
    wait = {"ref": "wait", "type": "WAIT", "input": {"duration": "60s"}}
    late = {
        "ref": "late",
        "type": "HUMAN",
        "human": {
            "dueSeconds": 60,
            "assignees": ["carol@example.com"],
            "escalateTo": [BOB],
            "groups": ["leads"],
            "remindEverySeconds": 45,
        },
    }
    rare = _CALL | {
        "ref": "rare",
        "when": "workflow.env.STAGE == 'production'",
        "input": {"stage": "${workflow.env.STAGE}"},
    }
    asked = _run(made, rare, late)
    made.advance(60)
    made.signal(asked, SignalType.COMPLETE, by="dave@example.com", ref="late", group="leads")
    anew = _run(made, {"ref": "fan", "type": "FORK_JOIN", "forkTasks": [[ask], [note], [wait]]})
    made.signal(anew, SignalType.TERMINATE, by=BOB)
    made.signal(anew, SignalType.RETRY, by=BOB)
    made.signal(anew, SignalType.COMPLETE, by=BOB, ref="ask", payload={"color": "blue"})
    return made


def _children() -> Namespace:
    made = _namespace()
    sub = {"ref": "sub", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "below"}, "input": {"x": 1}}
    other = {"ref": "other", "type": "START_WORKFLOW", "input": {"startWorkflow": {"name": "below"}}}
    run = _run(made, other, sub, failureWorkflow="below")
    child = made.child(run, "sub")
    assert child is not None
    made.report(child, "call", ReportStatus.FAILED_WITH_TERMINAL_ERROR, reason="no such key")
    made.signal(run, SignalType.RETRY, by=BOB, payload={"resumeSubworkflowTasks": True})
    made.signal(child, SignalType.TERMINATE, by=BOB)
    deep = {
        "ref": "inner",
        "type": "SUB_WORKFLOW",
        "subWorkflowParam": {"name": "x", "workflowDefinition": {"tasks": [{"ref": "n", "type": "NOOP"}]}},
    }
    _run(made, deep)
    made.advance(7200)
    return made


def _agent() -> Namespace:
    made = _namespace()
    triage = {"ref": "triage", "type": "AGENT", "input": {"agent": "helper", "goal": "find the cause"}}
    run = _run(made, triage)
    _starts(made, run, "triage")
    made.report(run, "triage", ReportStatus.FAILED, reason="the model is overloaded")
    made.advance(5)
    tasks = [
        {"ref": "look", "type": "lookup", "input": {"key": "k"}},
        {"ref": "fix", "type": "repair", "input": {"of": "${look.output.id}"}},
        {"ref": "drop", "type": "drop"},
    ]
    usage = {"tokensIn": 900, "tokensOut": 80}
    _reports(made, run, "triage", proposal={"rationale": "look first", "tasks": tasks}, usage=usage)
    made.report(run, "triage__1__look", output={"id": 7})
    made.decide_on_item(run, "triage__1__fix", approve=True, by=BOB, reason="it is safe")
    made.report(run, "triage__1__fix", output={"done": True})
    made.report(run, "triage", proposal={"tasks": [{"ref": "fix", "type": "repair"}]})
    made.decide_on_item(run, "triage__2__fix", approve=False, by=BOB, reason="not again")
    made.report(run, "triage", proposal={"tasks": [{"ref": "again", "retryOf": "triage__2__fix"}]})
    made.decide_on_item(run, "triage__3__again", approve=True, by=BOB, reason="now it is")
    made.report(run, "triage__3__again", output={"done": True})
    made.report(run, "triage", proposal="nonsense")
    made.report(run, "triage", proposal={"output": {"cause": "a bad deploy"}})
    budget = _run(made, triage)
    made.report(
        budget, "triage", proposal={"tasks": [{"ref": "look", "type": "lookup"}]}, usage={"tokensIn": 200_000}
    )
    made.report(budget, "triage__1__look")
    asks = {"turns": 1, "onExceeded": "AskHuman"}
    reads = {"name": "reads", "match": {"effects": ["Read"]}, "decision": "Allow"}
    made.define("Policy", "asks", {"rules": [reads], "limits": asks})
    more = _run(made, triage, policyRef={"name": "asks"})
    made.report(more, "triage", proposal={"tasks": [{"ref": "look", "type": "lookup"}]})
    made.report(more, "triage__1__look")
    made.decide_on_item(more, "triage", approve=True, by=BOB, reason="one more turn")
    made.report(more, "triage", proposal={"output": {"cause": "a bad deploy"}})
    return made


def _gates() -> Namespace:
    made = _namespace()
    rule = {
        "name": "changes",
        "match": {"effects": ["Write"]},
        "decision": "RequireApproval",
        "message": "Changes need a person.",
    }
    sub = {
        "name": "sub",
        "match": {"types": ["SUB_WORKFLOW"]},
        "decision": "RequireApproval",
        "approval": {"timeoutSeconds": 60, "onTimeout": "Escalate"},
    }
    made.define("Policy", "all", {"scope": "All", "rules": [rule, sub]})
    secret = {"as": "${workflow.secrets.crm.token}"}
    run = _run(made, {"ref": "fix", "type": "repair", "input": secret}, _CALL, policyRef={"name": "all"})
    made.decide_on_item(run, "fix", approve=True, by=BOB, reason="it is safe")
    made.report(run, "fix")
    child = {"ref": "sub", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "below"}}
    _run(made, child, policyRef={"name": "all"})
    made.advance(60)
    made.advance(60)
    plain = _run(made, {"ref": "fix", "type": "repair", "input": {"to": 1}}, policyRef={"name": "all"})
    made.decide_on_item(plain, "fix", approve=True, by=BOB, edited={"to": 2})
    return made


def _endings() -> Namespace:
    made = _namespace()
    _run(made, _CALL, timeoutSeconds=30, failureWorkflow="below")
    made.advance(31)
    _run(made, _CALL, timeoutSeconds=30, timeoutPolicy="ALERT_ONLY", failureWorkflow="Below here")
    made.advance(31)
    run = made.executions[-1]
    made.report(run, "call", ReportStatus.FAILED_WITH_TERMINAL_ERROR, reason="no such key")
    again = {"ref": "stop", "type": "TERMINATE", "input": {"terminationStatus": "FAILED"}}
    made.define("Workflow", "again", {"tasks": [again], "failureWorkflow": "again"})
    made.start("again")  # until no execution may start another
    made.settle()
    stuck = _run(made, _CALL)
    made.tell(stuck, CannotGoOn("LedgerFull: the API server does not take the record", in_one_event=True))
    made.start("nowhere", requested_by=ALICE)
    _run(
        made,
        {"ref": "one", "type": "scarce"},
        concurrency={"limit": 1, "key": "${workflow.input.n}", "policy": "REJECT"},
    )
    made.start("main", {"n": 2}, requested_by=ALICE)
    made.advance(11)
    return made


def _compensations() -> Namespace:
    made = _namespace()
    undo = {"tool": "lookup", "input": {"of": "${output.n}"}}
    call = _CALL | {"compensation": undo}
    run = _run(made, call, {"ref": "undo", "type": "COMPENSATE"}, {"ref": "last", "type": "lookup"})
    made.report(run, "call", output={"n": 1})
    made.report(run, "call__undo")
    made.report(run, "last", ReportStatus.FAILED_WITH_TERMINAL_ERROR, reason="no such key")
    for ends in ("fails", "is terminated"):
        run = _run(made, call, {"ref": "last", "type": "lookup"}, failureWorkflow="below")
        made.report(run, "call", output={"n": 1})
        if ends == "fails":
            made.report(run, "last", ReportStatus.FAILED_WITH_TERMINAL_ERROR, reason="no such key")
        else:
            made.signal(run, SignalType.TERMINATE, by=BOB, payload={"reason": "no", "compensate": True})
        made.report(run, "call__undo", ReportStatus.FAILED_WITH_TERMINAL_ERROR, reason="gone")
    large = _CALL | {"compensation": {"tool": "lookup", "input": {"of": "${output.text}" * 20}}}
    run = _run(made, large, {"ref": "wait", "type": "WAIT"})
    made.report(run, "call", output={"text": "x" * 52_000})
    run = _run(made, call, {"ref": "wait", "type": "WAIT"}, timeoutSeconds=30)
    made.report(run, "call", output={"n": 1})
    made.advance(31)
    made.report(run, "call__undo")
    return made


def _proposals_from_data() -> Namespace:
    made = _namespace()
    fork = {
        "ref": "fan",
        "type": "FORK_JOIN_DYNAMIC",
        "input": {"forkTaskName": "lookup", "forkTaskInputs": [{"key": "a"}, {"key": "b"}]},
    }
    _run(made, fork)
    run = _run(made, {"ref": "plan", "type": "lookup"})
    made.report(
        run,
        "plan",
        output={"n": 1},
        proposal={"tasks": [{"ref": "look", "type": "lookup"}]},
        usage={"tokensIn": 1},
    )
    return made
