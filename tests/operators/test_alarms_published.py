"""What was published behind the last checkpoint: ended or told anew after a start; a site that is put aside; what the topic forgets."""

from __future__ import annotations

import dataclasses
import pickle
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from schemas.alarm_rules import AlarmRule
from schemas.alarms import AlarmActionKind, AlarmState
from stages.alarms.config import AlarmConfig
from tests.operators.alarming import GATEWAY_SILENT, S, Topic, action, harness, publish, rule, standing, told, values
from tests.operators.rows import START_US


def test_an_alarm_of_behind_the_checkpoint_that_does_not_come_again_is_over_and_waits_for_its_acknowledgement() -> None:
    topic: Topic = []
    bench = harness(rule().encode(), topic=topic)
    publish(topic, bench.element(values(70, 1)))
    checkpoint = bench.restored()
    (raised,), _ = told(publish(topic, bench.element(values(85, 2))))
    again = checkpoint.restored()
    assert publish(topic, again.element(values(71, 1.5))) == []
    publish(topic, again.advance(50_000))
    assert standing(topic)  # it may come again
    (over,), (event,) = told(publish(topic, again.advance(15_000)))
    assert (over.alarm_id, over.version, over.state, over.active) == (
        raised.alarm_id,
        2,
        "RETURNED_UNACKNOWLEDGED",
        False,
    )
    assert (event.kind, event.state, event.detail) == (
        "RETURNED",
        over.state,
        "it was not raised again after a restart",
    )
    again = again.restored()
    publish(topic, again.element(action(1, AlarmActionKind.ACKNOWLEDGE, alarm_id=raised.alarm_id)))
    assert standing(topic) == {}
    # Its id is not used again: who reads the topic would take that for what it knows.
    (other,), _ = told(publish(topic, again.element(values(85, 2))))
    assert other.start_us == START_US + 2 * S + 1
    assert other.alarm_id != raised.alarm_id
    assert again.restored().advance(90_000) == []


def test_an_alarm_of_behind_the_checkpoint_that_comes_again_is_the_same_and_is_told_no_more() -> None:
    topic: Topic = []
    bench = harness(rule().encode(), topic=topic)
    bench.element(values(70, 1))
    checkpoint = bench.restored()
    raised = publish(topic, bench.element(values(85, 2)))
    again = checkpoint.restored()
    assert again.element(values(85, 2)) == raised
    assert again.advance(90_000) == []


def test_one_that_was_acknowledged_and_does_not_come_again_ends_unless_it_latches() -> None:
    for latch in (False, True):
        topic: Topic = []
        bench = harness(rule(latch=latch).encode(), topic=topic)
        bench.element(values(70, 1))
        checkpoint = bench.restored()
        (raised,), _ = told(publish(topic, bench.element(values(85, 2))))
        publish(topic, bench.element(action(1, AlarmActionKind.ACKNOWLEDGE, alarm_id=raised.alarm_id)))
        publish(topic, bench.element(values(70, 3)))
        assert bool(standing(topic)) == latch
        again = checkpoint.restored()
        publish(topic, again.element(values(70, 4)))  # nothing of all that is read again
        publish(topic, again.advance(70_000))
        assert bool(standing(topic)) == latch
        if latch:
            publish(topic, again.element(action(2, AlarmActionKind.RESET, alarm_id=raised.alarm_id)))
            assert standing(topic) == {}


def test_one_that_stands_acknowledged_ends_when_its_condition_does_not_come_again() -> None:
    topic: Topic = []
    bench = harness(rule().encode(), topic=topic)
    bench.element(values(70, 1))
    checkpoint = bench.restored()
    (raised,), _ = told(publish(topic, bench.element(values(85, 2))))
    publish(topic, bench.element(action(1, AlarmActionKind.ACKNOWLEDGE, alarm_id=raised.alarm_id)))
    again = checkpoint.restored()
    publish(topic, again.element(values(70, 4)))
    (closed,), (event,) = told(publish(topic, again.advance(70_000)))
    assert (closed.state, closed.version, event.kind) == ("NORMAL", 3, "RETURNED")
    assert standing(topic) == {}


