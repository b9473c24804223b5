"""Two tenants, one hostile: what its people, its definitions and its pods try against the other's run, all in vain.

The hostile tenant owns its namespace: its people may do everything there, so that nothing but the border stops them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from openworld.api import JsonObject
from openworld.api.signal import SignalType
from openworld.controller import names
from tests.cluster.shell import wait_for
from tests.support import puppets
from tests.support.environment import ONCALL, Environment
from tests.support.people import answer_to, granted, person, rule, signal
from tests.support.runs import Run, definition
from tests.support.tenants import (
    API,
    KINDS,
    OURS,
    SECRET,
    THEIRS,
    Tenants,
    events_of,
    numbers,
    says_yes,
    tool,
    two_tenants,
)


@pytest.fixture(scope="module")
def tenants(env: Environment) -> Tenants:
    """One run that waits in our namespace; another namespace whose owner may do everything in it."""
    return two_tenants(env)


@pytest.fixture(autouse=True)
def untouched(tenants: Tenants, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever is tried, the victim's run and all that stands in its namespace are after it what they were before."""
    before, there = tenants.seen()
    assert (before["own"]["Job"], before["own"]["Pod"], before["own"]["TaskResult"]) == (1, 1, 0)
    yield
    if request.function is test_the_victim_s_run_ends_as_if_it_had_been_alone:
        return
    after, then = tenants.seen()
    assert then <= there  # what other runs have left may go; nothing comes
    assert after == before


def test_the_other_s_namespace_shows_its_people_nothing(tenants: Tenants) -> None:
    mallory = tenants.mallory
    tried = 0
    for kind in KINDS:
        plural, _, group = kind.partition(".")
        for verb, words in (
            ("list", ("-n", OURS, "get", kind)),
            ("list", ("get", kind, "--all-namespaces")),
            ("get", ("-n", OURS, "get", kind, "private")),
            ("delete", ("-n", OURS, "delete", kind, "private")),
        ):
            done = mallory.kubectl(*words, check=False)
            where = "at the cluster scope" if "--all-namespaces" in words else f'in the namespace "{OURS}"'
            told = f'User "{mallory.name}" cannot {verb} resource "{plural}" in API group "{group}" {where}'
            assert done.returncode == 1, words
            assert told in done.stderr, words
            assert done.stdout == ""
            tried += 1
    assert tried == 4 * len(KINDS)
    log = mallory.kubectl(
        "-n", OURS, "logs", "job/" + tenants.victim.jobs()[0]["metadata"]["name"], check=False
    )
    assert "cannot get resource" in log.stderr
    as_her = ("--as", mallory.name) if mallory.kubectl.user else ()
    for verb in ("get", "ledger", "tree"):
        words = (verb, "victim", "-n", OURS, *as_her)
        told = tenants.env.openworld(*words, kubeconfig=mallory.kubectl.kubeconfig, check=False)
        assert told.returncode == 1
        assert f'User "{mallory.name}" cannot get resource "executions"' in told.stderr
    listed = mallory.kubectl.json("-n", THEIRS, "get", "secrets")  # the same question at home is answered
    assert SECRET not in json.dumps(listed)


def test_an_owner_of_a_namespace_is_nobody_else(tenants: Tenants) -> None:
    mallory = tenants.mallory
    for who, resource, lives_in in (
        ("olga@ours.example", "users/olga@ours.example", ""),
        (f"system:serviceaccount:{OURS}:openworld-task", "serviceaccounts/openworld-task", OURS),
        (
            "system:serviceaccount:openworld-system:openworld-operator",
            "serviceaccounts/openworld-operator",
            "openworld-system",
        ),
    ):
        where = ("-n", lives_in) if lives_in else ()
        asked = mallory.kubectl("auth", "can-i", "impersonate", resource, *where, check=False)
        assert (asked.returncode, asked.stdout.strip()) == (1, "no"), (who, asked.stderr)
        if mallory.kubectl.user is not None:  # impersonated herself: kubectl names one person at a time
            continue
        for namespace in (OURS, THEIRS):
            done = mallory.kubectl("-n", namespace, "get", "executions", as_user=who, check=False)
            assert done.returncode == 1
            assert f'User "{mallory.name}" cannot impersonate' in done.stderr, (who, done.stderr)


