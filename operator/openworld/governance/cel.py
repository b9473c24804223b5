"""CEL for policy rules. The trap to know: a run-time error comes back as a value, and it is truthy.

Only a value of type BOOL that is True holds. Anything else is False or an error, and the caller
fails closed on errors.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from openworld.api import JsonObject
from openworld.api.meta import Json
from openworld.language.evaluators import cel_reason

_LARGEST = 2**63 - 1
_LONGEST_LIST = 1000
_T = cel.Type


class CelError(ValueError):
    """A rule that cannot be compiled or evaluated, with the reason."""


def _count(of: dict[str, Any], tool: str) -> int:
    """`proposal.count(NAME)`, `execution.count(NAME)`."""
    return int(of["counts"].get(tool, 0))


@lru_cache(maxsize=1)
def _environment() -> Any:
    overload = cel.Overload(
        "proposal_count_string", _T.INT, [_T.Map(_T.STRING, _T.DYN), _T.STRING], is_member=True, impl=_count
    )
    variables = dict.fromkeys(("item", "tool", "execution", "proposal"), _T.DYN)
    return cel.NewEnv(
        variables={**variables, "now": _T.TIMESTAMP}, functions=[cel.FunctionDecl("count", [overload])]
    )


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> Any:
    try:
        return _environment().compile(expression)
    except (RuntimeError, ValueError, TypeError) as error:
        raise CelError(cel_reason(error)) from None


def check(expression: str) -> str:
    """What is wrong with an expression; empty when it is a condition."""
    try:
        kind = _compiled(expression).return_type()
    except CelError as error:
        return str(error)
    if kind not in (_T.BOOL, _T.DYN):
        return f"it must be a condition (bool), and is of type {kind.name().lower()}"
    return ""


def holds(expression: str, *, now_ms: int, **variables: JsonObject) -> bool:
    """Whether a condition is true. Raises CelError when that cannot be said."""
    for name, value in variables.items():
        _refuse_unsafe(value, name)
    program = _compiled(expression)
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    try:
        value = program.eval(data={**variables, "now": now})
        if value.type() == _T.BOOL:
            return value.plain_value() is True
        said = str(value.plain_value())[:200]
        raise CelError(said if value.type() == _T.ERROR else f"it is not a bool: {said}")
    except (RuntimeError, ValueError, TypeError, OverflowError, KeyError) as error:
        raise CelError(cel_reason(error)) from None


def _refuse_unsafe(value: Json, where: str) -> None:
    if isinstance(value, bool) or value is None or isinstance(value, str | float):
        return
    if isinstance(value, int):
        if abs(value) > _LARGEST:
            raise CelError(f"{where} is an integer beyond 64 bits")
    elif isinstance(value, list):
        if len(value) > _LONGEST_LIST:
            raise CelError(f"{where} has {len(value)} elements, the limit in a rule is {_LONGEST_LIST}")
        for index, element in enumerate(value):
            _refuse_unsafe(element, f"{where}[{index}]")
    elif isinstance(value, dict):
        for key, element in value.items():
            _refuse_unsafe(element, f"{where}.{key}")
