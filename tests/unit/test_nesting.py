"""Objects that nest as deeply as the API server takes them end neither a watch nor the process."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from openworld.controller.stores import ObjectKey, Store
from openworld.engine.validity import assess
from openworld.kube import nesting


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def depth_of(value: Any) -> int:
    depth = 0
    while isinstance(value, dict | list):
        depth += 1
        value = next(iter(value.values() if isinstance(value, dict) else value), None)
    return depth


@pytest.mark.parametrize("levels", [1_100, 10_000])
def test_what_the_api_server_may_answer_is_read_and_cut(levels: int) -> None:
    value = nesting.loads(deep(levels).encode())
    assert depth_of(value) == nesting.LEVELS
    assert nesting.CUT in orjson.dumps(value).decode()


def test_where_the_usual_decoder_gives_up_this_one_cuts() -> None:
    with pytest.raises(RecursionError):
        json.JSONDecoder().decode(deep(20_000))
    value = nesting.DeepDecoder().decode(deep(20_000))
    assert depth_of(value) == nesting.LEVELS


def test_what_is_not_deep_is_left_as_it_is() -> None:
    value = json.loads(deep(nesting.LEVELS))
    nesting.cut(value)
    assert value == json.loads(deep(nesting.LEVELS))
    assert nesting.loads(b'{"x":[1,{"y":null}]}') == {"x": [1, {"y": None}]}
    assert not nesting.is_deep(value)


def test_lists_are_cut_too() -> None:
    value = nesting.loads(("[" * 5_000 + "]" * 5_000).encode())
    assert depth_of(value) == nesting.LEVELS


@pytest.mark.parametrize("text", ["{", "", '{"a":' * 5_000])
def test_text_that_is_no_json_is_still_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Expecting"):
        nesting.loads(text.encode())


def test_the_process_reads_deep_json_after_it_was_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "_default_decoder", json.JSONDecoder())
    with pytest.raises(RecursionError):
        json.loads(deep(20_000))
    nesting.read_deep_json()
    assert depth_of(json.loads(deep(20_000))) == nesting.LEVELS


@pytest.mark.parametrize("levels", [300, 900])
def test_a_store_keeps_what_can_be_written_again_and_it_is_refused_with_the_reason(levels: int) -> None:
    store: Store[str] = Store(index=lambda _: "all")
    task = {
        "name": "x",
        "taskReferenceName": "x",
        "type": "NOOP",
        "inputParameters": json.loads(deep(levels)),
    }
    body = {"metadata": {"name": "w", "namespace": "team", "resourceVersion": "7"}, "spec": {"tasks": [task]}}
    assert store.put(body)
    held = store.get(ObjectKey("team", "w"))
    assert held is not None
    orjson.dumps(held)
    assert "levels" in assess("Workflow", held["spec"]).problem


def test_what_nests_too_deeply_is_written_without_its_depths() -> None:
    body = {"spec": json.loads(deep(500)), "status": {"phase": "Failed"}}
    written = orjson.loads(nesting.dumps(body))
    assert written["status"] == {"phase": "Failed"}
    assert depth_of(written["spec"]) == nesting.LEVELS - 1