@pytest.mark.parametrize("delay_s", [0.0, 2.0])
def test_an_alarm_whose_first_sample_is_gone_is_the_same_when_it_comes_again(delay_s: float) -> None:
    topic: Topic = []
    bench = harness(rule(on_delay_s=delay_s).encode(), topic=topic)
    bench.element(values(70, 1))
    checkpoint = bench.restored()
    publish(topic, bench.element(values(85, 2)))
    publish(topic, bench.element(values(86, 6)))
    (raised,) = standing(topic).values()
    again = checkpoint.restored()
    outputs = again.element(values(86, 6)) + again.element(values(86, 8))  # the topic has been compacted since
    (same,), (event,) = told(outputs)
    assert (same, event.version, event.time_us) == (raised, 1, START_US + round((2 + delay_s) * S))
    assert again.advance(90_000) == []


def test_an_alarm_that_ended_before_the_start_is_gone_through_again_under_its_id() -> None:
    topic: Topic = []
    bench = harness(rule().encode(), topic=topic)
    bench.element(values(70, 1))
    checkpoint = bench.restored()
    (raised,), _ = told(publish(topic, bench.element(values(85, 2))))
    acknowledge, over = action(1, AlarmActionKind.ACKNOWLEDGE, alarm_id=raised.alarm_id), values(70, 6)
    before = publish(topic, bench.element(acknowledge)) + publish(topic, bench.element(over))
    again = checkpoint.restored()
    publish(topic, again.element(values(86, 4)))
    outputs = publish(topic, again.element(acknowledge)) + publish(topic, again.element(over))
    assert told(outputs) == told(before)
    assert standing(topic) == {}
    (other,), _ = told(publish(topic, again.element(values(85, 7))))
    assert (other.start_us, other.version) == (START_US + 7 * S, 1)
    assert other.alarm_id != raised.alarm_id


def test_an_old_version_of_an_alarm_that_is_written_again_does_not_make_it_stand() -> None:
    topic: Topic = []
    bench = harness(rule().encode(), topic=topic)
    bench.element(values(70, 1))
    checkpoint = bench.restored()
    (raised,), _ = told(publish(topic, first := bench.element(values(85, 2))))
    publish(topic, bench.element(action(1, AlarmActionKind.ACKNOWLEDGE, alarm_id=raised.alarm_id)))
    publish(topic, bench.element(values(70, 6)))
    publish(topic, first)  # by a start that was killed before it came further
    (other,), _ = told(publish(topic, checkpoint.restored().element(values(85, 7))))
    assert other.start_us == START_US + 7 * S


def test_a_gateway_that_is_silent_before_and_after_a_start_is_one_alarm() -> None:
    topic: Topic = []
    bench = harness(AlarmRule.from_record(GATEWAY_SILENT).encode(), topic=topic)
    bench.element(values(70, 1))
    checkpoint = bench.restored()
    publish(topic, bench.advance(40_000))
    (raised,) = standing(topic).values()
    again = checkpoint.restored()
    publish(topic, again.advance(120_000))
    assert {each.alarm_id: each.state for each in standing(topic).values()} == {raised.alarm_id: "UNACKNOWLEDGED"}


def test_what_the_topic_has_in_a_higher_version_is_told_above_that() -> None:
    topic: Topic = []
    bench = harness(rule().encode(), topic=topic)
    (raised,), _ = told(publish(topic, bench.element(values(85, 1))))
    checkpoint = bench.restored()
    publish(topic, bench.element(action(1, AlarmActionKind.ACKNOWLEDGE, alarm_id=raised.alarm_id)))
    publish(topic, bench.element(action(2, AlarmActionKind.COMMENT, alarm_id=raised.alarm_id, reason="seen")))
    publish(topic, bench.element(values(70, 2)))
    assert standing(topic) == {}
    again = checkpoint.restored()
    again.element(values(86, 3))  # nothing of all that is read again
    (told_again,), events = told(publish(topic, again.advance(70_000)))
    assert (told_again.version, told_again.state, events) == (5, "UNACKNOWLEDGED", [])
    assert [each.alarm_id for each in standing(topic).values()] == [raised.alarm_id]
    (acknowledged,), _ = told(again.element(action(3, AlarmActionKind.ACKNOWLEDGE, alarm_id=raised.alarm_id)))
    assert acknowledged.version == 6


