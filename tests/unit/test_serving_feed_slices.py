"""A burst of a feed's messages leaves the loop to others between its slices."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from base.errors import SchemaError
from schemas import topics
from serving.caches.feeds import Feed, Slices


class Message:
    """As confluent-kafka's, whose own cannot be made."""

    def __init__(self, value: bytes | None, key: bytes = b"key", topic: str = topics.LATEST.name) -> None:
        self._value, self._key, self._topic = value, key, topic

    def value(self) -> bytes | None:
        return self._value

    def key(self) -> bytes:
        return self._key

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 1


def batch(*values: bytes | None) -> list[Any]:
    return [Message(value) for value in values]


async def test_others_have_their_turn_within_a_batch() -> None:
    """By a clock that goes on by a millisecond at each look, a slice is five messages."""
    seen: list[bytes] = []
    feed = Feed(topic=topics.LATEST, apply=seen.append, needed_by=())
    ticks = count()
    slices = Slices(feed, clock_s=lambda: next(ticks) / 1000)
    task = asyncio.create_task(slices.apply(batch(*(b"%d" % n for n in range(100)))))
    longest = 0
    while not task.done():
        before = len(seen)
        await asyncio.sleep(0)
        longest = max(longest, len(seen) - before)
    assert seen == [b"%d" % n for n in range(100)]
    assert 1 <= longest <= 6


async def test_a_batch_that_is_soon_done_is_one_slice() -> None:
    seen: list[bytes] = []
    slices = Slices(Feed(topic=topics.LATEST, apply=seen.append, needed_by=()), clock_s=lambda: 0.0)
    task = asyncio.create_task(slices.apply(batch(*(b"%d" % n for n in range(100)))))
    await asyncio.sleep(0)
    assert task.done()
    assert len(seen) == 100


async def test_a_record_that_cannot_be_decoded_is_passed_over_and_a_tombstone_forgotten() -> None:
    seen: list[bytes] = []
    forgotten: list[bytes] = []

    def apply(message: bytes) -> None:
        if message == b"bad":
            msg = "no schema has that number"
            raise SchemaError(msg)
        seen.append(message)

    feed = Feed(topic=topics.ALARMS, apply=apply, needed_by=(), forget=forgotten.append)
    messages = batch(b"1", b"bad", None, b"2")
    await Slices(feed).apply(messages)
    assert (seen, forgotten) == ([b"1", b"2"], [b"key"])
