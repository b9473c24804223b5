"""Questions to the API server as the cluster's administrator, with the standard library alone."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from .settings import Settings


def api_server(s: Settings) -> bool:
    """Whether the API server calls itself ready."""
    return _get(s, "/readyz") is not None


def default_namespace(s: Settings) -> bool:
    """Whether pods can be created: the `kubernetes` Service and the default service account are there."""
    parts = ("services/kubernetes", "serviceaccounts/default")
    return all(_get(s, f"/api/v1/namespaces/default/{part}") is not None for part in parts)


def node(s: Settings) -> bool:
    """Whether the node's condition Ready is True."""
    answer = _get(s, f"/api/v1/nodes/{s.node_name}")
    if answer is None:
        return False
    document: dict[str, Any] = json.loads(answer)
    conditions = document["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _get(s: Settings, path: str) -> bytes | None:
    """The body of a successful answer; None for any other, or for none."""
    try:
        context = ssl.create_default_context(cafile=str(s.pki / "ca.crt"))
        context.load_cert_chain(s.pki / "admin.crt", s.pki / "admin.key")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(f"https://127.0.0.1:{s.port('apiserver')}{path}", timeout=5) as answer:
            return bytes(answer.read())
    except (OSError, urllib.error.URLError):
        return None
