"""A subscription's changes as server-sent events; one stream a subscription, a new one ends the one before."""

from __future__ import annotations

import asyncio

from serving.http.face import Exchange
from serving.http.i3x.subscriptions import Capture, Subscription
from serving.http.plain import dumps

PERIOD_S = 0.5
_BEAT_S = 10.0
_HEADERS = (("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no"))


async def stream(exchange: Exchange, found: Subscription, capture: Capture) -> None:
    """Send what waits, then changes, until the client goes, the subscription ends or another stream takes over."""
    found.streams += 1
    mine, silent_s = found.streams, 0.0
    found.streaming = True
    leaving = asyncio.create_task(_left(exchange))
    try:
        await exchange.reply.start(200, _HEADERS)
        await exchange.reply.piece(b": open\n\n")
        while found.streams == mine and not leaving.done() and not exchange.face.stopping.is_set():
            found.capture(capture)
            updates = [update for batch in found.batches for update in batch["updates"]]
            found.acknowledge(-1)
            if updates:
                await exchange.reply.piece(b"data: " + dumps(updates) + b"\n\n")
                exchange.call.messages += 1
                silent_s = 0.0
            elif silent_s >= _BEAT_S:
                await exchange.reply.piece(b": alive\n\n")
                silent_s = 0.0
            await asyncio.wait({leaving}, timeout=PERIOD_S)
            silent_s += PERIOD_S
    finally:
        leaving.cancel()
        if found.streams == mine:
            found.streaming = False
    await exchange.reply.piece(b"", last=True)


async def _left(exchange: Exchange) -> None:
    while (await exchange.receive())["type"] != "http.disconnect":
        pass
