"""MCP servers in catalogs, without a cluster: what is read of a report, pinned, drifted, accepted, and merged."""

from __future__ import annotations

import copy
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openworld.api import Effect, Tool, ToolCatalog
from openworld.api.mcpserver import McpServer, McpServerStatus
from openworld.api.toolcatalog import BUILT_IN_IMAGE
from openworld.engine.catalog_tools import effect_of, merged
from openworld.engine.discovered import MOST_TOOLS, RefusedReport, read_report
from openworld.engine.discoveries import begun, due_ms, failed, is_outdated, is_too_much, succeeded
from openworld.engine.pins import accepted_in, drift, with_accepted, with_found
from openworld.engine.validity import assess, definition_of
from openworld.governance import CatalogSource, find_tool
from openworld.ledger import epoch_ms
from tests.support.governance import only, question

AT = "2027-01-15T08:00:00Z"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"q": {"type": "string"}}}


def server(**more: Any) -> McpServer:
    return McpServer.model_validate({"name": "docs", "url": "https://docs.example/mcp", **more})


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"What {name} does.",
        "inputSchema": SCHEMA,
        "annotations": {},
        **more,
    }


def listing(*tools: dict[str, Any]) -> dict[str, Any]:
    return {"tools": list(tools)}


def status_after(of: McpServer, *discoveries: dict[str, Any]) -> McpServerStatus:
    status = McpServerStatus(name=of.name)
    for report in discoveries:
        status = with_found(of, status, read_report(of, report))
    return status


def names(status: McpServerStatus) -> list[str]:
    return [each.name for each in status.tools]


def changes(of: McpServer, status: McpServerStatus) -> list[tuple[str, str, list[str]]]:
    return [(each.name, each.change.value, each.differs) for each in drift(of, status)]


# A report is not believed


def test_a_report_gives_its_tools_by_name() -> None:
    found = read_report(server(), listing(tool("search"), tool("fetch")))
    assert ([each.name for each in found.tools.tools], found.left_out) == (["fetch", "search"], ())


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"name": "sеarch"}, "is no name of a tool"),
        ({"name": "a.b"}, "is no name of a tool"),
        ({"name": "x" * 65}, "is no name of a tool"),
        ({"name": "HTTP"}, "is spelt like a task type"),
        ({"description": 5}, "its description is no text"),
        ({"description": "x" * 4097}, "its description has 4097 characters"),
        ({"description": "good\u202edab"}, "holds a character that nobody sees (U+202E)"),
        ({"description": "a\x1b[2J"}, "holds a character that nobody sees (U+001B)"),
        ({"description": "good\U000e0041\U000e007f"}, "holds a character that nobody sees (U+E0041)"),
        ({"description": "good\U000e0101\U000e0142"}, "holds a character that nobody sees (U+E0101)"),
        ({"description": "good\ufe01\ufe02"}, "holds a character that nobody sees (U+FE01)"),
        ({"description": "good\u3164"}, "holds a character that nobody sees (U+3164)"),
        ({"description": "\ufe0f\ufe0e\ufe0f"}, "holds a character that nobody sees (U+FE0F)"),
        ({"description": "\u2764\ufe0f\ufe0e"}, "holds a character that nobody sees (U+FE0E)"),
        ({"description": "a\u200d\u200d"}, "holds a character that nobody sees (U+200D)"),
        (
            {"inputSchema": {"properties": {"q": {"description": "a\U000e0101"}}}},
            "its inputSchema holds a character that nobody sees (U+E0101), at properties.q.description",
        ),
        (
            {"inputSchema": {"properties": {"q\u200b": {}}}},
            "its inputSchema holds a character that nobody sees (U+200B), at properties",
        ),
        (
            {"inputSchema": {"enum": ["a", "b\u202e"]}},
            "its inputSchema holds a character that nobody sees (U+202E), at enum[1]",
        ),
        ({"inputSchema": None}, "its inputSchema is no object"),
        ({"inputSchema": {"$ref": "https://evil.example/s.json"}}, "only references of the form #/"),
        ({"inputSchema": {"pattern": "(?=a)b"}}, "not a regular expression that matches in linear time"),
        ({"inputSchema": {"description": "x" * 70_000}}, "at most 65536 are allowed"),
        ({"inputSchema": {"default": 2**60}}, "its inputSchema cannot be used"),
        ({"inputSchema": reduce(lambda inner, _: {"items": inner}, range(60), {})}, "it cannot be recorded"),
        ({"inputSchema": reduce(lambda inner, _: {"items": inner}, range(500), {})}, "cannot be used"),
        ({"inputSchema": {"$ref": "x\u202e\x1b"}}, "\\u202e\\x1b"),
        ({"inputSchema": {"type": "nothing"}}, "its inputSchema cannot be used"),
    ],
)
def test_a_tool_that_cannot_be_used_is_left_out_with_the_reason(wrong: dict[str, Any], reason: str) -> None:
    found = read_report(server(), listing(tool("good"), {**tool("bad"), **wrong}))
    (left_out,) = found.left_out
    assert [each.name for each in found.tools.tools] == ["good"]
    assert reason in left_out.reason
    assert left_out.name.isascii()
    assert left_out.reason.isprintable()


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (None, "holds no list of tools"),
        ({"tools": {}}, "holds no list of tools"),
        ({"tools": ["x"]}, "lists a tool without a name"),
        (listing(tool("a"), tool("a", description="other")), "more than one tool named 'a'"),
        (listing(*(tool(f"t{n}") for n in range(MOST_TOOLS + 1))), "lists 257 tools; at most 256"),
        (
            listing(*(tool(f"t{n}", inputSchema={"description": "x" * 60_000}) for n in range(5))),
            "bytes; at most 262,144 are kept",
        ),
    ],
)
def test_a_doubtful_list_is_refused_as_a_whole(report: Any, reason: str) -> None:
    with pytest.raises(RefusedReport, match=reason):
        read_report(server(), report)


