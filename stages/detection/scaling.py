"""Adaptive scaling: windows of devices become deviations in standard deviations, per tag and kind of change.

Three views of each tag, because faults show in different ones: `level` (its mean against what is usual in this mode, and
against its normal range), `step` (its mean against where the last windows were heading) and `spread` (its variance
against what is usual, in this window or a little in several). All statistics are exponentially weighted over `memory_s`,
so normal drift is followed; they learn from clipped deviations, so a fault is not learned at once.

Statistics are kept per mode, at most `MODES` of them. After a change of mode nothing is scored for `settle_s`, and the
level of a tag not for `level_settle_s`, unless it has shown that it is soon back: temperatures take that long, and a
machine that warms up after a break is not broken. A deviation smaller than `resolution` of the tag's normal range is
never worth an alarm, so it is the floor of every scale.

`stages.detection.examination` looks at windows, of many devices at once; `commit` takes one in.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import packing
from stages.detection import tag_scale
from stages.detection.deviations import Examined, Prior
from stages.detection.protocol import Features, Subject
from stages.detection.tag_scale import Vector

MODES = 6
LAST, SLOPE, TREND, LAGGED, PEAK, OLD, OLDER = range(7)
"""Rows of a course, what is remembered of a tag from window to window: its last mean and where it is heading, the weighted mean of
its spread deviations, whether it was not soon back at its level after the last change of mode, the peak of an excursion that goes
on, and the last two means that were not strange."""
MOVING, BEEN = slice(7, 9), slice(9, 12)
"""Rows of `stages.detection.trailing`."""
_COURSE_ROWS, _COURSE_ROWS_OF_0_1 = 12, 4
PROMPT_S = 60.0
"""A tag that is back at its level so soon after a change of mode is prompt."""


class AdaptiveScaler:
    """Scaler of one device. `_modes` maps a mode to the scales of its tags; the least recently seen is forgotten.

    `grace` is in windows, as it is for every detector. `grace_s` and `grace_windows` are what configurations of 0.1.0 may say instead.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        memory_s: float = 14_400.0,
        grace: int = 120,
        grace_s: float | None = None,
        grace_windows: int | None = None,
        settle_s: float = 15.0,
        level_settle_s: float = 1_800.0,
        resolution: float = 0.005,
    ) -> None:
        self.subject = subject
        self.tags = len(subject.tag_id)
        memory = max(memory_s / subject.window_s, 200.0)
        if grace_s is not None or grace_windows is not None:
            grace = max(30 if grace_windows is None else grace_windows, int((grace_s or 0.0) / subject.window_s))
        self.rules = np.empty((7, self.tags))
        """Shape (7, k): normal range and its span, memory and grace in windows, settling of levels, resolution."""
        self.rules[:3] = subject.normal_low, subject.normal_high, subject.normal_high - subject.normal_low
        self.rules[3:] = np.array(((memory,), (grace,), (level_settle_s,), (resolution,)))
        self._settle_s = settle_s
        self._modes: dict[str, Vector] = {}
        self.courses = _no_course(self.tags)
        self._last_end_us = 0
        self._last_mode = ""
        self._last_settled_s = math.inf

    def prior(self, features: Features) -> Prior:
        """What a window meets."""
        scales = self._modes.get(features.mode)
        goes_on = self._goes_on(features)
        courses, left = (self.courses, None) if goes_on else self._leave(features)
        return Prior(
            goes_on=goes_on,
            known=scales is not None,
            learns=features.settled_s >= self._settle_s,
            courses=courses,
            scales=left if left is not None and features.mode == self._last_mode else scales,
            left=left,
        )

    def _goes_on(self, features: Features) -> bool:
        """Whether the window follows on the last one: same mode, no change in between, no gap."""
        adjacent = 0 <= features.start_us - self._last_end_us <= self.subject.window_s * 1_500_000
        return adjacent and features.mode == self._last_mode and features.settled_s >= self._last_settled_s

    def _leave(self, features: Features) -> tuple[Vector, Vector | None]:
        """Courses of tags when a window does not go on.

        At the end of a stay in a mode also its scales, which note what tags were soon back in it.
        """
        stayed_s = self._last_settled_s
        changed = features.mode != self._last_mode or features.settled_s < stayed_s
        scales = self._modes.get(self._last_mode)
        courses = _no_course(self.tags)
        if not changed:
            courses[LAGGED] = self.courses[LAGGED]
        if not changed or scales is None or not 2.0 * PROMPT_S <= stayed_s < math.inf:
            return courses, None
        left = scales.copy()
        left[tag_scale.PROMPT] = np.where(self.courses[LAGGED] > 0, 0.0, left[tag_scale.PROMPT] + 1.0)
        return courses, left

    def commit(self, examined: Examined) -> None:
        """Take a window in as it was examined."""
        features = examined.features
        if examined.left is not None and self._last_mode in self._modes:
            self._modes[self._last_mode] = examined.left
        if examined.scales is not None:
            if self._modes.pop(features.mode, None) is None and len(self._modes) >= MODES:
                del self._modes[next(iter(self._modes))]
            self._modes[features.mode] = examined.scales  # last in the order: least likely to be forgotten
        self.courses = examined.courses
        self._last_end_us, self._last_mode, self._last_settled_s = features.end_us, features.mode, features.settled_s

    # --- state -----------------------------------------------------------------------------------------------------------

    def arrays(self) -> tuple[dict[str, Any], list[NDArray[np.float64]]]:
        """Fields and arrays of a snapshot: courses, then each mode's scales, one row per tag."""
        fields = {
            "modes": list(self._modes),
            "last_end_us": self._last_end_us,
            "last_mode": self._last_mode,
            "last_settled_s": self._last_settled_s,
        }
        return fields, [np.ascontiguousarray(table.T) for table in (self.courses, *self._modes.values())]

    def set_arrays(self, fields: dict[str, Any], arrays: list[NDArray[np.float64]]) -> None:
        """Inverse of `arrays`; raises packing.StateError when they are of other tags."""
        shapes = [array.shape for array in arrays]
        rows = [_COURSE_ROWS, *[tag_scale.ROWS] * len(fields["modes"])]
        rows_of_0_1 = [_COURSE_ROWS_OF_0_1, *[tag_scale.ROWS_OF_0_1] * len(fields["modes"])]
        if shapes not in ([(self.tags, each) for each in rows], [(self.tags, each) for each in rows_of_0_1]):
            msg = f"snapshot of a scaler of {self.tags} tags has arrays of {sorted(set(shapes))}"
            raise packing.StateError(msg)
        # What version 0.1.0 did not know begins anew.
        tables = [_no_course(self.tags), *(tag_scale.unseen(self.tags) for _ in arrays[1:])]
        for table, array in zip(tables, arrays, strict=True):
            table[: array.shape[1]] = array.T
        self.courses, *scales = tables
        self._modes = dict(zip(fields["modes"], scales, strict=True))
        self._last_end_us, self._last_mode = fields["last_end_us"], fields["last_mode"]
        self._last_settled_s = float(fields["last_settled_s"])


def _no_course(tags: int) -> Vector:
    courses = np.zeros((_COURSE_ROWS, tags))
    courses[[LAST, SLOPE, OLD, OLDER, BEEN.stop - 1]] = np.nan
    return courses