def test_a_job_without_state_is_heard_though_the_topic_knows_its_sources() -> None:
    topic: Topic = []
    bench = harness(rule().encode(), topic=topic)
    for number in range(3):
        until_us = START_US + (number + 60) * S
        publish(topic, bench.element(action(number, AlarmActionKind.SHELVE, until_us=until_us)))
    fresh = harness(rule().encode(), topic=topic)
    fresh.element(values(70, 1))
    publish(topic, fresh.advance(70_000))
    assert standing(topic) == {}
    (shelved,), _ = told(publish(topic, fresh.element(action(9, AlarmActionKind.SHELVE, until_us=START_US + 600 * S))))
    assert standing(topic) == {shelved.key: shelved}


def test_what_is_defined_no_more_when_the_job_comes_back_ends_with_that_reason() -> None:
    topic: Topic = []
    bench = harness(rule().encode(), topic=topic)
    publish(topic, bench.element(values(85, 1)))
    publish(topic, bench.element(action(1, AlarmActionKind.SHELVE, until_us=START_US + 600 * S)))
    assert len(standing(topic)) == 2
    other = harness(topic=topic, after=bench)  # without the rule
    publish(topic, other.element(values(86, 2)))
    alarms, events = told(publish(topic, other.advance(70_000)))
    assert standing(topic) == {}
    assert {each.state for each in alarms} == {"NORMAL"}
    reason = "its rule, tag or device is defined no more"
    assert {(each.kind, each.detail) for each in events} == {("RULE_RETIRED", reason)}


def test_records_of_the_topic_that_cannot_be_read_are_counted_and_stop_nothing() -> None:
    topic: Topic = [(b"x", b"nothing"), (b"y", None), (b"z", b"")]
    bench = harness(rule().encode(), topic=topic)
    assert bench.count("unreadable_alarms") == 2
    assert len(told(bench.element(values(85, 1)))[0]) == 1


def test_a_site_that_is_put_aside_is_an_alarm_until_its_state_can_be_read() -> None:
    topic: Topic = []
    bench = harness(rule().encode(), topic=topic)
    bench.element(values(70, 1))
    torn = bench.restored()
    torn.backend.cells["alarm-parts", "north"] = pickle.dumps({"site": b"\x63"})
    broken = torn.restored()
    (alarm,), (event,) = told(publish(topic, broken.element(values(85, 2))[:-1]))
    assert (alarm.site, alarm.path, alarm.state, alarm.priority) == ("north", "acme/north", "UNACKNOWLEDGED", "HIGH")
    assert "state part site has layout 63" in alarm.detail
    assert event.kind == "RAISED"
    assert told(broken.restored().element(values(85, 3))[:-1]) == ([], [])  # it stands
    whole = bench.restored()
    whole.element(values(70, 4))
    (closed,), (event,) = told(publish(topic, whole.advance(2_000)))
    assert (closed.alarm_id, closed.state, event.detail) == (
        alarm.alarm_id,
        "NORMAL",
        "the state of the site can be read again",
    )
    assert standing(topic) == {}


def test_the_topic_forgets_what_ended_long_ago_and_nothing_else() -> None:
    topic: Topic = []
    bench = harness(rule().encode(), topic=topic, config=AlarmConfig(forget_ms=3_600_000))
    ids = []
    for turn in range(3):
        (raised,), _ = told(publish(topic, bench.element(values(85, 40 * turn + 1))))
        publish(topic, bench.element(action(turn, AlarmActionKind.ACKNOWLEDGE, alarm_id=raised.alarm_id)))
        publish(topic, bench.element(values(70, 40 * turn + 2)))
        ids.append(raised.alarm_id)
        bench = bench.restored()
    publish(topic, bench.element(action(9, AlarmActionKind.SHELVE, until_us=START_US + 60 * S)))
    publish(topic, bench.element(action(10, AlarmActionKind.UNSHELVE)))
    publish(topic, bench.element(action(11, AlarmActionKind.OUT_OF_SERVICE, reason="repair")))
    (stands,), _ = told(publish(topic, bench.element(values(85, 140))))
    bench = bench.restored()
    outputs = publish(topic, bench.advance(7_100_000))
    assert not [value for _, _, value in outputs if value is None]
    outputs = publish(topic, bench.advance(200_000))
    assert {key for _, key, value in outputs if value is None} == {str(one).encode() for one in ids}
    assert bench.count("forgotten_alarms") == 3
    assert {each.alarm_id for each in standing(topic).values()} == {stands.alarm_id, stands.source_id}


