"""Approvals by people who are known by their own certificates: each rule of a gate, and what it stops."""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from openworld.api import JsonObject
from openworld.ledger import epoch_ms
from tests.cluster.shell import wait_for
from tests.support import puppets
from tests.support.environment import NAMESPACE as SYSTEM
from tests.support.environment import ONCALL, Environment
from tests.support.kubectl import Kubectl
from tests.support.people import Person, answer_to, granted, person, rule, signal
from tests.support.runs import Run, definition

NAMESPACE = "demo-b"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:approving"
#: A tool for each way to ask.
ASKS: dict[str, JsonObject] = {
    "plain": {},
    "pair": {"count": 2},
    "own": {"notRequester": False},
    "brief": {"timeoutSeconds": 1},
    "minute": {"timeoutSeconds": 20},
    "again": {"timeoutSeconds": 3, "onTimeout": "Escalate"},
    "review": {"notCommitter": True},
}
TOLD = {"ExecutionStarted": 1, "ApprovalRequested": 1}
RAN = {**TOLD, "ApprovalGiven": 1, "TaskScheduled": 1, "TaskCompleted": 1, "ExecutionCompleted": 1}
_numbers = itertools.count()


@dataclass(frozen=True)
class People:
    """Who takes part. `ada` asks for the runs; what each may do stands in `people`."""

    env: Environment
    ada: Person
    ben: Person
    cleo: Person
    dan: Person
    eve: Person
    fay: Person

    def start(self, workflow: str, *, by: Person | None = None) -> Run:
        """A run, and what it asks for first."""
        by, name = by or self.ada, f"{workflow}-{next(_numbers)}"
        spec = {"workflowRef": {"name": workflow}, "requestedBy": by.name}
        by.kubectl.create(NAMESPACE, definition("Execution", name, spec))
        return Run(self.env.kubectl, NAMESPACE, name)

    def asked(self, workflow: str, *, by: Person | None = None) -> Run:
        """A run whose task `g` waits for people."""
        run = self.start(workflow, by=by)
        run.until_event("ApprovalRequested", ref="g")
        return run

    def send(
        self, who: Person, run: Run, kind: str, **spec: Any
    ) -> tuple[str, subprocess.CompletedProcess[str]]:
        """The name of a Signal, and what the API server said to it."""
        name = f"{run.name}-{next(_numbers)}"
        manifest = signal(name, run.object, kind, spec.pop("by", who.name), **spec)
        return name, who.kubectl.create(NAMESPACE, manifest, check=False)

    def decide(self, who: Person, run: Run, kind: str = "Approve", **changes: Any) -> tuple[str, str]:
        """What becomes of a decision on what `g` shows, but for the changes."""
        name, done = self.send(who, run, kind, **{**shown(run, "g"), **changes})
        assert done.returncode == 0, done.stderr
        return answer_to(self.env.kubectl, NAMESPACE, name)

    def refused(self, who: Person, run: Run, kind: str = "Approve", **changes: Any) -> str:
        """Why the API server does not take a decision on what `g` shows."""
        _, done = self.send(who, run, kind, **{**shown(run, "g"), **changes})
        assert done.returncode != 0, "it was accepted"
        return done.stderr


def shown(run: Run, ref: str) -> JsonObject:
    """What an approval of a task names, as the record shows it."""
    asked = run.until_event("ApprovalRequested", ref=ref)
    return {"ref": ref, "tool": asked["tool"], "itemDigest": asked["itemDigest"]}


def types(run: Run) -> dict[str, int]:
    """How many events of each type; a start that nobody saw is not told."""
    return {kind: count for kind, count in run.types().items() if kind != "TaskStarted"}


def given(run: Run) -> list[str]:
    """Who approved, in order."""
    return [event["by"] for event in run.events if event["type"] == "ApprovalGiven"]