def test_nothing_is_created_in_the_other_s_namespace(tenants: Tenants) -> None:
    told = f'User "{tenants.mallory.name}" cannot create resource'
    victim = tenants.victim
    result = {
        "execution": "victim",
        "ref": "work",
        "attempt": 0,
        "podUID": _pod(victim)["uid"],
        "status": "Completed",
    }
    for manifest in (
        signal("hostile", victim.object, "Terminate", tenants.mallory.name),
        signal("hostile", victim.object, "Approve", tenants.mallory.name, **_shown(victim)),
        definition("TaskResult", _pod(victim)["name"], result),
        definition(
            "Execution", "hostile", {"workflowRef": {"name": "private"}, "requestedBy": tenants.mallory.name}
        ),
        definition("ToolCatalog", "hostile", {"tools": []}),
        definition("Policy", "hostile", {"rules": []}),
        definition("LedgerSegment", "hostile", _segment(victim)),
    ):
        assert told in tenants.refused(manifest, namespace=OURS), manifest["kind"]
    aside = signal("aside", victim.object, "Terminate", tenants.mallory.name)
    aside["metadata"]["namespace"] = OURS
    done = tenants.mallory.kubectl(
        "create", "--raw", f"{API}/{THEIRS}/signals", "-f", "-", stdin=json.dumps(aside), check=False
    )
    assert (
        "the namespace of the provided object does not match the namespace sent on the request" in done.stderr
    )


def _pod(run: Run) -> dict[str, str]:
    """Name and uid of the pod of the victim's work."""
    selector = "openworld.dev/execution=victim,openworld.dev/ref=work"
    (pod,) = run.kubectl.json("-n", run.namespace, "get", "pods", "-l", selector)["items"]
    return {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}


def _shown(run: Run) -> JsonObject:
    asked = run.until_event("ApprovalRequested", ref="gate")
    return {"ref": "gate", "tool": asked["tool"], "itemDigest": asked["itemDigest"]}


def _segment(run: Run) -> JsonObject:
    uid = run.object["metadata"]["uid"]
    return {"execution": "victim", "executionUID": uid, "payload": {"digest": "sha256:0", "value": {}}}


def test_a_signal_reaches_only_runs_of_its_own_namespace(tenants: Tenants) -> None:
    """Every type, with all that could be known of the victim; the namesake of the victim's run is what they find."""
    victim, namesake = tenants.victim, tenants.namesake()
    before = namesake.events
    uid = victim.object["metadata"]["uid"]
    for kind in SignalType:
        name = f"hostile-{kind.value.lower()}"
        sent = signal(name, victim.object, kind.value, tenants.mallory.name, **_shown(victim))
        done = tenants.attack(sent)
        assert done.returncode == 0, done.stderr
        accepted, why = answer_to(tenants.admin, THEIRS, name)
        assert accepted == "False"
        assert why.startswith(f"executionUID is '{uid}', but the execution victim has another uid")
    assert namesake.events == before
    across = signal("across", victim.object, "Terminate", tenants.mallory.name)
    across["spec"]["execution"] = f"{OURS}/victim"
    assert "spec.execution in body should match" in tenants.refused(across)


NAMES = {
    "a slash": f"{OURS}/private",
    "dots": f"../../{OURS}/agents/private",
    "dots, encoded": f"..%2F..%2F{OURS}%2Fagents%2Fprivate",
    "a query": "?limit=1",
    "a subresource": "private/status",
    "blanks": "x y",
    "the bare name": "private",
    "a dot": f"{OURS}.private",
}


def test_a_definition_cannot_spell_another_namespace(tenants: Tenants) -> None:
    across = NAMES["a slash"]
    one = {"ref": "x", "type": "NOOP"}
    env = {"name": "T", "valueFrom": {"secretKeyRef": {"name": across, "key": "token"}}}
    script = {"provider": "scripted", "script": {"configMapName": across}}
    started = {"requestedBy": tenants.mallory.name}
    places = {
        "spec.catalogs[0]": ("Workflow", {"catalogs": [across], "tasks": [one]}),
        "spec.policyRef.name": ("Workflow", {"policyRef": {"name": across}, "tasks": [one]}),
        "spec.model.script.configMapName": ("Agent", {"model": script}),
        "spec.tools[0].run.serviceAccountName": (
            "ToolCatalog",
            {"tools": [tool("x", serviceAccountName=across)]},
        ),
        "spec.tools[0].run.container.env[0].valueFrom.secretKeyRef.name": (
            "ToolCatalog",
            {"tools": [tool("x", container={"env": [env]})]},
        ),
        "spec.workflowRef.name": ("Execution", {"workflowRef": {"name": across}, **started}),
        "spec.serviceAccountName": (
            "Execution",
            {"workflowRef": {"name": "waits"}, "serviceAccountName": across, **started},
        ),
    }
    for place, (kind, spec) in places.items():
        told = tenants.refused(definition(kind, "across", spec))
        assert f"{place} in body should match" in told or f"{place}: Invalid value" in told, told


