"""Server-sent events: a feed of the contract as `text/event-stream`.

An event is named after its feed, its data is the message, its id the position to go on from, where the feed has one (the browser sends it
back as `Last-Event-ID`). When nothing comes for ten seconds a comment does, so that silence means something. A stream that ends with an
error says so in an event `problem`, then closes; the browser connects again after the time of `retry`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from serving.http import problems
from serving.http.calls import method_of
from serving.http.face import Endpoint, Exchange, Face
from serving.http.plain import dumps, text_of
from serving.http.replies import header_of
from serving.http.requests import message_of, named, put, query_of
from serving.http.rows import Feed

HEARTBEAT_S = 10.0
_RETRY_MS = 2_000
# So long an error of the request has time to show, before the status goes out.
_FIRST_S = 0.2
_HEADERS = (
    ("content-type", "text/event-stream"),
    ("cache-control", "no-store"),
    # nginx would keep events until its buffer is full.
    ("x-accel-buffering", "no"),
)


def endpoint(face: Face, feed: Feed, *, heartbeat_s: float = HEARTBEAT_S) -> Endpoint:
    """The endpoint of a feed."""

    async def work(exchange: Exchange) -> None:
        values = named(feed.rpc.request, feed.query, query_of(exchange.scope))
        if feed.resume and (last := header_of(exchange.pairs, "last-event-id")):
            put(values, feed.resume, last)
        request = message_of(feed.rpc.request, values)
        leaving = asyncio.create_task(_left(exchange, asyncio.current_task()))
        try:
            async with aclosing(face.services.stream(feed.rpc, request, exchange.context)) as messages:
                await _send(exchange, feed, messages, heartbeat_s)
        finally:
            leaving.cancel()

    return Endpoint(face, method_of(feed.rpc, f"GET {feed.path}", streaming=True), work)


async def _left(exchange: Exchange, sender: asyncio.Task[Any] | None) -> None:
    """End the stream when the reader has gone: nothing else would notice before the next message."""
    while (await exchange.receive())["type"] != "http.disconnect":
        pass
    if sender is not None:
        sender.cancel()


async def _send(exchange: Exchange, feed: Feed, messages: AsyncGenerator[Any, None], heartbeat_s: float) -> None:
    reply, started = exchange.reply, f"retry: {_RETRY_MS}\n\n".encode()
    try:
        async with aclosing(beating(messages, heartbeat_s, first_s=_FIRST_S)) as beats:
            async for message in beats:
                if not reply.started:
                    await reply.start(200, _HEADERS)
                    await reply.piece(started)
                await reply.piece(b": alive\n\n" if message is BEAT else _event(feed, message))
                exchange.call.messages += message is not BEAT
    except (Exception, asyncio.CancelledError) as error:
        cause = exchange.call.ended or error
        # What is wrong with the request shows before the first message: it is a problem then, with its status.
        if reply.started and not isinstance(cause, asyncio.CancelledError):
            await reply.piece(_problem(cause), last=True)
        raise
    if not reply.started:
        await reply.start(200, _HEADERS)
    await reply.piece(b"", last=True)


BEAT = object()
"""Comes when nothing else has for a while."""


async def beating(messages: AsyncGenerator[Any, None], every_s: float, *, first_s: float) -> AsyncGenerator[Any, None]:
    """The messages, and `BEAT` whenever none came for so long; the first one after `first_s`."""
    waiting: asyncio.Task[Any] | None = None
    wait_s = first_s
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(messages))
            done, _ = await asyncio.wait({waiting}, timeout=wait_s)
            wait_s = every_s
            if not done:
                yield BEAT
                continue
            try:
                message = waiting.result()
            except StopAsyncIteration:
                return
            finally:
                waiting = None
            yield message
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


def _event(feed: Feed, message: Any) -> bytes:
    at = f"id: {getattr(message, feed.position)}\n".encode() if feed.position else b""
    return b"event: " + feed.name.encode() + b"\n" + at + b"data: " + text_of(message).encode() + b"\n\n"


def _problem(error: BaseException) -> bytes:
    return b"event: problem\ndata: " + dumps(problems.body_of(error)) + b"\n\n"
