"""The last sample of each tag that was appended, so that a repeated value is not taken for a new one, and a new one not for a repeat.

OPC UA servers, Sparkplug births and retained MQTT messages send the current value again after every reconnect. Connectors ask for the
last sample when they start. The last that came counts, not the newest: a machine's clock may have been set back. Kept in the
buffer's own log (as its note), so it is exact after a crash; one row of 22 bytes for each tag. Not thread-safe: written by the
buffer's thread, read by connectors before they start and by the note.
"""

from __future__ import annotations

import numpy as np

from connectors.readings import Seen
from edge.segment import Entry, RecordKind
from schemas import frame
from schemas.frame import Frame

_ROW = np.dtype([("tag_id", "<i4"), ("time_us", "<i8"), ("value", "<f8"), ("quality", "<u2")])
# A note of version 1 is rows without values and begins with a tag's id, which is never 0.
_VERSION_2 = np.array([0, 2], dtype="<i4").tobytes()
_ROW_1 = np.dtype([("tag_id", "<i4"), ("time_us", "<i8")])
_UNKNOWN = 0xFFFF
"""In the place of a quality: only the time is known. No OPC UA status has this severity (11)."""


class LastSeen:
    """Last samples by tag id."""

    def __init__(self) -> None:
        self._last: dict[int, Seen] = {}

    def of(self, tag_id: int) -> Seen:
        """The tag's last sample; its time is 0 when there is none."""
        return self._last.get(tag_id, Seen(0))

    def add(self, appended: Frame) -> None:
        """Fold a frame in, in the order of append."""
        # A later sample of a tag overwrites an earlier one.
        last = np.zeros(len(appended.tag_ids), dtype=np.int64)
        last[appended.tag_index] = np.arange(len(appended.tag_index))
        columns = (appended.time_us[last], appended.value[last], appended.quality[last])
        rows = zip(*(column.tolist() for column in columns), strict=True)
        self._last.update(zip(appended.tag_ids.tolist(), (Seen(*row) for row in rows), strict=True))

    def note(self) -> bytes:
        """All of it as bytes, for the buffer."""
        rows = [
            (tag_id, one.time_us, *((np.nan, _UNKNOWN) if one.value is None else (one.value, one.quality)))
            for tag_id, one in self._last.items()
        ]
        return _VERSION_2 + np.array(rows, dtype=_ROW).tobytes()

    def recover(self, found: bytes | Entry) -> None:
        """Fold in what the buffer gives back at a start: a note, or an entry appended after it."""
        if isinstance(found, Entry):
            if found.kind is RecordKind.FRAME:
                self.add(frame.decode(found.body))
        elif found.startswith(_VERSION_2):
            self._last.update(
                (tag_id, Seen(time_us) if quality == _UNKNOWN else Seen(time_us, value, quality))
                for tag_id, time_us, value, quality in np.frombuffer(found, dtype=_ROW, offset=len(_VERSION_2)).tolist()
            )
        else:
            rows = np.frombuffer(found, dtype=_ROW_1).tolist()
            self._last.update((tag_id, Seen(time_us)) for tag_id, time_us in rows)