@pytest.mark.parametrize("way", NAMES)
def test_a_name_that_arrives_as_data_is_looked_for_at_home(tenants: Tenants, way: str) -> None:
    name = NAMES[way]
    agent: JsonObject = {"ref": "x", "type": "AGENT"}
    agent["inputParameters"] = {"agent": "${workflow.input.n}", "goal": "g"}
    start: JsonObject = {"ref": "x", "type": "START_WORKFLOW"}
    start["inputParameters"] = {"startWorkflow": {"name": "${workflow.input.n}"}}
    for task, told in (
        (agent, f"Agent {name!r} does not exist in the namespace {THEIRS}"),
        (start, f"Workflow {name!r} does not exist (namespace {THEIRS})"),
    ):
        workflow = f"asks-{next(numbers)}"
        tenants.admin.apply(THEIRS, definition("Workflow", workflow, {"tasks": [task]}))
        run = tenants.run({"workflowRef": {"name": workflow}}, n=name)
        status = run.until_final()
        assert (status["phase"], status["reason"]) == ("Failed", f"task x failed: {told}")
        assert run.jobs() == []


def test_a_bare_name_of_the_other_s_is_nobody_s_at_home(tenants: Tenants) -> None:
    """Catalog, policy, agent, workflow and the child's workflow: the same names exist, in the other namespace alone."""
    one = {"ref": "x", "type": "NOOP"}
    sub = {"ref": "x", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "private"}}
    agent = {"ref": "x", "type": "AGENT", "inputParameters": {"agent": "private", "goal": "g"}}
    specs = {
        "ToolCatalog": {"catalogs": ["private"], "tasks": [{"ref": "x", "type": "noop"}]},
        "Policy": {"policyRef": {"name": "private"}, "tasks": [one]},
        "Agent": {"tasks": [agent]},
        "Workflow": {"tasks": [sub]},
    }
    runs: dict[str, Run] = {}
    for kind, spec in specs.items():
        name = f"bare-{kind.lower()}"
        tenants.admin.apply(THEIRS, definition("Workflow", name, spec))
        runs[kind] = tenants.run({"workflowRef": {"name": name}})
    runs["itself"] = tenants.run({"workflowRef": {"name": "private"}})
    missing = f"Workflow 'private' does not exist (namespace {THEIRS})"
    told = {kind: f"{kind} 'private' does not exist in the namespace {THEIRS}" for kind in specs}
    told |= {"Workflow": f"task x failed: {missing}", "itself": missing}
    for kind, run in runs.items():
        status = run.until_final()
        assert (status["phase"], status["reason"]) == ("Failed", told[kind])
        assert run.jobs() == []


def test_a_secret_of_the_other_s_never_reaches_a_pod(tenants: Tenants) -> None:
    env = [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "private", "key": "token"}}}]
    shows = (
        'open("/dev/termination-log", "w").write(__import__("json").dumps(dict(__import__("os").environ)))'
    )
    told = {"command": ["python", "-c", shows], "env": env}
    entry = definition("ToolCatalog", "greedy", {"tools": [tool("greedy", container=told), tool("takes")]})
    by_data = [{"ref": "x", "type": "takes", "input": {"t": "${workflow.secrets.private.token}"}}]
    across = [{"ref": "x", "type": "takes", "input": {"t": f"${{workflow.secrets['{OURS}/private'].token}}"}}]
    absent = 'CreateContainerConfigError: secret "private" not found'
    workflows = {
        "greedy": ([{"ref": "x", "type": "greedy"}], absent),
        "by-data": (by_data, absent),
        "across": (across, f'secretKeyRef.name: Invalid value: "{OURS}/private"'),
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "greedy"}}
    rights = granted(
        "greedy", [f"account:{THEIRS}/greedy"], rule("tools", "use"), rule("secrets", "use", group="")
    )
    tenants.admin.apply(THEIRS, entry, account, *rights)
    for name, (tasks, told) in workflows.items():
        tenants.admin.apply(THEIRS, definition("Workflow", name, {"catalogs": ["greedy"], "tasks": tasks}))
        run = tenants.run({"workflowRef": {"name": name}, "serviceAccountName": "greedy"})
        status = run.until_final()
        assert status["phase"] == "Failed"
        assert told in status["reason"]
        assert SECRET not in json.dumps(run.object)
        assert "TaskStarted" not in run.types()  # no container of it ever ran


