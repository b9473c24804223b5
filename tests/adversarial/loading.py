"""Cases and environments from their files. Strict: a key that nobody reads, or one given twice, is an error.

A few YAML tags write down what nobody wants to read in full; README.md lists them.
"""

from __future__ import annotations

import marshal
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import Field, model_validator

from openworld.api import Json, JsonObject, Strict

from .servers import Listing

HERE = Path(__file__).parent
CASES = HERE / "cases"
_DIALECTS = ("openai", "openai-responses", "anthropic", "gemini", "mcp")


class Wanted(Strict):
    """The verdict on one item: its ref as proposed, and what decides."""

    ref: str
    decision: str
    check: str
    rule: str
    reason: str = Field(min_length=1)


class Step(Strict):
    """One thing that the world does; exactly one of these."""

    turn: Json = None
    message: JsonObject | None = None
    done: JsonObject | None = None
    fail: str | None = None
    approve: JsonObject | None = None
    signal: JsonObject | None = None
    advance: int | None = None
    away: int | None = None
    define: JsonObject | None = None
    rebind: JsonObject | None = None
    says: dict[str, list[Listing]] | None = Field(default=None, description="What MCP servers say now.")

    ref: str = ""
    at: str = Field(default="", description="Ref of the task whose child execution it is about.")
    usage: JsonObject | None = None
    refused: str | None = None
    items: list[Wanted] | None = None
    problem: str | None = None
    denied: list[str] | None = Field(default=None, min_length=3, max_length=3)
    allowed: list[str] | None = Field(default=None, min_length=1, max_length=1)
    gated: list[str] | None = Field(default=None, min_length=1, max_length=1)


class Case(Strict):
    """One attack. `item` is short for one turn that proposes this item alone, `turn` for one turn."""

    case: str = Field(pattern=r"^[a-z0-9-]+$")
    about: str = Field(min_length=8)
    setup: str = ""
    input: JsonObject | None = None
    first: dict[str, Listing] = Field(
        default_factory=dict, description="What MCP servers say when they are pinned, where that is another."
    )
    says: dict[str, list[Listing]] = Field(
        default_factory=dict, description="What they say later, before the run."
    )
    told: dict[str, str] = Field(
        default_factory=dict, description="Pieces of what catalogs tell people of their servers at the end."
    )
    item: Json = None
    turn: Json = None
    message: JsonObject | None = None
    steps: list[Step] = Field(default_factory=list)
    items: list[Wanted] | None = None
    problem: str | None = None
    denied: list[str] | None = Field(default=None, min_length=3, max_length=3)
    jobs: list[str] = Field(default_factory=list)
    children: list[str] = Field(default_factory=list)
    approvals: list[str] = Field(default_factory=list)
    failed: dict[str, str] = Field(default_factory=dict, description="Tasks that failed, and a piece of why.")
    phase: str = "Running"
    reason: str = ""

    @model_validator(mode="after")
    def _has_one_course(self) -> Case:
        given = self.model_fields_set
        if len(given & {"item", "turn", "message", "steps"}) != 1:
            raise ValueError("a case has exactly one of item, turn, message and steps")
        verdicts = given & {"items", "problem", "denied"}
        is_said = len(verdicts) == 1 or (not verdicts and self.phase == "Failed" and bool(self.reason))
        if ("steps" in given and verdicts) or ("steps" not in given and not is_said):
            raise ValueError(
                "a case of one turn says one of items, problem and denied, or why the run fails; "
                "steps say it themselves"
            )
        return self

    def course(self) -> list[Step]:
        """What the world does, step by step."""
        if self.steps:
            return self.steps
        step: JsonObject = {"items": self.items, "problem": self.problem, "denied": self.denied}
        if self.message is not None:
            step["message"] = self.message
        else:
            step["turn"] = {"tasks": [self.item]} if "item" in self.model_fields_set else self.turn
        whole = Step.model_construct(**{**dict(Step()), **step})
        whole.model_fields_set.add("turn")
        return [whole]


class Family(Strict):
    """A file of cases."""

    family: str
    about: str
    setup: str
    cases: list[Case]


