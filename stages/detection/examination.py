"""Looks at one window of each of many devices at once: some hundred small numpy operations, whatever the number of devices.

It changes nothing: what learning will make of a window is in the answer, and `AdaptiveScaler.commit` puts it in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stages.detection import reach, tag_scale, trailing
from stages.detection.deviations import Deviations, Examined
from stages.detection.protocol import CALM, LEVEL, RESTLESS, SHIFT, SPREAD, STEP, Features
from stages.detection.scaling import (
    BEEN,
    LAGGED,
    LAST,
    MOVING,
    OLD,
    OLDER,
    PEAK,
    PROMPT_S,
    SLOPE,
    TREND,
    AdaptiveScaler,
)
from stages.detection.strength import strengths
from stages.detection.tag_scale import CLIP, Mask, TagWindows, Vector

_WEIGHT = 0.3
_WEIGHT_SCALE = (_WEIGHT / (2.0 - _WEIGHT)) ** 0.5
"""Standard deviation of a weighted mean of independent deviations of 1."""
_LASTING_BOUND = 6.0
_MEANS_REACH = 2.4
"""Standard deviations of means within which one is expected: a tag contributes from 2.5 on."""


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
        prompt = (self._scales[tag_scale.PROMPT] >= 1.0) & (self._settled_s >= PROMPT_S)
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
        ruled = np.abs(outside) > np.abs(level)
        level = np.where(ruled, outside, level)
        stepped = good & (scales[tag_scale.STEP_N] >= grace)
        step = np.where(stepped, tag_scale.step_deviation(scales, tags.mean, heading, floor), 0.0)
        lasting = np.where(scales[tag_scale.SPREAD_N] >= grace, self._lasting / _WEIGHT_SCALE, 0.0)
        spread = np.where(np.abs(lasting) > np.abs(self._alone), lasting, self._alone)
        means = np.maximum(np.abs(level), np.abs(step))
        of_window = np.maximum(means, np.abs(spread))
        self._strange = of_window > scales[tag_scale.REACH]
        moves, shift = self._trail(known)
        together = np.maximum(np.abs(moves), np.abs(shift))
        largest = np.maximum(of_window, together)
        self._excursion, self._over = reach.excursion(scales, self._courses[PEAK], largest)
        usual = reach.usual(scales)
        # People are shown the range of single samples, not of means: usual spread around where the tag was expected.
        centre = np.where(np.abs(step) > np.abs(level), heading, scales[tag_scale.LEVEL])
        spread_var = np.maximum(scales[tag_scale.SPREAD], 0.0) ** 3
        wide = 3.0 * usual * np.sqrt(spread_var + scales[tag_scale.LEVEL_VAR] + floor * floor)
        low, high = centre - wide, centre + wide
        top = np.concatenate([features.high for _, features in self._windows])
        bottom = np.concatenate([features.low for _, features in self._windows])
        seen = np.where(top - high > low - bottom, top, bottom)
        statistic = np.where(np.abs(spread) > means, SPREAD, np.where(np.abs(step) > np.abs(level), STEP, LEVEL))
        of_several = np.where(np.abs(shift) > np.abs(moves), SHIFT, np.where(moves > 0.0, RESTLESS, CALM))
        statistic = np.where(together > of_window, of_several, statistic)
        # A mean can be far out while its samples are not: then it is shown with the range of means, or the normal range that it left.
        of_means = (statistic == LEVEL) | (statistic == STEP)
        inside = of_means & (means >= _MEANS_REACH * usual) & (seen >= low) & (seen <= high)
        mean_var = np.where(statistic == STEP, scales[tag_scale.STEP_VAR], scales[tag_scale.LEVEL_VAR])
        mean_reach = _MEANS_REACH * usual * np.sqrt(mean_var + floor * floor)
        ruled &= statistic == LEVEL
        seen = np.where(inside, tags.mean, seen)
        low = np.where(inside, np.where(ruled, self._low, centre - mean_reach), low)
        high = np.where(inside, np.where(ruled, self._high, centre + mean_reach), high)
        # A shift is one of the mean of some windows, and is shown with the range of those.
        shifted = statistic == SHIFT
        been, wide = scales[tag_scale.MEANS], _MEANS_REACH * usual * trailing.usual_of_means(scales, floor)
        seen = np.where(shifted, self._shifted.value, seen)
        low, high = np.where(shifted, been - wide, low), np.where(shifted, been + wide, high)
        largest = largest / usual
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
                    statistic=statistic[here],
                    seen=seen[here],
                    expected_low=low[here],
                    expected_high=high[here],
                    grace=all_young,
                )
            )
        return found

    def _trail(self, known: Mask) -> tuple[Vector, Vector]:
        """Deviations of movement and of where the tag has been; what a window says by itself is counted in neither."""
        scales, courses, floor, mean = self._scales, self._courses, self._floor, self._tags.mean
        moved = np.where(self._good & self._level_settled & ~self._strange, np.abs(mean - courses[OLDER]), np.nan)
        self._moving = trailing.movement(scales, courses[MOVING], moved, floor)
        self._shifted = trailing.shift(scales, courses[BEEN], mean, floor, known & ~self._strange)
        seen = 2.0 * self._grace
        return (
            np.where(self._moving.counts & (scales[tag_scale.MOVES_N] >= seen), self._moving.deviation, 0.0),
            np.where(self._shifted.counts & (scales[tag_scale.MEANS_N] >= seen), self._shifted.deviation, 0.0),
        )

    def _learn(self) -> None:
        scales, tags, floor, good = self._scales, self._tags, self._floor, self._good
        self._courses_before = self._courses
        courses = self._courses = self._courses.copy()
        tag_scale.see(scales, tags.mean, good)
        # Compared with the tag's own short-term noise: a temperature that is a little low is still on its way.
        away = np.abs(tags.mean - scales[tag_scale.LEVEL]) > CLIP * np.sqrt(scales[tag_scale.STEP_VAR])
        on_its_way = good & (self._settled_s >= PROMPT_S) & ~self._in_time & away
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
        courses[OLDER] = courses[OLD]
        courses[OLD] = np.where(good & ~self._strange, tags.mean, np.nan)
        courses[TREND] = self._lasting
        reach.learn(scales, self._over, good)
        courses[PEAK] = np.where(good, self._excursion, courses[PEAK])
        trailing.learn(scales, self._moving, self._shifted, floor, self._memory)
        courses[MOVING], courses[BEEN] = self._moving.rows, self._shifted.rows


def _side_by_side(tables: list[Vector]) -> Vector:
    return np.concatenate(tables, axis=1)


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
        statistic=np.full(len(features.low), LEVEL),
        seen=features.low,
        expected_low=unknown,
        expected_high=unknown,
        grace=True,
    )


def _lasting(trend: Vector, alone: Vector) -> Vector:
    """Weighted means of spread deviations with these: a small change that stays is a change."""
    return trend + _WEIGHT * (np.minimum(np.maximum(alone, -_LASTING_BOUND), _LASTING_BOUND) - trend)
