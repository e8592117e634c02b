"""Alarms that the topic has from before a start: the same episode has the same id, another never has it, none that waits is lost."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from schemas.alarm_rules import AlarmRule
from schemas.alarms import Alarm, AlarmActionKind
from schemas.events import DeviceEvent, EventKind
from tests.operators.alarming import (
    GATEWAY_SILENT,
    RULE,
    S,
    Topic,
    action,
    harness,
    publish,
    rule,
    rule_row,
    standing,
    told,
    values,
)
from tests.operators.fakes import Harness
from tests.operators.rows import START_US, row

ACK = AlarmActionKind.ACKNOWLEDGE
ABOUT = {key: RULE[key] for key in ("device_class", "severity", "response")}


def before(*rules: AlarmRule, value: float = 70.0) -> tuple[Topic, Harness, Harness]:
    """A topic, a job that writes it, and its last checkpoint, in which nothing is the matter."""
    topic: Topic = []
    bench = harness(*(one.encode() for one in rules or (rule(),)), topic=topic)
    publish(topic, bench.element(values(value, 1)))
    return topic, bench, bench.restored()


def raised(topic: Topic, bench: Harness, second: float = 2) -> Alarm:
    """The alarm that comes of a high value."""
    (alarm,), _ = told(publish(topic, bench.element(values(85, second))))
    return alarm


def compared(topic: Topic, bench: Harness) -> list[tuple[str, bytes, bytes]]:
    """What is told when there was time to read everything again."""
    return publish(topic, bench.advance(70_000))


def states(topic: Topic) -> list[str]:
    return [str(each.state) for each in standing(topic).values()]


# --- the same ------------------------------------------------------------------------------------------------------------


def test_one_that_came_and_went_before_a_start_and_holds_again_is_the_same() -> None:
    topic, bench, checkpoint = before()
    alarm = raised(topic, bench)
    publish(topic, bench.element(values(70, 10)))
    publish(topic, bench.element(values(86, 20)))
    again = checkpoint.restored()
    publish(topic, again.element(values(70, 10)))  # its first activation is gone
    publish(topic, again.element(values(86, 20)))
    compared(topic, again)
    assert [each.alarm_id for each in standing(topic).values()] == [alarm.alarm_id]


def test_one_that_chatters_keeps_its_id_and_can_be_acknowledged() -> None:
    topic, bench, checkpoint = before()
    for turn in range(5):
        publish(topic, bench.element(values(85, 2 + 4 * turn)))
        publish(topic, bench.element(values(70, 4 + 4 * turn)))
    (alarm,) = standing(topic).values()
    again = checkpoint.restored()
    publish(topic, again.element(values(85, 14)))
    publish(topic, again.element(values(70, 24)))
    compared(topic, again)
    assert [each.alarm_id for each in standing(topic).values()] == [alarm.alarm_id]
    publish(topic, again.element(action(1, ACK, alarm_id=alarm.alarm_id, activations=alarm.activations)))
    assert standing(topic) == {}


# --- another -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_state", [True, False])
@pytest.mark.parametrize("fields", [{}, {"kind": "EXPRESSION", "expression": "tag.temperature1 > 80.0"}])
def test_what_comes_after_it_was_seen_to_be_over_is_another_alarm(with_state: bool, fields: dict[str, Any]) -> None:
    judged = AlarmRule.from_record({"name": "hot", **ABOUT, **fields}) if fields else rule()
    topic, bench, checkpoint = before(judged)
    alarm = raised(topic, bench)
    acknowledge = action(1, ACK, alarm_id=alarm.alarm_id)
    publish(topic, bench.element(acknowledge))
    again = checkpoint.restored() if with_state else harness(judged.encode(), topic=topic)
    publish(topic, again.element(values(71, 6)))
    publish(topic, again.element(values(85, 12)))
    publish(topic, again.element(acknowledge))
    compared(topic, again)
    assert "UNACKNOWLEDGED" in states(topic)


def test_a_gateway_that_spoke_and_is_silent_again_is_another_alarm() -> None:
    topic, bench, checkpoint = before(AlarmRule.from_record(GATEWAY_SILENT))
    publish(topic, bench.advance(40_000))
    (alarm,) = standing(topic).values()
    about = {"rule": "gateway-silent", "device_id": 0, "gateway_id": "gw-1"}
    acknowledge = action(1, ACK, alarm_id=alarm.alarm_id, **about)
    publish(topic, bench.element(acknowledge))
    again = checkpoint.restored()
    publish(topic, again.element(acknowledge))
    publish(topic, again.element(values(70, 45)))
    for _ in range(12):
        publish(topic, again.advance(10_000))
    assert "UNACKNOWLEDGED" in states(topic)


@pytest.mark.parametrize("of_gateway", [True, False])
def test_a_silence_that_begins_when_the_one_before_was_over_is_another_alarm(of_gateway: bool) -> None:
    of_tag = {"name": "silent", "kind": "NO_DATA", "tag": "temperature1", "after_s": 10.0, **ABOUT}
    silent = AlarmRule.from_record(GATEWAY_SILENT if of_gateway else of_tag)
    topic, bench, checkpoint = before(silent)

    def be_silent(job: Harness, second: int) -> None:
        for turn in range(12):
            if not of_gateway:
                publish(topic, job.element(values(None, second + 2 * turn)))
            publish(topic, job.advance(5_000))

    be_silent(bench, 2)
    (alarm,) = standing(topic).values()
    about = {"rule": silent.name} | ({"device_id": 0, "gateway_id": "gw-1"} if of_gateway else {})
    acknowledge, speaks = action(1, ACK, alarm_id=alarm.alarm_id, **about), values(70, 65)
    publish(topic, bench.element(acknowledge))
    publish(topic, bench.element(speaks))
    assert standing(topic) == {}
    checkpoint.now_us = bench.now_us + 5 * S
    again = checkpoint.restored()
    publish(topic, again.element(acknowledge))
    publish(topic, again.element(speaks))
    be_silent(again, 66)
    assert states(topic) == ["UNACKNOWLEDGED"]


@pytest.mark.parametrize("heard_over", [True, False])
def test_a_condition_that_came_anew_can_be_acknowledged_at_its_machine(heard_over: bool) -> None:
    def said(second: int, *, active: bool = True) -> Any:
        about = {
            "connector": "plc",
            "condition": "High",
            "condition_id": "High",
            "source": "tank",
            "condition_type": "T",
        }
        now = {"severity": "500", "active": str(active).lower(), "acked": str(not active).lower(), "retain": "true"}
        event = DeviceEvent(
            event_id=UUID(int=second),
            kind=EventKind.STATE,
            gateway_id="gw-1",
            device_id=1,
            time_us=START_US + second * S,
            attributes=about | now | {"message": f"High at {second}"},
        )
        return row("device.events.north", event.key, event.encode())

    machine = AlarmRule.from_record({"name": "machine", "kind": "CONDITION", "condition_type": "*", **ABOUT})
    topic: Topic = []
    publish(topic, harness(machine.encode(), topic=topic).element(said(2)))
    fresh = harness(machine.encode(), topic=topic)
    if heard_over:
        publish(topic, fresh.element(said(30, active=False)))
    publish(topic, fresh.element(said(40)))
    alarm = list(standing(topic).values())[-1]
    about = {"rule": alarm.rule, "condition": "plc:High", "time_us": START_US + 50 * S}
    publish(topic, fresh.element(action(1, ACK, alarm_id=alarm.alarm_id, **about)))
    assert list(standing(topic).values())[-1].seen_us >= START_US + 40 * S


def test_a_rule_that_comes_back_uses_no_id_that_was_ended() -> None:
    warm = rule(name="warm", limit=60.0)
    topic: Topic = []
    publish(topic, harness(rule().encode(), warm.encode(), topic=topic).element(values(85, 1)))
    assert len(standing(topic)) == 2
    fresh = harness(warm.encode(), topic=topic)  # without state and without the other rule; this one waits for its tag
    fresh.element(action(1, AlarmActionKind.UNSHELVE, rule="warm"))
    compared(topic, fresh)
    fresh.broadcast(rule_row(rule(version=2)))
    publish(topic, fresh.advance(2_000))
    publish(topic, fresh.element(values(85, 200)))
    compared(topic, fresh)
    assert {each.rule for each in standing(topic).values()} == {"hot", "warm"}


# --- over since ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away_s", [5, 120])
def test_what_was_over_while_it_was_shelved_does_not_ring_after_a_start(away_s: int) -> None:
    topic, bench, checkpoint = before()
    shelve = action(1, AlarmActionKind.SHELVE, until_us=START_US + 60 * S)
    for one in (values(85, 2), shelve, values(70, 6)):
        publish(topic, bench.element(one))
    checkpoint.now_us = bench.now_us + away_s * S
    again = checkpoint.restored()
    for one in (values(85, 2), shelve, values(70, 6)):
        publish(topic, again.element(one))
    compared(topic, again)
    assert states(topic) in ([], ["SHELVED"])


def test_what_ended_before_a_start_and_is_read_again_without_its_acknowledgement_does_not_ring() -> None:
    topic, bench, _ = before()
    alarm = raised(topic, bench)
    publish(topic, bench.element(values(70, 30)))
    publish(topic, bench.element(action(1, ACK, alarm_id=alarm.alarm_id)))
    fresh = harness(rule().encode(), topic=topic)
    fresh.now_us = START_US + 3600 * S
    fresh = fresh.restored()
    for one in (values(85, 2), values(70, 30)):
        publish(topic, fresh.element(one))
    compared(topic, fresh)
    assert standing(topic) == {}


def test_what_ended_does_not_ring_when_its_acknowledgement_was_refused_before_a_slow_lane_was_read() -> None:
    topic, bench, checkpoint = before()
    acknowledge = action(1, ACK, alarm_id=raised(topic, bench).alarm_id)
    publish(topic, bench.element(acknowledge))
    publish(topic, bench.element(values(70, 6)))
    checkpoint.now_us += 20 * S
    again = checkpoint.restored()
    publish(topic, again.element(acknowledge))
    for turn in range(9):
        publish(topic, again.element(values(70, 1.1 + turn / 100, behind=60.0)))
        publish(topic, again.advance(9_000))
    for one in (values(85, 2), values(70, 6)):
        publish(topic, again.element(one))
    for _ in range(10):
        publish(topic, again.advance(9_000))
    assert standing(topic) == {}


def test_one_that_ended_long_before_the_comparison_is_not_kept() -> None:
    topic, bench, checkpoint = before()
    alarm = raised(topic, bench)
    for number in (21, 22, 23):  # on the topic it has come further than it does now
        publish(topic, bench.element(action(number, AlarmActionKind.COMMENT, alarm_id=alarm.alarm_id, reason="seen")))
    again = checkpoint.restored()
    for turn in range(6):
        (alarm, *_), _ = told(publish(topic, again.element(values(85, 2 + 4 * turn))))
        publish(topic, again.element(action(30 + turn, ACK, alarm_id=alarm.alarm_id)))
        publish(topic, again.element(values(70, 4 + 4 * turn)))
    compared(topic, again)
    assert standing(topic) == {}


# --- kept ----------------------------------------------------------------------------------------------------------------


def test_an_acknowledgement_that_waits_counts_when_the_alarm_is_kept() -> None:
    topic, bench, checkpoint = before()
    alarm = raised(topic, bench)
    again = checkpoint.restored()
    publish(topic, again.element(values(71, 4)))
    publish(topic, again.advance(30_000))
    publish(topic, again.element(action(1, ACK, alarm_id=alarm.alarm_id)))
    for _ in range(8):
        publish(topic, again.advance(10_000))
    assert standing(topic) == {}


@pytest.mark.parametrize("returned", [False, True])
def test_one_that_became_known_late_still_waits_after_another_start(returned: bool) -> None:
    topic, bench, checkpoint = before()
    bench.advance(100_000)
    assert raised(topic, bench).late
    if returned:
        publish(topic, bench.element(values(70, 100)))
    checkpoint.now_us = bench.now_us + 5 * S
    again = checkpoint.restored()
    publish(topic, again.element(values(70, 101)))
    compared(topic, again)
    assert states(topic) == ["RETURNED_UNACKNOWLEDGED"]


def test_one_that_was_acknowledged_while_it_held_stays_until_it_is_reset_where_it_latches() -> None:
    topic, bench, checkpoint = before(rule(latch=True))
    publish(topic, bench.element(action(1, ACK, alarm_id=raised(topic, bench).alarm_id)))
    again = checkpoint.restored()
    publish(topic, again.element(values(70, 4)))
    compared(topic, again)
    assert states(topic) == ["ACKNOWLEDGED"]


def test_one_that_was_kept_goes_on_like_any_other() -> None:
    topic, bench, checkpoint = before(rule(latch=True))
    alarm = raised(topic, bench)
    again = checkpoint.restored()
    publish(topic, again.element(values(70, 4)))
    compared(topic, again)
    assert states(topic) == ["UNACKNOWLEDGED"]
    again = checkpoint.restored()
    publish(topic, again.element(values(70, 4)))
    assert compared(topic, again) == []
    again = again.restored()
    publish(topic, again.element(values(85, 100)))
    publish(topic, again.element(values(70, 110)))
    publish(topic, again.element(action(1, ACK, alarm_id=alarm.alarm_id, activations=2)))
    publish(topic, again.element(action(2, AlarmActionKind.RESET, alarm_id=alarm.alarm_id)))
    assert standing(topic) == {}


def test_of_two_that_wait_at_one_source_the_newer_stays() -> None:
    topic, bench, checkpoint = before()
    raised(topic, bench)
    publish(topic, bench.element(values(70, 15)))
    killed = checkpoint.restored()  # before it compares
    publish(topic, killed.element(values(70, 20)))
    raised(topic, killed, 25)
    again = checkpoint.restored()
    publish(topic, again.element(values(70, 40)))
    compared(topic, again)
    assert [each.start_us for each in standing(topic).values()] == [START_US + 25 * S]


def test_what_follows_from_an_alarm_that_stands_is_not_kept() -> None:
    topic, _, checkpoint = before(rule(parent="warm"), rule(name="warm", limit=60.0), value=50)
    raised(topic, harness(rule().encode(), topic=topic))  # the child, before its parent
    again = checkpoint.restored()
    publish(topic, again.element(values(70, 4)))
    compared(topic, again)
    assert {each.rule: str(each.state) for each in standing(topic).values()} == {"warm": "UNACKNOWLEDGED"}


def test_a_group_of_which_all_was_kept_begins_anew() -> None:
    grouped = [rule(name=name, limit=60.0, group="g", group_level="DEVICE") for name in ("a", "b")]
    topic, bench, checkpoint = before(*grouped, value=50)
    publish(topic, bench.element(values(85, 2)))
    again = checkpoint.restored()
    publish(topic, again.element(values(55, 4)))
    compared(topic, again)
    again = again.restored()
    publish(topic, again.element(values(85, 90)))
    publish(topic, again.element(values(55, 95)))
    for number, alarm in enumerate(list(standing(topic).values())):
        publish(topic, again.element(action(number, ACK, alarm_id=alarm.alarm_id, rule=alarm.rule)))
    assert standing(topic) == {}


def test_many_that_do_not_come_again_are_kept_once_each() -> None:
    topic, bench, checkpoint = before(*(rule(name=f"r{n}", limit=60.0 + n / 10) for n in range(200)), value=50)
    publish(topic, bench.element(values(85, 2)))
    assert len(standing(topic)) == 200
    again = checkpoint.restored()
    publish(topic, again.element(values(55, 4)))
    _, events = told(compared(topic, again))
    assert [str(each.kind) for each in events] == ["RETURNED"] * 200
    assert states(topic) == ["RETURNED_UNACKNOWLEDGED"] * 200
    assert again.restored().advance(120_000) == []


@pytest.mark.parametrize("with_state", [True, False])
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (AlarmActionKind.SHELVE, {"until_us": START_US + 300 * S}),
        (AlarmActionKind.OUT_OF_SERVICE, {"reason": "repair"}),
    ],
)
def test_one_that_people_had_put_aside_is_not_kept(
    kind: AlarmActionKind, more: dict[str, Any], with_state: bool
) -> None:
    topic, bench, checkpoint = before()
    raised(topic, bench)
    publish(topic, bench.element(action(1, kind, **more)))
    again = checkpoint.restored() if with_state else harness(rule().encode(), topic=topic)
    publish(topic, again.element(values(70, 4)))
    if with_state:
        publish(topic, again.element(action(1, kind, **more)))
    compared(topic, again)
    publish(topic, again.advance(400_000))
    assert [each for each in standing(topic).values() if each.start_us] == []


def test_a_value_of_zero_outlives_a_start() -> None:
    topic, bench, _ = before(rule(name="low", level="LO", limit=10.0))
    (alarm,), _ = told(publish(topic, bench.element(values(0.0, 2))))
    (acknowledged,), _ = told(bench.restored().element(action(1, ACK, alarm_id=alarm.alarm_id, rule="low")))
    assert acknowledged.value == 0.0
