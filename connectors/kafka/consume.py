"""Reading topics: one loop (`Reader`) under everything that reads, and the two ways to use it from a thread that may block.

Enters: names or patterns of topics, and where to start in a partition. Leaves: batches of messages, in order per partition. No consumer
groups and no commits: whoever must not read twice keeps positions with what they led to. `follow.Follower` is for asyncio;
confluent-kafka's own `AIOConsumer` is not used, it pays a hop to a thread pool and back for each call (ADR 0022).
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, TypeVar

from confluent_kafka import OFFSET_END, Consumer, KafkaError, Message, TopicPartition

from base.errors import SchemaError
from base.settings import KafkaSettings
from connectors.kafka.connection import (
    DeliveryError,
    consumer,
    partitions_of,
    passing,
    topics_matching,
    watermarks,
)

log = logging.getLogger(__name__)
T = TypeVar("T")

_BATCH = 1000
_POLL_S = 0.25
# Stopping waits for a lookup that is under way.
_LOOKUP_S = 2.0
_REQUIRED_LOOKUP_S = 10.0
_RETRY_S = 1.0
# An end whose last records were compacted away is told by an answer without any.
_END_WAIT_MS = 100

Marks = Mapping[int, tuple[int, int]]
"""Partition to its first offset and its end (exclusive)."""
Start = Callable[[str, Marks], Mapping[int, int]]
"""Where to start in partitions of a topic that are to be read from now on; called in the reader's thread."""


def from_beginning(_topic: str, marks: Marks) -> dict[int, int]:
    """Everything that is there."""
    return {partition: low for partition, (low, _) in marks.items()}


def from_now(_topic: str, marks: Marks) -> dict[int, int]:
    """Nothing that is there: what comes after the assignment."""
    return dict.fromkeys(marks, OFFSET_END)


def from_tail(count: int) -> Start:
    """The last `count` offsets of each partition."""
    return lambda _topic, marks: {partition: max(low, high - count) for partition, (low, high) in marks.items()}


