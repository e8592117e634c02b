"""Adaptive scaling: windows of devices become deviations in standard deviations, per tag and kind of change.

Three views of each tag, because faults show in different ones: `level` (its mean against what is usual in this mode, and
against its normal range), `step` (its mean against where the last windows were heading) and `spread` (its variance
against what is usual, in this window or a little in several). All statistics are exponentially weighted over `memory_s`,
so normal drift is followed; they learn from clipped deviations, so a fault is not learned at once.

Statistics are kept per mode, at most `MODES` of them. After a change of mode nothing is scored for `settle_s`, and the
level of a tag not for `level_settle_s`, unless it has shown that it is soon back: temperatures take that long, and a
machine that warms up after a break is not broken. A deviation smaller than `resolution` of the tag's normal range is
never worth an alarm, so it is the floor of every scale.

`examine` looks at one window of each of many devices at once, which costs little more than one device does: some hundred
small numpy operations. It changes nothing: what learning will make of the window is in the answer, and `commit` puts it in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import packing
from stages.detection import tag_scale
from stages.detection.protocol import Features, Subject
from stages.detection.strength import strengths
from stages.detection.tag_scale import CLIP, TagWindows, Vector

MODES = 6
LAST, SLOPE, TREND, LAGGED = range(4)
"""Rows of a course, what is remembered of a tag from window to window: its last mean and where it is heading, the weighted mean of
its spread deviations, and whether it was not soon back at its level after the last change of mode."""
_PROMPT_S = 60.0
_WEIGHT = 0.3
_WEIGHT_SCALE = (_WEIGHT / (2.0 - _WEIGHT)) ** 0.5
"""Standard deviation of a weighted mean of independent deviations of 1."""
_LASTING_BOUND = 6.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Deviations:
    """Deviations in standard deviations, one per tag, shape (k,), 0 where nothing can be said.

    `grace` when the mode is not known well enough. `largest` is the largest absolute one of each tag, `peak` that of all
    tags, `part` what it scores; `seen` is the sample that was furthest out.
    """

    level: Vector
    step: Vector
    spread: Vector
    largest: Vector
    peak: float
    part: Vector
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
        self.tags = len(subject.tag_id)
        memory = max(memory_s / subject.window_s, 200.0)
        grace = max(grace_windows, int(grace_s / subject.window_s))
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
        if not changed or scales is None or not 2.0 * _PROMPT_S <= stayed_s < math.inf:
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
        if shapes != [(self.tags, 4), *[(self.tags, tag_scale.ROWS)] * len(fields["modes"])]:
            msg = f"snapshot of a scaler of {self.tags} tags has arrays of {sorted(set(shapes))}"
            raise packing.StateError(msg)
        self.courses, *scales = (np.ascontiguousarray(array.T) for array in arrays)
        self._modes = dict(zip(fields["modes"], scales, strict=True))
        self._last_end_us, self._last_mode = fields["last_end_us"], fields["last_mode"]
        self._last_settled_s = float(fields["last_settled_s"])


def examine(windows: Sequence[tuple[AdaptiveScaler, Features]]) -> list[Examined]:
    """Look at a window of each of several scalers, each once; changes nothing."""
    if not windows:
        return []
    with np.errstate(all="ignore"):  # NaN where there is no sample, and values near the end of the double range
        return _Examination(windows).results()


class _Examination:
    """Columns of all tags of all windows side by side, shape (n,)."""

    def __init__(self, windows: Sequence[tuple[AdaptiveScaler, Features]]) -> None:
        self._windows = windows
        sizes = [scaler.tags for scaler, _ in windows]
        bounds = np.cumsum([0, *sizes])
        self._starts, self._bounds = bounds[:-1], bounds.tolist()
        self._low, self._high, span, self._memory, self._grace, level_settle_s, resolution = _side_by_side(
            [scaler.rules for scaler, _ in windows]
        )
        each = [features for _, features in windows]
        self._tags = TagWindows(
            good=np.concatenate([features.count for features in each]),
            mean=np.concatenate([features.mean for features in each]),
            variance=np.concatenate([features.variance for features in each]),
            trend=np.concatenate([features.trend for features in each]),
        )
        self._good = self._tags.good > 0
        priors = self._priors = [scaler.prior(features) for scaler, features in windows]
        self._goes_on = np.repeat([one.goes_on for one in priors], sizes)
        self._settled_s = np.repeat([features.settled_s for features in each], sizes)
        self._courses = _side_by_side([one.courses for one in priors])
        self._scales = _side_by_side(
            [
                tag_scale.unseen(size) if one.scales is None else one.scales
                for one, size in zip(priors, sizes, strict=True)
            ]
        )
        self._floor = tag_scale.floors(self._scales, resolution, span)
        self._in_time = self._settled_s >= level_settle_s
        # A level can be compared long after a change of mode, or soon after it for a tag that is prompt.
        prompt = (self._scales[tag_scale.PROMPT] >= 1.0) & (self._settled_s >= _PROMPT_S)
        self._level_settled = self._in_time | prompt
        alone = tag_scale.spread_deviation(self._scales, self._tags, self._floor)
        self._alone = np.where(self._scales[tag_scale.SPREAD_N] >= self._grace, alone, 0.0)
        self._lasting = _lasting(self._courses[TREND], self._alone)

    def results(self) -> list[Examined]:
        """One for each window."""
        deviations = self._deviations()
        self._learn()
        found = []
        for place, ((_, features), prior) in enumerate(zip(self._windows, self._priors, strict=True)):
            here = slice(self._bounds[place], self._bounds[place + 1])
            # Right after a change of mode nothing is learned, and the course is what was left of it.
            courses = self._courses if prior.learns else self._courses_before
            found.append(
                Examined(
                    features=features,
                    deviations=deviations[place] if prior.known and prior.learns else _nothing(features),
                    courses=courses[:, here].copy(),
                    scales=self._scales[:, here].copy() if prior.learns else None,
                    left=prior.left,
                )
            )
        return found

    def _deviations(self) -> list[Deviations]:
        scales, tags, floor, grace, good = self._scales, self._tags, self._floor, self._grace, self._good
        heading = np.where(self._goes_on, self._courses[LAST] + self._courses[SLOPE], np.nan)
        known = good & (scales[tag_scale.LEVEL_N] >= grace) & self._level_settled
        level = np.where(known, tag_scale.level_deviation(scales, tags.mean, floor), 0.0)
        # Outside the range that the registry calls normal is a deviation at any time, also on the way somewhere.
        beyond = np.fmax(tags.mean - self._high, 0.0) + np.fmin(tags.mean - self._low, 0.0)
        outside = tag_scale.bounded(np.where(good, beyond / floor, 0.0))
        level = np.where(np.abs(outside) > np.abs(level), outside, level)
        stepped = good & (scales[tag_scale.STEP_N] >= grace)
        step = np.where(stepped, tag_scale.step_deviation(scales, tags.mean, heading, floor), 0.0)
        lasting = np.where(scales[tag_scale.SPREAD_N] >= grace, self._lasting / _WEIGHT_SCALE, 0.0)
        spread = np.where(np.abs(lasting) > np.abs(self._alone), lasting, self._alone)
        largest = np.maximum(np.maximum(np.abs(level), np.abs(step)), np.abs(spread))
        # People are shown the range of single samples, not of means: usual spread around where the tag was expected.
        centre = np.where(np.abs(step) > np.abs(level), heading, scales[tag_scale.LEVEL])
        spread_var = np.maximum(scales[tag_scale.SPREAD], 0.0) ** 3
        reach = 3.0 * np.sqrt(spread_var + scales[tag_scale.LEVEL_VAR] + floor * floor)
        low, high = centre - reach, centre + reach
        top = np.concatenate([features.high for _, features in self._windows])
        bottom = np.concatenate([features.low for _, features in self._windows])
        seen = np.where(top - high > low - bottom, top, bottom)
        part = strengths(largest)
        young = (scales[tag_scale.SPREAD_N] < grace) & (scales[tag_scale.LEVEL_N] < grace)
        peaks = np.maximum.reduceat(largest, self._starts).tolist()
        graces = np.logical_and.reduceat(young, self._starts).tolist()
        found = []
        for place, (peak, all_young) in enumerate(zip(peaks, graces, strict=True)):
            here = slice(self._bounds[place], self._bounds[place + 1])
            found.append(
                Deviations(
                    level=level[here],
                    step=step[here],
                    spread=spread[here],
                    largest=largest[here],
                    peak=peak,
                    part=part[here],
                    seen=seen[here],
                    expected_low=low[here],
                    expected_high=high[here],
                    grace=all_young,
                )
            )
        return found

    def _learn(self) -> None:
        scales, tags, floor, good = self._scales, self._tags, self._floor, self._good
        self._courses_before = self._courses
        courses = self._courses = self._courses.copy()
        tag_scale.see(scales, tags.mean, good)
        # Compared with the tag's own short-term noise: a temperature that is a little low is still on its way.
        away = np.abs(tags.mean - scales[tag_scale.LEVEL]) > CLIP * np.sqrt(scales[tag_scale.STEP_VAR])
        on_its_way = good & (self._settled_s >= _PROMPT_S) & ~self._in_time & away
        courses[LAGGED] = np.where(on_its_way, 1.0, courses[LAGGED])
        # A young mode learns its level from what there is; a known one only from windows that are scored.
        follows = good & ((scales[tag_scale.LEVEL_N] < self._grace) | self._level_settled)
        tag_scale.learn_level(scales, tags.mean, floor, self._memory, follows)
        tag_scale.learn_spread(scales, tags, self._memory, good)
        last, slope = self._courses_before[LAST], self._courses_before[SLOPE]
        heading = last + slope
        tag_scale.learn_step(scales, tags.mean - heading, floor, self._memory, good & ~np.isnan(heading))
        moved = tags.mean - last
        turned = slope + _WEIGHT * tag_scale.clipped(moved - slope, scales[tag_scale.STEP_VAR], floor)
        courses[SLOPE] = np.where(good, np.where(np.isnan(slope), moved, turned), np.nan)
        courses[LAST] = np.where(good, tags.mean, np.nan)
        courses[TREND] = self._lasting


def _side_by_side(tables: list[Vector]) -> Vector:
    return np.concatenate(tables, axis=1)


def _no_course(tags: int) -> Vector:
    courses = np.zeros((4, tags))
    courses[LAST] = courses[SLOPE] = np.nan
    return courses


def _nothing(features: Features) -> Deviations:
    """Of a mode that is not known, or has only just begun."""
    zeros, unknown = np.zeros(len(features.low)), np.full(len(features.low), np.nan)
    return Deviations(
        level=zeros,
        step=zeros,
        spread=zeros,
        largest=zeros,
        peak=0.0,
        part=zeros,
        seen=features.low,
        expected_low=unknown,
        expected_high=unknown,
        grace=True,
    )


def _lasting(trend: Vector, alone: Vector) -> Vector:
    """Weighted means of spread deviations with these: a small change that stays is a change."""
    return trend + _WEIGHT * (np.minimum(np.maximum(alone, -_LASTING_BOUND), _LASTING_BOUND) - trend)