def assert_waits(run: Run, *, refused: int = 0, approved: int = 0) -> None:
    """It still waits, nothing has run, and this is all that was told."""
    counts = {"FactRefused": refused, "ApprovalGiven": approved}
    assert types(run) == {**TOLD, **{kind: count for kind, count in counts.items() if count}}
    assert run.status["tasks"]["g"]["status"] == "AwaitingApproval"
    assert run.jobs() == []


def assert_ran(run: Run, by: list[str], **more: int) -> None:
    """It ran once, with these people's consent."""
    status = run.until_final()
    assert status["phase"] == "Completed", status["reason"]
    assert given(run) == by
    assert types(run) == {**RAN, "ApprovalGiven": len(by), **more}
    assert len(run.jobs()) == 1
    run.recovered()


@pytest.fixture(scope="module")
def people(env: Environment) -> People:
    """Gated workflows, and six people with certificates and different rights."""

    def workflow(name: str, *tasks: JsonObject) -> JsonObject:
        spec = {"catalogs": ["gated"], "policyRef": {"name": "gates"}, "tasks": list(tasks)}
        return definition("Workflow", name, spec)

    def committed(manifest: JsonObject, who: str) -> JsonObject:
        annotations = {"openworld.dev/committer": who}
        return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}

    limited = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 5}}}
    tool = {
        "inputSchema": limited,
        "effect": "Write",
        "retry": {"count": 0},
        "run": {"container": {"image": ONCALL, "command": ["true"]}},
    }
    rules = [
        {"name": name, "decision": "RequireApproval", "match": {"tools": [name]}, "approval": approval}
        for name, approval in ASKS.items()
    ]
    child = {"name": "child", "decision": "RequireApproval", "match": {"types": ["SUB_WORKFLOW"]}}
    human = {"name": "human", "decision": "Allow", "match": {"types": ["HUMAN"]}}
    gated = [[{"ref": "g", "type": "brief", "optional": True}], [{"ref": "h", "type": "HUMAN"}]]
    two = [[{"ref": ref, "type": "plain", "input": {"n": 1}}] for ref in ("g", "other")]
    says = rule("signals", "create get list watch")
    reads = rule("executions", "get list watch")
    every = rule("tools tasktypes", "approve")
    runas = rule("serviceaccounts", "runas", "default", group="")
    starts = (rule("executions", "create"), runas)
    drives = rule("executions", "complete fail progress skip retry rerun restart")
    domain = "approvals.example"
    env.kubectl.apply(
        NAMESPACE,
        *puppets.right_to_use(NAMESPACE),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "approving"}},
        definition("ToolCatalog", "gated", {"tools": [{"name": name, **tool} for name in ASKS]}),
        definition("Policy", "gates", {"scope": "All", "rules": [*rules, child, human]}),
        *(committed(workflow(f"ask-{name}", {"ref": "g", "type": name}), f"cleo@{domain}") for name in ASKS),
        workflow("ask-two", {"ref": "f", "type": "FORK_JOIN", "forkTasks": two}),
        workflow("ask-beside", {"ref": "f", "type": "FORK_JOIN", "forkTasks": gated}),
        workflow("ask-child", {"ref": "g", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "a-child"}}),
        definition("Workflow", "a-child", {"tasks": [{"ref": "n", "type": "NOOP"}]}),
        *granted("ada", [f"ada@{domain}", f"cleo@{domain}"], says, reads, every, *starts),
        *granted("every", [f"ben@{domain}", f"account:{NAMESPACE}/approving"], says, reads, every),
        *granted("by-name", [f"dan@{domain}"], says, reads, rule("tools", "approve", "plain")),
        *granted("by-type", [f"eve@{domain}"], says, reads, rule("tasktypes", "approve", "SUB_WORKFLOW")),
        *granted("by-group", ["group:approvals-sre"], says, reads, rule("tools", "approve", "plain")),
        *granted("drives", [f"fay@{domain}"], says, reads, drives),
    )
    names = ("ada", "ben", "cleo", "dan", "eve", "fay")
    found = {name: person(env, f"{name}@{domain}") for name in names}
    for each in found.values():
        wait_for(f"the rights of {each.name}", lambda who=each: _may_speak(who.kubectl), seconds=30)
    return People(env, **found)