def test_without_state_what_people_have_put_aside_stays_so() -> None:
    topic: Topic = []
    bench = harness(rule().encode(), rule(name="warm", limit=60.0).encode(), topic=topic)
    publish(topic, bench.element(action(1, AlarmActionKind.SHELVE, until_us=START_US + 600 * S)))
    publish(topic, bench.element(action(2, AlarmActionKind.OUT_OF_SERVICE, rule="warm", reason="repair")))
    before = standing(topic)
    fresh = harness(rule().encode(), rule(name="warm", limit=60.0).encode(), topic=topic)
    alarms, _ = told(publish(topic, fresh.element(values(85, 1))))
    assert {each.rule: each.state for each in alarms} == {"hot": "SHELVED", "warm": "OUT_OF_SERVICE"}
    fresh = fresh.restored()
    publish(topic, fresh.advance(90_000))
    assert {key: each for key, each in standing(topic).items() if key in before} == before
    _, (event,) = told(publish(topic, fresh.element(action(3, AlarmActionKind.IN_SERVICE, rule="warm"))))
    assert event.kind == "IN_SERVICE"
    _, events = told(publish(topic, fresh.advance(600_000)))
    assert [each.kind for each in events] == ["UNSHELVED"]
    assert not standing(topic).keys() & before.keys()


def test_without_state_an_alarm_waits_until_its_tag_has_spoken() -> None:
    topic: Topic = []
    bench = harness(rule(on_delay_s=5.0).encode(), topic=topic)
    bench.element(values(85, 1))
    (raised,), _ = told(publish(topic, bench.element(values(86, 8))))
    for value, states in ((70.0, ["RETURNED_UNACKNOWLEDGED"]), (85.0, [])):
        known = list(topic)
        fresh = harness(rule(on_delay_s=5.0).encode(), topic=known)
        fresh.element(action(1, AlarmActionKind.UNSHELVE))
        assert told(publish(known, fresh.advance(120_000)))[0] == []
        assert standing(known).keys() == {raised.key}
        heard = publish(known, fresh.element(values(value, 121)))
        closed, _ = told(publish(known, fresh.advance(2_000)))
        assert [each.state for each in closed] == states
        if states:
            continue
        assert told(heard)[0] == [raised]
        assert standing(known) == {raised.key: raised}
    fresh = harness(rule(on_delay_s=5.0).encode(), topic=topic)
    fresh.element(action(1, AlarmActionKind.UNSHELVE))
    publish(topic, fresh.advance(3_700_000))
    assert [each.state for each in standing(topic).values()] == ["RETURNED_UNACKNOWLEDGED"]  # but not for ever


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"expression": "tag.temperature1 > 80.0"}, [121]),
        ({"expression": "tag.temperature1 > 80.0", "on_delay_s": 5.0}, [121, 130]),
        ({"expression": "mean_20m.temperature1 > 80.0"}, [121, 400, 800]),
    ],
)
def test_without_state_an_alarm_of_an_expression_waits_until_it_is_known(
    fields: dict[str, Any], seconds: list[int]
) -> None:
    usual = {"name": "hot", "device_class": "press", "severity": "MAJOR", "response": "PROMPT"}
    odd = AlarmRule.from_record({**usual, "kind": "EXPRESSION", **fields})
    topic: Topic = []
    bench = harness(odd.encode(), topic=topic)
    for second in range(1, 800, 20):
        publish(topic, bench.element(values(85, second)))
    (before,) = standing(topic).values()
    for value in (85.0, 70.0):
        known = list(topic)
        fresh = harness(odd.encode(), topic=known)
        fresh.element(action(1, AlarmActionKind.UNSHELVE))
        publish(known, fresh.advance(120_000))
        told_of = list[str]()
        for second in seconds[:1] if value == 70.0 and "on_delay_s" in fields else seconds:
            assert standing(known) == {before.key: before}
            _, events = told(
                [*publish(known, fresh.element(values(value, second))), *publish(known, fresh.advance(2_000))]
            )
            told_of += [each.kind for each in events]
        states = {key: each.state for key, each in standing(known).items()}
        assert states == {before.key: "UNACKNOWLEDGED" if value == 85.0 else "RETURNED_UNACKNOWLEDGED"}
        assert told_of == (["RAISED"] if value == 85.0 else ["RETURNED"])


