"""What a model is: it makes one number of a device's many deviations, calibrated by the device's own history.

A model sees `Deviations` (standard deviations per tag and kind) and says how unusual they are, in [0, 1]. On that scale
0.5 means six standard deviations: `strength` maps deviations there. `stages.detection.scaled` joins several models.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stages.detection.deviations import Deviations
from stages.detection.protocol import Vector


class Parts(NamedTuple):
    """Of each tag (k,): its part in a score, in [0, 1], and what is strange about it, an index of STATISTICS."""

    part: Vector
    statistic: NDArray[np.intp]


class Model(Protocol):
    """A model of one device; `LAYOUT` of its state is its own."""

    def score(self, deviations: Deviations) -> float:
        """How unusual, in [0, 1]; 0 while it has not learned enough."""

    def parts(self, deviations: Deviations) -> Parts | None:
        """What each tag has to do with the score beyond its own deviation; None when that says it all."""

    def learn(self, deviations: Deviations) -> None:
        """Take a window in."""

    def snapshot(self) -> bytes:
        """What was learned."""

    def restore(self, data: bytes) -> None:
        """Inverse of `snapshot`."""
