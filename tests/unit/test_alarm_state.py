"""The state of alarms in bytes: bounded by what there is to watch, whatever happens; and what cannot be read is refused by name."""

from __future__ import annotations

import dataclasses
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from schemas.alarm_rules import AlarmRule
from schemas.alarms import alarm_id, source_id
from schemas.definitions import encode_tag, encode_version
from stages.alarms.config import AlarmConfig
from stages.alarms.ended import PART_IDS
from stages.alarms.logic import AlarmLogic
from stages.alarms.site_state import SiteState
from stages.packing import StateError
from tests.golden.support import GATEWAY, SITE, tag, us

DEVICES = 20
A_TAG, A_SOURCE = 30, 5_200
"""Bytes at most: of a watched tag, and of a source at its worst."""
THE_REST = 2_000


class Bench:
    """Devices with one tag each and rules on it; parts kept as an adapter does."""

    def __init__(self, *rules: dict[str, Any]) -> None:
        self.logic = AlarmLogic(AlarmConfig(), us(-1000))
        for device in range(1, DEVICES + 1):
            self.logic.apply_registry(encode_tag(tag(device, device, name="temp"))[1])
        self.logic.apply_registry(encode_version(1, tags=DEVICES, time_us=us(0))[1])
        for fields in rules:
            known = {"device_class": "press", "tag": "temp", "severity": "MINOR", "response": "LATER"}
            self.logic.apply_rule(AlarmRule.from_record(known | fields))
        self.parts: dict[str, bytes] = {}
        self.written = 0

    def values(self, second: float, value: float) -> None:
        record = {
            "gateway_id": GATEWAY,
            "lane": 0,
            "closed_time_us": us(second),
            "tag_id": np.arange(1, DEVICES + 1, dtype=np.int32),
            "time_us": np.full(DEVICES, us(second)),
            "value": np.full(DEVICES, value),
            "quality": np.zeros(DEVICES, dtype=np.uint16),
        }
        self.logic.on_record(SITE, "LatestBatch", record, us(second))
        self.keep()

    def act(self, number: int, kind: str, second: float, **fields: Any) -> None:
        for device in range(1, DEVICES + 1):
            record = {
                "action_id": UUID(int=number * 1000 + device),
                "kind": kind,
                "site": SITE,
                "rule": "hot",
                "device_id": device,
                "gateway_id": "",
                "alarm_id": None,
                "by": "b" * 1000,
                "time_us": us(second),
                "reason": "r" * 5000,
                "until_us": None,
            }
            self.logic.on_record(SITE, "AlarmAction", record | fields, us(second))
        self.keep()

    def keep(self) -> None:
        changes = self.logic.drain_changes(SITE)
        self.written = sum(len(data) for data in changes.values() if data is not None)
        for name, data in changes.items():
            if data is None:
                del self.parts[name]
            else:
                self.parts[name] = data

    @property
    def size(self) -> int:
        """Without what the topic is to forget, which has a bound of its own."""
        return sum(len(data) for name, data in self.parts.items() if not name.startswith("ended/"))


HOT = {"name": "hot", "kind": "LIMIT", "level": "HI", "limit": 80.0}


def test_a_quiet_plant_costs_a_watched_tag_30_bytes() -> None:
    bench = Bench(HOT)
    for second in range(100):
        bench.values(second, 20.0 + second % 3)
    assert not [name for name in bench.parts if name.startswith("sources/")]
    assert len(bench.parts[f"lane/{GATEWAY}/0"]) <= DEVICES * A_TAG + 130
    assert bench.size <= DEVICES * A_TAG + THE_REST


def test_the_state_does_not_grow_with_what_happens() -> None:
    bench = Bench(HOT)
    sizes = []
    for turn in range(24):
        second = turn * 100.0
        bench.values(second, 90.0)
        bench.act(4 * turn, "COMMENT", second + 1, alarm_id=UUID(int=turn))
        bench.act(4 * turn + 1, "OUT_OF_SERVICE", second + 2)
        bench.act(4 * turn + 2, "SHELVE", second + 3, until_us=us(second + 50))
        bench.values(second + 10, 20.0)
        bench.act(4 * turn + 3, "IN_SERVICE", second + 11)
        sizes.append(bench.size)
    assert max(sizes[12:]) <= max(sizes[:12])
    assert max(sizes) <= DEVICES * (A_TAG + A_SOURCE) + THE_REST


def test_rules_that_come_and_go_leave_nothing_behind_after_a_week() -> None:
    bench, sizes = Bench(), []
    known = {"device_class": "press", "tag": "temp", "severity": "MINOR", "response": "LATER"}
    for turn in range(12):
        second = turn * 3 * 86_400.0
        rule = AlarmRule.from_record(known | HOT | {"name": f"hot-{turn}"})
        bench.logic.apply_rule(rule)
        bench.values(second, 90.0)
        bench.logic.apply_rule(dataclasses.replace(rule, version=2, retired=True))
        bench.values(second + 10, 90.0)
        sizes.append(bench.size)
    assert len(bench.logic._sites[SITE].state.sources) <= 3 * DEVICES
    assert max(sizes[4:]) <= sizes[3] * 1.05


