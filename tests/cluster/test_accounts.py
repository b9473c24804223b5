"""What each service account of the chart can do, as the API server lists it; what a task's pod can do, tried by one."""

from __future__ import annotations

import json
import re
from collections.abc import Set as AbstractSet

import pytest

from openworld.api import JsonObject
from tests.cluster.shell import wait_for
from tests.support import puppets
from tests.support.environment import NAMESPACE as SYSTEM
from tests.support.environment import ONCALL, Environment
from tests.support.kubectl import Kubectl
from tests.support.runs import Run, definition

NAMESPACES = ("demo-a", "demo-b")
TASK, AGENT, OPERATOR = "openworld-task", "openworld-agent", "openworld-operator"
#: A resource (or URL) with the names that it is about, and a verb.
Right = tuple[str, str]


def rights(text: str) -> frozenset[Right]:
    """Rights as they are written here: a resource and its verbs a line."""
    lines = (line.split() for line in text.strip().splitlines())
    return frozenset((resource, verb) for resource, *verbs in lines for verb in verbs)


REPORTS = rights("taskresults.openworld.dev create")
ANYWHERE = rights("""
    subjectaccessreviews.authorization.k8s.io create
    validatingadmissionpolicies.admissionregistration.k8s.io list
    validatingadmissionpolicybindings.admissionregistration.k8s.io list
    customresourcedefinitions.apiextensions.k8s.io get list watch
    namespaces get list watch
""")
WORKS = ANYWHERE | rights("""
    executions.openworld.dev get list watch create
    executions.openworld.dev/status update
    executions.openworld.dev/finalizers update
    ledgersegments.openworld.dev get create
    limits.openworld.dev get create update
    workflows.openworld.dev get list watch
    toolcatalogs.openworld.dev get list watch
    policies.openworld.dev get list watch
    agents.openworld.dev get list watch
    workflows.openworld.dev/status update
    toolcatalogs.openworld.dev/status update
    policies.openworld.dev/status update
    agents.openworld.dev/status update
    taskresults.openworld.dev get list watch
    signals.openworld.dev get list watch
    signals.openworld.dev/status patch
    jobs.batch get list watch create patch delete
    pods get list watch
    configmaps get create
    events create
""")
#: In its own namespace: which policies bind everywhere.
MANDATORY = rights("policies.openworld.dev list")
NOTHING: frozenset[Right] = frozenset()


def listed(kubectl: Kubectl, account: str, namespace: str) -> frozenset[Right]:
    """What `kubectl auth can-i --list` says of a service account (`namespace/name`) in a namespace."""
    user = "system:serviceaccount:" + account.replace("/", ":")
    text = kubectl("-n", namespace, "auth", "can-i", "--list", as_user=user).stdout
    head, *lines = text.splitlines()
    columns = ("Resources", "Non-Resource URLs", "Resource Names", "Verbs")
    starts = [head.index(column) for column in columns]
    assert starts == sorted(starts)
    found: set[Right] = set()
    for line in lines:
        cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        resource, urls, names, verbs = cells[0], *(re.findall(r"[^\s\[\]]+", cell) for cell in cells[1:])
        about = resource or " ".join(urls)
        found |= {(about + "".join(f" {name}" for name in names), verb) for verb in verbs}
    return frozenset(found)


def beyond_everybody_s(env: Environment, account: str, namespace: str) -> AbstractSet[Right]:
    """What an account can do that an account of its namespace without any right cannot."""
    nobody = f"{account.partition('/')[0]}/nobody-at-all"
    common = listed(env.kubectl, nobody, namespace)
    assert ("selfsubjectaccessreviews.authorization.k8s.io", "create") in common, "the list cannot be read"
    found = listed(env.kubectl, account, namespace)
    assert common <= found
    return found - common


