"""Ways to an API server, the request rate, and settings from the environment."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from pathlib import Path

import pytest
import yaml

from openworld.api.toolcatalog import PullPolicy
from openworld.controller.settings import Fencing, Settings, SettingsError
from openworld.controller.settings import from_environment as settings_from
from openworld.kube import AccessError, RateLimit, TokenBucket, from_environment
from openworld.kube.access import TokenFile, in_cluster


def kubeconfig(folder: Path, **user: str) -> Path:
    path = folder / "config"
    content = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [
            {
                "name": "c",
                "cluster": {"server": "https://127.0.0.1:1/", "certificate-authority-data": b64("CA")},
            }
        ],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_kubeconfig_gives_a_client_certificate(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("KEY")
    path = kubeconfig(tmp_path, **{"client-certificate-data": b64("CERT"), "client-key": "key.pem"})
    access = from_environment({"OPENWORLD_KUBECONFIG": str(path)})
    assert (access.server, access.ca, access.certificate, access.key) == (
        "https://127.0.0.1:1",
        "CA",
        "CERT",
        "KEY",
    )
    assert access.bearer() == ""


def test_a_kubeconfig_gives_a_token(tmp_path: Path) -> None:
    access = from_environment({"KUBECONFIG": str(kubeconfig(tmp_path, token="secret"))})
    assert access.bearer() == "secret"
    assert "secret" not in repr(access)


def test_a_kubeconfig_without_credentials_is_refused_with_the_users_name(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, username="u")
    with pytest.raises(AccessError, match="user 'u' has neither a client certificate nor a token"):
        from_environment({"KUBECONFIG": str(path)})


def test_a_kubeconfig_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r"the kubeconfig .*/absent cannot be read"):
        from_environment({"KUBECONFIG": str(tmp_path / "absent")})


def test_outside_of_a_cluster_a_kubeconfig_must_be_named() -> None:
    with pytest.raises(AccessError, match="name a kubeconfig file in OPENWORLD_KUBECONFIG"):
        from_environment({})


def test_in_a_cluster_the_pods_own_account_is_used_and_its_rotated_token_read_again(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("CA")
    (tmp_path / "token").write_text("first\n")
    access = in_cluster("fd00::1", "443", tmp_path)
    assert access.server == "https://[fd00::1]:443"
    assert access.bearer() == "first"
    (tmp_path / "token").write_text("second\n")
    os.utime(tmp_path / "token", ns=(1, 1))
    assert access.bearer() == "second"


def test_a_token_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="absent cannot be read"):
        TokenFile(tmp_path / "absent").read()


def test_the_request_rate_lets_a_burst_pass_and_then_paces() -> None:
    now = [0.0]
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(round(seconds, 6))

    async def story() -> None:
        bucket = TokenBucket(RateLimit(per_second=10, burst=2), clock=lambda: now[0], pause=pause)
        for _ in range(4):
            await bucket.take()
        now[0] = 10.0
        await bucket.take()

    asyncio.run(story())
    assert pauses == [0.1, 0.2]


def test_settings_have_defaults_for_all_but_the_agent_image() -> None:
    assert settings_from({"OPENWORLD_AGENT_IMAGE": "example/agent:1"}) == Settings(
        agent_image="example/agent:1"
    )
    with pytest.raises(SettingsError, match="OPENWORLD_AGENT_IMAGE must be set"):
        settings_from({})


def test_every_setting_is_read() -> None:
    assert settings_from(
        {
            "OPENWORLD_AGENT_IMAGE": "example/agent:1",
            "OPENWORLD_NAMESPACES": "a, b,",
            "OPENWORLD_OPERATOR_NAMESPACE": "ops",
            "OPENWORLD_IMAGE_PULL_POLICY": "Never",
            "OPENWORLD_LOG_LEVEL": "debug",
            "OPENWORLD_FENCING": "Strict",
            "OPENWORLD_JOB_RETENTION_SECONDS": "60",
            "OPENWORLD_IMAGE_PULL_GRACE_SECONDS": "0",
            "OPENWORLD_CONCURRENCY": "1",
            "OPENWORLD_REQUESTS_PER_SECOND": "5",
            "OPENWORLD_WEBHOOK_CERTIFICATES": "/etc/webhook",
            "OPENWORLD_WORKFLOW_ENV": '{"STAGE": "test"}',
        }
    ) == Settings(
        agent_image="example/agent:1",
        namespaces=("a", "b"),
        operator_namespace="ops",
        image_pull_policy=PullPolicy.NEVER,
        log_level=logging.DEBUG,
        fencing=Fencing.STRICT,
        job_retention_seconds=60,
        image_pull_grace_seconds=0,
        concurrency=1,
        requests_per_second=5,
        webhook_certificates=Path("/etc/webhook"),
        workflow_env={"STAGE": "test"},
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OPENWORLD_FENCING", "fast", "OPENWORLD_FENCING must be one of Fast, Strict; it is 'fast'"),
        (
            "OPENWORLD_LOG_LEVEL",
            "loud",
            "OPENWORLD_LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR; it is 'LOUD'",
        ),
        (
            "OPENWORLD_JOB_RETENTION_SECONDS",
            "5",
            "OPENWORLD_JOB_RETENTION_SECONDS must be a whole number of at least 60; it is '5'",
        ),
        (
            "OPENWORLD_CONCURRENCY",
            "-1",
            "OPENWORLD_CONCURRENCY must be a whole number of at least 1; it is '-1'",
        ),
        (
            "OPENWORLD_WORKFLOW_ENV",
            '{"A": 1}',
            "OPENWORLD_WORKFLOW_ENV must be a JSON object whose values are texts",
        ),
        (
            "OPENWORLD_WORKFLOW_ENV",
            "{",
            "OPENWORLD_WORKFLOW_ENV must be a JSON object: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)",
        ),
        (
            "OPENWORLD_WORKFLOW_ENV",
            '{"A": "' + "x" * 16384 + '"}',
            "OPENWORLD_WORKFLOW_ENV has 16393 bytes; the limit is 16384",
        ),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from({"OPENWORLD_AGENT_IMAGE": "example/agent:1", name: value})
    assert str(caught.value) == message
