"""Order of one edge node's messages by their sequence number: held while one is missing, and what is proven lost.

MQTT brokers keep the order of one topic, not of all: messages of two devices may overtake each other. So a message that
comes too early is held until those before it are there, for as long as the caller waits (the reorder timeout). Then what
is missing is lost. A message that comes after it was given up is passed on as it is. Pure: no clock, no MQTT.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from connectors.sparkplug.payload import SEQ_MODULUS

T = TypeVar("T")
_HALF = SEQ_MODULUS // 2


class Step(NamedTuple, Generic[T]):
    """A message that was held. `lost` says what is missing before it; empty when nothing is."""

    item: T
    lost: str


@dataclass(slots=True)
class Sequence(Generic[T]):
    """Sequence numbers 0 to 255 of one node, from birth to birth."""

    last: int | None = None
    held: dict[int, T] = field(default_factory=dict)
    since_us: int = 0
    """When the first message that is held came; 0 when none is."""
    _given_up: set[int] = field(default_factory=set)

    def restart(self, seq: int | None) -> None:
        """Begin anew with the number of a birth; what is held is forgotten."""
        self.last, self.since_us = seq, 0
        self.held.clear()
        self._given_up.clear()

    def take(self, seq: int | None, item: T, now_us: int) -> list[T]:
        """Messages to apply now, in order: none while `item` is held. Without a number it cannot be placed."""
        if seq is None:
            return [item]
        if self.last is None:
            self.last = seq
            return [item]
        if seq in self._given_up and (seq - self.last) % SEQ_MODULUS >= _HALF:
            self._given_up.discard(seq)
            return [item]
        if seq != self._next():
            self.held[seq] = item
            self.since_us = self.since_us or now_us
            return []
        ready = [item]
        self.last = seq
        while (following := self._next()) in self.held:
            ready.append(self.held.pop(following))
            self.last = following
        self.since_us = now_us if self.held else 0
        return ready

    def is_full(self, seq: int | None) -> bool:
        """Whether another message of that number is held: a whole round is missing."""
        return seq is not None and seq in self.held

    def give_up(self) -> list[Step[T]]:
        """All that is held, in order, with what is lost before each."""
        if self.last is None or not self.held:
            return []
        start, steps = self._next(), []
        for seq in sorted(self.held, key=lambda seq: (seq - start) % SEQ_MODULUS):
            expected = self._next()
            missing = (seq - expected) % SEQ_MODULUS
            self._given_up |= {(expected + offset) % SEQ_MODULUS for offset in range(missing)}
            steps.append(Step(self.held[seq], f"sequence {seq} instead of {expected}" if missing else ""))
            self.last = seq
        self.held.clear()
        self.since_us = 0
        return steps

    def _next(self) -> int:
        assert self.last is not None
        return (self.last + 1) % SEQ_MODULUS