def _may_speak(kubectl: Kubectl) -> bool:
    words = ("auth", "can-i", "create", "signals.openworld.dev")
    return kubectl("-n", NAMESPACE, *words, check=False).stdout.strip() == "yes"


def test_each_person_is_known_by_their_own_certificate(people: People) -> None:
    for who in (people.ada, people.ben, people.dan):
        known = who.kubectl.json("auth", "whoami")["status"]["userInfo"]
        assert (known["username"], known["groups"]) == (who.name, ["system:authenticated"])


def test_the_right_to_approve_is_by_the_name_of_the_tool(people: People) -> None:
    run = people.asked("ask-pair")
    may_not = f"{people.dan.name} may not decide on pair: grant verb approve on tools.openworld.dev/pair"
    for kind in ("Approve", "Reject"):
        assert may_not in people.refused(people.dan, run, kind)
    as_another = people.refused(people.dan, run, by=people.ben.name)
    assert f"spec.by must be the caller, {people.dan.name}" in as_another

    accepted, why = people.decide(people.dan, run, tool="plain")  # what he may approve, for what he may not
    assert accepted == "False"
    assert why == "the signal is about 'plain', the task waits for the approval of 'pair'"
    assert_waits(run, refused=1)

    allowed = people.asked("ask-plain")
    assert people.decide(people.dan, allowed)[0] == "True"
    assert_ran(allowed, [people.dan.name])


def test_a_right_may_come_by_a_group_and_is_the_person_s_all_the_same(people: People) -> None:
    run = people.asked("ask-plain")
    nobody = person(people.env, "gus@approvals.example")
    assert 'User "gus@approvals.example" cannot create resource "signals"' in people.refused(nobody, run)
    gus = person(people.env, nobody.name, "approvals-sre")
    assert people.decide(gus, run)[0] == "True"
    assert_ran(run, [gus.name])


def test_who_asked_for_the_run_may_not_approve_unless_the_rule_says_so(people: People) -> None:
    run = people.asked("ask-plain")
    accepted, why = people.decide(people.ada, run)
    assert accepted == "False"
    told = f"{people.ada.name} requested this execution, and rule 'plain' does not let the requester approve"
    assert why == told
    assert_waits(run, refused=1)
    assert people.decide(people.ben, run)[0] == "True"
    assert_ran(run, [people.ben.name], FactRefused=1)

    theirs = people.asked("ask-plain", by=people.cleo)
    assert people.decide(people.ada, theirs)[0] == "True"  # the same right, another person's run
    assert_ran(theirs, [people.ada.name])

    own = people.asked("ask-own")
    assert people.decide(people.ada, own)[0] == "True"
    assert_ran(own, [people.ada.name])


def test_a_quorum_of_two_is_two_people(people: People) -> None:
    run = people.asked("ask-pair")
    assert people.decide(people.ben, run)[0] == "True"
    assert_waits(run, approved=1)
    again = person(people.env, people.ben.name, "another-group")  # another certificate, the same person
    for ben in (people.ben, again):
        accepted, why = people.decide(ben, run)
        assert accepted == "False"
        assert why == f"{ben.name} has approved this item already; rule 'pair' wants 2 people"
    assert people.decide(people.ada, run)[0] == "False"  # the requester is not the second one
    assert_waits(run, approved=1, refused=3)
    assert people.decide(people.cleo, run)[0] == "True"
    assert_ran(run, [people.ben.name, people.cleo.name], FactRefused=3)


