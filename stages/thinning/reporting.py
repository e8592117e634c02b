"""How each tag is reported: deadband or swinging door, each with its own band and its own longest silence. Called once per frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.thinning.deadband import AbsoluteDeadband, Batch, SwingingDoor


class Reporting:
    """Thins the tags of a table.

    >>> import numpy as np
    >>> reporting = Reporting(np.array([0.5, 0.0]), np.array([False, False]), np.array([60_000_000, 60_000_000]))
    >>> batch = Batch(np.array([0, 0, 1, 1]), np.arange(4) * 100_000, np.array([1.0, 1.2, 1.0, 1.2]), np.zeros(4, np.uint16))
    >>> reporting.apply(batch).value.tolist()
    [1.0, 1.0, 1.2]
    """

    def __init__(
        self, band: NDArray[np.float64], swinging_door: NDArray[np.bool_], max_silence_us: NDArray[np.int64]
    ) -> None:
        """Of each slot, all of shape (slots,): `band` in the tag's unit, 0 for none; whether the band is a door's."""
        self._changes = AbsoluteDeadband(np.where(swinging_door, 0.0, band), max_silence_us=max_silence_us)
        self._corners = SwingingDoor(np.where(swinging_door, band, 0.0), max_silence_us=max_silence_us)

    def apply(self, batch: Batch) -> Batch:
        """Samples to keep."""
        # A slot has a band in one of them, and passes the other whole.
        return self._corners.apply(self._changes.apply(batch))

    def flush(self, now_us: int) -> Batch | None:
        """Samples held back for longer than their tag may be silent."""
        return self._corners.flush(now_us)
