"""What the protocol servers need of the rest: somewhere to record, somebody to write to. `service` implements it.

Both are synchronous: a write has its outcome before the protocol answers.
"""

from __future__ import annotations

from typing import Protocol

from simulator.plant import Tag
from simulator.simulation import Sample, WriteOutcome


class Recorder(Protocol):
    """The journal, as servers see it."""

    def record(self, sample: Sample, *, sent: bool) -> int:
        """A sample was emitted; returns its sequence number."""

    def mark_sent(self, seq: int) -> None:
        """A sample that nobody could see when it was emitted has been shown since."""


class Plant(Protocol):
    """The machines, as servers see them."""

    def write(self, tag: Tag, value: float, via: str) -> WriteOutcome:
        """Write a tag now; the outcome's sample is for the caller to emit."""
