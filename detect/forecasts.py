"""Forecasts of a replayed history: which limits are asked about, how the stage is set for it, and what came out.

A CSV file has no normal ranges, so `--limit TAG=LOW:HIGH` gives them. On the line a level is an hour at least; here it is a part of the
history, so that a day of seconds and a year of hours both show their trends.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from base.errors import InvalidRequestError
from schemas import codec
from stages.config import ForecastConfig
from stages.forecast.life import DETECTOR

Limits = Mapping[str, tuple[float | None, float | None]]
"""Low and high end of the normal range of tags, None for none."""
_LEVELS = 300
"""So many levels a history has."""
_RHYTHMS = 4
"""A day is a rhythm where the history has so many of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastStep:
    """What a forecast said at `as_of_us`: that the trend, then at `level`, reaches the limit. `latest_us` None: no telling."""

    as_of_us: int
    level: float
    likely_us: int
    earliest_us: int
    latest_us: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastRow:
    """A forecast. `end_us` is None when the history ended first; `reached` says that it ended because the limit was reached."""

    tag: str
    limit: float
    start_us: int
    end_us: int | None
    reached: bool
    steps: tuple[ForecastStep, ...]


def parse_limits(texts: Iterable[str]) -> dict[str, tuple[float | None, float | None]]:
    """Limits of options such as `bearing=:80` and `level=10:90`; raises InvalidRequestError."""
    found: dict[str, tuple[float | None, float | None]] = {}
    for text in texts:
        tag, _, ends = text.rpartition("=")
        low, colon, high = ends.partition(":")
        try:
            parsed = tuple(float(end) if end else None for end in (low, high))
        except ValueError:
            parsed = (None, None)
        if (
            not tag
            or not colon
            or parsed == (None, None)
            or not all(end is None or math.isfinite(end) for end in parsed)
        ):
            msg = f"--limit {text}: write TAG=LOW:HIGH, and leave out the end that there is none of, for example bearing=:80"
            raise InvalidRequestError(msg)
        if None not in parsed and not float(parsed[0] or 0.0) < float(parsed[1] or 0.0):
            msg = f"--limit {text}: the low end is not below the high one"
            raise InvalidRequestError(msg)
        found[tag] = (parsed[0], parsed[1])
    return found


def check_limits(limits: Limits, tags: Sequence[str], file: str) -> None:
    """Raises InvalidRequestError for a tag that the file does not have."""
    for tag in limits:
        if tag not in tags:
            msg = f"{file} has no tag {tag!r} for --limit; it has {', '.join(tags)}"
            raise InvalidRequestError(msg)


def config_for(span_s: float, window_s: int, *, asked: bool) -> ForecastConfig:
    """The stage's configuration for a history of this length in windows of this length."""
    config = ForecastConfig(enabled=asked)
    return replace(
        config,
        step_s=float(max(window_s, math.ceil(span_s / _LEVELS))),
        horizon_s=max(config.horizon_s, span_s),
        rhythm_s=config.rhythm_s if span_s >= _RHYTHMS * config.rhythm_s else 0.0,
    )


def collect(messages: Iterable[bytes], tags: Sequence[str]) -> tuple[ForecastRow, ...]:
    """Forecasts in order of their start, from Anomaly records; those of detectors are left out."""
    said: dict[str, list[dict[str, Any]]] = {}
    for message in messages:
        _, record = codec.decode(message, "Anomaly")
        if record["detector"] == DETECTOR:
            said.setdefault(str(record["episode_id"]), []).append(record)
    rows = [_row(records, tags) for records in said.values()]
    return tuple(sorted(rows, key=lambda row: (row.start_us, row.tag)))


def _row(records: Sequence[dict[str, Any]], tags: Sequence[str]) -> ForecastRow:
    last = records[-1]
    one = last["contributors"][0]
    return ForecastRow(
        tag=tags[one["tag_id"] - 1],
        limit=one["limit"],
        start_us=last["start_us"],
        end_us=last["end_us"],
        reached=last["phase"] == "CLOSE" and last["score"] >= 1.0,
        steps=tuple(_step(each["contributors"][0]) for each in records if each["phase"] != "CLOSE"),
    )


def _step(one: Mapping[str, Any]) -> ForecastStep:
    return ForecastStep(
        as_of_us=one["as_of_us"],
        level=one["value"],
        likely_us=one["limit_us"],
        earliest_us=one["earliest_us"],
        latest_us=one["latest_us"],
    )
