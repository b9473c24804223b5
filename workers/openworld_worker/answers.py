"""Reading the answers of services: their text, their JSON, and how a person is told of a failure."""

from __future__ import annotations

import json
from email.message import Message
from typing import Any

from .exchange import Request, Response
from .wire import clip, to_json

REDIRECTS = (301, 302, 303, 307, 308)
_SHOWN_OF_A_BODY = 500


def told(request: Request, response: Response) -> str:
    """A failure as a person reads it."""
    said = f"{request.shown} answered {response.status} {response.reason}".rstrip()
    target = response.header("Location")
    if response.status in REDIRECTS and target:
        shown = target.partition("?")[0]
        return (
            f"{said}, a redirect to {clip(shown, 300)}, which is not followed: name that URL if it is meant"
        )
    text = text_of(response, errors="replace").strip()
    return f"{said}: {clip(text, _SHOWN_OF_A_BODY)}" if text else said


def text_of(response: Response, errors: str = "strict") -> str:
    """The body as text. Raises UnicodeDecodeError, unless `errors` says otherwise."""
    message = Message()
    message["Content-Type"] = response.header("Content-Type") or "text/plain"
    charset = message.get_content_charset("utf-8")
    try:
        return response.body.decode(charset, errors)
    except LookupError:
        return response.body.decode("utf-8", errors)


def strict_json(text: str) -> Any:
    """A JSON text as a value that the record can hold.

    Raises:
        ValueError: It is no JSON, or holds what a record cannot: NaN, half a surrogate pair, too many levels.
    """
    try:
        return to_json(json.loads(text, parse_constant=_no_json))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _no_json(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")
