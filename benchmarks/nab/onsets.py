"""From scores to onsets: what a row adds to the alarm that is already given.

An operator is told once that something is wrong, and again when it gets worse. A row's onset is its score when that is above
every recent one, else 0; `recent` fades with `half_life` rows, so a quiet spell makes the device sensitive again. This is what
episodes do at one threshold (`stages.detection.episodes`), for all thresholds at once, which the sweep of NAB's rule needs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HALF_LIFE_ROWS = 400


def onsets(score: NDArray[np.float64], half_life: float = HALF_LIFE_ROWS) -> NDArray[np.float64]:
    """Shape (rows,) to shape (rows,)."""
    fading = 0.5 ** (1.0 / half_life)
    found = np.zeros_like(score)
    recent = 0.0
    for row, value in enumerate(score.tolist()):
        recent *= fading
        if value > recent:
            found[row] = recent = value
    return found
