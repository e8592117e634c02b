"""`robust`: the samples of a window against a decayed median and MAD (median absolute deviation), all tags at once.

Looks at the lowest and the highest sample, so one wild sample in a window is seen. Median and MAD are followed by steps of fixed
size in units of the MAD (a stochastic approximation of quantiles, Robbins and Monro, 1951), so a fault moves them no further than
a usual value does, however large it is; they forget with `memory` windows. How far a tag usually gets is followed in the same way, as
what 98 of 100 windows stay below: deviations are measured by it, so data that moves faster than the median forgets is no alarm by
nature. Fails for what is seasonal or drifts slowly. Vectorised: about 40 µs for any number of tags up to 64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import packing
from stages.detection.protocol import LEVEL, Features, Score, Subject, Vector
from stages.detection.strength import strengths

LAYOUT = 1
_NORMAL = 1.4826
"""MADs of a normal distribution in one standard deviation."""
_SETTLE_S = 15.0
_LARGEST = 1e100
_FAR = 3.0
"""Standard deviations that a tag is expected to reach now and then."""
_BELOW, _RISE = 0.98, 0.05
"""Share of windows that stay below what is usual, and how much of it one above adds."""


class RobustDetector:
    """Detector of one device by decayed median and MAD of each tag.

    `grace` and `memory` are in windows; `resolution` is the share of a tag's normal range below which no deviation counts.
    Raises ValueError when `memory` is less than `grace`, or `grace` below 5.
    """

    version = 2

    def __init__(
        self, subject: Subject, *, grace: int = 30, memory: float = 2_000.0, resolution: float = 0.005
    ) -> None:
        if grace < 5 or memory < grace:
            msg = f"grace {grace} and memory {memory:g} do not fit: at least 5 windows, and no less in memory"
            raise ValueError(msg)
        self._grace, self._memory = grace, memory
        tags = len(subject.tag_id)
        span = subject.normal_high - subject.normal_low
        self._span = np.where(np.isfinite(span), span, 0.0)
        self._resolution = resolution
        self._seen = np.zeros(tags)
        self._median, self._mad = np.zeros(tags), np.zeros(tags)
        self._usual = np.full(tags, _FAR)
        """How far each tag usually gets, in standard deviations."""

    def _spread(self) -> NDArray[np.float64]:
        """Standard deviations, no smaller than what matters."""
        floor = self._resolution * self._span + 1e-9 * np.abs(self._median) + 1e-12
        return np.maximum(_NORMAL * self._mad, floor)

    def _off(self, features: Features) -> tuple[Vector, Vector, Vector]:
        """How far each tag's furthest sample is, in standard deviations, that sample, and what chance makes of many samples."""
        with np.errstate(invalid="ignore"):
            above, below = features.high - self._median, self._median - features.low
            seen = np.where(above > below, features.high, features.low)
        chance = np.sqrt(2.0 * np.log(np.maximum(features.count, 1)))
        off = np.where(features.count > 0, np.fmax(above, below), 0.0) / self._spread()
        return np.clip(off - chance, 0.0, 1e9), seen, chance

    def score(self, features: Features) -> Score:
        """See Detector."""
        off, seen, chance = self._off(features)
        known = (self._seen >= self._grace) & (features.count > 0)
        grace = not known.any() or features.settled_s < _SETTLE_S
        part = strengths(np.where(known, off * _FAR / self._usual, 0.0))
        # Outside of it a tag contributes.
        reach = (0.8 * self._usual + chance) * self._spread()
        return Score(
            value=0.0 if grace else float(part.max(initial=0.0)),
            grace=grace,
            part=part,
            statistic=np.full(len(part), LEVEL),
            seen=seen,
            expected_low=np.where(self._seen > 0, self._median - reach, np.nan),
            expected_high=np.where(self._seen > 0, self._median + reach, np.nan),
        )

    def learn(self, features: Features) -> None:
        """See Detector."""
        if features.settled_s < _SETTLE_S:
            return
        have = features.count > 0
        off, _, _ = self._off(features)
        rise = np.where(off > self._usual, 1.0 + _RISE, 1.0 - _RISE * (1.0 - _BELOW))
        self._usual = np.maximum(np.where(have & (self._seen >= self._grace), self._usual * rise, self._usual), _FAR)
        mean = np.clip(np.where(have, features.mean, 0.0), -_LARGEST, _LARGEST)
        inside = np.sqrt(np.where(have & (features.count > 1), np.clip(features.variance, 0.0, _LARGEST), 0.0))
        first = have & (self._seen == 0)
        self._median = np.where(first, mean, self._median)
        self._seen += have
        # The samples' distance from the median: between windows by the mean, inside them by their spread.
        away = np.maximum(np.abs(mean - self._median), inside / _NORMAL)
        early = have & (self._seen <= self._grace)
        share = 1.0 / np.maximum(self._seen, 1.0)
        self._mad = np.where(early, self._mad + (np.minimum(away, _LARGEST) - self._mad) * share, self._mad)
        self._median = np.where(early, self._median + (mean - self._median) * share, self._median)
        late = have & ~early
        step = np.maximum(self._mad, 1e-3 * self._spread()) * np.maximum(share, 1.0 / self._memory) * 4.0
        self._median += np.where(late, step * np.sign(mean - self._median), 0.0)
        self._mad = np.maximum(self._mad + np.where(late, step * np.sign(away - self._mad), 0.0), 0.0)

    def snapshot(self) -> bytes:
        """See Detector."""
        rows = np.stack((self._seen, self._median, self._mad, self._usual))
        return packing.pack(LAYOUT, {"version": self.version}, rows)

    def restore(self, data: bytes) -> None:
        """See Detector."""
        fields, arrays = packing.unpack(data, LAYOUT, "robust detector")
        rows = {1: 3, 2: 4}.get(fields.get("version", 0))
        if len(arrays) != 1 or arrays[0].shape != (rows, len(self._seen)):
            msg = f"snapshot of robust version {fields.get('version')} does not fit {len(self._seen)} tags"
            raise packing.StateError(msg)
        self._seen, self._median, self._mad = arrays[0][:3]
        self._usual = arrays[0][3] if rows == 4 else np.full(len(self._seen), _FAR)  # version 1 did not know it


def robust(subject: Subject, **parameters: Any) -> RobustDetector:
    """`robust`: decayed median and MAD. Parameters are those of RobustDetector."""
    return RobustDetector(subject, **parameters)