def test_one_rejection_ends_it_whoever_approved_before(people: People) -> None:
    run = people.asked("ask-pair")
    assert people.decide(people.cleo, run)[0] == "True"
    assert people.decide(people.ben, run, "Reject", payload={"reason": "not today"})[0] == "True"
    status = run.until_final()
    assert status["phase"] == "Failed"
    assert status["reason"] == f"task g: ApprovalRefused by {people.ben.name}: not today"
    ended = {**TOLD, "ApprovalGiven": 1, "ApprovalRefused": 1, "TaskCanceled": 1, "ExecutionFailed": 1}
    assert types(run) == ended
    accepted, why = people.decide(people.dan, run, tool="plain")
    assert (accepted, why) == ("False", "the execution has ended as Failed")
    assert types(run) == ended
    assert run.jobs() == []


def test_an_approval_after_the_time_out_comes_too_late(people: People) -> None:
    run = people.start("ask-beside")
    run.until_event("ApprovalExpired", ref="g")
    accepted, why = people.decide(people.ben, run)
    assert accepted == "False"
    assert why.startswith("task g does not wait for an approval; it is ")
    assert given(run) == []
    assert run.jobs() == []
    alone = people.start("ask-brief")
    status = alone.until_final()
    assert status["phase"] == "Failed"
    assert status["reason"].startswith("task g: ApprovalExpired: nobody approved by ")
    assert people.decide(people.ben, alone) == ("False", "the execution has ended as Failed")
    assert alone.jobs() == []


def test_the_clock_of_a_gate_goes_on_while_the_operator_is_away(people: People) -> None:
    """In time is what was sent in time: the operator reads both decisions long after."""
    kubectl = people.env.kubectl
    late, early = people.asked("ask-minute"), people.asked("ask-minute")
    ends = {run.name: epoch_ms(run.until_event("ApprovalRequested")["expiresAt"]) for run in (late, early)}
    _scale(kubectl, 0)
    try:
        in_time, done = people.send(people.ben, early, "Approve", **shown(early, "g"))
        assert done.returncode == 0, done.stderr
        sent = kubectl.json("-n", NAMESPACE, "get", "signal", in_time)["metadata"]["creationTimestamp"]
        assert epoch_ms(sent) + 1000 <= ends[early.name], "the operator took too long to go"

        def has_sent_too_late() -> bool:
            names.append(people.send(people.ben, late, "Approve", **shown(late, "g"))[0])
            made = kubectl.json("-n", NAMESPACE, "get", "signal", names[-1])["metadata"]["creationTimestamp"]
            if epoch_ms(made) >= max(ends.values()):
                return True
            kubectl("-n", NAMESPACE, "delete", "signal", names.pop())
            return False

        names: list[str] = []
        wait_for("the end of the time to decide", has_sent_too_late, seconds=60)
    finally:
        _scale(kubectl, 1)
    accepted, why = answer_to(kubectl, NAMESPACE, names[-1], seconds=60)
    assert accepted == "False"
    assert why.startswith("the time for a decision on g was over at ")
    assert late.until_final()["reason"].startswith("task g: ApprovalExpired: nobody approved by ")
    assert types(late) == {
        **TOLD, "FactRefused": 1, "ApprovalExpired": 1, "TaskCanceled": 1, "ExecutionFailed": 1
    }  # fmt: skip
    assert late.jobs() == []
    assert answer_to(kubectl, NAMESPACE, in_time, seconds=60)[0] == "True"
    assert_ran(early, [people.ben.name])


def _scale(kubectl: Kubectl, replicas: int) -> None:
    kubectl("-n", SYSTEM, "scale", "deployment", "openworld-operator", f"--replicas={replicas}")
    if replicas:
        kubectl("-n", SYSTEM, "rollout", "status", "deployment/openworld-operator", "--timeout=120s")
    else:
        selector = "app.kubernetes.io/name=openworld"
        kubectl("-n", SYSTEM, "wait", "--for=delete", "pod", "-l", selector, "--timeout=60s")


