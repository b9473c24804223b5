"""The scripted provider: turn N is the Nth file of a mounted ConfigMap.

It stands in for a model in examples and tests: the whole path runs with no key and no network. What a file
says is passed on as it is, sensible or not, since the operator must judge both. A file with `dialect` and
`message` is a recorded response of a model, read as one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from openworld_worker.errors import TerminalError
from openworld_worker.wire import JsonObject, to_json

from .dialects import DIALECTS, normalise
from .turn import Turn

SCRIPT_FOLDER = Path("/openworld/script")
#: A ConfigMap that is missing is mounted as an empty folder, so that the turn can say this.
_NO_SCRIPT = (
    "no script is mounted: the ConfigMap that the Agent's model.script names does not exist in this "
    "namespace, or is empty"
)


class _JsonLoader(yaml.SafeLoader):
    """YAML without timestamps: `2026-01-01` is text, as in JSON."""


_JsonLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Scripted:
    """Proposals from files."""

    folder: Path = SCRIPT_FOLDER

    def propose(self, context: JsonObject) -> Turn:
        """The proposal of this turn.

        Raises:
            TerminalError: There is no script, or no file for this turn, or it is empty or not YAML, or names
                a dialect that is not known.
        """
        turn = context.get("turn")
        if not isinstance(turn, int) or isinstance(turn, bool) or turn < 1:
            raise TerminalError(f"context.turn is {turn!r}, not a number from 1")
        files = script_files(self.folder)
        if not files:
            raise TerminalError(_NO_SCRIPT)
        if turn > len(files):
            raise TerminalError(
                f"this is turn {turn}, and the script's ConfigMap has {len(files)} "
                f"file{'' if len(files) == 1 else 's'}: it needs one for each turn"
            )
        file = files[turn - 1]
        said = _read(file)
        if isinstance(said, dict) and "dialect" in said:
            said = _recorded(file.name, said, context)
        return Turn(proposal=said, model="scripted")


def script_files(folder: Path) -> list[Path]:
    """The ConfigMap's keys in order: `turn-2` before `turn-10`.

    Raises:
        TerminalError: Nothing is mounted there.
    """
    if not folder.is_dir():
        raise TerminalError(_NO_SCRIPT)
    # a mounted ConfigMap has bookkeeping entries beside its keys: ..data and ..<time>
    return sorted((f for f in folder.iterdir() if not f.name.startswith("..")), key=_by_number)


def _recorded(name: str, said: JsonObject, context: JsonObject) -> JsonObject:
    dialect, agent = said["dialect"], context.get("agent")
    if not isinstance(dialect, str) or dialect not in DIALECTS:
        raise TerminalError(
            f"{name} of the script has the dialect {dialect!r}; there are {', '.join(DIALECTS)}"
        )
    if set(said) != {"dialect", "message"}:
        raise TerminalError(f"{name} of the script must hold dialect and message, and nothing else")
    structured = isinstance(agent, dict) and agent.get("outputSchema") is not None
    return normalise(dialect, said["message"], structured=structured)


def _by_number(file: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", file.name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def _read(file: Path) -> Any:
    try:
        proposal = yaml.load(file.read_text(encoding="utf-8"), Loader=_JsonLoader)  # noqa: S506 - a safe loader
        proposal = to_json(proposal, file.name)
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise TerminalError(f"{file.name} of the script cannot be read: {error}") from error
    if proposal is None:
        raise TerminalError(f"{file.name} of the script is empty")
    return proposal
