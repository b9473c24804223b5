"""What a decision asks to be looked up: definitions, access reviews, values of scripts.

A look-up that fails raises, and the pass is tried again: nothing is ever answered by default.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from openworld.api import GROUP, JsonObject
from openworld.api.policy import COMMITTER, MANDATORY
from openworld.engine.needs import (
    Answer,
    Child,
    Definition,
    DefinitionKind,
    Environment,
    Mandatory,
    Need,
    NeedAccess,
    NeedChild,
    NeedClaim,
    NeedDefinition,
    NeedEnvironment,
    NeedMandatory,
)
from openworld.engine.validity import definition_of
from openworld.kube import Client, NotFound, Resource
from openworld.kube.resources import (
    ACCESS_REVIEWS,
    AGENTS,
    POLICIES,
    TOOL_CATALOGS,
    WORKFLOWS,
    is_name,
)
from openworld.language.versions import choose, version_in

from .claims import Claims
from .intake import revivals_of
from .names import annotations_of
from .scripts import ScriptRunner
from .stores import ObjectKey
from .world import World, workflow_key

ACCESS_SECONDS = 5.0
#: A policy that is made mandatory binds after this at the latest.
MANDATORY_SECONDS = 2.0
_RESOURCES: dict[DefinitionKind, Resource] = {
    DefinitionKind.TOOL_CATALOG: TOOL_CATALOGS,
    DefinitionKind.POLICY: POLICIES,
    DefinitionKind.AGENT: AGENTS,
}


class Answers:
    """Looks up what a decision needs."""

    def __init__(
        self,
        client: Client,
        world: World,
        scripts: ScriptRunner,
        claims: Claims,
        environment: Mapping[str, str],
        home: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._world = world
        self._scripts = scripts
        self._claims = claims
        self._environment = Environment(environment)
        self._home = home
        self._mandatory_of: dict[str, tuple[float, Mandatory]] = {}
        self._monotonic = monotonic
        self._access: dict[tuple[str, NeedAccess], tuple[float, bool]] = {}

    async def answer(self, namespace: str, needs: Iterable[Need]) -> dict[Need, Answer]:
        """The answers to some needs of an execution in `namespace`. Raises kube.ApiError."""
        return {need: await self._one(namespace, need) for need in needs}

    async def _one(self, namespace: str, need: Need) -> Answer:
        if isinstance(need, NeedDefinition):
            return await self._definition(namespace, need)
        if isinstance(need, NeedMandatory):
            return await self._mandatory(namespace)
        if isinstance(need, NeedEnvironment):
            return self._environment
        if isinstance(need, NeedAccess):
            return await self._may_use(namespace, need)
        if isinstance(need, NeedClaim):
            return await self._claims.claim(namespace, need)
        if isinstance(need, NeedChild):
            return self._child(namespace, need)
        return await self._scripts.run(need)

    def _child(self, namespace: str, need: NeedChild) -> Child:
        """A child as watched."""
        children = self._world.executions.of(ObjectKey(namespace, need.uid))
        found = (child for child in children if child.body["spec"]["parent"]["seq"] == need.seq)
        child = next(found, None)
        if child is None or child.gone:
            return Child(is_gone=True)
        return Child(revivals_of(child.body))

    async def _definition(self, namespace: str, need: NeedDefinition) -> Definition:
        """A definition as watched. What is missing, and every Policy, is read from the API server."""
        if need.kind is DefinitionKind.WORKFLOW:
            return await self._workflow(namespace, need)
        resource = _RESOURCES[need.kind]
        body = None
        if need.kind is not DefinitionKind.POLICY:
            body = self._world.store_of(resource).get(ObjectKey(namespace, need.name))
        if body is None and is_name(need.name):
            with suppress(NotFound):
                body = await self._client.get(resource, namespace, need.name)
        if body is None:
            problem = f"{need.kind.value} {need.name!r} does not exist in the namespace {namespace}"
            return Definition(need.name, None, problem=problem, missing=True)
        return _defined(need.kind, body)

    async def _mandatory(self, namespace: str) -> Mandatory:
        """The Policies that are labelled mandatory: here, and where the operator runs."""
        now = self._monotonic()
        until, known = self._mandatory_of.get(namespace, (now, Mandatory()))
        if now < until:
            return known
        found: list[Definition] = []
        for where in dict.fromkeys((namespace, self._home)):
            for body in (await self._client.list(POLICIES, where, labels=MANDATORY)).items:
                policy = _defined(DefinitionKind.POLICY, body)
                named = policy.name if where == namespace else f"{where}/{policy.name}"
                found.append(replace(policy, name=named))
        answer = Mandatory(tuple(found))
        self._mandatory_of[namespace] = (now + MANDATORY_SECONDS, answer)
        return answer

    async def _workflow(self, namespace: str, need: NeedDefinition) -> Definition:
        """A Workflow by its name and version as watched; what is missing is looked for in a fresh list."""
        known = [held.body for held in self._world.workflows.of(ObjectKey(namespace, need.name))]
        body, problem = _chosen(need, known)
        if body is None:
            listed = (await self._client.list(WORKFLOWS, namespace)).items
            body, problem = _chosen(need, [each for each in listed if workflow_key(each).name == need.name])
        if body is None:
            return Definition(need.name, None, problem=f"{problem} (namespace {namespace})", missing=True)
        return _defined(need.kind, body)

    async def _may_use(self, namespace: str, need: NeedAccess) -> bool:
        key = (namespace, need)
        now = self._monotonic()
        cached = self._access.get(key)
        if cached is not None and now < cached[0]:
            return cached[1]
        review = await self._client.create(ACCESS_REVIEWS, None, _review(namespace, need))
        status = review.get("status") or {}
        allowed = status.get("allowed") is True and status.get("denied") is not True
        self._access = {k: v for k, v in self._access.items() if now < v[0]}
        self._access[key] = (now + ACCESS_SECONDS, allowed)
        return allowed


def _defined(kind: DefinitionKind, body: JsonObject) -> Definition:
    found = definition_of(kind.value, body["metadata"]["name"], body.get("spec") or {}, body.get("status"))
    committer = annotations_of(body).get(COMMITTER)
    return found if not committer else replace(found, committer=committer[:253])


def _chosen(need: NeedDefinition, bodies: list[JsonObject]) -> tuple[JsonObject | None, str]:
    found = ((version_in(body.get("spec") or {}), body["metadata"]["name"], body) for body in bodies)
    return choose(need.name, need.version, found)


def _review(namespace: str, need: NeedAccess) -> dict[str, object]:
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{namespace}:{need.service_account}",
            "groups": [
                "system:serviceaccounts",
                f"system:serviceaccounts:{namespace}",
                "system:authenticated",
            ],
            "resourceAttributes": {
                "namespace": namespace,
                "verb": "use",
                "group": "" if need.is_secret else GROUP,
                "version": "*",
                "resource": "secrets" if need.is_secret else "tools",
                "name": need.tool,
            },
        },
    }
