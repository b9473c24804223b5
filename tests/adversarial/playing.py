"""Plays one case on the real engine, and says where it went another way than the case says.

Everything that the engine ever wants outside is noted, pass by pass: no Job can come and go unseen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import orjson

from openworld.api import JsonObject, ReportStatus, SignalType
from openworld.engine import snapshot
from openworld.engine.outside import Desired, DesiredJob
from openworld.language.canonical import canonical
from openworld.ledger import genesis, verify
from openworld.simulation import Namespace, SimulatedExecution
from openworld_worker.agent.dialects import normalise

from .loading import Case, Environment, Step, Wanted, environments
from .servers import Listing, Servers

#: What attackers call what is theirs; it must never stand in a Job.
MARK = "evil"
_ACCOUNT = "runner"


class Watched(Namespace):
    """A namespace that notes whatever was desired at any time."""

    def __init__(self, environment: Environment) -> None:
        refused = {*environment.refused_tools, *environment.refused_secrets}
        super().__init__(check=True, may_use=lambda _, tool: tool not in refused)
        self.jobs: dict[tuple[str, int], tuple[str, DesiredJob]] = {}
        self.children: dict[tuple[str, int], str] = {}

    def define_all(self, environment: Environment, servers: Servers | None = None) -> None:
        """Put everything of an environment in its place; what a server says may make its catalog invalid."""
        for kind, specs in (
            ("ToolCatalog", environment.catalogs),
            ("Policy", environment.policies),
            ("Agent", environment.agents),
            ("Workflow", environment.workflows),
        ):
            for name, spec in specs.items():
                status = None
                if servers is not None and kind == "ToolCatalog" and name in servers.catalogs:
                    status = servers.status(name)
                problem = self.define(kind, name, spec, status).problem
                if problem and status is None:
                    raise ValueError(f"{kind} {name}: {problem}")
        self.mandatory = list(environment.mandatory)

    def _act(self, execution: SimulatedExecution, want: Desired) -> None:
        around = "" if execution.origin is None else f"{execution.origin.ref or 'failure'}/"
        for job in want.jobs:
            self.jobs.setdefault((execution.uid, job.seq), (around, job))
        for child in want.children:
            told = f"{around}{child.ref or 'failure'} {child.workflow_name}"
            self.children.setdefault((execution.uid, child.seq), told)
        super()._act(execution, want)


class Play:
    """One case, from an empty namespace to its last step."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.environment = environments()[case.setup]
        self.namespace = Watched(self.environment)
        self._found: list[str] = []
        self.servers = Servers(self.environment.catalogs, self.environment.servers)
        for name in self.environment.servers:
            for said in (case.first.get(name, Listing(but={})), *case.says.get(name, [])):
                self.servers.hear(name, said)
        self._specs = dict(self.environment.catalogs)
        self.namespace.define_all(self.environment, self.servers)
        run_input = self.environment.input if case.input is None else case.input
        self.root = self.namespace.start(
            self.environment.start,
            run_input,
            requested_by=self.environment.requested_by,
            service_account_name=_ACCOUNT,
        )
        self.namespace.settle()

    def differences(self) -> list[str]:
        """Where it went another way; empty when it went as the case says."""
        for number, step in enumerate(self.case.course(), start=1):
            self._found += [f"step {number}: {text}" for text in self._step(step)]
        self._found += [*self._end(), *self._outside(), *self._recorded()]
        return self._found

    def _step(self, step: Step) -> Iterator[str]:
        execution = self.root if not step.at else self._child(step.at)
        ref = step.ref or next((ref for ref in execution.jobs(self.namespace.now_ms)), "")
        judged = len(_judged(execution))
        why = self._done(execution, ref, step)
        if (why or None) != step.refused and not (step.refused and step.refused in why):
            yield f"refused is {why!r}, and not {step.refused!r}"
        verdicts = _judged(execution)[judged:]
        wants = step.items is not None or step.denied or step.allowed or step.gated
        if step.problem is not None:
            told = verdicts[0].get("problem", "") if verdicts else "(not judged)"
            if step.problem not in told:
                yield f"the problem is {told!r}, and not {step.problem!r}"
            if verdicts and verdicts[0]["items"]:
                yield "it has a problem, and yet items"
        elif wants:
            if not verdicts:
                yield f"it was not judged; the execution is {execution.state.phase.value} {execution.state.reason}"
                return
            if verdicts[0].get("problem"):
                yield f"it has the problem {verdicts[0]['problem']!r}"
            yield from _compared(verdicts[0]["items"], step)

    def _child(self, at: str) -> SimulatedExecution:
        execution = self.root
        for ref in at.split("/"):
            found = self.namespace.child(execution, ref)
            detached = [e for e in self.namespace.detached(execution) if e.origin and e.origin.ref == ref]
            execution = found or detached[-1]
        return execution

    def _done(self, execution: SimulatedExecution, ref: str, step: Step) -> str:
        given, namespace = step.model_fields_set, self.namespace
        if step.message is not None:
            said = normalise(step.message["dialect"], step.message["says"])
            return namespace.report(execution, ref, proposal=said, usage=step.usage)
        if step.done is not None:
            return namespace.report(execution, ref, output=step.done, usage=step.usage)
        if step.fail is not None:
            return namespace.report(
                execution, ref, ReportStatus.FAILED_WITH_TERMINAL_ERROR, reason=step.fail, usage=step.usage
            )
        if step.approve is not None:
            return self._approve(execution, ref, step.approve)
        if step.signal is not None:
            said = dict(step.signal)
            return namespace.signal(execution, SignalType(said.pop("type")), ref=step.ref or None, **said)
        if step.advance is not None:
            namespace.advance(step.advance)
        elif step.away is not None:  # nobody decides for so long, and then all at once
            namespace.now_ms += step.away * 1000
        elif step.define is not None:
            self._define(**step.define)
        elif step.says is not None:
            catalogs = [self.servers.hear(name, said) for name in step.says for said in step.says[name]]
            for catalog in dict.fromkeys(catalogs):
                self._define("ToolCatalog", catalog, self._specs[catalog])
        elif "turn" in given or step.turn is not None or not given - {"items", "problem", "denied"}:
            return namespace.report(execution, ref, proposal=step.turn, usage=step.usage)
        return ""

    def _define(self, kind: str, name: str, spec: JsonObject) -> None:
        """Put a definition in the place of another; what is pinned for a catalog stays pinned."""
        status = None
        if kind == "ToolCatalog" and name in self.servers.catalogs:
            self._specs[name] = spec
            self.servers.redefine(name, spec)
            status = self.servers.status(name)
        self.namespace.define(kind, name, spec, status)
        self.namespace.settle()

    def _approve(self, execution: SimulatedExecution, ref: str, said: JsonObject) -> str:
        """An approval as it is shown, but for what the case says otherwise."""
        task = execution.state.tasks[ref]
        of = execution.state.tasks.get(said.get("digestOf", ref), task)
        gate = of.gate
        digest = said.get("digest", gate.digest if gate is not None else "sha256:none")
        return self.namespace.signal(
            execution,
            SignalType(said.get("type", "Approve")),
            by=said["by"],
            ref=ref,
            tool=said.get("tool", task.gate.tool if task.gate is not None else None),
            item_digest=digest,
            payload=said.get("payload"),
        )

    def _end(self) -> Iterator[str]:
        state = self.root.state
        if state.phase.value != self.case.phase or self.case.reason not in (state.reason or ""):
            wanted = f"{self.case.phase} {self.case.reason!r}"
            yield f"it ends as {state.phase.value} {state.reason!r}, and not as {wanted}"
        for catalog, piece in self.case.told.items():
            told = self.servers.told(catalog)
            if piece not in told or not told.isprintable():
                yield f"catalog {catalog} tells {told!r}, and not {piece!r}"
        for ref, why in self.case.failed.items():
            task = state.tasks.get(ref)
            if task is None or not task.status.is_final or task.status.is_success or why not in task.reason:
                told = f"{task.status.value} {task.reason!r}" if task is not None else "not there"
                yield f"task {ref} is {told}, and should have failed for {why!r}"

    def _outside(self) -> Iterator[str]:
        tools = [tool for catalog in self.environment.catalogs.values() for tool in catalog.get("tools", ())]
        known = [*map(_wire, tools), *self.servers.ever]
        jobs = []
        for around, job in self.namespace.jobs.values():
            if job.agent is None:
                jobs.append(f"{around}{_told(job)}")
                if not job.builtin and (job.tool is None or job.tool.wire() not in known):
                    yield f"the Job of {job.ref} does not run the tool as its catalog says"
            elif job.agent_name not in self.environment.agents:
                yield f"the Job of {job.ref} is a turn of {job.agent_name!r}, which nobody has defined"
            allowed = json.dumps(self.case.jobs)
            tool = job.tool.wire() if job.tool else None
            offered = (job.context or {}).get("tools")
            seen = canonical([job.input, job.secrets, tool, offered]).decode()
            if MARK in seen and MARK not in allowed:
                yield f"the Job of {job.ref} holds something of the attacker's: {seen[:300]}"
            if job.secrets:
                yield f"the Job of {job.ref} is given secrets: {job.secrets}"
        asked = [
            f"{event['ref']} {event['tool']}"
            for execution in self.namespace.executions
            for event in execution.events
            if event["type"] == "ApprovalRequested"
        ]
        for what, has, wants in (
            ("Jobs", jobs, self.case.jobs),
            ("children", list(self.namespace.children.values()), self.case.children),
            ("approvals", asked, self.case.approvals),
        ):
            if sorted(has) != sorted(wants):
                yield f"the {what} ever wanted are {has}, and not {wants}"

    def _recorded(self) -> Iterator[str]:
        for execution in self.namespace.executions:
            spec = execution.identity.spec
            if not execution.events:
                continue
            first = execution.events[0]
            verify(
                execution.events, first=0, prev=genesis(execution.uid, first.get("definition"), spec.input)
            )
            taken, large = snapshot.take(execution.state)
            stored = orjson.loads(orjson.dumps(taken))
            if snapshot.restore(execution.identity, stored, large) != execution.state:
                yield f"the snapshot of {execution.name} is another state"


