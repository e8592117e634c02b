"""The historian operator: every message of its topics into PostgreSQL, batched over all shards of the subtask.

Enters: rows of `types.record_type` keyed by shard. Leaves: rows of `types.output_type` for `telemetry.rejected`,
what the database refuses for good. A message is in keyed state from its arrival until its generation is committed
(`jobs.batching`); after a failure it is written again, which the ledger makes harmless. One transaction holds the
messages of all shards; the state of a shard can be cleared only under its own key, so each shard clears what is
done when it is touched next, by a record or by its tick.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pyflink.common import Row
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ListState, ListStateDescriptor

from base import ids, logs
from historian.store import Poisoned
from jobs.batching import BatchConfig, Buffer, Message
from jobs.flink.metrics import Metrics
from jobs.flink.shards import SHARD_NAMES, shard_of_partition
from jobs.flink.timers import END_OF_INPUT_MS, register_end_of_input, register_tick
from jobs.flink.types import KEY, OFFSET, PARTITION, TOPIC, VALUE, state_bytes_type
from jobs.heap_trim import HeapTrimmer
from jobs.writer import Writer
from schemas import topics
from stages import rejects
from stages.outputs import Origin

log = logging.getLogger(__name__)

MakeWriter = Callable[[], Writer]


class HistorianOperator(KeyedProcessFunction):
    """Buffers messages in keyed state and hands batches to a writer.

    `make_writer` is called on the worker: it opens the connection; `clock` gives microseconds UTC.
    """

    def __init__(self, config: BatchConfig, make_writer: MakeWriter, *, clock: ids.Clock = ids.now_us) -> None:
        self._config, self._make_writer, self._clock = config, make_writer, clock
        self._tick_ms = max(10, config.max_age_ms // 4)

    def open(self, runtime_context: RuntimeContext) -> None:
        """Keyed state can be read only under a key: each shard is restored when it is first touched."""
        logs.configure("historian")
        self._buffer = Buffer(self._config)
        self._writer = self._make_writer()
        self._trimmer = HeapTrimmer()
        self._lists: tuple[ListState, ListState] = tuple(
            runtime_context.get_list_state(ListStateDescriptor(f"messages-{parity}", state_bytes_type()))
            for parity in (0, 1)
        )
        # Per shard and parity: the newest generation its list holds; -1 when it is empty.
        self._held: dict[str, list[int]] = {}
        self._ticking: set[str] = set()
        """Shards whose next tick is registered: to register it again costs several calls of Flink a message."""
        self._metrics = metrics = Metrics(runtime_context)
        metrics.level("held_bytes", lambda: self._buffer.size)
        metrics.level("held_messages", lambda: self._buffer.messages)
        metrics.level("database_outage", lambda: int(self._writer.outage))
        metrics.level("database_retries", lambda: self._writer.retries)

    def close(self) -> None:
        """What is not written stays in the state of the last checkpoint."""
        if hasattr(self, "_writer"):
            self._writer.close()

    def process_element(self, value: Row, ctx: Any) -> list[Row]:
        """One message. Holds back when the database is behind and the next batch is full."""
        shard = shard_of_partition(value)
        held = self._touch(shard, ctx)
        message = Message(value[TOPIC], value[PARTITION], value[OFFSET], value[KEY] or b"", value[VALUE] or b"")
        refused: list[Poisoned] = []
        if pause_s := self._buffer.pause_s(message):
            refused += self._collect(pause_s)
        generation = self._buffer.add(message, self._clock())
        self._lists[generation % 2].add(tuple(message))
        held[generation % 2] = generation
        if shard not in self._ticking:
            self._tick(shard, ctx)
        refused += self._advance()
        return list(self._rejections(refused))

    def on_timer(self, timestamp: int, ctx: Any) -> list[Row]:
        """The shard's tick while it holds messages, or the end of a bounded input, which waits for the last commit."""
        shard = ctx.get_current_key()
        held = self._touch(shard, ctx)
        refused = self._advance()
        now_us = self._clock()
        self._trimmer.tick(now_us)
        if timestamp != END_OF_INPUT_MS:
            self._ticking.discard(shard)
        if max(held) >= 0:
            self._tick(shard, ctx)
        if self._ticking:
            self._metrics.tick(now_us)
        else:  # nothing ticks until the next message
            self._metrics.refresh()
        while timestamp == END_OF_INPUT_MS and self._buffer.messages:
            if (batch := self._buffer.start_batch()) is not None:
                self._writer.start(batch)
            refused += self._collect(1.0)
        return list(self._rejections(refused))

    def _tick(self, shard: str, ctx: Any) -> None:
        """Any shard's tick advances the batch: together they tick as often as one alone would, one after the other."""
        self._ticking.add(shard)
        period_ms = min(self._tick_ms * len(self._ticking), max(self._config.max_age_ms, self._tick_ms))
        register_tick(ctx.timer_service(), period_ms, SHARD_NAMES.index(shard) * period_ms // len(SHARD_NAMES))

    def _touch(self, shard: str, ctx: Any) -> list[int]:
        """What the current shard's lists hold, after a restore and after clearing what is committed."""
        held = self._held.get(shard)
        if held is None:
            held = self._held[shard] = [self._restore(messages) for messages in self._lists]
            register_end_of_input(ctx.timer_service())
        for parity in (0, 1):
            if 0 <= held[parity] <= self._buffer.done:
                self._lists[parity].clear()
                held[parity] = -1
        return held

    def _restore(self, messages: ListState) -> int:
        """Messages of an earlier run, not known to be committed: written again with the generation that is filling."""
        generation = -1
        for fields in messages.get() or ():
            generation = self._buffer.add(Message(*fields), self._clock())
        return generation

    def _advance(self) -> list[Poisoned]:
        """Collect a finished batch and start the next when it is due."""
        refused = self._collect(0.0)
        if self._buffer.due(self._clock()) and (batch := self._buffer.start_batch()) is not None:
            self._metrics.count("batches")
            self._metrics.count("messages", len(batch))
            self._writer.start(batch)
        return refused

    def _collect(self, wait_s: float) -> list[Poisoned]:
        written = self._writer.collect(wait_s)
        if written is None:
            return []
        self._buffer.finished()
        for name, count in written.counts().items():
            self._metrics.count(name, count)
        return written.poisoned

    def _rejections(self, refused: Iterable[Poisoned]) -> Iterator[Row]:
        for poisoned in refused:
            message = poisoned.message
            self._metrics.count("refused_messages")
            if message.topic == topics.REJECTED.name:
                # It would come back and be refused again without end.
                log.error(
                    "rejected record cannot be stored", extra={"offset": message.offset, "detail": poisoned.detail}
                )
                continue
            origin = Origin(message.topic, message.partition, message.offset)
            output = rejects.whole(message.value, origin, self._clock(), poisoned.reason, poisoned.detail)
            yield Row(output.topic, message.key, output.value)
