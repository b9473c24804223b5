"""Two tenants on a real cluster: a victim's run that waits, and another namespace whose owner is hostile."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections import Counter
from dataclasses import dataclass
from typing import Any

from openworld.api import JsonObject
from openworld.controller import names
from tests.cluster.shell import wait_for
from tests.support import puppets
from tests.support.environment import ONCALL, Environment
from tests.support.kubectl import Kubectl
from tests.support.people import Person, granted, person, rule
from tests.support.runs import Run, definition

OURS, THEIRS = "demo-a", "demo-b"
SECRET = "the-token-of-ours"
API = "/apis/openworld.dev/v1alpha1/namespaces"
KINDS = (
    "executions.openworld.dev", "ledgersegments.openworld.dev", "taskresults.openworld.dev", "signals.openworld.dev",
    "limits.openworld.dev", "workflows.openworld.dev", "toolcatalogs.openworld.dev", "policies.openworld.dev",
    "agents.openworld.dev", "secrets", "configmaps", "pods", "jobs.batch", "events", "serviceaccounts", "serviceaccounts",
    "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io",
)  # fmt: skip
#: What a pod tries with its token; where, and what was answered, is its output.
THIEF = """
import json, os, ssl, urllib.error, urllib.request
base = "/var/run/secrets/kubernetes.io/serviceaccount/"
token = open(base + "token").read()
context = ssl.create_default_context(cafile=base + "ca.crt")
host = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
pod, uid = os.environ["OPENWORLD_POD_NAME"], os.environ["OPENWORLD_POD_UID"]
told = json.load(open("/openworld/task.json"))["input"]
own, api, codes = os.environ["OPENWORLD_NAMESPACE"], "/apis/openworld.dev/v1alpha1/namespaces/", {}
def call(name, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    headers = {"Authorization": "Bearer " + token, "Content-Type": kind}
    request = urllib.request.Request(host + path, data, headers, method=method)
    try:
        codes[name] = urllib.request.urlopen(request, context=context, timeout=10).status
    except urllib.error.HTTPError as error:
        codes[name] = error.code
def made(kind, name, spec, **labels):
    return {"apiVersion": "openworld.dev/v1alpha1", "kind": kind, "metadata": {"name": name, "labels": labels},
            "spec": spec}
def report(name, namespace, pod_name, pod_uid, execution):
    spec = {"execution": execution, "ref": "work", "attempt": 0, "podUID": pod_uid, "status": "Completed", "output": {}}
    call(name, "POST", f"{api}{namespace}/taskresults",
         made("TaskResult", pod_name, spec, **{"openworld.dev/execution": execution}))
other, execution = told["namespace"], told["execution"]
for place in (other, own):
    for plural in ("executions", "ledgersegments", "taskresults", "signals", "workflows", "agents"):
        call(f"list {plural} {place}", "GET", f"{api}{place}/{plural}")
    call(f"get execution {place}", "GET", f"{api}{place}/executions/{execution}")
    call(f"patch execution {place}", "PATCH", f"{api}{place}/executions/{execution}", {"spec": {"suspend": True}})
    call(f"list secrets {place}", "GET", f"/api/v1/namespaces/{place}/secrets")
    call(f"get secret {place}", "GET", f"/api/v1/namespaces/{place}/secrets/{told['secret']}")
    call(f"list pods {place}", "GET", f"/api/v1/namespaces/{place}/pods")
    call(f"get job {place}", "GET", f"/apis/batch/v1/namespaces/{place}/jobs/{told['job']}")
    call(f"delete job {place}", "DELETE", f"/apis/batch/v1/namespaces/{place}/jobs/{told['job']}")
    spec = {"execution": execution, "executionUID": told["uid"], "type": "Terminate",
            "by": f"system:serviceaccount:{own}:openworld-task"}
    call(f"signal {place}", "POST", f"{api}{place}/signals", made("Signal", "from-a-pod", spec))
    call(f"start {place}", "POST", f"{api}{place}/executions",
         made("Execution", "from-a-pod", {"workflowRef": {"name": "private"}, "requestedBy": "x"}))
    call(f"token {place}", "POST", f"/api/v1/namespaces/{place}/serviceaccounts/openworld-agent/token",
         {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
report("report there as theirs", other, told["pod"], told["podUID"], execution)
report("report there as itself", other, pod, uid, execution)
report("report here as theirs", own, told["pod"], told["podUID"], execution)
report("report here as a neighbour", own, told["neighbour"], told["neighbourUID"], told["run"])
report("report here as a neighbour with its own uid", own, told["neighbour"], uid, told["run"])
report("report here on theirs", own, pod + ".theirs", uid, execution)
report("a second report under another name", own, pod + "2", uid, os.environ["OPENWORLD_EXECUTION"])
report("report as itself", own, pod, uid, os.environ["OPENWORLD_EXECUTION"])
report("report as itself again", own, pod, uid, os.environ["OPENWORLD_EXECUTION"])
refused = sorted(name for name, code in codes.items() if code == 403)
rest = {name: code for name, code in codes.items() if code != 403}
open("/dev/termination-log", "w").write(json.dumps({"refused": len(refused), "rest": rest}))
"""
#: For the names of runs and workflows.
numbers = itertools.count()


def tool(name: str, **run: Any) -> JsonObject:
    """A tool that takes anything and is tried once."""
    container = {"image": ONCALL, "command": ["true"], **run.pop("container", {})}
    return {
        "name": name,
        "inputSchema": {"type": "object"},
        "effect": "Read",
        "retry": {"count": 0},
        "run": {"container": container, **run},
    }


@dataclass(frozen=True)
class Tenants:
    """The victim's run, which waits for its worker and for a person, and the other tenant's owner."""

    env: Environment
    victim: Run
    mallory: Person

    @property
    def admin(self) -> Kubectl:
        """Who sees both."""
        return self.env.kubectl

    def seen(self) -> tuple[JsonObject, set[tuple[str, str]]]:
        """The victim's run to the last byte with the names and uids of all that is its own; and all that is there."""
        own: JsonObject = {"execution": self.victim.object, "own": Counter(), "objects": set()}
        every: set[tuple[str, str]] = set()
        for each in self.admin.json("-n", OURS, "get", ",".join(KINDS))["items"]:
            meta, involved = each["metadata"], each.get("involvedObject") or {}
            if each["kind"] != "Event":
                every.add((each["kind"], meta["uid"]))
            labelled = (meta.get("labels") or {}).get(names.EXECUTION)
            if {meta["name"], involved.get("name"), labelled} & {"private", "victim"}:
                own["own"][each["kind"]] += 1
                own["objects"].add((each["kind"], meta["name"], meta["uid"]))
        return own, every

    def attack(self, manifest: JsonObject, *, namespace: str = THEIRS) -> subprocess.CompletedProcess[str]:
        """What the API server says to the hostile tenant's owner."""
        return self.mallory.kubectl.create(namespace, manifest, check=False)

    def refused(self, manifest: JsonObject, *, namespace: str = THEIRS) -> str:
        """Why it is not taken."""
        done = self.attack(manifest, namespace=namespace)
        assert done.returncode != 0, f"it was accepted: {manifest}"
        return done.stderr

    def run(self, spec: JsonObject, **run_input: Any) -> Run:
        """A run of the hostile tenant's."""
        name = f"theirs-{next(numbers)}"
        execution = {"requestedBy": self.mallory.name, **spec, **({"input": run_input} if run_input else {})}
        done = self.attack(definition("Execution", name, execution))
        assert done.returncode == 0, done.stderr
        return Run(self.admin, THEIRS, name)

    def namesake(self) -> Run:
        """A run of theirs that waits, and has the name of the victim's."""
        found = Run(self.admin, THEIRS, self.victim.name)
        found.until_event("TaskScheduled", ref="h")
        return found


def events_of(run: Run) -> list[str]:
    """The types of a run's events, in order."""
    return [event["type"] for event in run.events]


def two_tenants(env: Environment) -> Tenants:
    """One run that waits in our namespace; another namespace whose owner may do everything in it."""
    kubectl = env.kubectl
    policy = {"name": "gate", "decision": "RequireApproval", "match": {"tools": ["noop"]}}
    waits = [[{"ref": "work", "type": "hold"}], [{"ref": "gate", "type": "noop"}]]
    script = {"1": json.dumps({"output": {"of": "ours"}})}
    for namespace in (OURS, THEIRS):
        kubectl.apply(namespace, *puppets.right_to_use(namespace))
    kubectl.apply(
        OURS,
        definition(
            "ToolCatalog",
            "private",
            {"tools": [puppets.tool("hold", concurrencyLimit=1, timeoutSeconds=3600), tool("noop")]},
        ),
        definition(
            "Policy", "private", {"scope": "All", "rules": [policy, {"name": "rest", "decision": "Allow"}]}
        ),
        definition(
            "Agent", "private", {"model": {"provider": "scripted", "script": {"configMapName": "private"}}}
        ),
        definition(
            "Workflow",
            "private",
            {
                "catalogs": ["private"],
                "policyRef": {"name": "private"},
                "tasks": [{"ref": "f", "type": "FORK_JOIN", "forkTasks": waits}],
            },
        ),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "private"},
            "stringData": {"token": SECRET},
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "private"}, "data": script},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "private"}},
        *granted("ours", ["olga@ours.example"], rule("*", "*"), rule("serviceaccounts", "runas", group="")),
    )
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    allow = {"name": "all", "decision": "Allow", "match": {"types": ["SIMPLE", "SUB_WORKFLOW", "AGENT"]}}
    human = {"tasks": [{"ref": "h", "type": "HUMAN"}]}
    thief = {"container": {"command": ["python", "-c", THIEF]}, "serviceAccountName": "openworld-task"}
    kubectl.apply(
        THEIRS,
        *granted("owner", ["mallory@theirs.example"], everything),
        definition(
            "ToolCatalog",
            "theirs",
            {
                "tools": [
                    tool("thief", **thief),
                    puppets.tool("hold", concurrencyLimit=1, timeoutSeconds=3600),
                ]
            },
        ),
        definition("Policy", "theirs", {"rules": [allow]}),
        definition("Workflow", "waits", human),
    )
    mallory, olga = person(env, "mallory@theirs.example"), person(env, "olga@ours.example")
    for who, namespace in ((mallory, THEIRS), (olga, OURS)):
        words = ("-n", namespace, "auth", "can-i", "create", "executions.openworld.dev")
        wait_for(f"the rights of {who.name}", lambda: says_yes(who.kubectl, *words), seconds=30)  # noqa: B023
    spec = {"workflowRef": {"name": "private"}, "requestedBy": olga.name}
    olga.kubectl.create(OURS, definition("Execution", "victim", spec))
    victim = Run(kubectl, OURS, "victim")
    victim.until_event("TaskStarted", ref="work")
    victim.until_event("ApprovalRequested", ref="gate")
    spec = {"workflowRef": {"name": "waits"}, "requestedBy": mallory.name}
    mallory.kubectl.create(THEIRS, definition("Execution", victim.name, spec))
    found = Tenants(env, victim, mallory)
    found.namesake()
    return found


def says_yes(kubectl: Kubectl, *words: str) -> bool:
    """Whether `kubectl auth can-i` says so."""
    return kubectl(*words, check=False).stdout.strip() == "yes"