def test_a_lane_that_is_always_behind_puts_the_comparison_off_and_not_for_ever() -> None:
    topic: Topic = []
    bench = harness(rule().encode(), topic=topic)
    publish(topic, bench.element(values(70, 1)))
    checkpoint = bench.restored()
    publish(topic, bench.element(values(85, 2)))
    again = checkpoint.restored()
    for turn in range(1, 501):
        publish(topic, again.element(values(71, 1 + turn / 1000, behind=20.0)))
        publish(topic, again.advance(2_000))
        if turn == 400:
            assert [each.state for each in standing(topic).values()] == ["UNACKNOWLEDGED"]
            assert again.level("sites_not_compared") == 1
    assert [each.state for each in standing(topic).values()] == ["RETURNED_UNACKNOWLEDGED"]
    assert again.level("sites_not_compared") == 0


def test_what_the_topic_says_of_other_sites_is_let_go_and_read_again_when_one_comes() -> None:
    topic: Topic = []
    bench = harness(rule().encode(), topic=topic)
    (raised,), _ = told(publish(topic, bench.element(values(85, 1))))
    other = dataclasses.replace(raised, site="south", alarm_id=UUID(int=7), source_id=UUID(int=8))
    topic.append((other.key, other.encode()))
    readings: list[int] = []

    def read() -> Topic:
        readings.append(len(topic))
        return list(topic)

    fresh = harness(rule().encode(), published=read, after=bench)
    fresh.element(values(85, 2))
    fresh.advance(290_000)
    assert fresh.operator._told.waiting({"south"}) == 1
    fresh.advance(20_000)
    assert fresh.operator._told.waiting({"south"}) == 0
    fresh.element(values(85, 400))
    assert len(readings) == 1
    fresh.element(action(1, AlarmActionKind.UNSHELVE, site="south"))
    assert len(readings) == 2
    (closed,), _ = told(fresh.advance(70_000))
    assert (closed.alarm_id, closed.site, closed.state) == (UUID(int=7), "south", "NORMAL")


def test_a_tick_compares_no_more_than_some_hundreds() -> None:
    topic: Topic = []
    (raised,), _ = told(harness(rule().encode()).element(values(85, 1)))
    for number in range(1_200):
        over = dataclasses.replace(raised, alarm_id=UUID(int=number), state=AlarmState.NORMAL)
        topic.append((over.key, over.encode()))
    topic.append((str(UUID(int=0)).encode(), None))
    bench = harness(rule().encode(), topic=topic)
    bench.element(values(70, 1))
    counts = [0]
    for _ in range(70):
        bench.advance(1_000)
        counts.append(len(bench.operator._logic._sites["north"].state.ended))
    assert max(after - before for before, after in pairwise(counts)) == 500
    assert counts[-1] == 1_199


def test_an_alarm_that_was_counted_and_then_put_aside_is_withdrawn_all_the_same() -> None:
    bench = harness(rule(on_delay_s=5.0).encode())
    bench.element(values(85, 1))
    (raised,), _ = told(bench.element(values(None, 8)))
    assert raised.state == "UNACKNOWLEDGED"
    bench.element(action(1, AlarmActionKind.SHELVE, until_us=START_US + 600 * S))
    bench = bench.restored()
    bench.element(values(70, 4))
    floods = bench.operator._logic._sites["north"].state.floods
    assert [each.times_us for each in floods.scopes.values()] == [[]]
