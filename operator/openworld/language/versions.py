"""Which of several Workflows a reference means: several versions of one name may stand side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypeVar

from openworld.api import JsonObject

Known = TypeVar("Known")
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def name_of(object_name: str, spec: JsonObject) -> str:
    """What others start a Workflow by: its `spec.name`, else the name of its object."""
    name = spec.get("name")
    return name if isinstance(name, str) and name else object_name


def version_in(spec: JsonObject) -> int:
    """The version that a Workflow says it has; 1 when it says none that makes sense."""
    version = spec.get("version", 1)
    return version if isinstance(version, int) and not isinstance(version, bool) else 1


def idempotent_name(workflow: str, key: str) -> str:
    """The name of the one Execution of a workflow that has an idempotency key: its name is what is unique."""
    mark = hashlib.sha256(f"{workflow}/{key}".encode()).hexdigest()[:16]
    return f"{object_name(workflow)[:40].rstrip('-')}-{mark}"


def object_name(text: str) -> str:
    """A text as the name of an object: small letters, digits and hyphens."""
    kept = "".join(c if c in _NAME_CHARACTERS else "-" for c in text.lower()).strip("-")
    return kept or "x"


def choose(
    name: str, version: int | None, found: Iterable[tuple[int, str, Known]]
) -> tuple[Known | None, str]:
    """The Workflow that is meant among those of a name, or why none is.

    `found` are version, object's name and the object itself. Without a version the latest is meant.
    """
    of_name = sorted(found, key=lambda each: each[:2])
    if not of_name:
        return None, f"Workflow {name!r} does not exist"
    wanted = of_name[-1][0] if version is None else version
    fitting = [each for each in of_name if each[0] == wanted]
    if not fitting:
        has = ", ".join(str(number) for number in sorted({each[0] for each in of_name}))
        return None, f"Workflow {name!r} has version {has}, not {wanted}"
    if len(fitting) > 1:
        objects = ", ".join(each[1] for each in fitting)
        return None, f"Workflow {name!r} version {wanted} is defined more than once: by {objects}"
    return fitting[0][2], ""
