"""JSON input as the typed values that a tool's signature asks for, checked on the way.

The operator has checked the input against the catalog's schema; this check is against the code that is
about to run, which may be newer or older than the catalog.
"""

from __future__ import annotations

from enum import Enum
from types import NoneType
from typing import Annotated, Any, Literal, NotRequired, Required, get_args, get_origin

from .errors import TerminalError
from .schema import ARRAYS, OBJECTS, SCALARS, UNIONS, is_record, record_fields

_JSON_NAMES = {NoneType: "null", bool: "boolean", int: "integer", float: "number", str: "string"}


class InvalidInputError(TerminalError):
    """The input is not what the tool takes; the message says where and why."""


def bind(hint: Any, value: Any, path: str) -> Any:
    """`value` as `hint`.

    Raises:
        InvalidInputError: It does not fit; the message names its path.
    """
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Annotated, Required, NotRequired):
        return bind(args[0], value, path)
    if hint in SCALARS:
        return _scalar(hint, value, path)
    if hint is None or hint is NoneType:
        return _expect(value is None, None, "null", value, path)
    if origin in UNIONS:
        return _union(args, value, path)
    if origin is Literal:
        match = next((arg for arg in args if type(arg) is type(value) and arg == value), None)
        return _expect(match is not None, match, f"one of {_listed(args)}", value, path)
    if isinstance(hint, type) and issubclass(hint, Enum):
        known = {member.value: member for member in hint}
        fits = isinstance(value, str | int | float) and value in known
        return _expect(fits, known.get(value) if fits else None, f"one of {_listed(known)}", value, path)
    if origin in ARRAYS or hint is list:
        _expect(isinstance(value, list), value, "an array", value, path)
        return [bind(args[0], item, f"{path}[{i}]") if args else item for i, item in enumerate(value)]
    if origin in OBJECTS or hint is dict:
        _expect(isinstance(value, dict), value, "an object", value, path)
        return {key: bind(args[1], item, f"{path}.{key}") if args else item for key, item in value.items()}
    if is_record(hint):
        fields, required = record_fields(hint)
        return hint(**bind_fields(fields, required, value, path))
    raise InvalidInputError(f"{path}: {hint} cannot be read from JSON")


def bind_fields(fields: dict[str, Any], required: frozenset[str], value: Any, path: str) -> dict[str, Any]:
    """The fields of an object, each as its hint; absent optional fields stay absent.

    Raises:
        InvalidInputError: A required field is missing, one is unknown, or one does not fit.
    """
    _expect(isinstance(value, dict), value, "an object", value, path)
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise InvalidInputError(f"{path}.{unknown[0]}: unknown; the fields are {', '.join(fields) or 'none'}")
    missing = [name for name in fields if name in required and name not in value]
    if missing:
        raise InvalidInputError(f"{path}.{missing[0]}: missing")
    return {name: bind(fields[name], value[name], f"{path}.{name}") for name in fields if name in value}


def _scalar(hint: Any, value: Any, path: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float:
        return _expect(number, float(value) if number else None, "a number", value, path)
    if hint is int:
        whole = number and value == int(value)
        return _expect(whole, int(value) if whole else None, "an integer", value, path)
    article = "a boolean" if hint is bool else "a string"
    return _expect(type(value) is hint, value, article, value, path)


def _union(members: tuple[Any, ...], value: Any, path: str) -> Any:
    problems: list[str] = []
    for member in sorted(members, key=lambda member: member is float):
        try:
            return bind(member, value, path)
        except InvalidInputError as error:
            problems.append(str(error).removeprefix(f"{path}: "))
    raise InvalidInputError(f"{path}: fits none of its types ({'; '.join(problems)})")


def _expect(fits: bool, result: Any, wanted: str, value: Any, path: str) -> Any:
    if fits:
        return result
    kind = _JSON_NAMES.get(type(value), "array" if isinstance(value, list) else "object")
    shown = "" if kind in ("null", "array", "object") else f" {str(value)[:80]!r}"
    raise InvalidInputError(f"{path}: expected {wanted}, got {kind}{shown}")


def _listed(values: Any) -> str:
    return ", ".join(repr(value) for value in values)