def test_a_proposal_names_nothing_of_the_other_s(tenants: Tenants) -> None:
    items: list[JsonObject] = [
        {"ref": "tool", "type": "noop"},
        {"ref": "tool_across", "type": f"{OURS}/noop"},
        {"ref": "sub", "type": "SUB_WORKFLOW", "input": {"name": "private"}},
        {"ref": "sub_across", "type": "SUB_WORKFLOW", "input": {"name": f"{OURS}/private"}},
        {"ref": "agent", "type": "AGENT", "input": {"agent": "private", "goal": "g"}},
        *(
            {"ref": f"agent_{n}", "type": "AGENT", "input": {"agent": name, "goal": "g"}}
            for n, name in enumerate(NAMES.values())
        ),
        {"ref": "account", "type": "thief", "serviceAccountName": f"{OURS}/private", "input": {}},
        {"ref": "space", "type": "thief", "namespace": OURS, "input": {}},
    ]
    batches = [items[:5], items[5:10], items[10:]]
    script = {str(n): json.dumps({"tasks": batch}) for n, batch in enumerate(batches, 1)}
    script["9"] = json.dumps({"output": {"done": True}})
    model = {"provider": "scripted", "script": {"configMapName": "hostile"}}
    agent = {"ref": "a", "type": "AGENT", "inputParameters": {"agent": "hostile", "goal": "all of it"}}
    tenants.admin.apply(
        THEIRS,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hostile"}, "data": script},
        definition("Agent", "hostile", {"model": model, "catalogs": ["theirs"]}),
        definition("Workflow", "hostile", {"policyRef": {"name": "theirs"}, "tasks": [agent]}),
    )
    run = tenants.run({"workflowRef": {"name": "hostile"}})
    status = run.until_final(seconds=180)
    assert status["phase"] == "Completed", status["reason"]
    judged = [item for event in run.events if event["type"] == "ProposalJudged" for item in event["items"]]
    found = {item["ref"].rpartition("__")[2]: (item["decision"], item["check"]) for item in judged}
    reasons = {item["ref"].rpartition("__")[2]: item["reason"] for item in judged}
    ended = {ref.rpartition("__")[2]: task for ref, task in status["tasks"].items()}
    assert ended.pop("a")["status"] == "Completed"
    assert status["output"] == {"done": True}
    allowed = {"sub", "agent", *(f"agent_{n}" for n in range(len(NAMES)))}
    denied = {
        "tool": "catalog",
        "tool_across": "catalog",
        "sub_across": "shape",
        "account": "shape",
        "space": "shape",
    }
    assert found == {
        **dict.fromkeys(allowed, ("Allowed", "policy")),
        **{ref: ("Denied", check) for ref, check in denied.items()},
    }
    assert reasons["tool_across"] == f"there is no tool '{OURS}/noop' in catalogs theirs"
    assert reasons["account"].startswith("an item may not set 'serviceAccountName'")
    assert reasons["space"].startswith("an item may not set 'namespace'")
    names_of = {"agent": "private", **{f"agent_{n}": name for n, name in enumerate(NAMES.values())}}
    assert {ref: (task["status"], task["reason"]) for ref, task in ended.items()} == {
        "sub": ("FailedWithTerminalError", f"Workflow 'private' does not exist (namespace {THEIRS})"),
        **{
            ref: ("FailedWithTerminalError", f"Agent {name!r} does not exist in the namespace {THEIRS}")
            for ref, name in names_of.items()
        },
    }
    assert {job["metadata"]["labels"][names.REF] for job in run.jobs()} == {
        "a"
    }  # its turns, and nothing else


