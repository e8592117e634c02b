"""Adaptive scaling: windows of a device become deviations in standard deviations, per tag and kind of change.

Three views of each tag, because faults show in different ones: `level` (its mean against what is usual in this mode, and
against its normal range), `step` (its mean against where the last windows were heading) and `spread` (its variance
against what is usual, in this window or a little in several). All statistics are exponentially weighted over `memory_s`,
so normal drift is followed; they learn from clipped deviations, so a fault is not learned at once.

Statistics are kept per mode, at most `MODES` of them. After a change of mode nothing is scored for `settle_s`, and the
level of a tag not for `level_settle_s`, unless it has shown that it is soon back: temperatures take that long, and a
machine that warms up after a break is not broken. A deviation smaller than `resolution` of the tag's normal range is
never worth an alarm, so it is the floor of every scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import packing
from stages.detection.protocol import Features, Subject
from stages.detection.tag_scale import CLIP, TagScale, TagWindow, bounded, clipped

MODES = 6
_PROMPT_S = 60.0
_WEIGHT = 0.3
_WEIGHT_SCALE = (_WEIGHT / (2.0 - _WEIGHT)) ** 0.5
"""Standard deviation of a weighted mean of independent deviations of 1."""
_LASTING_BOUND = 6.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Deviations:
    """Deviations in standard deviations, one per tag, 0 where nothing can be said.

    `grace` when the mode is not known well enough. `largest` is the largest absolute one of each tag.
    """

    level: list[float]
    step: list[float]
    spread: list[float]
    largest: list[float]
    expected_low: list[float]
    expected_high: list[float]
    grace: bool


@dataclass(slots=True)
class TagCourse:
    """What is remembered of a tag from window to window.

    `trend` is the weighted mean of its spread deviations; `lagged` whether it was not soon back at its level after the
    last change of mode.
    """

    last: float = math.nan
    slope: float = math.nan
    trend: float = 0.0
    lagged: bool = False


class AdaptiveScaler:
    """Scaler of one device. `_modes` maps a mode to the scales of its tags; the least recently seen is forgotten."""

    def __init__(
        self,
        subject: Subject,
        *,
        memory_s: float = 14_400.0,
        grace_s: float = 300.0,
        grace_windows: int = 30,
        settle_s: float = 15.0,
        level_settle_s: float = 1_800.0,
        resolution: float = 0.005,
    ) -> None:
        self.subject = subject
        self._memory = max(memory_s / subject.window_s, 200.0)
        self._grace = max(grace_windows, int(grace_s / subject.window_s))
        self._settle_s, self._level_settle_s = settle_s, level_settle_s
        self._resolution = resolution
        self._tags = len(subject.tag_id)
        self._low, self._high = subject.normal_low.tolist(), subject.normal_high.tolist()
        self._span = (subject.normal_high - subject.normal_low).tolist()
        self._modes: dict[str, list[TagScale]] = {}
        self._courses = [TagCourse() for _ in range(self._tags)]
        self._last_end_us = 0
        self._last_mode = ""
        self._last_settled_s = math.inf

    def measure(self, features: Features) -> Deviations:
        """Deviations of a window; changes nothing."""
        scales = self._modes.get(features.mode)
        if scales is None or features.settled_s < self._settle_s:
            zeros, unknown = [0.0] * self._tags, [math.nan] * self._tags
            return Deviations(
                level=zeros,
                step=zeros,
                spread=zeros,
                largest=zeros,
                expected_low=unknown,
                expected_high=unknown,
                grace=True,
            )
        goes_on = self._goes_on(features)
        rows = [
            self._measure(at, window, scales[at], features, goes_on=goes_on)
            for at, window in enumerate(_windows(features))
        ]
        level, step, spread, low, high = (list(column) for column in zip(*rows, strict=True))
        return Deviations(
            level=level,
            step=step,
            spread=spread,
            largest=[max(abs(a), abs(b), abs(c)) for a, b, c in zip(level, step, spread, strict=True)],
            expected_low=low,
            expected_high=high,
            grace=all(scale.spread_n < self._grace and scale.level_n < self._grace for scale in scales),
        )

    def _measure(
        self, at: int, window: TagWindow, scale: TagScale, features: Features, *, goes_on: bool
    ) -> tuple[float, float, float, float, float]:
        """Level, step and spread deviation of a tag, and the range its samples were expected in."""
        course, floor = self._courses[at], scale.floor(self._resolution, self._span[at])
        level = step = spread = 0.0
        heading = course.last + course.slope if goes_on else math.nan
        if window.good:
            if scale.level_n >= self._grace and self._settled(scale, features.settled_s):
                level = scale.level_deviation(window.mean, floor)
            # Outside the range that the registry calls normal is a deviation at any time, also on the way somewhere.
            outside = 0.0
            if window.mean > self._high[at]:
                outside = bounded((window.mean - self._high[at]) / floor)
            elif window.mean < self._low[at]:
                outside = bounded((window.mean - self._low[at]) / floor)
            level = outside if abs(outside) > abs(level) else level
            if scale.step_n >= self._grace:
                step = scale.step_deviation(window.mean, heading, floor)
        if scale.spread_n >= self._grace:
            spread = scale.spread_deviation(window, floor)
            lasting = _lasting(course if goes_on else TagCourse(), spread) / _WEIGHT_SCALE
            spread = lasting if abs(lasting) > abs(spread) else spread
        # People are shown the range of single samples, not of means: usual spread around where the tag was expected.
        centre = heading if abs(step) > abs(level) else scale.level
        reach = 3.0 * math.sqrt(max(scale.spread, 0.0) ** 3 + scale.level_var + floor * floor)
        return level, step, spread, centre - reach, centre + reach

    def learn(self, features: Features) -> None:
        """Take a window in."""
        goes_on = self._goes_on(features)
        if not goes_on:
            self._leave(features)
        if features.settled_s >= self._settle_s:
            scales = self._scales(features.mode)
            for at, window in enumerate(_windows(features)):
                self._learn(at, window, scales[at], features.settled_s)
        self._last_end_us, self._last_mode, self._last_settled_s = features.end_us, features.mode, features.settled_s

    def _learn(self, at: int, window: TagWindow, scale: TagScale, settled_s: float) -> None:
        course, floor = self._courses[at], scale.floor(self._resolution, self._span[at])
        alone = scale.spread_deviation(window, floor) if scale.spread_n >= self._grace else 0.0
        course.trend = _lasting(course, alone)
        if not window.good:
            course.last = course.slope = math.nan
            return
        scale.see(window.mean)
        if _PROMPT_S <= settled_s < self._level_settle_s:
            # Judged by the tag's own short-term noise: a temperature that is a little low is still on its way.
            course.lagged |= abs(window.mean - scale.level) > CLIP * math.sqrt(scale.step_var)
        # A young mode learns its level from what there is; a known one only from windows that are scored.
        if scale.level_n < self._grace or self._settled(scale, settled_s):
            scale.learn_level(window.mean, floor, self._memory)
        scale.learn_spread(window, self._memory)
        heading = course.last + course.slope
        if heading == heading:  # noqa: PLR0124  # not NaN
            scale.learn_step(window.mean - heading, floor, self._memory)
        moved = window.mean - course.last
        if course.slope == course.slope:  # noqa: PLR0124
            course.slope += _WEIGHT * clipped(moved - course.slope, scale.step_var, floor)
        else:
            course.slope = moved
        course.last = window.mean

    def _goes_on(self, features: Features) -> bool:
        """Whether the window follows on the last one: same mode, no change in between, no gap."""
        adjacent = 0 <= features.start_us - self._last_end_us <= self.subject.window_s * 1_500_000
        return adjacent and features.mode == self._last_mode and features.settled_s >= self._last_settled_s

    def _leave(self, features: Features) -> None:
        """The course of the tags is interrupted; at the end of a stay in a mode, notes which of them were soon back."""
        stayed_s = self._last_settled_s
        changed = features.mode != self._last_mode or features.settled_s < stayed_s
        scales = self._modes.get(self._last_mode)
        if changed and scales is not None and 2.0 * _PROMPT_S <= stayed_s < math.inf:
            for scale, course in zip(scales, self._courses, strict=True):
                scale.prompt = 0.0 if course.lagged else scale.prompt + 1.0
        self._courses = [TagCourse(lagged=course.lagged and not changed) for course in self._courses]

    def _settled(self, scale: TagScale, settled_s: float) -> bool:
        """Whether a level can be judged: long after a change of mode, or soon after it for a tag that is prompt."""
        return settled_s >= self._level_settle_s or (scale.prompt >= 1.0 and settled_s >= _PROMPT_S)

    def _scales(self, mode: str) -> list[TagScale]:
        scales = self._modes.pop(mode, None)
        if scales is None:
            scales = [TagScale() for _ in range(self._tags)]
            if len(self._modes) >= MODES:
                del self._modes[next(iter(self._modes))]
        self._modes[mode] = scales  # last in the order: least likely to be forgotten
        return scales

    # --- state -----------------------------------------------------------------------------------------------------------

    def arrays(self) -> tuple[dict[str, Any], list[NDArray[np.float64]]]:
        """Fields and arrays of a snapshot: courses, then each mode's scales, one row per tag."""
        fields = {
            "modes": list(self._modes),
            "last_end_us": self._last_end_us,
            "last_mode": self._last_mode,
            "last_settled_s": self._last_settled_s,
        }
        courses = [(each.last, each.slope, each.trend, float(each.lagged)) for each in self._courses]
        scales = [np.array([scale.row() for scale in mode]) for mode in self._modes.values()]
        return fields, [np.array(courses), *scales]

    def set_arrays(self, fields: dict[str, Any], arrays: list[NDArray[np.float64]]) -> None:
        """Inverse of `arrays`; raises packing.StateError when they are of other tags."""
        shapes = {array.shape for array in arrays}
        if (
            not shapes <= {(self._tags, 4), (self._tags, len(TagScale().row()))}
            or len(arrays) != len(fields["modes"]) + 1
        ):
            msg = f"snapshot of a scaler of {self._tags} tags has arrays of {sorted(shapes)}"
            raise packing.StateError(msg)
        self._courses = [
            TagCourse(last, slope, trend, bool(lagged)) for last, slope, trend, lagged in arrays[0].tolist()
        ]
        scales = [[TagScale(*row) for row in array.tolist()] for array in arrays[1:]]
        self._modes = dict(zip(fields["modes"], scales, strict=True))
        self._last_end_us, self._last_mode = fields["last_end_us"], fields["last_mode"]
        self._last_settled_s = float(fields["last_settled_s"])


def _windows(features: Features) -> list[TagWindow]:
    columns = (features.count, features.mean, features.variance, features.trend)
    return [TagWindow(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _lasting(course: TagCourse, alone: float) -> float:
    """Weighted mean of spread deviations with this one: a small change that stays is a change."""
    return course.trend + _WEIGHT * (min(max(alone, -_LASTING_BOUND), _LASTING_BOUND) - course.trend)
