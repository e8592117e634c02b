"""What is done to refused samples before they are sent again. Pure.

Enters: values and times of samples. Leaves: corrected ones, and a name that is the same for the same correction: it is
part of the identity of the frames that carry it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from base.errors import InvalidRequestError


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """`value * scale + offset` at `time + shift`; without any of them the samples go as they are."""

    scale: float = 1.0
    offset: float = 0.0
    shift_us: int = 0

    @property
    def as_is(self) -> bool:
        """Whether nothing changes: it was the registry that was wrong."""
        return self == Correction()

    @property
    def name(self) -> str:
        """Canonical text, as in `replays.correction`."""
        parts = []
        if self.scale != 1.0:
            parts.append(f"scale={self.scale!r}")
        if self.offset != 0.0:
            parts.append(f"offset={self.offset!r}")
        if self.shift_us:
            parts.append(f"shift_us={self.shift_us}")
        return " ".join(parts) or "as-is"

    def apply(
        self, time_us: NDArray[np.int64], value: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Corrected times and values, shapes (n,). As they are, values stay the same to the bit."""
        if self.scale != 1.0 or self.offset != 0.0:
            with np.errstate(all="ignore"):  # what becomes infinite is refused again, by name
                value = value * self.scale + self.offset
        return time_us + self.shift_us, value


def correction(*, scale: float | None, offset: float | None, shift_s: float | None, as_is: bool) -> Correction:
    """Correction of what was asked for. Raises InvalidRequestError when that is nothing, or a contradiction."""
    found = Correction(
        scale=1.0 if scale is None else float(scale),
        offset=0.0 if offset is None else float(offset) + 0.0,
        shift_us=0 if shift_s is None else round(shift_s * 1e6),
    )
    if not (math.isfinite(found.scale) and math.isfinite(found.offset)) or found.scale == 0.0:
        msg = f"a scale of {found.scale} and an offset of {found.offset} correct nothing"
        raise InvalidRequestError(msg)
    if as_is and not found.as_is:
        msg = "--as-is sends samples unchanged: leave it or the correction away"
        raise InvalidRequestError(msg)
    if found.as_is and not as_is:
        msg = "say what to correct: --scale, --offset or --shift-seconds; or --as-is when it was the registry that was wrong"
        raise InvalidRequestError(msg)
    return found