def test_a_pod_of_theirs_has_a_token_for_its_own_report_alone(tenants: Tenants) -> None:
    victim = tenants.victim
    spec = {"catalogs": ["theirs"], "tasks": [{"ref": "n", "type": "hold"}]}
    tenants.admin.apply(THEIRS, definition("Workflow", "neighbour", spec))
    neighbour = tenants.run({"workflowRef": {"name": "neighbour"}})
    neighbour.until_event("TaskStarted", ref="n")
    selector = f"openworld.dev/execution={neighbour.name}"
    (pod,) = tenants.admin.json("-n", THEIRS, "get", "pods", "-l", selector)["items"]
    told = {
        "namespace": OURS,
        "execution": "victim",
        "uid": victim.object["metadata"]["uid"],
        "secret": "private",
        "job": victim.jobs()[0]["metadata"]["name"],
        "pod": _pod(victim)["name"],
        "podUID": _pod(victim)["uid"],
        "neighbour": pod["metadata"]["name"],
        "neighbourUID": pod["metadata"]["uid"],
        "run": neighbour.name,
    }
    task = {"ref": "t", "type": "thief", "input": {key: f"${{workflow.input.{key}}}" for key in told}}
    spec = {"catalogs": ["theirs"], "tasks": [task]}
    tenants.admin.apply(THEIRS, definition("Workflow", "thieving", spec))
    run = tenants.run({"workflowRef": {"name": "thieving"}}, **told)
    status = run.until_final()
    assert status["phase"] == "Completed", status["reason"]
    assert status["output"] == {
        "refused": 2 * 16 + 6,
        "rest": {"report here on theirs": 201, "report as itself": 201, "report as itself again": 409},
    }
    # Its report on the namesake of the victim's run, which it was let to make, is none of that run's pods'.
    selector = "--field-selector=involvedObject.name=victim,reason=ReportRefused"

    def is_told() -> bool:
        milestones = tenants.admin.json("-n", THEIRS, "get", "events", selector)["items"]
        return any(
            "only a report of progress has a name with a dot in it" in each["message"] for each in milestones
        )

    wait_for("the refusal to be told", is_told, seconds=60)
    assert [event["type"] for event in neighbour.events if event["type"] == "TaskCompleted"] == []
    puppets.answer(neighbour, "n", output={})
    assert neighbour.until_final()["phase"] == "Completed"
    assert len(neighbour.jobs()) == 1


def test_a_pod_under_the_name_of_the_other_s_reports_at_home_and_to_nobody(tenants: Tenants) -> None:
    """Who owns a namespace can name a pod as they like, and get a token for it."""
    victim = tenants.victim
    name, uid = _pod(victim)["name"], victim.object["metadata"]["uid"]
    labels = {names.EXECUTION: "victim", names.EXECUTION_UID: uid, names.SEQ: "1"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "serviceAccountName": "openworld-task",
            "nodeSelector": {"example.com/none": "here"},
            "containers": [{"name": "task", "image": ONCALL}],
        },
    }
    assert tenants.attack(pod).returncode == 0
    made = tenants.admin.json("-n", THEIRS, "get", "pod", name)["metadata"]["uid"]
    token = tenants.mallory.kubectl(
        "-n", THEIRS, "create", "token", "openworld-task", "--bound-object-kind=Pod",
        f"--bound-object-name={name}", f"--bound-object-uid={made}",
    ).stdout.strip()  # fmt: skip
    holder = tenants.admin.with_token(token)
    spec = {
        "execution": "victim",
        "ref": "work",
        "attempt": 0,
        "podUID": made,
        "status": "Completed",
        "output": {},
    }
    report = definition("TaskResult", name, spec)
    report["metadata"]["labels"] = {names.EXECUTION: "victim"}
    there = holder.create(OURS, report, check=False)
    assert 'cannot create resource "taskresults"' in there.stderr
    assert holder.create(THEIRS, report).returncode == 0
    namesake, text = tenants.namesake(), "its name belongs to no pod of the execution victim"

    def is_refused() -> bool:
        found = tenants.admin.json("-n", THEIRS, "get", "events")["items"]
        return any(
            each["reason"] == "ReportRefused" and name in each["message"] and text in each["message"]
            for each in found
        )

    wait_for("the refusal of the report", is_refused, seconds=30)
    assert events_of(namesake) == ["ExecutionStarted", "TaskScheduled"]
    tenants.admin("-n", THEIRS, "delete", "pod", name, "--now")


