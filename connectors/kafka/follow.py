"""Following topics from asyncio without polling delays: one thread reads, batches reach the event loop at once.

Enters: patterns of topic names. Leaves: lists of messages, handed to `on_messages` in the event loop, per partition in
order; then the event `caught_up`, set once everything that was there at the start has been handed over. At most a few
batches are in flight: a busy loop slows the reading, it does not pile up memory. Topics that appear later are found
within `refresh_s` and read from their beginning. A broker outage is waited out; an exception in `on_messages` ends the
follower and comes out of `run`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence

from confluent_kafka import OFFSET_END, Consumer, KafkaError, Message, TopicPartition

from base.settings import KafkaSettings
from connectors.kafka import client as kafka

log = logging.getLogger(__name__)

_BATCH = 1000
_POLL_S = 0.25
_IN_FLIGHT = 4
# Stopping waits for a lookup that is under way.
_LOOKUP_S = 2.0


class Follower:
    """Reads every partition of the topics that match `patterns`, from the beginning, or from now on with `beginning=False`."""

    def __init__(
        self,
        settings: KafkaSettings,
        patterns: Sequence[str],
        on_messages: Callable[[list[Message]], None],
        *,
        beginning: bool = True,
        refresh_s: float = 10.0,
    ) -> None:
        self._settings = settings
        self._patterns = tuple(patterns)
        self._on_messages = on_messages
        self._beginning = beginning
        self._refresh_s = refresh_s
        self._stop = threading.Event()
        self._slots = threading.Semaphore(_IN_FLIGHT)
        self._failure: BaseException | None = None
        self._pending: dict[tuple[str, int], int] = {}
        self._assigned: set[tuple[str, int]] = set()
        self._first = True
        self.caught_up = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled.

        Raises what `on_messages` raised, or DeliveryError for an error that does not pass.
        """
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def finish(error: BaseException | None) -> None:
            if not ended.done():
                if error is None:
                    ended.set_result(None)
                else:
                    ended.set_exception(error)

        def body() -> None:
            error: BaseException | None = None
            try:
                self._read(loop)
            except BaseException as caught:  # noqa: BLE001 - carried over to the event loop, which raises it
                error = caught
            if not loop.is_closed():
                loop.call_soon_threadsafe(finish, error)

        thread = threading.Thread(target=body, name=f"follow {','.join(self._patterns)}", daemon=True)
        thread.start()
        try:
            await asyncio.shield(ended)
        finally:
            self._stop.set()
            self._slots.release()
            await asyncio.to_thread(thread.join)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        source = kafka.consumer(self._settings, enable_partition_eof=True)
        # Questions about topics and offsets have a connection of their own: on the reading one they would queue behind
        # its long poll, and the reading would wait for them, up to a second each time.
        lookup = kafka.consumer(self._settings)
        try:
            next_refresh = 0.0
            while not self._stop.is_set():
                if time.monotonic() >= next_refresh:
                    refreshed = self._refresh(source, lookup)
                    next_refresh = time.monotonic() + (self._refresh_s if refreshed else 1.0)
                    self._announce(loop, refreshed=refreshed)
                self._poll(source, loop)
                if self._failure is not None:
                    raise self._failure
        finally:
            source.close()
            lookup.close()

    def _poll(self, source: Consumer, loop: asyncio.AbstractEventLoop) -> None:
        # `consume` with a timeout waits for a full batch; poll for the first, then take what is there.
        first = source.poll(_POLL_S)
        if first is None:
            return
        batch: list[Message] = []
        was_pending = bool(self._pending)
        for message in (first, *source.consume(_BATCH - 1, 0)):
            partition = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                batch.append(message)
                if (message.offset() or 0) + 1 >= self._pending.get(partition, 1 << 63):
                    del self._pending[partition]
            elif error.code() == KafkaError._PARTITION_EOF:
                self._pending.pop(partition, None)
            elif not kafka.passing(error):
                raise kafka.DeliveryError(error, f"{message.topic()} cannot be read")
        if batch:
            self._hand_over(loop, batch)
        if was_pending:
            self._announce(loop, refreshed=True)

    def _hand_over(self, loop: asyncio.AbstractEventLoop, batch: list[Message]) -> None:
        self._slots.acquire()
        if self._stop.is_set() or loop.is_closed():
            return

        def deliver() -> None:
            try:
                if self._failure is None:
                    self._on_messages(batch)
            except BaseException as error:  # noqa: BLE001 - ends the follower, see _read
                self._failure = error
            finally:
                self._slots.release()

        loop.call_soon_threadsafe(deliver)

    def _announce(self, loop: asyncio.AbstractEventLoop, *, refreshed: bool) -> None:
        """Caught up when there is something to follow and nothing of it is pending; queued behind the batches."""
        if refreshed and self._assigned and not self._pending and not loop.is_closed():
            loop.call_soon_threadsafe(self.caught_up.set)

    def _refresh(self, source: Consumer, lookup: Consumer) -> bool:
        """Assign partitions not seen before; False when the broker did not answer or a pattern has no topic yet."""
        try:
            found = {
                pattern: kafka.topics_matching(lookup, (pattern,), timeout_s=_LOOKUP_S) for pattern in self._patterns
            }
            names = sorted({name for names in found.values() for name in names})
            starts = [start for name in names for start in self._starts(lookup, name)]
            if starts and self._first:
                # Without leaders in its cache, an assignment waits for a timer of a second.
                kafka.topics_matching(source, self._patterns, timeout_s=_LOOKUP_S)
        except kafka.DeliveryError as error:
            log.warning("waiting for kafka", extra={"patterns": self._patterns, "cause": str(error)})
            return False
        if starts:
            source.incremental_assign(starts)
            self._assigned.update((start.topic, start.partition) for start in starts)
        if missing := [pattern for pattern, names in found.items() if not names]:
            log.warning("no such topics yet", extra={"patterns": missing})
        self._first = False
        return not missing

    def _starts(self, lookup: Consumer, name: str) -> list[TopicPartition]:
        """Where to start in the partitions of a topic that are new."""
        fresh = {p for p in kafka.partitions_of(lookup, name, timeout_s=_LOOKUP_S) if (name, p) not in self._assigned}
        if not fresh:
            return []
        # What appears while following is new: none of it may be missed.
        from_start = self._beginning or not self._first
        starts = []
        for partition, (low, high) in kafka.watermarks(lookup, name, timeout_s=_LOOKUP_S).items():
            if partition in fresh:
                if from_start and low < high:
                    self._pending[name, partition] = high
                starts.append(TopicPartition(name, partition, low if from_start else OFFSET_END))
        return starts
