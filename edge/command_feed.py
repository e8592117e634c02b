"""Commands from Kafka, and acknowledgements to it, for one gateway.

Enters: all partitions of `command.requests.<site>`, from the positions in the gateway's own journal (no consumer group:
nothing waits for a rebalance, and a request counts as read only with the transaction that records it). Leaves: decoded
requests and controls, batch by batch; the next batch is read when the last one is durable. A gateway with a new journal
starts at the end: what was requested before it existed is for the commands job to time out.

Acknowledgements go to `command.acks.<site>` with the command's id as key, without linger.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from base.errors import SchemaError
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from edge.command_journal import Position
from edge.commands import Commands
from schemas import codec, topics
from schemas.commands import CommandAck, CommandControl, CommandRequest

log = logging.getLogger(__name__)

_POLL_S = 0.2
_BATCH = 200
_REFRESH_S = 30.0
_RETRY_S = 1.0


class CommandFeed:
    """Reads requests in a thread of its own and hands them to `Commands` in the event loop."""

    def __init__(self, settings: KafkaSettings, *, site: str, commands: Commands) -> None:
        self._settings, self._commands = settings, commands
        self._topic = topics.REQUESTS.for_site(site)
        self._stop = threading.Event()
        self._assigned: set[int] = set()
        self.problem = "not yet connected"

    async def run(self) -> None:
        """Read until cancelled."""
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(None, self._read, loop)
        try:
            await asyncio.shield(reading)
        finally:
            self._stop.set()
            await asyncio.wait({reading})

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        source = kafka.consumer(self._settings, fetch_wait_max_ms=100)
        try:
            refresh_at = 0.0
            while not self._stop.is_set():
                if time.monotonic() >= refresh_at:
                    refresh_at = time.monotonic() + (_REFRESH_S if self._assign(source, loop) else _RETRY_S)
                first = source.poll(_POLL_S)
                if first is not None:
                    self._hand_over([first, *source.consume(_BATCH, 0)], loop)
        finally:
            source.close()

    def _assign(self, source: Consumer, loop: asyncio.AbstractEventLoop) -> bool:
        """Assign partitions not assigned yet; False when the broker does not answer or there is no such topic yet."""
        try:
            marks = kafka.watermarks(source, self._topic, timeout_s=5)
        except (kafka.DeliveryError, KafkaException) as error:
            if str(error) != self.problem:
                log.warning("commands cannot be read yet", extra={"topic": self._topic, "cause": str(error)})
            self.problem = str(error)
            return False
        self.problem = ""
        fresh = {partition: high for partition, (_, high) in marks.items() if partition not in self._assigned}
        if fresh:
            known = asyncio.run_coroutine_threadsafe(self._commands.positions(), loop).result()
            starts = [(self._topic, p, known.get((self._topic, p), high)) for p, high in fresh.items()]
            asyncio.run_coroutine_threadsafe(self._commands.set_positions(starts), loop).result()
            source.incremental_assign([TopicPartition(*start) for start in starts])
            self._assigned |= set(fresh)
        return True

    def _hand_over(self, batch: list[Message], loop: asyncio.AbstractEventLoop) -> None:
        found: list[CommandRequest | CommandControl] = []
        positions: dict[int, Position] = {}
        for message in batch:
            error = message.error()
            if error is not None:
                log.log(
                    logging.WARNING if kafka.passing(error) else logging.ERROR,
                    "reading commands",
                    extra={"error": error.str()},
                )
                continue
            partition, offset = message.partition(), message.offset()
            assert partition is not None and offset is not None
            positions[partition] = (self._topic, partition, offset + 1)
            if decoded := _decode(message):
                found.append(decoded)
        if positions and not self._stop.is_set():
            handing = self._commands.receive(found, list(positions.values()))
            asyncio.run_coroutine_threadsafe(handing, loop).result()


class Acks:
    """Sends acknowledgements."""

    def __init__(self, settings: KafkaSettings, *, site: str) -> None:
        self._topic = topics.ACKS.for_site(site)
        # Retried for ever; after a restart the journal sends what was not confirmed.
        self._producer = kafka.producer(settings, linger_ms=0, delivery_timeout_ms=0, compression_type="none")
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="acks", daemon=True)
        self._thread.start()

    def send(self, ack: CommandAck, on_delivered: Callable[[], None]) -> None:
        """Send one; `on_delivered` is called in the event loop once Kafka has it."""

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                log.error(
                    "acknowledgement not delivered", extra={"command_id": str(ack.command_id), "error": error.str()}
                )
            elif not self._stop.is_set():
                self._loop.call_soon_threadsafe(on_delivered)

        try:
            key = str(ack.command_id).encode()
            self._producer.produce(self._topic, value=ack.encode(), key=key, on_delivery=delivered)
        except (BufferError, KafkaException) as error:
            log.error("acknowledgement not sent", extra={"command_id": str(ack.command_id), "error": str(error)})

    async def close(self, timeout_s: float) -> None:
        """Wait for what is under way, at most so long."""
        await asyncio.to_thread(self._producer.flush, timeout_s)
        self._stop.set()
        await asyncio.to_thread(self._thread.join)

    def _poll(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(0.1)


def _decode(message: Message) -> CommandRequest | CommandControl | None:
    value = message.value()
    try:
        name, record = codec.decode(bytes(value or b""), "CommandRequest", "CommandControl")
    except SchemaError as error:
        log.error("command cannot be read", extra={"offset": message.offset(), "cause": str(error)})
        return None
    return CommandRequest.from_record(record) if name == "CommandRequest" else CommandControl.from_record(record)
