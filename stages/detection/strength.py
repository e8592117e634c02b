"""The scale of scores: how anomalous a deviation in standard deviations is, in [0, 1). 0.5 means six of them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

HALF_AT = 6.0
"""Standard deviations that make half a score."""
_RATE = -math.log(2.0) / HALF_AT


def strength(deviation: float) -> float:
    """Score of a deviation."""
    return -math.expm1(_RATE * deviation)


def strengths(deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of deviations of any shape."""
    scores: NDArray[np.float64] = -np.expm1(_RATE * deviation)
    return scores
