"""One real cluster for all tests here, with Openworld installed by its chart.

`OPENWORLD_KEEP_CLUSTER=1` leaves it up for the next run of the tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster.backends import from_environment
from tests.support.environment import Environment, environment, install

NAME = "openworld-test"
NAMESPACES = ("demo-a", "demo-b")


@pytest.fixture(scope="session")
def env() -> Iterator[Environment]:
    """The cluster, up, with the operator ready in two namespaces."""
    cluster = from_environment(NAME)
    try:
        cluster.up()
        ready = environment(NAME)
        # Bad definitions must get in, to see what becomes of them; test_webhook.py switches the webhook on.
        install(ready, NAMESPACES, "imagePullGraceSeconds=3", "webhook.enabled=false")
        for namespace in NAMESPACES:
            ready.kubectl("-n", namespace, "delete", "executions,signals", "--all")
        yield ready
    finally:
        if not os.environ.get("OPENWORLD_KEEP_CLUSTER"):
            cluster.down()
