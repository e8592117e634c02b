"""Alarms that ended, until the topic `alarms` is told to forget them: without that it and whoever reads it whole would grow for ever.

Enters: ids as their last record says NORMAL. Leaves: those that ended long enough ago, or are too many: their tombstones are due. In state:
parts of a few kilobytes, 16 bytes an id, of which only the last is written again. Times are processing time: a part is as old as its first.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from stages.alarms.config import AlarmConfig
from stages.packing import StateError

LAYOUT = 1
PART_IDS = 256
_PART_US = 3_600_000_000
_ID_BYTES = 16


class Ended:
    """Of one site. `changed` names the parts to be written again, also those that are gone."""

    def __init__(self, config: AlarmConfig) -> None:
        self._config = config
        self._part_us = min(_PART_US, config.forget_ms * 1000)
        self._parts: dict[int, dict[UUID, None]] = {}
        """By the time of the first, the oldest first."""
        self._ids: set[UUID] = set()
        self.changed: set[str] = set()

    def __contains__(self, alarm_id: UUID) -> bool:
        return alarm_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def note(self, alarm_id: UUID, now_us: int) -> None:
        """An alarm has ended; one that is known keeps its time."""
        if alarm_id in self._ids:
            return
        last_us = max(self._parts, default=None)
        # The last part may be of a moment ahead: many that end at once fill several.
        if last_us is None or len(self._parts[last_us]) >= PART_IDS or now_us - last_us >= self._part_us:
            last_us = max(now_us, 0 if last_us is None else last_us + 1)
            self._parts[last_us] = {}
        self._parts[last_us][alarm_id] = None
        self._ids.add(alarm_id)
        self.changed.add(f"ended/{last_us}")

    def due(self, now_us: int) -> Iterator[UUID]:
        """Those to be forgotten; they are no more here."""
        keep_us, most = self._config.forget_ms * 1000, self._config.most_ended
        for first_us in sorted(self._parts):
            last_us = first_us + self._part_us
            if last_us + keep_us > now_us and len(self) <= most:
                return
            ids = self._parts.pop(first_us)
            self._ids -= ids.keys()
            self.changed.add(f"ended/{first_us}")
            yield from ids

    def to_bytes(self, rest: str) -> bytes | None:
        """A part for the state; None for one that is gone."""
        ids = self._parts.get(int(rest))
        return bytes([LAYOUT]) + b"".join(one.bytes for one in ids) if ids else None

    def restore(self, rest: str, data: bytes) -> None:
        """Inverse of `to_bytes`; raises StateError."""
        if not data or data[0] != LAYOUT or (len(data) - 1) % _ID_BYTES:
            msg = f"state part ended/{rest} has layout {data[:1].hex() or 'none'} and {len(data)} bytes; this version reads {LAYOUT}"
            raise StateError(msg)
        starts = range(1, len(data), _ID_BYTES)
        ids = dict.fromkeys(UUID(bytes=data[at : at + _ID_BYTES]) for at in starts)
        self._parts[int(rest)] = ids
        self._ids |= ids.keys()
