"""Verdicts: what is thought of every sample of a frame.

Enters a sorted frame, or a stretch of them, with the tables of its tags; leaves a verdict per sample. Never raises for bad data, and a bad
sample never costs its frame. Checks in order, the first that fails gives the verdict: unknown tag or gateway not
authorised, not finite, future, too old, not representable, out of range, rate of change, stuck; then the reasons to
accept with reserve: quality, clock, range. What the source itself does not call good is exempt from the checks of its
value (range, rate, stuck) and is no reference for them: it is carried, and left out of statistics.

A frame without any finding, the normal case, costs a handful of vector operations; only frames with one are judged
check by check.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.frame import ClockStatus
from schemas.quality import is_good
from schemas.verdicts import REJECT_FROM, Verdict
from stages.config import ValidationConfig
from stages.lane_table import TagView
from stages.memory import TagMemory
from stages.segments import Segments, segment_by

LATEST_US = 1 << 52
"""A gateway clock beyond the year 2112 is held to it, so that times stay inside what databases can store."""

Microseconds = int | NDArray[np.int64]
"""Of all samples, or of each."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Judgement:
    """Verdicts in sorted order, shape (n,). `accepted` and `good` are None when they hold for all samples."""

    verdict: NDArray[np.uint8]
    accepted: NDArray[np.bool_] | None
    good: NDArray[np.bool_] | None


def judge(
    segments: Segments, view: TagView, memory: TagMemory, config: ValidationConfig, clock_status: ClockStatus
) -> Judgement:
    """Verdicts of samples; updates `memory`, which belongs to their lane and stream."""
    with np.errstate(all="ignore"):  # infinities and NaN are findings here, not accidents
        return _judge(segments, view, memory, config, clock_status)


def _judge(
    segments: Segments, view: TagView, memory: TagMemory, config: ValidationConfig, clock_status: ClockStatus
) -> Judgement:
    reference_us = np.clip(segments.closed_us, 0, LATEST_US)
    newest_us = reference_us + round(config.future_skew_s * 1e6)
    oldest_us = np.maximum(reference_us - round(config.too_old_days * 86_400e6), 0)
    doubtful_clock = clock_status is ClockStatus.UNSYNCHRONISED
    if _clean(segments, view, newest_us, oldest_us):
        runs = (segments.starts, segments.counts, segments.present)
        changes = memory.judge(view, segments.entry, runs, segments.time_us, segments.value)
        otherwise = Verdict.DEGRADED_CLOCK if doubtful_clock else Verdict.GOOD
        if changes is None:
            return Judgement(verdict=np.full(segments.samples, otherwise, dtype=np.uint8), accepted=None, good=None)
        verdict = np.where(changes == 0, np.uint8(otherwise), changes)
        return Judgement(verdict=verdict, accepted=changes == 0, good=None)
    return _check_by_check(segments, view, memory, newest_us, oldest_us, doubtful_clock)


def _clean(segments: Segments, view: TagView, newest_us: Microseconds, oldest_us: Microseconds) -> bool:
    """Whether no check but rate and stuck can find anything. NaN fails its comparison, infinity the finite limits."""
    value, entry = segments.value, segments.entry
    if view.any_static or segments.quality.any():
        return False
    if segments.single and segments.present is None:
        low, high = view.tight_low, view.tight_high
    else:
        low, high = view.tight_low[entry], view.tight_high[entry]
    if not ((value >= low) & (value <= high)).all():
        return False
    if (segments.time_us > newest_us).any() or (segments.time_us < oldest_us).any():
        return False
    return not (view.any_whole and ((np.rint(value) != value) & view.whole[entry]).any())


def _check_by_check(
    segments: Segments,
    view: TagView,
    memory: TagMemory,
    newest_us: Microseconds,
    oldest_us: Microseconds,
    doubtful_clock: bool,
) -> Judgement:
    entry, value, time_us = segments.entry, segments.value, segments.time_us
    good = is_good(segments.quality)
    verdict = view.static[entry]

    def put(found: NDArray[np.bool_], reason: Verdict) -> None:
        verdict[found & (verdict == 0)] = reason

    valued = ~(np.isnan(value) & ~good)  # a source without a usable value sends NaN with its quality: that is carried
    put(~np.isfinite(value) & valued, Verdict.NOT_FINITE)
    put(time_us > newest_us, Verdict.FUTURE)
    put(time_us < oldest_us, Verdict.TOO_OLD)
    outside_type = (value < view.whole_low[entry]) | (value > view.whole_high[entry])
    put(view.whole[entry] & valued & (outside_type | (np.rint(value) != value)), Verdict.NOT_REPRESENTABLE)
    put(good & ((value < view.low[entry]) | (value > view.high[entry])), Verdict.OUT_OF_RANGE)
    candidates = np.flatnonzero(good & (verdict == 0))
    if len(candidates):
        chosen = entry[candidates]
        changes = memory.judge(
            view, chosen, segment_by(chosen, len(view.slots)), time_us[candidates], value[candidates]
        )
        if changes is not None:
            verdict[candidates] = changes
    put(~good, Verdict.DEGRADED_QUALITY)
    if doubtful_clock:
        put(np.ones_like(good), Verdict.DEGRADED_CLOCK)
    put((value < view.eu_low[entry]) | (value > view.eu_high[entry]), Verdict.DEGRADED_RANGE)
    accepted = verdict < REJECT_FROM
    return Judgement(verdict=verdict, accepted=None if accepted.all() else accepted, good=None if good.all() else good)
