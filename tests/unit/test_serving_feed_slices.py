"""A burst of a feed's messages leaves the loop to others between its slices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

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


def ticking() -> Callable[[], float]:
    """A clock that goes on by a millisecond at each look: a slice is five messages."""
    ticks = count()
    return lambda: next(ticks) / 1000


def slices(apply: Callable[..., None], clock_s: Callable[[], float], **feed: Any) -> Slices:
    return Slices(Feed(topic=topics.LATEST, apply=apply, needed_by=(), **feed), clock_s=clock_s)


async def test_others_have_their_turn_within_a_batch() -> None:
    seen: list[bytes] = []
    done = slices(seen.append, ticking()).take(batch(*(b"%d" % n for n in range(100))))
    assert done is not None
    longest = len(seen)
    while not done.done():
        before = len(seen)
        await asyncio.sleep(0)
        longest = max(longest, len(seen) - before)
    assert seen == [b"%d" % n for n in range(100)]
    assert 1 <= longest <= 6


async def test_batches_that_come_meanwhile_wait_behind_it() -> None:
    seen: list[bytes] = []
    taken = slices(seen.append, ticking())
    first = taken.take(batch(*(b"%d" % n for n in range(20))))
    second = taken.take(batch(*(b"%d" % n for n in range(20, 40))))
    assert first is not None
    assert second is not None
    await first
    assert 20 <= len(seen) < 40
    await second
    assert seen == [b"%d" % n for n in range(40)]
    assert taken.take(batch(b"40")) is None
    assert seen[-1] == b"40"


async def test_a_batch_that_is_soon_done_is_done_at_once() -> None:
    seen: list[bytes] = []
    assert slices(seen.append, lambda: 0.0).take(batch(*(b"%d" % n for n in range(100)))) is None
    assert len(seen) == 100


async def test_what_cannot_be_applied_ends_the_follower_whenever_it_comes() -> None:
    def apply(message: bytes) -> None:
        if message == b"15":
            msg = "cannot be"
            raise RuntimeError(msg)

    done = slices(apply, ticking()).take(batch(*(b"%d" % n for n in range(20))))
    assert done is not None
    with pytest.raises(RuntimeError, match="cannot be"):
        await done
    with pytest.raises(RuntimeError, match="cannot be"):
        slices(apply, ticking()).take(batch(b"15"))


async def test_a_record_that_cannot_be_decoded_is_passed_over_and_a_tombstone_forgotten() -> None:
    seen: list[bytes] = []
    forgotten: list[bytes] = []

    def apply(message: bytes) -> None:
        if message == b"bad":
            msg = "no schema has that number"
            raise SchemaError(msg)
        seen.append(message)

    taken = slices(apply, lambda: 0.0, forget=forgotten.append)
    assert taken.take(batch(b"1", b"bad", None, b"2")) is None
    assert (seen, forgotten) == ([b"1", b"2"], [b"key"])
