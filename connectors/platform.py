"""What a gateway needs of the platform, whichever way it reaches it: to send records durably, and to follow topics.

    Platform ── sender() ──> Sender      produce, and be told when a record is durable at every in-sync replica
             └─ follow() ──> Following   records of a topic, in order per partition, from where `start` says

Two ways there are: `connectors.kafka.platform`, and `connectors.ingestion.platform` for plants that may not open Kafka. Delivery: at least
once, so every record carries an identity. Order: per partition as produced, except behind a record that was refused and is sent again.
Everything here is for one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

IDLE_WAIT_MS = 2_000
"""How long the broker may keep a question for records while there are none.

It answers with the first record in any case. With Kafka clients' default of half a second such questions were half of all requests of an
idle line. A partition that a reader takes on later waits so long at most.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a record is not durable. `hopeless`: it comes back however often it is sent. `fatal`: the sender needs `renew`.

    `forgotten`: the sender was renewed meanwhile, or is closed.
    """

    text: str
    hopeless: bool = False
    fatal: bool = False
    forgotten: bool = False


OnDelivery = Callable[[Failure | None], None]
"""Called once for each record, in any thread."""
Marks = Mapping[int, tuple[int, int]]
"""Partition to its first offset and its end (exclusive)."""
Start = Callable[[Marks], Awaitable[Mapping[int, int]]]
"""Where to start in partitions that are to be read from now on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How a topic is read: batches that are handed over at most at a time, records of a batch at most, and `wait_ms`.

    `wait_ms`: how long an answer may take for which there is nothing yet.
    """

    in_flight: int = 4
    batch: int = 1000
    wait_ms: int = IDLE_WAIT_MS


PACE = Pace()


class Record(Protocol):
    """One record that was read."""

    def key(self) -> bytes | None:
        """Its key."""

    def value(self) -> bytes | None:
        """Its value; None for a tombstone."""

    def partition(self) -> int | None:
        """Its partition."""

    def offset(self) -> int | None:
        """Its offset."""


OnRecords = Callable[[list[Record]], Awaitable[None] | None]
"""Takes records over; while it works, at most `in_flight - 1` more batches are handed over."""


class Sender(Protocol):
    """Sends records. What waits for the platform is sent again for ever, so a caller keeps elsewhere what must not be lost."""

    @property
    def problem(self) -> str:
        """Why nothing is sent, as far as the sender knows; empty when all is well."""

    def produce(self, topic: str, key: bytes, value: bytes, on_delivery: OnDelivery) -> None:
        """Hand a record over. Raises OverloadedError when too much waits; everything else is told to `on_delivery`."""

    def renew(self) -> None:
        """Connect anew, after a fatal failure or for another certificate. What was under way is forgotten: send it again."""

    async def flush(self, timeout_s: float) -> int:
        """Wait until everything is durable, at most so long; returns how many records still wait."""

    async def close(self, timeout_s: float) -> None:
        """Wait for what is under way, at most so long, then stop."""

    async def abandon(self) -> None:
        """Stop without waiting."""


class Following(Protocol):
    """A topic that is followed. Runs once."""

    caught_up: asyncio.Event
    """Set once all that the topic had at the start was handed over."""

    @property
    def problem(self) -> str:
        """Why the topic is not read; empty when it is."""

    async def run(self) -> None:
        """Follow until cancelled; raises what `on_records` raised, or UnavailableError for what waiting does not help against."""


class Platform(Protocol):
    """One way to the platform."""

    name: str
    """What people are told does not answer."""

    def sender(self, *, linger_ms: int, compressed: bool = True) -> Sender:
        """A sender of its own, to be made in the event loop. Records wait `linger_ms` for others to go with them."""

    def follow(
        self,
        topic: str,
        on_records: OnRecords,
        *,
        start: Start | None = None,
        pace: Pace = PACE,
    ) -> Following:
        """Follow a topic from where `start` says, asked also for partitions that come later; None: from its beginning."""

    def look(self, timeout_s: float) -> str:
        """Whom one reaches there, for people. Blocks; raises UnavailableError."""


async def follow_through(following: Following, caught_up: Callable[[], None]) -> None:
    """Follow until cancelled, and say when all was handed over that the topic had at the start. Raises as `Following.run`."""
    running = asyncio.create_task(following.run())
    reaching = asyncio.create_task(following.caught_up.wait())
    try:
        await asyncio.wait({running, reaching}, return_when=asyncio.FIRST_COMPLETED)
        if reaching.done():
            caught_up()
        await running
    finally:
        running.cancel()
        reaching.cancel()
        await asyncio.gather(running, reaching, return_exceptions=True)