class Reader:
    """Reads every partition of the topics that match `patterns`, those that come later too.

    A broker that is away is waited for, missing topics likewise, unless `required`: then the first look raises DeliveryError. Partitions
    found at the first look start at `start`, later ones at `later`. `lookup_s` is how long the broker may take to answer a question; who is
    `required` asks once and gives a busy broker longer.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        patterns: Sequence[str],
        *,
        start: Start = from_beginning,
        later: Start = from_beginning,
        required: bool = False,
        refresh_s: float = 10.0,
        lookup_s: float = _LOOKUP_S,
        batch: int = _BATCH,
        **overrides: Any,
    ) -> None:
        self._settings, self._patterns, self._overrides = settings, tuple(patterns), overrides
        self._start, self._later, self._required = start, later, required
        self._refresh_s, self._batch = refresh_s, batch
        self._lookup_s = lookup_s
        self._first = True
        self.ends: dict[tuple[str, int], int] = {}
        """Where each assigned partition ended when it was assigned."""
        self.pending: set[tuple[str, int]] = set()
        """Partitions of which that end has not been reached."""
        self.problem = "not yet connected"
        """Why some of the topics are not read; empty when all are."""

    def batches(self, stop: threading.Event) -> Iterator[list[Message]]:
        """Batches until `stop`; an empty one after each look for partitions and whenever nothing has come for a moment.

        Raises DeliveryError for an error that does not pass.
        """
        with ExitStack() as opened:
            source = opened.enter_context(closing(self._consumer(enable_partition_eof=True)))
            # Questions about topics and offsets have a connection of their own: on the reading one they would queue behind
            # its long poll, and the reading would wait for them, up to a second each time.
            once = math.isinf(self._refresh_s)
            lookup = source if once else opened.enter_context(closing(self._consumer()))
            refresh_at = 0.0
            while not stop.is_set():
                if time.monotonic() >= refresh_at:
                    complete = self._refresh(source, lookup)
                    refresh_at = time.monotonic() + (self._refresh_s if complete else _RETRY_S)
                    yield []
                yield self._poll(source)

    def _consumer(self, **overrides: Any) -> Consumer:
        return consumer(self._settings, **overrides, **self._overrides)

    @property
    def caught_up(self) -> bool:
        """Whether there is something to read, all of the topics were found, and nothing of what was there is missing."""
        return not self.problem and bool(self.ends) and not self.pending

    def _poll(self, source: Consumer) -> list[Message]:
        # `consume` with a timeout waits for a full batch; poll for the first, then take what is there.
        first = source.poll(_POLL_S)
        if first is None:
            return []
        batch: list[Message] = []
        for message in (first, *source.consume(self._batch - 1, 0)):
            partition = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                batch.append(message)
                if partition in self.pending and (message.offset() or 0) + 1 >= self.ends[partition]:
                    self.pending.discard(partition)
            elif error.code() == KafkaError._PARTITION_EOF:
                self.pending.discard(partition)  # also where the tail was compacted away
            elif passing(error):
                log.info("reading %s: %s", message.topic(), error.str())
            else:
                failure = DeliveryError(error, f"{message.topic()} cannot be read")
                self.problem = str(failure)
                raise failure
        return batch

    def _refresh(self, source: Consumer, lookup: Consumer) -> bool:
        """Assign partitions not seen before; False when the broker did not answer or a pattern has no topic yet."""
        try:
            found = topics_matching(lookup, self._patterns, timeout_s=self._lookup_s)
            missing = [pattern for pattern in self._patterns if not any(re.fullmatch(pattern, name) for name in found)]
            if missing and self._required:
                partitions_of(
                    lookup, _plain(missing[0]), timeout_s=self._lookup_s
                )  # raises with the broker's own words
            starts = [start for name, partitions in found.items() for start in self._starts(lookup, name, partitions)]
            if starts and self._first:
                # Without leaders in its cache, an assignment waits for a timer of a second.
                topics_matching(source, self._patterns, timeout_s=self._lookup_s)
        except DeliveryError as error:
            if self._required and self._first:
                raise
            self._waits_for(str(error))
            return False
        if starts:
            source.incremental_assign([start for start, _ in starts])
        for start, end in starts:
            partition = (start.topic, start.partition)
            self.ends[partition] = end
            if 0 <= start.offset < end:
                self.pending.add(partition)
        self._waits_for(f"no such topics yet: {', '.join(missing)}" if missing else "")
        self._first = False
        return not missing

    def _starts(self, lookup: Consumer, name: str, partitions: Iterable[int]) -> list[tuple[TopicPartition, int]]:
        """Where to start in the partitions of a topic that are new, and where they end."""
        fresh = {p for p in partitions if (name, p) not in self.ends}
        if not fresh:
            return []
        marks = watermarks(lookup, name, sorted(fresh), timeout_s=self._lookup_s)
        starts = (self._start if self._first else self._later)(name, marks)
        return [(TopicPartition(name, p, starts[p]), high) for p, (_, high) in marks.items()]

    def _waits_for(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.warning("waiting for kafka", extra={"patterns": self._patterns, "cause": problem})
        self.problem = problem


def read_to_end(
    settings: KafkaSettings, topic: str, *, last: int | None = None, timeout_s: float = 60.0
) -> Iterator[Message]:
    """Every record of a topic from its beginning (or the last `last` offsets of each partition) up to its end at the time of the call.

    Tombstones come along with value None. Ends also when the tail was compacted away. Raises DeliveryError when there is no such topic, the
    broker does not answer, or nothing comes for `timeout_s`.
    """
    start = from_beginning if last is None else from_tail(last)
    reader = Reader(
        settings,
        (re.escape(topic),),
        start=start,
        required=True,
        refresh_s=math.inf,
        lookup_s=min(timeout_s, _REQUIRED_LOOKUP_S),
        fetch_wait_max_ms=_END_WAIT_MS,
    )
    deadline = time.monotonic() + timeout_s
    for batch in reader.batches(threading.Event()):
        for message in batch:
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            if offset < reader.ends[topic, partition]:
                yield message
        if not reader.pending:
            return
        if batch:
            deadline = time.monotonic() + timeout_s
        elif time.monotonic() > deadline:
            raise DeliveryError(KafkaError(KafkaError._TIMED_OUT), f"{topic} gave nothing for {timeout_s:g} s")


def read_newest(
    settings: KafkaSettings,
    topic: str,
    decode: Callable[[bytes], T],
    undecodable: Callable[[str, Message, SchemaError], None] | None = None,
) -> dict[bytes, T]:
    """What a compacted topic says now: the newest value of each key; a key that was deleted is not in it.

    A value that `decode` raises SchemaError for is handed on with its topic and passed over: the value before it counts. Without
    `undecodable` it is raised. Raises DeliveryError as `read_to_end`.
    """
    found: dict[bytes, T] = {}
    for message in read_to_end(settings, topic):
        key, value = message.key() or b"", message.value()
        if value is None:
            found.pop(key, None)
            continue
        try:
            found[key] = decode(value)
        except SchemaError as error:
            if undecodable is None:
                raise
            undecodable(topic, message, error)
    return found


def follow(
    settings: KafkaSettings, topics: Iterable[str], *, beginning: bool = True, stop: threading.Event | None = None
) -> Iterator[Message]:
    """Records of topics for ever (until `stop`), from their beginning or from now on. Raises DeliveryError as `read_to_end`."""
    start = from_beginning if beginning else from_now
    patterns = [re.escape(topic) for topic in topics]
    reader = Reader(settings, patterns, start=start, required=True, lookup_s=_REQUIRED_LOOKUP_S)
    for batch in reader.batches(stop or threading.Event()):
        yield from batch


def _plain(pattern: str) -> str:
    """The name that `re.escape` made a pattern of."""
    return re.sub(r"\\(.)", r"\1", pattern)
