"""Forecasts of some tags: their window means in, Anomaly records out. Used by `stages.forecast.lane` and by the benchmark."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stages.config import ForecastConfig
from stages.forecast.levels import TagLevels
from stages.forecast.life import Life
from stages.forecast.resets import Resets
from stages.forecast.trend import forecast

Said = tuple[Life, list[bytes]]


class TagForecasts:
    """Levels, resets and lives of k tags. `step_us` and `offset_us` (k,) are those of `TagLevels`."""

    def __init__(
        self, config: ForecastConfig, lives: list[Life], step_us: int, offset_us: NDArray[np.int64] | None = None
    ) -> None:
        self.config, self.lives = config, lives
        self.tag_id = np.array([life.tag_id for life in lives], dtype=np.int32)
        offset_us = np.zeros(len(lives), dtype=np.int64) if offset_us is None else offset_us
        self.levels = TagLevels(len(lives), step_us, offset_us, round(config.rhythm_s * 1e6))
        self.resets = Resets(len(lives))
        self.behind_us = np.zeros(len(lives), dtype=np.int64)
        """How far a tag was behind the clock by which it is silent, when it was last heard of: machines have clocks of their own."""

    @property
    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """What is remembered, but for the lives; rows are tags."""
        return (*self.levels.arrays, self.resets.rows, self.behind_us)

    def take(self, arrays: Sequence[NDArray[np.generic]], here: NDArray[np.intp], there: NDArray[np.intp]) -> None:
        """Tags at `here` go on with what `arrays` of others had at `there`; what those did not know yet begins anew."""
        for own, theirs in zip(self.arrays, arrays, strict=False):
            own[here] = theirs[there]

    def put(self, at: NDArray[np.intp], start_us: int, mean: NDArray[np.float64]) -> list[Said]:
        """What follows from the means (j,) of windows of the tags `at` (j,) that start at `start_us`."""
        return [self._judge(tag) for tag in self.levels.put(at, start_us, mean).tolist()]

    def _judge(self, tag: int) -> Said:
        life, levels = self.lives[tag], self.levels.of(tag)
        if not len(levels) or np.isnan(levels[-1]):
            return life, []
        slot_s = self.levels.slot_s(tag)
        self.resets.see(tag, levels, max(round(self.config.rhythm_s / slot_s), 1), life.low, life.high)
        found = forecast(levels, slot_s, life.low, life.high, self.config)
        if found is not None and life.open is None and self.resets.came_back(tag, found, life.low):
            found = None
        return life, life.follow(self.levels.now_us(tag), float(levels[-1]), found, self.config)

    def silent_from_us(self, tag: int) -> int:
        """By the clock that `behind_us` is of: from when a tag is silent if it says nothing more."""
        slot_us = round(self.levels.slot_s(tag) * 1e6)
        begun = self.levels.parts[tag] > 0
        own_us = self.levels.now_us(tag) + (slot_us if begun else 0) + max(round(self.config.silent_s * 1e6), slot_us)
        return own_us + int(self.behind_us[tag])

    def end(self, tag: int) -> Said:
        """The end of a tag's forecast, where one is open, when it was last heard of."""
        return self.lives[tag], self.lives[tag].close(self.levels.now_us(tag))
