"""Adaptive scaling: windows of a device become deviations in standard deviations, per tag and kind of change.

Three views of each tag, because faults show in different ones: `level` (its mean against what is usual in this mode),
`step` (its mean against where the last windows were heading) and `spread` (its variance against what is usual). All
statistics are exponentially weighted over `memory_s`, so normal drift is followed; they learn from deviations clipped
at `CLIP` standard deviations, so a fault is not learned at once.

Statistics are kept per mode, at most `MODES` of them. After a change of mode nothing is scored for `settle_s`, and the
level not for `level_settle_s`: temperatures take that long, and a machine that warms up after a break is not broken. A
deviation smaller than `resolution` of the tag's normal range is never worth an alarm, so it is the floor of every
scale. Cost: about 60 µs a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages import packing
from stages.detection.protocol import Features, Subject, Vector

MODES = 6
CLIP = 4.0
LARGEST = 1e9
LAYOUT = 1
_LEVEL_N, _LEVEL, _LEVEL_VAR, _SPREAD_N, _SPREAD, _SPREAD_VAR, _STEP_N, _STEP_VAR, _SEEN_LOW, _SEEN_HIGH, _PROMPT = (
    range(11)
)
"""Rows of a mode's statistics.

`_PROMPT`: stays in this mode in a row after which the tag was back at its level soon.
"""
_ROWS = 11
_LAST, _SLOPE, _TREND, _LAGGED = range(4)
"""Rows of what is remembered between windows; `_TREND` is the weighted mean of spread deviations, `_LAGGED` 1 where the
tag was not back at its level soon after the last change of mode."""
_FEW = 4
"""Fewer samples than this say nothing about spread."""
_PROMPT_S = 60.0
_WEIGHT = 0.3
_WEIGHT_SCALE = (_WEIGHT / (2.0 - _WEIGHT)) ** 0.5
"""Standard deviation of a weighted mean of independent deviations of 1."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Deviations:
    """Deviations in standard deviations, shape (k,), 0 where nothing can be said.

    `grace` when the mode is not known well enough.
    """

    level: Vector
    step: Vector
    spread: Vector
    expected_low: Vector
    expected_high: Vector
    grace: bool

    @property
    def largest(self) -> Vector:
        """Largest absolute deviation of each tag, shape (k,)."""
        return np.maximum(np.maximum(np.abs(self.level), np.abs(self.step)), np.abs(self.spread))