def test_an_approval_is_of_the_item_that_was_shown_and_of_no_other(people: People) -> None:
    run = people.start("ask-two")
    g, other = shown(run, "g"), shown(run, "other")
    assert g["itemDigest"] != other["itemDigest"]  # same tool, same input, same rule
    twin = people.asked("ask-plain")
    differs = (
        "the signal approves another item than the one that waits (itemDigest differs); "
        "look at it again and decide on what is shown now"
    )
    wrong = ("sha256:0", other["itemDigest"], shown(twin, "g")["itemDigest"])
    for digest in wrong:
        assert people.decide(people.ben, run, itemDigest=digest) == ("False", differs)
    assert people.decide(people.ben, run, ref="absent") == ("False", "there is no task 'absent'")
    assert given(run) == given(twin) == []
    assert run.jobs() == twin.jobs() == []

    assert people.decide(people.ben, run, **other)[0] == "True"
    run.until_event("TaskCompleted", ref="other")
    assert [job["metadata"]["labels"]["openworld.dev/ref"] for job in run.jobs()] == ["other"]
    assert run.status["tasks"]["g"]["status"] == "AwaitingApproval"
    assert people.decide(people.ben, run)[0] == "True"
    assert run.until_final()["phase"] == "Completed"
    assert len(run.jobs()) == 2
    assert_waits(twin)


def test_an_approval_of_an_execution_that_was_made_anew_is_none(people: People) -> None:
    run = people.asked("ask-plain")
    old = signal("to-the-old-one", run.object, "Approve", people.ben.name, **shown(run, "g"))
    people.env.kubectl("-n", NAMESPACE, "delete", "execution", run.name)
    spec = {"workflowRef": {"name": "ask-plain"}, "requestedBy": people.ada.name}
    people.ada.kubectl.create(NAMESPACE, definition("Execution", run.name, spec))
    run.until_event("ApprovalRequested", ref="g")
    people.ben.kubectl.create(NAMESPACE, old)
    accepted, why = answer_to(people.env.kubectl, NAMESPACE, "to-the-old-one")
    assert accepted == "False"
    assert why.endswith("it was deleted and created again since")
    assert_waits(run)


def test_a_service_account_approves_nothing_whatever_it_is_granted(people: People) -> None:
    run = people.asked("ask-plain")
    admin = people.env.kubectl
    token = admin("-n", NAMESPACE, "create", "token", "approving").stdout.strip()
    account = Person(ACCOUNT, admin.with_token(token))
    assert account.kubectl.json("auth", "whoami")["status"]["userInfo"]["username"] == ACCOUNT
    for kind in ("Approve", "Reject"):
        told = people.refused(account, run, kind)
        assert "a service account cannot approve or reject: a person decides" in told
    assert_waits(run)


def test_a_task_type_is_approved_by_the_right_on_the_type(people: People) -> None:
    run = people.asked("ask-child")
    assert shown(run, "g")["tool"] == "SUB_WORKFLOW"
    may_not = "may not decide on SUB_WORKFLOW: grant verb approve on tasktypes.openworld.dev/SUB_WORKFLOW"
    assert f"{people.dan.name} {may_not}" in people.refused(people.dan, run)
    assert children(run) == []
    assert people.decide(people.eve, run)[0] == "True"
    assert run.until_final()["phase"] == "Completed"
    assert len(children(run)) == 1
    assert given(run) == [people.eve.name]
    tool = people.asked("ask-plain")
    assert f"{people.eve.name} may not decide on plain" in people.refused(people.eve, tool)
    assert_waits(tool)


def children(run: Run) -> list[JsonObject]:
    """The executions that a run has started."""
    every = run.kubectl.json("-n", NAMESPACE, "get", "executions")["items"]
    return [
        each for each in every if each["spec"].get("parent", {}).get("uid") == run.object["metadata"]["uid"]
    ]


def test_no_other_signal_passes_a_gate(people: People) -> None:
    run = people.asked("ask-plain")
    sent = ("Complete", "Fail", "Progress", "Skip", "Retry", "Rerun", "Restart")
    for kind in sent:
        name, done = people.send(people.fay, run, kind, ref="g", payload={"output": {}})
        assert done.returncode == 0, done.stderr
        accepted, why = answer_to(people.env.kubectl, NAMESPACE, name)
        assert accepted == "False", (kind, why)
        assert_waits(run, refused=sent.index(kind) + 1)
    assert f"{people.fay.name} may not decide on plain" in people.refused(people.fay, run)
    assert people.decide(people.ben, run)[0] == "True"
    assert_ran(run, [people.ben.name], FactRefused=len(sent))


