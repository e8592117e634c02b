"""Readings as machines send them -> columns as frames carry them.

Enters: `connectors.readings.Readings` of tags of this gateway. Leaves: numpy columns; what no column can carry leaves as
text values (STRING events) or as refusals by name (REFUSED events), never silently. Who calls: `edge.pipeline`, once per
frame, so the cost is numpy's: 4,000 readings take about 0.4 ms while all are numbers.

Booleans become 0 and 1. Integers that a float64 cannot hold exactly are refused. A reading without a value (bad quality,
null) is carried as NaN with its quality, which is bad when the machine calls it good or uncertain: one rule for all
protocols. Whether a value suits its tag's type is for validation to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from connectors.readings import Readings, Unusable, Value
from schemas.column import EXACT_INTEGERS
from schemas.definitions import TagDefinition
from schemas.quality import BAD, SEVERITY_MASK
from stages.thinning.deadband import Batch

MAX_TIME_US = 253_402_300_799_999_999
"""The last microsecond of the year 9999; keeps differences of times within 64 bits."""
_NUMBERS = frozenset({float, bool, int})


class TagTable:
    """The gateway's tags at one registry version, as arrays. A tag's slot is its position."""

    def __init__(self, version: int, tags: Iterable[TagDefinition]) -> None:
        chosen = sorted(tags, key=lambda tag: tag.tag_id)
        self.version = version
        self.tags = chosen
        self.by_id = {tag.tag_id: tag for tag in chosen}
        self.tag_id = np.array([tag.tag_id for tag in chosen], dtype=np.int32)
        self.lane = np.array([tag.lane for tag in chosen], dtype=np.int16)
        self.band = np.array([tag.band for tag in chosen], dtype=np.float64)

    def slots(self, tag_id: NDArray[np.int32]) -> NDArray[np.intp]:
        """Slot of each tag, -1 for tags that are not the gateway's."""
        if not len(self.tag_id):
            return np.full(len(tag_id), -1, dtype=np.intp)
        slot = np.minimum(np.searchsorted(self.tag_id, tag_id), len(self.tag_id) - 1)
        return np.where(self.tag_id[slot] == tag_id, slot, -1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A reading that cannot be carried."""

    tag_id: int
    time_us: int
    reason: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TextValue:
    """A reading that is a text."""

    tag_id: int
    time_us: int
    value: str
    quality: int


@dataclass(slots=True)
class Normalised:
    """Columns, and what did not fit into them."""

    batch: Batch
    refusals: list[Refusal] = field(default_factory=list)
    texts: list[TextValue] = field(default_factory=list)


def normalise(readings: Readings, table: TagTable) -> Normalised:
    """Columns of the readings, in their order."""
    value, odd = _numbers(readings.value)
    slot = table.slots(np.array(readings.tag_id, dtype=np.int32))
    time_us = _times(readings.time_us)
    quality = np.array(readings.quality, dtype=np.uint16)
    if None in readings.value:
        absent = np.array([one is None for one in readings.value])
        quality[absent & ((quality & SEVERITY_MASK) != BAD)] = BAD
    result = Normalised(Batch(slot, time_us, value, quality))
    misplaced = np.flatnonzero((slot < 0) | (time_us < 0) | (time_us > MAX_TIME_US)).tolist()
    if not odd and not misplaced:
        return result
    keep = np.ones(len(value), dtype=np.bool_)
    for at in sorted({*odd, *misplaced}):
        keep[at] = False
        _explain(result, readings, at, foreign=bool(slot[at] < 0))
    result.batch = result.batch.select(keep)
    return result


def _times(time_us: list[int]) -> NDArray[np.int64]:
    try:
        return np.array(time_us, dtype=np.int64)
    except OverflowError:
        return np.array([time if 0 <= time <= MAX_TIME_US else -1 for time in time_us], dtype=np.int64)


def _explain(result: Normalised, readings: Readings, at: int, *, foreign: bool) -> None:
    tag_id, time_us, raw = readings.tag_id[at], readings.time_us[at], readings.value[at]
    if foreign:
        reason = "not a tag of this gateway"
    elif not 0 <= time_us <= MAX_TIME_US:
        reason, time_us = f"a source time of {time_us} µs, outside 1970 to 9999", 0
    elif isinstance(raw, str):
        result.texts.append(TextValue(tag_id=tag_id, time_us=time_us, value=raw, quality=readings.quality[at]))
        return
    elif isinstance(raw, Unusable):
        result.refusals.append(Refusal(tag_id=tag_id, time_us=time_us, reason=raw.reason, value=raw.shown[:200]))
        return
    elif isinstance(raw, int):
        reason = "an integer that float64 cannot hold exactly"
    else:
        reason = f"a value of type {type(raw).__name__}"
    result.refusals.append(Refusal(tag_id=tag_id, time_us=time_us, reason=reason, value=repr(raw)[:200]))


def _numbers(values: list[Value]) -> tuple[NDArray[np.float64], list[int]]:
    """Values as float64, and the positions that are no number or would change; those are NaN."""
    kinds = set(map(type, values))
    if kinds <= _NUMBERS:
        try:
            numbers = np.array(values, dtype=np.float64)
        except OverflowError:  # an integer beyond 1e308
            return _one_by_one(values)
        if int not in kinds or not (np.abs(numbers) > EXACT_INTEGERS).any():
            return numbers, []
    return _one_by_one(values)


def _one_by_one(values: list[Value]) -> tuple[NDArray[np.float64], list[int]]:
    numbers, odd = np.full(len(values), np.nan), []
    for at, value in enumerate(values):
        if isinstance(value, float | bool) or (isinstance(value, int) and is_exact(value)):
            numbers[at] = value
        elif value is not None:
            odd.append(at)
    return numbers, odd


def is_exact(value: int) -> bool:
    """Whether float64 holds this integer."""
    try:
        return int(float(value)) == value
    except OverflowError:
        return False
