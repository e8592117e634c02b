"""Forecasts of one lane: closed windows in, Anomaly records out.

Called by `stages.telemetry` with the windows that closed. A tag takes part when it is a number that nobody writes, of a device that has
a detector, with a normal range of its own and windows; its longest windows are what is looked at. A lane without such a tag does
nothing. A tag is fitted when one of its slots closes, and slots of different devices close at different moments. State is an
entry, written when a slot of some tag begins: a failure may cost the windows of the slots that are not full.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import ClassVar

import numpy as np

from schemas import topics
from schemas.definitions import DataType, TagDefinition
from stages import packing
from stages.config import ForecastConfig
from stages.detection.modes import says_mode
from stages.forecast.levels import TagLevels
from stages.forecast.life import Life, Open
from stages.forecast.trend import forecast
from stages.intake.lane_table import LaneTable
from stages.outputs import Output
from stages.windows import algebra
from stages.windows.block import Closed

LAYOUT = 1
_ENTRY = "forecast"
_STAGGERED = 64


class LaneForecasts:
    """The levels and forecasts of a lane's tags; a part of its state."""

    kinds: ClassVar[tuple[str, ...]] = (_ENTRY,)
    by_tag: ClassVar[bool] = True

    def __init__(self, config: ForecastConfig, table: LaneTable) -> None:
        self.config = config
        self._departed: list[Output] = []
        self._changed = False
        self._lives: list[Life] = []
        self._index(table)

    def _index(self, table: LaneTable) -> None:
        """Levels and lives of the table's tags; none of them is known yet."""
        slots = [
            slot
            for slot, tag in enumerate(table.tags)
            if self.config.enabled and not table.foreign[slot] and _is_watched(tag)
        ]
        tags = [table.tags[slot] for slot in slots]
        self._lives = [
            Life(device_id=tag.device_id, tag_id=tag.tag_id, low=_or_nan(tag.eu_low), high=_or_nan(tag.eu_high))
            for tag in tags
        ]
        self._tag_id = np.array([tag.tag_id for tag in tags], dtype=np.int32)
        self._at = np.full(len(table.tags), -1, dtype=np.intp)
        self._at[slots] = np.arange(len(slots))
        self._window_s = np.array([max(tag.windows_s) for tag in tags], dtype=np.int64)
        self._sizes = frozenset(self._window_s.tolist())
        step_us = round(max(self.config.step_s, *self._sizes, 1.0) * 1e6) if tags else 1_000_000
        offset_us = np.array([tag.device_id * 37 % _STAGGERED for tag in tags], dtype=np.int64) * (
            step_us // _STAGGERED
        )
        self._levels = TagLevels(len(tags), step_us, offset_us, round(self.config.rhythm_s * 1e6))

    def relayout(self, table: LaneTable) -> None:
        """See StatePart. Forecasts of tags that left, or whose range changed, end."""
        before, levels, tag_id = self._lives, self._levels, self._tag_id
        self._index(table)
        if not before:
            return
        kept = self._place(before, levels, tag_id)
        for at, life in enumerate(before):
            if at not in kept:
                self._departed += _outputs(life, life.close(levels.now_us(at)))
        self._changed = True

    def _place(
        self, lives: list[Life], levels: TagLevels, tag_id: np.ndarray[tuple[int], np.dtype[np.int32]]
    ) -> set[int]:
        """Go on with what is known of tags; the positions among `lives` whose forecasts go on."""
        at_of = {tag: at for at, tag in enumerate(self._tag_id.tolist())}
        pairs = [(at_of[tag], there) for there, tag in enumerate(tag_id.tolist()) if tag in at_of]
        if levels.step_us != self._levels.step_us or not pairs:
            return set()
        here, there = (np.array(each, dtype=np.intp) for each in zip(*pairs, strict=True))
        self._levels.take(levels.arrays, here, there)
        kept = set()
        for own, old in pairs:
            life, known = self._lives[own], lives[old]
            if life.device_id == known.device_id and _same(life.low, known.low) and _same(life.high, known.high):
                life.row, life.open = known.row, known.open
                kept.add(old)
        return kept

    def drain_departed(self) -> list[Output]:
        """Ends of the forecasts of tags that are not watched any more as they were."""
        departed, self._departed = self._departed, []
        return departed

    def on_closed(self, closed: Iterable[Closed]) -> list[Output]:
        """Windows closed: those emitted for the first time are taken in."""
        if not self._lives:
            return []
        outputs: list[Output] = []
        for each in closed:
            if each.size_s in self._sizes:
                outputs += self._take(each)
        return outputs

    def _take(self, closed: Closed) -> list[Output]:
        at = self._at[closed.slots]
        chosen = closed.fresh & (at >= 0) & (closed.rows[algebra.GOOD] > 0)
        chosen &= self._window_s[at] == closed.size_s
        if not chosen.any():
            return []
        mean = closed.rows.view(np.float64)[algebra.MEAN, chosen]
        return self.take(at[chosen], closed.start_us, mean)

    def take(
        self,
        at: np.ndarray[tuple[int], np.dtype[np.intp]],
        start_us: int,
        mean: np.ndarray[tuple[int], np.dtype[np.float64]],
    ) -> list[Output]:
        """Means (j,) of windows of the watched tags `at` (j,)."""
        outputs: list[Output] = []
        for tag in self._levels.put(at, start_us, mean).tolist():
            life, levels = self._lives[tag], self._levels.of(tag)
            if not len(levels) or np.isnan(levels[-1]):
                continue
            found = forecast(levels, self._levels.slot_s(tag), life.low, life.high, self.config)
            outputs += _outputs(life, life.follow(self._levels.now_us(tag), float(levels[-1]), found, self.config))
        return outputs

    # --- state -------------------------------------------------------------------------------------------------------

    def drain_changes(self) -> dict[str, bytes | None]:
        """See StatePart."""
        if not (self._changed or self._levels.moved):
            return {}
        self._changed = self._levels.moved = False
        if not self._lives:
            return {_ENTRY: None}
        lives = {
            str(life.tag_id): {
                "device_id": life.device_id, "low": _or_none(life.low), "high": _or_none(life.high), "row": life.row,
                "open": None if life.open is None else asdict(life.open),
            }
            for life in self._lives if not life.plain
        }  # fmt: skip
        fields = {"step_us": self._levels.step_us, "lives": lives}
        return {_ENTRY: packing.pack(LAYOUT, fields, self._tag_id, *self._levels.arrays)}

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """See StatePart."""
        data = entries.get(_ENTRY)
        if data is None:
            return
        fields, (tag_id, *arrays) = packing.unpack(data, LAYOUT, _ENTRY)
        levels = TagLevels(len(tag_id), fields["step_us"], np.zeros(len(tag_id), dtype=np.int64), 0)
        everything = np.arange(len(tag_id))
        levels.take(arrays, everything, everything)
        lives = [_life(tag, fields["lives"].get(str(tag))) for tag in tag_id.tolist()]
        kept = self._place(lives, levels, tag_id)
        for at, life in enumerate(lives):
            if at not in kept:
                self._departed += _outputs(life, life.close(levels.now_us(at)))
        self._changed = self._changed or len(kept) < len(lives) or not self._lives


def _life(tag_id: int, fields: dict[str, object] | None) -> Life:
    if fields is None:
        return Life(device_id=-1, tag_id=tag_id, low=np.nan, high=np.nan)
    return Life(
        device_id=int(str(fields["device_id"])),
        tag_id=tag_id,
        low=_or_nan(fields["low"]),
        high=_or_nan(fields["high"]),
        row=int(str(fields["row"])),
        open=Open(**fields["open"]) if isinstance(fields["open"], dict) else None,
    )


def _is_watched(tag: TagDefinition) -> bool:
    has_range = tag.eu_low is not None or tag.eu_high is not None
    return (
        bool(tag.detector)
        and tag.data_type is DataType.DOUBLE
        and bool(tag.windows_s)
        and has_range
        and not says_mode(tag)
    )


def _or_nan(value: object) -> float:
    return np.nan if value is None else float(str(value))


def _or_none(value: float) -> float | None:
    return value if value == value else None  # noqa: PLR0124  # NaN


def _same(one: float, other: float) -> bool:
    return one == other or (one != one and other != other)  # noqa: PLR0124


def _outputs(life: Life, records: Iterable[bytes]) -> list[Output]:
    return [Output(topics.ANOMALIES.name, str(life.device_id).encode(), record) for record in records]
