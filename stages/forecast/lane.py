"""Forecasts of one lane: closed windows in, Anomaly records out.

Called by `stages.telemetry` with the windows that closed. A tag takes part when it is a number that nobody writes, of a device that has
a detector, with a normal range of its own and windows; its longest windows are what is looked at. A lane without such a tag does
nothing. A tag is fitted when one of its slots closes, and slots of different devices close at different moments. The forecast of a
tag that says nothing more ends by a timer. State is an entry, written when a slot of some tag begins: a failure may cost the windows
of the slots that are not full.
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
from stages.forecast.life import Life, Open
from stages.forecast.tags import TagForecasts
from stages.intake.lane_table import NEVER_US, LaneTable
from stages.outputs import Output
from stages.windows import algebra
from stages.windows.block import Closed

LAYOUT = 1
_ENTRY = "forecast"
_STAGGERED = 64
_LOOK_US = 60_000_000


class LaneForecasts:
    """The levels and forecasts of a lane's tags; a part of its state."""

    kinds: ClassVar[tuple[str, ...]] = (_ENTRY,)
    by_tag: ClassVar[bool] = True

    def __init__(self, config: ForecastConfig, table: LaneTable) -> None:
        self.config = config
        self._departed: list[Output] = []
        self._changed = False
        self._clock_us = self._heard_us = self._look_us = 0
        """Event time that the lane has reached, the processing time then, and that before which no forecast can end by silence."""
        self._index(table)

    def _index(self, table: LaneTable) -> None:
        """Levels and lives of the table's tags; none of them is known yet."""
        slots = [
            slot
            for slot, tag in enumerate(table.tags)
            if self.config.enabled and not table.foreign[slot] and _is_watched(tag)
        ]
        tags = [table.tags[slot] for slot in slots]
        lives = [
            Life(device_id=tag.device_id, tag_id=tag.tag_id, low=_or_nan(tag.eu_low), high=_or_nan(tag.eu_high))
            for tag in tags
        ]
        self._at = np.full(len(table.tags), -1, dtype=np.intp)
        self._at[slots] = np.arange(len(slots))
        self._window_s = np.array([max(tag.windows_s) for tag in tags], dtype=np.int64)
        self._sizes = frozenset(self._window_s.tolist())
        step_us = round(max(self.config.step_s, *self._sizes, 1.0) * 1e6) if tags else 1_000_000
        offset_us = np.array([tag.device_id * 37 % _STAGGERED for tag in tags], dtype=np.int64) * (
            step_us // _STAGGERED
        )
        self._tags = TagForecasts(self.config, lives, step_us, offset_us)

    def relayout(self, table: LaneTable) -> None:
        """See StatePart. Forecasts of tags that left, or whose range changed, end."""
        before = self._tags
        self._index(table)
        if before.lives:
            self._go_on(before)
            self._changed = True

    def _go_on(self, known: TagForecasts) -> bool:
        """Go on with what is known of tags, and end the forecasts that do not; whether all of them do."""
        kept = self._place(known)
        for at in range(len(known.lives)):
            if at not in kept:
                self._departed += _outputs(*known.end(at))
        self._look_us = 0
        return len(kept) == len(known.lives)

    def _place(self, known: TagForecasts) -> set[int]:
        """Take over what is known of tags; the positions of those whose forecasts go on."""
        tags = self._tags
        at_of = {tag: at for at, tag in enumerate(tags.tag_id.tolist())}
        pairs = [(at_of[tag], there) for there, tag in enumerate(known.tag_id.tolist()) if tag in at_of]
        if known.levels.step_us != tags.levels.step_us or not pairs:
            return set()
        here, there = (np.array(each, dtype=np.intp) for each in zip(*pairs, strict=True))
        tags.take(known.arrays, here, there)
        kept = set()
        for own, old in pairs:
            life, earlier = tags.lives[own], known.lives[old]
            if life.device_id != earlier.device_id:
                continue
            if _same(life.low, earlier.low) and _same(life.high, earlier.high):
                life.row, life.open = earlier.row, earlier.open
                kept.add(old)
            else:
                tags.resets.forget(own)
        return kept

    def drain_departed(self) -> list[Output]:
        """Ends of the forecasts of tags that are not watched any more as they were."""
        departed, self._departed = self._departed, []
        return departed

    def on_closed(self, closed: Iterable[Closed], now_us: int) -> list[Output]:
        """Windows closed at the processing time `now_us`: those emitted for the first time are taken in."""
        if not self._tags.lives:
            return []
        outputs: list[Output] = []
        for each in closed:
            self._heard(each.start_us + each.size_s * 1_000_000, now_us)
            if each.size_s in self._sizes:
                outputs += self._take(each, now_us)
        return outputs

    def _heard(self, clock_us: int, now_us: int) -> None:
        if clock_us > self._clock_us:
            self._clock_us, self._heard_us = clock_us, now_us

    def _clock(self, now_us: int) -> int:
        """The lane's event time; where all of it is silent, it goes on with the clock on the wall."""
        # After a restart nobody knows for how long the lane was silent: as if it had just been heard.
        self._heard_us = self._heard_us or now_us
        return self._clock_us + max(now_us - self._heard_us, 0)

    def _take(self, closed: Closed, now_us: int) -> list[Output]:
        at = self._at[closed.slots]
        chosen = closed.fresh & (at >= 0) & (closed.rows[algebra.GOOD] > 0)
        chosen &= self._window_s[at] == closed.size_s
        if not chosen.any():
            return []
        self._tags.behind_us[at[chosen]] = self._clock(now_us) - closed.start_us - closed.size_s * 1_000_000
        mean = closed.rows.view(np.float64)[algebra.MEAN, chosen]
        outputs: list[Output] = []
        for life, records in self._tags.put(at[chosen], closed.start_us, mean):
            if records:
                self._look_us = 0
                outputs += _outputs(life, records)
        return outputs

    # --- silence -----------------------------------------------------------------------------------------------------

    @property
    def look_due_us(self) -> int:
        """Processing time before which `on_timer` finds nothing."""
        return self._look_us if self._tags.lives else NEVER_US

    def on_timer(self, now_us: int) -> list[Output]:
        """End the forecasts of tags that fell silent, by the lane's event time and how far behind it they were."""
        if now_us < self.look_due_us:
            return []
        clock_us = self._clock(now_us)
        outputs: list[Output] = []
        left_us = NEVER_US - now_us
        for at, life in enumerate(self._tags.lives):
            if life.open is None:
                continue
            own_us = self._tags.silent_from_us(at) - clock_us
            if own_us > 0:
                left_us = min(left_us, own_us)
            else:
                outputs += _outputs(*self._tags.end(at))
                self._changed = True
        # The lane's clock may run ahead of this one: while it catches up, days pass in minutes.
        self._look_us = now_us + min(left_us, _LOOK_US)
        return outputs

    # --- state -------------------------------------------------------------------------------------------------------

    def drain_changes(self) -> dict[str, bytes | None]:
        """See StatePart."""
        if not (self._changed or self._tags.levels.moved):
            return {}
        self._changed = self._tags.levels.moved = False
        if not self._tags.lives:
            return {_ENTRY: None}
        lives = {
            str(life.tag_id): {
                "device_id": life.device_id, "low": _or_none(life.low), "high": _or_none(life.high), "row": life.row,
                "open": None if life.open is None else asdict(life.open),
            }
            for life in self._tags.lives if not life.plain
        }  # fmt: skip
        fields = {"step_us": self._tags.levels.step_us, "lives": lives}
        return {_ENTRY: packing.pack(LAYOUT, fields, self._tags.tag_id, *self._tags.arrays)}

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """See StatePart."""
        data = entries.get(_ENTRY)
        if data is None:
            return
        fields, (tag_id, *arrays) = packing.unpack(data, LAYOUT, _ENTRY)
        lives = [_life(tag, fields["lives"].get(str(tag))) for tag in tag_id.tolist()]
        known = TagForecasts(self.config, lives, fields["step_us"])
        everything = np.arange(len(tag_id))
        known.take(arrays, everything, everything)
        self._clock_us = max(map(known.levels.now_us, range(len(lives))), default=0)
        self._heard_us = 0
        all_go_on = self._go_on(known)
        self._changed = self._changed or not all_go_on or not self._tags.lives


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