class Environment(Strict):
    """Everything that stands in a namespace before the attacker comes."""

    catalogs: dict[str, JsonObject]
    policies: dict[str, JsonObject]
    agents: dict[str, JsonObject] = Field(default_factory=dict)
    workflows: dict[str, JsonObject]
    mandatory: list[str] = Field(default_factory=list)
    refused_tools: list[str] = Field(default_factory=list, description="Tools that the account may not use.")
    refused_secrets: list[str] = Field(default_factory=list)
    servers: dict[str, list[JsonObject]] = Field(
        default_factory=dict, description="The tools of the catalogs' MCP servers when nobody lies."
    )
    start: str
    input: JsonObject = Field(default_factory=dict)
    requested_by: str = "alice@example.com"


class _Loader(yaml.SafeLoader):
    """YAML whose keys are given once, and some tags for what is too large to be written out."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = sorted(value for _, value in {key for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.composer.ComposerError(None, None, f"given twice: {twice}", node.start_mark)
        return node


def _sequence(loader: _Loader, node: yaml.Node) -> list[Any]:
    return loader.construct_sequence(cast("yaml.SequenceNode", node), deep=True)


def _repeat(loader: _Loader, node: yaml.Node) -> str:
    text, times = _sequence(loader, node)
    return str(text) * int(times)


def _nest(loader: _Loader, node: yaml.Node) -> Any:
    levels, key, leaf = _sequence(loader, node)
    value = leaf
    for _ in range(levels):
        value = [value] if key is None else {key: value}
    return value


def _many(loader: _Loader, node: yaml.Node) -> list[Any]:
    """So many copies of an item, each `#` in its text being its number."""
    number, item = _sequence(loader, node)

    def numbered(value: Any, index: int) -> Any:
        if isinstance(value, str):
            return value.replace("#", str(index))
        if isinstance(value, dict):
            return {key: numbered(inner, index) for key, inner in value.items()}
        return [numbered(inner, index) for inner in value] if isinstance(value, list) else value

    return [numbered(item, index) for index in range(number)]


def _keys(loader: _Loader, node: yaml.Node) -> dict[str, int]:
    return {
        f"k{index}": index for index in range(int(loader.construct_scalar(cast("yaml.ScalarNode", node))))
    }


def _power(loader: _Loader, node: yaml.Node) -> int:
    base, exponent = _sequence(loader, node)
    return int(base**exponent)


def _bytes(loader: _Loader, node: yaml.Node) -> str:
    """Text with escapes of its own, for what no YAML file may hold."""
    text = str(loader.construct_scalar(cast("yaml.ScalarNode", node)))
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape")


for _tag, _read in {
    "!repeat": _repeat,
    "!nest": _nest,
    "!many": _many,
    "!keys": _keys,
    "!power": _power,
    "!escaped": _bytes,
}.items():
    _Loader.add_constructor(_tag, _read)


def read_yaml(text: str) -> Any:
    """One document. Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader with six harmless tags)


@cache
def environments() -> dict[str, Environment]:
    """The named environments."""
    raw = read_yaml((HERE / "environments.yaml").read_text())
    return {name: Environment.model_validate(spec) for name, spec in raw.items() if not name.startswith("_")}


@cache
def families() -> list[Family]:
    """Every family, by file name. Raises ValueError when two cases have one name, or are one attack."""
    found = [Family.model_validate(read_yaml(path.read_text())) for path in sorted(CASES.glob("*.yaml"))]
    seen: dict[str | bytes, str] = {}
    found = [
        family.model_copy(
            update={"cases": [c.model_copy(update={"setup": c.setup or family.setup}) for c in family.cases]}
        )
        for family in found
    ]
    for family in found:
        for case in family.cases:
            attack = marshal.dumps(case.model_dump(exclude={"case", "about"}))
            for what in (f"{family.family}/{case.case}", attack):
                if what in seen:
                    raise ValueError(f"{family.family}/{case.case} is {seen[what]} once more")
                seen[what] = f"{family.family}/{case.case}"
    return found
