"""What shows that the line advances, as far as topics tell: when each stage was last heard of, and commands that nobody has recorded.

Enters: a note for each record that a feed applies. Leaves: times by the server's clock. Called in the event loop only.
"""

from __future__ import annotations

from collections import OrderedDict
from uuid import UUID

from base.ids import Clock, now_us

REMEMBERED = 10_000
"""Commands, with and without a record, that are remembered."""


class Progress:
    """The notes."""

    def __init__(self, clock: Clock = now_us) -> None:
        self._clock = clock
        self._unrecorded: OrderedDict[UUID, int] = OrderedDict()
        self._recorded: OrderedDict[UUID, int] = OrderedDict()
        self._forgotten_us = 0
        """Up to when what was submitted may have a record that is no longer remembered."""
        self.telemetry_us = 0
        """When last values were last published, by the server's clock."""
        self.closed_us = 0
        """Newest close of a frame that went into last values, by the gateways' clocks."""
        self.recorded_us = 0
        """When the commands job last recorded something."""

    def published(self, closed_us: int) -> None:
        """Last values came."""
        self.telemetry_us = self._clock()
        self.closed_us = max(self.closed_us, closed_us)

    def requested(self, command_id: UUID, submitted_us: int) -> None:
        """A command was submitted. Two topics are read here, after a start from their beginnings: its record may have come before it."""
        if command_id in self._recorded or submitted_us <= self._forgotten_us:
            return
        self._unrecorded.setdefault(command_id, submitted_us)
        if len(self._unrecorded) > REMEMBERED:
            self._unrecorded.popitem(last=False)

    def recorded(self, command_id: UUID, updated_us: int) -> None:
        """The job has a record of it."""
        self._unrecorded.pop(command_id, None)
        self._recorded[command_id] = updated_us
        if len(self._recorded) > REMEMBERED:
            self._forgotten_us = max(self._forgotten_us, self._recorded.popitem(last=False)[1])
        self.recorded_us = max(self.recorded_us, updated_us)

    @property
    def oldest_unrecorded_us(self) -> int:
        """When the oldest command without a record was submitted; 0 for none."""
        return next(iter(self._unrecorded.values()), 0)