def test_only_what_is_allowed_and_not_denied_counts() -> None:
    of = server(allow=["get_*", "put_a"], deny=["*_secret"])
    twice = tool("other")
    found = read_report(of, listing(tool("get_a"), tool("get_secret"), tool("put_a"), twice, twice))
    assert [each.name for each in found.tools.tools] == ["get_a", "put_a"]


def test_what_everyone_writes_is_seen() -> None:
    text = "\u2764\ufe0f\u200d\U0001f525 ready \U0001f469\u200d\U0001f4bb:\r\n\tna\u00efve \u4f60\u597d"
    schema = {"properties": {"q": {"description": text, "pattern": "^[\\x00-\\x1f]$"}}}
    found = read_report(server(), listing(tool("a", description=text, inputSchema=schema)))
    assert ([each.name for each in found.tools.tools], found.left_out) == (["a"], ())


def test_a_prefix_makes_a_name_valid() -> None:
    found = read_report(server(prefix="docs_"), listing(tool("7zip"), tool("-v")))
    assert [each.name for each in found.tools.tools] == ["-v", "7zip"]


# Pins, drift, acceptance


def test_the_first_discovery_pins_and_the_same_again_changes_nothing() -> None:
    of = server()
    once = status_after(of, listing(tool("a"), tool("b")))
    assert (names(once), once.found, drift(of, once)) == (["a", "b"], None, ())
    again = status_after(of, listing(tool("a"), tool("b")), listing(tool("b"), tool("a")))
    assert again == once


CHANGED = {
    "inputSchema": tool("a", inputSchema={"type": "object"}),
    "description": tool("a", description="Now it also mails your secrets."),
    "hints": tool("a", annotations={"readOnlyHint": True}),
}


@pytest.mark.parametrize("part", CHANGED)
def test_each_part_of_a_tool_drifts_and_moves_only_when_its_digest_is_named(part: str) -> None:
    of = server()
    status = status_after(of, listing(tool("a"), tool("b")), listing(CHANGED[part], tool("b")))
    assert changes(of, status) == [("a", "Changed", [part])]
    pinned = status.digest
    assert with_accepted(of, status, accepted_in("")) == status
    assert with_accepted(of, status, accepted_in("sha256:" + "0" * 64)) == status
    (drifted,) = drift(of, status)
    for accept in (drifted.accept, status.found.digest if status.found else ""):
        moved = with_accepted(of, status, accepted_in(f"yes {accept}"))
        assert (drift(of, moved), moved.found) == ((), None)
        assert moved.digest != pinned


