"""The operator's settings: read once from the environment, checked, and never changed.

A wrong value stops the operator at its start with a message that names the variable.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from openworld.api.toolcatalog import PullPolicy

_E = TypeVar("_E", bound=StrEnum)


class SettingsError(Exception):
    """An environment variable holds a value that cannot be used."""


class Fencing(StrEnum):
    """Which path creates Jobs (see docs/architecture/controller.md, "The fence")."""

    FAST = "Fast"
    STRICT = "Strict"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set from outside."""

    agent_image: str
    """OPENWORLD_AGENT_IMAGE: image that takes an agent's turns and runs HTTP and EVENT tasks. Required."""

    namespaces: tuple[str, ...] = ()
    """OPENWORLD_NAMESPACES: namespaces that are served, separated by commas. Empty: all."""

    operator_namespace: str = "openworld-system"
    """OPENWORLD_OPERATOR_NAMESPACE: namespace that the operator runs in."""

    image_pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    """OPENWORLD_IMAGE_PULL_POLICY: imagePullPolicy of the agent image."""

    log_level: int = logging.INFO
    """OPENWORLD_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""

    fencing: Fencing = Fencing.FAST
    """OPENWORLD_FENCING: Fast, or Strict to create every Job suspended first."""

    job_retention_seconds: int = 900
    """OPENWORLD_JOB_RETENTION_SECONDS: how long a finished Job stays after its result is recorded."""

    image_pull_grace_seconds: int = 60
    """OPENWORLD_IMAGE_PULL_GRACE_SECONDS: how long a failing image pull may still heal by itself."""

    concurrency: int = 16
    """OPENWORLD_CONCURRENCY: executions that are reconciled at the same time."""

    requests_per_second: int = 100
    """OPENWORLD_REQUESTS_PER_SECOND: the operator's own rate of API requests; twice as many may burst."""

    workflow_env: Mapping[str, str] = field(default_factory=dict)
    """OPENWORLD_WORKFLOW_ENV: what `${workflow.env.NAME}` is, as a JSON object of texts, up to 16 KiB."""

    webhook_certificates: Path | None = None
    """OPENWORLD_WEBHOOK_CERTIFICATES: folder of the webhook's tls.crt and tls.key. Empty: no webhook."""


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings that the environment names. Raises SettingsError."""
    read = _Reader(environment)
    return Settings(
        agent_image=read.text("OPENWORLD_AGENT_IMAGE", required=True),
        namespaces=read.names("OPENWORLD_NAMESPACES"),
        operator_namespace=read.text("OPENWORLD_OPERATOR_NAMESPACE", Settings.operator_namespace),
        image_pull_policy=read.choice("OPENWORLD_IMAGE_PULL_POLICY", PullPolicy, Settings.image_pull_policy),
        log_level=read.level("OPENWORLD_LOG_LEVEL", Settings.log_level),
        fencing=read.choice("OPENWORLD_FENCING", Fencing, Settings.fencing),
        job_retention_seconds=read.number(
            "OPENWORLD_JOB_RETENTION_SECONDS", Settings.job_retention_seconds, least=60
        ),
        image_pull_grace_seconds=read.number(
            "OPENWORLD_IMAGE_PULL_GRACE_SECONDS", Settings.image_pull_grace_seconds, least=0
        ),
        concurrency=read.number("OPENWORLD_CONCURRENCY", Settings.concurrency, least=1),
        requests_per_second=read.number(
            "OPENWORLD_REQUESTS_PER_SECOND", Settings.requests_per_second, least=1
        ),
        workflow_env=read.texts("OPENWORLD_WORKFLOW_ENV", most_bytes=16 * 1024),
        webhook_certificates=read.folder("OPENWORLD_WEBHOOK_CERTIFICATES"),
    )


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str, default: str = "", *, required: bool = False) -> str:
        value = self._environment.get(name, "").strip() or default
        if required and not value:
            raise SettingsError(f"{name} must be set")
        return value

    def names(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self._environment.get(name, "").split(",") if part.strip())

    def choice(self, name: str, kind: type[_E], default: _E) -> _E:
        value = self.text(name, default.value)
        try:
            return kind(value)
        except ValueError:
            allowed = ", ".join(member.value for member in kind)
            raise SettingsError(f"{name} must be one of {allowed}; it is {value!r}") from None

    def level(self, name: str, default: int) -> int:
        value = self.text(name, logging.getLevelName(default)).upper()
        known = {"DEBUG": logging.DEBUG, "INFO": logging.INFO, "WARNING": logging.WARNING}
        known["ERROR"] = logging.ERROR
        if value not in known:
            raise SettingsError(f"{name} must be one of {', '.join(known)}; it is {value!r}")
        return known[value]

    def texts(self, name: str, *, most_bytes: int) -> dict[str, str]:
        text = self.text(name, "{}")
        try:
            value = json.loads(text)
        except ValueError as error:
            raise SettingsError(f"{name} must be a JSON object: {error}") from None
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise SettingsError(f"{name} must be a JSON object whose values are texts")
        if len(text.encode()) > most_bytes:
            raise SettingsError(f"{name} has {len(text.encode())} bytes; the limit is {most_bytes}")
        return value

    def folder(self, name: str) -> Path | None:
        value = self.text(name)
        return Path(value) if value else None

    def number(self, name: str, default: int, *, least: int) -> int:
        value = self.text(name, str(default))
        if not (value.isascii() and value.isdigit()) or int(value) < least:
            raise SettingsError(f"{name} must be a whole number of at least {least}; it is {value!r}")
        return int(value)