def _told(job: DesiredJob) -> str:
    name = job.tool.name if job.tool is not None else "?"
    if name == "http":
        return f"{job.ref} http {job.input['method']} {job.input['uri']}"
    return f"{job.ref} {name}"


def _wire(tool: JsonObject) -> JsonObject:
    from openworld.api import Tool

    return Tool.model_validate(tool).wire()


def _judged(execution: SimulatedExecution) -> list[JsonObject]:
    return [event for event in execution.whole_events if event["type"] == "ProposalJudged"]


def _compared(items: list[JsonObject], step: Step) -> Iterator[str]:
    wanted = step.items
    if wanted is None:
        ref = items[0]["ref"] if items else ""
        if step.denied is not None:
            check, rule, reason = step.denied
            wanted = [Wanted(ref=ref, decision="Denied", check=check, rule=rule, reason=reason)]
        else:
            decision = "Allowed" if step.allowed else "NeedsApproval"
            rule = (step.allowed or step.gated or [""])[0]
            wanted = [Wanted(ref=ref, decision=decision, check="policy", rule=rule, reason="rule ")]
    if len(items) != len(wanted):
        yield f"{len(items)} items were judged, and not {len(wanted)}: {items[:3]}"
        return
    for item, want in zip(items, wanted, strict=True):
        has = (item["decision"], item["check"], item["rule"])
        wants = (want.decision, want.check, want.rule)
        is_ref = item["ref"] == want.ref or item["ref"].endswith(f"__{want.ref}")
        if has != wants or not is_ref or want.reason not in item["reason"]:
            yield f"{item['ref']} is {has} {item['reason']!r}, and not {want.ref} {wants} {want.reason!r}"
