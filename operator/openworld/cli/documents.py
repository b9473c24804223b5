"""YAML files as objects that remember their lines: for messages that say where.

Read as kubectl reads them: `yes` is true, a timestamp is text, a key given twice is an error. Knows
nothing of kinds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import yaml

from . import plain_scalars

Step = str | int
_STEP = re.compile(r"\.?(?P<name>[^.\[\]]+)|\[(?P<index>\d+)\]|\[(?P<quoted>\"(?:[^\"\\]|\\.)*\")\]")
#: A task's short form, and what messages call those fields.
_ALSO = {
    "ref": "taskReferenceName",
    "input": "inputParameters",
    "taskReferenceName": "ref",
    "inputParameters": "input",
}


class Dialect(Enum):
    """Whose reading of YAML counts: they differ in what an unquoted word is."""

    #: kubectl's: `y`, `no` and `on` are booleans, keys are text.
    KUBERNETES = "kubernetes"
    #: Python's, which reads a scripted agent's turns and a run's input file: there `y` is text.
    PYTHON = "python"


class _PythonLoader(yaml.SafeLoader):
    """Values as JSON has them, and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == plain_scalars.MERGE:
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key.start_mark)
            name = self.key_of(key)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)

    def key_of(self, key: yaml.ScalarNode) -> str:
        """What tells a key from others."""
        return str(key.value)


_PythonLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _KubernetesLoader(_PythonLoader):
    """The same with kubectl's meaning of unquoted words, and with keys that are text."""

    def resolve(self, kind: type[yaml.Node], value: str, implicit: Any) -> str:
        """The tag of a node that has none."""
        if kind is yaml.ScalarNode and implicit[0]:
            return plain_scalars.tag_of(value)
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        return {
            plain_scalars.key_text(key): value for key, value in super().construct_mapping(node, deep).items()
        }

    def key_of(self, key: yaml.ScalarNode) -> str:
        """The text that the key becomes."""
        try:
            return plain_scalars.key_text(self.construct_object(key))
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), key.start_mark) from None


def _scalar(convert: Callable[[str], Any]) -> Callable[[_KubernetesLoader, yaml.ScalarNode], Any]:
    def construct(loader: _KubernetesLoader, node: yaml.ScalarNode) -> Any:
        text = str(loader.construct_scalar(node))
        try:
            return convert(text)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None

    return construct


_KubernetesLoader.add_constructor(plain_scalars.BOOL, _scalar(plain_scalars.is_true))
_KubernetesLoader.add_constructor(plain_scalars.INT, _scalar(plain_scalars.number))
_KubernetesLoader.add_constructor(plain_scalars.FLOAT, _scalar(plain_scalars.number))
_LOADERS = {Dialect.KUBERNETES: _KubernetesLoader, Dialect.PYTHON: _PythonLoader}


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file: its value, and the nodes that know their lines."""

    file: str
    data: Any
    node: yaml.Node

    def line(self, path: str = "") -> int:
        """The line of a path such as `spec.tasks[2].name`; of its nearest parent when it is not there."""
        node, line = self.node, self.node.start_mark.line
        for step in steps_of(path):
            found = _child(node, step)
            if found is None:
                break
            node, line = found
        return line + 1

    def at(self, path: str) -> Any:
        """The value at a path; None when it is not there."""
        value = self.data
        for step in steps_of(path):
            if isinstance(value, dict) and isinstance(step, str):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value


class UnreadableError(ValueError):
    """The file is not YAML; `line` says where, if the parser knew."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line


def documents(file: str, text: str, dialect: Dialect = Dialect.KUBERNETES) -> Iterator[Document]:
    """The documents of a file that hold something. Raises UnreadableError."""
    try:
        loader = _LOADERS[dialect](text)
        try:
            while loader.check_node():
                node = loader.get_node()
                data = loader.construct_document(node)
                if data is not None and node is not None:
                    yield Document(file, data, node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or str(error)
        raise UnreadableError(mark.line + 1 if mark else 1, str(why)) from None
    except RecursionError:
        raise UnreadableError(1, "it is nested too deeply") from None
    except ValueError as error:
        raise UnreadableError(1, str(error)) from None


def parse(text: str, dialect: Dialect = Dialect.KUBERNETES) -> Any:
    """The value of a text with one document. Raises UnreadableError."""
    found = list(documents("", text, dialect))
    if len(found) > 1:
        raise UnreadableError(found[1].line(), "it holds more than one document")
    return found[0].data if found else None


def steps_of(path: str) -> Iterator[Step]:
    """The steps of a path as messages write it."""
    for match in _STEP.finditer(path):
        if match["index"] is not None:
            yield int(match["index"])
        elif match["quoted"] is not None:
            yield json.loads(match["quoted"])
        else:
            yield match["name"]


def _child(node: yaml.Node, step: Step) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child = node.value[step]
        return child, child.start_mark.line
    if isinstance(node, yaml.MappingNode) and isinstance(step, str):
        for name in (step, _ALSO.get(step)):
            for key, value in node.value:
                if key.value == name:
                    return value, key.start_mark.line
    return None
