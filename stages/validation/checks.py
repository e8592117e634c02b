"""Validation: a verdict for every sample of a frame.

Enters: a sorted frame or micro-batch, with the tables of its tags. Leaves: a verdict per sample. Bad data never raises,
and a bad sample never costs its frame. Checks in order, the first that fails gives the verdict: unknown tag or gateway not
authorised, not finite, future, too old, not representable, out of range, rate of change, stuck; then the reasons to
accept with reserve: quality, clock, range. What the source itself does not call good is exempt from the checks of its
value (range, rate, stuck) and is no reference for them: it is carried, and left out of statistics.

A frame without any finding, the normal case, costs a handful of vector operations; only samples with one go through
the checks one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.frame import ClockStatus
from schemas.quality import is_good
from schemas.verdicts import REJECT_FROM, Verdict
from stages.config import ValidationConfig
from stages.intake.lane_table import TagView
from stages.intake.segments import Segments, segment_by
from stages.validation.tag_history import TagHistory

LATEST_US = 1 << 52
"""A gateway clock beyond the year 2112 is held to it, so that times stay inside what databases can store."""

Microseconds = int | NDArray[np.int64]
"""Of all samples, or of each."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Verdicts:
    """Verdicts in sorted order, shape (n,). `accepted` and `good` are None when they hold for all samples."""

    verdict: NDArray[np.uint8]
    accepted: NDArray[np.bool_] | None
    good: NDArray[np.bool_] | None


def validate(
    segments: Segments, view: TagView, history: TagHistory, config: ValidationConfig, clock_status: ClockStatus
) -> Verdicts:
    """Verdicts of samples; updates `history`, which belongs to their lane and stream."""
    with np.errstate(all="ignore"):  # infinities and NaN are findings here, not accidents
        return _validate(segments, view, history, config, clock_status)


def _validate(
    segments: Segments, view: TagView, history: TagHistory, config: ValidationConfig, clock_status: ClockStatus
) -> Verdicts:
    reference_us = np.clip(segments.closed_us, 0, LATEST_US)
    newest_us = reference_us + round(config.future_skew_s * 1e6)
    oldest_us = np.maximum(reference_us - round(config.too_old_days * 86_400e6), 0)
    otherwise = Verdict.DEGRADED_CLOCK if clock_status is ClockStatus.UNSYNCHRONISED else Verdict.GOOD
    fine = _fine(segments, view, newest_us, oldest_us)
    if fine.all():
        runs = (segments.starts, segments.counts, segments.present)
        changes = history.check(view, segments.entry, runs, segments.time_us, segments.value)
        if changes is None:
            return Verdicts(verdict=np.full(segments.samples, otherwise, dtype=np.uint8), accepted=None, good=None)
        verdict = np.where(changes == 0, np.uint8(otherwise), changes)
        return Verdicts(verdict=verdict, accepted=changes == 0, good=None)
    findings = _Findings(segments, view, np.flatnonzero(~fine), newest_us, oldest_us)
    return findings.verdicts(history, otherwise)


def _fine(segments: Segments, view: TagView, newest_us: Microseconds, oldest_us: Microseconds) -> NDArray[np.bool_]:
    """Samples, shape (n,), in which no check but rate and stuck can find anything. NaN fails its comparison, infinity the finite limits."""
    value, entry = segments.value, segments.entry
    if segments.single and segments.present is None:
        low, high = view.tight_low, view.tight_high
    else:
        low, high = view.tight_low[entry], view.tight_high[entry]
    fine: NDArray[np.bool_] = (value >= low) & (value <= high)
    fine &= (segments.time_us <= newest_us) & (segments.time_us >= oldest_us)
    if segments.quality.any():
        fine &= segments.quality == 0
    if view.any_static:
        fine &= view.static[entry] == 0
    if view.any_whole:
        fine &= (np.rint(value) == value) | ~view.whole[entry]
    return fine


class _Findings:
    """The checks one by one, of the samples `at`, shape (k,), alone: among ten thousand there may be one."""

    def __init__(
        self,
        segments: Segments,
        view: TagView,
        at: NDArray[np.intp],
        newest_us: Microseconds,
        oldest_us: Microseconds,
    ) -> None:
        self._segments, self._view, self._at = segments, view, at
        self._entry, self._value, self._time_us = segments.entry[at], segments.value[at], segments.time_us[at]
        self._newest_us, self._oldest_us = _of(newest_us, at), _of(oldest_us, at)
        self._good = is_good(segments.quality[at])

    def verdicts(self, history: TagHistory, otherwise: Verdict) -> Verdicts:
        """Verdicts of all samples; what has no finding gets `otherwise`."""
        verdict = np.zeros(self._segments.samples, dtype=np.uint8)
        verdict[self._at] = self._refused()
        good: NDArray[np.bool_] | None = None
        candidates = verdict == 0
        if not self._good.all():
            good = np.ones(self._segments.samples, dtype=np.bool_)
            good[self._at] = self._good
            candidates &= good
        self._check_history(history, verdict, np.flatnonzero(candidates))
        verdict[self._at] = self._put(verdict[self._at], ~self._good, Verdict.DEGRADED_QUALITY)
        verdict[verdict == 0] = otherwise
        if otherwise is Verdict.GOOD:
            entry, value = self._entry, self._value
            unusual = (value < self._view.eu_low[entry]) | (value > self._view.eu_high[entry])
            verdict[self._at] = self._put(verdict[self._at], unusual, Verdict.DEGRADED_RANGE)
        accepted = verdict < REJECT_FROM
        return Verdicts(verdict=verdict, accepted=None if accepted.all() else accepted, good=good)

    def _refused(self) -> NDArray[np.uint8]:
        """Reject reasons that do not depend on other samples, shape (k,)."""
        view, entry, value, time_us, good = self._view, self._entry, self._value, self._time_us, self._good
        verdict: NDArray[np.uint8] = view.static[entry]
        # A source without a usable value sends NaN with its quality: that is carried.
        valued = ~(np.isnan(value) & ~good)
        outside_type = (value < view.whole_low[entry]) | (value > view.whole_high[entry])
        outside = (value < view.low[entry]) | (value > view.high[entry])
        for found, reason in (
            (~np.isfinite(value) & valued, Verdict.NOT_FINITE),
            (time_us > self._newest_us, Verdict.FUTURE),
            (time_us < self._oldest_us, Verdict.TOO_OLD),
            (view.whole[entry] & valued & (outside_type | (np.rint(value) != value)), Verdict.NOT_REPRESENTABLE),
            (good & outside, Verdict.OUT_OF_RANGE),
        ):
            verdict = self._put(verdict, found, reason)
        return verdict

    def _check_history(self, history: TagHistory, verdict: NDArray[np.uint8], chosen: NDArray[np.intp]) -> None:
        """Rate and stuck of the chosen samples, of all those that are not refused otherwise and good."""
        if not len(chosen):
            return
        segments = self._segments
        entry = segments.entry[chosen]
        runs = segment_by(entry, len(self._view.slots))
        changes = history.check(self._view, entry, runs, segments.time_us[chosen], segments.value[chosen])
        if changes is not None:
            verdict[chosen] = changes

    @staticmethod
    def _put(verdict: NDArray[np.uint8], found: NDArray[np.bool_], reason: Verdict) -> NDArray[np.uint8]:
        """The first finding stays."""
        added: NDArray[np.uint8] = np.where(found & (verdict == 0), np.uint8(reason), verdict)
        return added


def _of(bound_us: Microseconds, at: NDArray[np.intp]) -> Microseconds:
    return bound_us if np.ndim(bound_us) == 0 else np.asarray(bound_us)[at]
