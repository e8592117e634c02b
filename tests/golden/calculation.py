"""Calculated samples in plain Python, sample by sample, as the documents say it: the oracle of unit tests and of the whole line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from schemas import quality
from schemas.frame import Frame, Stream
from schemas.verdicts import REJECT_FROM, VERDICT_MASK, Verdict

Formula = Callable[[Mapping[int, float]], float]
"""Value of inputs by tag id to value; NaN for none."""


class Made(NamedTuple):
    """A calculated sample."""

    time_us: int
    value: float
    quality: int


class _Sample(NamedTuple):
    tag_id: int
    time_us: int
    value: float
    quality: int


def calculated(frames: Sequence[Frame], tag_id: int) -> list[Made]:
    """What the job made of a tag, in validated frames."""
    return [Made(*row[1:3], row[3]) for each in frames for row in _rows(each, made=True) if row.tag_id == tag_id]


def oracle(frames: Sequence[Frame], inputs: Sequence[int], formula: Formula) -> list[Made]:
    """What it had to make of validated frames of one lane, in their order; every input counts in every value."""
    found = list[Made]()
    lane, backlog = dict[int, _Sample](), dict[int, _Sample]()
    for each in frames:
        if each.stream is Stream.REPLAY:
            continue
        remembered = (lane, backlog) if each.stream is Stream.BACKFILL else (lane,)
        rows = [row for row in _rows(each, made=False) if row.tag_id in inputs]
        for time_us in sorted({row.time_us for row in rows}):
            held = dict[int, _Sample]()
            for tag_id in inputs:
                known = [one[tag_id] for one in remembered if tag_id in one] + [
                    row for row in rows if row.tag_id == tag_id
                ]
                if past := [row for row in known if row.time_us <= time_us]:
                    held[tag_id] = max(reversed(past), key=lambda row: row.time_us)
            # What depends on a bad input is bad, whatever else was not heard.
            if len(held) == len(inputs) or any(row.quality & quality.BAD for row in held.values()):
                found.append(_made(time_us, held, formula))
        for row in rows:
            for one in remembered:
                if row.tag_id not in one or row.time_us >= one[row.tag_id].time_us:
                    one[row.tag_id] = row
    return found


def _made(time_us: int, held: Mapping[int, _Sample], formula: Formula) -> Made:
    if any(row.quality & quality.BAD for row in held.values()):
        return Made(time_us, math.nan, quality.BAD_INVALID_INPUTS)
    value = formula({tag_id: row.value for tag_id, row in held.items()})
    code = quality.BAD_OUT_OF_RANGE if math.isnan(value) else max(row.quality for row in held.values())
    return Made(time_us, value, code)


def _rows(each: Frame, *, made: bool) -> list[_Sample]:
    """Accepted samples of a validated frame that the job made, or that the gateway sent."""
    assert each.verdict is not None
    code = each.verdict & VERDICT_MASK
    at = np.flatnonzero(code == Verdict.CALCULATED if made else (code < REJECT_FROM) & (code != Verdict.CALCULATED))
    columns = (each.tag_id[at], each.time_us[at], each.value[at], each.quality[at])
    return [_Sample(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
