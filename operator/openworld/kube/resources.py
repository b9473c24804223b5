"""Where the kinds live: group, version and plural of each, and the paths that follow from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from openworld.api import GROUP, VERSION

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def is_name(text: str) -> bool:
    """Whether an object of ours can have this name. What data names is asked for only when it can."""
    return len(text) <= 253 and _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API server's paths name it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The path of one object (`name`), of a namespace's list, or of the cluster's (no namespace)."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        rest = "".join(f"/{quote(part, safe='')}" for part in (name, subresource) if part)
        return f"{root}{scope}/{self.plural}{rest}"


def _own(plural: str, kind: str) -> Resource:
    return Resource(GROUP, VERSION, plural, kind)


EXECUTIONS = _own("executions", "Execution")
WORKFLOWS = _own("workflows", "Workflow")
TOOL_CATALOGS = _own("toolcatalogs", "ToolCatalog")
POLICIES = _own("policies", "Policy")
AGENTS = _own("agents", "Agent")
TASK_RESULTS = _own("taskresults", "TaskResult")
SIGNALS = _own("signals", "Signal")
LIMITS = _own("limits", "Limit")
LEDGER_SEGMENTS = _own("ledgersegments", "LedgerSegment")

JOBS = Resource("batch", "v1", "jobs", "Job")
PODS = Resource("", "v1", "pods", "Pod")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
EVENTS = Resource("", "v1", "events", "Event")
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)
ADMISSION_POLICIES = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    namespaced=False,
)
ADMISSION_BINDINGS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    namespaced=False,
)
