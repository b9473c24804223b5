"""From untyped JSON to a typed resource, with errors for the person who wrote it.

Every error names its exact place in the document as its author sees it, says what is wrong, and where a
name is misspelt, which one was probably meant. Reads and judges shape only; meaning is `checks`.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Annotated, Any, Protocol, TypeVar, Union, get_args, get_origin

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from openworld.api.meta import Json
from openworld.api.workflow import Task, TaskType

from .canonical import NotCanonical, normalise, path_text

M = TypeVar("M", bound=BaseModel)

#: A definition may be wrong in more places than anybody wants to be told at a time.
MAX_FINDINGS = 50
#: Words that one is compared with, to find what was meant.
_MOST_KNOWN = 500
_MAX_SHOWN = 80
#: The short form of a task, and what pydantic calls those fields.
_SHORT_FORM = {"taskReferenceName": "ref", "inputParameters": "input"}

#: Pydantic's words for types, in JSON's.
_TYPES = {
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dict_type": "an object",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}


class Located(Protocol):
    """Something that is wrong, and where."""

    @property
    def path(self) -> str:
        """Where: `spec.tasks[2].name`."""

    @property
    def message(self) -> str:
        """What is wrong there."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a definition: where (`spec.tasks[2].name`), and what to do about it."""

    path: str
    message: str


def told(problems: Iterable[Located]) -> str:
    """Problems as one text, each with its place; empty when there are none."""
    return "; ".join(f"{problem.path}: {problem.message}" for problem in problems)


class InvalidResource(ValueError):
    """A document that is not the resource it should be; `findings` says why, one by one."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__(told(findings))
        self.findings = findings


def read(model: type[M], data: Json, path: str = "spec") -> M:
    """The data as a model; nothing is converted. Raises InvalidResource, with a finding for each error."""
    if not isinstance(data, Mapping):
        raise InvalidResource((Finding(path, f"must be an object, not {_shown(data)}"),))
    try:
        data = normalise(data)
        return model.model_validate_json(orjson.dumps(data), strict=True)
    except NotCanonical as error:
        raise InvalidResource((Finding(under(path, error.path), error.why),)) from None
    except ValidationError as error:
        findings = [
            _finding(details, model, data, path) for details in error.errors(include_url=False)[:MAX_FINDINGS]
        ]
        raise InvalidResource(tuple(dict.fromkeys(findings))) from None


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word that is close, among the first ones, or nothing."""
    known = list(islice(known, _MOST_KNOWN))
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(word.lower()[:200], by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def kind_of(value: Json) -> str:
    """What sort of JSON a value is, in a few words."""
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def joined(path: str, steps: Iterable[str | int]) -> str:
    """A path with more steps."""
    return under(path, path_text(list(steps)))


def under(path: str, below: str) -> str:
    """A path followed by the text of another, which may begin with a bracket."""
    if not below:
        return path
    return path + below if below.startswith("[") else f"{path}.{below}" if path else below


def _finding(details: ErrorDetails, model: type[BaseModel], data: Json, path: str) -> Finding:
    steps, owner = _place(details["loc"], model, data)
    kind, given = details["type"], details["input"]
    if kind == "extra_forbidden" and steps:
        return _unknown_field(steps, owner, path)
    if kind == "missing" and steps:
        name = str(steps[-1])
        also = f" (or its short form, {_SHORT_FORM[name]})" if owner is Task and name in _SHORT_FORM else ""
        return Finding(joined(path, steps[:-1]), f"{name}{also} is required")
    if kind == "enum" and steps:
        return Finding(joined(path, steps), _unknown_value(steps, owner, given))
    return Finding(joined(path, steps), _message(details))


def _unknown_field(steps: list[str | int], owner: type[BaseModel] | None, path: str) -> Finding:
    known = [field.alias or name for name, field in owner.model_fields.items()] if owner else []
    if owner is Task:
        known += _SHORT_FORM.values()
    meant = suggestion(str(steps[-1]), known)
    listed = "" if meant or not known else f". Known: {', '.join(sorted(known))}"
    return Finding(joined(path, steps), f"unknown field {steps[-1]!r}{meant}{listed}")


def _unknown_value(steps: list[str | int], owner: type[BaseModel] | None, given: Json) -> str:
    field = _field(owner, steps[-1]) or _field(owner, steps[-2] if len(steps) > 1 else "")
    allowed = [str(member.value) for member in _enum_of(field)]
    meant = suggestion(given, allowed) if isinstance(given, str) else ""
    if owner is Task and TaskType.SIMPLE.value in allowed:
        return f"unknown task type {_shown(given)}{meant or '.'} Known: {', '.join(allowed)}"
    return f"{_shown(given)} is not allowed{meant or '.'} Allowed: {', '.join(allowed)}"


def _message(details: ErrorDetails) -> str:
    kind, given, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return f"{_shown(given)} does not match {context.get('pattern')}"
    if kind == "value_error":
        return str(context.get("error", details["msg"]))
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    if kind in ("too_long", "string_too_long"):
        return f"is too long; at most {context.get('max_length')} are allowed"
    wanted = _TYPES.get(kind) or details["msg"].removeprefix("Input should be ")
    return f"must be {wanted}, but is {_shown(given)}"


def _place(
    loc: tuple[str | int, ...], model: type[BaseModel], data: Json
) -> tuple[list[str | int], type[BaseModel] | None]:
    """An error's location as the author wrote it, and the model that the last step is a field of."""
    steps: list[str | int] = []
    owner: type[BaseModel] | None = model
    inner: Any = model
    for step in loc:
        if step == "[key]":
            continue
        model_here = _model_of(inner)
        if model_here is not None and isinstance(step, str):
            owner = model_here
            field = model_here.model_fields.get(_field_name(model_here, step))
            inner = field.annotation if field else None
            step = _as_written(step, owner, data)
        else:
            inner = _element_of(inner)
        steps.append(step)
        data = _child(data, step)
    return steps, owner


def _as_written(step: str, owner: type[BaseModel], data: Json) -> str:
    if owner is Task and isinstance(data, Mapping) and step not in data:
        short = _SHORT_FORM.get(step, step)
        return short if short in data else step
    return step


def _child(data: Json, step: str | int) -> Json:
    if isinstance(data, Mapping):
        return data.get(step)
    if isinstance(data, list) and isinstance(step, int) and step < len(data):
        return data[step]
    return None


def _field_name(model: type[BaseModel], alias: str) -> str:
    return next((name for name, field in model.model_fields.items() if field.alias == alias), alias)


def _field(owner: type[BaseModel] | None, step: str | int) -> Any:
    field = owner.model_fields.get(_field_name(owner, str(step))) if owner else None
    return field.annotation if field else None


def _bare(annotation: Any) -> Any:
    """An annotation without Annotated and without `| None`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, types.UnionType):
            given = [argument for argument in get_args(annotation) if argument is not type(None)]
            annotation = given[0] if given else None
        else:
            return annotation


def _model_of(annotation: Any) -> type[BaseModel] | None:
    bare = _bare(annotation)
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None


def _element_of(annotation: Any) -> Any:
    """What a list or a map holds."""
    arguments = get_args(_bare(annotation))
    return arguments[-1] if arguments else None


def _enum_of(annotation: Any) -> list[Enum]:
    bare = _bare(annotation)
    while get_args(bare):
        bare = _bare(_element_of(bare))
    return list(bare) if isinstance(bare, type) and issubclass(bare, Enum) else []


def _shown(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value) if isinstance(value, str | int | float) else "a value of another kind"
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
