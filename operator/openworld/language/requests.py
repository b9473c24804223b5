"""What an HTTP task asks for and where an EVENT task sends to: one reading of authored and of resolved input.

Source of the keys and their defaults: Conductor's HTTP task. Judges no host: that is for policy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from openworld.api.meta import Json, JsonObject

from .reading import suggestion

#: Where in the input the trouble is, and what it is.
Problem = tuple[tuple[str | int, ...], str]

#: The input that holds the request; without it the keys stand in the input itself.
REQUEST = "http_request"
#: Methods that change nothing, so that they may be repeated (RFC 9110, safe methods).
READS = ("GET", "HEAD", "OPTIONS")
METHODS = (*READS, "POST", "PUT", "PATCH", "DELETE")
JSON_TYPE = "application/json"
LONGEST_WAIT_MS = 3_600_000
_DEFAULTS: JsonObject = {
    "method": "GET",
    "headers": {},
    "accept": JSON_TYPE,
    "contentType": JSON_TYPE,
    "connectionTimeOut": 3000,
    "readTimeOut": 3000,
}
_KEYS = ("uri", "method", "headers", "body", "accept", "contentType", "connectionTimeOut", "readTimeOut")
_CONDUCTORS_SINKS = ("conductor", "kafka", "sqs", "nats", "nats-stream", "nats_stream", "jsm", "amqp")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
#: A name as DNS has it, in one way alone, so that what is judged is what is looked up.
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
#: A last label that resolvers take for a number, and so the whole for an address (inet_aton).
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
#: Headers that follow from the request; others of these would let it be read as two, or sent to another host.
OWN_HEADERS = ("content-length", "transfer-encoding", "host")


def request_problems(given: JsonObject, *, authored: bool = True) -> Iterator[Problem]:
    """What is wrong with the request in an HTTP task's input.

    Authored text may hold expressions, of which nothing is known yet; in resolved input `${` is only text.
    """
    reading = Reading(authored=authored)
    request, where = given, tuple[str, ...]()
    if REQUEST in given:
        request, where = given[REQUEST], (REQUEST,)
        twice = [key for key in _KEYS if key in given]
        if twice:
            yield (twice[0],), f"stands beside {REQUEST}; say it there"
        if reading.is_open(request):
            return
        if not isinstance(request, dict):
            yield where, "must be an object: the request"
            return
    for key, value in request.items():
        if key not in _KEYS and value is not None:
            meant = suggestion(str(key), _KEYS)
            yield (*where, key), f"means nothing to an HTTP task{meant or '; it reads ' + ', '.join(_KEYS)}"
    for steps, message in reading.request({k: v for k, v in request.items() if v is not None}):
        yield (*where, *steps), message


def request_of(given: JsonObject) -> JsonObject:
    """The request in resolved input, with every key that has a default. Raises ValueError."""
    for steps, message in request_problems(given, authored=False):
        raise ValueError(f"{'.'.join(map(str, steps))}: {message}")
    said = given.get(REQUEST, given)
    request = _DEFAULTS | {key: said[key] for key in _KEYS if said.get(key) is not None}
    request["method"] = request["method"].upper()
    request["headers"] = header_texts(request["headers"])
    for key in ("connectionTimeOut", "readTimeOut"):
        request[key] = int(request[key])
    return request


def host_of(given: JsonObject) -> str:
    """The host that a request goes to, in the one form that rules name; empty while that is not known.

    In lower case, without the dot that ends an absolute name; an IPv4 address within an IPv6 one is itself.
    """
    said = given.get(REQUEST, given)
    uri = said.get("uri") if isinstance(said, dict) else None
    if not isinstance(uri, str) or Reading(authored=False).url(uri.partition("${")[0]):
        return ""
    known, is_open, _ = uri.partition("${")
    parts = urlsplit(known)
    if is_open and not parts.path:
        return ""
    return _canonical(parts.hostname or "")


def _canonical(host: str) -> str:
    host = host.lower().removesuffix(".")
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host)
    return str(address.ipv4_mapped or address)


def _host_problem(host: str) -> str:
    """What is wrong with a host: it has another form than the one in which it is judged."""
    if ":" in host:
        try:
            ipaddress.IPv6Address("" if "%" in host else host)
        except ValueError:
            return f"has the host {host[:80]!r}, which is no IPv6 address"
        return ""
    if not host.isascii():
        return f"has the host {host[:80]!r}; write it in ASCII, an international name as xn--…"
    if not _NAME.fullmatch(host):
        return f"has the host {host[:80]!r}; a host is letters, digits, '-', '_' and single dots"
    if _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
        try:
            ipaddress.IPv4Address(host.removesuffix("."))
        except ValueError:
            return f"has the host {host[:80]!r}; write the address as four decimal numbers"
    return ""


def sink_problem(sink: Json, *, authored: bool = True) -> str:
    """What is wrong with an EVENT task's sink; empty if nothing is known to be."""
    if not isinstance(sink, str) or not sink:
        return "is required: the URL that the event is sent to"
    prefix = sink.partition(":")[0]
    if prefix in _CONDUCTORS_SINKS or prefix.startswith("amqp_"):
        return (
            f"{sink[:80]!r} is a queue of a Conductor server, and there are none here: name the http or "
            "https URL of what takes CloudEvents, such as a broker's"
        )
    return Reading(authored=authored).url(sink)


