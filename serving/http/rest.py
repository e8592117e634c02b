"""Resources: a row of `serving.http.resources` as an endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from base.errors import InvalidRequestError, shown
from serving.http import caching, columns, downloads
from serving.http.calls import method_of
from serving.http.contract import Rpc, rpc
from serving.http.face import Endpoint, Exchange, Face
from serving.http.plain import dumps, plain
from serving.http.replies import header_of
from serving.http.requests import Scope, body_of, field_of, message_of, named, object_of, put, query_of
from serving.http.rows import Answer, Keep, Resource

WAIT = "wait_ms"
FORMAT = "format"
VALUES = "values"
MAX_WAIT_MS = 60_000
_LIVE = ("last", "stale", "state", "packml_state", "open_anomalies")


def endpoint(face: Face, row: Resource) -> Endpoint:
    """The endpoint of a row."""

    async def work(exchange: Exchange) -> None:
        values, extra = await _asked(row, exchange)
        if row.answer is Answer.SERIES and extra.get(FORMAT, "json") != "json":
            request = message_of(row.rpc.request, values)
            await _download(row, exchange, request, extra[FORMAT], values)
            return
        found = await _answer(row, exchange, values, extra)
        body = await asyncio.to_thread(dumps, found) if row.answer is not Answer.MESSAGE else dumps(found)
        await _sent(row, exchange, body, values)

    return Endpoint(face, method_of(row.rpc, row.name), work, remaining_s=_wait_s if row.wait else None)


def parameters_of(row: Resource) -> set[str]:
    """Parameters of a row's query that are no fields of its request."""
    found = {WAIT} if row.wait else set()
    if row.answer is Answer.SERIES:
        found.add(FORMAT)
    if row.keep is Keep.METADATA:
        found.add(VALUES)
    return found


async def _asked(row: Resource, exchange: Exchange) -> tuple[dict[str, Any], dict[str, str]]:
    """Values of the request, and the other parameters."""
    texts = dict(query_of(exchange.scope))
    extra = {name: texts.pop(name)[-1] for name in parameters_of(row) & texts.keys()}
    request = row.rpc.request
    values: dict[str, Any] = named(request, row.query, texts)
    if row.body:
        values |= object_of(await body_of(exchange.scope, exchange.receive))
    for name, field in row.path_fields.items():
        text = str(exchange.scope["path_params"][name])
        if values.get(field) not in {None, text}:
            msg = f"{field} of the body is not the one of the address"
            raise InvalidRequestError(msg, field=field)
        put(values, field, _part(request, field, text))
    if extra.get(FORMAT, "json") not in {"json", *downloads.MEDIA_TYPES}:
        msg = f"format is {shown(extra[FORMAT])}, not one of json, {', '.join(downloads.MEDIA_TYPES)}"
        raise InvalidRequestError(msg, field=FORMAT)
    if extra.get(VALUES, "true") not in {"true", "false"}:
        msg = f"values is {shown(extra[VALUES])}, not true or false"
        raise InvalidRequestError(msg, field=VALUES)
    return values, extra


def _part(request: type[Message], field: str, text: str) -> Any:
    if field_of(request, field).cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return text
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        msg = f"{field} is {shown(text)}, not a number"
        raise InvalidRequestError(msg, field=field)
    return int(text)


def _wait_s(scope: Scope) -> float | None:
    """Seconds that the caller waits for the outcome; None when it does not."""
    found = query_of(scope).get(WAIT)
    if not found:
        return None
    text = found[-1]
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MAX_WAIT_MS):
        msg = f"{WAIT} is {shown(text)}, not a number from 1 to {MAX_WAIT_MS}"
        raise InvalidRequestError(msg, field=WAIT)
    return int(text) / 1000


async def _answer(row: Resource, exchange: Exchange, values: dict[str, Any], extra: dict[str, str]) -> Any:
    method = rpc(row.wait) if WAIT in extra else row.rpc
    request = message_of(method.request, values)
    services = exchange.face.services
    if row.answer is Answer.SERIES:
        async with aclosing(services.stream(method, request, exchange.context)) as chunks:
            return {"series": await columns.gathered(chunks)}
    found = await services.unary(method, request, exchange.context)
    if row.answer is Answer.CHART:
        return {"series": [columns.series(one) for one in found.series]}
    made = plain(found)
    return _without_values(made) if extra.get(VALUES) == "false" else made


def _without_values(made: Any) -> Any:
    """What stays the same while values come: caches keep it."""
    if isinstance(made, dict):
        return {name: _without_values(value) for name, value in made.items() if name not in _LIVE}
    return [_without_values(one) for one in made] if isinstance(made, list) else made


async def _sent(row: Resource, exchange: Exchange, body: bytes, values: dict[str, Any]) -> None:
    headers = exchange.face.caching.headers(row.keep, values, exchange.face.clock())
    exchange.call.messages = 1
    if row.keep is not Keep.NEVER:
        tag = caching.etag(body)
        headers.append(("etag", tag))
        if caching.matches(header_of(exchange.pairs, "if-none-match"), tag):
            await exchange.reply.whole(304, headers, b"")
            return
    await exchange.reply.whole(row.success, [("content-type", "application/json"), *headers], body)


async def _download(row: Resource, exchange: Exchange, request: Message, form: str, values: dict[str, Any]) -> None:
    method: Rpc = row.rpc
    headers = exchange.face.caching.headers(row.keep, values, exchange.face.clock())
    name = row.path.rpartition("/")[2]
    headers += [
        ("content-type", downloads.MEDIA_TYPES[form]),
        ("content-disposition", f'attachment; filename="{name}.{form}"'),
    ]
    async with aclosing(exchange.face.services.stream(method, request, exchange.context)) as chunks:
        pieces: AsyncIterator[bytes] = downloads.pieces(chunks, method.response, form)
        # What is wrong with the request, or with the database, shows before the first piece: it is a problem then, no broken file.
        first = await anext(pieces)
        await exchange.reply.start(row.success, headers)
        await exchange.reply.piece(first)
        async for piece in pieces:
            exchange.call.messages += 1
            await exchange.reply.piece(piece)
        await exchange.reply.piece(b"", last=True)