def test_labels_and_owners_of_the_other_s_make_nothing_its_own(tenants: Tenants) -> None:
    victim, namesake = tenants.victim, tenants.namesake()
    before = namesake.events
    uid = victim.object["metadata"]["uid"]
    job = victim.jobs()[0]["metadata"]
    about = {
        "labels": job["labels"],
        "annotations": job["annotations"],
        "ownerReferences": job["ownerReferences"],
    }
    assert about["ownerReferences"][0]["uid"] == uid
    container = {"name": "task", "image": ONCALL, "command": ["true"]}
    pods = {"restartPolicy": "Never", "containers": [container]}
    template = {"metadata": {"labels": job["labels"], "annotations": job["annotations"]}, "spec": pods}
    forged: list[JsonObject] = [
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": job["name"], **about},
            "spec": {"backoffLimit": 0, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{job['name']}-abcde", **about},
            "spec": pods,
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": job["name"], **about}, "data": {}},
        definition(
            "Execution",
            names.child_name("victim", uid, 1),
            {"workflowRef": {"name": "waits"}, "requestedBy": tenants.mallory.name},
        ),
    ]
    forged[-1]["metadata"] |= about
    for manifest in forged:
        done = tenants.attack(manifest)
        assert done.returncode == 0, done.stderr
    for manifest in forged:  # an owner that is not in their namespace is none: what has only such goes
        where = (manifest["kind"], manifest["metadata"]["name"])
        wait_for(
            f"the end of {where}",
            lambda where=where: bool(tenants.admin("-n", THEIRS, "get", *where, check=False).returncode),
            seconds=90,
        )
    assert namesake.events == before


def test_the_record_and_the_parent_are_the_operator_s_to_write(tenants: Tenants) -> None:
    victim = tenants.victim
    uid = victim.object["metadata"]["uid"]
    writes = "the operator alone writes them"
    for name in (names.segment_name("victim", uid, 0), names.payload_name("victim", uid, "sha256:0")):
        assert writes in tenants.refused(definition("LedgerSegment", name, _segment(victim)))
    assert writes in tenants.refused(
        definition("Limit", names.limit_name("tool/hold"), {"key": "tool/hold", "holders": []})
    )
    for parent in ("victim", f"{OURS}.victim"):
        spec = {
            "workflowRef": {"name": "waits"},
            "requestedBy": tenants.mallory.name,
            "parent": {"name": parent, "uid": uid, "ref": "work", "seq": 1, "depth": 1},
        }
        assert "spec.parent is set by the operator alone" in tenants.refused(
            definition("Execution", "child", spec)
        )
    change = json.dumps({"spec": {"parent": spec["parent"]}})
    done = tenants.mallory.kubectl(
        "-n", THEIRS, "patch", "execution", "victim", "--type=merge", "-p", change, check=False
    )
    assert "spec.parent cannot be changed" in done.stderr
    for body in ({"status": {"phase": "Completed"}}, {"status": {"output": {"a": 1}}}):
        done = tenants.mallory.kubectl(
            "-n", THEIRS, "patch", "execution", "victim", "--subresource=status", "--type=merge",
            "-p", json.dumps(body), check=False,
        )  # fmt: skip
        assert writes in done.stderr


def test_the_victim_s_run_ends_as_if_it_had_been_alone(tenants: Tenants) -> None:
    """Last: its worker reports, a person of its own approves; one Job for each task, and a record that holds."""
    victim = tenants.victim
    ben = person(tenants.env, "ben@ours.example")
    tenants.admin.apply(
        OURS, *granted("approves", [ben.name], rule("signals", "create"), rule("tools", "approve"))
    )
    words = ("-n", OURS, "auth", "can-i", "create", "signals.openworld.dev")
    wait_for("the rights of ben", lambda: says_yes(ben.kubectl, *words), seconds=30)
    pod = _pod(victim)
    puppets.answer(victim, "work", output={"of": "ours"})
    ben.kubectl.create(OURS, signal("of-ours", victim.object, "Approve", ben.name, **_shown(victim)))
    status = victim.until_final()
    assert status["phase"] == "Completed", status["reason"]
    types = victim.types()
    types.pop("TaskStarted")
    assert types == Counter(
        ExecutionStarted=1,
        TaskScheduled=4,
        ApprovalRequested=1,
        ApprovalGiven=1,
        TaskCompleted=4,
        ExecutionCompleted=1,
    )
    refs = Counter(job["metadata"]["labels"]["openworld.dev/ref"] for job in victim.jobs())
    assert refs == Counter(work=1, gate=1)
    assert [event["by"] for event in victim.events if event["type"] == "ApprovalGiven"] == [ben.name]
    for kind, found in (("signals", ["of-ours"]), ("taskresults", [pod["name"]])):
        items = tenants.admin.json("-n", OURS, "get", kind, "--field-selector=spec.execution=victim")["items"]
        assert [each["metadata"]["name"] for each in items] == found
    victim.recovered()