def test_new_and_vanished_tools_are_drift_too_and_are_accepted_one_by_one() -> None:
    of = server(prefix="d_")
    status = status_after(of, listing(tool("a"), tool("b")), listing(tool("b"), tool("c")))
    assert changes(of, status) == [("d_a", "Gone", []), ("d_c", "New", [])]
    gone, new = drift(of, status)
    one = with_accepted(of, status, {new.accept})
    assert (names(one), changes(of, one)) == (["a", "b", "c"], [("d_a", "Gone", [])])
    both = with_accepted(of, one, {gone.accept})
    assert (names(both), drift(of, both), both.found) == (["b", "c"], (), None)


def test_a_tool_that_becomes_unusable_is_gone() -> None:
    of = server()
    broken = tool("a", inputSchema={"$ref": "https://evil.example/s.json"})
    status = status_after(of, listing(tool("a")), listing(broken))
    assert changes(of, status) == [("a", "Gone", [])]


def test_with_a_manual_pin_everything_waits_for_a_person() -> None:
    of = server(pin="Manual")
    status = status_after(of, listing(tool("a")))
    assert (names(status), changes(of, status)) == ([], [("a", "New", [])])
    assert status.found is not None
    assert names(with_accepted(of, status, {status.found.digest})) == ["a"]


def test_what_is_not_wanted_any_more_is_no_drift() -> None:
    status = status_after(server(), listing(tool("a"), tool("b")))
    narrowed = server(deny=["b"])
    assert drift(narrowed, with_found(narrowed, status, read_report(narrowed, listing(tool("a"))))) == ()


LISTS = st.lists(
    st.builds(
        lambda name, schema, description: tool(
            name, inputSchema={"maxProperties": schema}, description=description
        ),
        st.sampled_from(["a", "b", "c", "d"]),
        st.integers(0, 2),
        st.sampled_from(["x", "y"]),
    ),
    unique_by=lambda each: each["name"],
    max_size=4,
)


@given(st.lists(LISTS, min_size=1, max_size=4))
def test_whatever_a_server_says_later_only_what_the_first_discovery_found_ever_runs(
    reports: list[list[dict[str, Any]]],
) -> None:
    of = server()
    first = status_after(of, listing(*reports[0]))
    last = status_after(of, *(listing(*report) for report in reports))
    assert (last.tools, last.digest) == (first.tools, first.digest)
    run = {each.name: each for each, _ in merged(catalog(of), [last]).tools}
    before = {each.name: each for each, _ in merged(catalog(of), [first]).tools}
    assert all(before[name] == each for name, each in run.items())
    same = {each["name"] for each in reports[0]} & {each["name"] for each in reports[-1]}
    assert set(run) == {name for name in same if as_listed(reports[0], name) == as_listed(reports[-1], name)}


@given(LISTS, LISTS)
def test_to_accept_all_is_to_have_what_was_found(
    was: list[dict[str, Any]], now: list[dict[str, Any]]
) -> None:
    of = server()
    status = status_after(of, listing(*was), listing(*now))
    one_by_one = with_accepted(of, status, {each.accept for each in drift(of, status)})
    at_once = with_accepted(of, status, {status.found.digest}) if status.found else status
    assert one_by_one == at_once == status_after(of, listing(*now))


