"""Conditions: whether a sample meets what a rule describes. Total and without state of its own but the anchor of a rate.

A condition that holds is over only when the value is back by the deadband. A sample of bad quality says nothing of its value: every
condition but BAD_QUALITY stays as it was.
"""

from __future__ import annotations

from schemas import quality as qualities
from schemas.alarm_rules import AlarmRule, ConditionKind
from stages.alarms.lanes import Sample
from stages.alarms.points import Point
from stages.alarms.source import Source


def judge(point: Point, source: Source, sample: Sample, setpoint: Sample | None) -> tuple[bool, str] | None:
    """Whether the condition holds and in what words, by a sample of the point's own tag; None when that cannot be said.

    `setpoint` is what is known of the other tag of a deviation. Moves the anchor of a rate.
    """
    rule = point.rule
    bad = qualities.is_bad(sample.quality)
    if rule.kind is ConditionKind.BAD_QUALITY:
        return bad, f"{rule.tag} is of bad quality, 0x{sample.quality:04X}"
    if bad or sample.value != sample.value:
        source.anchor, source.anchor_us = None, 0
        return None
    unit = "" if point.tag is None or point.tag.unit == "1" else f" {point.tag.unit}"
    band = rule.limit - rule.deadband if source.raw else rule.limit
    if rule.kind is ConditionKind.LIMIT:
        return _beyond(
            rule, sample.value, holds=source.raw
        ), f"{rule.tag} is {sample.value:g}{unit}, {rule.level} is {rule.limit:g}"
    if rule.kind is ConditionKind.STATE:
        return sample.value in rule.values, f"{rule.tag} is {sample.value:g}"
    if rule.kind is ConditionKind.DEVIATION:
        if setpoint is None or qualities.is_bad(setpoint.quality):
            return None
        difference = abs(sample.value - setpoint.value)
        words = (
            f"{rule.tag} is {sample.value:g}{unit}, {difference:g} from {rule.setpoint_tag}; {rule.limit:g} is allowed"
        )
        return difference > band, words
    return _rate(source, sample, rule, band, unit)


def _beyond(rule: AlarmRule, value: float, *, holds: bool) -> bool:
    band = rule.deadband if holds else 0.0
    upwards = rule.level is not None and rule.level.upwards
    return value > rule.limit - band if upwards else value < rule.limit + band


def _rate(source: Source, sample: Sample, rule: AlarmRule, band: float, unit: str) -> tuple[bool, str] | None:
    before, before_us = source.anchor, source.anchor_us
    elapsed_s = (sample.time_us - before_us) / 1e6
    if before is not None and elapsed_s < rule.over_s:
        return None
    source.anchor, source.anchor_us = sample.value, sample.time_us
    if before is None:
        return None
    rate = abs(sample.value - before) / elapsed_s
    return rate > band, f"{rule.tag} changes by {rate:g}{unit} a second; {rule.limit:g} is allowed"
