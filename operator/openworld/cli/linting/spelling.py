"""Unquoted words that kubectl reads as true or false although they look like text: `y`, `no`, `on`.

As a value that is a warning, since it may be meant. As a key it never is: the field would be called
`true`.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from openworld.cli import plain_scalars
from openworld.cli.documents import Document
from openworld.language.reading import joined

from .problem import Object, Problem, Severity


def spelling_problems(found: Object) -> Iterator[Problem]:
    """The words of an object that mean something else than they say, in document order."""
    for path, word, is_key in _words(found.document):
        value = str(plain_scalars.is_true(word)).lower()
        if is_key:
            message = f'the key {word} is read as {value} by Kubernetes (YAML 1.1): write "{word}"'
            yield found.problem(path, message)
        else:
            meant = f'write {value}, or "{word}" if it is text'
            message = f"{word} is read as {value} by Kubernetes (YAML 1.1): {meant}"
            yield found.problem(path, message, Severity.WARNING)


def _words(document: Document) -> Iterator[tuple[str, str, bool]]:
    """Path, word, and whether it is a key. A node that is used again by an alias is looked at once."""
    seen: set[int] = set()
    waiting: list[tuple[str, yaml.Node]] = [("", document.node)]
    while waiting:
        path, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            if _is_misleading(node):
                yield path, node.value, False
        elif isinstance(node, yaml.SequenceNode):
            below = [(f"{path}[{index}]", item) for index, item in enumerate(node.value)]
            waiting += reversed(below)
        elif isinstance(node, yaml.MappingNode):
            below = []
            for key, value in node.value:
                here = joined(path, [str(key.value)])
                if _is_misleading(key):
                    yield here, key.value, True
                below.append((here, value))
            waiting += reversed(below)


def _is_misleading(node: yaml.Node) -> bool:
    is_plain = isinstance(node, yaml.ScalarNode) and node.style is None and node.tag == plain_scalars.BOOL
    return is_plain and str(node.value).lower() not in ("true", "false")
