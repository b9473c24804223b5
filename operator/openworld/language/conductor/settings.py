"""A task definition's settings: retries and timeouts, of a tool or of a single task."""

from __future__ import annotations

from openworld.api.meta import Json, JsonObject
from openworld.api.workflow import RetryLogic, TimeoutPolicy
from openworld.language.schemas import DRAFT, check_schema

from .fields import Fields
from .losses import Place

MAX_SECONDS = 31_536_000
MAX_RETRIES = 100
MAX_DESCRIPTION = 4096
_TIMEOUTS = ("timeoutSeconds", "responseTimeoutSeconds", "pollTimeoutSeconds", "totalTimeoutSeconds")
#: Every field of a task definition that is about retries and timeouts.
KEYS = (
    "retryCount",
    "retryLogic",
    "retryDelaySeconds",
    "maxRetryDelaySeconds",
    "backoffScaleFactor",
    "backoffJitterMs",
    "timeoutPolicy",
    *_TIMEOUTS,
)
#: The timeouts that Conductor's timeoutPolicy is about.
_UNDER_POLICY = ("timeoutSeconds", "pollTimeoutSeconds")


def retry(fields: Fields) -> JsonObject:
    """The retries, as far as they are given: what is not has the same default in both."""
    numbers: dict[str, int | None] = {
        "count": fields.whole("retryCount", 0, MAX_RETRIES),
        "delaySeconds": fields.whole("retryDelaySeconds", 0, MAX_SECONDS),
        "maxDelaySeconds": fields.whole("maxRetryDelaySeconds", 0, MAX_SECONDS),
        "backoffScaleFactor": fields.whole("backoffScaleFactor", 1, 100),
    }
    found: JsonObject = {key: value for key, value in numbers.items() if value is not None}
    logic = fields.choice("retryLogic", RetryLogic)
    if logic is not None:
        found["logic"] = logic
    jitter = fields.whole("backoffJitterMs", 0, MAX_SECONDS * 1000)
    if jitter:
        found["jitter"] = True
        fields.place.at("backoffJitterMs").lose(
            f"is written as jitter: true, which waits between half of the delay and all of it, not up to "
            f"{jitter} ms more"
        )
    return found


def timeouts(fields: Fields) -> JsonObject:
    """The timeouts, as far as they are given; the policy too where Conductor's default is another one."""
    found: JsonObject = {}
    for name in _TIMEOUTS:
        seconds = fields.whole(name, 0, MAX_SECONDS)
        if seconds is not None:
            found[name] = seconds
    policy = fields.choice("timeoutPolicy", TimeoutPolicy)
    if policy is None and any(found.get(name) for name in _UNDER_POLICY):
        policy = TimeoutPolicy.TIME_OUT_WF.value
    if policy is not None:
        found["timeoutPolicy"] = policy
    return found


def schema(fields: Fields, name: str) -> JsonObject | None:
    """The JSON Schema of a SchemaDef, if it holds one that can be used here."""
    if not fields.holds(name):
        fields.skip(name)
        return None
    place = fields.place.at(name)
    definition = fields.mapping(name)
    if not definition:
        return None
    data = definition.get("data")
    kind = definition.get("type") or "JSON"
    if kind != "JSON":
        place.lose(f"is of type {str(kind)[:40]}; only JSON Schema can be used")
        return None
    if not isinstance(data, dict):
        place.lose("holds no schema under data: put it here, as it is kept elsewhere")
        return None
    return _usable(data, place.at("data"))


def _usable(data: Json, place: Place) -> JsonObject | None:
    schema = dict(data)
    draft = schema.get("$schema")
    if isinstance(draft, str) and draft.rstrip("#") != DRAFT:
        del schema["$schema"]
        place.at("$schema").note(f"names {draft[:80]}; read as draft 2020-12")
    problems = check_schema(schema)
    if problems:
        place.lose(f"is left out: {problems[0]}")
        return None
    return schema
