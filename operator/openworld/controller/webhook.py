"""The validating webhook: what is wrong with a definition is refused when it is applied.

kopf serves it, the chart registers it, and `validity.assess` is asked; nothing is decided here. What cannot
be answered in time, or is too large, is left to the failurePolicy, and to the Valid condition.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import kopf
from aiohttp import web

from openworld.api import JsonObject
from openworld.engine.validity import assess
from openworld.kube import Resource
from openworld.kube.resources import AGENTS, EXECUTIONS, POLICIES, TOOL_CATALOGS, WORKFLOWS
from openworld.language.reading import Finding

logger = logging.getLogger(__name__)

#: What is asked about: each is served at the path of its plural, `/workflows`.
KINDS = (WORKFLOWS, TOOL_CATALOGS, POLICIES, AGENTS, EXECUTIONS)
PORT = 9443
#: The API server waits 5 s for an answer (the chart's timeoutSeconds).
PATIENCE_SECONDS = 4.0
#: How often the certificate is looked at; the kubelet takes a minute to bring a new one.
RENEWAL_SECONDS = 10.0
_UNPROCESSABLE = 422
_MOST_FINDINGS = 10
_LONGEST_FINDING = 1000


class WebhookServer(kopf.WebhookServer):
    """Serves with the `tls.crt` and `tls.key` of a folder, and takes up new ones.

    A request above 1 MiB is not taken (aiohttp's limit).
    """

    def __init__(
        self,
        certificates: Path,
        *,
        host: str | None = None,
        port: int = PORT,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        super().__init__(
            addr=host,
            port=port,
            certfile=certificates / "tls.crt",
            pkeyfile=certificates / "tls.key",
            file_check_interval=RENEWAL_SECONDS,
        )
        self._patience_seconds = patience_seconds
        self._serves = False

    @property
    def faults(self) -> list[str]:
        """Why nobody can be answered yet, in words for people; empty when it serves."""
        return [] if self._serves else ["the webhook is not served yet"]

    async def __call__(self, fn: kopf.WebhookFn) -> AsyncIterator[kopf.WebhookClientConfig]:
        """Serve, with what kopf hands in to answer a request. Yields when it serves."""

        async def in_time(*request: Any, **said: Any) -> Any:
            try:
                async with asyncio.timeout(self._patience_seconds):
                    return await fn(*request, **said)
            except TimeoutError:
                logger.warning("a request of the API server was not answered in time")
                raise web.HTTPServiceUnavailable(text="the operator is busy") from None

        async for config in super().__call__(in_time):
            self._serves = True
            yield config


def register(registry: kopf.OperatorRegistry) -> None:
    """Have kopf ask for each kind. One is judged at a time, in a thread: the operator goes on meanwhile."""
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="webhook")
    for resource in KINDS:
        _register(registry, resource, thread)


def _register(registry: kopf.OperatorRegistry, resource: Resource, thread: ThreadPoolExecutor) -> None:
    @kopf.on.validate(
        resource.group, resource.version, resource.plural, id=resource.plural, registry=registry
    )
    async def judge(body: kopf.Body, **_: Any) -> None:
        loop = asyncio.get_running_loop()
        refusal = await loop.run_in_executor(thread, refused, resource, dict(body))
        if refusal:
            metadata = body.metadata
            logger.info("refused %s %s/%s: %s", resource.kind, metadata.namespace, metadata.name, refusal)
            raise kopf.AdmissionError(refusal, code=_UNPROCESSABLE)


def refused(resource: Resource, body: JsonObject) -> str:
    """Why an object is refused: each mistake with its exact place. Empty when it is taken."""
    try:
        return told(assess(resource.kind, body.get("spec") or {}).findings)
    except Exception as error:
        logger.exception("a %s could not be checked", resource.kind)
        return f"spec: the operator could not check it ({type(error).__name__}; its log says more)"


def told(findings: Sequence[Finding]) -> str:
    """Findings as one text for the person who applied the object, cut to what can be read."""
    lines = [f"{finding.path}: {finding.message}" for finding in findings[:_MOST_FINDINGS]]
    lines = [line if len(line) <= _LONGEST_FINDING else f"{line[:_LONGEST_FINDING]}…" for line in lines]
    more = len(findings) - len(lines)
    return "; ".join([*lines, f"and {more} more (`openworld lint` shows all)"] if more else lines)
