"""Who may have a place under a limit that binds a whole namespace. Pure: the shell reads and writes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from openworld.api import JsonObject

from .needs import Claim, NeedClaim

#: How soon whoever waits for a place looks again, should nobody tell them of one.
AGAIN_MS = 5_000


@dataclass(frozen=True, slots=True)
class Place:
    """A holder of a place: a task of an execution, or (without ref) the execution itself."""

    execution: str
    uid: str
    ref: str
    at: int


@dataclass(frozen=True, slots=True)
class Places:
    """Who runs now, and who started lately."""

    holders: tuple[Place, ...] = ()
    starts: tuple[Place, ...] = ()


def grant(
    places: Places, need: NeedClaim, now_ms: int, is_alive: Callable[[Place], bool]
) -> tuple[Places, Claim]:
    """The places after a claim, and its answer. A claim that is made twice is one claim.

    `is_alive` is asked of holders only when there is no place left: those that are not, lose theirs.
    """
    mine = Place(need.execution, need.uid, need.ref, now_ms)
    holds = any((held.uid, held.ref) == (mine.uid, mine.ref) for held in places.holders)
    if holds:
        return places, Claim(granted=True)
    since = now_ms - need.per_seconds * 1000
    starts = tuple(start for start in places.starts if start.at > since)
    holders = places.holders
    if is_full(holders, need):
        holders = tuple(held for held in holders if is_alive(held))
    if is_full(holders, need):
        return Places(holders, starts), Claim(granted=False, again_ms=now_ms + AGAIN_MS)
    if need.rate and len(starts) >= need.rate:
        due = min(start.at for start in starts) + need.per_seconds * 1000
        return Places(holders, starts), Claim(granted=False, again_ms=due)
    if need.most:
        holders = (*holders, mine)
    if need.rate:
        starts = (*starts, mine)
    return Places(holders, starts), Claim(granted=True)


def is_full(holders: Sequence[Place], need: NeedClaim) -> bool:
    """Whether no place is left for a claim, should all holders be alive."""
    return bool(need.most) and len(holders) >= need.most


def release(places: Places, uid: str, ref: str) -> Places:
    """The places without a holder's."""
    return Places(tuple(held for held in places.holders if (held.uid, held.ref) != (uid, ref)), places.starts)


def read(spec: JsonObject) -> Places:
    """The places that a Limit's spec tells of."""

    def those(name: str) -> tuple[Place, ...]:
        return tuple(
            Place(each["execution"], each["uid"], each.get("ref", ""), each["at"])
            for each in spec.get(name) or ()
        )

    return Places(those("holders"), those("starts"))


def written(places: Places) -> JsonObject:
    """The places as a Limit's spec tells of them."""

    def all_of(found: tuple[Place, ...]) -> list[JsonObject]:
        return [{"execution": p.execution, "uid": p.uid, "ref": p.ref, "at": p.at} for p in found]

    return {"holders": all_of(places.holders), "starts": all_of(places.starts)}


@dataclass(slots=True)
class Book:
    """The places of all limits of a namespace, where they need not be shared: simulations and tests."""

    places: dict[str, Places] = field(default_factory=dict)

    def claim(self, need: NeedClaim, now_ms: int, is_alive: Callable[[Place], bool]) -> Claim:
        """Claim a place."""
        self.places[need.key], answer = grant(self.places.get(need.key, Places()), need, now_ms, is_alive)
        return answer
