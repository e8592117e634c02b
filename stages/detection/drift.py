"""`DriftModel`: levels that have changed for good, found by ADWIN (`stages.detection.adwin`), a window per tag.

Slow faults never deviate much at any moment, and what follows them learns them. ADWIN compares all earlier with all later
windows, so a small change that stays is sure in the end. A cut is scored by its size: half at one standard deviation of single
windows. The score is held for as many windows as an episode needs to open and fades then. Costs about 2 µs a tag.
"""

from __future__ import annotations

import math

import numpy as np

from stages import packing
from stages.detection.adwin import Adwin
from stages.detection.deviations import Deviations
from stages.detection.model import Parts
from stages.detection.protocol import DRIFT

_CLIP = 6.0
_HELD = 3
_FADES = 0.8
LAYOUT = 1


class DriftModel:
    """An ADWIN window of levels per tag. `delta` is how unlikely a cut is while nothing changes, in (0, 1)."""

    def __init__(self, tags: int, *, delta: float = 0.002) -> None:
        self._windows = [Adwin(delta) for _ in range(tags)]
        self._found = [0.0] * tags
        self._age = 0

    def _fading(self) -> float:
        return _FADES ** max(self._age - _HELD, 0)

    def score(self, deviations: Deviations) -> float:
        """See Model."""
        return max(self._scores(), default=0.0)

    def _scores(self) -> list[float]:
        fading = self._fading()
        return [-math.expm1(-math.log(2.0) * size) * fading for size in self._found]

    def parts(self, deviations: Deviations) -> Parts | None:
        """See Model: the tags whose level changed."""
        return Parts(np.array(self._scores()), np.full(len(self._found), DRIFT))

    def learn(self, deviations: Deviations) -> None:
        """See Model. A level that cannot be compared now says nothing."""
        self._age += 1
        for at, deviation in enumerate(deviations.level.tolist()):
            if not deviation:
                continue
            held = min(max(deviation, -_CLIP), _CLIP)
            change = self._windows[at].update(0.5 + held / (2.0 * _CLIP))
            if change is not None:
                if self._age > _HELD:
                    self._found = [0.0] * len(self._found)
                self._found[at], self._age = abs(change) * 2.0 * _CLIP, 0

    def snapshot(self) -> bytes:
        """See Model."""
        numbers = [each.numbers() for each in self._windows]
        fields = {"age": self._age, "lengths": [len(each) for each in numbers]}
        flat = np.array([number for each in numbers for number in each], dtype=np.float64)
        return packing.pack(LAYOUT, fields, np.array(self._found), flat)

    def restore(self, data: bytes) -> None:
        """See Model."""
        fields, arrays = packing.unpack(data, LAYOUT, "drift model")
        lengths = fields["lengths"]
        if len(arrays) != 2 or len(lengths) != len(self._windows) or sum(lengths) != arrays[1].size:
            msg = f"snapshot of a drift model of {len(self._windows)} tags has windows of {lengths}"
            raise packing.StateError(msg)
        self._age, self._found = fields["age"], arrays[0].tolist()
        numbers, at = arrays[1].tolist(), 0
        for window, length in zip(self._windows, lengths, strict=True):
            try:
                window.set_numbers(numbers[at : at + length])
            except ValueError as error:
                msg = f"snapshot of a drift model: {error}"
                raise packing.StateError(msg) from error
            at += length
