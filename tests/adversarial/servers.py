"""What MCP servers say of their tools, taken as the operator takes it: read, pinned, compared, accepted, merged.

Only the Job in between is left out; with `answers` the worker asks a server that answers so. An error that the
operator would not expect of a report is not caught.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

import orjson
from pydantic import Field, model_validator

from openworld.api import Json, JsonObject, McpServerStatus, Strict, ToolCatalog
from openworld.api.mcpserver import McpServer
from openworld.controller.catalogs import discovered_condition, with_servers
from openworld.engine.catalog_tools import merged
from openworld.engine.discovered import RefusedReport, read_report
from openworld.engine.discoveries import begun, failed, is_too_much, succeeded
from openworld.engine.pins import accepted_in, drift, with_accepted
from openworld.engine.validity import assess
from openworld_worker import builtin
from tests.unit.mcp_liar import liar, told
from tests.unit.test_worker_builtin import Said, serving

_AT = "2027-01-15T08:00:00Z"


class Listing(Strict):
    """What a server says when it is asked, or what a person does about it; exactly one of these."""

    but: dict[str, JsonObject | None] | None = Field(
        default=None, description="What it said at first, with changes by name; null: without that tool."
    )
    tools: Json = None
    report: Json = None
    answers: JsonObject | None = Field(
        default=None, description="The answer to tools/list; `#` is the number of the page."
    )
    fails: str | None = None
    accept: list[str] | Literal["all"] | None = Field(
        default=None, description="A person accepts what has drifted, by name, or the list as it is offered."
    )
    annotation: str | None = Field(default=None, description="The text of the annotation accept-drift.")

    @model_validator(mode="after")
    def _says_one_thing(self) -> Listing:
        if len(self.model_fields_set) != 1:
            raise ValueError("exactly one of but, tools, report, answers, fails, accept and annotation")
        return self


class Servers:
    """The MCP servers of an environment's catalogs, each by a name of its own, and what is pinned of them."""

    def __init__(self, catalogs: dict[str, JsonObject], honest: dict[str, list[JsonObject]]) -> None:
        self._honest = honest
        self._catalogs: dict[str, ToolCatalog] = {}
        self._statuses: dict[str, dict[str, McpServerStatus]] = {}
        self._annotations: dict[str, str] = {}
        self._discoveries = 0
        #: Every tool that was ever to be had, as its Job runs it.
        self.ever: list[JsonObject] = []
        for name, spec in catalogs.items():
            if spec.get("mcpServers"):
                self.redefine(name, spec)
        known = [server for held in self._statuses.values() for server in held]
        if sorted(known) != sorted(honest):
            raise ValueError(f"the servers are {sorted(known)}, and {sorted(honest)} are honest")

    @property
    def catalogs(self) -> list[str]:
        """The catalogs that have servers."""
        return list(self._catalogs)

    def redefine(self, catalog: str, spec: JsonObject) -> None:
        """The author says something else of a catalog; what is pinned stays."""
        self._catalogs[catalog] = ToolCatalog.model_validate(spec)
        held = self._statuses.setdefault(catalog, {})
        for server in self._catalogs[catalog].mcp_servers:
            held.setdefault(server.name, McpServerStatus(name=server.name))

    def hear(self, name: str, said: Listing) -> str:
        """A server is asked once, or a person accepts; returns the catalog that it is of."""
        catalog = next(each for each, held in self._statuses.items() if name in held)
        server = next(each for each in self._catalogs[catalog].mcp_servers if each.name == name)
        held = self._statuses[catalog]
        if said.annotation is not None:
            self._annotations[catalog] = said.annotation
        elif said.accept is not None:
            named = " ".join((self._annotations.get(catalog, ""), *_digests(server, held[name], said.accept)))
            self._annotations[catalog] = named
        else:
            held[name] = self._asked(server, held, said)
        accepted = accepted_in(self._annotations.get(catalog, ""))
        for each in self._catalogs[catalog].mcp_servers:
            held[each.name] = with_accepted(each, held[each.name], accepted)
        return catalog

    def status(self, catalog: str) -> JsonObject:
        """What the operator would write into the catalog's status, read back."""
        model = self._catalogs[catalog]
        held = [self._statuses[catalog][server.name] for server in model.mcp_servers]
        self.ever += [tool.wire() for tool, _ in merged(model, held).tools]
        assessed = assess("ToolCatalog", model.wire())
        _, said = with_servers(assessed, held, self._discoveries)
        read: JsonObject = orjson.loads(orjson.dumps(said))
        return read

    def told(self, catalog: str) -> str:
        """What the condition Discovered tells people."""
        model = self._catalogs[catalog]
        return discovered_condition(model, list(self._statuses[catalog].values()))[2]

    def _asked(self, server: McpServer, held: dict[str, McpServerStatus], said: Listing) -> McpServerStatus:
        self._discoveries += 1
        number = self._discoveries
        status = begun(server, held[server.name], number=number, job=f"ow-{number}", at=_AT, asked="")
        try:
            taken = succeeded(server, status, read_report(server, self._report(server, said)), _AT)
        except (RefusedReport, _Failed) as error:
            return failed(status, str(error), _AT)
        others = [other for name, other in held.items() if name != server.name]
        return failed(status, "too much", _AT) if is_too_much([*others, taken]) else taken

    def _report(self, server: McpServer, said: Listing) -> Any:
        if said.fails is not None:
            raise _Failed(said.fails)
        if said.answers is not None:
            return _listed(orjson.dumps(said.answers).decode())
        if said.but is None:
            return said.report if "report" in said.model_fields_set else {"tools": said.tools}
        tools = {tool["name"]: tool for tool in copy.deepcopy(self._honest[server.name])}
        for name, change in said.but.items():
            if change is None:
                del tools[name]
            else:
                plain = {"name": name, "description": "", "inputSchema": {"type": "object"}}
                tools[name] = tools.get(name, plain) | change
        return {"tools": list(tools.values())}


class _Failed(Exception):
    """A discovery found nothing."""


@cache
def _listed(answer: str) -> Any:
    """What the worker reports of a server that answers so, page by page."""
    pages = iter(range(1_000_000))

    def page(message: dict[str, Any]) -> Said:
        return told(message, orjson.loads(answer.replace("#", str(next(pages)))))

    with serving(liar(page)) as service:
        given = {"mcpServer": service.url, "headers": {}}
        outcome = builtin.call("discover-mcp-tools", given, key="k", seconds=20)
    if outcome.reason:
        raise _Failed(outcome.reason.replace(service.url, "(its URL)"))
    return outcome.output


def _digests(server: McpServer, status: McpServerStatus, accept: list[str] | Literal["all"]) -> Iterator[str]:
    if accept == "all":
        assert status.found is not None
        yield status.found.digest
        return
    digests = {each.name: each.accept for each in drift(server, status)}
    yield from (digests[name] for name in accept)
