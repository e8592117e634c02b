"""`GaussianModel`: the largest deviation of any tag, weighed by how unusual that size is for the device."""

from __future__ import annotations

import math

from stages import packing
from stages.detection.deviations import Deviations
from stages.detection.model import Parts
from stages.detection.running_gaussian import RunningGaussian
from stages.detection.strength import strength


class GaussianModel:
    """The largest deviation of any tag, weighed by the place of its size in a running Gaussian of the device's sizes.

    The first factor finds faults of one tag in any number of tags; the second lowers the score of a device whose data
    is restless by nature. Fails for faults that show only in the relation of tags. Costs about 5 µs.
    """

    LAYOUT = 1

    def __init__(self, *, memory: int = 5_000, grace: int = 30) -> None:
        self._memory, self._grace = memory, grace
        self._sizes = RunningGaussian()

    def score(self, deviations: Deviations) -> float:
        """See Model."""
        return self.score_peak(deviations.peak)

    def score_peak(self, peak: float) -> float:
        """The same, given the largest deviation."""
        size = math.log1p(peak)
        if size <= self._sizes.mean or self._sizes.count < self._grace:
            return 0.0
        return strength(math.expm1(size)) * (2.0 * abs(self._sizes.cdf(size) - 0.5))

    def parts(self, deviations: Deviations) -> Parts | None:
        """See Model."""
        return None

    def learn(self, deviations: Deviations) -> None:
        """See Model."""
        self.learn_peak(deviations.peak)

    def learn_peak(self, peak: float) -> None:
        """The same, given the largest deviation."""
        size = math.log1p(peak)
        sizes = self._sizes
        if sizes.count >= self._grace:
            size = min(size, sizes.mean + 4.0 * max(sizes.sigma, 0.05))
        sizes.update(size)
        if sizes.count >= 2 * self._memory:
            self._sizes = RunningGaussian.of(self._memory, sizes.mean, sizes.sigma)

    def snapshot(self) -> bytes:
        """See Model."""
        return packing.pack(self.LAYOUT, None, self._sizes.moments())

    def restore(self, data: bytes) -> None:
        """See Model."""
        _, (moments,) = packing.unpack(data, self.LAYOUT, "gaussian model")
        self._sizes = RunningGaussian.of(*moments.tolist())
