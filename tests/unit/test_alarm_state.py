"""The state of alarms in bytes: bounded by what there is to watch, whatever happens; and what cannot be read is refused by name."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import pytest

from schemas.alarm_rules import AlarmRule
from schemas.alarms import alarm_id, source_id
from schemas.definitions import encode_tag, encode_version
from stages.alarms.config import AlarmConfig
from stages.alarms.logic import AlarmLogic
from stages.packing import StateError
from tests.golden.support import GATEWAY, SITE, tag, us

DEVICES = 20
A_TAG, A_SOURCE = 22, 5_200
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
        return sum(map(len, self.parts.values()))


HOT = {"name": "hot", "kind": "LIMIT", "level": "HI", "limit": 80.0}


def test_a_quiet_plant_costs_a_watched_tag_22_bytes() -> None:
    bench = Bench(HOT)
    for second in range(100):
        bench.values(second, 20.0 + second % 3)
    assert not [name for name in bench.parts if name.startswith("sources/")]
    assert len(bench.parts[f"lane/{GATEWAY}/0"]) <= DEVICES * A_TAG + 100
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