class AdaptiveScaler:
    """Scaler of one device.

    `_modes` maps a mode to its statistics, shape (11, k); the least recently seen is forgotten.
    """

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
        self._span = subject.normal_high - subject.normal_low
        self._memory = max(memory_s / subject.window_s, 200.0)
        self._grace = max(grace_windows, int(grace_s / subject.window_s))
        self._settle_s, self._level_settle_s = settle_s, level_settle_s
        self._resolution = resolution
        self._modes: dict[str, NDArray[np.float64]] = {}
        self._memory_rows = self._forgotten()
        self._last_end_us = 0
        self._last_mode = ""
        self._last_settled_s = float("inf")
        self._alone: tuple[Features, Vector] | None = None

    def measure(self, features: Features) -> Deviations:
        """Deviations of a window; changes nothing."""
        k = len(self.subject.tag_id)
        stats = self._modes.get(features.mode)
        if stats is None or features.settled_s < self._settle_s:
            nothing = np.zeros(k)
            unknown = np.full(k, np.nan)
            return Deviations(
                level=nothing, step=nothing, spread=nothing, expected_low=unknown, expected_high=unknown, grace=True
            )
        floor = self._floor(stats)
        level_scale = np.sqrt(stats[_LEVEL_VAR] + floor * floor)
        level = (features.mean - stats[_LEVEL]) / level_scale
        level = _said(level, (stats[_LEVEL_N] >= self._grace) & self._settled(features, stats))
        # Outside the range that the registry calls normal is a deviation at any time, also on the way somewhere.
        outside = np.fmax(features.mean - self.subject.normal_high, 0.0)
        outside += np.fmin(features.mean - self.subject.normal_low, 0.0)
        outside = _said(outside / floor, features.count > 0)
        level = np.where(np.abs(outside) > np.abs(level), outside, level)
        heading = self._heading(features)
        step = (features.mean - heading) / np.sqrt(stats[_STEP_VAR] + floor * floor)
        step = _said(step, stats[_STEP_N] >= self._grace)
        alone = self._spread(features, stats, floor)
        self._alone = features, alone
        lasting = self._lasting(features, alone) / _WEIGHT_SCALE
        spread = np.where(np.abs(lasting) > np.abs(alone), lasting, alone)
        # People are shown the range of single samples, not of means: usual spread around where the tag was expected.
        centre = np.where(np.abs(step) > np.abs(level), heading, stats[_LEVEL])
        centre = np.where(np.isnan(centre), stats[_LEVEL], centre)
        reach = 3.0 * np.sqrt(np.maximum(stats[_SPREAD], 0.0) ** 3 + stats[_LEVEL_VAR] + floor * floor)
        return Deviations(
            level=level,
            step=step,
            spread=spread,
            expected_low=centre - reach,
            expected_high=centre + reach,
            grace=not (stats[_SPREAD_N] >= self._grace).any() and not (stats[_LEVEL_N] >= self._grace).any(),
        )

    def learn(self, features: Features) -> None:
        """Take a window in."""
        heading = self._heading(features)
        rows = self._memory_rows if self._goes_on(features) else self._leave(features)
        if features.settled_s >= self._settle_s:
            stats = self._stats(features.mode)
            known = features.count > 0
            floor = self._floor(stats)
            np.fmin(stats[_SEEN_LOW], features.mean, out=stats[_SEEN_LOW])
            np.fmax(stats[_SEEN_HIGH], features.mean, out=stats[_SEEN_HIGH])
            measured = self._alone is not None and self._alone[0] is features
            alone = self._alone[1] if measured and self._alone else self._spread(features, stats, floor)
            rows[_TREND] = self._lasting(features, alone)
            settled = self._settled(features, stats)
            if _PROMPT_S <= features.settled_s < self._level_settle_s:
                # Judged by the tag's own short-term noise: a temperature that is a little low is still on its way.
                off = np.abs(features.mean - stats[_LEVEL]) > CLIP * np.sqrt(stats[_STEP_VAR])
                rows[_LAGGED] = np.maximum(rows[_LAGGED], off)
            # A young mode learns its level from what there is; a known one only from windows that are scored.
            wanted = known & (settled | (stats[_LEVEL_N] < self._grace))
            self._follow(stats, _LEVEL_N, _LEVEL, _LEVEL_VAR, features.mean, wanted, floor)
            root, usable = self._usable_root(features, stats)
            self._follow(stats, _SPREAD_N, _SPREAD, _SPREAD_VAR, root, usable, 0.02 * stats[_SPREAD])
            stepped = known & ~np.isnan(heading)
            self._follow(stats, _STEP_N, None, _STEP_VAR, features.mean - heading, stepped, floor)
            moved = features.mean - rows[_LAST]
            reach = CLIP * np.sqrt(stats[_STEP_VAR] + floor * floor)
            turned = rows[_SLOPE] + _WEIGHT * np.minimum(np.maximum(moved - rows[_SLOPE], -reach), reach)
            rows[_SLOPE] = np.where(np.isnan(rows[_SLOPE]), moved, turned)
            rows[_LAST] = features.mean
        self._memory_rows = rows
        self._last_end_us, self._last_mode, self._last_settled_s = features.end_us, features.mode, features.settled_s

    def _goes_on(self, features: Features) -> bool:
        """Whether the window follows on the last one: same mode, no change in between, no gap."""
        adjacent = 0 <= features.start_us - self._last_end_us <= self.subject.window_s * 1_500_000
        return adjacent and features.mode == self._last_mode and features.settled_s >= self._last_settled_s

    def _leave(self, features: Features) -> NDArray[np.float64]:
        """End of a stay in a mode, if it is one: notes which tags had come back to their level soon."""
        stayed_s = self._last_settled_s
        changed = features.mode != self._last_mode or features.settled_s < stayed_s
        stats = self._modes.get(self._last_mode)
        if changed and stats is not None and 2.0 * _PROMPT_S <= stayed_s < float("inf"):
            stats[_PROMPT] = np.where(self._memory_rows[_LAGGED] > 0.0, 0.0, stats[_PROMPT] + 1.0)
        rows = self._forgotten()
        if not changed:
            rows[_LAGGED] = self._memory_rows[_LAGGED]
        return rows

    def _forgotten(self) -> NDArray[np.float64]:
        rows = np.full((4, len(self.subject.tag_id)), np.nan)
        rows[[_TREND, _LAGGED]] = 0.0
        return rows

    def _settled(self, features: Features, stats: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tags whose level can be judged: long after a change of mode all, soon after it those that follow promptly."""
        if features.settled_s >= self._level_settle_s:
            return np.ones(len(stats[_PROMPT]), dtype=np.bool_)
        prompt: NDArray[np.bool_] = (stats[_PROMPT] >= 1.0) & (features.settled_s >= _PROMPT_S)
        return prompt

    def _lasting(self, features: Features, alone: Vector) -> Vector:
        """Weighted mean of spread deviations with this one: a small change that stays is a change."""
        before = self._memory_rows[_TREND] if self._goes_on(features) else np.zeros(len(alone))
        lasting: Vector = before + _WEIGHT * (np.minimum(np.maximum(alone, -6.0), 6.0) - before)
        return lasting

    def _spread(self, features: Features, stats: NDArray[np.float64], floor: Vector) -> Vector:
        """Deviation of the variance about the window's trend.

        The trend is known from two noisy samples, so the variance about it lies somewhere in an interval; what counts
        is how far the usual one is outside.
        """
        trend = _trend_variance(features)
        usual = stats[_SPREAD] ** 3
        doubt = 3.0 * np.sqrt(2.0 * usual * trend / 3.0)
        most = np.cbrt(features.variance)
        least = np.cbrt(np.maximum(features.variance - trend - doubt, 0.0))
        outside = np.where(least > stats[_SPREAD], least - stats[_SPREAD], np.minimum(most - stats[_SPREAD], 0.0))
        # More spread has to be visible in the tag's range; less is judged against what was usual alone.
        small = np.where(outside > 0.0, np.cbrt((0.1 * floor) ** 2), 0.0) + 0.02 * stats[_SPREAD] + 1e-12
        spread = outside / np.sqrt(stats[_SPREAD_VAR] + small * small)
        return _said(spread, (stats[_SPREAD_N] >= self._grace) & (features.count >= _FEW))

    def _usable_root(self, features: Features, stats: NDArray[np.float64]) -> tuple[Vector, NDArray[np.bool_]]:
        """Cube root of the variance about the trend, and where it is worth learning: where the trend does not rule it.

        The cube root is nearly normal whatever the number of samples (Wilson and Hilferty, 1931).
        """
        trend = _trend_variance(features)
        root = np.cbrt(np.maximum(features.variance - trend, 0.0))
        calm = trend <= np.maximum(stats[_SPREAD] ** 3, 0.5 * features.variance)
        return root, (features.count >= _FEW) & (calm | (stats[_SPREAD_N] == 0))

    def _heading(self, features: Features) -> Vector:
        """Where the last windows were heading, NaN after a gap or a change of mode, or before there were two."""
        if not self._goes_on(features) or features.settled_s < self._settle_s:
            return np.full(len(self.subject.tag_id), np.nan)
        heading: Vector = self._memory_rows[_LAST] + self._memory_rows[_SLOPE]
        return heading

    def _stats(self, mode: str) -> NDArray[np.float64]:
        stats = self._modes.pop(mode, None)
        if stats is None:
            stats = np.zeros((_ROWS, len(self.subject.tag_id)))
            stats[[_SEEN_LOW, _SEEN_HIGH]] = np.nan
            if len(self._modes) >= MODES:
                del self._modes[next(iter(self._modes))]
        self._modes[mode] = stats  # last in the order: least likely to be forgotten
        return stats

    def _follow(
        self,
        stats: NDArray[np.float64],
        n_row: int,
        mean_row: int | None,
        var_row: int,
        value: Vector,
        known: NDArray[np.bool_],
        floor: Vector,
    ) -> None:
        """Exponentially weighted mean and variance of the known values, clipped once enough have been seen."""
        count, var = stats[n_row], stats[var_row]
        centre = np.zeros_like(value) if mean_row is None else stats[mean_row]
        reach = CLIP * np.sqrt(var + floor * floor)
        off = value - centre
        # The very first windows have nothing to be clipped against.
        off = np.where(count >= _FEW, np.minimum(np.maximum(off, -reach), reach), off)
        weight = 1.0 / np.minimum(count + 1.0, self._memory)
        if mean_row is None:
            moved = var + weight * (off * off - var)
        else:
            moved = (1.0 - weight) * (var + weight * off * off)
            stats[mean_row] = np.where(known, centre + weight * off, centre)
        stats[var_row] = np.where(known, moved, var)
        count[known] += 1.0

    def _floor(self, stats: NDArray[np.float64]) -> Vector:
        """Smallest deviation of a mean that matters, in the tag's unit."""
        seen = stats[_SEEN_HIGH] - stats[_SEEN_LOW]
        span = np.where(np.isnan(self._span), np.where(np.isnan(seen), 0.0, seen), self._span)
        floor: Vector = self._resolution * span + 1e-9 * np.abs(stats[_LEVEL]) + 1e-12
        return floor

    # --- state -----------------------------------------------------------------------------------------------------------

    def arrays(self) -> tuple[dict[str, object], list[NDArray[np.float64]]]:
        """Fields and arrays of a snapshot."""
        fields = {
            "modes": list(self._modes),
            "last_end_us": self._last_end_us,
            "last_mode": self._last_mode,
            "last_settled_s": self._last_settled_s,
        }
        return fields, [self._memory_rows, *self._modes.values()]

    def set_arrays(self, fields: dict[str, object], arrays: list[NDArray[np.float64]]) -> None:
        """Inverse of `arrays`; raises packing.StateError when they are of other tags."""
        names = fields["modes"]
        assert isinstance(names, list)
        shapes = {array.shape for array in arrays}
        k = len(self.subject.tag_id)
        if not shapes <= {(4, k), (_ROWS, k)} or len(arrays) != len(names) + 1:
            msg = f"snapshot of a scaler of {k} tags has arrays of {sorted(shapes)}"
            raise packing.StateError(msg)
        self._memory_rows = arrays[0]
        self._modes = dict(zip(names, arrays[1:], strict=True))
        self._last_end_us = int(str(fields["last_end_us"]))
        self._last_mode = str(fields["last_mode"])
        self._last_settled_s = float(str(fields["last_settled_s"]))


def _said(deviation: Vector, known: NDArray[np.bool_]) -> Vector:
    """Deviations in bounds, 0 where nothing is known."""
    bounded: Vector = np.minimum(np.maximum(deviation, -LARGEST), LARGEST)
    bounded[~(known & (bounded == bounded))] = 0.0  # noqa: PLR0124  # NaN
    return bounded


def _trend_variance(features: Features) -> Vector:
    """Variance that a straight line through the window's first and last sample has by itself."""
    share = (features.count + 1.0) / (12.0 * np.maximum(features.count - 1.0, 1.0))
    found: Vector = features.trend * features.trend * share
    return found
