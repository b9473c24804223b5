"""What runs inside the sandbox: one script over one value, in JavaScript, jq or CEL.

Must only ever be called in the sandbox's process (`openworld.controller.script_child`): what these engines
cannot bound themselves is bounded by killing that process. Every evaluation has a context of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import jq
import quickjs
from cel_expr_python import cel

from .canonical import NotCanonical, canonical, normalise

if TYPE_CHECKING:  # the sandbox must start fast
    from openworld.api.meta import Json

MAX_OUTPUT_BYTES = 256 * 1024
#: The evaluator of `when`, and what a condition may name.
CONDITION = "condition"
CONDITION_VARIABLES = ("input", "workflow", "tasks")
MAX_ERROR_CHARS = 500
#: Results of a jq program; more are not looked at.
MAX_RESULTS = 10_000
_JAVASCRIPT_MEMORY_BYTES = 64 * 1024 * 1024
_JAVASCRIPT_STACK_BYTES = 512 * 1024
#: CPU seconds; below the wall-clock limit, so that most endless loops end without losing the process.
_JAVASCRIPT_SECONDS = 1.5


class ScriptError(Exception):
    """A script that failed, or whose value is not JSON; the message is the script's own, shortened."""

    def __init__(self, message: str) -> None:
        first = (message.strip().splitlines() or ["the script failed"])[0]
        super().__init__(first if len(first) <= MAX_ERROR_CHARS else first[: MAX_ERROR_CHARS - 1] + "…")


def evaluate(evaluator: str, expression: str, data: Json) -> Json:
    """The value of an expression over data, normalised. Raises ScriptError.

    `javascript` and `graaljs`: the data is `$`, the value that of the last statement. `jq`: the first
    result, null if there is none; `jq-all`: the list of all of them. `cel`: the data is `input`.
    `condition`: CEL that must give a bool; each key of the data is a variable.
    """
    engine = _ENGINES.get(evaluator)
    if engine is None:
        raise ScriptError(f"unknown evaluator {evaluator!r}; known are {', '.join(_ENGINES)}")
    try:
        value = normalise(engine(expression, data))
        size = len(canonical(value))
    except NotCanonical as error:
        raise ScriptError(f"the value of the script cannot be kept: {error}") from None
    except (RecursionError, MemoryError):
        raise ScriptError("the script needs too much memory or nests too deeply") from None
    if size > MAX_OUTPUT_BYTES:
        raise ScriptError(f"the value of the script has {size} bytes; at most {MAX_OUTPUT_BYTES} are allowed")
    return value


def _javascript(expression: str, data: Json) -> Json:
    """JSON in, JSON out: undefined, NaN and functions become null, a Date its ISO text. Source: Conductor."""
    context = quickjs.Context()
    context.set_memory_limit(_JAVASCRIPT_MEMORY_BYTES)
    context.set_max_stack_size(_JAVASCRIPT_STACK_BYTES)
    context.set_time_limit(_JAVASCRIPT_SECONDS)
    try:
        # Taken before the script runs: the script may replace JSON, and only harms itself.
        stringify = context.eval("JSON.stringify")
        context.set("$", context.parse_json(json.dumps(data)))
        value = context.eval(expression)
        text = stringify(value)
    except quickjs.JSException as error:
        told = str(error)
        raise ScriptError("the script ran too long" if "interrupted" in told else told) from None
    except (UnicodeError, ValueError, TypeError) as error:
        raise ScriptError(f"the value of the script is not JSON: {error}") from None
    return None if text is None else _from_json(text)


def _jq(expression: str, data: Json) -> Json:
    try:
        return next(iter(_jq_program(expression).input_text(json.dumps(data))), None)
    except ValueError as error:
        raise ScriptError(str(error)) from None


def _jq_all(expression: str, data: Json) -> Json:
    try:
        return list(islice(_jq_program(expression).input_text(json.dumps(data)), MAX_RESULTS))
    except ValueError as error:
        raise ScriptError(str(error)) from None


@lru_cache(maxsize=64)
def _jq_program(expression: str) -> Any:
    return jq.compile(expression)


def _cel(expression: str, data: Json) -> Json:
    return _cel_value(expression, {"input": data}, ("input",))


def _cel_value(expression: str, data: Json, variables: tuple[str, ...]) -> Json:
    try:
        value = _cel_program(expression, variables).eval(data=data)
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        raise ScriptError(cel_reason(error)) from None
    # An error is a value too, and its plain form is text.
    if value.type() == cel.Type.ERROR or value.type() == cel.Type.UNKNOWN:
        raise ScriptError(str(value.plain_value()))
    return _from_cel(value.plain_value())


@lru_cache(maxsize=64)
def _cel_program(expression: str, variables: tuple[str, ...] = ("input",)) -> Any:
    return cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN)).compile(expression)


def _condition(expression: str, data: Json) -> Json:
    value = _cel_value(expression, data, CONDITION_VARIABLES)
    if not isinstance(value, bool):
        raise ScriptError(f"it gave {json.dumps(value)[:80]}, and not true or false")
    return value


def cel_reason(error: Exception) -> str:
    """What the CEL library says, without its prefixes."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.removeprefix("INVALID_ARGUMENT: ").removeprefix("ERROR: ").removeprefix("<input>:")[:300]


def condition_problem(expression: str) -> str:
    """What is wrong with a condition, as far as it shows without data; empty when nothing does."""
    try:
        kind = _cel_program(expression, CONDITION_VARIABLES).return_type()
    except (RuntimeError, ValueError, TypeError) as error:
        return cel_reason(error)
    if kind not in (cel.Type.BOOL, cel.Type.DYN):
        return f"it must be true or false, and is of type {kind.name().lower()}"
    return ""


def _from_cel(value: Any) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_from_cel(item) for item in value]
    if isinstance(value, dict):
        return {key: _from_cel(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    raise ScriptError(f"the value of the script is a {type(value).__name__}, which JSON does not have")


def _from_json(text: str) -> Json:
    if len(text) > 2 * MAX_OUTPUT_BYTES:
        raise ScriptError(f"the value of the script is larger than {MAX_OUTPUT_BYTES} bytes")
    return json.loads(text)


_ENGINES: dict[str, Callable[[str, Json], Json]] = {
    "javascript": _javascript,
    "graaljs": _javascript,
    "jq": _jq,
    "jq-all": _jq_all,
    "cel": _cel,
    CONDITION: _condition,
}