def test_what_ended_is_16_bytes_each_for_a_time_and_never_more_than_its_bound() -> None:
    config = AlarmConfig(most_ended=1_000, forget_ms=3_600_000)
    state, forgotten, written = SiteState(SITE, config), 0, 0
    parts: dict[str, bytes] = {}
    for number in range(5_000):
        state.ended.note(UUID(int=number), us(number))
        forgotten += len(list(state.ended.due(us(number))))
        changes = state.drain_changes()
        written = max(written, sum(len(data) for data in changes.values() if data is not None))
        parts = {name: data for name, data in (parts | changes).items() if data is not None}
        assert sum(map(len, parts.values())) <= 1_000 * 16 + PART_IDS * 16 + len(parts)
    assert forgotten + len(state.ended) == 5_000
    assert written <= PART_IDS * 16 + 1
    again = SiteState(SITE, config)
    again.restore(parts)
    assert list(again.ended.due(us(5_000 + 3_600 * 3))) == [UUID(int=each) for each in range(forgotten, 5_000)]
    assert set(again.drain_changes()) == parts.keys()


def test_many_that_end_at_one_moment_fill_parts() -> None:
    state, count = SiteState(SITE, AlarmConfig()), 10_000
    for number in range(count):
        state.ended.note(UUID(int=number), us(0))
        state.ended.note(UUID(int=number // 2), us(0))
    state.ended.note(UUID(int=count), us(-1))  # the clock went back
    assert len(state.ended) == count + 1
    assert len(state.drain_changes()) == count // PART_IDS + 1


def test_the_topic_is_as_long_as_what_stands_and_what_ended_of_late() -> None:
    logic = Bench(HOT).logic
    known: dict[UUID, int] = {}
    longest = 0
    for turn in range(120):
        for value, second in ((90.0, 0), (20.0, 60)):
            at_us = us(turn * 7200.0 + second)
            record = {
                "gateway_id": GATEWAY, "lane": 0, "closed_time_us": at_us, "tag_id": np.arange(1, DEVICES + 1, dtype=np.int32),
                "time_us": np.full(DEVICES, at_us), "value": np.full(DEVICES, value), "quality": np.zeros(DEVICES, dtype=np.uint16),
            }  # fmt: skip
            step = logic.on_record(SITE, "LatestBatch", record, at_us)
            for alarm in step.alarms:
                if alarm.state == "UNACKNOWLEDGED":
                    acknowledge = {
                        "action_id": alarm.alarm_id, "kind": "ACKNOWLEDGE", "site": SITE, "rule": "hot", "device_id": alarm.device_id,
                        "gateway_id": "", "alarm_id": alarm.alarm_id, "by": "b", "time_us": at_us, "reason": "", "until_us": None,
                    }  # fmt: skip
                    step.alarms += logic.on_record(SITE, "AlarmAction", acknowledge, at_us).alarms
            known |= {alarm.alarm_id: len(alarm.encode()) for alarm in step.alarms}
            for one in step.forgotten:
                del known[one]
        longest = max(longest, sum(known.values()))
    # A week has 84 turns, and what ends within an hour is forgotten together.
    assert len(known) <= DEVICES * 86
    assert longest <= DEVICES * 86 * 500


def test_only_what_changed_is_written() -> None:
    bench = Bench(HOT)
    bench.values(1, 90.0)
    everything = bench.size
    bench.values(2, 91.0)
    bench.logic.on_timer(SITE, us(3))
    bench.keep()
    assert bench.written < everything / 10


def test_a_state_of_another_version_is_refused_by_name() -> None:
    bench = Bench(HOT)
    bench.values(1, 90.0)
    for name, data in bench.parts.items():
        layout = 0 if not name.startswith("lane/") else 1
        torn = data[:layout] + bytes([data[layout] + 1]) + data[layout + 1 :]
        with pytest.raises(StateError, match="layout"):
            bench.logic.restore(SITE, bench.parts | {name: torn}, us(2))
    with pytest.raises(StateError, match="torn"):
        bench.logic.restore(SITE, bench.parts | {"sources/1": bench.parts["sources/1"][:-5]}, us(2))


def test_ids_follow_from_rule_place_and_start() -> None:
    first, second = source_id("north", "hot@1"), source_id("south", "hot@1")
    assert first != second
    assert alarm_id(first, 1) != alarm_id(first, 2)
    # They are on the log and in history: they never change.
    assert str(first) == "b1232a06-98c1-5050-bd42-12d4c80bdd99"
    assert str(alarm_id(first, 1)) == "7479d2a6-3350-5071-afc3-9626d0ea077d"
