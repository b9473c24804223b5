"""Paths of the kinds that the verbs use.

The async client's own table (`openworld.kube.resources`) says the same of more kinds, but importing it
costs a quarter of a second, which a command line does not have; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass

from openworld.api import GROUP, VERSION


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind as the API server's paths name it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`apiVersion` of its objects."""
        return f"{self.group}/{self.version}"

    def path(self, namespace: str | None = None, name: str = "") -> str:
        """The path of one object, of a namespace's list, or of the cluster's (no namespace)."""
        from urllib.parse import quote

        scope = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        rest = f"/{quote(name, safe='')}" if name else ""
        return f"/apis/{self.group}/{self.version}{scope}/{self.plural}{rest}"


EXECUTIONS = Kind(GROUP, VERSION, "executions", "Execution")
LEDGER_SEGMENTS = Kind(GROUP, VERSION, "ledgersegments", "LedgerSegment")
SIGNALS = Kind(GROUP, VERSION, "signals", "Signal")
SELF_REVIEWS = Kind(
    "authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False
)
