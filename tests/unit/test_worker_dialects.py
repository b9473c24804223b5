"""Models' messages as proposals, and verdicts as models' messages: each dialect by the same table."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from openworld.governance import judge
from openworld_worker.agent.dialects import DIALECTS, normalise
from openworld_worker.agent.dialects.arguments import DEEPEST, MOST_BYTES
from tests.support.dialects import (
    ABSENT,
    SPOKEN,
    answered,
    call,
    every,
    mcp_call,
    openai_call,
    openai_message,
    read,
    told,
)
from tests.support.governance import question

as_text = pytest.mark.parametrize("dialect", [name for name, spoken in SPOKEN.items() if not spoken.decoded])
as_object = pytest.mark.parametrize("dialect", [name for name, spoken in SPOKEN.items() if spoken.decoded])
with_text = pytest.mark.parametrize("dialect", [name for name in SPOKEN if name != "mcp"])


def tasks(dialect: str, *calls: Any) -> list[dict[str, Any]]:
    proposal = read(dialect, *calls)
    assert set(proposal) == {"tasks", "raw"}
    return list(proposal["tasks"])


def said_id(dialect: str, call_id: str) -> str:
    """A call id as the record has it."""
    return json.dumps(call_id) if dialect == "mcp" else call_id


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def test_the_table_has_every_dialect() -> None:
    assert list(SPOKEN) == list(DIALECTS)


@every
def test_calls_become_items_in_order_with_their_ids_and_the_message_is_kept(dialect: str) -> None:
    calls = [
        call(dialect, "c1", "look", {"service": "checkout", "n": [1, 2.5, None, True]}),
        call(dialect, "c2", "rollback", {"to": "${look.output.previous}"}),
    ]
    proposal = read(dialect, *calls)
    assert proposal["tasks"] == [
        {
            "callId": said_id(dialect, "c1"),
            "type": "look",
            "input": {"service": "checkout", "n": [1, 2.5, None, True]},
        },
        {"callId": said_id(dialect, "c2"), "type": "rollback", "input": {"to": "${look.output.previous}"}},
    ]
    assert proposal["raw"] == {
        "dialect": dialect,
        "payload": SPOKEN[dialect].message(*calls),
        "calls": [
            {"id": said_id(dialect, "c1"), "name": "look"},
            {"id": said_id(dialect, "c2"), "name": "rollback"},
        ],
    }


@with_text
def test_text_beside_calls_is_the_rationale_and_thoughts_are_not(dialect: str) -> None:
    proposal = read(dialect, call(dialect, "c1", "look", {}), text="first look")
    assert (proposal["rationale"], len(proposal["tasks"])) == ("first look", 1)


@every
@pytest.mark.parametrize(
    "name", ["__proto__", "constructor", "lооk", "look ", "LOOK", "rm -rf /", "functions.look"]
)
def test_a_name_stays_as_the_model_wrote_it(dialect: str, name: str) -> None:
    (item,) = tasks(dialect, call(dialect, "c1", name, {"__proto__": {"constructor": 1}}))
    assert item == {
        "callId": said_id(dialect, "c1"),
        "type": name,
        "input": {"__proto__": {"constructor": 1}},
    }
    (verdict,) = judge(question(), {"tasks": [item]}).items
    assert (verdict.decision, verdict.check) == ("Denied", "catalog")


STRINGS = [
    ("", "is empty: an object without members is {}"),
    (" \n", "is empty: an object without members is {}"),
    ("{", "is not JSON: expecting property name enclosed in double quotes at character 2"),
    ('{"a": 1', "is not JSON: expecting ',' delimiter at character 8"),
    ('{"a": 1} {"b": 2}', "is not JSON: extra data at character 10"),
    ('{"a": 1} rm', "is not JSON: extra data at character 10"),
    ("{'a': 1}", "is not JSON: expecting property name enclosed in double quotes at character 2"),
    ('{"a": 1, "a": 2}', 'is not JSON: the key "a" is given twice'),
    ('{"x": [{"\\u0061": 1, "a": 2}]}', 'is not JSON: the key "a" is given twice'),
    ('{"a": NaN}', "is not JSON: NaN is not a JSON number"),
    ('{"a": -Infinity}', "is not JSON: -Infinity is not a JSON number"),
    ('{"a": 1e999}', "holds NaN or an infinite number, which JSON does not have"),
    (
        '{"a": 9007199254740993}',
        "holds a number beyond ±(2^53 - 1), which JSON cannot carry exactly; send text",
    ),
    ('{"a": "\\ud800"}', "holds half of a surrogate pair, which is not Unicode text"),
    ('{"\\ud800": 1}', "holds half of a surrogate pair, which is not Unicode text"),
    ('{"a": "x', "is not JSON: unterminated string starting at character 7"),
    ("[]", "must be an object, and is a list"),
    ('"{}"', "must be an object, and is a string"),
    ("null", "must be an object, and is null"),
    ("7", "must be an object, and is a number"),
    ("```json\n{}\n```", "is not JSON: expecting value at character 1"),
    ("\ufeff{}", "is not JSON: unexpected UTF-8 BOM (decode using utf-8-sig) at character 1"),
    ("[" * 20_000, "is nested too deeply"),
    ('{"a": "' + "x" * MOST_BYTES + '"}', "has 32,777 bytes, the limit is 32,768"),
    (json.dumps(nested(DEEPEST + 1)), "is nested more than 28 levels deep"),
    (ABSENT, "must be a string of JSON, and is null"),
    (None, "must be a string of JSON, and is null"),
    ({"a": 1}, "must be a string of JSON, and is an object"),
    (7, "must be a string of JSON, and is a number"),
]


@as_text
@pytest.mark.parametrize(("arguments", "problem"), STRINGS, ids=range(len(STRINGS)))
def test_arguments_that_are_no_object_deny_the_call_and_no_other(
    dialect: str, arguments: Any, problem: str
) -> None:
    broken = SPOKEN[dialect].call("c1", "look", arguments)
    first, second = tasks(dialect, broken, call(dialect, "c2", "look", {}))
    assert first == {
        "callId": "c1",
        "type": "look",
        "malformed": f"the call's arguments: the value {problem}",
    }
    assert second == {"callId": "c2", "type": "look", "input": {}}


OBJECTS = [
    (None, "must be an object, and is null"),
    ("{}", "must be an object, and is a string"),
    ([], "must be an object, and is a list"),
    (False, "must be an object, and is a boolean"),
    (nested(DEEPEST + 1), "is nested more than 28 levels deep"),
    (nested(5000), "is nested more than 28 levels deep"),
    ({"a": "x" * MOST_BYTES}, "has 32,776 bytes, the limit is 32,768"),
    ({"a": float("nan")}, "holds NaN or an infinite number, which JSON does not have"),
    ({"a": 2**53}, "holds a number beyond ±(2^53 - 1), which JSON cannot carry exactly; send text"),
    ({"a": 1e17}, "holds a number beyond ±(2^53 - 1), which JSON cannot carry exactly; send text"),
    ({"a": "\udfff"}, "holds half of a surrogate pair, which is not Unicode text"),
    ({1: 2}, "holds a value or a key that JSON does not have"),
    ({"a": {1}}, "holds a value or a key that JSON does not have"),
]


@as_object
@pytest.mark.parametrize(("arguments", "problem"), OBJECTS, ids=range(len(OBJECTS)))
def test_input_that_is_no_object_denies_the_call_and_no_other(
    dialect: str, arguments: Any, problem: str
) -> None:
    broken = SPOKEN[dialect].call("c1", "look", arguments)
    proposal = read(dialect, broken, call(dialect, "c2", "look", {}))
    assert proposal["tasks"] == [
        {
            "callId": said_id(dialect, "c1"),
            "type": "look",
            "malformed": f"the call's arguments: the value {problem}",
        },
        {"callId": said_id(dialect, "c2"), "type": "look", "input": {}},
    ]
    json.dumps(proposal)


@pytest.mark.parametrize(("dialect", "optional"), [("anthropic", False), ("gemini", True), ("mcp", True)])
def test_arguments_may_be_left_out_only_where_the_provider_says_so(dialect: str, optional: bool) -> None:
    (item,) = tasks(dialect, SPOKEN[dialect].call("c1", "look", ABSENT))
    assert item.get("input") == ({} if optional else None)
    assert ("malformed" in item) is not optional


@every
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (ABSENT, "the call names no tool"),
        ("", "the call names no tool"),
        (7, "the call's name must be text"),
        ("\ud800", "the call's name must be text"),
    ],
)
def test_a_call_without_a_name_is_denied(dialect: str, name: Any, problem: str) -> None:
    (item,) = tasks(dialect, call(dialect, "c1", name, {}))
    assert item == {"callId": said_id(dialect, "c1"), "malformed": problem}


@every
def test_a_giant_name_is_denied_and_cut(dialect: str) -> None:
    (item,) = tasks(dialect, call(dialect, "c1", "x" * 5000, {}))
    assert (item["malformed"], len(item["type"])) == (
        "the call's name has 5,000 characters, the limit is 128",
        126,
    )


@every
@pytest.mark.parametrize("call_id", [ABSENT, None, "", "x" * 129, "\ud800", {"a": 1}, True])
def test_a_call_that_could_not_be_answered_is_denied(dialect: str, call_id: Any) -> None:
    if dialect == "gemini" and (call_id is ABSENT or call_id is None):
        assert tasks(dialect, call(dialect, call_id, "look", {})) == [{"type": "look", "input": {}}]
        return
    if dialect == "mcp" and call_id == "":
        return  # an id like any other
    (item,) = tasks(dialect, call(dialect, call_id, "look", {}))
    assert item == {
        "type": "look",
        "malformed": "the call's id must be a string of 1 to 128 characters: nothing could answer it",
    }


@every
def test_calls_that_share_an_id_are_all_denied_and_answered_once(dialect: str) -> None:
    calls = [
        call(dialect, "c1", "look", {}),
        call(dialect, "c1", "note", {}),
        call(dialect, "c2", "look", {}),
    ]
    first, second, third = tasks(dialect, *calls)
    assert first["malformed"] == "2 calls of the message have its id: which of them is meant is not known"
    assert second["malformed"] == first["malformed"]
    assert third == {"callId": said_id(dialect, "c2"), "type": "look", "input": {}}
    assert len(answered(dialect, told(dialect, read(dialect, *calls)))) == 2


def test_an_mcp_id_is_a_number_or_text_and_they_differ() -> None:
    calls = [mcp_call(1, "look", {}), mcp_call("1", "look", {})]
    proposal = normalise("mcp", calls)
    assert [item["callId"] for item in proposal["tasks"]] == ["1", '"1"']
    assert [message["id"] for message in told("mcp", proposal)] == [1, "1"]


@pytest.mark.parametrize("dialect", [name for name, spoken in SPOKEN.items() if spoken.truncated])
def test_the_last_call_of_a_message_that_is_not_whole_is_denied_and_its_text_is_no_answer(
    dialect: str,
) -> None:
    spoken = SPOKEN[dialect]
    assert spoken.truncated is not None
    calls = [call(dialect, "c1", "look", {}), call(dialect, "c2", "rollback", {})]
    first, second = normalise(dialect, spoken.truncated(spoken.message(*calls)))["tasks"]
    assert first == {"callId": "c1", "type": "look", "input": {}}
    assert "not whole" in second["malformed"]
    cut = normalise(dialect, spoken.truncated(spoken.message(text='{"cause": "the dep')))
    assert "output" not in cut
    assert "not whole" in cut["tasks"][0]["malformed"]


def test_a_refusal_behind_a_call_that_was_cut_off_does_not_save_it() -> None:
    message = {**openai_message(openai_call("c1", "look", "{}")), "refusal": "I cannot"}
    cut = {"choices": [{"message": message, "finish_reason": "content_filter"}]}
    assert ["malformed" in item for item in normalise("openai", cut)["tasks"]] == [True, True]


STRAYS: list[tuple[str, Any]] = [
    ("openai", {"refusal": "I cannot", "content": None}),
    ("openai", {"function_call": {"name": "look", "arguments": "{}"}}),
    ("openai", {"tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]}),
    ("openai", {"tool_calls": {"0": {}}}),
    ("openai", {"tool_calls": [None]}),
    ("openai", {"tool_calls": [{"id": "c1", "type": "function", "function": "look"}]}),
    ("openai", {"content": 7}),
    ("openai", {"content": [{"type": "refusal", "refusal": "no"}]}),
    ("openai", {"choices": []}),
    ("openai", {"choices": [{}, {}]}),
    ("openai", "not JSON"),
    ("openai", '{"role": "assistant", "role": "user"}'),
    ("openai", None),
    ("openai-responses", {"output": [{"type": "web_search_call", "id": "ws_1"}]}),
    (
        "openai-responses",
        {"output": [{"type": "custom_tool_call", "call_id": "c1", "name": "sh", "input": "ls"}]},
    ),
    (
        "openai-responses",
        {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]},
    ),
    ("openai-responses", {"output": [{"type": "message", "content": "x"}]}),
    ("openai-responses", {"output": [{"type": "message", "content": [], "status": "incomplete"}]}),
    ("openai-responses", {"output": [7]}),
    ("openai-responses", {"output": None}),
    ("openai-responses", {"output": [], "status": "failed"}),
    ("anthropic", {"content": [{"type": "server_tool_use", "id": "c1", "name": "web_search", "input": {}}]}),
    ("anthropic", {"content": [None]}),
    ("anthropic", {"content": {}}),
    ("anthropic", {"content": [], "stop_reason": "refusal"}),
    ("anthropic", []),
    ("gemini", {"parts": [{"executableCode": {"code": "1"}}]}),
    ("gemini", {"parts": [7]}),
    ("gemini", {"parts": [{"functionCall": None}]}),
    ("gemini", {"parts": {}}),
    ("gemini", {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}),
    ("gemini", {"promptFeedback": {"blockReason": "SAFETY"}}),
    ("gemini", {"content": 7}),
    ("gemini", 7),
    ("mcp", {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "file:///"}}),
    ("mcp", {"id": 1, "method": "tools/call", "params": {"name": "look"}}),
    ("mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}),
    ("mcp", [[]]),
    ("mcp", None),
]


@pytest.mark.parametrize(("dialect", "message"), STRAYS, ids=range(len(STRAYS)))
def test_what_is_not_understood_is_an_item_that_is_denied_and_never_lost(dialect: str, message: Any) -> None:
    proposal = normalise(dialect, message)
    (item,) = proposal["tasks"]
    assert item["malformed"]
    assert "output" not in proposal
    (verdict,) = judge(question(), proposal).items
    assert (verdict.decision, verdict.check, verdict.rule) == ("Denied", "shape", "arguments")
    assert item["malformed"] in verdict.reason


@with_text
@pytest.mark.parametrize(
    ("text", "structured", "proposed"),
    [
        ("The deploy did it.", False, {"output": {"text": "The deploy did it."}}),
        ("The deploy did it.", True, {"output": {"text": "The deploy did it."}}),
        ('{"cause": "deploy"}', True, {"output": {"cause": "deploy"}}),
        ('{"cause": "deploy"}', False, {"output": {"text": '{"cause": "deploy"}'}}),
        ('{"cause": 1, "cause": 2}', True, {"output": {"text": '{"cause": 1, "cause": 2}'}}),
        ('["deploy"]', True, {"output": {"text": '["deploy"]'}}),
        (
            '{"tasks": [{"type": "look"}], "rationale": "r"}',
            False,
            {"tasks": [{"type": "look"}], "rationale": "r"},
        ),
        ('{"output": {"cause": "x"}}', True, {"output": {"cause": "x"}}),
        ('{"tasks": "all"}', True, {"output": {"tasks": "all"}}),
        ('{"tasks": [], "raw": {}}', True, {"output": {"tasks": [], "raw": {}}}),
        (
            '{"tasks": [{"type": "look", "callId": "c9"}]}',
            False,
            {"tasks": [{"type": "look", "malformed": "a model cannot set callId"}]},
        ),
        (" ", True, {}),
        (
            "half \ud800",
            False,
            {"tasks": [{"malformed": "the text holds half of a surrogate pair, which is not Unicode text"}]},
        ),
    ],
)
def test_a_text_without_calls_is_the_answer_or_a_native_proposal(
    dialect: str, text: str, structured: bool, proposed: dict[str, Any]
) -> None:
    proposal = read(dialect, text=text, structured=structured)
    raw = proposal.pop("raw")
    assert raw["dialect"] == dialect
    assert proposal == proposed


NATIVE = {
    "intent": "SEQUENCE",
    "rationale": "why",
    "atomic": True,
    "tasks": [
        {"ref": "a", "type": "look", "input": {}},
        "b",
        {"ref": "c", "type": "look", "callId": "x"},
        {"type": "d", "malformed": ""},
    ],
}


@every
def test_a_propose_tasks_call_is_a_proposal_in_the_native_form(dialect: str) -> None:
    proposal = read(dialect, call(dialect, "c1", "propose_tasks", NATIVE), text="because")
    raw, call_id = proposal.pop("raw"), said_id(dialect, "c1")
    assert raw["calls"] == [{"id": call_id, "name": "propose_tasks"}]
    assert proposal == {
        "intent": "SEQUENCE",
        "rationale": "why",
        "atomic": True,
        "tasks": [
            {"callId": call_id, "ref": "a", "type": "look", "input": {}},
            {"callId": call_id, "malformed": "an item is an object, and this is a string"},
            {"callId": call_id, "ref": "c", "type": "look", "malformed": "a model cannot set callId"},
            {"callId": call_id, "type": "d", "malformed": "a model cannot set malformed"},
        ],
    }


@every
def test_propose_tasks_stands_alone_and_cannot_forge_the_record(dialect: str) -> None:
    calls = [call(dialect, "c1", "propose_tasks", NATIVE), call(dialect, "c2", "look", {})]
    first, second = tasks(dialect, *calls)
    assert first["malformed"].startswith("propose_tasks must be the only call of a message")
    assert second["input"] == {}
    (forged,) = tasks(dialect, call(dialect, "c1", "propose_tasks", {"tasks": [], "raw": {"dialect": "x"}}))
    assert forged["malformed"] == "a model cannot set raw"


@every
def test_a_large_message_is_kept_by_its_beginning_size_and_digest(dialect: str) -> None:
    calls = [call(dialect, f"c{n}", "look", {"x": "y" * 10_000}) for n in range(4)]
    message = SPOKEN[dialect].message(*calls)
    raw, text = read(dialect, *calls)["raw"], json.dumps(message, separators=(",", ":"))
    assert set(raw) == {"dialect", "excerpt", "bytes", "digest", "calls"}
    assert (raw["bytes"], len(raw["excerpt"].encode())) == (len(text), 4096)
    assert raw["digest"] == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    assert raw["excerpt"][:4000] == text[:4000]
    assert len(raw["calls"]) == 4
    assert judge(question(), read(dialect, *calls)).problem == ""


@every
def test_what_the_ledger_cannot_record_of_a_message_costs_no_call(dialect: str) -> None:
    deep = call(dialect, "c1", "look", nested(DEEPEST))
    proposal = read(dialect, deep, call(dialect, "c2", "look", {}))
    assert "malformed" not in str(proposal["tasks"])
    verdict = judge(question(), proposal)
    assert (verdict.problem, [v.decision for v in verdict.items]) == ("", ["Allowed", "Allowed"])


@every
def test_a_message_may_come_as_its_text_whose_digest_is_the_providers(dialect: str) -> None:
    message = SPOKEN[dialect].message(
        call(dialect, "c1", "look", {"x": "y" * 20_000}), call(dialect, "c2", "look", {"x": "y" * 20_000})
    )
    text = json.dumps(message, indent=2)
    proposal = normalise(dialect, text)
    assert proposal["tasks"] == normalise(dialect, message)["tasks"]
    assert proposal["raw"]["digest"] == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