def test_a_list_is_read_as_it_stands(env: Environment) -> None:
    """Of what can be listed, the wildest: everything, and one name of one kind."""
    env.kubectl.apply(
        "demo-a",
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "listed"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "listed"},
            "rules": [
                {"apiGroups": ["*"], "resources": ["*"], "verbs": ["watch"]},
                {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a", "b"], "verbs": ["get"]},
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "listed"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "listed"},
            "subjects": [{"kind": "ServiceAccount", "name": "listed", "namespace": "demo-a"}],
        },
    )
    wanted = {("*.*", "watch"), ("secrets a", "get"), ("secrets b", "get")}
    wait_for(
        "the rights of the account",
        lambda: beyond_everybody_s(env, "demo-a/listed", "demo-a") == wanted,
        seconds=30,
        explain=lambda: str(beyond_everybody_s(env, "demo-a/listed", "demo-a")),
    )


@pytest.mark.parametrize("account", [TASK, AGENT])
@pytest.mark.parametrize("namespace", NAMESPACES)
def test_the_account_of_a_task_s_pod_can_report_in_its_namespace_and_nothing_else_anywhere(
    env: Environment, account: str, namespace: str
) -> None:
    for where in (*NAMESPACES, SYSTEM, "kube-system", "default"):
        expected = REPORTS if where == namespace else NOTHING
        assert beyond_everybody_s(env, f"{namespace}/{account}", where) == expected, where


def test_the_operator_s_account_can_do_what_its_tables_say(env: Environment) -> None:
    account = f"{SYSTEM}/{OPERATOR}"
    for namespace in NAMESPACES:
        assert beyond_everybody_s(env, account, namespace) == WORKS
    for elsewhere in (SYSTEM, "kube-system", "default"):
        at_home = MANDATORY if elsewhere == SYSTEM else NOTHING
        assert beyond_everybody_s(env, account, elsewhere) == ANYWHERE | at_home, elsewhere


def test_there_is_no_other_account_and_none_that_everybody_has_gained_rights_by(env: Environment) -> None:
    selector = "app.kubernetes.io/name=openworld"
    found = env.kubectl.json("get", "serviceaccounts", "--all-namespaces", "-l", selector)["items"]
    accounts = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in found}
    assert accounts == {
        (SYSTEM, OPERATOR),
        *((space, name) for space in NAMESPACES for name in (TASK, AGENT)),
    }
    bound = env.kubectl.json("get", "rolebindings,clusterrolebindings", "--all-namespaces", "-l", selector)
    subjects = [subject for each in bound["items"] for subject in each["subjects"]]
    assert {subject["kind"] for subject in subjects} == {"ServiceAccount"}
    assert {(subject["namespace"], subject["name"]) for subject in subjects} == accounts


