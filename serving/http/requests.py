"""A request of HTTP to a message of the contract: query, parts of the address, body; bounded before it is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from base.errors import InvalidRequestError, shown
from serving import bounds
from serving.http.plain import fill, loads, of_text
from serving.http.problems import BodyTooLargeError, MediaTypeError, UriTooLongError
from serving.rpc import bounded

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Texts = Mapping[str, list[str]]

MAX_QUERY = 16 * 1024
"""Bytes of a query."""
_MAX_PARAMETERS = 1_100


def pairs_of(scope: Scope) -> list[tuple[str, str]]:
    """Headers, names in lower case."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]


def peer_of(scope: Scope) -> str:
    """Who is at the other end, for the log."""
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else ""


def query_of(scope: Scope) -> Texts:
    """Parameters of the query. Raises InvalidRequestError for what is none of UTF-8, UriTooLongError for too much."""
    raw: bytes = scope["query_string"]
    if len(raw) > MAX_QUERY:
        msg = f"the query has {len(raw):,} bytes; at most {MAX_QUERY:,} are taken"
        raise UriTooLongError(msg)
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except (UnicodeDecodeError, ValueError):
        msg = f"the query is no list of at most {_MAX_PARAMETERS:,} name=value in UTF-8"
        raise InvalidRequestError(msg) from None
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


async def body_of(scope: Scope, receive: Receive) -> bytes:
    """The body. Raises BodyTooLargeError as soon as it is too long, MediaTypeError when it does not say that it is JSON."""
    kind = next((value for name, value in pairs_of(scope) if name == "content-type"), "")
    if kind.partition(";")[0].strip().lower() != "application/json":
        msg = f"the body is {shown(kind) if kind else 'of no kind'}; send `Content-Type: application/json`"
        raise MediaTypeError(msg)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            msg = "the caller went before the body was here"
            raise InvalidRequestError(msg)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > bounds.MAX_REQUEST:
            msg = f"the body has more than {bounds.MAX_REQUEST:,} bytes"
            raise BodyTooLargeError(msg)
        if not message.get("more_body", False):
            return b"".join(parts)


def object_of(body: bytes) -> dict[str, Any]:
    """The object that a body is. Raises InvalidRequestError."""
    value = loads(body) if body else {}
    if not isinstance(value, dict):
        msg = "the body is no object of JSON"
        raise InvalidRequestError(msg)
    return value


def field_of(message: type[Message], name: str) -> FieldDescriptor:
    """Field of a message by its dotted name."""
    descriptor = message.DESCRIPTOR
    *within, last = name.split(".")
    for part in within:
        descriptor = descriptor.fields_by_name[part].message_type
    found: FieldDescriptor = descriptor.fields_by_name[last]
    return found


def named(message: type[Message], names: Mapping[str, str], texts: Texts) -> dict[str, Any]:
    """Values of a message from parameters; `names` are parameters to dotted fields. Raises InvalidRequestError for another parameter."""
    values: dict[str, Any] = {}
    for parameter, found in texts.items():
        field = names.get(parameter)
        if field is None:
            there = ", ".join(sorted(names)) or "none"
            msg = f"no parameter {shown(parameter)} here; there are: {there}"
            raise InvalidRequestError(msg)
        texts_of = [text for text in found if text]
        if texts_of:
            put(values, field, of_text(field_of(message, field), texts_of, parameter))
    return values


def put(values: dict[str, Any], field: str, value: Any) -> None:
    """Set the value of a dotted field."""
    *within, last = field.split(".")
    for part in within:
        values = values.setdefault(part, {})
    values[last] = value


def message_of(message: type[Message], values: Mapping[str, Any]) -> Message:
    """The message with these values, inside the bounds of every face. Raises InvalidRequestError."""
    made = message()
    fill(made, values)
    bounded.check(made)
    return made
