"""The life of a forecast: it begins when the limit is near enough and sure enough for a while, and is said again when it changes.

Enters: the forecasts of one tag, or that there is none, in order of time. Leaves: Anomaly records of the detector `forecast`, one episode
a forecast. Its score is how near the limit is: 0.5 at the horizon, 1 when it is reached, by the root of the time that is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any
from uuid import UUID, uuid5

from schemas import codec
from stages.config import ForecastConfig
from stages.forecast.trend import Forecast

DETECTOR, STATISTIC, VERSION = "forecast", "forecast", 1
THRESHOLD = 0.5
_NAMESPACE = UUID("6f1d3c52-7c1e-4a0b-9a53-2f6f0c7a9e11")
_BEGINS, _ENDS = 3, 3
"""So many levels in a row with a forecast begin an episode, and so many without one end it."""
_CHANGED = 0.25
"""A forecast has changed when its moment moved by that share of the time that was left."""
_FURTHER_US = 400 * 86_400_000_000
"""What is further ahead than this is not said."""


@dataclass(kw_only=True, slots=True)
class Open:
    """A forecast that stands. `said_*` is what its last record said; `likely_us`, `left_us` are absolute and relative to that moment."""

    episode_id: str
    start_us: int
    revision: int
    peak: float
    said_us: int
    likely_us: int
    contributor: dict[str, Any]


@dataclass(kw_only=True, slots=True)
class Life:
    """Forecasts of one tag. `row` levels in a row spoke for a forecast where there is none, or against the one that is open."""

    device_id: int
    tag_id: int
    low: float
    high: float
    row: int = 0
    open: Open | None = None

    @property
    def plain(self) -> bool:
        """Whether there is nothing to remember."""
        return self.open is None and not self.row

    def follow(self, now_us: int, level: float, found: Forecast | None, config: ForecastConfig) -> list[bytes]:
        """Records that follow from a new level, in the tag's unit, at `now_us`, and what is forecast from it."""
        if self.open is None:
            self.row = self.row + 1 if found is not None else 0
            if found is None or self.row < _BEGINS:
                return []
            self.row = 0
            return [self._begin(now_us, found, config)]
        standing = self.open
        limit = standing.contributor["limit"]
        beyond = level >= limit if limit == self.high else level <= limit
        # A peak of the day's rhythm reaches the limit before the trend does: while that goes on, so does the forecast.
        if beyond and (found is None or found.limit != limit):
            return [self._end(now_us, level, reached=True)]
        if found is None or found.limit != limit:
            self.row += 1
            return [self._end(now_us, level, reached=False)] if self.row >= _ENDS else []
        self.row = 0
        likely_us = now_us + round(min(found.likely_s * 1e6, _FURTHER_US))
        if abs(likely_us - standing.likely_us) <= _CHANGED * max(standing.likely_us - standing.said_us, 0) and (
            likely_us - now_us > 0.5 * (standing.likely_us - standing.said_us)
        ):
            return []
        standing.revision += 1
        self._say(standing, now_us, found, config)
        return [self._record(standing, "UPDATE", standing.contributor["score"])]

    def close(self, now_us: int) -> list[bytes]:
        """The end of the forecast that is open, if one is: the tag is watched no more, or in another way."""
        if self.open is None:
            return []
        return [self._end(now_us, self.open.contributor["value"], reached=False)]

    def _begin(self, now_us: int, found: Forecast, config: ForecastConfig) -> bytes:
        self.open = Open(
            episode_id=str(uuid5(_NAMESPACE, f"{self.device_id}/{self.tag_id}/{now_us}")),
            start_us=now_us,
            revision=1,
            peak=0.0,
            said_us=now_us,
            likely_us=now_us,
            contributor={},
        )
        self._say(self.open, now_us, found, config)
        return self._record(self.open, "OPEN", self.open.contributor["score"])

    def _say(self, standing: Open, now_us: int, found: Forecast, config: ForecastConfig) -> None:
        near, likely, far = (
            now_us + round(min(each * 1e6, 2.0 * _FURTHER_US)) for each in (found.near_s, found.likely_s, found.far_s)
        )
        score = 1.0 - 0.5 * sqrt(min(found.likely_s / config.horizon_s, 1.0))
        standing.said_us, standing.likely_us, standing.peak = now_us, likely, max(standing.peak, score)
        standing.contributor = {
            "tag_id": self.tag_id,
            "score": score,
            "value": found.level,
            "expected_low": self.low if self.low == self.low else None,  # NaN
            "expected_high": self.high if self.high == self.high else None,
            "statistic": STATISTIC,
            "limit": found.limit,
            "limit_us": likely,
            "earliest_us": near,
            "as_of_us": now_us,
            "latest_us": far if far - now_us < _FURTHER_US else None,
        }

    def _end(self, now_us: int, level: float, *, reached: bool) -> bytes:
        standing = self.open
        assert standing is not None
        self.open, self.row = None, 0
        standing.revision += 1
        standing.contributor["value"] = level
        score = 1.0 if reached else 0.0
        standing.peak = max(standing.peak, score)
        return self._record(standing, "CLOSE", score, end_us=now_us)

    def _record(self, standing: Open, phase: str, score: float, end_us: int | None = None) -> bytes:
        return codec.encode(
            "Anomaly",
            {
                "episode_id": UUID(standing.episode_id),
                "device_id": self.device_id,
                "phase": phase,
                "revision": standing.revision,
                "start_us": standing.start_us,
                "end_us": end_us,
                "score": score,
                "peak_score": standing.peak,
                "threshold": THRESHOLD,
                "contributors": [standing.contributor],
                "detector": DETECTOR,
                "detector_version": VERSION,
            },
        )