def as_listed(report: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(each for each in report if each["name"] == name)


# Effects: the catalog says, and the server can only make it worse


@pytest.mark.parametrize(
    ("effects", "hints", "effect"),
    [
        ({}, {}, "Destructive"),
        ({}, {"readOnlyHint": True}, "Destructive"),
        ({"default": "Write"}, {"readOnlyHint": True}, "Write"),
        ({"default": "Read"}, {}, "Read"),
        ({"default": "Read"}, {"readOnlyHint": False}, "Write"),
        ({"default": "Read"}, {"readOnlyHint": True, "destructiveHint": True}, "Destructive"),
        ({"default": "Write"}, {"destructiveHint": False}, "Write"),
        ({"overrides": [{"tools": ["x", "a*"], "effect": "Read"}]}, {}, "Read"),
        ({"overrides": [{"tools": ["b"], "effect": "Read"}]}, {}, "Destructive"),
        (
            {"overrides": [{"tools": ["a"], "effect": "Write"}, {"tools": ["*"], "effect": "Read"}]},
            {},
            "Write",
        ),
    ],
)
def test_what_a_server_says_of_an_effect_only_tightens(
    effects: dict[str, Any], hints: dict[str, Any], effect: str
) -> None:
    of = server(effects=effects)
    (found,) = read_report(of, listing(tool("a", annotations=hints))).tools.tools
    assert effect_of(of, found) is Effect(effect)


# One list of tools


def own(name: str) -> dict[str, Any]:
    run = {"container": {"image": "example/tool:1"}}
    return {"name": name, "inputSchema": {"type": "object"}, "effect": "Read", "run": run}


def catalog(*servers: McpServer, tools: tuple[str, ...] = ()) -> ToolCatalog:
    return ToolCatalog.model_validate(
        {"tools": [own(name) for name in tools], "mcpServers": [each.wire() for each in servers]}
    )


def test_a_pinned_tool_is_an_ordinary_one_whose_configuration_is_the_catalogs() -> None:
    header = {"name": "Authorization", "prefix": "Bearer ", "secretRef": {"name": "docs", "key": "token"}}
    of = server(
        prefix="d_",
        url="https://docs.example/mcp?a=$(MCP_SECRET_0)",
        headersFrom=[header],
        retry={"count": 1},
        timeoutSeconds=7,
        pollTimeoutSeconds=8,
        effects={"default": "Read"},
    )
    ((found, source),) = merged(catalog(of), [status_after(of, listing(tool("search")))]).tools
    assert (found.name, source, found.input_schema) == ("d_search", "docs", SCHEMA)
    assert (found.retry.count, found.timeout_seconds, found.poll_timeout_seconds) == (1, 7, 8)
    container = found.run.container
    assert container.image == BUILT_IN_IMAGE
    assert container.command == ["python", "-m", "openworld_worker.builtin", "mcp"]
    assert container.args == [
        '--server={"url":"https://docs.example/mcp?a=$$(MCP_SECRET_0)","headers":'
        '[{"name":"Authorization","prefix":"Bearer ","variable":"MCP_SECRET_0"}]}',
        "--repeatable",
        "--method=search",
    ]
    (variable,) = container.env
    assert variable.wire() == {
        "name": "MCP_SECRET_0",
        "valueFrom": {"secretKeyRef": {"name": "docs", "key": "token"}},
    }


def test_a_call_that_may_change_something_is_not_repeated() -> None:
    of = server()
    ((found, _),) = merged(catalog(of), [status_after(of, listing(tool("drop")))]).tools
    assert "--repeatable" not in found.run.container.args


@pytest.mark.parametrize(
    ("prefix", "withheld", "reason"),
    [
        ("", "7zip", "'7zip' is no name of a tool"),
        ("", "HTTP", "'HTTP' is spelt like a task type"),
        ("longer_", f"longer_{'x' * 59}", "is no name of a tool"),
    ],
)
def test_a_pin_whose_name_another_prefix_spoils_is_withheld(prefix: str, withheld: str, reason: str) -> None:
    pinned = status_after(server(prefix="docs_"), listing(tool("7zip"), tool("HTTP"), tool("x" * 59)))
    found = source(server(prefix=prefix), pinned)
    assert withheld not in [each.name for each in found.catalog.tools] if found.catalog else False
    why = find_tool((found,), withheld)
    assert isinstance(why, str)
    assert reason in why
    assert len(found.catalog.tools) + len(found.withheld) == 3 if found.catalog else False


def test_a_pin_that_makes_no_tool_is_withheld() -> None:
    pinned = status_after(server(), listing(tool("a"), tool("b")))
    broken = pinned.tools[0].model_copy(update={"description": "x" * 5000})
    found = source(server(), pinned.model_copy(update={"tools": [broken, pinned.tools[1]]}))
    assert find_tool((found,), "a") == (
        "tool 'a' is pinned in a form that no tool can have (description); ask its server again"
    )
    assert isinstance(find_tool((found,), "b"), Tool)


def test_tools_of_one_name_are_an_error_that_names_both() -> None:
    one, two = server(), server(name="wiki")
    statuses = [status_after(one, listing(tool("a"))), status_after(two, listing(tool("a"), tool("b")))]
    (finding,) = merged(catalog(one, two), statuses).findings
    assert (finding.path, "one of the server 'docs'" in finding.message) == ("spec.mcpServers[1]", True)
    (finding,) = merged(catalog(one, tools=("a",)), statuses[:1]).findings
    assert (finding.path, "one of spec.tools" in finding.message) == ("spec.mcpServers[0]", True)
    spec = catalog(one, tools=("a",)).wire()
    assert (
        "has the name of one of spec.tools"
        in definition_of("ToolCatalog", "c", spec, written(statuses[0])).problem
    )


def written(*statuses: McpServerStatus) -> dict[str, Any]:
    return {
        "mcpServers": [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in statuses]
    }


def source(
    of: McpServer, *statuses: McpServerStatus, name: str = "c", tools: tuple[str, ...] = ()
) -> CatalogSource:
    found = definition_of("ToolCatalog", name, catalog(of, tools=tools).wire(), written(*statuses))
    assert isinstance(found.model, ToolCatalog), found.problem
    return CatalogSource(name, found.digest, found.model, found.problem, found.withheld)


def test_the_validator_allows_what_is_pinned_and_denies_what_has_drifted() -> None:
    of = server()
    pinned = status_after(of, listing(tool("a"), tool("b")))
    drifted = with_found(of, pinned, read_report(of, listing(CHANGED["description"], tool("b"), tool("c"))))

    def verdict(status: McpServerStatus, name: str) -> tuple[str, str, str]:
        asked = question(catalogs=(source(of, status),), access={"a": True, "b": True, "c": True})
        item = only(asked, {"type": name, "input": {"q": "x"}})
        return item.decision.value, item.rule, item.reason

    assert verdict(pinned, "a")[0] == "Allowed"
    assert verdict(drifted, "b")[0] == "Allowed"
    decision, by, reason = verdict(drifted, "a")
    assert (decision, by) == ("Denied", "drifted")
    changed, new = drift(of, drifted)
    assert "offers it otherwise than it was pinned (description)" in reason
    assert reason.endswith(f"openworld.dev/accept-drift: {changed.accept}")
    decision, by, reason = verdict(drifted, "c")
    assert (decision, by, reason.endswith(new.accept)) == ("Denied", "drifted", True)
    accepted = with_accepted(of, drifted, {changed.accept})
    assert verdict(accepted, "a")[0] == "Allowed"
    assert verdict(accepted, "nothing")[1] == "exists"


def test_a_server_cannot_take_a_name_from_another_catalog() -> None:
    of = server()
    pinned = status_after(of, listing(tool("a")))
    more = with_found(of, pinned, read_report(of, listing(tool("a"), tool("rollback"))))
    other = ToolCatalog.model_validate({"tools": [own("rollback"), own("a")]})
    both = (source(of, more), CatalogSource("own", "sha256:x", other))
    assert isinstance(find_tool(both, "rollback"), Tool)
    assert "is in more than one catalog" in str(find_tool(both, "a"))
    gone = with_found(of, pinned, read_report(of, listing()))
    assert "is in more than one catalog" in str(find_tool((source(of, gone), both[1]), "a"))


def test_a_digest_covers_what_is_pinned() -> None:
    of = server()
    was = status_after(of, listing(tool("a")))
    now = status_after(of, listing(CHANGED["description"]))
    drifted = with_found(of, was, read_report(of, listing(CHANGED["description"])))
    digests = {source(of, *each).digest for each in ((), (was,), (now,), (drifted,))}
    assert len(digests) == 4
    assert source(of, was).digest == source(of, was).digest


def test_a_pin_that_cannot_be_read_counts_for_nothing() -> None:
    found = definition_of(
        "ToolCatalog", "c", catalog(server()).wire(), {"mcpServers": [{"name": "docs", "x": 1}]}
    )
    assert isinstance(found.model, ToolCatalog)
    assert found.model.tools == []


# What an author may write


@pytest.mark.parametrize(
    ("more", "finding"),
    [
        ({"url": "ftp://x/"}, "spec.mcpServers[0].url: 'ftp://x/' must begin with http:// or https://"),
        ({"url": "https://me:pw@x/"}, "spec.mcpServers[0].url: must not hold a user or a password"),
        ({"name": "spec"}, "spec.mcpServers[0].name: 'spec' stands for the catalog's own tools"),
        ({"prefx": "a"}, "spec.mcpServers[0].prefx: unknown field 'prefx'; did you mean 'prefix'?"),
        ({"refresh": {"mode": "Interval", "seconds": 1}}, "spec.mcpServers[0].refresh.seconds"),
    ],
)
def test_a_server_that_makes_no_sense_is_named(more: dict[str, Any], finding: str) -> None:
    spec = {"mcpServers": [{"name": "docs", "url": "https://docs.example/mcp", **more}]}
    assert (
        assess("ToolCatalog", spec).problem.startswith(finding)
        if assess("ToolCatalog", spec).problem
        else False
    )


@pytest.mark.parametrize("name", ["Mcp-Session-Id", "content-length", "a b", "X-Key"])
def test_headers_are_named_once_and_none_is_the_protocols(name: str) -> None:
    secret = {"name": "s", "key": "k"}
    headers = [{"name": "x-key", "secretRef": secret}, {"name": name, "secretRef": secret}]
    spec = {"mcpServers": [{"name": "docs", "url": "https://docs.example/mcp", "headersFrom": headers}]}
    (finding,) = assess("ToolCatalog", spec).findings
    assert finding.path.startswith("spec.mcpServers[0].headersFrom[1]")


def test_two_servers_of_one_name_are_named_and_the_operators_image_is_its_own() -> None:
    spec = copy.deepcopy(catalog(server(), tools=("a",)).wire())
    spec["mcpServers"] *= 2
    spec["tools"][0]["run"]["container"]["image"] = BUILT_IN_IMAGE
    paths = [each.path for each in assess("ToolCatalog", spec).findings]
    assert paths == ["spec.tools[0].run.container.image", "spec.mcpServers[1].name"]


# When a server is asked


def test_together_the_servers_of_a_catalog_have_no_more_than_its_status_can_hold() -> None:
    of = server()
    large = [tool(f"t{n}", inputSchema={"type": "object", "title": "x" * 60_000}) for n in range(4)]
    other = [tool(f"u{n}", inputSchema={"type": "object", "title": "y" * 60_000}) for n in range(4)]
    pinned, drifted = status_after(of, listing(*large)), status_after(of, listing(*large), listing(*other))
    assert not is_too_much([pinned, drifted])
    assert is_too_much([drifted, drifted])


def test_a_server_is_asked_once_and_again_when_something_is_said_anew() -> None:
    of = server()
    status = McpServerStatus(name="docs")
    assert due_ms(of, status, "") == 0
    going = begun(of, status, number=1, job="ow-x-1", at=AT, asked="")
    assert not is_outdated(of, going)
    assert is_outdated(server(url="https://other.example/mcp"), going)
    done = succeeded(of, going, read_report(of, listing(tool("a"))), AT)
    assert (due_ms(of, done, ""), due_ms(of, done, "now"), done.discovering) == (None, 0, None)
    assert due_ms(server(allow=["a"]), done, "") == 0
    every = server(refresh={"mode": "Interval", "seconds": 60})
    done = succeeded(
        every, begun(every, status, number=1, job="j", at=AT, asked=""), read_report(every, listing()), AT
    )
    assert due_ms(every, done, "") == epoch_ms(AT) + 60_000


def test_a_discovery_that_fails_is_tried_again_after_a_pause_that_grows_and_the_pin_stays() -> None:
    of = server()
    status = status_after(of, listing(tool("a")))
    pauses = []
    for number in range(1, 12):
        going = begun(of, status, number=number, job="j", at=AT, asked="")
        status = failed(going, "nobody\x1b there", AT)
        due = due_ms(of, status, "")
        assert due is not None
        pauses.append((due - epoch_ms(AT)) // 1000)
    assert pauses == [10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800, 1800]
    assert (names(status), status.problem) == (["a"], "nobody\\x1b there")
