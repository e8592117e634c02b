"""Following topics from asyncio without polling delays: one thread reads, batches reach the event loop at once.

Enters: patterns of topic names. Leaves: lists of messages, handed to `on_messages` in the event loop, per partition in
order; then the event `caught_up`, set once `on_messages` is done with everything that was there at the start. At most
`in_flight` batches are under way: a busy loop slows the reading, it does not pile up memory. `on_messages` may be a
coroutine function: with `in_flight=1` the next batch is handed over when the last one is done. It may also return None
for a batch that it is done with, and a future for one that it is not. Topics that appear later are found within
`refresh_s`. A broker outage is waited out; an exception in `on_messages` ends the follower and comes out of `run`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from confluent_kafka import Message

from base.settings import KafkaSettings
from connectors.kafka.consume import Reader, Start, from_beginning

_IN_FLIGHT = 4


class Follower:
    """Reads every partition of the topics that match `patterns`, from their beginning or from `start`. Runs once."""

    def __init__(
        self,
        settings: KafkaSettings,
        patterns: Sequence[str],
        on_messages: Callable[[list[Message]], Awaitable[None] | None],
        *,
        start: Start = from_beginning,
        in_flight: int = _IN_FLIGHT,
        **options: Any,
    ) -> None:
        self._reader = Reader(settings, patterns, start=start, **options)
        self._name = f"follow {','.join(patterns)}"
        self._on_messages = on_messages
        self._stop = threading.Event()
        self._slots = threading.Semaphore(in_flight)
        self._under_way: set[asyncio.Future[None]] = set()
        self._failure: BaseException | None = None
        self.caught_up = asyncio.Event()

    @property
    def problem(self) -> str:
        """Why some of the topics are not read; empty when all are."""
        return self._reader.problem

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

        thread = threading.Thread(target=body, name=self._name, daemon=True)
        thread.start()
        try:
            await asyncio.shield(ended)
        finally:
            self._stop.set()
            self._slots.release()
            await asyncio.to_thread(thread.join)
            if self._under_way:
                await asyncio.wait(self._under_way)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        announced = False
        for batch in self._reader.batches(self._stop):
            if batch:
                self._hand_over(loop, batch)
            if self._failure is not None:
                raise self._failure
            if self._reader.caught_up and not announced and not loop.is_closed():
                loop.call_soon_threadsafe(self._announce)  # queued behind the batches
                announced = True

    def _announce(self) -> None:
        handed_over = asyncio.gather(*self._under_way, return_exceptions=True)
        handed_over.add_done_callback(lambda _: None if self._failure is not None else self.caught_up.set())

    def _hand_over(self, loop: asyncio.AbstractEventLoop, batch: list[Message]) -> None:
        self._slots.acquire()
        if self._stop.is_set() or loop.is_closed():
            return
        loop.call_soon_threadsafe(self._deliver, batch)

    def _deliver(self, batch: list[Message]) -> None:
        result: Awaitable[None] | None = None
        try:
            if self._failure is None:
                result = self._on_messages(batch)
        except BaseException as error:  # noqa: BLE001 - ends the follower, see _read
            self._failure = error
        if result is None:
            self._slots.release()
            return
        task = asyncio.ensure_future(result)
        self._under_way.add(task)
        task.add_done_callback(self._delivered)

    def _delivered(self, task: asyncio.Future[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
        self._slots.release()
