"""Columns -> frames: which samples go together, and when.

`Collector` gathers readings until they are old enough (200 ms) or many enough (10,000). `drafts` splits the columns by
lane, and within a lane so that every part fits one frame: at most 10,000 samples, and times that a 32-bit offset in
microseconds can hold. `build` makes the frame once its sequence is known. Order within a tag is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from connectors.readings import Readings
from edge.normalise import TagTable
from schemas import frame
from schemas.frame import ClockStatus, Frame, Stream
from stages.thinning.deadband import Batch

_SPAN_US = (1 << 31) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class FramingSettings:
    """When a frame is closed."""

    max_age_ms: int = 200
    max_samples: int = 10_000

    def __post_init__(self) -> None:
        if not 0 < self.max_samples <= frame.MAX_SAMPLES:
            msg = f"max_samples is {self.max_samples}, not between 1 and {frame.MAX_SAMPLES}"
            raise ValueError(msg)


@dataclass(slots=True)
class Collected:
    """Readings that are appended together, and who wants to know once they are."""

    live: Readings = field(default_factory=Readings)
    historical: Readings = field(default_factory=lambda: Readings(historical=True))
    on_appended: list[Callable[[], None]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.live) + len(self.historical)


class Collector:
    """Readings on their way into the next frames. Times are the caller's monotonic seconds."""

    def __init__(self, settings: FramingSettings) -> None:
        self._settings = settings
        self._collected = Collected()
        self._since_s: float | None = None

    def add(self, readings: Readings, on_appended: Callable[[], None] | None, now_s: float) -> bool:
        """Take readings in; True when the caller should look at `due_s` again."""
        target = self._collected.historical if readings.historical else self._collected.live
        target.extend(readings)
        if on_appended is not None:
            self._collected.on_appended.append(on_appended)
        first, self._since_s = self._since_s is None, self._since_s or now_s
        return first or len(self._collected) >= self._settings.max_samples

    @property
    def due_s(self) -> float | None:
        """When `take` should be called; None while there is nothing."""
        if self._since_s is None:
            return None
        if len(self._collected) >= self._settings.max_samples:
            return self._since_s
        return self._since_s + self._settings.max_age_ms / 1000

    def drain(self) -> Collected:
        """All that was collected."""
        collected, self._collected, self._since_s = self._collected, Collected(), None
        return collected


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """Columns of one frame to be, of shape (n,)."""

    lane: int
    historical: bool
    registry_version: int
    tag_id: NDArray[np.int32]
    batch: Batch


def drafts(batch: Batch, table: TagTable, *, historical: bool, max_samples: int) -> Iterator[Draft]:
    """Drafts of a batch whose slots are `table`'s."""
    lanes = table.lane[batch.slot]
    for lane in np.unique(lanes).tolist():
        mine = batch.select(lanes == lane)
        for part in _parts(mine, max_samples):
            yield Draft(
                lane=lane,
                historical=historical,
                registry_version=table.version,
                tag_id=table.tag_id[part.slot],
                batch=part,
            )


def _parts(batch: Batch, max_samples: int) -> Iterator[Batch]:
    for piece in _by_time(batch):
        for start in range(0, len(piece.slot), max_samples):
            yield Batch(*(column[start : start + max_samples] for column in piece))  # type: ignore[arg-type]


def _by_time(batch: Batch) -> Iterator[Batch]:
    """Pieces that span less than 2^31 µs (36 minutes) each; arrival order is kept within a piece."""
    while len(batch.slot):
        # A machine with a wrong clock among others: the piece of the oldest time first, the rest after it.
        near = batch.time_us - batch.time_us.min() <= _SPAN_US
        if near.all():
            yield batch
            return
        yield batch.select(near)
        batch = batch.select(~near)


def build(
    draft: Draft,
    *,
    gateway_id: str,
    epoch: UUID,
    stream: Stream,
    sequence: int,
    closed_time_us: int,
    clock_status: ClockStatus,
) -> Frame:
    """Frame of a draft."""
    return frame.build(
        gateway_id=gateway_id,
        epoch=epoch,
        lane=draft.lane,
        stream=stream,
        sequence=sequence,
        closed_time_us=closed_time_us,
        clock_status=clock_status,
        registry_version=draft.registry_version,
        tag_id=draft.tag_id,
        time_us=draft.batch.time_us,
        value=draft.batch.value,
        quality=draft.batch.quality,
    )
