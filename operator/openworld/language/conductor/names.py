"""Names that are refused here, and what they become: the same everywhere in an import."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from openworld.api.meta import Json

#: A ref as expressions name it in a certain iteration of a loop.
_ITERATION = r"(?P<suffix>(?:__[0-9]+)*)"
_MAX_DNS, _MAX_TOOL, _MAX_REF, _MAX_WORKFLOW = 200, 64, 127, 253
_TOOL = re.compile(rf"[a-zA-Z_][a-zA-Z0-9_-]{{0,{_MAX_TOOL - 1}}}")
_REF = re.compile(rf"[a-zA-Z_][a-zA-Z0-9_.-]{{0,{_MAX_REF - 1}}}")
_WORKFLOW = re.compile(r"[^\s/${}]([^/${}]*[^\s/${}])?")


def object_name(name: str) -> str:
    """The name of a Kubernetes object made from any name."""
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_MAX_DNS].strip("-")
    return text or "workflow"


def tool_names(names: Iterable[str]) -> dict[str, str]:
    """What tasks are called here. A name in capitals is spelt like a task type and made small."""
    return _renamed(names, _is_tool, _tool, _MAX_TOOL)


def workflow_names(names: Iterable[str]) -> dict[str, str]:
    """What workflows are called here."""
    return _renamed(names, _is_workflow, _workflow, _MAX_WORKFLOW)


def ref_names(refs: Iterable[str]) -> dict[str, str]:
    """What the refs of a workflow are called here."""
    return _renamed(refs, _is_ref, _ref, _MAX_REF)


def unused(wanted: str, taken: set[str], joint: str, limit: int = _MAX_DNS + 20) -> str:
    """The wanted name, with a number behind it if it is taken; it is taken from then on."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        tail = f"{joint}{number}"
        name = wanted[: limit - len(tail)] + tail
    taken.add(name)
    return name


@dataclass(frozen=True)
class Refs:
    """The refs of one workflow, and what they become, in every place that names them."""

    names: Mapping[str, str]

    def name(self, ref: str) -> str:
        """A ref under its new name."""
        return self.names.get(ref, ref)

    def changed(self) -> Iterator[tuple[str, str]]:
        """The refs that have another name now."""
        return ((old, new) for old, new in self.names.items() if old != new)

    def resolved(self, value: Json) -> Json:
        """A value with the new refs in its `${…}`. `${workflow.…}` is always the run."""
        if isinstance(value, str):
            return self._expressions.sub(self._replaced, value) if self._in_expressions else value
        if isinstance(value, list):
            return [self.resolved(item) for item in value]
        if isinstance(value, Mapping):
            return {key: self.resolved(item) for key, item in value.items()}
        return value

    def condition(self, text: str) -> str:
        """A loop's condition with the new refs behind `$`."""
        for old, new in self.changed():
            text = re.sub(rf"(?<![\w$])\$\.{re.escape(old)}(?![\w$])", f"$.{new}", text)
            text = re.sub(rf"(?<![\w$])\$\[\s*(['\"]){re.escape(old)}\1\s*\]", f'$["{new}"]', text)
        return text

    @cached_property
    def _in_expressions(self) -> dict[str, str]:
        return {old: new for old, new in self.changed() if old != "workflow"}

    @cached_property
    def _expressions(self) -> re.Pattern[str]:
        refs = "|".join(re.escape(old) for old in sorted(self._in_expressions, key=len, reverse=True))
        name = rf"(?P<name>{refs}){_ITERATION}(?=\s*[.\[}}])"
        quoted = rf"\[\s*(?P<quote>['\"])(?P<inner>{refs})(?P<tail>(?:__[0-9]+)*)(?P=quote)\s*\]"
        return re.compile(rf"\$\$\{{|(?P<open>\$\{{\s*)(?:{name}|{quoted})")

    def _replaced(self, found: re.Match[str]) -> str:
        if found["name"] is not None:
            return f"{found['open']}{self._in_expressions[found['name']]}{found['suffix']}"
        if found["inner"] is not None:
            return f"{found['open']}['{self._in_expressions[found['inner']]}{found['tail']}']"
        return found[0]


def _renamed(
    names: Iterable[str], is_allowed: Callable[[str], bool], made: Callable[[str], str], limit: int
) -> dict[str, str]:
    """Names that are allowed stay; the others are made anew, and never into one that is there already."""
    names = list(dict.fromkeys(names))
    taken = set(names)
    return {name: name if is_allowed(name) else unused(made(name), taken, "_", limit) for name in names}


def _is_tool(name: str) -> bool:
    return _TOOL.fullmatch(name) is not None and not name.isupper()


def _tool(name: str) -> str:
    text = _beginning(re.sub(r"[^a-zA-Z0-9_-]", "_", name), "tool")[:_MAX_TOOL]
    return text.lower() if text.isupper() else text


def _is_workflow(name: str) -> bool:
    return len(name) <= _MAX_WORKFLOW and _WORKFLOW.fullmatch(name) is not None


def _workflow(name: str) -> str:
    return re.sub(r"[/${}]+", "-", name).strip()[:_MAX_WORKFLOW].strip() or "workflow"


def _is_ref(ref: str) -> bool:
    return _REF.fullmatch(ref) is not None and "__" not in ref and ref != "workflow"


def _ref(ref: str) -> str:
    if ref == "workflow":
        return "workflow_task"
    return _beginning(re.sub(r"_{2,}", "_", re.sub(r"[^a-zA-Z0-9_.-]", "_", ref)), "task")[:_MAX_REF]


def _beginning(text: str, word: str) -> str:
    """The text, with a word before it where it begins with neither a letter nor `_`, or is empty."""
    if not text.strip("_"):
        return word
    return text if text[0].isalpha() or text[0] == "_" else f"{word}_{text}"
