"""resources.md: every kind and every field, from the models of `openworld.api`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

from annotated_types import Ge
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from openworld.api import API_VERSION, crd
from openworld.api.meta import Json, JsonObject, Strict

from .markdown import GENERATED, anchor, code, codes, table

_HEAD = ("field", "type", "default", "limits", "description")
_INTRO = f"""# Custom resources

{GENERATED}

All kinds are namespaced and of `apiVersion: {API_VERSION}`. A reference never crosses namespaces. An unknown field is refused by
name: by the linter, by the condition `Valid` of a definition, and when a run is started. Fields without a default are required;
*unset* means that nothing is assumed. Types that several fields share stand [below](#nested-types).
"""
_LIMITS = {
    "minimum": "≥ {}",
    "maximum": "≤ {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matches `{}`",
}


def page() -> str:
    """The page."""
    parts = [_INTRO, _contents()]
    parts += [_kind(kind) for kind in crd.KINDS]
    parts.append("## Nested types\n")
    parts += [_nested(model, used) for model, used in sorted(nested_models().items(), key=_by_name)]
    return "\n".join(parts)


def nested_models() -> dict[type[BaseModel], list[str]]:
    """Every model below those of the kinds, and the fields that hold it."""
    kinds = {kind.spec for kind in crd.KINDS}
    found: dict[type[BaseModel], list[str]] = {}
    open_models: list[tuple[str, type[BaseModel]]] = [
        (f"{kind.name}.{part}", model)
        for kind in crd.KINDS
        for part, model in (("spec", kind.spec), ("status", kind.status))
        if model is not None
    ]
    while open_models:
        where, model = open_models.pop(0)
        for name, field in model.model_fields.items():
            for inner in _models_in(field.annotation):
                if inner in kinds:
                    continue
                if inner not in found:
                    open_models.append((inner.__name__, inner))
                place = f"{where}.{_wire_name(name, field)}"
                if place not in found.setdefault(inner, []):
                    found[inner].append(place)
    return found


def _by_name(entry: tuple[type[BaseModel], list[str]]) -> str:
    return entry[0].__name__


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _contents() -> str:
    rows = (
        (f"[{kind.name}]({anchor(kind.name)})", code(kind.short), _first_line(kind.spec))
        for kind in crd.KINDS
    )
    return table(("kind", "short name", "what it is"), rows)


def _kind(kind: crd.Kind) -> str:
    columns = [name for name, _, _, priority in kind.columns if not priority]
    facts = [f"`kubectl get {kind.short}` shows {', '.join(columns)}."]
    if kind.is_immutable:
        facts.append("It cannot be changed once it was created.")
    if kind.selectable:
        facts.append(f"Selectable by {codes(path.removeprefix('.') for path in kind.selectable)}.")
    parts = [f"## {kind.name}\n", f"{_doc(kind.spec)}\n", f"{' '.join(facts)}\n"]
    if kind.rules:
        parts.append("The API server refuses what breaks one of these rules:\n")
        parts.append("".join(f"- {message}\n" for _, message in kind.rules))
    parts.append(_fields(kind.spec, "spec."))
    if kind.status is not None:
        parts.append("The operator writes:\n")
        parts.append(_fields(kind.status, "status."))
    return "\n".join(parts)


def _nested(model: type[BaseModel], used: list[str]) -> str:
    return "\n".join((f"### {model.__name__}\n", f"{_doc(model)}\n", f"In {codes(used)}.\n", _fields(model)))


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _doc(model: type[BaseModel]) -> str:
    paragraphs = (model.__doc__ or "").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _fields(model: type[BaseModel], prefix: str = "") -> str:
    schema = model.model_json_schema(by_alias=True)
    defs: JsonObject = schema.get("$defs", {})
    if "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    rows = []
    for name, field in model.model_fields.items():
        wire = _wire_name(name, field)
        node = schema["properties"][wire] | _strictest(field)
        limits = "; ".join(_limits(node, defs))
        description = field.description or ""
        rows.append((code(prefix + wire), _type(node, defs), _default(field), limits, description))
    return table(_HEAD, rows)


def _strictest(field: FieldInfo) -> JsonObject:
    """The lower bound that binds where a type and a field have one each; a schema shows only one of them."""
    bounds = [limit.ge for limit in field.metadata if isinstance(limit, Ge)]
    return {"minimum": max(bounds)} if bounds else {}  # type: ignore[type-var]


def _wire_name(name: str, field: FieldInfo) -> str:
    return field.alias or name


def _type(node: JsonObject, defs: JsonObject) -> str:
    if "anyOf" in node:
        options = [option for option in node["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(_type(option, defs) for option in options))
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return "string" if "enum" in defs[name] else f"[{name}]({anchor(name)})"
    match node.get("type"):
        case "array":
            return f"list of {_type(node.get('items', {}), defs)}"
        case "object":
            values = node.get("additionalProperties")
            return f"map of {_type(values, defs)}" if isinstance(values, dict) and values else "object"
        case None:
            return "any"
        case other:
            return str(other)


def _limits(node: JsonObject, defs: JsonObject) -> Iterator[str]:
    for option in node.get("anyOf", ()):
        yield from _limits(option, defs)
    if "$ref" in node:
        target = defs[node["$ref"].rpartition("/")[2]]
        if "enum" in target:
            yield f"one of {codes(target['enum'])}"
    for key, text in _LIMITS.items():
        if key in node:
            is_filled = key in ("minLength", "minItems") and node[key] == 1
            yield "not empty" if is_filled else text.format(node[key])
    for key in ("items", "additionalProperties"):
        inner = node.get(key)
        of_each = list(_limits(inner, defs)) if isinstance(inner, dict) else []
        if of_each:
            yield f"each: {'; '.join(of_each)}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    return "*unset*" if value is None else code(json.dumps(_plain(value), ensure_ascii=False))


def _plain(value: Any) -> Json:
    return value.wire() if isinstance(value, Strict) else value
