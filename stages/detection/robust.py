"""`robust`: the samples of a window against a decayed median and MAD (median absolute deviation), all tags at once.

Looks at the lowest and the highest sample, so one wild sample in a window is seen. Median and MAD are followed by steps of fixed
size in units of the MAD (a stochastic approximation of quantiles, Robbins and Monro, 1951), so a fault moves them no further than
a usual value does, however large it is; they forget with `memory` windows. Fails for what is seasonal, drifts faster than it
forgets, or is restless by nature. Vectorised: about 30 µs for any number of tags up to 64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import packing
from stages.detection.protocol import Features, Score, Subject
from stages.detection.strength import strengths

LAYOUT = 1
_NORMAL = 1.4826
"""MADs of a normal distribution in one standard deviation."""
_SETTLE_S = 15.0
_LARGEST = 1e100


class RobustDetector:
    """Detector of one device by decayed median and MAD of each tag.

    `grace` and `memory` are in windows; `resolution` is the share of a tag's normal range below which no deviation counts.
    Raises ValueError when `memory` is less than `grace`, or `grace` below 5.
    """

    version = 1

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

    def _spread(self) -> NDArray[np.float64]:
        """Standard deviations, no smaller than what matters."""
        floor = self._resolution * self._span + 1e-9 * np.abs(self._median) + 1e-12
        return np.maximum(_NORMAL * self._mad, floor)

    def score(self, features: Features) -> Score:
        """See Detector."""
        spread = self._spread()
        known = (self._seen >= self._grace) & (features.count > 0)
        with np.errstate(invalid="ignore"):
            above, below = features.high - self._median, self._median - features.low
        off = np.where(known, np.fmax(above, below), 0.0) / spread
        # More samples reach further by chance: what is usual for the largest of n is taken off.
        off = np.clip(off - np.sqrt(2.0 * np.log(np.maximum(features.count, 1))), 0.0, 1e9)
        grace = not known.any() or features.settled_s < _SETTLE_S
        part = strengths(off)
        reach = 3.0 * spread
        with np.errstate(invalid="ignore"):
            seen = np.where(above > below, features.high, features.low)
        return Score(
            value=0.0 if grace else float(part.max(initial=0.0)),
            grace=grace,
            part=part,
            seen=seen,
            expected_low=np.where(self._seen > 0, self._median - reach, np.nan),
            expected_high=np.where(self._seen > 0, self._median + reach, np.nan),
        )

    def learn(self, features: Features) -> None:
        """See Detector."""
        if features.settled_s < _SETTLE_S:
            return
        have = features.count > 0
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
        return packing.pack(LAYOUT, {"version": self.version}, np.stack((self._seen, self._median, self._mad)))

    def restore(self, data: bytes) -> None:
        """See Detector."""
        fields, arrays = packing.unpack(data, LAYOUT, "robust detector")
        if fields.get("version") != self.version or len(arrays) != 1 or arrays[0].shape != (3, len(self._seen)):
            msg = f"snapshot of robust version {fields.get('version')} does not fit {len(self._seen)} tags"
            raise packing.StateError(msg)
        self._seen, self._median, self._mad = arrays[0]


def robust(subject: Subject, **parameters: Any) -> RobustDetector:
    """`robust`: decayed median and MAD. Parameters are those of RobustDetector."""
    return RobustDetector(subject, **parameters)