#: Every verb on every kind that the API server serves, in a namespace: one right of all is granted.
PROBE = """
import json, os, ssl, urllib.error, urllib.request
base = "/var/run/secrets/kubernetes.io/serviceaccount/"
token = open(base + "token").read()
context = ssl.create_default_context(cafile=base + "ca.crt")
host = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
own, other = os.environ["OPENWORLD_NAMESPACE"], "demo-a"
def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    headers = {"Authorization": "Bearer " + token, "Content-Type": kind}
    request = urllib.request.Request(host + path, data, headers, method=method)
    try:
        answer = urllib.request.urlopen(request, context=context, timeout=10)
        return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
def read(path):
    return json.loads(call("GET", path)[1])
roots = ["/api/v1"] + ["/apis/" + g["preferredVersion"]["groupVersion"] for g in read("/apis")["groups"]]
tried, passed, reviews = 0, [], []
for root in roots:
    for kind in read(root)["resources"]:
        plural, _, sub = kind["name"].partition("/")
        for place in (["/namespaces/" + own, "/namespaces/" + other] if kind["namespaced"] else [""]):
            name = f"{root}{place}/{plural}/x" + (f"/{sub}" if sub else "")
            ways = {"get": ("GET", name), "update": ("PUT", name), "patch": ("PATCH", name), "delete": ("DELETE", name)}
            if not sub:
                ways |= {"list": ("GET", f"{root}{place}/{plural}"), "create": ("POST", f"{root}{place}/{plural}"),
                         "deletecollection": ("DELETE", f"{root}{place}/{plural}")}
            else:
                ways["create"] = ("POST", name)
            for verb in sorted(ways.keys() & set(kind["verbs"])):
                method, path = ways[verb]
                code, _ = call(method, path, {} if method in ("POST", "PUT", "PATCH") else None)
                tried += 1
                if code != 403:
                    group = "." + root.split("/")[2] if root != "/api/v1" else ""
                    passed.append([plural + group + ("/" + sub if sub else ""), verb, place])
pod, uid, run = os.environ["OPENWORLD_POD_NAME"], os.environ["OPENWORLD_POD_UID"], os.environ["OPENWORLD_EXECUTION"]
def report(name, namespace=own, pod_uid=uid):
    spec = {"execution": run, "ref": "t", "attempt": 0, "podUID": pod_uid, "status": "Completed", "output": {"by": "report"}}
    body = {"apiVersion": "openworld.dev/v1alpha1", "kind": "TaskResult", "spec": spec,
            "metadata": {"name": name, "labels": {"openworld.dev/execution": run}}}
    return call("POST", f"/apis/openworld.dev/v1alpha1/namespaces/{namespace}/taskresults", body)[0]
reports = {"own": report(pod), "own again": report(pod), "another name": report("x" + pod), "prefix": report(pod[:-1]),
           "another uid": report(pod + ".p", pod_uid="x"), "elsewhere": report(pod, other)}
open("/dev/termination-log", "w").write(json.dumps({"tried": tried, "passed": passed, "reports": reports}))
"""


def test_a_pod_s_own_token_opens_one_door(env: Environment) -> None:
    """Each verb on each kind the API server serves, its own namespace and another; then its report."""
    namespace = "demo-b"
    run_as = {"container": {"image": ONCALL, "command": ["python", "-c", PROBE]}, "serviceAccountName": TASK}
    tool = {
        "name": "probe",
        "inputSchema": {"type": "object"},
        "effect": "Read",
        "retry": {"count": 0},
        "run": run_as,
    }
    env.kubectl.apply(
        namespace,
        *puppets.right_to_use(namespace),
        definition("ToolCatalog", "probing", {"tools": [tool]}),
        definition(
            "Workflow", "probing", {"catalogs": ["probing"], "tasks": [{"ref": "t", "type": "probe"}]}
        ),
    )
    run = Run.start(env.kubectl, namespace, "probing", {"workflowRef": {"name": "probing"}})
    status = run.until_final()
    assert status["phase"] == "Completed", status["reason"]
    pod = _ended_pod(env, run)
    message = json.loads(pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"])
    assert message["reports"] == {
        "own": 201,
        "own again": 409,
        "another name": 403,
        "prefix": 403,
        "another uid": 403,
        "elsewhere": 403,
    }
    assert message["tried"] > 300
    common = listed(env.kubectl, f"{namespace}/nobody-at-all", namespace)
    passed = {(resource, verb): place for resource, verb, place in message["passed"]}
    assert passed.keys() - common == REPORTS
    assert passed["taskresults.openworld.dev", "create"] == f"/namespaces/{namespace}"
    assert len(passed) == len(message["passed"])
    every = env.kubectl.json("-n", namespace, "get", "taskresults")["items"]
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    mine = [
        each["metadata"]["name"] for each in every if name in each["metadata"]["name"] or uid in str(each)
    ]
    assert mine == [name]


def _ended_pod(env: Environment, run: Run) -> JsonObject:
    """The run's one pod, which may outlive its report, when it has ended."""
    selector = f"openworld.dev/execution={run.name}"
    found: JsonObject = {}

    def look() -> bool:
        (pod,) = env.kubectl.json("-n", run.namespace, "get", "pods", "-l", selector)["items"]
        found.update(pod)
        return "terminated" in pod["status"]["containerStatuses"][0]["state"]

    wait_for("the end of the pod", look, seconds=60)
    return found
