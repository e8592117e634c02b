"""Source time of the last sample of each tag that was appended, so that a repeated value is not taken for a new one.

OPC UA servers and Sparkplug births send the current value again after every reconnect. Connectors ask for the last time
seen when they start. The last that came counts, not the newest: a machine's clock may have been set back. Kept in the
buffer's own log (as its note), so it is exact after a crash. Not thread-safe: written by the buffer's thread, read by
connectors before they start and by the note.
"""

from __future__ import annotations

import numpy as np

from edge.segment import Entry, RecordKind
from schemas import frame
from schemas.frame import Frame

_ROW = np.dtype([("tag_id", "<i4"), ("time_us", "<i8")])


class LastSeen:
    """Times in microseconds UTC by tag id."""

    def __init__(self) -> None:
        self._time_us: dict[int, int] = {}

    def time_us(self, tag_id: int) -> int:
        """Source time of the tag's last sample; 0 when there is none."""
        return self._time_us.get(tag_id, 0)

    def add(self, appended: Frame) -> None:
        """Fold a frame in, in the order of append."""
        # A later sample of a tag overwrites an earlier one.
        last = np.zeros(len(appended.tag_ids), dtype=np.int64)
        last[appended.tag_index] = appended.time_us
        self._time_us.update(zip(appended.tag_ids.tolist(), last.tolist(), strict=True))

    def note(self) -> bytes:
        """All of it as bytes, for the buffer."""
        return np.array(list(self._time_us.items()), dtype=_ROW).tobytes()

    def recover(self, found: bytes | Entry) -> None:
        """Fold in what the buffer gives back at a start: a note, or an entry appended after it."""
        if isinstance(found, bytes):
            rows = np.frombuffer(found, dtype=_ROW)
            self._time_us.update(zip(rows["tag_id"].tolist(), rows["time_us"].tolist(), strict=True))
        elif found.kind is RecordKind.FRAME:
            self.add(frame.decode(found.body))
