"""What a lane counts and when it last published: what LaneProgress reports, and the lineage of the lane's windows."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from schemas.frame import Frame
from stages import packing
from stages.intake.lane_table import LaneTable
from stages.validation.checks import LATEST_US

LAYOUT = 1


@dataclass(slots=True)
class LaneCounters:
    """Counts and times of a lane; a part of its state. Times are microseconds UTC.

    The order of the fields is the order of their numbers in the entry `meta`.
    """

    kinds: ClassVar[tuple[str, ...]] = ("meta",)
    by_tag: ClassVar[bool] = False

    frames: int = 0
    samples: int = 0
    duplicate_frames: int = 0
    duplicate_samples: int = 0
    identity_conflicts: int = 0
    closed_time_us: int = 0
    latest_sent_us: int = 0
    progress_sent_us: int = 0
    registry_version: int = 0
    report_soon: bool = False
    """Duplicates, conflicts or held frames changed since the last LaneProgress."""
    report_later: bool = False
    """There were frames since the last LaneProgress."""
    lineage: int = 0
    """Which windows came from one state that lost nothing, as a signed 32-bit number; 0 before the first frame."""
    changed: bool = False
    """Whether the entry has to be written; not part of it."""

    def count(self, frame: Frame) -> None:
        """A new frame was processed."""
        self.frames += 1
        self.samples += frame.samples
        self.closed_time_us = max(self.closed_time_us, min(frame.closed_time_us, LATEST_US))
        self.report_later = self.changed = True

    def count_duplicate(self, samples: int) -> None:
        """A frame of so many samples came again."""
        self.duplicate_frames += 1
        self.duplicate_samples += samples
        self.report_soon = self.changed = True

    def count_conflict(self) -> None:
        """An identity came again with another checksum."""
        self.identity_conflicts += 1
        self.report_soon = self.changed = True

    def count_held(self) -> None:
        """A frame began or ceased to wait for the registry."""
        self.report_soon = self.changed = True

    def reported(self, now_us: int) -> None:
        """A LaneProgress was published."""
        self.progress_sent_us, self.report_soon, self.report_later = now_us, False, False
        self.changed = True

    def follow_version(self, version: int) -> None:
        """The lane follows the registry at this version: without it, its own state cannot be placed."""
        if self.registry_version != version:
            self.registry_version, self.changed = version, True

    # --- lineage -----------------------------------------------------------------------------------------------------

    def begin_lineage(self, first: Frame) -> None:
        """A state that begins empty is named after its first frame: the same again when that is read again."""
        if not self.lineage:
            self.lineage = _number(f"{first.lane_key}/{first.epoch}/{first.stream}/{first.sequence}")
            self.changed = True

    def branch_lineage(self, version: int) -> None:
        """Tags left at this version of the registry and took with them what was folded.

        Should they come back, their windows begin anew, so the lineage does.
        """
        if self.lineage:
            self.lineage = _number(f"{self.lineage}/{version}")
            self.changed = True

    # --- state -------------------------------------------------------------------------------------------------------

    def drain_changes(self) -> dict[str, bytes | None]:
        """See StatePart: one entry."""
        if not self.changed:
            return {}
        self.changed = False
        numbers = [int(getattr(self, name)) for name in _PACKED]
        return {"meta": packing.pack(LAYOUT, None, np.array(numbers, dtype=np.int64))}

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """See StatePart."""
        _, (numbers,) = packing.unpack(entries["meta"], LAYOUT, "meta")
        # An entry of an earlier version may have fewer numbers: fields are only ever added at the end.
        for name, number in zip(_PACKED, numbers.tolist(), strict=False):
            setattr(self, name, number)
        self.report_soon, self.report_later = bool(self.report_soon), bool(self.report_later)

    def relayout(self, table: LaneTable) -> None:
        """See StatePart: counts do not depend on tags; `branch_lineage` is called when some left."""


_PACKED = tuple(field.name for field in fields(LaneCounters) if field.name != "changed")


def _number(text: str) -> int:
    """Signed 32-bit number of a text, never 0."""
    return int(np.uint32(zlib.crc32(text.encode())).view(np.int32)) or 1
