"""What is said of a window of a device: deviations per tag and kind of change, and what learning it will make of the scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.detection.protocol import Features
from stages.detection.tag_scale import Vector


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Deviations:
    """Deviations in standard deviations, one per tag, shape (k,), 0 where nothing can be said.

    `grace` when the mode is not known well enough. `largest` is the largest absolute one of each tag, `peak` that of all
    tags, `part` what it scores, `statistic` which of the three it is. `seen` is the sample that was furthest out, or the mean where only
    that lies outside of what was expected.
    """

    level: Vector
    step: Vector
    spread: Vector
    largest: Vector
    peak: float
    part: Vector
    statistic: NDArray[np.intp]
    seen: Vector
    expected_low: Vector
    expected_high: Vector
    grace: bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prior:
    """What a scaler knows before a window; `left` are the scales of a mode at the end of a stay in it, `scales` those of the window's."""

    goes_on: bool
    known: bool
    learns: bool
    courses: Vector
    scales: Vector | None
    left: Vector | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Examined:
    """A window of a device: its deviations, and what is known when it has been learned. `scales` None: the mode learns nothing."""

    features: Features
    deviations: Deviations
    courses: Vector
    scales: Vector | None
    left: Vector | None
    """Scales of the mode that was left, when the window shows which tags were soon back in it."""