def header_texts(headers: JsonObject) -> JsonObject:
    """Headers as they are sent: each value as text, without those that are null."""
    return {name: _header_text(value) for name, value in headers.items() if value is not None}


def _header_text(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Reading:
    """One reading of a request; `authored` text with an expression in it is open: not known yet."""

    def __init__(self, *, authored: bool) -> None:
        self.authored = authored

    def is_open(self, value: Json) -> bool:
        """Whether a value is only known in a run."""
        return self.authored and isinstance(value, str) and "${" in value

    def request(self, request: JsonObject) -> Iterator[Problem]:
        uri = request.get("uri")
        if not isinstance(uri, str) or not uri:
            yield ("uri",), "is required: the URL that is called"
        elif message := self.url(uri):
            yield ("uri",), message
        method = request.get("method", "GET")
        if not self.is_open(method) and (not isinstance(method, str) or method.upper() not in METHODS):
            yield ("method",), f"{str(method)[:40]!r} is not allowed: one of {', '.join(METHODS)}"
        yield from self.headers(request.get("headers", {}))
        for key in ("accept", "contentType"):
            value = request.get(key, JSON_TYPE)
            if message := self._header_value(value):
                yield (key,), message
        for key in ("connectionTimeOut", "readTimeOut"):
            if not self.is_open(request.get(key)) and not _is_wait(request.get(key, 0)):
                yield (key,), f"must be milliseconds, from 0 (no limit of its own) to {LONGEST_WAIT_MS}"
        yield from self._body(request.get("body"), request.get("contentType", JSON_TYPE))

    def url(self, text: str) -> str:
        """What is wrong with a URL, as far as it is known."""
        known = text.partition("${")[0] if self.authored else text
        if self.is_open(text) and "://" not in known:
            return ""
        if _UNPRINTABLE.search(known):
            return "holds a space or another character that no URL may have; write it percent-encoded"
        try:
            parts = urlsplit(known)
            parts.port  # noqa: B018  (it is read when it is asked for)
        except ValueError as error:
            return f"is no URL: {error}"
        if parts.scheme not in ("http", "https") or "://" not in known:
            return f"{text[:80]!r} must begin with http:// or https://"
        if "@" in parts.netloc:
            return "must not hold a user or a password, which would stand in the record"
        if self.is_open(text) and not parts.path:  # what is resolved may still be a part of the host
            return ""
        return _host_problem(parts.hostname) if parts.hostname else f"{text[:80]!r} names no host"

    def headers(self, headers: Json, own: Collection[str] = OWN_HEADERS) -> Iterator[Problem]:
        """What is wrong with headers; `own` are those, in small letters, that nobody may set."""
        if self.is_open(headers):
            return
        if not isinstance(headers, dict):
            yield ("headers",), "must be an object: a value for each name"
            return
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name):
                yield ("headers", name), f"{name[:80]!r} is no name of a header"
            elif name.lower() in own:
                yield ("headers", name), "follows from the request; leave it out"
            elif value is not None and (message := self._header_value(value, numbers=True)):
                yield ("headers", name), message

    def _header_value(self, value: Json, *, numbers: bool = False) -> str:
        if self.is_open(value) or (numbers and isinstance(value, bool | int | float)):
            return ""
        if not isinstance(value, str):
            return "must be text"
        if not value.isprintable() or any(ord(char) > 255 for char in value):
            return "holds a character that no header may have"
        return ""

    def _body(self, body: Json, content_type: Json) -> Iterator[Problem]:
        if body is None or isinstance(body, str) or self.is_open(content_type):
            return
        if isinstance(content_type, str) and not is_json(content_type):
            yield ("body",), f"must be text, since contentType is {content_type[:80]!r}"


def is_json(content_type: str) -> bool:
    """Whether a media type is JSON's."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == JSON_TYPE or kind.endswith("+json")


def _is_wait(value: Json) -> bool:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LONGEST_WAIT_MS
