"""Floods: more new alarms in a scope than a person can take in; what never was counts for nothing."""

from __future__ import annotations

from schemas.alarms import AlarmEventKind
from stages.alarms.config import AlarmConfig
from stages.alarms.floods import Floods
from stages.alarms.step import Step
from tests.golden.support import SITE, us

AREA = "acme/north/area"


def kinds(step: Step) -> list[str]:
    return [event.kind for event in step.events]


def test_an_alarm_that_never_was_makes_no_flood() -> None:
    floods, step = Floods(SITE, AlarmConfig()), Step(now_us=us(0))
    for second in range(10):
        floods.count(AREA, us(second), step)
    floods.withdraw(AREA, us(4))
    floods.withdraw(AREA, us(5000))  # never counted
    floods.withdraw("acme/north/other", us(4))
    floods.count(AREA, us(20), step)
    assert kinds(step) == []
    floods.count(AREA, us(21), step)
    assert kinds(step) == [AlarmEventKind.FLOOD_BEGAN]


def test_a_flood_of_what_never_was_ends() -> None:
    floods, step = Floods(SITE, AlarmConfig()), Step(now_us=us(0))
    for second in range(11):
        floods.count(AREA, us(second), step)
    for second in range(11):
        floods.withdraw(AREA, us(second))
    floods.tick(AREA, us(30), step)
    assert kinds(step) == [AlarmEventKind.FLOOD_BEGAN, AlarmEventKind.FLOOD_ENDED]
    assert floods.in_flood() == []
    for second in range(100, 110):
        floods.count(AREA, us(second), step)
    assert len(step.events) == 2
