"""What the watches have shown so far: objects by name, and by the execution they belong to.

A store is filled by events and set right by lists of our own, because events can be lost. It may
lag behind the API server, so nothing is concluded from an absence in it, and it decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from openworld.api import JsonObject, Phase
from openworld.kube import nesting

Index = TypeVar("Index", bound=Hashable)


class ObjectKey(NamedTuple):
    """Namespace and name of an object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def key_of(body: JsonObject) -> ObjectKey:
    """The key of an object."""
    metadata = body["metadata"]
    return ObjectKey(metadata.get("namespace", ""), metadata["name"])


def version_of(body: JsonObject) -> int:
    """The resourceVersion as the number it is (etcd's revision); 0 when there is none."""
    text = body["metadata"].get("resourceVersion") or "0"
    return int(text) if text.isdigit() else 0


def phase_of(execution: JsonObject) -> Phase:
    """Where an execution stands by its status; Pending before it has one."""
    return Phase((execution.get("status") or {}).get("phase") or Phase.PENDING.value)


@dataclass(slots=True)
class Held:
    """One object as it was last seen; `gone` when it was deleted since.

    `settled`: what it says is recorded, and only its name is kept.
    """

    body: JsonObject
    gone: bool = False
    settled: bool = False


@dataclass(slots=True)
class Store(Generic[Index]):
    """Objects of one kind, found by name and by index.

    `index` says which group an object belongs to (None: to nobody, not kept). `trim` drops what
    nobody reads. Deleted objects for which `keep_gone` holds stay, marked, until they are forgotten.
    """

    index: Callable[[JsonObject], Index | None]
    trim: Callable[[JsonObject], JsonObject] = field(default=lambda body: body)
    keep_gone: Callable[[JsonObject], bool] = field(default=lambda _: False)
    _held: dict[ObjectKey, Held] = field(default_factory=dict)
    _groups: dict[Index, dict[ObjectKey, None]] = field(default_factory=dict)
    _deleted: dict[ObjectKey, int] = field(default_factory=dict)

    def put(self, body: JsonObject) -> bool:
        """An object was seen. Returns whether that is news."""
        key, version = key_of(body), version_of(body)
        before = self._held.get(key)
        if before is not None and version <= version_of(before.body):
            return False
        if version <= self._deleted.get(key, -1):
            return False
        group = self.index(body)
        if group is None:
            return False
        if before is not None:
            self._leave_group(key, before.body)
        self._held[key] = Held(_kept(self.trim(body)))
        self._groups.setdefault(group, {})[key] = None
        return True

    def remove(self, body: JsonObject) -> bool:
        """An object was deleted; `body` is how it was last. Returns whether that is news."""
        key = key_of(body)
        self._deleted[key] = max(version_of(body), self._deleted.get(key, -1))
        before = self._held.get(key)
        if before is None or before.gone or version_of(body) < version_of(before.body):
            return False
        if self.keep_gone(body):
            self._held[key] = Held(_kept(self.trim(body)), gone=True)
        else:
            self._leave_group(key, before.body)
            del self._held[key]
        return True

    def replace(self, items: Iterable[JsonObject], listed_at: int) -> list[JsonObject]:
        """Set the store right by a full list, taken at `listed_at`. Returns the objects with news."""
        news: list[JsonObject] = []
        present: set[ObjectKey] = set()
        for body in items:
            present.add(key_of(body))
            if self.put(body):
                news.append(body)
        for key, held in list(self._held.items()):
            if key not in present and not held.gone and version_of(held.body) <= listed_at:
                self.remove(held.body)
                news.append(held.body)
        self._deleted = {key: version for key, version in self._deleted.items() if version > listed_at}
        return news

    def get(self, key: ObjectKey) -> JsonObject | None:
        """The object as last seen, or None when it was never seen or is gone."""
        held = self._held.get(key)
        return None if held is None or held.gone else held.body

    def holds(self, key: ObjectKey) -> bool:
        """Whether the object is held, gone or not."""
        return key in self._held

    def of(self, group: Index) -> list[Held]:
        """The objects of a group that are not settled."""
        found = (self._held[key] for key in self._groups.get(group, ()))
        return [held for held in found if not held.settled]

    def present(self) -> list[ObjectKey]:
        """The names of all objects that are not gone."""
        return [key for key, held in self._held.items() if not held.gone]

    def gone(self) -> list[JsonObject]:
        """The objects that were deleted and are kept until they are forgotten."""
        return [held.body for held in self._held.values() if held.gone]

    def settle(self, key: ObjectKey) -> None:
        """What the object says is recorded: let go of its content."""
        held = self._held.get(key)
        if held is None or held.settled:
            return
        body = held.body
        self._leave_group(key, body)
        kept = {name: body["metadata"].get(name) for name in ("namespace", "name", "uid", "resourceVersion")}
        self._held[key] = Held({"metadata": kept}, gone=held.gone, settled=True)

    def forget(self, key: ObjectKey) -> None:
        """Let go of an object if it is gone."""
        held = self._held.get(key)
        if held is not None and held.gone:
            self._leave_group(key, held.body)
            del self._held[key]

    def _leave_group(self, key: ObjectKey, body: JsonObject) -> None:
        group = self.index(body)
        if group is None or key not in self._groups.get(group, ()):
            return
        self._groups[group].pop(key, None)
        if not self._groups[group]:
            del self._groups[group]


def _kept(body: JsonObject) -> JsonObject:
    """An object as it is kept: without its managed fields, and cut where it nests too deeply."""
    if "managedFields" in body["metadata"]:
        metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
        body = {**body, "metadata": metadata}
    if nesting.is_deep(body):
        nesting.cut(body)
    return body