def test_an_item_runs_with_the_input_that_a_person_approved_instead(people: People) -> None:
    run = people.asked("ask-plain")
    accepted, why = people.decide(people.ben, run, payload={"input": {"n": 9}})
    assert accepted == "False"
    assert "the edited input is not taken: input of 'plain' does not fit its schema" in why
    assert_waits(run, refused=1)
    assert people.decide(people.ben, run, payload={"input": {"n": 4}})[0] == "True"
    assert_ran(run, [people.ben.name], FactRefused=1, ApprovalRequested=2)
    (scheduled,) = [event for event in run.events if event["type"] == "TaskScheduled"]
    assert scheduled["input"] == {"n": 4}
    first, second = [event for event in run.events if event["type"] == "ApprovalRequested"]
    assert first["itemDigest"] != second["itemDigest"]
    assert second["approvedBy"] == [people.ben.name]


def test_an_item_that_is_escalated_waits_once_more(people: People) -> None:
    run = people.asked("ask-again")
    run.until_event("ApprovalEscalated", ref="g")
    assert people.decide(people.ben, run)[0] == "True"
    assert_ran(run, [people.ben.name], ApprovalEscalated=1)
    left = people.asked("ask-again")
    status = left.until_final()
    assert status["phase"] == "Failed"
    assert "ApprovalExpired" in status["reason"]
    assert left.types()["ApprovalEscalated"] == 1
    assert left.jobs() == []


def test_who_has_committed_the_workflow_does_not_approve_where_the_rule_says_so(people: People) -> None:
    run = people.asked("ask-review")
    accepted, why = people.decide(people.cleo, run)
    assert accepted == "False"
    assert why.startswith(f"{people.cleo.name} has committed the workflow, and rule 'review'")
    assert people.decide(people.ben, run)[0] == "True"
    assert_ran(run, [people.ben.name], FactRefused=1)
    other = people.asked("ask-plain")
    assert people.decide(people.cleo, other)[0] == "True"
    assert_ran(other, [people.cleo.name])


def test_a_mandatory_policy_of_the_operators_namespace_binds_every_namespace(people: People) -> None:
    kubectl = people.env.kubectl
    guard = definition(
        "Policy",
        "guard",
        {
            "scope": "All",
            "rules": [
                {"name": "others", "decision": "Allow"},
                {
                    "name": "frozen",
                    "decision": "Deny",
                    "match": {"tools": ["own"]},
                    "message": "frozen today",
                },
            ],
        },
    )
    guard["metadata"]["labels"] = {"openworld.dev/mandatory": ""}
    kubectl.apply(SYSTEM, guard)
    try:
        wait_for("the policy to bind", lambda: denied_by_guard(people), seconds=30)
        run = people.asked("ask-plain")
        assert people.decide(people.ben, run)[0] == "True"
        assert_ran(run, [people.ben.name])
    finally:
        kubectl("-n", SYSTEM, "delete", "policy", "guard")
    wait_for("the policy to be gone", lambda: not denied_by_guard(people), seconds=30)


def denied_by_guard(people: People) -> bool:
    """Whether a run of `own` is denied by the policy that binds everywhere."""
    run = people.start("ask-own")
    run.until("what becomes of it", lambda status: "g" in (status.get("tasks") or {}))
    judged = [event for event in run.events if event["type"] == "ProposalJudged"]
    if not judged:
        return False
    assert [policy["name"] for policy in judged[0]["policies"]] == ["gates", f"{SYSTEM}/guard"]
    assert (judged[0]["items"][0]["rule"], run.jobs()) == ("frozen", [])
    return True
