"""When the historian writes: buffering by generations, without Flink and without a thread of its own.

Enters: messages as they come, the time, and what the writer says. Leaves: batches to write, and which generations
are done. Who calls it: the historian's operator, one `Buffer` per subtask.

Messages are added to the generation that is being *filled*. A flush turns it into the one *in flight* and starts
the next; there is never more than one in flight, so what piles up during a write is the next batch: batches grow
with the load and stay small, and fresh, without it. The operator keeps every message in keyed state until its
generation is done; as only two generations live at a time, two lists per key are enough (generation modulo 2).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import NamedTuple


class Message(NamedTuple):
    """A Kafka record as read."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes

    @property
    def size(self) -> int:
        """Bytes it counts for."""
        return len(self.key) + len(self.value) + 100


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchConfig:
    """Sizes and times of the historian's transactions."""

    max_age_ms: int = 150
    """A message waits no longer than this for its transaction to begin, while the database keeps up."""
    target_bytes: int = 8 << 20
    """A batch of this size is written without waiting for its age."""
    bound_bytes: int = 32 << 20
    """What the next batch may hold while one is being written. Beyond it the operator takes no more than `leak_bytes_per_s`."""
    leak_bytes_per_s: int = 16 << 10
    """Trickle during an outage of the database: checkpoint barriers and cancellation travel between records, so the operator may not stop
    altogether. An hour is 58 MB."""
    retry_first_ms: int = 100
    retry_max_ms: int = 5_000
    """An unavailable database is tried again after the first, then twice as long, up to the last."""

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            if getattr(self, spec.name) < 1:
                msg = f"{spec.name} is {getattr(self, spec.name)}, not above 0"
                raise ValueError(msg)


@dataclass(slots=True)
class _Generation:
    number: int
    messages: list[Message] = field(default_factory=list)
    size: int = 0
    first_us: int = 0


class Buffer:
    """Two generations of messages: one filling, at most one in flight."""

    def __init__(self, config: BatchConfig) -> None:
        self._config = config
        self._filling = _Generation(0)
        self._in_flight: _Generation | None = None
        self._done = -1

    @property
    def filling(self) -> int:
        """Generation that new messages belong to."""
        return self._filling.number

    @property
    def done(self) -> int:
        """Every generation up to this one is in the database."""
        return self._done

    @property
    def size(self) -> int:
        """Bytes held, in flight included."""
        return self._filling.size + (self._in_flight.size if self._in_flight else 0)

    @property
    def messages(self) -> int:
        """Messages held, in flight included."""
        return len(self._filling.messages) + (len(self._in_flight.messages) if self._in_flight else 0)

    def add(self, message: Message, now_us: int) -> int:
        """Add a message; returns its generation."""
        filling = self._filling
        if not filling.messages:
            filling.first_us = now_us
        filling.messages.append(message)
        filling.size += message.size
        return filling.number

    def due(self, now_us: int) -> bool:
        """Whether a batch should be started now."""
        filling, config = self._filling, self._config
        if self._in_flight is not None or not filling.messages:
            return False
        return filling.size >= config.target_bytes or now_us - filling.first_us >= config.max_age_ms * 1000

    def start_batch(self) -> list[Message] | None:
        """Put what is filled in flight, whether it is due or not; None while one is in flight or there is nothing to write."""
        if self._in_flight is not None or not self._filling.messages:
            return None
        self._in_flight, self._filling = self._filling, _Generation(self._filling.number + 1)
        return self._in_flight.messages

    def finished(self) -> None:
        """The batch in flight is in the database."""
        assert self._in_flight is not None
        self._done, self._in_flight = self._in_flight.number, None

    def pause_s(self, message: Message) -> float:
        """How long to hold back before adding `message`; 0 while there is room."""
        if self._in_flight is None or self._filling.size < self._config.bound_bytes:
            return 0.0
        return min(2.0, message.size / self._config.leak_bytes_per_s)


def retry_delay_s(config: BatchConfig, attempt: int) -> float:
    """Wait before attempt number `attempt` (the first retry is 1)."""
    return min(config.retry_max_ms, config.retry_first_ms * 2 ** min(attempt - 1, 20)) / 1000
