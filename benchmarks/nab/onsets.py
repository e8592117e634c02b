"""From scores to onsets: what a row adds to the alarm that is already given.

An operator is told once that something is wrong, and again when it is clearly worse. A row's onset is its score when that is
clearly above every recent one, else 0. Scores are compared in halvings of what is left to 1 (0.5 is one, 0.75 two): clearly is
`MARGIN` halvings, and what was recent fades with a half-life of `HALF_LIFE_ROWS`. This is what episodes do at one threshold
(`stages.detection.episodes`), for all thresholds at once, which the sweep of NAB's rule needs. No label is looked at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HALF_LIFE_ROWS = 400.0
MARGIN = 0.3


def onsets(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shape (rows,) to shape (rows,)."""
    fading = 0.5 ** (1.0 / HALF_LIFE_ROWS)
    halvings = -np.log2(np.maximum(1.0 - score, 1e-12))
    found = np.zeros_like(score)
    recent = 0.0
    for row, height in enumerate(halvings.tolist()):
        recent *= fading
        if height > recent + MARGIN:
            found[row], recent = score[row], height
    return found
