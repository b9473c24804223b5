"""A ToolCatalog as `kubectl get otc NAME -o yaml` prints it, with what the operator has pinned of its MCP servers."""

from __future__ import annotations

import json
from typing import Any

from openworld.api import ToolCatalog
from openworld.api.mcpserver import McpServerStatus
from openworld.controller.catalogs import with_servers
from openworld.engine.discovered import read_report
from openworld.engine.discoveries import begun, succeeded
from openworld.engine.validity import assess

AT = "2027-01-15T08:00:00Z"
Tools = list[dict[str, Any]]


def offered(name: str, **more: Any) -> dict[str, Any]:
    """A tool as its server lists it: it takes one text, `q`."""
    schema = {
        "type": "object",
        "required": ["q"],
        "additionalProperties": False,
        "properties": {"q": {"type": "string"}},
    }
    return {
        "name": name,
        "description": f"What {name} does.",
        "inputSchema": schema,
        "annotations": {},
        **more,
    }


def exported(name: str, spec: dict[str, Any], lists: dict[str, list[Tools]]) -> dict[str, Any]:
    """The catalog after its servers were asked so often, each time with these tools."""
    catalog = ToolCatalog.model_validate(spec)
    held = []
    for server in catalog.mcp_servers:
        status = McpServerStatus(name=server.name)
        for number, tools in enumerate(lists.get(server.name, ()), start=1):
            status = begun(server, status, number=number, job=f"ow-x-{number}", at=AT, asked="")
            status = succeeded(server, status, read_report(server, {"tools": tools}), AT)
        held.append(status)
    judged, said = with_servers(assess("ToolCatalog", spec), held, 1)
    said |= {"digest": judged.digest, "observedGeneration": 1, "conditions": []}
    body = {
        "apiVersion": "openworld.dev/v1alpha1",
        "kind": "ToolCatalog",
        "metadata": {"name": name, "namespace": "default", "resourceVersion": "7", "uid": "u-1"},
        "spec": spec,
        "status": said,
    }
    copied: dict[str, Any] = json.loads(json.dumps(body))
    return copied
