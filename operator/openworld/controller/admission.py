"""The guard: while an admission policy of the chart is missing, nothing is judged.

Signals, reports and requesters are believed because admission has vouched for them. The operator
therefore checks, at its start and ever after, that its policies and their bindings are in force.
"""

from __future__ import annotations

import asyncio
import logging

from openworld.api import JsonObject
from openworld.kube import ApiError, Client
from openworld.kube.resources import ADMISSION_BINDINGS, ADMISSION_POLICIES
from openworld.ledger import epoch_ms

logger = logging.getLogger(__name__)

CHECK_SECONDS = 60.0
RECHECK_SECONDS = 5.0

#: The chart's policies: whose run it is, who writes the record, who signals, which pod reports.
POLICIES = (
    "openworld-executions",
    "openworld-ledger",
    "openworld-signals",
    "openworld-taskresults",
)


def faults(policies: list[JsonObject], bindings: list[JsonObject], required: tuple[str, ...]) -> list[str]:
    """What is missing or without force, in words for people."""
    found: list[str] = []
    by_name = {policy["metadata"]["name"]: policy for policy in policies}
    bound = {
        binding["spec"].get("policyName")
        for binding in bindings
        if "Deny" in (binding["spec"].get("validationActions") or ())
    }
    for name in required:
        policy = by_name.get(name)
        if policy is None:
            found.append(f"ValidatingAdmissionPolicy {name} does not exist")
        elif policy["spec"].get("failurePolicy", "Fail") != "Fail":
            found.append(
                f"ValidatingAdmissionPolicy {name} has failurePolicy {policy['spec']['failurePolicy']}"
            )
        if name not in bound:
            found.append(f"no ValidatingAdmissionPolicyBinding denies by {name}")
    return found


def standing_since_ms(
    policies: list[JsonObject], bindings: list[JsonObject], required: tuple[str, ...]
) -> int:
    """Since when all of them have stood (epoch, milliseconds): what is older, nobody has vouched for."""
    times = [each["metadata"] for each in policies if each["metadata"]["name"] in required]
    for name in required:
        bound = [each["metadata"] for each in bindings if each["spec"].get("policyName") == name]
        times += sorted(bound, key=lambda metadata: metadata["creationTimestamp"])[:1]
    return max((epoch_ms(metadata["creationTimestamp"]) for metadata in times), default=0)


class AdmissionGuard:
    """Whether the door is closed: every admission policy stands and is bound.

    `since_ms` is since when (epoch, milliseconds).
    """

    def __init__(self, client: Client, required: tuple[str, ...] = POLICIES) -> None:
        self._client = client
        self._required = required
        self._faults: list[str] = ["the admission policies have not been checked yet"]
        self.since_ms = 0

    @property
    def is_closed(self) -> bool:
        """Whether nobody gets past admission, so that facts can be believed."""
        return not self._faults

    @property
    def faults(self) -> list[str]:
        """What is missing, in words for people."""
        return list(self._faults)

    async def check(self) -> None:
        """Look at the policies and bindings as they are now."""
        try:
            policies = await self._client.list(ADMISSION_POLICIES)
            bindings = await self._client.list(ADMISSION_BINDINGS)
        except ApiError as error:
            found = [f"the admission policies cannot be read: {error}"]
        else:
            found = faults(policies.items, bindings.items, self._required)
            self.since_ms = standing_since_ms(policies.items, bindings.items, self._required)
        if found != self._faults:
            for fault in found:
                logger.error("not ready: %s; install the chart's admission policies", fault)
            if not found:
                logger.info("all %d admission policies are in force", len(self._required))
        self._faults = found

    async def keep_checking(self) -> None:
        """Check for ever: soon again while something is missing, else every minute."""
        while True:
            await asyncio.sleep(CHECK_SECONDS if self.is_closed else RECHECK_SECONDS)
            await self.check()
