"""How often a stream sends: what was asked for, stretched while its reader or the server is behind. Pure, over seconds.

A server hears nothing of a reader but that a write waits: then the buffers on the way (64 KiB in most clients, and not the server's to
choose) are full, and what the reader reads next is as old as it takes to empty them. One write that waits may be a pause of the reader: the
stream sends half as often. A second one in a row waited for as long as the reader needs for a message: the stream pauses until the buffers
should be empty, and then sends half as often as the reader can read. Each time it says so. When the writes no longer wait it slowly returns
to what was asked for. A reader that is behind again and again is cut off.
"""

from __future__ import annotations

from dataclasses import dataclass

from base.errors import OverloadedError

WAITED_S = 0.25
"""A write that takes longer has waited for the reader."""
MAX_INTERVAL_S = 30.0
MAX_PAUSE_S = 30.0
STRIKES = 5
IN_FLIGHT = 64 * 1024
_RELAX = 0.9


class SlowReaderError(OverloadedError):
    """A stream whose reader cannot keep up, or does not read."""


@dataclass(slots=True)
class Pace:
    """The pace of one stream. `asked_s`: interval the reader asked for, seconds."""

    asked_s: float
    own_s: float = 0.0
    """Interval that this reader can keep up with; 0 while that is no question."""
    pause_s: float = 0.0
    """To wait before the next message, so that the reader's buffers are empty."""
    strikes: int = 0

    def interval_s(self, stretch: float) -> float:
        """Seconds between messages now; `stretch` is the server's."""
        return min(MAX_INTERVAL_S, max(self.asked_s * stretch, self.own_s))

    def wrote(self, took_s: float, size: int) -> bool:
        """A message of about `size` bytes was written in `took_s`; whether the reader is behind. Not asked during a snapshot."""
        if took_s <= WAITED_S:
            self.strikes = 0
            self.own_s = self.own_s * _RELAX if self.own_s * _RELAX > self.asked_s else 0.0
            return False
        self.strikes += 1
        self.own_s = max(2 * self.own_s, 2 * self.asked_s)
        if self.strikes > 1:
            self.own_s = max(self.own_s, 2 * took_s)
            self.pause_s = min(MAX_PAUSE_S, took_s * IN_FLIGHT / max(size, 1))
        self.own_s = min(MAX_INTERVAL_S, self.own_s)
        return True

    @property
    def lost(self) -> bool:
        """Whether the reader is to be cut off."""
        return self.strikes >= STRIKES
